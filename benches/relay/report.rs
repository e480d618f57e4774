//! What the run found: one row per scenario and target, one line per goal, and the same as JSON.
//!
//! Medians are over the rounds that were not disturbed; if all were, over all of them, and the row says so.
//! Never turns a missed goal into a failure: only wrong answers are failures.

mod goals;
mod json;
mod row;

use std::fmt::Write;

use crate::args::Options;
use crate::fleet::{Fleet, Target};
use crate::host::Cores;
use crate::measure::Cell;
use crate::memory::{STREAMS, Weight};
use crate::scenarios::{EACH, NAMES};

pub use json::write as write_json;
use row::{Row, median};

/// The circumstances, to be printed before the numbers come.
pub fn heading(options: &Options, cores: &Cores, fleet: &Fleet) -> String {
    let place = match cores {
        Cores::Split { gateway, rest } => format!("gateways on core {gateway}, mock and load on {rest:?}"),
        Cores::Shared => "not pinned: everything shares its cores, so expect noise".into(),
    };
    let byname = match fleet.find(Target::Byname) {
        Some(_) => "everything on, one thread, access log to /dev/null",
        None => "absent (build it, or name it with BYNAME_BIN)",
    };
    format!(
        "{} rounds of {} s; {place}; byname: {byname}; CPU time from the process clock, in nanoseconds",
        options.rounds, options.seconds
    )
}

pub struct Findings<'a> {
    rows: Vec<Row>,
    cells: &'a [Cell],
    memory: &'a [Weight],
}

impl<'a> Findings<'a> {
    pub fn new(cells: &'a [Cell], memory: &'a [Weight]) -> Findings<'a> {
        let mut rows: Vec<Row> = Vec::new();
        for scenario in NAMES {
            for &target in EACH {
                let same = |cell: &&Cell| cell.scenario == *scenario && cell.target == target;
                rows.extend(Row::new(&cells.iter().filter(same).collect::<Vec<_>>()));
            }
        }
        Findings { rows, cells, memory }
    }

    fn row(&self, scenario: &str, target: Target) -> Option<&Row> {
        self.rows.iter().find(|row| row.scenario == scenario && row.target == target)
    }

    /// CPU per unit as a multiple of bare Pingora's: the median of the rounds' ratios. The two of a round
    /// ran within seconds, so what makes a machine slow for a while cancels out.
    fn ratio(&self, scenario: &str, target: Target) -> Option<f64> {
        self.ratio_to(scenario, target, Target::Bare)
    }

    /// The same as a multiple of another target's.
    fn ratio_to(&self, scenario: &str, target: Target, base: Target) -> Option<f64> {
        let of = |target: Target| {
            self.cells.iter().filter(move |cell| cell.scenario == scenario && cell.target == target)
        };
        let pairs: Vec<(&Cell, &Cell)> = of(target)
            .filter_map(|cell| Some((cell, of(base).find(|bare| bare.round == cell.round)?)))
            .collect();
        let calm = pairs.iter().filter(|(cell, bare)| cell.is_calm() && bare.is_calm()).copied();
        let calm: Vec<(&Cell, &Cell)> = calm.collect();
        let used = if calm.is_empty() { pairs } else { calm };
        median(used.iter().filter_map(|(cell, bare)| Some(cell.cpu_micros()? / bare.cpu_micros()?)).collect())
    }

    /// How much later the first byte of an answer came than without a gateway, in microseconds.
    fn added(&self, row: &Row, share: fn(&Row) -> Option<f64>) -> Option<f64> {
        Some(share(row)? - share(self.row(row.scenario, Target::Direct)?)?)
    }

    pub fn table(&self) -> String {
        let mut text = format!(
            "{:<10} {:<7} {:>9} {:>6} {:>9} {:>9} {:>7} {:>8} {:>8} {:>8} {:>8}  {}\n",
            "scenario",
            "target",
            "per s",
            "busy%",
            "cpu us",
            "lowest",
            "x bare",
            "p50 us",
            "p99 us",
            "+p50",
            "+p99",
            "rounds"
        );
        for row in &self.rows {
            // Under saturation a latency says only how long the queue was.
            let (p50, p99) = if row.timed { (row.p50, row.p99) } else { (None, None) };
            let (more50, more99) = match row.target {
                Target::Direct => (None, None),
                Target::Bare | Target::Byname | Target::Quiet | Target::Traced if row.timed => {
                    (self.added(row, |row| row.p50), self.added(row, |row| row.p99))
                }
                Target::Bare | Target::Byname | Target::Quiet | Target::Traced => (None, None),
            };
            let ratio = row.cpu.and_then(|_| self.ratio(row.scenario, row.target));
            let _ = writeln!(
                text,
                "{:<10} {:<7} {:>9.0} {:>6} {:>9} {:>9} {:>7} {:>8} {:>8} {:>8} {:>8}  {}",
                row.scenario,
                row.target.name(),
                row.per_second,
                number(row.busy, 0),
                number(row.cpu, 1),
                number(row.lowest, 1),
                number(ratio, 2),
                number(p50, 0),
                number(p99, 0),
                number(more50, 0),
                number(more99, 0),
                row.rounds(),
            );
        }
        for weight in self.memory {
            let _ = writeln!(
                text,
                "memory     {:<7} {} KB with one stream, {} KB with {STREAMS} more: {:.1} KB per stream",
                weight.target.name(),
                weight.before_kb,
                weight.after_kb,
                weight.kb_per_stream(),
            );
        }
        text.push_str(
            "medians; x bare: median of the rounds' own ratios.\n\
             cpu us: gateway CPU per request, for sse_* per chunk (and \"per s\" counts chunks). \
             p50, p99: first byte of the answer, open loop.\n\
             rounds: used/all; s: left out, more than 3 % stolen; q: other programs had the core for more than 5 %.",
        );
        text
    }

    /// One line per goal: met, missed or not measured.
    pub fn goals(&self) -> String {
        goals::all(self).iter().map(|goal| goal.line()).collect::<Vec<_>>().join("\n")
    }

    /// Everything that makes the run a failed one.
    pub fn failures(&self) -> Vec<String> {
        let wrong = self.cells.iter().filter(|cell| cell.failures > 0).map(|cell| {
            let first = cell.first_failure.as_deref().unwrap_or_default();
            format!(
                "{} {}: {} wrong answers, first: {first}",
                cell.scenario,
                cell.target.name(),
                cell.failures
            )
        });
        let silent = self.cells.iter().filter(|cell| cell.failures == 0 && cell.units() == 0);
        let silent = silent.map(|cell| format!("{} {}: no answer", cell.scenario, cell.target.name()));
        let held = self.memory.iter().filter(|weight| weight.missing_chunks > 0).map(|weight| {
            format!("memory {}: {} chunks did not come", weight.target.name(), weight.missing_chunks)
        });
        wrong.chain(silent).chain(held).collect()
    }
}

fn number(value: Option<f64>, digits: usize) -> String {
    value.map_or_else(|| "-".into(), |value| format!("{value:.digits$}"))
}
