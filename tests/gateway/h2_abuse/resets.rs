//! Streams that are begun and broken off: by the client, and by the gateway because the client made it.
//!
//! Each costs the gateway work that the client does not wait for. CVE-2023-44487 is the first kind, CVE-2025-8671
//! ("MadeYouReset") the second.

use std::collections::BTreeSet;

use super::asks::{CHAT, MODELS, body};
use super::frames::{self, code, code_name, flag, kind};
use super::scene::{Scene, all_left};
use super::table::Case;
use super::wire::{Raw, request};
use crate::kit::DEADLINE;
use crate::kit::client::{ask, ask_stream};

/// Streams that the library lets be reset before the application has seen them (`h2`, `DEFAULT_REMOTE_RESET_STREAM_MAX`).
const UNSEEN: usize = 20;
/// Streams that a client may make us reset on one connection (`h2`, `DEFAULT_LOCAL_RESET_COUNT_MAX`).
const MADE: usize = 1024;
/// Streams of one connection that may be open at once, as Pingora announces it.
const STREAMS: usize = 100;
/// How many streams are broken off one by one, each when its backend is at work.
const ONE_BY_ONE: usize = 20;
/// What 100 requests at work may need, KiB: each has a connection to its backend, with its buffers.
const AT_WORK: u64 = 16 * 1024;
/// How many streams go out in one write.
const BATCH: usize = 50;

pub fn cases() -> Vec<Case> {
    let calm = "GOAWAY ENHANCE_YOUR_CALM";
    vec![
        Case::new(
            "H2-02",
            "rapid reset: complete requests, each reset in the same write, 100,000 of them on 50 connections",
            format!(
                "50 times {calm} (too_many_resets) and closed; at most {UNSEEN} backends asked on each; \
                 all left"
            ),
            |scene| rapid_reset(scene),
        ),
        Case::new(
            "H2-03",
            "slow rapid reset: 200 requests reset when their backends are at work, then 10 more",
            "200 backends asked; all left; then 429 rate_limited; open",
            |scene| slow_reset(scene),
        )
        .growth(AT_WORK)
        .with(|gateway| gateway.key_limits("requests_per_minute: 200")),
        closing("H2-04", "made to reset: WINDOW_UPDATE of 0 on an open stream", |id| {
            frames::window_update(id, 0)
        }),
        closing("H2-05", "made to reset: DATA after END_STREAM", |id| frames::data(id, b"more")),
        resetting("H2-06", "made to reset: a window beyond 2^31-1", "FLOW_CONTROL_ERROR", |id| {
            frames::window_update(id, frames::MAX_WINDOW)
        }),
        closing("H2-07", "made to reset: PRIORITY of 4 bytes", |id| {
            frames::frame(kind::PRIORITY, flag::NONE, id, &[0; 4])
        }),
        resetting("H2-07", "made to reset: PRIORITY that depends on itself", "PROTOCOL_ERROR", |id| {
            frames::priority(id, id, 0)
        }),
        resetting("H2-08", "made to reset: HEADERS after END_STREAM", "PROTOCOL_ERROR", |id| {
            frames::headers(id, flag::NONE, &frames::block(&[("x", "y")]))
        }),
        Case::new(
            "H2-20",
            "100 streams, and a 101st",
            format!("the 101st reset REFUSED_STREAM; {STREAMS} of {STREAMS} answered 200; open"),
            |scene| one_stream_more(scene),
        )
        .growth(AT_WORK),
        Case::new(
            "H2-20",
            "100 streams, and up to 5,000 more",
            format!("{calm} (too_many_internal_resets) and closed after {MADE} refused; all left"),
            |scene| streams_without_end(scene),
        )
        .growth(AT_WORK),
        Case::new(
            "H2-23",
            "33 requests that nobody can answer: neither :authority nor host",
            "31 times 400; GOAWAY ENHANCE_YOUR_CALM and closed",
            |scene| malformed_requests(scene),
        ),
    ]
}

/// A frame that ends the connection.
fn closing(id: &'static str, what: &'static str, bad: fn(u32) -> Vec<u8>) -> Case {
    let expected = "GOAWAY PROTOCOL_ERROR and closed, at the first; all left";
    Case::new(id, what, expected, move |scene| made_to_close(scene, bad))
}

/// A frame that makes the gateway reset its stream with this code.
fn resetting(id: &'static str, what: &'static str, code: &str, bad: fn(u32) -> Vec<u8>) -> Case {
    let expected = format!(
        "{ONE_BY_ONE} times reset {code}; all left; then GOAWAY ENHANCE_YOUR_CALM \
         (too_many_internal_resets) and closed after at most {MADE} resets; none left"
    );
    Case::new(id, what, expected, move |scene| made_to_reset(scene, bad)).growth(AT_WORK)
}

fn rapid_reset(scene: &Scene) -> String {
    const CONNECTIONS: usize = 50;
    let body = body(&ask("silent"));
    let mut fates = BTreeSet::new();
    for _ in 0..CONNECTIONS {
        let mut raw = scene.open();
        pump(&mut raw, 100_000 / CONNECTIONS, |id| {
            [request(id, &CHAT, &body), frames::reset(id, code::CANCEL)].concat()
        });
        fates.insert(raw.ended(DEADLINE));
    }
    let left = all_left(&scene.silent);
    let asked = scene.silent.requests().len();
    let asked = if asked <= UNSEEN * CONNECTIONS { format!("at most {UNSEEN}") } else { asked.to_string() };
    format!("{CONNECTIONS} times {}; {asked} backends asked on each; {left}", all(&fates))
}

/// Sends so many streams, some in each write, until the gateway takes no more.
fn pump(raw: &mut Raw, streams: usize, make: impl Fn(u32) -> Vec<u8>) {
    for _ in 0..streams / BATCH {
        let bytes: Vec<u8> = (0..BATCH).flat_map(|_| make(raw.next())).collect();
        if raw.send(&bytes).is_err() {
            break;
        }
    }
}

fn slow_reset(scene: &Scene) -> String {
    let mut raw = scene.open();
    let body = body(&ask("silent"));
    let mut left = BTreeSet::new();
    for round in 1..=20 {
        let streams: Vec<u32> = (0..10).map(|_| raw.ask(&CHAT, &body)).collect();
        scene.silent.wait_requests(round * 10);
        let resets: Vec<u8> = streams.iter().flat_map(|id| frames::reset(*id, code::CANCEL)).collect();
        raw.send(&resets).expect("a connection that lasts");
        left.insert(all_left(&scene.silent));
    }
    let more: BTreeSet<String> = (0..10)
        .map(|_| {
            let id = raw.ask(&CHAT, &body);
            raw.answer(id)
        })
        .collect();
    let asked = scene.silent.requests().len();
    format!("{asked} backends asked; {}; then {}; {}", all(&left), all(&more), raw.fate())
}

/// A frame that ends the connection, while a backend is at work.
fn made_to_close(scene: &Scene, bad: fn(u32) -> Vec<u8>) -> String {
    let mut raw = scene.open();
    let id = raw.ask(&CHAT, &body(&ask("silent")));
    scene.silent.wait_requests(1);
    let _ = raw.send(&bad(id));
    format!("{}, at the first; {}", raw.fate(), all_left(&scene.silent))
}

/// A frame that makes the gateway reset a stream: first one by one while backends are at work, then as fast as
/// it goes.
fn made_to_reset(scene: &Scene, bad: fn(u32) -> Vec<u8>) -> String {
    let mut raw = scene.open();
    let body = body(&ask("silent"));
    let mut words = BTreeSet::new();
    for round in 1..=ONE_BY_ONE {
        let id = raw.ask(&CHAT, &body);
        scene.silent.wait_requests(round);
        let _ = raw.send(&bad(id));
        words.insert(raw.answer(id));
    }
    let left = all_left(&scene.silent);
    for _ in 0..2 * MADE / BATCH {
        pump(&mut raw, BATCH, |id| [request(id, &CHAT, &body), bad(id)].concat());
        // The next ones come when these are gone, so that it is not their number that is refused.
        let last = raw.last();
        raw.wait(DEADLINE, |heard| heard.end.is_some() || heard.streams.contains_key(&last));
    }
    let fate = raw.ended(DEADLINE);
    let resets: usize = raw.resets().values().sum();
    let resets = if resets <= MADE { format!("at most {MADE}") } else { resets.to_string() };
    let rest = scene.quiet("byname_in_flight");
    format!("{ONE_BY_ONE} times {}; {left}; then {fate} after {resets} resets; {rest}", all(&words))
}

fn one_stream_more(scene: &Scene) -> String {
    let mut raw = scene.open();
    let body = body(&ask_stream("held"));
    let streams: Vec<u32> = (0..STREAMS).map(|_| raw.ask(&CHAT, &body)).collect();
    scene.held.wait_requests(STREAMS);
    let more = raw.ask(&CHAT, &body);
    let more = raw.answer(more);
    scene.held.open("go");
    let good = streams.iter().filter(|id| raw.answer(**id) == "200").count();
    format!("the 101st {more}; {good} of {STREAMS} answered 200; {}", raw.fate())
}

fn streams_without_end(scene: &Scene) -> String {
    let mut raw = scene.open();
    let body = body(&ask("silent"));
    for _ in 0..STREAMS {
        raw.ask(&CHAT, &body);
    }
    scene.silent.wait_requests(STREAMS);
    pump(&mut raw, 5000, |id| request(id, &MODELS, b""));
    let fate = raw.ended(DEADLINE);
    let refused: usize =
        raw.resets().iter().filter(|(code, _)| code_name(**code) == "REFUSED_STREAM").map(|(_, n)| n).sum();
    format!("{fate} after {refused} refused; {}", all_left(&scene.silent))
}

fn malformed_requests(scene: &Scene) -> String {
    let mut raw = scene.open();
    let fields: Vec<(&str, &str)> = MODELS.into_iter().filter(|(name, _)| *name != ":authority").collect();
    let mut answers = Vec::new();
    for _ in 0..33 {
        let id = raw.ask(&fields, b"");
        answers.push(raw.answer(id));
    }
    let refused = answers.iter().filter(|answer| *answer == "400").count();
    format!("{refused} times 400; {}", raw.ended(DEADLINE))
}

/// What was the same every time, or all that it was.
fn all(words: &BTreeSet<String>) -> String {
    words.iter().map(String::as_str).collect::<Vec<_>>().join(" or ")
}
