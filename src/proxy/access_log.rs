//! One JSON line on standard output for every request. Never a key, a prompt or an answer.
//!
//! Writing never blocks a request: lines gather in memory, up to a cap, and a thread of their own
//! writes them. When its reader is too slow, lines are dropped and counted.

use std::io::Write;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use serde::Serialize;

use super::exchange::{Client, Exchange, Relay, Stage};
use super::moderation::Unmoderated;
use super::verdict;
use crate::error::{Fault, UpstreamFault};
use crate::metrics::{Metrics, TokenSource};
use crate::rules::failover::Sent;
use crate::rules::limits::book::Charge;
use crate::rules::tokens;

/// Lines that wait for their writer, in bytes. At 400 bytes a line that is some 10,000 requests.
const MAX_PENDING: usize = 4 * 1024 * 1024;
/// How long the writer lets lines gather, so that it costs one system call for many requests.
const GATHER: Duration = Duration::from_millis(20);

/// Where lines go. Clones share it.
#[derive(Clone, Default)]
pub struct AccessLog(Arc<Shared>);

#[derive(Default)]
struct Shared {
    pending: Mutex<Pending>,
    more: Condvar,
}

#[derive(Default)]
struct Pending {
    lines: Vec<u8>,
    /// Lines handed to the operating system, ever; see [`AccessLog::flush`].
    written: u64,
    taken: u64,
}

impl AccessLog {
    /// Takes a line, with its line break; `false` when there is no room for it.
    pub fn push(&self, line: &[u8]) -> bool {
        let mut pending = self.0.pending.lock().unwrap_or_else(PoisonError::into_inner);
        if pending.lines.len() + line.len() > MAX_PENDING {
            return false;
        }
        let wake = pending.lines.is_empty();
        pending.lines.extend_from_slice(line);
        pending.taken += 1;
        drop(pending);
        if wake {
            self.0.more.notify_one();
        }
        true
    }

    /// Writes lines to `out` for ever. A broken `out` loses lines and nothing else.
    pub fn write_to(&self, mut out: impl Write) -> ! {
        let mut batch = Vec::new();
        loop {
            let upto = self.next_batch(&mut batch);
            let written = out.write_all(&batch).and_then(|()| out.flush());
            if let Err(error) = written {
                log::debug!("the access log cannot be written: {error}");
            }
            batch.clear();
            let mut pending = self.0.pending.lock().unwrap_or_else(PoisonError::into_inner);
            pending.written = upto;
            drop(pending);
            std::thread::sleep(GATHER);
        }
    }

    fn next_batch(&self, batch: &mut Vec<u8>) -> u64 {
        let pending = self.0.pending.lock().unwrap_or_else(PoisonError::into_inner);
        let mut pending = self
            .0
            .more
            .wait_while(pending, |pending| pending.lines.is_empty())
            .unwrap_or_else(PoisonError::into_inner);
        std::mem::swap(&mut pending.lines, batch);
        pending.taken
    }

    /// Waits until everything taken so far is written, but no longer than `patience`.
    pub fn flush(&self, patience: Duration) {
        let end = Instant::now() + patience;
        let goal = self.0.pending.lock().unwrap_or_else(PoisonError::into_inner).taken;
        while self.0.pending.lock().unwrap_or_else(PoisonError::into_inner).written < goal
            && Instant::now() < end
        {
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

#[derive(Serialize)]
struct Line<'a> {
    time: String,
    request_id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    tenant: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    alias: Option<&'a str>,
    status: u16,
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'static str>,
    /// What a moderator has not judged of a request that went on.
    #[serde(skip_serializing_if = "Option::is_none")]
    moderation: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    backend: Option<&'a str>,
    attempts: usize,
    bytes_up: usize,
    bytes_down: usize,
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    tokens: Option<Tokens>,
    /// What the request has cost of limits, if it counts as one.
    #[serde(skip_serializing_if = "Option::is_none")]
    charged_tokens: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    first_token_ms: Option<f64>,
    duration_ms: f64,
}

#[derive(Serialize, Clone, Copy)]
struct Tokens {
    #[serde(skip_serializing_if = "Option::is_none")]
    prompt_tokens: Option<u64>,
    completion_tokens: u64,
    token_source: &'static str,
}

/// Counts a finished request and writes its line.
pub fn remember(log: &AccessLog, metrics: &Metrics, exchange: &mut Exchange) {
    count_attempt(exchange);
    let charged = settle(exchange);
    let exchange = &*exchange;
    let end = Instant::now();
    let relay = match &exchange.stage {
        Stage::Relaying(relay) => Some(&**relay),
        Stage::Answered { relay, .. } => relay.as_deref(),
        Stage::Arrived => None,
    };
    let (status, error) = match (&exchange.stage, relay) {
        (Stage::Answered { status, error, .. }, _) => (*status, error.clone()),
        // It left while it sent its request.
        (Stage::Arrived, _) | (Stage::Relaying(_), None) => (499, None),
        (Stage::Relaying(_), Some(relay)) => ended(relay, exchange),
    };
    let of = exchange.metrics();
    of.answered(status);
    of.duration.observe((end - exchange.arrived).as_secs_f64());
    if let Some(error) = &error {
        of.refused(error);
    }
    if status == 499 || relay.is_some_and(|relay| relay.client == Client::Left) {
        metrics.disconnects.inc();
    }
    let mut tokens = None;
    let mut first_token = None;
    let mut backend = None;
    if let Some(relay) = relay {
        if !relay.tried.is_empty() {
            of.overhead.observe(relay.overhead().as_secs_f64());
        }
        if let Some(first) = relay.tally.first_useful {
            let wait = first - exchange.arrived;
            of.first_token.observe(wait.as_secs_f64());
            first_token = Some(millis(wait));
        }
        tokens = used(relay);
        if let Some(used) = tokens {
            let source =
                if relay.tally.usage.is_some() { TokenSource::Upstream } else { TokenSource::Estimated };
            of.used(
                used.prompt_tokens.unwrap_or(0).min(MOST_TOKENS),
                used.completion_tokens.min(MOST_TOKENS),
                source,
            );
        }
        let asked = exchange.entry.as_ref().and_then(|entry| relay.asked(entry));
        backend = asked.map(|(_, backend, _)| backend.name.as_str());
    }
    let line = Line {
        time: timestamp(exchange.wall),
        request_id: exchange.id.as_str(),
        tenant: exchange.caller.as_ref().map(|caller| caller.tenant.as_str()),
        key: exchange.caller.as_ref().map(|caller| caller.key.as_str()),
        alias: exchange.entry.as_ref().map(|entry| entry.alias.as_str()),
        status,
        code: error.as_ref().map(|error| error.public().code),
        reason: error.as_ref().map(|error| error.reason()),
        moderation: relay.and_then(|relay| relay.gap.load()).map(Unmoderated::label),
        backend,
        attempts: relay.map_or(0, Relay::attempts),
        bytes_up: relay.map_or(0, |relay| relay.bytes_up),
        bytes_down: relay.map_or(0, |relay| relay.tally.bytes_down),
        tokens,
        charged_tokens: charged,
        first_token_ms: first_token,
        duration_ms: millis(end - exchange.arrived),
    };
    let mut text = Vec::with_capacity(512);
    // Plain values always serialise.
    if serde_json::to_writer(&mut text, &line).is_ok() {
        text.push(b'\n');
        if !log.push(&text) {
            metrics.log_lines_dropped.inc();
        }
    }
}

/// Counts how the last attempt ended, unless its failure has been counted.
fn count_attempt(exchange: &mut Exchange) {
    let Ok((relay, entry, snapshot)) = exchange.relay() else { return };
    let now = snapshot.origin.tick(Instant::now());
    match relay.control.fault() {
        Some(fault) => verdict::settle(relay, entry, fault, now),
        None if relay.control.is_over() => verdict::success(relay, entry, now),
        None => {}
    }
}

/// More tokens than this are believed of no answer, so that a backend's slip of the pen cannot use up a month.
const MOST_TOKENS: u64 = 100_000_000;

/// Settles what the request has taken from its limits; the tokens, if it counts as a request.
fn settle(exchange: &mut Exchange) -> Option<u64> {
    let snapshot = exchange.snapshot.clone();
    let learned = exchange.entry.as_ref().map(|entry| entry.learned.clone());
    let (relay, failed) = match &mut exchange.stage {
        Stage::Relaying(relay) => (relay, false),
        // It counts as a request if the client is at fault, and not at all if we are.
        Stage::Answered { relay: Some(relay), error: Some(error), .. } => {
            (relay, error.fault() != Fault::Caller && error.fault() != Fault::Policy)
        }
        Stage::Answered { .. } | Stage::Arrived => return None,
    };
    let limited = relay.quota.is_taken();
    let sent = !relay.tried.is_empty();
    // An attempt was under way when the client left.
    let worked_on = relay.tried.len() > relay.spent.attempts;
    let delivered = tokens::estimate(relay.tally.delivered);
    let prompt = relay.quota.prompt;
    let charge = match relay.tally.usage {
        _ if failed || !sent => Charge::Nothing,
        Some(usage) => {
            let (asked, said) = (usage.prompt.min(MOST_TOKENS), usage.completion.min(MOST_TOKENS));
            if let Some(learned) = learned.as_ref().filter(|_| prompt.estimated > 0) {
                learned.observe(prompt.estimated, asked, said);
            }
            Charge::Tokens(asked + said)
        }
        // It has said what must not be said, and has worked for it.
        None if relay.control.fault() == Some(UpstreamFault::AnswerForbidden) => {
            Charge::Tokens(prompt.corrected().saturating_add(delivered))
        }
        // Refused by the backing model, which has done nothing.
        None if relay.sent() == Sent::Nothing && relay.client == Client::Waiting => Charge::Tokens(0),
        None if relay.sent() == Sent::Nothing && !worked_on => Charge::Nothing,
        // It left, or the stream broke: what has been worked on is paid for.
        None => Charge::Tokens(prompt.corrected().saturating_add(delivered)),
    };
    let reserved = relay.quota.reserved();
    relay.quota.settle(charge, sent, &snapshot);
    match charge {
        Charge::Nothing => None,
        Charge::Tokens(used) => {
            if reserved > 0 {
                exchange.metrics().settled(reserved, used);
            }
            limited.then_some(used)
        }
    }
}

/// How a relayed request ended: its status, and what it was told after that, if anything.
fn ended(relay: &Relay, exchange: &Exchange) -> (u16, Option<crate::error::GatewayError>) {
    let cut = relay.control.fault().zip(exchange.entry.as_ref());
    match (relay.client, relay.sent(), cut) {
        (Client::Left, _, _) => (499, None),
        (Client::Waiting, Sent::Some, Some((fault, entry))) => {
            (200, Some(verdict::refusal(Some(fault), relay.failures, &entry.alias)))
        }
        (Client::Waiting, Sent::Some | Sent::Nothing, _) => (200, None),
    }
}

/// What the model said it used; without a word from it, an estimate of what was delivered.
fn used(relay: &Relay) -> Option<Tokens> {
    match relay.tally.usage {
        Some(usage) => Some(Tokens {
            prompt_tokens: Some(usage.prompt),
            completion_tokens: usage.completion,
            token_source: TokenSource::Upstream.label(),
        }),
        None if relay.tally.delivered.chars > 0 => Some(Tokens {
            prompt_tokens: None,
            completion_tokens: tokens::estimate(relay.tally.delivered),
            token_source: TokenSource::Estimated.label(),
        }),
        None => None,
    }
}

fn millis(time: Duration) -> f64 {
    // Microseconds are precise enough, and shorter to read.
    (time.as_secs_f64() * 1_000_000.0).round() / 1_000.0
}

fn timestamp(time: SystemTime) -> String {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    humantime::format_rfc3339_millis(UNIX_EPOCH + since).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_taken_up_to_the_cap_and_not_beyond() {
        let log = AccessLog::default();
        assert!(log.push(&vec![b'x'; MAX_PENDING - 1]));
        assert!(!log.push(b"xy"));
        assert!(log.push(b"x"));
        assert!(!log.push(b"x"));
    }

    #[test]
    fn a_flush_waits_for_the_writer_and_no_longer_than_it_is_told() {
        let log = AccessLog::default();
        log.flush(Duration::from_secs(10));
        log.push(b"line\n");
        // Nobody writes.
        log.flush(Duration::from_millis(1));
        let writer = log.clone();
        std::thread::spawn(move || writer.write_to(std::io::sink()));
        log.flush(Duration::from_secs(10));
        assert!(log.0.pending.lock().unwrap().lines.is_empty());
    }
}
