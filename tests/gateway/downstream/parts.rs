//! What rows are made of: gateways that lose patience soon, backends that never stop, and words for what was seen.

use std::time::{Duration, Instant};

use crate::faults::parts::{delta, finish};
use crate::kit::answers::sse_head;
use crate::kit::client::{Client, Response};
use crate::kit::config::Gateway;
use crate::kit::daemon::Daemon;
use crate::kit::process::soon;
use crate::kit::script::{Step, chunk};
use crate::kit::upstream::Upstream;

/// Every deadline for clients in these tests, and how the configuration writes it.
pub const PATIENCE: Duration = Duration::from_secs(1);
pub const WRITTEN: &str = "1s";
/// When it has been kept at the latest: a busy machine adds to it, and all other deadlines are longer.
pub const AT_LATEST: Duration = Duration::from_secs(6);

/// How many clients the large rows have.
pub fn many(default: usize) -> usize {
    std::env::var("CLIENTS").ok().and_then(|clients| clients.parse().ok()).unwrap_or(default)
}

/// A gateway that loses patience after a second, whatever it waits for.
pub fn strict(upstream: &Upstream) -> Gateway {
    ["header_timeout", "body_timeout", "write_timeout"]
        .into_iter()
        .fold(Gateway::new().backend(upstream), |gateway, field| gateway.server(field, WRITTEN))
}

/// Whether a deadline was kept.
pub fn kept(took: Duration) -> String {
    let about = PATIENCE - Duration::from_millis(100)..AT_LATEST;
    if about.contains(&took) { "in time".to_owned() } else { format!("after {took:.1?}") }
}

/// What a client sees that says nothing more.
pub fn farewell<S: std::io::Read + std::io::Write>(client: &mut Client<S>, since: Instant) -> String {
    match client.try_read() {
        Ok(answer) => {
            let words = format!("{} {}", told(&answer), kept(since.elapsed()));
            format!("{words}, then {}", if client.is_closed() { "closed" } else { "open" })
        }
        Err(_) => format!("closed {}", kept(since.elapsed())),
    }
}

/// A refusal in two words.
pub fn told(answer: &Response) -> String {
    let code = if answer.body.is_empty() { "".into() } else { answer.json()["error"]["code"].clone() };
    format!("{} {}", answer.status, code.as_str().unwrap_or_default()).trim_end().to_owned()
}

/// An answer without an end: a gigabyte of events, a kilobyte each.
pub fn flood() -> Vec<Step> {
    let Step::Bytes(event) = chunk(delta(&"x".repeat(800))) else { return Vec::new() };
    vec![sse_head(), chunk(delta("begun")), Step::Repeat(event, 1_000_000)]
}

/// A stream that has begun, waits for `gate`, and then ends well.
pub fn paused(gate: &'static str) -> Vec<Step> {
    vec![
        sse_head(),
        chunk(delta("one ")),
        Step::Wait(gate),
        chunk(delta("two")),
        chunk(finish()),
        chunk("data: [DONE]\n\n"),
        crate::kit::script::last_chunk(),
    ]
}

/// Whether nothing is left of any request.
pub fn settled(daemon: &Daemon) -> String {
    let left = || {
        let names = ["serving", "in_flight", "upstream_in_flight", "body_bytes"];
        names.map(|name| (name, daemon.metric_sum(&format!("byname_{name}"), &[])))
    };
    if soon(AT_LATEST, || left().iter().all(|(_, value)| *value == 0.0)) {
        "nothing left".to_owned()
    } else {
        format!("left: {:?}", left())
    }
}

/// Whether the gateway left its backend at once, and not when a deadline passed.
pub fn cancelled(upstream: &Upstream, request: usize) -> &'static str {
    if upstream.wait_closed(request, AT_LATEST) { "backend left" } else { "backend kept" }
}

/// A count that is either as it must be, or told.
pub fn count(metric: f64, expected: usize) -> String {
    let seen = format!("{metric}");
    if seen == expected.to_string() { "all".to_owned() } else { format!("{seen} of {expected}") }
}
