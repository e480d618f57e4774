//! What Byname costs: beside a bare Pingora proxy and beside no gateway at all, in one run.
//!
//!     cargo bench --bench relay [-- --rounds N --seconds S --only json1k latency1k …]
//!
//! Promises: every answer that is counted was read to its end and checked; the targets of a scenario take
//! turns within each round; a gateway's CPU time is that of all its threads; everything stays on loopback.
//! Never judges by time: it prints which goals were met, and fails only when an answer was wrong.
//!
//! The same executable plays three roles, so that all of them share one build profile and allocator: the
//! bench itself, the mock model (`--mock`) and the bare proxy (`--bare-proxy`).

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a bench that cannot go on should stop"
)]

mod answer;
mod args;
mod bare;
mod fleet;
mod host;
mod load;
mod measure;
mod memory;
mod mock;
mod report;
mod scenarios;

use std::process::ExitCode;

use args::{Options, Role};

#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    match args::read(std::env::args().skip(1)) {
        Ok(Role::Mock { listen, threads }) => mock::serve(listen, threads),
        Ok(Role::BareProxy { listen, upstream }) => bare::serve(listen, upstream),
        Ok(Role::Bench(options)) => bench(&options),
        Err(complaint) => {
            eprintln!("{complaint}\n\n{}", args::USAGE);
            ExitCode::from(64)
        }
    }
}

fn bench(options: &Options) -> ExitCode {
    let cores = host::Cores::find();
    host::raise_file_limit();
    let fleet = fleet::Fleet::start(&cores);
    println!("{}", report::heading(options, &cores, &fleet));

    let cells = measure::all(options, &cores, &fleet);
    let memory = memory::all(options, &cores, &fleet);
    let findings = report::Findings::new(&cells, &memory);
    println!("{}", findings.table());
    println!("{}", findings.goals());
    match report::write_json(options, &findings) {
        Ok(path) => println!("\nwritten: {}", path.display()),
        Err(error) => eprintln!("the JSON copy was not written: {error}"),
    }

    let failures = findings.failures();
    for failure in &failures {
        eprintln!("FAILED: {failure}");
    }
    if failures.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
