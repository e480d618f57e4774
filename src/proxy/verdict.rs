//! Why an attempt failed, and what follows from it: from Pingora's errors to our own words and back.

use std::time::{Duration, Instant};

use pingora_core::{Error, ErrorSource, ErrorType};

use super::answer;
use super::exchange::{Answer, Client, Failures, Relay, SecondChance};
use super::held::OVERDUE;
use super::trace;
use crate::error::{GatewayError, UpstreamFault};
use crate::metrics::Metrics;
use crate::names::Alias;
use crate::rules::attempt::{Attempt, Turned};
use crate::rules::catalog::{AliasEntry, Route};
use crate::rules::credential::Sure;
use crate::rules::failover::{self, Blame, Sent, Told, Verdict};
use crate::rules::pools::Backend;
use crate::rules::retry::RetryRules;
use crate::rules::tick::Tick;

/// How long a busy backend that does not say is left alone.
const COOL_DOWN: Duration = Duration::from_secs(1);

/// How soon a dead connection is known to be dead: the way there and back, with a packet lost on it.
const STALE: Duration = Duration::from_secs(1);

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
        trace::leg_ends(relay, Some("client_left"));
        close(relay, entry, |attempt, _, backend| {
            backend.metrics.failed("client_left");
            let turned = attempt.given_up(now);
            tell(attempt, backend, turned, "client_left");
        });
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
    let fault = match fault {
        // What was left of the whole time was too short for it.
        UpstreamFault::ConnectTimeout if Instant::now() >= relay.end => UpstreamFault::TotalTimeout,
        fault => fault,
    };
    relay.control.blame(fault);
    trace::leg_ends(relay, Some(fault.label()));
    let Some(rules) = relay.asked(entry).map(|(route, _, _)| route.pool.retry) else { return };
    if stale(fault, reused, relay, &rules) {
        // A server may close a kept connection at any time (RFC 9112, 9.5); that says nothing of its
        // health, and it had not begun to answer.
        metrics.stale_connections.inc();
        if let Some((_, backend, _)) = relay.asked(entry) {
            backend.metrics.failed("stale_connection");
        }
        relay.second_chance = SecondChance::Taken;
        error.set_retry(true);
        return;
    }
    let meaning = failover::judge(fault);
    settle(relay, entry, fault, now);
    relay.spent.attempts += 1;
    relay.spent.unsure += usize::from(failover::is_unsure(meaning.again));
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
    let answered = relay.tally.first_useful.is_some();
    relay.failures = match (meaning.told, relay.failures) {
        (Told::Busy, Failures::None) => Failures::Busy(wait),
        (Told::Busy, Failures::Busy(sooner)) => Failures::Busy(sooner.min(wait)),
        (Told::Busy | Told::Unavailable | Told::Rejected(_) | Told::Blocked(_), _) => Failures::Other(fault),
    };
    close(relay, entry, |attempt, route, backend| {
        backend.metrics.failed(fault.label());
        // A long answer that ran out of the request's whole time says nothing of its backend, nor does one that waited
        // for a moderator.
        let too_long = fault == UpstreamFault::TotalTimeout && (sent == Sent::Some || answered);
        let blame = if too_long { Blame::Nobody } else { meaning.blame };
        let turned = match blame {
            Blame::Failing => attempt.failed(now),
            Blame::TooSlow => attempt.too_slow(now),
            Blame::Nobody | Blame::Busy | Blame::Absent | Blame::Credential(_) => {
                attempt.refused(now);
                Turned::Not
            }
        };
        tell(attempt, backend, turned, fault.label());
        match blame {
            Blame::Nobody | Blame::Failing | Blame::TooSlow => {}
            Blame::Busy => backend.credential.cool_down(now.plus(wait)),
            Blame::Absent => absent(attempt, route, backend, now),
            Blame::Credential(sure) => refuses(backend, sure, fault, now),
        }
    });
}

/// Says what has become of a breaker, to whoever reads the daemon's events.
pub fn tell(attempt: &Attempt, backend: &Backend, turned: Turned, label: &str) {
    let (pool, address) = (&attempt.pool().name, attempt.member().address);
    match turned {
        Turned::Not => {}
        Turned::Opened => {
            log::warn!("backend {} of pool {pool} is let go of at {address}: {label}", backend.name);
        }
        Turned::Closed => log::info!("backend {} of pool {pool} answers again at {address}", backend.name),
    }
}

fn absent(attempt: &Attempt, route: &Route, backend: &Backend, now: Tick) {
    if route.is_absent(attempt.member().backend, now) {
        let pool = &attempt.pool().name;
        log::warn!("backend {} of pool {pool} does not know a model that a route names", backend.name);
    }
}

fn refuses(backend: &Backend, sure: Sure, fault: UpstreamFault, now: Tick) {
    backend.metrics.credential_refused.inc();
    if backend.credential.refused(sure, now) {
        log::error!(
            "backend {} refuses our credential ({}): it is left out for a minute; see to its key or account",
            backend.name,
            fault.label()
        );
    }
}

/// Counts an attempt that led to a complete answer, unless its end has been counted.
pub fn success(relay: &mut Relay, entry: &AliasEntry, now: Tick) {
    close(relay, entry, |attempt, _, backend| {
        attempt.done(now);
        backend.metrics.succeeded();
    });
}

/// Takes the attempt that runs, if there still is one, for its last word.
fn close(relay: &mut Relay, entry: &AliasEntry, last_word: impl FnOnce(&mut Attempt, &Route, &Backend)) {
    if let Some(mut attempt) = relay.attempt.take()
        && let Some((route, backend, _)) = relay.asked(entry)
    {
        last_word(&mut attempt, route, backend);
    }
}

/// The refusal that a failed request ends with.
pub fn refusal(fault: Option<UpstreamFault>, failures: Failures, alias: &Alias) -> GatewayError {
    let fault = fault.unwrap_or(UpstreamFault::NoBackend);
    if fault == UpstreamFault::DrainOver {
        return GatewayError::Draining;
    }
    let down = |fault| GatewayError::UpstreamDown { alias: alias.clone(), fault };
    match (failover::judge(fault).told, failures) {
        (Told::Rejected(why), _) => GatewayError::Rejected(why),
        (Told::Blocked(who), _) => GatewayError::Blocked(who),
        (Told::Busy, Failures::Busy(wait)) => GatewayError::Busy { alias: alias.clone(), wait },
        (Told::Busy | Told::Unavailable, _) => down(fault),
    }
}

fn client_left(error: &Error, relay: &Relay) -> bool {
    is_of_client(error) && relay.control.fault().is_none()
}

/// Whether reading from the client or writing to it has failed, where an answer has begun. A deadline's error is
/// labelled "downstream" by Pingora, because the client side raises it; so is that of a permit that was not given,
/// before anything is written.
pub fn is_of_client(error: &Error) -> bool {
    *error.esource() == ErrorSource::Downstream && *error.etype() != OVERDUE
}

/// A kept connection that was dead is found so at once; one that breaks later has been worked on.
fn stale(fault: UpstreamFault, reused: bool, relay: &Relay, rules: &RetryRules) -> bool {
    reused
        && rules.resend > 0
        && relay.attempt_began.elapsed() < STALE
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
