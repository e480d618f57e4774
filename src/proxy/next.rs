//! Whom to ask next: the choice, the budget for asking again, and the wait in between.

use std::time::{Duration, Instant};

use pingora_core::protocols::http::ServerSession as HttpSession;
use pingora_core::upstreams::peer::HttpPeer;
use pingora_core::{Error, Result};
use pingora_timeout::fast_timeout::fast_sleep;

use super::exchange::{Answer, Client, Exchange, Failures, Relay, SecondChance, Tally};
use super::held::Patience;
use super::peer::{self, Connection};
use super::{REFUSED, intake, refused, trace};
use crate::config::snapshot::Snapshot;
use crate::error::{GatewayError, UpstreamFault};
use crate::metrics::Metrics;
use crate::rules::attempt::{Choice, Nobody, Tried, choose};
use crate::rules::catalog::AliasEntry;
use crate::rules::vitals::Kind;
use crate::rules::{failover, retry};
use crate::wire::request::Delivery;
use crate::wire::splice::{Edits, Logprobs, splice};

/// Begins the next attempt of a request and says where it goes.
///
/// # Errors
/// When there is nobody to ask, the retry budget is used up, or the client leaves during the wait. None of
/// these is tried again.
pub async fn peer(session: &mut HttpSession, exchange: &mut Exchange, metrics: &Metrics) -> Result<HttpPeer> {
    let lane = exchange.caller.as_ref().map(|caller| peer::lane(&caller.tenant));
    let lane = lane.ok_or_else(|| refused(GatewayError::Internal("no_caller")))?;
    let (relay, entry, snapshot) = exchange.relay().map_err(refused)?;
    let connection = match relay.second_chance {
        SecondChance::Taken => {
            relay.second_chance = SecondChance::Spent;
            metrics.retries.inc();
            Connection::Fresh
        }
        SecondChance::Left | SecondChance::Spent => {
            choose_one(session, relay, entry, snapshot, metrics).await?;
            Connection::Of(lane)
        }
    };
    let now = Instant::now();
    let (route, backend, _) =
        relay.asked(entry).ok_or_else(|| refused(GatewayError::Internal("no_route")))?;
    relay.attempt_began = now;
    trace::leg_begins(relay, now);
    relay.answer = Answer::Asked;
    relay.interim = 0;
    relay.retry_after = None;
    relay.tally = Tally::default();
    let timeouts = &route.pool.timeouts;
    relay.end = relay.began + timeouts.total;
    relay.control.end_at(relay.end);
    relay.control.begin(Patience { first: timeouts.first_byte, idle: timeouts.idle });
    let logprobs = if entry.expose.logprobs { Logprobs::Exposed } else { Logprobs::Hidden };
    let edits =
        Edits { model: &route.model, forward: &route.pool.forward, logprobs, patches: &relay.patches };
    relay.outgoing = splice(&relay.body, &relay.request, &edits);
    // What follows is finding or making a connection.
    relay.own.stop(Instant::now());
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
    let kind = match relay.request.delivery() {
        Delivery::Stream => Kind::Stream,
        Delivery::Whole => Kind::Whole,
    };
    let Some(rules) = relay.asked(entry).map(|(route, _, _)| route.pool.retry) else {
        entry.budget.request(now);
        let quota = &mut relay.quota;
        let first = choose(&entry.routes, &[], 0, kind, now, |pool| quota.enter(pool, snapshot));
        let first = first.map_err(|nobody| give_up(relay, nobody))?;
        ask(relay, first);
        return Ok(());
    };
    // Before the choice, which would take somebody's turn.
    if !entry.budget.has_room(rules.budget, now) {
        metrics.retries_denied.inc();
        return Err(give_up(relay, Nobody::Exhausted));
    }
    // The last chance is better spent on another route: what fails a whole pool fails the next of it, too.
    let beyond = relay.tried.last().map_or(0, |last| last.route + 1).max(relay.from_route);
    let quota = &mut relay.quota;
    let mut next =
        |from| choose(&entry.routes, &relay.tried, from, kind, now, |pool| quota.enter(pool, snapshot));
    let elsewhere = if failover::is_last_chance(relay.spent, &rules) { next(beyond).ok() } else { None };
    let choice = match elsewhere {
        Some(choice) => Ok(choice),
        None => next(relay.from_route),
    };
    let choice = choice.map_err(|nobody| give_up(relay, nobody))?;
    relay.own.stop(Instant::now());
    pause(session, relay, retry::wait(relay.tried.len(), entry.dice.roll())).await?;
    relay.own.start(Instant::now());
    entry.budget.spend(now);
    metrics.retries.inc();
    ask(relay, choice);
    Ok(())
}

fn ask(relay: &mut Relay, choice: Choice) {
    let Choice { route, attempt } = choice;
    relay.tried.push(Tried { route, member: attempt.member().clone() });
    relay.attempt = Some(attempt);
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
        mut error = intake::gone(session) => {
            error.set_retry(false);
            if relay.control.fault().is_none() {
                relay.client = Client::Left;
            }
            Err(error)
        }
        () = fast_sleep(wait) => Ok(()),
    }
}
