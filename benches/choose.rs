//! What one selection costs: `Pool::pick`, and the attempt that it gives dropped again.
//!
//!     cargo bench --bench choose
//!
//! Promises: every way to balance, small and large pools, healthy ones and ones with a third of the breakers
//! open, alone and with four threads on the same pool; medians of rounds that take turns. Never fails by
//! time: it prints whether the goal was met.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a bench that cannot go on should stop"
)]

use std::hint::black_box;
use std::process::ExitCode;
use std::sync::{Arc, Barrier};
use std::thread;
use std::time::{Duration, Instant};

use byname::metrics::Metrics;
use byname::names::{BackendName, PoolName};
use byname::rules::balance::{Balance, Turns, Wish};
use byname::rules::breaker::{BreakerRules, Permit, Spare};
use byname::rules::pools::{Backend, Mood, Place, Pool, PoolParts};
use byname::rules::reach::Reach;
use byname::rules::retry::RetryRules;
use byname::rules::tick::Tick;
use byname::rules::timeouts::Timeouts;
use byname::rules::vitals::Kind;
use byname::wire::splice::Forward;

#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

const BALANCES: [(&str, Balance); 3] = [
    ("round_robin", Balance::RoundRobin),
    ("least_inflight", Balance::LeastInflight),
    ("p2c_ewma", Balance::P2cEwma),
];
const SIZES: [usize; 3] = [3, 10, 100];
const THREADS: [usize; 2] = [1, 4];
/// One thread, the largest pool, in nanoseconds.
const GOAL: f64 = 1000.0;
/// A breaker that opens here stays open for all of the bench.
const HOUR: Duration = Duration::from_secs(3600);

const BREAKER: BreakerRules =
    BreakerRules { failures: 1, error_rate: 100, open: HOUR, max_open: HOUR, slow_start: Duration::ZERO };

/// What is measured: a pool in some state, asked by some threads.
struct Case {
    balance: &'static str,
    size: usize,
    state: &'static str,
    threads: usize,
    pool: Arc<Pool>,
    /// Nanoseconds a selection, one for each round.
    taken: Vec<f64>,
}

fn main() -> ExitCode {
    // Without `--bench` cargo is testing, and one short look is enough.
    let benching = std::env::args().any(|word| word == "--bench");
    let (rounds, length) = if benching { (9, 50) } else { (1, 2) };
    let mut cases = cases();
    for _ in 0..rounds {
        for case in &mut cases {
            let taken = measure(&case.pool, case.threads, Duration::from_millis(length));
            case.taken.push(taken);
        }
    }
    println!(
        "ns a selection, median of {rounds} rounds of {length} ms; each of several threads waits so long\n"
    );
    println!("| balance | backends | state | 1 thread | 4 threads |\n|---|---:|---|---:|---:|");
    for pair in cases.chunks_mut(THREADS.len()) {
        let [alone, together] = pair else { continue };
        let Case { balance, size, state, .. } = alone;
        println!(
            "| {balance} | {size} | {state} | {:.0} | {:.0} |",
            median(&mut alone.taken),
            median(&mut together.taken)
        );
    }
    println!();
    for (name, _) in BALANCES {
        let largest = |case: &&mut Case| case.balance == name && case.size == 100 && case.threads == 1;
        let worst = cases.iter_mut().filter(largest).map(|case| median(&mut case.taken)).fold(0.0, f64::max);
        let word = if worst < GOAL { "met" } else { "missed" };
        println!("goal: {name} at 100 backends, one thread, below {GOAL:.0} ns: {worst:.0} ns, {word}");
    }
    ExitCode::SUCCESS
}

fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for (name, balance) in BALANCES {
        for size in SIZES {
            for state in ["healthy", "a third out"] {
                let pool = pool(balance, size);
                if state != "healthy" {
                    open_a_third(&pool);
                }
                for threads in THREADS {
                    let pool = pool.clone();
                    cases.push(Case { balance: name, size, state, threads, pool, taken: Vec::new() });
                }
            }
        }
    }
    cases
}

/// Nanoseconds that a thread waits for one selection, while so many of them ask. Checks that none is left in flight.
fn measure(pool: &Arc<Pool>, threads: usize, length: Duration) -> f64 {
    let start = Barrier::new(threads);
    let each: Vec<f64> = thread::scope(|scope| {
        let workers: Vec<_> = (0..threads)
            .map(|_| {
                scope.spawn(|| {
                    start.wait();
                    ask_for(pool, length)
                })
            })
            .collect();
        workers.into_iter().map(|worker| worker.join().unwrap()).collect()
    });
    let in_flight: u32 = pool.members().iter().map(|member| member.vitals.in_flight()).sum();
    assert_eq!(in_flight, 0, "an attempt that is over still counts");
    each.iter().sum::<f64>() / each.len() as f64
}

fn ask_for(pool: &Arc<Pool>, length: Duration) -> f64 {
    /// Selections between two looks at the clock.
    const BATCH: u64 = 200;

    let began = Instant::now();
    let mut asked = 0;
    while began.elapsed() < length {
        for _ in 0..BATCH {
            asked += 1;
            // The gateway has the time at hand when it chooses; here a microsecond goes by with each.
            let now = START.plus(Duration::from_micros(asked));
            drop(black_box(
                pool.pick(Wish { now, kind: Kind::Stream, turns: Turns::Take }, Mood::Calm, |_| true)
                    .unwrap(),
            ));
        }
    }
    began.elapsed().as_nanos() as f64 / asked as f64
}

const START: Tick = Tick::new(1_000_000_000_000);

fn pool(balance: Balance, size: usize) -> Arc<Pool> {
    let metrics = Metrics::new().unwrap();
    let second = Duration::from_secs(1);
    let backends = (0..size).map(|n| Backend {
        name: BackendName::new(format!("b{n}")),
        weight: 1,
        reach: Reach { tls: None, h2: false, group: 0 },
        credential: Arc::default(),
        metrics: metrics.backend("p", &format!("b{n}")),
    });
    let pool = Arc::new(Pool::new(PoolParts {
        name: PoolName::new("p"),
        backends: backends.collect(),
        balance,
        breaker: BREAKER,
        timeouts: Timeouts { connect: second, first_byte: second, idle: second, total: second },
        retry: RetryRules { attempts: 3, resend: 1, budget: 20, on_timeout: true },
        forward: Forward::default(),
        gate: None,
        passing: byname::rules::trace::Passing::Kept,
        provider: "openai",
    }));
    let places: Vec<Place> = (0..size)
        .map(|backend| {
            let host = u16::try_from(backend + 1).unwrap();
            Place { backend, address: ([127, 0, 0, 1], host).into(), vitals: Arc::default() }
        })
        .collect();
    pool.settle(&places);
    for (n, member) in pool.members().iter().enumerate() {
        // Known latencies, all alike but for some noise.
        let time = Duration::from_micros(20_000 + (n as u64 * 7919) % 1000);
        member.vitals.speed(Kind::Stream).latency.observe(time, START);
    }
    pool
}

fn open_a_third(pool: &Pool) {
    for member in pool.members().iter().step_by(3) {
        member.vitals.breaker.bad(Permit::Pass, &BREAKER, START, || Spare::Yes);
    }
}

fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
