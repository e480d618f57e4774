//! The parts of RFC 9113 and RFC 7541 that bind a server, by section: what it must take, and what it must refuse.
//!
//! Where a stream's error may be treated as the connection's (5.4.1), the library often does so; the row says
//! which of both is seen.

mod framing; // sections 3 and 4, and header compression
mod messages; // section 8
mod streams; // section 5
mod types; // section 6

use super::asks::{CHAT, body};
use super::frames::{self, flag};
use super::scene::{Scene, Via};
use super::table::AT_ONCE;
use super::wire::Raw;
use crate::kit::client::ask;
use crate::kit::table::{Row, in_order};

/// What a connection error looks like.
const PROTOCOL: &str = "GOAWAY PROTOCOL_ERROR and closed";
const SIZE: &str = "GOAWAY FRAME_SIZE_ERROR and closed";

/// One rule.
struct Rule {
    section: &'static str,
    what: &'static str,
    expected: &'static str,
    /// What the RFC wants, when that is not what is expected.
    letter: Option<&'static str>,
    test: fn(&Scene) -> String,
}

impl Rule {
    /// The library keeps the rule's purpose; the RFC's own word would be this one.
    fn letter(mut self, word: &'static str) -> Self {
        self.letter = Some(word);
        self
    }
}

fn rule(
    section: &'static str,
    what: &'static str,
    expected: &'static str,
    test: fn(&Scene) -> String,
) -> Rule {
    Rule { section, what, expected, letter: None, test }
}

/// Plays all rules against one gateway.
pub fn rows() -> Vec<Row> {
    let rules: Vec<Rule> = [framing::rules(), streams::rules(), types::rules(), messages::rules()]
        .into_iter()
        .flatten()
        .collect();
    let scene = Scene::start(|gateway| gateway, Via::Plain);
    in_order(AT_ONCE, &rules, |rule| {
        let row = Row::of(rule.section, rule.what, || (rule.test)(&scene));
        let good = scene.good();
        let seen = row.seen.map(|seen| if good == "200" { seen } else { format!("{seen}; then {good}") });
        let note = rule.letter.map(|word| format!("by the letter: {word}")).unwrap_or_default();
        Row { seen, note, expected: Some(rule.expected.to_owned()), ..row }
    })
}

/// Says this on a new connection that has greeted. How the connection is then.
fn connection(scene: &Scene, bytes: &[u8]) -> String {
    let mut raw = scene.open();
    let _ = raw.send(bytes);
    raw.fate()
}

/// Says this on a new connection, with its first stream. How that is answered, and how the connection is then.
fn stream(scene: &Scene, bytes: impl FnOnce(u32) -> Vec<u8>) -> String {
    let mut raw = scene.open();
    let id = raw.next();
    let _ = raw.send(&bytes(id));
    both(&mut raw, id)
}

/// A complete chat request, and this after it. As [`stream`].
fn after_request(scene: &Scene, bytes: impl FnOnce(u32) -> Vec<u8>) -> String {
    stream(scene, |id| [chat(id), bytes(id)].concat())
}

/// How a stream is answered, and how its connection is then.
fn both(raw: &mut Raw, id: u32) -> String {
    let answer = raw.answer(id);
    let fate = raw.fate();
    if answer == "no answer" { fate } else { format!("{answer}; {fate}") }
}

/// A complete chat request that is answered at once.
fn chat(id: u32) -> Vec<u8> {
    [begin(id), frames::last_data(id, &body(&ask("general")))].concat()
}

/// A complete chat request that is never answered.
fn silent(id: u32) -> Vec<u8> {
    [begin(id), frames::last_data(id, &body(&ask("silent")))].concat()
}

/// The head of a chat request.
fn begin(id: u32) -> Vec<u8> {
    frames::headers(id, flag::NONE, &frames::block(&CHAT))
}
