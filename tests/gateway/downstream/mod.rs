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

use crate::faults::runner::{Case, run_all};
use crate::kit::table::all_there;

/// How many faults are known.
const KNOWN: usize = 30;

fn cases() -> Vec<Case> {
    let all = [silent::cases(), readers::cases(), leaving::cases(), network::cases(), tls::cases()];
    all.into_iter().flatten().chain(connections::cases()).collect()
}

#[test]
fn all_known_faults_are_run() {
    all_there("DN", KNOWN, cases().iter().map(|case| case.id));
}

#[test]
fn every_downstream_fault_has_its_answer() {
    crate::kit::process::raise_limit();
    run_all("What clients do wrong", cases(), &[]);
}
