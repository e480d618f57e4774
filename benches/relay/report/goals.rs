//! What Byname may cost. The numbers are promises of the project; here they are only compared.

use super::{Findings, number};
use crate::fleet::Target;

pub struct Goal {
    pub what: &'static str,
    pub at_most: f64,
    /// Absent if it was not measured.
    pub found: Option<f64>,
}

impl Goal {
    pub fn verdict(&self) -> &'static str {
        match self.found {
            Some(found) if found <= self.at_most => "met",
            Some(_) => "MISSED",
            None => "not measured",
        }
    }

    pub fn line(&self) -> String {
        format!(
            "{:<13} {:<53} at most {:>6.2}  found {:>7}",
            self.verdict(),
            self.what,
            self.at_most,
            number(self.found, 2)
        )
    }
}

pub fn all(findings: &Findings) -> Vec<Goal> {
    let ratio = |scenario| findings.ratio(scenario, Target::Byname);
    let refused = findings.row("refused", Target::Byname).filter(|row| row.cpu.is_some());
    let weight = findings.memory.iter().find(|weight| weight.target == Target::Byname);
    vec![
        Goal { what: "CPU of json1k, x bare Pingora", at_most: 1.15, found: ratio("json1k") },
        Goal { what: "CPU of json100k, x bare Pingora", at_most: 1.15, found: ratio("json100k") },
        Goal { what: "CPU per paced chunk, x bare Pingora", at_most: 1.15, found: ratio("sse_paced") },
        Goal {
            what: "CPU per chunk at full speed, x bare Pingora",
            at_most: 1.15,
            found: ratio("sse_burst"),
        },
        Goal {
            what: "CPU of json1k with the access log, x without",
            at_most: 1.03,
            found: findings.ratio_to("json1k", Target::Byname, Target::Quiet),
        },
        Goal {
            what: "CPU of json1k with the log and 1 % traced, x without",
            at_most: 1.05,
            found: findings.ratio_to("json1k", Target::Traced, Target::Quiet),
        },
        Goal {
            what: "CPU per chunk with the log and 1 % traced, x without",
            at_most: 1.05,
            found: findings.ratio_to("sse_burst", Target::Traced, Target::Quiet),
        },
        Goal { what: "CPU of a refused key, us", at_most: 15.0, found: refused.and_then(|row| row.cpu) },
        Goal {
            what: "connections not kept by refusals",
            at_most: 0.0,
            found: refused.map(|row| row.closed as f64),
        },
        Goal {
            what: "memory per open stream, KB",
            at_most: 56.0,
            found: weight.map(|weight| weight.kb_per_stream()),
        },
    ]
}
