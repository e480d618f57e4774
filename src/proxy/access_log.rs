//! What is remembered of a request when it is over: its metrics, what it costs of limits, and one line in the log.
//! Never a key, a prompt or an answer.

mod text;

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use serde::Serialize;

use super::exchange::{Client, Exchange, Relay, Stage};
use super::lines::{Lines, Priority};
use super::moderation::Unmoderated;
use super::trace::{self, Ended};
use super::verdict;
use crate::config::plan::LogForm;
use crate::error::{Fault, UpstreamFault};
use crate::metrics::{Metrics, TokenSource};
use crate::rules::failover::Sent;
use crate::rules::limits::book::Charge;
use crate::rules::tokens::{self, Counted};

#[derive(Serialize)]
struct Line<'a> {
    time: String,
    request_id: &'a str,
    /// Of a request that is traced.
    #[serde(skip_serializing_if = "Option::is_none")]
    trace_id: Option<String>,
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

/// Counts a finished request and writes its line, where one is wanted.
pub fn remember(log: &Lines, metrics: &Metrics, exchange: &mut Exchange) {
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
    let mut first = None;
    let mut backend = None;
    if let Some(relay) = relay {
        if !relay.tried.is_empty() {
            of.overhead.observe(relay.overhead().as_secs_f64());
        }
        first = relay.control.first_sent();
        if let Some(wait) = first {
            of.first_token.observe(wait.as_secs_f64());
        }
        tokens = used(relay);
        if let Some(used) = tokens {
            let (source, counted) = match relay.tally.usage {
                Some(_) => (TokenSource::Upstream, Counted::Model),
                None => (TokenSource::Estimated, Counted::Nobody),
            };
            of.used(
                used.prompt_tokens.unwrap_or(0).min(MOST_TOKENS),
                used.completion_tokens.min(MOST_TOKENS),
                source,
            );
            // Of an answer that broke off it is not known.
            if let (Some(entry), None) = (&exchange.entry, relay.control.fault())
                && relay.client == Client::Waiting
            {
                entry.learned.counted(counted);
            }
        }
        let asked = exchange.entry.as_ref().and_then(|entry| relay.asked(entry));
        backend = asked.map(|(_, backend, _)| backend.name.as_str());
    }
    if exchange.following.is_some() {
        let error = error.as_ref();
        let tokens = tokens.map(|tokens| (tokens.prompt_tokens, tokens.completion_tokens));
        trace::hand_over(exchange, relay, &Ended { at: end, status, error, tokens, first });
    }
    // Of an answer that was not to be sent in the end nothing was.
    let bytes_down = match &exchange.stage {
        Stage::Relaying(relay) => relay.tally.bytes_down,
        Stage::Answered { .. } | Stage::Arrived => 0,
    };
    let Some(form) = exchange.snapshot.access else { return };
    let line = Line {
        time: timestamp(exchange.wall),
        request_id: exchange.id.as_str(),
        trace_id: exchange.following.as_ref().and_then(|following| following.trace_id()),
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
        bytes_down,
        tokens,
        charged_tokens: charged,
        first_token_ms: first.map(millis),
        duration_ms: millis(end - exchange.arrived),
    };
    let mut text = Vec::with_capacity(512);
    match form {
        // Plain values always serialise.
        LogForm::Json => drop(serde_json::to_writer(&mut text, &line)),
        LogForm::Text => line.tell(&mut text),
    }
    text.push(b'\n');
    log.push(Priority::Info, &text);
}

/// Counts how the last attempt ended, unless its failure has been counted.
fn count_attempt(exchange: &mut Exchange) {
    let Ok((relay, entry, snapshot)) = exchange.relay() else { return };
    let now = snapshot.origin.tick(Instant::now());
    match relay.control.fault() {
        Some(fault) => {
            trace::leg_ends(relay, Some(fault.label()));
            verdict::settle(relay, entry, fault, now);
        }
        None if relay.control.is_over() => {
            trace::leg_ends(relay, None);
            verdict::success(relay, entry, now);
        }
        None => trace::leg_ends(relay, Some("client_left")),
    }
}

/// More tokens than this are believed of no answer, so that a backend's slip of the pen cannot use up a month.
const MOST_TOKENS: u64 = 100_000_000;

/// Settles what the request has taken from its limits; the tokens, if it counts as a request.
fn settle(exchange: &mut Exchange) -> Option<u64> {
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
            if let Some(entry) = exchange.entry.as_ref().filter(|_| prompt.estimated > 0) {
                entry.learned.observe(prompt.estimated, asked, said);
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
    relay.quota.settle(charge, sent, &exchange.snapshot);
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

/// What the model said it used; without a word from it, an estimate of the prompt and of what was delivered.
fn used(relay: &Relay) -> Option<Tokens> {
    match relay.tally.usage {
        Some(usage) => Some(Tokens {
            prompt_tokens: Some(usage.prompt),
            completion_tokens: usage.completion,
            token_source: TokenSource::Upstream.label(),
        }),
        None if relay.tally.delivered.chars > 0 => Some(Tokens {
            prompt_tokens: prompt(relay),
            completion_tokens: tokens::estimate(relay.tally.delivered),
            token_source: TokenSource::Estimated.label(),
        }),
        None => None,
    }
}

/// What the prompt was taken for, if it was weighed.
fn prompt(relay: &Relay) -> Option<u64> {
    Some(relay.quota.prompt.corrected()).filter(|prompt| *prompt > 0)
}

fn millis(time: Duration) -> f64 {
    // Microseconds are precise enough, and shorter to read.
    (time.as_secs_f64() * 1_000_000.0).round() / 1_000.0
}

fn timestamp(time: SystemTime) -> String {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    humantime::format_rfc3339_millis(UNIX_EPOCH + since).to_string()
}
