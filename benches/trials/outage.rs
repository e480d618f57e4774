//! All three backends of a pool answer 500 for half a minute: how often they are asked, how soon clients are
//! told, and how soon all is well again.

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use tokio::runtime::Handle;
use tokio::time::sleep;

use crate::gateway::{Gateway, ONE_ALIAS, backends};
use crate::goals::{Goals, Times};
use crate::http::{completion, failure};
use crate::load::{Sample, by_the_clock, histogram};
use crate::upstream;

const PER_SECOND: u32 = 500;
const GOOD: Duration = Duration::from_secs(10);
const BAD: Duration = Duration::from_secs(30);
const AFTER: Duration = Duration::from_secs(20);
/// What a good answer takes. A bad one comes at once.
const WORK: Duration = Duration::from_millis(10);
/// By then every breaker has opened for the first time.
const OPENED: Duration = Duration::from_secs(1);

/// What the backends saw: when they answered, and whether well.
#[derive(Default)]
struct Scene {
    broken: AtomicBool,
    answers: Mutex<Vec<(Instant, bool)>>,
}

pub async fn run(upstreams: &Handle, goals: &mut Goals) {
    let scene = Arc::new(Scene::default());
    let addresses = [(); 3].map(|()| {
        let scene = Arc::clone(&scene);
        upstream::start(upstreams, move |mut connection| {
            let scene = Arc::clone(&scene);
            async move {
                while let Ok(Some(_)) = connection.read().await {
                    let good = !scene.broken.load(Relaxed);
                    if good {
                        sleep(WORK).await;
                    }
                    scene.answers.lock().unwrap().push((Instant::now(), good));
                    let answer = if good { completion() } else { failure("500 Internal Server Error") };
                    if connection.write(&answer).await.is_err() {
                        break;
                    }
                }
            }
        })
    });
    let gateway = Gateway::start(&format!("{{ main: {{ backends: {} }} }}", backends(&addresses)), ONE_ALIAS);
    let start = Instant::now();
    let (broke, mended) = (start + GOOD, start + GOOD + BAD);
    let change = async {
        sleep(GOOD).await;
        scene.broken.store(true, Relaxed);
        sleep(BAD).await;
        scene.broken.store(false, Relaxed);
    };
    let (samples, ()) = tokio::join!(by_the_clock(gateway.address, PER_SECOND, GOOD + BAD + AFTER), change);
    let denied = gateway.sum("byname_retry_budget_exhausted_total", |_| true).await;
    drop(gateway);
    let answers = std::mem::take(&mut *scene.answers.lock().unwrap());
    report(&samples, &answers, (broke, mended), denied, goals);
}

fn report(
    samples: &[Sample],
    answers: &[(Instant, bool)],
    (broke, mended): (Instant, Instant),
    denied: f64,
    goals: &mut Goals,
) {
    let end = mended + AFTER;
    println!(
        "\noutage: 3 backends, {PER_SECOND} requests/s; good for 10 s, all 500 for 30 s, good for 20 s\n"
    );
    println!(
        "| | requests | what clients got | attempts a request | 502: p50 | p99 |\n|---|---:|---|---:|---:|---:|"
    );
    let rows = [
        ("good", broke - GOOD, broke),
        ("outage, first second", broke, broke + OPENED),
        ("outage, breakers open", broke + OPENED, mended),
        ("outage, all of it", broke, mended),
        ("good again", mended, end),
    ];
    for (name, from, to) in rows {
        let (asked, refused) = (sent(samples, from, to), refused(samples, from, to));
        println!(
            "| {name} | {} | {} | {:.3} | {} | {} |",
            asked.len(),
            histogram(&asked),
            attempts(samples, answers, from, to),
            refused.ms(0.5),
            refused.ms(0.99)
        );
    }
    println!("\nretries that the budget denied: {denied}");

    let ratio = attempts(samples, answers, broke, mended);
    goals.enter("outage: at most 1.2 attempts a request", format!("{ratio:.3}"), ratio <= 1.2);
    let refused = refused(samples, broke + OPENED, mended);
    let median = refused.at(0.5);
    goals.enter("outage: median of a 502 below 50 ms", refused.ms(0.5), median < Duration::from_millis(50));
    let none = samples.iter().filter(|sample| sample.status == 0).count();
    goals.enter("outage: every client gets an answer", format!("{none} without one"), none == 0);

    let first = answers.iter().find(|(at, good)| *good && *at >= mended).map(|(at, _)| *at);
    let served = well_from(samples, mended, end);
    let took = first.zip(served).map(|(first, served)| served.saturating_duration_since(first));
    let shown =
        |time: Option<Duration>| time.map_or("never".into(), |time| format!("{:.1} s", time.as_secs_f64()));
    println!(
        "after the end of the outage: first good answer after {}, 99 % of clients served {} later",
        shown(first.map(|first| first - mended)),
        shown(took)
    );
    goals.enter(
        "outage: 99 % served within 10 s of the first good answer",
        shown(took),
        took.is_some_and(|took| took <= Duration::from_secs(10)),
    );
}

fn sent(samples: &[Sample], from: Instant, to: Instant) -> Vec<Sample> {
    samples.iter().filter(|sample| (from..to).contains(&sample.sent)).copied().collect()
}

fn refused(samples: &[Sample], from: Instant, to: Instant) -> Times {
    let refused = sent(samples, from, to).into_iter().filter(|sample| sample.status == 502);
    Times::new(refused.map(|sample| sample.took))
}

fn attempts(samples: &[Sample], answers: &[(Instant, bool)], from: Instant, to: Instant) -> f64 {
    let made = answers.iter().filter(|(at, _)| (from..to).contains(at)).count();
    made as f64 / sent(samples, from, to).len().max(1) as f64
}

/// The first moment from which in every second 99 % of those who asked were served.
fn well_from(samples: &[Sample], from: Instant, end: Instant) -> Option<Instant> {
    const STEP: Duration = Duration::from_millis(100);
    const SECOND: Duration = Duration::from_secs(1);

    let steps = (end - from - SECOND).as_millis() / STEP.as_millis();
    let windows = (0..=u32::try_from(steps).ok()?).map(|step| from + STEP * step);
    let mut well = None;
    for window in windows {
        let asked = sent(samples, window, window + SECOND);
        let good = asked.iter().filter(|sample| sample.status == 200).count();
        if good * 100 < asked.len() * 99 {
            well = None;
        } else {
            well = well.or(Some(window));
        }
    }
    well
}
