//! A new configuration leaves a backend as it was, if it leaves it as it was.

use super::*;
use crate::config::snapshot::Snapshot;
use crate::config::{self, Source, plan::Plan};
use crate::daemon::assemble::assemble;
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
    fleet: Arc<Fleet>,
    metrics: Metrics,
}

impl Generations {
    fn new() -> Self {
        Self { fleet: Arc::new(Fleet::new(&[]).unwrap()), metrics: Metrics::new().unwrap() }
    }

    fn take(&self, pool: &str) -> Snapshot {
        assemble(&plan(pool), &self.metrics, &self.fleet).unwrap_or_else(|bad| panic!("{bad}"))
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
    assert!(assemble(&bad, &generations.metrics, &generations.fleet).is_err());
    let kept = generations.fleet.kept(&PoolName::new("p"), None);
    assert!(kept.is_current(1));
    assert_eq!(members(&first).len(), 1);
}

#[test]
fn a_name_that_leads_nowhere_does_not_keep_the_daemon_from_starting() {
    let generations = Generations::new();
    let snapshot =
        generations.take("backends: [ { url: 'http://nowhere.localhost:1/v1' } ], local_addresses: true");
    // Names under `localhost` always lead to this machine.
    assert_eq!(members(&snapshot).len(), 2);
}
