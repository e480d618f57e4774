//! Whom to ask next: the choice, the budget for asking again, and the wait in between.

use std::time::{Duration, Instant};

use pingora_core::protocols::http::ServerSession as HttpSession;
use pingora_core::upstreams::peer::HttpPeer;
use pingora_core::{Error, Result};
use pingora_timeout::fast_timeout::fast_sleep;

use super::exchange::{Answer, Client, Exchange, Failures, Relay, SecondChance, Tally};
use super::held::Patience;
use super::peer::{self, Connection};
use super::{REFUSED, refused};
use crate::config::snapshot::Snapshot;
use crate::error::{GatewayError, UpstreamFault};
use crate::metrics::Metrics;
use crate::rules::attempt::{Choice, Nobody, Tried, choose};
use crate::rules::catalog::AliasEntry;
use crate::rules::retry;
use crate::wire::splice::{Edits, Logprobs, splice};

/// Begins the next attempt of a request and says where it goes.
///
/// # Errors
/// When there is nobody to ask, the retry budget is used up, or the client leaves during the wait. None of
/// these is tried again.
pub async fn peer(session: &mut HttpSession, exchange: &mut Exchange, metrics: &Metrics) -> Result<HttpPeer> {
    let (relay, entry, snapshot) = exchange.relay().map_err(refused)?;
    let connection = match relay.second_chance {
        SecondChance::Taken => {
            relay.second_chance = SecondChance::Spent;
            metrics.retries.inc();
            Connection::Fresh
        }
        SecondChance::Left | SecondChance::Spent => {
            choose_one(session, relay, entry, snapshot, metrics).await?;
            Connection::Any
        }
    };
    let now = Instant::now();
    let (route, backend, _) =
        relay.asked(entry).ok_or_else(|| refused(GatewayError::Internal("no_route")))?;
    relay.attempt_began = now;
    relay.answer = Answer::Asked;
    relay.interim = 0;
    relay.retry_after = None;
    relay.tally = Tally::default();
    let timeouts = &route.pool.timeouts;
    relay.control.begin(Patience { first: timeouts.first_byte, idle: timeouts.idle });
    let logprobs = if entry.expose.logprobs { Logprobs::Exposed } else { Logprobs::Hidden };
    let edits = Edits { model: &route.model, forward: &route.pool.forward, logprobs };
    relay.outgoing = splice(&relay.body, &relay.request, &edits);
    let left = relay.end.saturating_duration_since(now);
    let address = match &relay.attempt {
        Some(attempt) => attempt.member().address,
        None => return Err(refused(GatewayError::Internal("no_attempt"))),
    };
    let (connect, write) = (timeouts.connect.min(left), timeouts.first_byte.min(left));
    Ok(peer::peer(address, &backend.reach, connect, write, connection))
}

async fn choose_one(
    session: &mut HttpSession,
    relay: &mut Relay,
    entry: &AliasEntry,
    snapshot: &Snapshot,
    metrics: &Metrics,
) -> Result<()> {
    let now = snapshot.origin.tick(Instant::now());
    let Choice { route, attempt } = match choose(&entry.routes, &relay.tried, relay.from_route, now) {
        Ok(choice) => choice,
        Err(nobody) => return Err(give_up(relay, nobody)),
    };
    if relay.tried.is_empty() {
        entry.budget.request(now);
    } else {
        if !entry.budget.spend(entry.retry.budget, now) {
            metrics.retries_denied.inc();
            return Err(give_up(relay, Nobody::Exhausted));
        }
        metrics.retries.inc();
    }
    relay.tried.push(Tried { route, member: attempt.member().clone() });
    relay.attempt = Some(attempt);
    if relay.tried.len() > 1 {
        let wait = retry::wait(relay.tried.len() - 1, entry.dice.roll());
        pause(session, relay, wait).await?;
    }
    Ok(())
}

/// The refusal when nobody can be asked: what the failures so far come to, or why there is nobody.
fn give_up(relay: &mut Relay, nobody: Nobody) -> Box<Error> {
    relay.failures = match (nobody, relay.failures) {
        (Nobody::Cooling(wait), Failures::None) => Failures::Busy(wait),
        (Nobody::Cooling(wait), Failures::Busy(sooner)) => Failures::Busy(sooner.min(wait)),
        (Nobody::Down, Failures::None | Failures::Busy(_)) => Failures::Other(UpstreamFault::NoBackend),
        (Nobody::Exhausted, Failures::None) => Failures::Other(UpstreamFault::NoBackend),
        (Nobody::Exhausted, busy @ Failures::Busy(_)) => busy,
        (Nobody::Cooling(_) | Nobody::Down | Nobody::Exhausted, other @ Failures::Other(_)) => other,
    };
    relay.control.blame(match relay.failures {
        Failures::None => UpstreamFault::NoBackend,
        Failures::Busy(_) => UpstreamFault::AllBusy,
        Failures::Other(fault) => fault,
    });
    Error::explain(REFUSED, "nobody is left to ask")
}

/// Waits, but for no client that has left and not beyond the end of the request.
async fn pause(session: &mut HttpSession, relay: &mut Relay, wait: Duration) -> Result<()> {
    // Until the attempt begins only the end of the whole request counts.
    relay.control.begin(Patience { first: Duration::MAX, idle: Duration::MAX });
    tokio::select! {
        biased;
        left = session.read_body_or_idle(true) => {
            let mut error = match left {
                Err(error) => error,
                Ok(_) => Error::explain(REFUSED, "the client sent more than its request"),
            };
            error.set_retry(false);
            if relay.control.fault().is_none() {
                relay.client = Client::Left;
            }
            Err(error)
        }
        () = fast_sleep(wait) => Ok(()),
    }
}
