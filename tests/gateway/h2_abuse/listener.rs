//! Connections that are only held: idle, unfinished, or too many. Their bounds are the listener's.

use std::thread;
use std::time::{Duration, Instant};

use super::asks::{CHAT, MODELS};
use super::frames::{self, flag, kind};
use super::scene::Scene;
use super::table::Case;
use super::wire::Raw;
use crate::kit::DEADLINE;

/// `keep_alive` and `header_timeout` of these cases.
const TIMEOUT: Duration = Duration::from_secs(2);
/// A connection that is over its time is closed by then, however busy the machine is; no other deadline ends it
/// sooner.
const CLOSED: Duration = Duration::from_secs(8);
/// So long it is surely still open.
const OPEN: Duration = Duration::from_millis(600);

pub fn cases() -> Vec<Case> {
    let mut cases = idle();
    cases.extend([
        Case::new(
            "H2-34",
            "30 connections from each of 4 addresses, a stream on each (max_connections_per_address 20)",
            "20, 20, 20, 20 served; all others closed",
            per_address,
        )
        .growth(16 * 1024)
        .with(|gateway| gateway.server("max_connections_per_address", "20")),
        Case::new(
            "H2-34",
            "300 idle connections from 10 addresses (max_connections 60)",
            "at most 60 open; the first 100 closed",
            in_all,
        )
        .growth(16 * 1024)
        .crowded()
        .with(|gateway| gateway.server("max_connections", "60")),
    ]);
    cases
}

fn idle() -> Vec<Case> {
    let bounded = |what, expected, test: fn(&Scene) -> String| {
        Case::new("H2-32", what, expected, move |scene| test(scene))
            .with(|gateway| gateway.server("keep_alive", "2s").server("header_timeout", "2s"))
    };
    let (cut, told) = ("open, then closed", "open, then GOAWAY NO_ERROR and closed");
    vec![
        bounded("nothing is said (header_timeout 2s)", cut, |scene| silent(scene.bare())),
        bounded("half a preface, then nothing (header_timeout 2s)", cut, |scene| {
            let mut raw = scene.bare();
            let _ = raw.send(&frames::PREFACE[..12]);
            silent(raw)
        }),
        bounded("a preface, then nothing (keep_alive 2s)", told, |scene| {
            let mut raw = scene.bare();
            let _ = raw.send(frames::PREFACE);
            silent(raw)
        }),
        bounded("a connection without a stream (keep_alive 2s)", told, |scene| silent(scene.open())),
        bounded("a connection after its last stream (keep_alive 2s)", told, |scene| {
            let mut raw = scene.open();
            let id = raw.ask(&MODELS, b"");
            raw.answer(id);
            silent(raw)
        }),
        bounded("half a head, then nothing (keep_alive 2s)", told, |scene| {
            let mut raw = scene.open();
            let id = raw.next();
            let _ = raw.send(&frames::frame(kind::HEADERS, flag::NONE, id, &frames::block(&MODELS)));
            silent(raw)
        }),
        bounded("a connection with nothing but PING (keep_alive 2s)", told, |scene| {
            let mut raw = scene.open();
            let (since, mut first) = (Instant::now(), "closed");
            while since.elapsed() < CLOSED && raw.send(&frames::ping([0; 8])).is_ok() {
                if since.elapsed() >= OPEN && raw.heard().end.is_none() {
                    first = "open";
                }
                thread::sleep(TIMEOUT / 20);
            }
            format!("{first}, then {}", raw.ended(CLOSED))
        }),
        bounded("PING without end, and nothing read (keep_alive 2s)", cut, |scene| {
            let mut raw = scene.deaf(&[]);
            let many = frames::ping([0; 8]).repeat(500);
            let since = Instant::now();
            let mut first = "closed";
            while since.elapsed() < DEADLINE && raw.send(&many).is_ok() {
                first = "open";
            }
            // A gateway that holds on lets the last write wait until its time is over.
            let last = if since.elapsed() < DEADLINE { "closed" } else { "open" };
            format!("{first}, then {last}")
        }),
    ]
}

/// Says nothing more. How the connection is at first, and later.
fn silent(raw: Raw) -> String {
    let first = raw.ended(OPEN);
    format!("{first}, then {}", raw.ended(CLOSED))
}

fn per_address(scene: &mut Scene) -> String {
    let mut served = Vec::new();
    let (mut closed, mut kept) = (0, Vec::new());
    for last in 2..6 {
        let connections: Vec<Raw> = (0..30).filter_map(|_| begun(scene, [127, 0, 0, last])).collect();
        let (open, over): (Vec<_>, Vec<_>) =
            connections.into_iter().map(|mut raw| (raw.fate(), raw)).partition(|(fate, _)| fate == "open");
        served.push(open.len().to_string());
        closed += over.iter().filter(|(fate, _)| fate == "closed").count();
        // They stay while the others come.
        kept.extend(open);
    }
    let rest =
        if closed == 4 * 10 { "all others closed".to_owned() } else { format!("{closed} others closed") };
    format!("{} served; {rest}", served.join(", "))
}

/// A connection with a stream whose body is still to come.
fn begun(scene: &Scene, source: [u8; 4]) -> Option<Raw> {
    let mut raw = scene.from(source)?;
    let id = raw.next();
    let _ = raw.send(&frames::headers(id, flag::NONE, &frames::block(&CHAT)));
    Some(raw)
}

fn in_all(scene: &mut Scene) -> String {
    let mut all = Vec::new();
    for number in 0..300_u16 {
        let source = [127, 0, 1, u8::try_from(number % 10).unwrap_or_default() + 1];
        all.extend(scene.from(source));
        // Time enough to become idle in the order in which they came.
        thread::sleep(Duration::from_millis(2));
    }
    let since = Instant::now();
    let open = |all: &[Raw]| all.iter().filter(|raw| raw.heard().end.is_none()).count();
    while open(&all) > 60 && since.elapsed() < CLOSED {
        thread::sleep(OPEN / 20);
    }
    let open_now = open(&all);
    let first = open(&all[..100.min(all.len())]);
    let words = if open_now <= 60 { "at most 60 open".to_owned() } else { format!("{open_now} open") };
    let first =
        if first == 0 { "the first 100 closed".to_owned() } else { format!("{first} of the first 100 open") };
    format!("{words}; {first}")
}
