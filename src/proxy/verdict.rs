//! Why an attempt failed, and what follows from it: from Pingora's errors to our own words and back.

use pingora_core::{Error, ErrorSource, ErrorType};

use super::exchange::{Answer, AttemptCount, Client, Relay, SecondChance};
use super::held::OVERDUE;
use crate::error::{GatewayError, Rejection, UpstreamFault};
use crate::names::Alias;
use crate::rules::catalog::AliasEntry;
use crate::rules::failover::{Sent, Verdict, judge};
use crate::rules::pools::Backend;

/// Judges a failed attempt and marks the error accordingly. `reused` says whether the connection had
/// served before.
pub fn after_failure(error: &mut Error, relay: &mut Relay, entry: &AliasEntry, reused: bool) {
    error.set_retry(false);
    if client_left(error, relay) {
        relay.client = Client::Left;
        failure(relay, entry, "client_left");
        return;
    }
    if relay.control.is_over() {
        // Only the backend's connection lingered.
        return;
    }
    let fault = relay.control.fault().unwrap_or_else(|| match relay.answer {
        // Refused, and the reasons broke off.
        Answer::Rejection { status, .. } => UpstreamFault::RejectedRequest(status),
        Answer::Asked | Answer::Whole(_) | Answer::Events(_) => classify(error),
    });
    relay.control.blame(fault);
    relay.last_fault = Some(fault);
    failure(relay, entry, fault.label());
    if stale(fault, reused, relay) {
        // A server may close a kept connection at any time (RFC 9112, 9.5); that says nothing of its
        // health, and it had not begun to answer.
        relay.second_chance = SecondChance::Spent;
        relay.tried.pop();
        error.set_retry(true);
        return;
    }
    let spent = match relay.second_chance {
        SecondChance::Left => relay.attempts,
        // The dead connection was nobody's attempt.
        SecondChance::Spent => relay.attempts - 1,
    };
    let allowed = entry.routes.iter().map(|route| route.pool.attempts).max().unwrap_or(1);
    match judge(fault, relay.sent(), allowed.saturating_sub(spent)) {
        Verdict::TryNext => error.set_retry(true),
        Verdict::Refuse => {}
    }
}

/// The refusal that a failed request ends with.
pub fn refusal(fault: Option<UpstreamFault>, alias: &Alias) -> GatewayError {
    match fault {
        Some(UpstreamFault::RejectedRequest(_)) => GatewayError::Rejected(Rejection::Other),
        Some(UpstreamFault::ContextOverflow) => GatewayError::Rejected(Rejection::ContextOverflow),
        fault => GatewayError::UpstreamDown {
            alias: alias.clone(),
            fault: fault.unwrap_or(UpstreamFault::NoBackend),
        },
    }
}

/// Counts an attempt that failed, unless its end has been counted.
pub fn failure(relay: &mut Relay, entry: &AliasEntry, label: &'static str) {
    if let Some(backend) = uncounted(relay, entry) {
        backend.metrics.failed(label);
    }
}

/// Counts an attempt that led to a complete answer, unless its end has been counted.
pub fn success(relay: &mut Relay, entry: &AliasEntry) {
    if let Some(backend) = uncounted(relay, entry) {
        backend.metrics.succeeded();
    }
}

/// The backend of an attempt whose end has not been counted, and now is.
fn uncounted<'e>(relay: &mut Relay, entry: &'e AliasEntry) -> Option<&'e Backend> {
    match relay.counted {
        AttemptCount::Done => None,
        AttemptCount::Open => {
            relay.counted = AttemptCount::Done;
            let (_, backend) = relay.tried.last()?.of(&entry.routes)?;
            Some(backend)
        }
    }
}

/// A deadline's error is labelled "downstream" by Pingora, because the client side raises it.
fn client_left(error: &Error, relay: &Relay) -> bool {
    *error.esource() == ErrorSource::Downstream
        && *error.etype() != OVERDUE
        && relay.control.fault().is_none()
}

fn stale(fault: UpstreamFault, reused: bool, relay: &Relay) -> bool {
    reused
        && fault == UpstreamFault::Reset
        && relay.second_chance == SecondChance::Left
        && relay.sent() == Sent::Nothing
        && matches!(relay.answer, Answer::Asked)
}

fn classify(error: &Error) -> UpstreamFault {
    match error.etype() {
        ErrorType::ConnectTimedout | ErrorType::TLSHandshakeTimedout => UpstreamFault::ConnectTimeout,
        ErrorType::TLSHandshakeFailure | ErrorType::InvalidCert | ErrorType::TLSWantX509Lookup => {
            UpstreamFault::Tls
        }
        ErrorType::ConnectRefused
        | ErrorType::ConnectNoRoute
        | ErrorType::ConnectError
        | ErrorType::BindError
        | ErrorType::SocketError
        | ErrorType::ConnectProxyFailure => UpstreamFault::Connect,
        ErrorType::ReadTimedout | ErrorType::WriteTimedout => UpstreamFault::FirstByteTimeout,
        ErrorType::ReadError | ErrorType::WriteError | ErrorType::ConnectionClosed => UpstreamFault::Reset,
        ErrorType::InvalidHTTPHeader => UpstreamFault::BadResponse,
        // Pingora's name for a body that is shorter than its head said.
        ErrorType::Custom("PrematureBodyEnd") => UpstreamFault::Truncated,
        _ => UpstreamFault::BadResponse,
    }
}
