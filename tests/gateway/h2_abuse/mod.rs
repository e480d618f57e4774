//! What clients can do wrong with HTTP/2: a row or more for each of the 34 abuses that we know of, each with a
//! gateway process of its own, while another tenant's client goes on asking; and what RFC 9113 wants of a server.
//!
//! [`table`] says what a row is and runs it; the other files hold the rows by theme. A row is right when what was
//! seen is, word for word, what was expected. `ABUSE=H2-02,H2-11` runs only these.

mod asks; // requests as good clients make them
mod floods; // frames that are cheap to send
mod frames; // frames and header blocks byte by byte
mod heads; // heads that are no HTTP
mod heard; // what a server has said
mod listener; // connections that are only held
mod resets; // streams that are begun and broken off
mod rfc9113; // what a server must take and refuse, by section
mod scene; // where a case is played
mod table; // what a row is, and how it is run
mod tunnel; // a way through TLS
mod waits; // clients that wait
mod wire; // a client that says every byte

use self::table::{Case, FIGURES, run_all};
use crate::kit::table::{NotHere, Only, all_there, judge};

/// How many abuses are known.
const KNOWN: usize = 34;

/// Abuses that are tried through TLS, too: one of each kind, and all that rest on how a connection is closed.
const THROUGH_TLS: [&str; 14] = [
    "H2-02", "H2-06", "H2-09", "H2-11", "H2-13", "H2-14", "H2-15", "H2-17", "H2-20", "H2-21", "H2-23",
    "H2-31", "H2-32", "H2-33",
];

fn cases() -> Vec<Case> {
    let all = || [resets::cases(), floods::cases(), heads::cases(), waits::cases(), listener::cases()];
    let through_tls = all().into_iter().flatten().filter(|case| THROUGH_TLS.contains(&case.id));
    all().into_iter().flatten().chain(through_tls.map(Case::through_tls)).collect()
}

fn not_here() -> [NotHere; 1] {
    [NotHere {
        id: "H2-01",
        why: "h2spec is a Go program that no package at hand carries (Debian, PyPI, npm, crates.io); \
              what it looks for is in the second table, by section of RFC 9113",
    }]
}

#[test]
fn all_known_abuses_are_run_or_said_not_to_be() {
    let absent = not_here();
    let here = cases();
    all_there("H2", KNOWN, here.iter().map(|case| case.id).chain(absent.iter().map(|row| row.id)));
}

#[test]
fn every_abuse_of_http2_meets_its_bound() {
    let only = Only::of("ABUSE");
    let chosen: Vec<Case> = cases().into_iter().filter(|case| only.has(case.id)).collect();
    judge("What clients do wrong with HTTP/2", FIGURES, &run_all(&chosen), &not_here());
}

#[test]
fn http2_is_spoken_as_rfc_9113_says() {
    let rows = rfc9113::rows();
    let letter = rows.iter().filter(|row| !row.note.is_empty()).count();
    let title = format!(
        "What RFC 9113 wants of a server: {} rules, {letter} kept, but not to the letter",
        rows.len()
    );
    judge(&title, "", &rows, &[]);
}
