//! What clients can do wrong: one row or more for each of the 30 faults that we know of, each with a gateway
//! process of its own. A row is right when what was seen is, word for word, what was expected.
//!
//! `FAULTS=DN-05,DN-17` runs only these. `CLIENTS=5000` runs the large ones at full size; the default fits into a
//! minute.

mod connections; // many, kept, churned, and none left
mod leaving; // who leaves, when, and how
mod network; // what happens on the way
pub mod parts; // what rows are made of
mod readers; // who does not take what it is sent
mod silent; // who does not say what it has begun to say
mod tls; // who does not come to an agreement

use std::collections::BTreeSet;
use std::io::Write;

use crate::faults::runner::{Case, run_all, table};

/// How many faults are known.
const KNOWN: usize = 30;

fn cases() -> Vec<Case> {
    let all = [silent::cases(), readers::cases(), leaving::cases(), network::cases(), tls::cases()];
    all.into_iter().flatten().chain(connections::cases()).collect()
}

#[test]
fn all_known_faults_are_run() {
    let ids: BTreeSet<String> = cases().iter().map(|case| case.id.to_owned()).collect();
    let all: BTreeSet<String> = (1..=KNOWN).map(|number| format!("DN-{number:02}")).collect();
    assert_eq!(ids, all);
}

#[test]
fn every_downstream_fault_has_its_answer() {
    crate::kit::process::raise_limit();
    let only = std::env::var("FAULTS").unwrap_or_default();
    let only: Vec<&str> = only.split(',').filter(|id| !id.is_empty()).collect();
    let chosen = cases().into_iter().filter(|case| only.is_empty() || only.contains(&case.id)).collect();
    let rows = run_all(chosen);
    let wrong: Vec<String> = rows
        .iter()
        .filter(|row| !row.ok())
        .map(|row| format!("{} {} ({})", row.id, row.mode, row.what))
        .collect();
    let right = rows.len() - wrong.len();
    let text = format!("{}{right} of {} rows are right\n", table(&rows), rows.len());
    // Past the harness, which keeps back what a test that passes prints.
    std::io::stdout().write_all(text.as_bytes()).expect("the output is open");
    assert!(wrong.is_empty(), "{} rows are wrong: {}", wrong.len(), wrong.join("; "));
}
