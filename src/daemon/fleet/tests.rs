//! A new configuration leaves a backend as it was, if it leaves it as it was.

use super::*;
use crate::config::snapshot::Snapshot;
use crate::config::{self, Source, plan::Plan};
use crate::daemon::assemble::{Lasting, assemble};
use crate::daemon::resolver::tests::{Say, Server};
use crate::metrics::Metrics;
use crate::rules::credential::Sure;
use crate::rules::pools::Member;

fn plan(pool: &str) -> Plan {
    let digest = "0".repeat(64);
    let text = format!(
        "pools:\n  p: {{ {pool} }}\ntenants:\n  t:\n    keys: {{ k: {{ sha256: '{digest}' }} }}\n    \
         models: {{ a: {{ routes: [ {{ pool: p, model: m }} ] }} }}\n"
    );
    config::read(&Source { name: "t".to_owned(), text }, &[]).unwrap_or_else(|bad| panic!("{bad}"))
}

struct Generations {
    lasting: Lasting,
    metrics: Metrics,
}

impl Generations {
    fn new() -> Self {
        Self::with(&[])
    }

    fn with(servers: &[SocketAddr]) -> Self {
        let fleet = Arc::new(Fleet::new(servers).unwrap());
        let lasting = Lasting { fleet, ledger: Arc::default(), store: None };
        Self { lasting, metrics: Metrics::new().unwrap() }
    }

    /// With this name server, on its own runtime.
    fn asking(server: &Server) -> Self {
        Self::with(&[server.address])
    }

    fn refuse(&self, pool: &str) {
        assert!(assemble(&plan(pool), &self.metrics, &self.lasting).is_err());
    }

    fn take(&self, pool: &str) -> Snapshot {
        assemble(&plan(pool), &self.metrics, &self.lasting)
            .unwrap_or_else(|bad| panic!("{bad:?}"))
            .begin(&self.lasting.fleet)
    }
}

fn members(snapshot: &Snapshot) -> Vec<Arc<Member>> {
    snapshot.pools[0].members()
}

const ONE: &str = "backends: [ { url: 'http://127.0.0.1:1/v1' } ]";

#[test]
fn what_was_learnt_of_a_backend_outlives_a_configuration_that_leaves_it_as_it_was() {
    let generations = Generations::new();
    let first = generations.take(ONE);
    let known = members(&first)[0].vitals.clone();
    for same in [
        ONE,
        "backends: [ { url: 'http://127.0.0.1:1/v1', weight: 3 }, { url: 'http://127.0.0.1:2/v1' } ]",
        "backends: [ { url: 'http://127.0.0.1:1/v1' } ], balance: round_robin, retry: { attempts: 1 }",
    ] {
        let next = generations.take(same);
        assert!(Arc::ptr_eq(&members(&next)[0].vitals, &known), "{same}");
    }
    for other in
        ["backends: [ { url: 'http://127.0.0.1:1/v2' } ]", "backends: [ { url: 'http://127.0.0.1:2/v1' } ]"]
    {
        let next = generations.take(other);
        assert!(!Arc::ptr_eq(&members(&next)[0].vitals, &known), "{other}");
    }
}

#[test]
fn a_new_key_is_a_new_chance_and_the_same_key_is_none() {
    let generations = Generations::new();
    let folder = std::env::temp_dir().join(format!("byname-fleet-{}", std::process::id()));
    std::fs::write(&folder, "one").unwrap();
    let pool =
        format!("backends: [ {{ url: 'http://127.0.0.1:1/v1', key: {{ file: '{}' }} }} ]", folder.display());
    let first = generations.take(&pool);
    let now = first.origin.tick(Instant::now());
    assert!(first.pools[0].backends[0].credential.refused(Sure::Yes, now));
    let same = generations.take(&pool);
    assert!(!same.pools[0].backends[0].credential.is_usable(now));
    std::fs::write(&folder, "two").unwrap();
    let other = generations.take(&pool);
    assert!(other.pools[0].backends[0].credential.is_usable(now));
    std::fs::remove_file(&folder).unwrap();
}

/// A port on which nobody listens.
fn closed() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

fn wait_until(what: &str, is_so: impl Fn() -> bool) {
    let end = Instant::now() + std::time::Duration::from_secs(20);
    while !is_so() {
        assert!(Instant::now() < end, "{what}");
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
}

#[test]
fn a_backend_that_is_down_is_down_in_the_next_generation_too() {
    let generations = Generations::new();
    let pool = format!(
        "health: {{ interval: 100ms, timeout: 100ms, failures: 2 }}, backends: [ {{ url: 'http://127.0.0.1:{}' }} ]",
        closed()
    );
    let first = generations.take(&pool);
    wait_until("its checks fail", || !members(&first)[0].vitals.is_up());
    let next = generations.take(&pool);
    assert!(!members(&next)[0].vitals.is_up(), "it was forgotten");
    drop(first);
    let third = generations.take(&pool.replace("100ms, failures", "90ms, failures"));
    assert!(!members(&third)[0].vitals.is_up(), "another timeout does not make it another backend");
    let text = String::from_utf8(generations.metrics.render()).unwrap();
    assert!(
        text.contains("byname_upstream_checks_total{") && text.contains(r#"outcome="connect""#),
        "{text}"
    );
}

#[test]
fn a_configuration_that_cannot_be_taken_leaves_the_old_one_looked_after() {
    let generations = Generations::new();
    let first = generations.take(ONE);
    let bad = plan("backends: [ { url: 'http://127.0.0.1:1/v1', key: { file: /nowhere/at/all } } ]");
    assert!(assemble(&bad, &generations.metrics, &generations.lasting).is_err());
    let kept = generations.lasting.fleet.kept(&PoolName::new("p"));
    assert!(kept.is_current(1));
    assert_eq!(members(&first).len(), 1);
}

#[test]
fn a_refused_configuration_with_other_thresholds_does_not_stop_the_checks() {
    let generations = Generations::new();
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://127.0.0.1:{}", listener.local_addr().unwrap().port());
    let health = |failures| format!("health: {{ interval: 100ms, timeout: 100ms, failures: {failures} }}");
    let first = generations.take(&format!("{}, backends: [ {{ url: '{url}' }} ]", health(1)));
    wait_until("it has been checked", || {
        let text = String::from_utf8(generations.metrics.render()).unwrap();
        text.lines().any(|line| line.starts_with("byname_upstream_checks_total") && line.contains("\"ok\""))
    });
    generations.refuse(&format!(
        "{}, backends: [ {{ url: '{url}' }}, {{ url: 'http://a', key: {{ file: /nowhere/at/all }} }} ]",
        health(2)
    ));
    drop(listener);
    wait_until("it is still checked", || !members(&first)[0].vitals.is_up());
}

#[test]
fn a_refused_configuration_does_not_forget_a_refused_key() {
    let generations = Generations::new();
    let folder = std::env::temp_dir().join(format!("byname-refused-{}", std::process::id()));
    std::fs::write(&folder, "one").unwrap();
    let backend = format!("{{ url: 'http://127.0.0.1:1/v1', key: {{ file: '{}' }} }}", folder.display());
    let good = format!("backends: [ {backend} ]");
    let first = generations.take(&good);
    let now = first.origin.tick(Instant::now());
    assert!(first.pools[0].backends[0].credential.refused(Sure::Yes, now));
    std::fs::write(&folder, "two").unwrap();
    generations
        .refuse(&format!("backends: [ {backend}, {{ url: 'http://a', key: {{ file: /nowhere/at/all }} }} ]"));
    std::fs::write(&folder, "one").unwrap();
    let same = generations.take(&good);
    std::fs::remove_file(&folder).unwrap();
    assert!(!same.pools[0].backends[0].credential.is_usable(now));
}

#[test]
fn other_health_checks_leave_all_but_health_as_it_was() {
    let generations = Generations::new();
    let backends = format!("backends: [ {{ url: 'http://127.0.0.1:{}' }} ]", closed());
    let health = |what| format!("health: {{ interval: 100ms, timeout: 100ms, {what} }}, {backends}");
    let first = generations.take(&backends);
    let known = members(&first)[0].vitals.clone();
    let checked = generations.take(&health("failures: 1"));
    assert!(Arc::ptr_eq(&members(&checked)[0].vitals, &known));
    wait_until("its checks fail", || !known.is_up());
    let patient = generations.take(&health("failures: 100"));
    assert!(Arc::ptr_eq(&members(&patient)[0].vitals, &known));
    assert!(known.is_up(), "other thresholds start from nothing");
    let again = generations.take(&health("failures: 1"));
    wait_until("its checks fail again", || !known.is_up());
    let unchecked = generations.take(&backends);
    assert!(Arc::ptr_eq(&members(&unchecked)[0].vitals, &known) && known.is_up());
    drop((first, checked, patient, again));
}

/// Answers every request with 200, but those for this path with 500 once `broken` is set.
fn breaking(path: &'static str, broken: Arc<std::sync::atomic::AtomicBool>) -> u16 {
    use std::io::{Read, Write};
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for connection in listener.incoming() {
            let mut connection = connection.unwrap();
            let mut head = [0; 2048];
            let length = connection.read(&mut head).unwrap_or(0);
            let hit = head[..length].starts_with(format!("GET {path} ").as_bytes());
            let status = if hit && broken.load(Ordering::Acquire) { "500 Broken" } else { "200 OK" };
            let _ = write!(connection, "HTTP/1.1 {status}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
        }
    });
    port
}

#[test]
fn checks_of_an_old_path_have_no_say_once_there_is_a_new_one() {
    let generations = Generations::new();
    let broken = Arc::new(std::sync::atomic::AtomicBool::new(false));
    let port = breaking("/old", broken.clone());
    // A name, since its old addresses are registered until it would have been looked up again.
    let pool = |path| {
        format!(
            "health: {{ path: {path}, interval: 100ms, failures: 1 }}, \
             backends: [ {{ url: 'http://localhost:{port}' }} ]"
        )
    };
    let of_four = |snapshot: &Snapshot| {
        members(snapshot).into_iter().find(|member| member.address.is_ipv4()).unwrap().vitals.clone()
    };
    let first = generations.take(&pool("/old"));
    let next = generations.take(&pool("/new"));
    assert!(Arc::ptr_eq(&of_four(&first), &of_four(&next)));
    broken.store(true, Ordering::Release);
    let failed = || String::from_utf8(generations.metrics.render()).unwrap().contains(r#"outcome="status""#);
    wait_until("the old path is still checked", failed);
    std::thread::sleep(std::time::Duration::from_millis(200));
    assert!(of_four(&next).is_up());
}

#[test]
fn a_family_that_cannot_be_asked_for_keeps_its_last_addresses() {
    let outside = Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let server = outside.block_on(Server::start());
    let generations = Generations::asking(&server);
    server.has("api.test", 1, &["192.0.2.1", "2001:db8::1"]);
    let pool = "resolve: 1s, backends: [ { url: 'http://api.test/v1' } ]";
    let snapshot = generations.take(pool);
    let now = |snapshot: &Snapshot| -> Vec<String> {
        members(snapshot).iter().map(|member| member.address.ip().to_string()).collect()
    };
    assert_eq!(now(&snapshot), ["192.0.2.1", "2001:db8::1"]);
    let known = members(&snapshot)[0].vitals.clone();

    server.has("api.test", 1, &["2001:db8::2"]);
    server.says("api.test", hickory_resolver::proto::rr::RecordType::A, Say::Failure);
    wait_until("the other family is news", || now(&snapshot).iter().any(|ip| ip == "2001:db8::2"));
    assert_eq!(now(&snapshot), ["192.0.2.1", "2001:db8::2"]);
    assert!(Arc::ptr_eq(&members(&snapshot)[0].vitals, &known));
    let next = generations.take(pool);
    wait_until("the next configuration has asked", || {
        let text = String::from_utf8(generations.metrics.render()).unwrap();
        text.lines().any(|line| line.contains(r#"outcome="partial""#) && !line.ends_with(" 1"))
    });
    assert_eq!(now(&next), ["192.0.2.1", "2001:db8::2"]);

    server.has("api.test", 1, &["2001:db8::3"]);
    wait_until("it has no address of the family any more", || now(&next) == ["2001:db8::3"]);
}

#[test]
fn what_a_name_may_no_longer_lead_to_is_not_used_on() {
    let outside = Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let server = outside.block_on(Server::start());
    let generations = Generations::asking(&server);
    server.has("api.test", 60, &["127.0.0.1", "192.0.2.1"]);
    let pool = "backends: [ { url: 'http://api.test/v1' } ]";
    assert_eq!(members(&generations.take(&format!("{pool}, local_addresses: true"))).len(), 2);
    server.has("api.test", 60, &["127.0.0.1"]);
    let denied = generations.take(pool);
    wait_until("it has been asked", || {
        String::from_utf8(generations.metrics.render()).unwrap().contains(r#"outcome="denied""#)
    });
    let left: Vec<_> = members(&denied).iter().map(|member| member.address.ip().to_string()).collect();
    assert_eq!(left, ["192.0.2.1"]);
}

#[test]
fn a_name_that_leads_nowhere_does_not_keep_the_daemon_from_starting() {
    let generations = Generations::new();
    let snapshot =
        generations.take("backends: [ { url: 'http://nowhere.localhost:1/v1' } ], local_addresses: true");
    // Names under `localhost` always lead to this machine.
    assert_eq!(members(&snapshot).len(), 2);
}
