//! Ten thousand tenants in one configuration, some of them at work within their limits, and one that sends a
//! hundred times what it may: what the others notice of it.

use std::fmt::Write;
use std::net::SocketAddr;
use std::thread;
use std::time::{Duration, Instant};

use sha2::{Digest, Sha256};
use tokio::runtime::Handle;
use tokio::time::sleep;

use crate::gateway::{Gateway, ONE_ALIAS, backends};
use crate::goals::{Goals, Times};
use crate::http::{ask_as, completion};
use crate::load::{Sample, by_the_clock_of, histogram};
use crate::upstream;

const TENANTS: usize = 10_000;
/// So many of them are at work; the flood is one of the others.
const AT_WORK: usize = 200;
const FLOODER: usize = 9_999;
const PER_MINUTE: u32 = 600;
/// All that are at work together: 2.5 each, a quarter of what they may.
const PER_SECOND: u32 = 500;
const FLOOD_PER_SECOND: u32 = PER_MINUTE * 100 / 60;
const LENGTH: Duration = Duration::from_secs(15);
/// What an answer takes.
const WORK: Duration = Duration::from_millis(10);

pub async fn run(upstreams: &Handle, goals: &mut Goals) {
    let addresses = [(); 3].map(|()| {
        upstream::start(upstreams, |mut connection| async move {
            while let Ok(Some(_)) = connection.read().await {
                sleep(WORK).await;
                if connection.write(&completion()).await.is_err() {
                    break;
                }
            }
        })
    });
    let began = Instant::now();
    let gateway =
        Gateway::with("", &format!("{{ main: {{ backends: {} }} }}", backends(&addresses)), &tenants());
    println!(
        "\nflood: {TENANTS} tenants with {PER_MINUTE} requests/min each, {AT_WORK} at work with {PER_SECOND} \
         requests/s together; one floods with {FLOOD_PER_SECOND}/s for 15 s; up after {:.1} s\n",
        began.elapsed().as_secs_f64()
    );
    at_work(gateway.address, Duration::from_secs(3)).await;
    let before = at_work(gateway.address, LENGTH).await;
    let (to, length) = (gateway.address, LENGTH);
    // On a thread of its own: it must not cost the others' clients anything.
    let flooding = thread::spawn(move || flood(to, length));
    let during = at_work(gateway.address, LENGTH).await;
    let flooded = flooding.join().unwrap();
    let after = at_work(gateway.address, LENGTH).await;
    drop(gateway);

    println!("| | requests | what clients got | p50 | p99 | longest |\n|---|---:|---|---:|---:|---:|");
    for (name, samples) in [
        ("others, no flood", &before),
        ("others, flood", &during),
        ("others, no flood again", &after),
        ("the flood", &flooded),
    ] {
        let times = times(samples);
        println!(
            "| {name} | {} | {} | {} | {} | {} |",
            samples.len(),
            histogram(samples),
            times.ms(0.5),
            times.ms(0.99),
            times.ms(1.0)
        );
    }
    let count = |samples: &[Sample], status| samples.iter().filter(|sample| sample.status == status).count();
    let refused = [&before, &during, &after].map(|samples| count(samples, 429)).into_iter().sum::<usize>();
    goals.enter("flood: no other tenant gets a 429", format!("{refused} of them"), refused == 0);
    let failed = during.len() - count(&during, 200);
    goals.enter("flood: all others are served", format!("{failed} not served"), failed == 0);
    let p99 = [&during, &before].map(|samples| times(samples).at(0.99));
    let ratio = |[with, without]: [Duration; 2]| with.as_secs_f64() / without.as_secs_f64();
    let ours = ratio(p99.map(|time| time.saturating_sub(WORK)));
    goals.enter(
        "flood: others' p99 at most 1.2 times that without it",
        format!("{:.2}; without the backend's {} ms {ours:.2}", ratio(p99), WORK.as_millis()),
        ratio(p99) <= 1.2,
    );
    let passed = count(&flooded, 200);
    // The first minute's limit; if a minute begins meanwhile, the past one fades and lets a quarter more in.
    let most = PER_MINUTE as usize * 5 / 4;
    let own = (PER_MINUTE as usize..=most).contains(&passed);
    goals.enter("flood: it gets what it may itself, and no more", format!("{passed} through"), own);
    let told = passed + count(&flooded, 429) == flooded.len();
    goals.enter("flood: it is told so every time", histogram(&flooded), told);
}

async fn at_work(to: SocketAddr, length: Duration) -> Vec<Sample> {
    by_the_clock_of(to, PER_SECOND, length, |number| ask_as(&key(number % AT_WORK), "general", number, false))
        .await
}

fn flood(to: SocketAddr, length: Duration) -> Vec<Sample> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let request = |number| ask_as(&key(FLOODER), "general", number, false);
    runtime.block_on(by_the_clock_of(to, FLOOD_PER_SECOND, length, request))
}

fn key(tenant: usize) -> String {
    format!("bn-tenant-{tenant}")
}

fn tenants() -> String {
    let mut text = String::from("tenants:\n");
    for tenant in 0..TENANTS {
        let digest: String = Sha256::digest(key(tenant)).iter().map(|byte| format!("{byte:02x}")).collect();
        let _ = writeln!(
            text,
            "  tenant{tenant}: {{ keys: {{ web: {{ sha256: {digest}, scopes: [chat] }} }}, \
             limits: {{ requests_per_minute: {PER_MINUTE} }}, models: {ONE_ALIAS} }}"
        );
    }
    text
}

fn times(samples: &[Sample]) -> Times {
    Times::new(samples.iter().map(|sample| sample.took))
}
