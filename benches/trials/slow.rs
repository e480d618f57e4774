//! One backend of three takes ten times as long as the others: what that costs the slowest one in a hundred
//! clients, beside a pool where nobody is slow.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::time::sleep;

use crate::gateway::{Gateway, ONE_ALIAS, backends};
use crate::goals::{Goals, Times};
use crate::http::completion;
use crate::load::by_the_clock;
use crate::upstream;

const PER_SECOND: u32 = 300;
const WARM_UP: Duration = Duration::from_secs(10);
const LENGTH: Duration = Duration::from_secs(20);
const USUAL: u64 = 20;
const SLOW: u64 = 200;

struct Found {
    times: Times,
    failed: usize,
    /// Of the requests, the part that the last backend got.
    share: f64,
}

pub async fn run(upstreams: &Handle, goals: &mut Goals) {
    println!(
        "\nslow: 3 backends, {USUAL} ms each, or the third {SLOW} ms; {PER_SECOND} requests/s for 20 s after 10 s\n"
    );
    println!(
        "| balance | pool | p50 | p99 | to the third backend | not 200 |\n|---|---|---:|---:|---:|---:|"
    );
    for balance in ["round_robin", "least_inflight", "p2c_ewma"] {
        let healthy = measure(upstreams, balance, USUAL).await;
        let slow = measure(upstreams, balance, SLOW).await;
        for (name, found) in [("healthy", &healthy), ("one slow", &slow)] {
            println!(
                "| {balance} | {name} | {} | {} | {:.2} % | {} |",
                found.times.ms(0.5),
                found.times.ms(0.99),
                found.share * 100.0,
                found.failed
            );
        }
        let ratio = slow.times.at(0.99).as_secs_f64() / healthy.times.at(0.99).as_secs_f64();
        if balance != "round_robin" {
            goals.enter(
                format!("slow: {balance} p99 at most 1.5 times the healthy pool's"),
                format!("{ratio:.2}"),
                ratio <= 1.5,
            );
        }
        let failed = healthy.failed + slow.failed;
        goals.enter(format!("slow: {balance} serves everyone"), format!("{failed} not served"), failed == 0);
    }
}

async fn measure(upstreams: &Handle, balance: &str, third: u64) -> Found {
    let counts: [Arc<AtomicUsize>; 3] = Default::default();
    let mut addresses = Vec::new();
    for (count, delay) in counts.iter().zip([USUAL, USUAL, third]) {
        let count = Arc::clone(count);
        addresses.push(upstream::start(upstreams, move |mut connection| {
            let count = Arc::clone(&count);
            async move {
                while let Ok(Some(_)) = connection.read().await {
                    count.fetch_add(1, Relaxed);
                    sleep(Duration::from_millis(delay)).await;
                    if connection.write(&completion()).await.is_err() {
                        break;
                    }
                }
            }
        }));
    }
    let pools = format!("{{ main: {{ balance: {balance}, backends: {} }} }}", backends(&addresses));
    let gateway = Gateway::start(&pools, ONE_ALIAS);
    by_the_clock(gateway.address, PER_SECOND, WARM_UP).await;
    let before = counts.each_ref().map(|count| count.load(Relaxed));
    let samples = by_the_clock(gateway.address, PER_SECOND, LENGTH).await;
    let got: Vec<usize> =
        counts.iter().zip(before).map(|(count, before)| count.load(Relaxed) - before).collect();
    Found {
        failed: samples.iter().filter(|sample| sample.status != 200).count(),
        times: Times::new(samples.iter().map(|sample| sample.took)),
        share: got[2] as f64 / got.iter().sum::<usize>().max(1) as f64,
    }
}
