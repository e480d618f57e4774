//! One scenario and target over all rounds.

use crate::fleet::Target;
use crate::measure::Cell;
use crate::scenarios::Unit;

/// More waiting for other programs than this, in percent, and a round is marked.
const QUEUED: f64 = 5.0;

/// Medians; times in microseconds.
pub struct Row {
    pub scenario: &'static str,
    pub target: Target,
    pub unit: Unit,
    /// Requests or chunks per second.
    pub per_second: f64,
    pub busy: Option<f64>,
    pub cpu: Option<f64>,
    /// The cheapest round.
    pub lowest: Option<f64>,
    pub p50: Option<f64>,
    pub p99: Option<f64>,
    /// Requests came by the clock, so that latencies mean something.
    pub timed: bool,
    /// Connections that the target did not keep.
    pub closed: u64,
    used: usize,
    all: usize,
    stolen: usize,
    queued: usize,
}

impl Row {
    /// None if there are no cells. All cells are of one scenario and target.
    pub fn new(cells: &[&Cell]) -> Option<Row> {
        let first = cells.first()?;
        let calm: Vec<&Cell> = cells.iter().copied().filter(|cell| cell.is_calm()).collect();
        let stolen = cells.len() - calm.len();
        let used = if calm.is_empty() { cells } else { calm.as_slice() };
        let over = |value: fn(&Cell) -> Option<f64>| used.iter().filter_map(|cell| value(cell)).collect();
        let cpu: Vec<f64> = over(Cell::cpu_micros);
        Some(Row {
            scenario: first.scenario,
            target: first.target,
            unit: first.unit,
            per_second: median(over(|cell| Some(cell.per_second()))).unwrap_or_default(),
            busy: median(over(Cell::busy)),
            lowest: cpu.iter().copied().reduce(f64::min),
            cpu: median(cpu),
            p50: median(over(|cell| cell.latency_micros(0.50))),
            p99: median(over(|cell| cell.latency_micros(0.99))),
            timed: first.timed,
            closed: cells.iter().map(|cell| cell.closed).sum(),
            used: used.len(),
            all: cells.len(),
            stolen,
            queued: cells.iter().filter(|cell| cell.queued > QUEUED).count(),
        })
    }

    /// How many rounds count, and what was wrong with how many.
    pub fn rounds(&self) -> String {
        let mut text = format!("{}/{}", self.used, self.all);
        for (count, mark) in [(self.stolen, "s"), (self.queued, "q")] {
            if count > 0 {
                text.push_str(&format!(" {count}{mark}"));
            }
        }
        text
    }
}

/// The lower of the two middle values if their number is even.
pub fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_unstable_by(f64::total_cmp);
    values.get(values.len().saturating_sub(1) / 2).copied()
}
