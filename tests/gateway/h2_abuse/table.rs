//! What a row is, how it is run, and how all of them are told.

use std::time::{Duration, Instant};

use super::scene::{Closed, Other, Scene, Via, Watch};
use crate::kit::config::Gateway;
use crate::kit::table::{Row, caught, in_order};

/// How many cases run at once; each has a process of its own.
pub const AT_ONCE: usize = 4;

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
    others: Closed,
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

impl Case {
    /// A case with the default configuration.
    pub fn new(
        id: &'static str,
        what: &'static str,
        expected: impl Into<String>,
        test: impl Fn(&mut Scene) -> String + Send + Sync + 'static,
    ) -> Self {
        let change = |gateway: Gateway| gateway;
        let (end, others, via) = (AtTheEnd::Serves, Closed::Told, Via::Plain);
        let (expected, test) = (expected.into(), Box::new(test));
        Self { id, what, expected, growth: GROWTH, change, test, end, others, via }
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

    /// Others may lose their connections while they are idle.
    pub fn crowded(mut self) -> Self {
        self.others = Closed::ComesAgain;
        self
    }

    /// The process is gone afterwards.
    pub fn ends(mut self) -> Self {
        self.end = AtTheEnd::IsGone;
        self
    }

    fn run(&self) -> Row {
        let began = Instant::now();
        let mode = match self.via {
            Via::Plain => "h2c",
            Via::Tls => "tls",
        };
        let row = caught(|| self.play()).unwrap_or_else(|panic| self.row(Err(panic)));
        Row { mode, time: began.elapsed(), ..row }
    }

    fn row(&self, seen: Result<String, String>) -> Row {
        Row::new(self.id, self.what, seen).expecting(self.expected.clone())
    }

    fn play(&self) -> Row {
        let mut scene = Scene::start(self.change, self.via);
        let before = scene.warm();
        if self.end == AtTheEnd::IsGone {
            return self.row(Ok((self.test)(&mut scene)));
        }
        let (watch, other) = (Watch::start(scene.daemon.pid()), Other::start(&scene, self.others));
        let mut seen = (self.test)(&mut scene);
        let good = scene.good();
        let (served, failed, slowest) = other.stop();
        let (grown, processor) = watch.stop();
        let figures = figures(scene.sent(), grown, processor, served, [before, slowest]);
        let expected =
            format!("{}; others served; then 200; memory within {}", self.expected, mib(self.growth));
        let others = if failed == 0 { "served".to_owned() } else { format!("not served after {served}") };
        let memory = if grown <= self.growth { "within" } else { "NOT within" };
        seen += &format!("; others {others}; then {good}; memory {memory} {}", mib(self.growth));
        let lines = scene.daemon.stderr().lines().count();
        if lines > QUIET {
            seen += &format!("; {lines} lines on standard error");
        }
        Row { figures, ..self.row(Ok(seen)).expecting(expected) }
    }
}

/// What the attacker sent; what the process grew by and worked; how many requests of others were answered
/// meanwhile, and the slowest of them before and during.
pub const FIGURES: &str = "sent KiB RSS +KiB cpu ms others  slowest ms";

fn figures(sent: u64, grown: u64, processor: Duration, others: usize, slowest: [Duration; 2]) -> String {
    let [before, during] = slowest.map(|time| time.as_millis());
    let (sent, processor, slowest) = (sent / 1024, processor.as_millis(), format!("{before}/{during}"));
    format!("{sent:>8} {grown:>8} {processor:>6} {others:>6} {slowest:>11}")
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
    let mut rows = in_order(AT_ONCE, cases, Case::run);
    rows.sort_by_key(|row| row.id);
    rows
}
