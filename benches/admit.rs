//! What limits cost: a whole admission, as one request has it, and the memory of a limit.
//!
//!     cargo bench --bench admit
//!
//! Promises: tenant, key, alias and pool each limit requests, tokens and concurrency; every admission looks
//! at both clocks, takes from all four, asks what is left for the answer's headers, settles with what was
//! really used and gives its slots back; alone and with four threads; medians of rounds that take turns.
//! Never fails by time: it prints whether the goal was met.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a bench that cannot go on should stop"
)]

use std::fs;
use std::hint::black_box;
use std::process::ExitCode;
use std::sync::{Arc, Barrier};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use byname::rules::limits::book::{Book, Charge, Limit, When, Windows};
use byname::rules::limits::period::Today;
use byname::rules::limits::{LimitKind, LimitRules};
use byname::rules::tick::Origin;
use byname::wire::weigh::weigh;

#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

const THREADS: [usize; 2] = [1, 4];
/// One thread, the whole admission, in nanoseconds.
const GOAL: f64 = 1000.0;
/// How many limits are made to see what one weighs.
const MANY: usize = 100_000;

/// Wide enough that nobody is ever refused.
const RULES: LimitRules = LimitRules {
    requests_per_minute: Some(1_000_000_000_000),
    tokens_per_minute: Some(1_000_000_000_000),
    concurrent: Some(1_000_000),
    tokens_per_day: None,
    tokens_per_month: None,
};
const LOCAL: Windows = Windows::Ours { instances: 1 };
/// What a request is taken to cost, and what it turns out to.
const ESTIMATE: u64 = 700;
const USED: u64 = 450;

/// Where one request's limits are.
#[derive(Clone)]
struct Caller {
    book: Arc<Book>,
    own: [Limit; 3],
    gate: (Arc<Book>, Limit),
}

/// How much of an admission is done; each does what those before it do.
#[derive(Clone, Copy, PartialEq, PartialOrd)]
enum Upto {
    Clocks,
    Taken,
    Told,
    Settled,
}

/// What is measured: who comes, in how many threads.
struct Case {
    name: &'static str,
    upto: Upto,
    /// One for each thread.
    callers: Vec<Caller>,
    /// Nanoseconds an admission, one for each round.
    taken: Vec<f64>,
}

fn main() -> ExitCode {
    // Without `--bench` cargo is testing, and one short look is enough.
    let benching = std::env::args().any(|word| word == "--bench");
    let (rounds, length) = if benching { (9, 100) } else { (1, 2) };
    // First, while nothing else has been allocated.
    println!("{MANY} limits, resident bytes a limit\n");
    println!("| | bytes |\n|---|---:|");
    println!("| each in a book of its own | {:.0} |", memory(MANY, 1));
    println!("| three in a book: a tenant, its key, its alias | {:.0} |", memory(MANY / 3, 3));
    println!("| all in one book | {:.0} |", memory(1, MANY));
    println!("\n`Limit` itself: {} bytes, in each of them\n", size_of::<Limit>());

    let mut cases = cases();
    for _ in 0..rounds {
        for case in &mut cases {
            let taken = measure(case, Duration::from_millis(length));
            case.taken.push(taken);
        }
    }
    println!(
        "ns an admission, median of {rounds} rounds of {length} ms; each of several threads waits so long\n"
    );
    println!("| | 1 thread | 4 threads |\n|---|---:|---:|");
    let mut whole = 0.0;
    for pair in cases.chunks_mut(THREADS.len()) {
        let [alone, together] = pair else { continue };
        let (one, four) = (median(&mut alone.taken), median(&mut together.taken));
        println!("| {} | {one:.0} | {four:.0} |", alone.name);
        if alone.upto == Upto::Settled {
            whole = f64::max(whole, one);
        }
    }
    println!("\nbeside it, once a request where tokens are limited: the weighing of a prompt\n");
    println!("| prompt | ns |\n|---|---:|");
    for (name, text) in [
        ("English", "How much of the month's budget is left? "),
        ("日本語", "今月の予算はあとどのくらい残っていますか。"),
    ] {
        for size in [1_000, 100_000] {
            let taken = weighing(text, size, rounds, Duration::from_millis(length));
            println!("| {name}, {} KB | {taken:.0} |", size / 1_000);
        }
    }
    let word = if whole < GOAL { "met" } else { "missed" };
    println!("\ngoal: the whole admission, one thread, below {GOAL:.0} ns: {whole:.0} ns, {word}");
    ExitCode::SUCCESS
}

fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    let mut enter = |name, upto, callers: &dyn Fn(usize) -> Vec<Caller>| {
        for threads in THREADS {
            cases.push(Case { name, upto, callers: callers(threads), taken: Vec::new() });
        }
    };
    let same = |threads: usize| vec![caller("acme", &gate("p")); threads];
    enter("of it: both clocks and the day's date", Upto::Clocks, &same);
    enter("… and taken from all four, and given back untouched", Upto::Taken, &same);
    enter("… and told what is left", Upto::Told, &same);
    enter("whole, one tenant", Upto::Settled, &same);
    enter("whole, a tenant for each thread, one pool", Upto::Settled, &|threads| {
        let gate = gate("p");
        (0..threads).map(|n| caller(&format!("tenant{n}"), &gate)).collect()
    });
    enter("whole, a tenant and a pool for each thread", Upto::Settled, &|threads| {
        (0..threads).map(|n| caller(&format!("tenant{n}"), &gate(&format!("p{n}")))).collect()
    });
    cases
}

fn gate(name: &str) -> (Arc<Book>, Limit) {
    let book = Arc::new(Book::default());
    let limit = book.limit(&format!("p/{name}"), RULES);
    (book, limit)
}

fn caller(tenant: &str, gate: &(Arc<Book>, Limit)) -> Caller {
    let book = Arc::new(Book::default());
    let own = names(tenant).map(|name| book.limit(&name, RULES));
    Caller { book, own, gate: gate.clone() }
}

/// A tenant, its key and its alias, as they are called.
fn names(tenant: &str) -> [String; 3] {
    [format!("t/{tenant}"), format!("k/{tenant}/web"), format!("a/{tenant}/general")]
}

/// Nanoseconds that a thread waits for one admission, while so many of them ask. Checks that none is left inside.
fn measure(case: &Case, length: Duration) -> f64 {
    let start = Barrier::new(case.callers.len());
    let each: Vec<f64> = thread::scope(|scope| {
        let workers: Vec<_> = case
            .callers
            .iter()
            .map(|caller| {
                scope.spawn(|| {
                    start.wait();
                    repeat(length, || admit(caller, case.upto))
                })
            })
            .collect();
        workers.into_iter().map(|worker| worker.join().unwrap()).collect()
    });
    for caller in &case.callers {
        let used = |limit| caller.book.used(limit, LimitKind::Concurrent, now());
        assert!(caller.own.iter().all(|limit| used(limit) == 0), "an admission that is over still counts");
    }
    each.iter().sum::<f64>() / each.len() as f64
}

fn admit(caller: &Caller, upto: Upto) {
    let when = now();
    if upto < Upto::Taken {
        black_box(when);
        return;
    }
    let limits = caller.own.to_vec();
    let own = caller.book.reserve(limits.clone(), ESTIMATE, when, LOCAL, 1);
    let (book, limit) = &caller.gate;
    let pool = book.reserve(vec![limit.clone()], ESTIMATE, when, LOCAL, 1);
    if upto >= Upto::Told {
        black_box(caller.book.standing(&limits, when));
    }
    for mut taken in [own, pool].map(|taken| taken.map_err(|full| full.kind).unwrap()) {
        if upto >= Upto::Settled {
            taken.settle(Charge::Tokens(USED), when);
        }
        drop(black_box(taken));
    }
}

/// The time, as a request needs it.
fn now() -> When {
    thread_local! {
        static ORIGIN: Origin = Origin::new(Instant::now() - Duration::from_secs(3600));
    }
    let tick = ORIGIN.with(|origin| origin.tick(Instant::now()));
    When { now: tick, today: Today::at(SystemTime::now()) }
}

fn weighing(text: &str, size: usize, rounds: usize, length: Duration) -> f64 {
    let prompt: String = text.chars().cycle().take(size * text.chars().count() / text.len()).collect();
    let body = format!(r#"{{"model":"general","messages":[{{"role":"user","content":"{prompt}"}}]}}"#);
    let weigh = || {
        black_box(weigh(black_box(body.as_bytes())));
    };
    median(&mut (0..rounds).map(|_| repeat(length, weigh)).collect::<Vec<_>>())
}

/// Nanoseconds for one of these.
fn repeat(length: Duration, what: impl Fn()) -> f64 {
    /// So many between two looks at the clock.
    const BATCH: u32 = 100;

    let began = Instant::now();
    let mut done = 0;
    while began.elapsed() < length {
        (0..BATCH).for_each(|_| what());
        done += BATCH;
    }
    began.elapsed().as_nanos() as f64 / f64::from(done)
}

/// What one limit takes in so many books of so many limits, in bytes that are resident: its counters, its
/// name, its place in the book, its part of the book, and what the allocator adds.
fn memory(books: usize, limits: usize) -> f64 {
    let before = resident();
    let made: Vec<(Arc<Book>, Vec<Limit>)> = (0..books)
        .map(|tenant| {
            let book = Arc::new(Book::default());
            let limit = |n| book.limit(&format!("k/tenant{tenant}/key{n}"), RULES);
            let limits = (0..limits).map(limit).collect();
            (book, limits)
        })
        .collect();
    let taken = resident() - before;
    // Kept on purpose: what is given back could be taken again by the next, uncounted.
    std::mem::forget(made);
    taken / (books * limits) as f64
}

fn resident() -> f64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches("kB").trim().parse::<f64>().unwrap() * 1024.0
}

fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
