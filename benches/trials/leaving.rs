//! Clients that leave: how soon the backend is let go of, and that nobody else is asked on their behalf.

mod between;
mod running;

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use tokio::runtime::Handle;

use crate::goals::{Goals, Times};

const CLIENTS: usize = 300;

/// What a backend saw of the clients' requests: the client's number, and when.
type Sightings = Arc<Mutex<Vec<(usize, Instant)>>>;

pub async fn run(upstreams: &Handle, goals: &mut Goals) {
    println!("\nleaving: {CLIENTS} clients each; the time from a client's close to the end of its request\n");
    println!(
        "| it leaves | ended | p50 | p99 | longest | attempts after that |\n|---|---:|---:|---:|---:|---:|"
    );
    running::run(upstreams, goals).await;
    between::run(upstreams, goals).await;
}

fn report(name: &str, times: &Times, later: usize, goals: &mut Goals) {
    let ended = times.count();
    println!("| {name} | {ended} | {} | {} | {} | {later} |", times.ms(0.5), times.ms(0.99), times.ms(1.0));
    goals.enter(format!("leaving {name}: all end"), format!("{ended} of {CLIENTS}"), ended == CLIENTS);
    let median = times.at(0.5) <= Duration::from_millis(100);
    goals.enter(format!("leaving {name}: median at most 100 ms"), times.ms(0.5), median);
    goals.enter(
        format!("leaving {name}: p99 at most 1 s"),
        times.ms(0.99),
        times.at(0.99) <= Duration::from_secs(1),
    );
    goals.enter(format!("leaving {name}: no attempt after that"), later.to_string(), later == 0);
}

/// A pause that differs from client to client, up to a bound in milliseconds.
fn some_time(number: usize, most: u64) -> Duration {
    Duration::from_millis(number as u64 * 7919 % most)
}
