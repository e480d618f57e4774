//! What a row is, how it is run, and how all of them are told.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use super::scene::{Other, Scene, Via, Watch};
use crate::kit::config::Gateway;

/// How many cases run at once; each has a process of its own.
const AT_ONCE: usize = 4;

/// An abuse and what must come of it.
pub struct Case {
    pub id: &'static str,
    pub what: &'static str,
    expected: String,
    /// How much memory the process may add, KiB.
    growth: u64,
    change: fn(Gateway) -> Gateway,
    test: Box<dyn Fn(&mut Scene) -> String + Send + Sync>,
    end: AtTheEnd,
    via: Via,
}

/// What is left when the case is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum AtTheEnd {
    /// A gateway that serves others, and has served them all the while.
    Serves,
    /// Nothing: the case ends the process.
    IsGone,
}

/// An abuse that is not run, and why.
pub struct NotHere {
    pub id: &'static str,
    pub why: &'static str,
}

/// A line of the table.
#[derive(Debug, Clone, Default)]
pub struct Row {
    pub id: &'static str,
    pub mode: &'static str,
    pub what: &'static str,
    pub expected: String,
    pub seen: String,
    pub time: Duration,
    /// Bytes that the attacker sent.
    sent: u64,
    /// KiB.
    grown: u64,
    processor: Duration,
    /// Requests of others that were answered meanwhile.
    others: usize,
    /// The slowest of them, before and during.
    slowest: (Duration, Duration),
}

impl Row {
    pub fn ok(&self) -> bool {
        self.expected == self.seen
    }
}

impl Case {
    /// A case with the default configuration.
    pub fn new(
        id: &'static str,
        what: &'static str,
        expected: impl Into<String>,
        test: impl Fn(&mut Scene) -> String + Send + Sync + 'static,
    ) -> Self {
        let change = |gateway: Gateway| gateway;
        let (end, via) = (AtTheEnd::Serves, Via::Plain);
        Self { id, what, expected: expected.into(), growth: GROWTH, change, test: Box::new(test), end, via }
    }

    /// A configuration that differs.
    pub fn with(mut self, change: fn(Gateway) -> Gateway) -> Self {
        self.change = change;
        self
    }

    /// So much memory, KiB, is needed for what others do not have to pay.
    pub fn growth(mut self, kib: u64) -> Self {
        self.growth = kib;
        self
    }

    /// The same through TLS, whose handshakes and records take memory of their own.
    pub fn through_tls(mut self) -> Self {
        self.via = Via::Tls;
        self.growth += 1024;
        self
    }

    /// The process is gone afterwards.
    pub fn ends(mut self) -> Self {
        self.end = AtTheEnd::IsGone;
        self
    }

    fn run(&self) -> Row {
        let since = Instant::now();
        let played = catch_unwind(AssertUnwindSafe(|| self.play()));
        let mode = match self.via {
            Via::Plain => "h2c",
            Via::Tls => "tls",
        };
        let (id, what) = (self.id, self.what);
        let row = Row { id, mode, what, expected: self.expected.clone(), ..Row::default() };
        let row = match played {
            Ok(played) => Row { id, mode, what, ..played },
            Err(panic) => Row { seen: words(&*panic), ..row },
        };
        Row { time: since.elapsed(), ..row }
    }

    fn play(&self) -> Row {
        let mut scene = Scene::start(self.change, self.via);
        let mut row = Row { expected: self.expected.clone(), ..Row::default() };
        row.slowest.0 = scene.warm();
        if self.end == AtTheEnd::IsGone {
            row.seen = (self.test)(&mut scene);
            return row;
        }
        let (watch, other) = (Watch::start(scene.daemon.pid()), Other::start(&scene));
        row.seen = (self.test)(&mut scene);
        let good = scene.good();
        let (served, failed, slowest) = other.stop();
        (row.grown, row.processor) = watch.stop();
        (row.others, row.slowest.1, row.sent) = (served, slowest, scene.sent());
        row.expected += &format!("; others served; then 200; memory within {}", mib(self.growth));
        let others = if failed == 0 { "served".to_owned() } else { format!("not served after {served}") };
        let memory = if row.grown <= self.growth { "within" } else { "NOT within" };
        row.seen += &format!("; others {others}; then {good}; memory {memory} {}", mib(self.growth));
        let lines = scene.daemon.stderr().lines().count();
        if lines > QUIET {
            row.seen += &format!("; {lines} lines on standard error");
        }
        row
    }
}

/// How much memory an abuse may cost, KiB, when no request is at work: buffers, tables, and what an allocator
/// keeps for later.
const GROWTH: u64 = 2 * 1024;

/// Lines that a daemon may write to standard error meanwhile: what a stranger sends must not fill a disk.
const QUIET: usize = 30;

fn mib(kib: u64) -> String {
    format!("{} MiB", kib / 1024)
}

/// Runs all, some at once; the rows come in the order of their ids, and of the cases.
pub fn run_all(cases: &[Case]) -> Vec<Row> {
    let mut rows = in_order(cases, Case::run);
    rows.sort_by_key(|row| row.id);
    rows
}

/// Does the same with each, some at once, and keeps their order.
pub fn in_order<T: Sync, R: Send>(all: &[T], work: impl Fn(&T) -> R + Sync) -> Vec<R> {
    let next = AtomicUsize::new(0);
    let done = Mutex::new(Vec::new());
    thread::scope(|scope| {
        for _ in 0..AT_ONCE.min(all.len()) {
            scope.spawn(|| {
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    let Some(one) = all.get(number) else { break };
                    let result = work(one);
                    done.lock().expect("no runner panics").push((number, result));
                }
            });
        }
    });
    let mut done = done.into_inner().expect("no runner panics");
    done.sort_by_key(|(number, _)| *number);
    done.into_iter().map(|(_, result)| result).collect()
}

/// All rows as text. What was expected and seen is written once when both are the same.
pub fn table(rows: &[Row]) -> String {
    let mut text = format!(
        "\n{:<6} {:<4} {:<5} {:>5} {:>8} {:>8} {:>6} {:>6} {:>11} {}\n",
        "id", "", "", "s", "sent KiB", "RSS +KiB", "cpu ms", "others", "slowest ms", "what: expected | seen"
    );
    for row in rows {
        let mark = if row.ok() { "ok" } else { "WRONG" };
        let seen = if row.ok() { "as expected" } else { &row.seen };
        let words = format!("{}: {} | {seen}", row.what, row.expected).replace(['\r', '\n'], " ");
        let slowest = format!("{}/{}", row.slowest.0.as_millis(), row.slowest.1.as_millis());
        text += &format!(
            "{:<6} {:<4} {mark:<5} {:>5.1} {:>8} {:>8} {:>6} {:>6} {slowest:>11} {words}\n",
            row.id,
            row.mode,
            row.time.as_secs_f64(),
            row.sent / 1024,
            row.grown,
            row.processor.as_millis(),
            row.others,
        );
    }
    text
}

/// The first lines of what a panic said.
pub fn words(panic: &(dyn Any + Send)) -> String {
    let text = panic
        .downcast_ref::<String>()
        .map(String::as_str)
        .or_else(|| panic.downcast_ref::<&str>().copied())
        .unwrap_or("a panic without words");
    format!("PANIC {}", text.lines().take(3).collect::<Vec<_>>().join(" / "))
}
