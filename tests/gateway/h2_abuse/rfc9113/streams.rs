//! Section 5: what may be said on a stream in which state.

use super::super::asks::{CHAT, MODELS, body};
use super::super::frames::{self, code, flag, kind};
use super::super::scene::Scene;
use super::super::wire::Raw;
use super::{PROTOCOL, Rule, after_request, begin, both, chat, connection, rule, silent, stream};
use crate::kit::DEADLINE;
use crate::kit::client::ask;

pub fn rules() -> Vec<Rule> {
    [idle(), half_closed(), closed(), numbers()].into_iter().flatten().collect()
}

fn idle() -> Vec<Rule> {
    vec![
        rule("5.1", "idle: DATA", PROTOCOL, |scene| connection(scene, &frames::data(1, b"x"))),
        rule("5.1", "idle: RST_STREAM", PROTOCOL, |scene| connection(scene, &frames::reset(1, code::CANCEL))),
        rule("5.1", "idle: WINDOW_UPDATE", PROTOCOL, |scene| connection(scene, &frames::window_update(1, 1))),
        rule("5.1", "idle: PRIORITY", "200; open", |scene| {
            stream(scene, |id| [frames::priority(id + 8, 0, 1), chat(id)].concat())
        }),
    ]
}

fn half_closed() -> Vec<Rule> {
    vec![
        rule("5.1", "half-closed: DATA", PROTOCOL, |scene| silenced(scene, |id| frames::data(id, b"x")))
            .letter("STREAM_CLOSED"),
        rule("5.1", "half-closed: HEADERS that end it again", PROTOCOL, |scene| {
            silenced(scene, |id| frames::headers(id, flag::END_STREAM, &frames::block(&[("x", "y")])))
        })
        .letter("STREAM_CLOSED"),
        rule("5.1", "half-closed: HEADERS that do not", "reset PROTOCOL_ERROR; open", |scene| {
            silenced(scene, |id| frames::headers(id, flag::NONE, &frames::block(&[("x", "y")])))
        })
        .letter("STREAM_CLOSED"),
        rule("5.1", "half-closed: WINDOW_UPDATE, PRIORITY", "200; open", |scene| {
            after_request(scene, |id| [frames::window_update(id, 1), frames::priority(id, 0, 1)].concat())
        }),
        rule("5.1", "half-closed: RST_STREAM", "its backend left; open", |scene| {
            let mut raw = scene.open();
            let before = scene.endless.requests().len();
            let text = body(&crate::kit::client::ask_stream("endless"));
            let id = raw.ask(&CHAT, &text);
            scene.endless.wait_requests(before + 1);
            let _ = raw.send(&frames::reset(id, code::CANCEL));
            let left = scene.endless.wait_closed(before, DEADLINE);
            format!("its backend {}; {}", if left { "left" } else { "NOT left" }, raw.fate())
        }),
    ]
}

fn closed() -> Vec<Rule> {
    vec![
        rule("5.1", "closed by RST_STREAM: DATA", "reset STREAM_CLOSED; open", |scene| {
            broken_off(scene, |id| frames::data(id, b"x"))
        }),
        rule("5.1", "closed by RST_STREAM: HEADERS", PROTOCOL, |scene| {
            broken_off(scene, |id| frames::headers(id, flag::END_STREAM, &frames::block(&MODELS)))
        })
        .letter("STREAM_CLOSED"),
        rule("5.1", "closed by RST_STREAM: RST_STREAM, WINDOW_UPDATE, PRIORITY", "open", |scene| {
            broken_off(scene, |id| {
                let window = frames::window_update(id, 1);
                [frames::reset(id, code::CANCEL), window, frames::priority(id, 0, 1)].concat()
            })
        }),
        rule("5.1", "closed by END_STREAM: DATA", "200, reset STREAM_CLOSED; open", |scene| {
            answered(scene, |id| frames::data(id, b"x"))
        }),
        rule("5.1", "closed by END_STREAM: HEADERS", "200; GOAWAY PROTOCOL_ERROR and closed", |scene| {
            answered(scene, |id| frames::headers(id, flag::END_STREAM, &frames::block(&MODELS)))
        })
        .letter("STREAM_CLOSED"),
        rule("5.1", "closed by END_STREAM: RST_STREAM, WINDOW_UPDATE, PRIORITY", "200; open", |scene| {
            answered(scene, |id| {
                let window = frames::window_update(id, 1);
                [frames::reset(id, code::CANCEL), window, frames::priority(id, 0, 1)].concat()
            })
        }),
    ]
}

fn numbers() -> Vec<Rule> {
    vec![
        rule("5.1.1", "a stream with an even number", PROTOCOL, |scene| connection(scene, &chat(2))),
        rule("5.1.1", "HEADERS on stream 0", PROTOCOL, |scene| connection(scene, &chat(0))),
        rule(
            "5.1.1",
            "a number that is lower than the last",
            "200; GOAWAY PROTOCOL_ERROR and closed",
            |scene| {
                let mut raw = scene.open();
                let _ = raw.send(&chat(9));
                let answer = raw.answer(9);
                let _ = raw.send(&chat(7));
                format!("{answer}; {}", raw.fate())
            },
        ),
        rule(
            "5.1.1",
            "the highest number, then a lower one",
            "200; GOAWAY PROTOCOL_ERROR and closed",
            |scene| {
                let mut raw = scene.open();
                let _ = raw.send(&chat(frames::MAX_WINDOW));
                let answer = raw.answer(frames::MAX_WINDOW);
                let _ = raw.send(&chat(1));
                format!("{answer}; {}", raw.fate())
            },
        ),
        rule("5.3.1", "HEADERS that depend on themselves", "reset PROTOCOL_ERROR; open", |scene| {
            stream(scene, |id| {
                let payload = [&id.to_be_bytes()[..], &[1], &frames::block(&MODELS)].concat();
                let flags = flag::END_STREAM | flag::END_HEADERS | flag::PRIORITY;
                frames::frame(kind::HEADERS, flags, id, &payload)
            })
        }),
        rule("5.4.2", "RST_STREAM with an unknown code", "open", |scene| {
            let mut raw = scene.open();
            let id = raw.ask(&CHAT, &body(&ask("silent")));
            let _ = raw.send(&frames::reset(id, 0xffff_0000));
            raw.fate()
        }),
    ]
}

/// A request that is never answered, and this after it.
fn silenced(scene: &Scene, bytes: fn(u32) -> Vec<u8>) -> String {
    stream(scene, |id| [silent(id), bytes(id)].concat())
}

/// A request that is broken off; when that is over, this.
fn broken_off(scene: &Scene, bytes: fn(u32) -> Vec<u8>) -> String {
    let mut raw = scene.open();
    let id = raw.next();
    let _ = raw.send(&[begin(id), frames::reset(id, code::CANCEL)].concat());
    settle(&mut raw);
    let _ = raw.send(&bytes(id));
    let fate = raw.fate();
    match raw.heard().streams.get(&id) {
        Some(told) => format!("{}; {fate}", told.words()),
        None => fate,
    }
}

/// A request that is answered; then this.
fn answered(scene: &Scene, bytes: fn(u32) -> Vec<u8>) -> String {
    let mut raw = scene.open();
    let id = raw.next();
    let _ = raw.send(&chat(id));
    raw.answer(id);
    settle(&mut raw);
    let _ = raw.send(&bytes(id));
    let fate = raw.fate();
    let words = raw.heard().streams.get(&id).map(super::super::heard::Told::words);
    format!("{}; {fate}", words.unwrap_or_default())
}

/// Waits until the gateway has forgotten a stream, as far as another one's answer tells.
fn settle(raw: &mut Raw) {
    let id = raw.ask(&MODELS, b"");
    both(raw, id);
}
