//! Why an attempt failed, and what follows from it: from Pingora's errors to our own words and back.

use std::time::Duration;

use pingora_core::{Error, ErrorSource, ErrorType};

use super::answer;
use super::exchange::{Answer, Client, Failures, Relay, SecondChance};
use super::held::OVERDUE;
use crate::error::{GatewayError, UpstreamFault};
use crate::metrics::Metrics;
use crate::names::Alias;
use crate::rules::attempt::Attempt;
use crate::rules::catalog::AliasEntry;
use crate::rules::failover::{self, Blame, Sent, Told, Verdict};
use crate::rules::pools::Backend;
use crate::rules::retry::RetryRules;
use crate::rules::tick::Tick;

/// How long a busy backend that does not say is left alone.
const COOL_DOWN: Duration = Duration::from_secs(1);

/// Judges a failed attempt and marks the error accordingly. `reused` says whether the connection had
/// served before.
pub fn after_failure(
    error: &mut Error,
    relay: &mut Relay,
    entry: &AliasEntry,
    metrics: &Metrics,
    now: Tick,
    reused: bool,
) {
    error.set_retry(false);
    if client_left(error, relay) {
        relay.client = Client::Left;
        close(relay, entry, |_, backend| backend.metrics.failed("client_left"));
        return;
    }
    if relay.control.is_over() {
        // Only the backend's connection lingered.
        return;
    }
    let fault = relay.control.fault().unwrap_or_else(|| match &relay.answer {
        // Refused, and the reasons broke off.
        Answer::Refusal { status, body } => answer::why(*status, body),
        Answer::Asked | Answer::Whole(_) | Answer::Events(_) => classify(error),
    });
    relay.control.blame(fault);
    if stale(fault, reused, relay) {
        // A server may close a kept connection at any time (RFC 9112, 9.5); that says nothing of its
        // health, and it had not begun to answer.
        metrics.stale_connections.inc();
        relay.second_chance = SecondChance::Taken;
        error.set_retry(true);
        return;
    }
    let meaning = failover::judge(fault);
    settle(relay, entry, fault, now);
    relay.spent.attempts += 1;
    relay.spent.unsure += usize::from(failover::is_unsure(meaning.again));
    let on_timeout = relay.asked(entry).is_none_or(|(route, _, _)| route.pool.retry.on_timeout);
    let rules = RetryRules { on_timeout, ..entry.retry };
    match failover::verdict(meaning.again, relay.sent(), relay.spent, &rules) {
        Verdict::TryNext => error.set_retry(true),
        Verdict::TryOtherRoute => {
            relay.from_route = relay.tried.last().map_or(0, |last| last.route + 1);
            error.set_retry(true);
        }
        Verdict::Refuse => {}
    }
}

/// Enters the end of a failed attempt everywhere: the request's own account, the backend's health, the metrics.
/// Does nothing when that has been done.
pub fn settle(relay: &mut Relay, entry: &AliasEntry, fault: UpstreamFault, now: Tick) {
    let meaning = failover::judge(fault);
    let (wait, sent) = (relay.retry_after.unwrap_or(COOL_DOWN), relay.sent());
    relay.failures = match (meaning.told, relay.failures) {
        (Told::Busy, Failures::None) => Failures::Busy(wait),
        (Told::Busy, Failures::Busy(sooner)) => Failures::Busy(sooner.min(wait)),
        (Told::Busy | Told::Unavailable | Told::Rejected(_) | Told::Blocked, _) => Failures::Other(fault),
    };
    close(relay, entry, |attempt, backend| {
        backend.metrics.failed(fault.label());
        // A long answer that ran out of the request's whole time says nothing of its backend.
        let too_long = fault == UpstreamFault::TotalTimeout && sent == Sent::Some;
        let blame = if too_long { Blame::Nobody } else { meaning.blame };
        match blame {
            Blame::Nobody => attempt.refused(now),
            Blame::Failing => {
                if attempt.failed(now) {
                    log::warn!("backend {} is let go of for a while: {}", backend.name, fault.label());
                }
            }
            Blame::Busy => {
                attempt.refused(now);
                attempt.member().vitals.cool_down(now.plus(wait));
            }
            Blame::Credential => {
                attempt.refused(now);
                backend.metrics.credential_refused.inc();
                if backend.credential.refused(now) {
                    log::error!(
                        "backend {} refuses our credential ({}): it is left out for a minute; see to its key or account",
                        backend.name,
                        fault.label()
                    );
                }
            }
        }
    });
}

/// Counts an attempt that led to a complete answer, unless its end has been counted.
pub fn success(relay: &mut Relay, entry: &AliasEntry) {
    close(relay, entry, |_, backend| backend.metrics.succeeded());
}

/// Takes the attempt that runs, if there still is one, for its last word.
fn close(relay: &mut Relay, entry: &AliasEntry, last_word: impl FnOnce(&mut Attempt, &Backend)) {
    if let Some(mut attempt) = relay.attempt.take()
        && let Some((_, backend, _)) = relay.asked(entry)
    {
        last_word(&mut attempt, backend);
    }
}

/// The refusal that a failed request ends with.
pub fn refusal(fault: Option<UpstreamFault>, failures: Failures, alias: &Alias) -> GatewayError {
    let fault = fault.unwrap_or(UpstreamFault::NoBackend);
    let down = |fault| GatewayError::UpstreamDown { alias: alias.clone(), fault };
    match (failover::judge(fault).told, failures) {
        (Told::Rejected(why), _) => GatewayError::Rejected(why),
        (Told::Blocked, _) => GatewayError::Blocked,
        (Told::Busy, Failures::Busy(wait)) => GatewayError::Busy { alias: alias.clone(), wait },
        (Told::Busy | Told::Unavailable, _) => down(fault),
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
        ErrorType::H2Error => h2_fault(error),
        ErrorType::InvalidHTTPHeader => UpstreamFault::BadResponse,
        // Pingora's name for a body that is shorter than its head said.
        ErrorType::Custom("PrematureBodyEnd") => UpstreamFault::Truncated,
        _ => UpstreamFault::BadResponse,
    }
}

fn h2_fault(error: &Error) -> UpstreamFault {
    let not_taken = error.root_cause().downcast_ref::<h2::Error>().is_some_and(|cause| {
        let reason = cause.reason();
        let leaving = cause.is_go_away() && cause.is_remote() && reason == Some(h2::Reason::NO_ERROR);
        leaving || reason == Some(h2::Reason::REFUSED_STREAM)
    });
    if not_taken { UpstreamFault::NotTaken } else { UpstreamFault::Reset }
}
