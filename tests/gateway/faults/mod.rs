//! What backends can do wrong: one row for each of the 96 faults that we know of, in both modes where both
//! exist, each with a gateway process of its own.
//!
//! [`runner`] says what a row is and runs it; the other files hold the rows by theme. A row is right when
//! what was seen is, word for word, what was expected. `FAULTS=UP-43,UP-88` runs only these.

mod bodies; // whole answers that are none
mod connecting; // before a byte is sent
mod connections; // whose connection may be used again, and when everything is down
mod heads; // status lines and headers
mod http2; // what HTTP/2 adds
pub mod parts; // what rows are made of
mod paths; // the good ways: TLS, HTTP/2, names
mod props; // the kit's own backends
pub mod runner; // what a row is, and how it is run
mod sixteen; // sixteen failures that an operator asks about first
mod statuses; // what a backend says that it means
mod streams; // streams of events

use self::runner::{Case, run_all};
use crate::kit::table::{NotHere, all_there};

/// How many faults are known.
const KNOWN: usize = 96;

fn cases() -> Vec<Case> {
    [
        connecting::cases(),
        heads::cases(),
        statuses::cases(),
        bodies::cases(),
        streams::cases(),
        http2::cases(),
        connections::cases(),
    ]
    .into_iter()
    .flatten()
    .collect()
}

fn not_here() -> Vec<NotHere> {
    vec![
        NotHere {
            id: "UP-13",
            why: "a clock that jumps needs a library loaded into the process; an expired certificate is UP-08",
        },
        NotHere {
            id: "UP-15",
            why: "using up all ports needs a network namespace; a connection that cannot be made is UP-01, UP-02",
        },
    ]
}

#[test]
fn all_known_faults_are_run_or_said_not_to_be() {
    let absent = not_here();
    let here = cases();
    all_there("UP", KNOWN, here.iter().map(|case| case.id).chain(absent.iter().map(|row| row.id)));
}

#[test]
fn every_upstream_fault_has_its_answer() {
    run_all("What backends do wrong", cases(), &not_here());
}
