//! Runs the scenarios: round after round, and in each round every scenario against its targets in turn.
//!
//! Promises: CPU time and counts are taken at the same two moments, and work before or after them is not
//! counted. Never judges what it measured.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::thread;
use std::time::{Duration, Instant};

use crate::args::Options;
use crate::fleet::{Fleet, Target};
use crate::host::{self, Cores};
use crate::load::{Load, Tally};
use crate::scenarios::{self, Arrival, Scenario, Unit};

/// More stolen time than this, in percent, and a measurement is left out if there are better ones.
const STOLEN: f64 = 3.0;

/// One measurement: a scenario, a target, a round.
pub struct Cell {
    pub round: usize,
    pub scenario: &'static str,
    pub unit: Unit,
    pub target: Target,
    /// Requests came by the clock, so that latencies mean something.
    pub timed: bool,
    pub seconds: f64,
    pub requests: u64,
    pub chunks: u64,
    /// Of the gateway; absent for direct.
    pub cpu: Option<Duration>,
    /// Percent of the gateway core's time that the hypervisor took away.
    pub stolen: f64,
    /// Percent of the time that the gateway was ready but another program had its core.
    pub queued: f64,
    /// Time to the first byte of the answers, sorted.
    pub latencies: Vec<Duration>,
    pub failures: u64,
    pub first_failure: Option<String>,
    /// Connections that were not kept.
    pub closed: u64,
}

impl Cell {
    pub fn units(&self) -> u64 {
        match self.unit {
            Unit::Request => self.requests,
            Unit::Chunk => self.chunks,
        }
    }

    /// CPU microseconds of the gateway per request or chunk. Absent if none came.
    pub fn cpu_micros(&self) -> Option<f64> {
        let cpu = self.cpu.filter(|_| self.units() > 0)?;
        Some(cpu.as_secs_f64() * 1e6 / self.units() as f64)
    }

    /// Whether the hypervisor left the gateway's core alone.
    pub fn is_calm(&self) -> bool {
        self.stolen <= STOLEN
    }

    pub fn per_second(&self) -> f64 {
        self.units() as f64 / self.seconds
    }

    /// Percent of one core that the gateway used.
    pub fn busy(&self) -> Option<f64> {
        self.cpu.map(|cpu| 100.0 * cpu.as_secs_f64() / self.seconds)
    }

    /// In microseconds; `share` is 0.5 for the median.
    pub fn latency_micros(&self, share: f64) -> Option<f64> {
        let last = self.latencies.len().checked_sub(1)?;
        let at = (last as f64 * share).round() as usize;
        self.latencies.get(at).map(|latency| latency.as_secs_f64() * 1e6)
    }
}

/// Everything that was asked for, but for the memory.
pub fn all(options: &Options, cores: &Cores, fleet: &Fleet) -> Vec<Cell> {
    let scenarios: Vec<Scenario> =
        scenarios::all().into_iter().filter(|scenario| options.wants(scenario.name)).collect();
    let mut cells = Vec::new();
    for round in 0..options.rounds {
        eprintln!("round {} of {}", round + 1, options.rounds);
        for scenario in &scenarios {
            for target in turns(scenario.targets, round) {
                let Some(length) = length(options, scenario, target, round) else { continue };
                let Some((address, pid)) = fleet.find(target) else { continue };
                let load = Load::start(scenario, address, cores.threads());
                cells.push(observe(Turn { round, scenario, target, pid, length }, load, cores));
            }
        }
    }
    cells
}

/// The targets in an order that changes with the round, so that none is always the first.
fn turns(targets: &[Target], round: usize) -> impl Iterator<Item = Target> {
    targets.iter().copied().cycle().skip(round % targets.len()).take(targets.len())
}

/// How long to measure. Of a saturated mock one short look is enough: it only shows where the ceiling is.
fn length(options: &Options, scenario: &Scenario, target: Target, round: usize) -> Option<Duration> {
    let whole = Duration::from_secs(options.seconds);
    match (target, scenario.arrival) {
        (Target::Direct, Arrival::Closed { .. }) => (round == 0).then_some(whole.min(Duration::from_secs(1))),
        (Target::Direct, Arrival::Open { .. })
        | (Target::Bare | Target::Byname | Target::Quiet | Target::Traced, _) => Some(whole),
    }
}

/// What is measured next.
struct Turn<'a> {
    round: usize,
    scenario: &'a Scenario,
    target: Target,
    /// The gateway's process; there is none for direct.
    pid: Option<u32>,
    length: Duration,
}

fn observe(turn: Turn, load: Load, cores: &Cores) -> Cell {
    let Turn { round, scenario, target, pid, length } = turn;
    thread::sleep(scenario.warm_up);
    load.measure();
    let before = Moment::now(&load.tally, pid, cores);
    thread::sleep(length);
    let after = Moment::now(&load.tally, pid, cores);
    let tally = Arc::clone(&load.tally);
    let mut latencies = load.stop();
    latencies.sort_unstable();

    let seconds = (after.at - before.at).as_secs_f64();
    let queued = (after.queued - before.queued).as_secs_f64();
    let count = |counter: &AtomicU64| counter.load(Relaxed);
    let first_failure = tally.first_failure.lock().unwrap().take();
    Cell {
        round,
        scenario: scenario.name,
        unit: scenario.unit,
        target,
        timed: matches!(scenario.arrival, Arrival::Open { .. }),
        seconds,
        requests: after.requests - before.requests,
        chunks: after.chunks - before.chunks,
        cpu: after.cpu.zip(before.cpu).map(|(after, before)| after - before),
        stolen: after.ticks.stolen_percent_since(before.ticks),
        queued: 100.0 * queued / seconds,
        latencies,
        failures: count(&tally.failures),
        first_failure,
        closed: count(&tally.closed),
    }
}

/// All readings at one end of a measurement.
struct Moment {
    at: Instant,
    requests: u64,
    chunks: u64,
    cpu: Option<Duration>,
    queued: Duration,
    ticks: host::Ticks,
}

impl Moment {
    fn now(tally: &Tally, pid: Option<u32>, cores: &Cores) -> Moment {
        Moment {
            at: Instant::now(),
            requests: tally.requests.load(Relaxed),
            chunks: tally.chunks.load(Relaxed),
            cpu: pid.map(host::cpu_time),
            queued: pid.map(host::queue_time).unwrap_or_default(),
            ticks: cores.ticks(),
        }
    }
}
