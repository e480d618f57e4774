//! What was aimed at and whether it was reached, and the numbers in between.

use std::fmt;
use std::time::Duration;

/// Every goal of a run.
#[derive(Default)]
pub struct Goals(Vec<Goal>);

struct Goal {
    what: String,
    found: String,
    met: bool,
}

impl Goals {
    /// Enters one: what was aimed at, what was found, and whether that is good enough.
    pub fn enter(&mut self, what: impl Into<String>, found: impl Into<String>, met: bool) {
        self.0.push(Goal { what: what.into(), found: found.into(), met });
    }

    pub fn missed(&self) -> bool {
        self.0.iter().any(|goal| !goal.met)
    }
}

impl fmt::Display for Goals {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(out, "\n| goal | found | |\n|---|---|---|")?;
        for Goal { what, found, met } in &self.0 {
            writeln!(out, "| {what} | {found} | {} |", if *met { "met" } else { "MISSED" })?;
        }
        Ok(())
    }
}

/// Times, sorted.
pub struct Times(Vec<Duration>);

impl Times {
    pub fn new(times: impl IntoIterator<Item = Duration>) -> Times {
        let mut times: Vec<Duration> = times.into_iter().collect();
        times.sort_unstable();
        Times(times)
    }

    pub fn count(&self) -> usize {
        self.0.len()
    }

    /// 0.5 is the median. An hour when there are none, so that no goal is met by silence.
    pub fn at(&self, share: f64) -> Duration {
        let last = self.0.len().saturating_sub(1);
        let at = (last as f64 * share).round() as usize;
        self.0.get(at).copied().unwrap_or(Duration::from_secs(3600))
    }

    /// The same in milliseconds, to be read.
    pub fn ms(&self, share: f64) -> String {
        if self.0.is_empty() {
            "none".into()
        } else {
            format!("{:.2} ms", self.at(share).as_secs_f64() * 1e3)
        }
    }
}
