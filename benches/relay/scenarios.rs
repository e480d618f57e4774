//! What is measured: one entry per kind of traffic, with its bytes made beforehand.
//!
//! Never measures. Prompts are English prose in turns of 2 KB, as a long conversation is; `dense100k` is
//! source code, where every line has escapes.

use std::time::Duration;

use crate::answer::Expect;
use crate::fleet::Target::{self, Bare, Byname, Direct, Quiet, Traced};

/// The client key that the gateway's config knows the hash of.
pub const KEY: &str = "bn-bench";

/// All names that `--only` takes. `memory` is not a [`Scenario`]: it needs a fresh process and no clock.
pub const NAMES: &[&str] = &[
    "json1k",
    "json16k",
    "json100k",
    "dense100k",
    "json128k",
    "json1m",
    "sse_paced",
    "sse_burst",
    "models",
    "refused",
    "latency1k",
    "memory",
];

/// All targets: where the cost of logs and traces is looked at, too.
pub const EACH: &[Target] = &[Direct, Bare, Byname, Quiet, Traced];

pub struct Scenario {
    pub name: &'static str,
    pub request: Vec<u8>,
    pub expect: Expect,
    pub arrival: Arrival,
    /// What CPU time is divided by.
    pub unit: Unit,
    pub targets: &'static [Target],
    /// Load before the measurement, until connections are open and streams overlap as they will.
    pub warm_up: Duration,
}

/// When the next request is sent.
#[derive(Clone, Copy)]
pub enum Arrival {
    /// When the connection's last answer is complete: finds what one core can do.
    Closed { connections: usize },
    /// By the clock, whatever the answers do: finds how long they take.
    Open { per_second: u32, connections: u32 },
}

#[derive(Clone, Copy, PartialEq)]
pub enum Unit {
    Request,
    Chunk,
}

impl Unit {
    pub fn name(self) -> &'static str {
        match self {
            Unit::Request => "request",
            Unit::Chunk => "chunk",
        }
    }
}

/// Every scenario, in the order of the report.
pub fn all() -> Vec<Scenario> {
    vec![
        Scenario { targets: EACH, ..json("json1k", 1, 32) },
        json("json16k", 16, 16),
        json("json100k", 100, 16),
        Scenario {
            request: post(&conversation("general", "", 100 * 1024, CODE), KEY),
            ..json("dense100k", 100, 16)
        },
        json("json128k", 128, 16),
        json("json1m", 1024, 16),
        Scenario {
            arrival: Arrival::Open { per_second: 50, connections: 100 },
            warm_up: Duration::from_millis(1200),
            ..stream("sse_paced", "chunks=100 pace_ms=10")
        },
        Scenario { targets: EACH, ..stream("sse_burst", "chunks=100 pace_ms=0") },
        Scenario { request: get("/v1/models"), ..json("models", 1, 32) },
        Scenario {
            request: post(&chat("general", "", 256), "bn-nobody"),
            expect: Expect::Refusal,
            targets: &[Byname],
            ..json("refused", 1, 32)
        },
        Scenario { arrival: Arrival::Open { per_second: 1000, connections: 32 }, ..json("latency1k", 1, 32) },
    ]
}

/// A stream that outlives the measurement: a chunk each second.
pub fn held_stream() -> Vec<u8> {
    post(&chat("general", r#""stream":true,"#, 0).replace("PLACE", "chunks=86400 pace_ms=1000"), KEY)
}

fn json(name: &'static str, prompt_kb: usize, connections: usize) -> Scenario {
    Scenario {
        name,
        request: post(&chat("general", "", prompt_kb * 1024), KEY),
        expect: Expect::Json,
        arrival: Arrival::Closed { connections },
        unit: Unit::Request,
        targets: &[Direct, Bare, Byname],
        warm_up: Duration::from_millis(200),
    }
}

fn stream(name: &'static str, order: &str) -> Scenario {
    Scenario {
        request: post(&chat("general", r#""stream":true,"#, 0).replace("PLACE", order), KEY),
        expect: Expect::Stream { chunks: 100 },
        unit: Unit::Chunk,
        ..json(name, 1, 16)
    }
}

/// A chat request of about `size` bytes; `extra` stands between the model and the messages. The first
/// message begins with `PLACE`.
fn chat(model: &str, extra: &str, size: usize) -> String {
    conversation(model, extra, size, PROSE)
}

/// One escape in 90 bytes: the end of a line.
const PROSE: &str =
    "The quick brown fox said hello to the lazy dog, and they went home before the rain began.\\n";
/// Five escapes in 50 bytes.
const CODE: &str = "\\tlet greeting = say(\\\"hello\\\").to(\\\"the lazy dog\\\");\\n";

fn conversation(model: &str, extra: &str, size: usize, sentence: &str) -> String {
    const TURN: usize = 2048;
    let mut body = format!(r#"{{"model":"{model}",{extra}"temperature":0.5,"messages":["#);
    let mut role = "user";
    let mut opening = "PLACE ";
    loop {
        let length = size.saturating_sub(body.len()).min(TURN);
        let sentences = length.saturating_sub(40) / sentence.len();
        body.push_str(&format!(r#"{{"role":"{role}","content":"{opening}{}"}}"#, sentence.repeat(sentences)));
        if body.len() + 80 >= size {
            break;
        }
        body.push(',');
        opening = "";
        role = if role == "user" { "assistant" } else { "user" };
    }
    body.push_str("]}");
    body
}

fn post(body: &str, key: &str) -> Vec<u8> {
    let length = body.len();
    format!(
        "POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {key}\r\n\
         content-type: application/json\r\naccept: */*\r\nuser-agent: relay-bench\r\n\
         content-length: {length}\r\n\r\n{body}"
    )
    .into_bytes()
}

fn get(path: &str) -> Vec<u8> {
    format!("GET {path} HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {KEY}\r\naccept: */*\r\n\r\n")
        .into_bytes()
}
