//! A hundred thousand requests whose clients leave whenever they like, from backends that fail now and then:
//! in the end nobody is inside, and every counter holds exactly what was charged.

mod backend;
mod client;
mod ledger;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::{Duration, Instant};

use tokio::runtime::Handle;
use tokio::task::JoinSet;
use tokio::time::sleep;

use crate::gateway::{Gateway, backends};
use crate::goals::Goals;
use crate::nonce::crowd::dice;
use crate::upstream;
use client::Seen;

const REQUESTS: usize = 100_000;
const CONNECTIONS: usize = 200;
/// So wide that only concurrency ever refuses, and that what is left still is a whole number as a float.
const REQUESTS_PER_MINUTE: u64 = 1_000_000_000;
const TOKENS: u64 = 1_000_000_000_000;
/// Of the tenant, its key, its aliases `line` and `door`, and its pools `main` and `spare`.
const CONCURRENT: [(&str, u64); 6] =
    [("tenant", 90), ("key", 80), ("line", 60), ("door", 40), ("main", 60), ("spare", 60)];
/// The counters of a minute are exact until the first minute of the gateway is over.
const MINUTE: Duration = Duration::from_secs(59);

pub async fn run(upstreams: &Handle, goals: &mut Goals) {
    let addresses = [(); 4].map(|()| upstream::start(upstreams, backend::treat));
    let state = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join("trials-many");
    let _ = std::fs::remove_dir_all(&state);
    std::fs::create_dir_all(&state).unwrap();
    let server = format!(", state_dir: \"{}\"", state.display());
    let began = Instant::now();
    let gateway = Gateway::with(&server, &pools(&addresses), &tenants());
    let next = Arc::new(AtomicUsize::new(0));
    let mut clients = JoinSet::new();
    for _ in 0..CONNECTIONS {
        let (next, to) = (Arc::clone(&next), gateway.address);
        clients.spawn(async move {
            let mut seen = Seen::default();
            let mut kept = None;
            while let Some(number) = Some(next.fetch_add(1, Relaxed)).filter(|number| *number < REQUESTS) {
                kept = client::visit(to, number, kept, &mut seen).await;
            }
            seen
        });
    }
    let mut seen = Seen::default();
    clients.join_all().await.iter().for_each(|one| seen.add(one));
    let took = began.elapsed();
    let emptied = emptied(&gateway).await;
    let left = ledger::Left::of(&gateway).await;
    let in_time = began.elapsed() < MINUTE;
    // The log's writer lets lines gather for a moment.
    sleep(Duration::from_millis(500)).await;
    let charged = ledger::Charged::by(&gateway.log());
    let dropped = gateway.sum("byname_log_lines_dropped_total", |_| true).await;
    drop(gateway);
    let _ = std::fs::remove_dir_all(&state);

    println!(
        "\nmany: {REQUESTS} requests over {CONNECTIONS} connections in {:.1} s; clients leave at random moments, \
         backends fail one in eight\n",
        took.as_secs_f64()
    );
    seen.print();
    charged.print();
    let shown = emptied.map_or("never".into(), |time| format!("after {:.0} ms", time.as_secs_f64() * 1e3));
    goals.enter("many: nobody in flight in the end", shown, emptied.is_some());
    goals.enter("many: no line of the log is missing", format!("{dropped} dropped"), dropped == 0.0);
    left.judge(&charged, in_time, goals);
}

/// How long after the last client has gone everything is back; nothing if it is not within ten seconds.
async fn emptied(gateway: &Gateway) -> Option<Duration> {
    let began = Instant::now();
    while began.elapsed() < Duration::from_secs(10) {
        let serving = gateway.sum("byname_serving", |_| true).await;
        let in_flight = gateway.sum("byname_in_flight", |_| true).await;
        let upstream = gateway.sum("byname_upstream_in_flight", |_| true).await;
        let slots = ledger::slots_taken(gateway).await;
        if serving == 0.0 && in_flight == 0.0 && upstream == 0.0 && slots == 0.0 {
            return Some(began.elapsed());
        }
        sleep(Duration::from_millis(20)).await;
    }
    None
}

fn limits(of: &str, more: &str) -> String {
    let (_, concurrent) = CONCURRENT.iter().find(|(name, _)| *name == of).unwrap();
    format!(
        "{{ requests_per_minute: {REQUESTS_PER_MINUTE}, tokens_per_minute: {TOKENS}, concurrent: {concurrent}{more} }}"
    )
}

fn pools(addresses: &[std::net::SocketAddr; 4]) -> String {
    // Nobody is left alone for failing: that would keep requests from what is tried here.
    let more = "breaker: { failures: 1000, error_rate: 100% }, retry: { budget: 100% }";
    let pool = |name, addresses| {
        format!("{{ limits: {}, {more}, backends: {} }}", limits(name, ""), backends(addresses))
    };
    format!("{{ main: {}, spare: {} }}", pool("main", &addresses[..2]), pool("spare", &addresses[2..]))
}

fn tenants() -> String {
    // The digest is that of the key `bn-bench`.
    let digest = "028a6d4d5bbdacf74deb98f0de238095909167610ae7612fe4e5a8a323bdeaeb";
    let budgets = format!(", tokens_per_day: {TOKENS}, tokens_per_month: {TOKENS}");
    let routes = "routes: [ { pool: main, model: m }, { pool: spare, model: m } ]";
    format!(
        "tenants:\n  acme:\n    keys: {{ web: {{ sha256: {digest}, scopes: [chat], limits: {} }} }}\n    \
         limits: {}\n    models:\n      line: {{ {routes}, limits: {}, queue: {{ wait: 500ms, depth: 100 }} }}\n      \
         door: {{ {routes}, limits: {} }}\n",
        limits("key", &budgets),
        limits("tenant", &budgets),
        limits("line", ""),
        limits("door", "")
    )
}
