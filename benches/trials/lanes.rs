//! What it costs that a kept HTTP/1.1 connection serves one tenant: connections at the backend, and how many requests
//! had to make one, for one tenant and for many quiet ones that ask as often together. The last of them are more than
//! the gateway keeps connections for.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use sha2::{Digest, Sha256};
use tokio::runtime::Handle;
use tokio::time::sleep;

use crate::gateway::{Gateway, ONE_ALIAS, backends};
use crate::goals::{Goals, Times};
use crate::http::{Connection, ask_as, completion};
use crate::load::by_the_clock_of;
use crate::upstream;

/// Requests a second, of all tenants together.
const RATE: u32 = 200;
/// How long a backend takes for one.
const WORK: Duration = Duration::from_millis(500);
/// Longer than a connection is kept idle, so that what is seen then goes on for ever.
const WARM: Duration = Duration::from_secs(50);
const LOOK: Duration = Duration::from_secs(20);

/// What the backend saw.
#[derive(Default)]
struct Seen {
    made: AtomicUsize,
    open: AtomicUsize,
}

/// How many tenants there are, and what share of requests may make a connection; none where that is only told.
const CASES: [(usize, Option<f64>); 4] = [(1, Some(0.01)), (200, Some(0.02)), (2_000, None), (10_000, None)];

pub async fn run(upstreams: &Handle, goals: &mut Goals) {
    println!(
        "\nlanes: {RATE} requests a second for {} s after {} s, each of a tenant by chance; one backend that takes {} ms\n",
        LOOK.as_secs(),
        WARM.as_secs(),
        WORK.as_millis()
    );
    println!(
        "| tenants | each asks | connections open | requests that made one | median | p99 | gateway's memory |\n|---:|---:|---:|---:|---:|---:|---:|"
    );
    for (tenants, most) in CASES {
        let seen = Arc::<Seen>::default();
        let shared = Arc::clone(&seen);
        let address = upstream::start(upstreams, move |connection| serve(connection, Arc::clone(&shared)));
        let pools = format!("{{ main: {{ backends: {} }} }}", backends(&[address]));
        let gateway = Gateway::with("", &pools, &configured(tenants));
        let request = |number: usize| ask_as(&key(chance(number) % tenants), "general", number, false);
        by_the_clock_of(gateway.address, RATE, WARM, request).await;
        let before = seen.made.load(Relaxed);
        let samples =
            by_the_clock_of(gateway.address, RATE, LOOK, |number| request(number + 1_000_000)).await;
        let (made, open) = (seen.made.load(Relaxed) - before, seen.open.load(Relaxed));
        let good = samples.iter().filter(|sample| sample.status == 200).count();
        let share = made as f64 / samples.len() as f64;
        let times = Times::new(samples.iter().map(|sample| sample.took));
        let memory = gateway.sum("process_resident_memory_bytes", |_| true).await / f64::from(1 << 20);
        println!(
            "| {tenants} | every {} s | {open} | {:.1} % | {} | {} | {memory:.0} MiB |",
            tenants as f64 / f64::from(RATE),
            share * 100.0,
            times.ms(0.5),
            times.ms(0.99)
        );
        goals.enter(
            format!("lanes, {tenants} tenants: all answered"),
            format!("{good}"),
            good == samples.len(),
        );
        if let Some(most) = most {
            let what = format!("lanes, {tenants} tenants: at most {} % of requests connect", most * 100.0);
            goals.enter(what, format!("{:.1} %", share * 100.0), share <= most);
        }
    }
}

async fn serve(mut connection: Connection, seen: Arc<Seen>) {
    seen.made.fetch_add(1, Relaxed);
    seen.open.fetch_add(1, Relaxed);
    while let Ok(Some(_)) = connection.read().await {
        sleep(WORK).await;
        if connection.write(&completion()).await.is_err() {
            break;
        }
    }
    seen.open.fetch_sub(1, Relaxed);
}

fn key(tenant: usize) -> String {
    format!("bn-lane-{tenant}")
}

fn configured(tenants: usize) -> String {
    let one = |tenant: usize| {
        let digest: String = Sha256::digest(key(tenant)).iter().map(|byte| format!("{byte:02x}")).collect();
        format!("  t{tenant}: {{ keys: {{ web: {{ sha256: \"{digest}\" }} }}, models: {ONE_ALIAS} }}\n")
    };
    format!("tenants:\n{}", (0..tenants).map(one).collect::<String>())
}

/// Spreads numbers so that they look like chance (splitmix64).
fn chance(number: usize) -> usize {
    let mut mixed = (number as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    ((mixed ^ (mixed >> 31)) >> 1) as usize
}
