//! A request's limits: taken before anything is asked, settled when it is known what it cost.

mod taker;
mod told;

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime};

use pingora_core::protocols::http::ServerSession as HttpSession;

use super::exchange::Exchange;
use super::intake::NoBody;
use super::stopwatch::Stopwatch;
use crate::config::snapshot::Snapshot;
use crate::error::GatewayError;
use crate::rules::auth::Principal;
use crate::rules::catalog::AliasEntry;
use crate::rules::limits::book::{Charge, Limit, Reservation, When, Windows};
use crate::rules::limits::period::Today;
use crate::rules::limits::standing::Standing;
use crate::rules::limits::{LimitKind, SLOT_WAIT};
use crate::rules::pools::Pool;
use crate::rules::store::Store;
use crate::rules::tokens;
use crate::wire::request::ChatRequest;
use crate::wire::weigh::{Weight, weigh};
use taker::{Refused, Taker};
use told::{settling, taking};

/// What a request has taken from its limits.
#[derive(Default)]
pub struct Quota {
    /// From those of its tenant, its key and its alias.
    own: Option<Reservation>,
    /// From that of the pool that it is with.
    pool: Option<(Arc<Pool>, Reservation)>,
    /// Attempts that have been let into a pool.
    attempts: usize,
    /// What its prompt was taken for; nothing when nobody counts tokens.
    pub prompt: Prompt,
    store: Option<(Arc<dyn Store>, SystemTime)>,
}

/// How many tokens a prompt was taken for.
#[derive(Debug, Clone, Copy, Default)]
pub struct Prompt {
    /// By its script alone.
    pub estimated: u64,
    /// What the alias's requests have come to, against such estimates.
    correction: f64,
}

impl Prompt {
    /// What a body is taken for.
    pub fn weighed(entry: &AliasEntry, body: &[u8]) -> Self {
        Self::of(entry, weigh(body))
    }

    fn of(entry: &AliasEntry, weight: Weight) -> Self {
        Self { estimated: tokens::prompt(weight), correction: entry.learned.correction() }
    }

    /// With what the alias has taught us.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss)]
    pub fn corrected(self) -> u64 {
        (self.estimated as f64 * self.correction).ceil() as u64
    }
}

/// A moment, on both clocks.
#[derive(Clone, Copy)]
struct Moment {
    when: When,
    wall: SystemTime,
}

impl Moment {
    fn now(snapshot: &Snapshot) -> Self {
        let wall = SystemTime::now();
        Self { when: When { now: snapshot.origin.tick(Instant::now()), today: Today::at(wall) }, wall }
    }
}

/// Takes what this request needs from all limits that apply to it, or nothing. `own` stops while a store or a free
/// slot is waited for.
///
/// # Errors
/// The 429, or that the client left while it waited in line.
pub async fn take(
    session: &mut HttpSession,
    exchange: &mut Exchange,
    entry: &AliasEntry,
    request: &ChatRequest,
    body: &[u8],
    own: &mut Stopwatch,
) -> Result<Quota, NoBody> {
    let snapshot = exchange.snapshot.clone();
    let caller = exchange.caller.clone().ok_or(GatewayError::Internal("no_caller"))?;
    let tenant = snapshot.tenant(&caller).ok_or(GatewayError::Internal("tenant_without_catalog"))?;
    let limits = limits(tenant.limit.as_ref(), &caller, Some(entry));
    if limits.is_empty() && entry.routes.iter().all(|route| route.pool.gate.is_none()) {
        return Ok(Quota::default());
    }
    let (mut prompt, mut tokens) = (Prompt::default(), 0);
    if entry.counts_tokens || limits.iter().any(|limit| limit.rules.counts_tokens()) {
        let weight = weigh(body);
        prompt = Prompt::of(entry, weight);
        tokens = entry.learned.reserve(weight, request.answer_cap());
    }
    let now = Moment::now(&snapshot);
    let told = Mutex::default();
    let taker = Taker { snapshot: &snapshot, entry, book: &tenant.book, limits, tokens, told };
    if snapshot.limiting.store.is_some() {
        own.stop(Instant::now());
    }
    let (taken, now) = match taker.all(now).await {
        // It may have waited for long.
        Err(Refused::Slot) => {
            own.stop(Instant::now());
            (taker.in_line(session, &caller, now).await?, Moment::now(&snapshot))
        }
        other => (other, now),
    };
    own.start(Instant::now());
    if snapshot.limiting.headers {
        exchange.standing = taker.standing(now.when);
    }
    let (limit, wait) = match taken {
        Ok((own, pool)) => {
            let store = snapshot.limiting.store.clone().map(|store| (store, now.wall));
            return Ok(Quota { own, pool, attempts: 0, prompt, store });
        }
        Err(Refused::Slot) => (LimitKind::Concurrent.label(), SLOT_WAIT),
        Err(Refused::Window(limit, wait)) => (limit, wait),
    };
    // A fifth at most, so that those who were refused together do not come back together.
    let jitter = wait.mul_f32(entry.dice.below(0.2));
    Err(GatewayError::Limited { alias: entry.alias.clone(), limit, wait, jitter }.into())
}

/// What is left of a caller's limits, for answers that take nothing from them.
pub fn standing(snapshot: &Snapshot, caller: &Principal, entry: Option<&AliasEntry>) -> Standing {
    let Some(tenant) = snapshot.tenant(caller).filter(|_| snapshot.limiting.headers) else {
        return Standing::default();
    };
    let limits = limits(tenant.limit.as_ref(), caller, entry);
    if limits.is_empty() {
        return Standing::default();
    }
    tenant.book.standing(&limits, Moment::now(snapshot).when)
}

/// Those of a caller's tenant, its key and, where one is known, its alias.
fn limits(tenant: Option<&Limit>, caller: &Principal, entry: Option<&AliasEntry>) -> Vec<Limit> {
    let alias = entry.and_then(|entry| entry.limit.as_ref());
    [tenant, caller.limit.as_ref(), alias].into_iter().flatten().cloned().collect()
}

impl Quota {
    /// Lets an attempt into a pool: the first as taken already, every other one anew, for a pool's limit is
    /// there to protect it from all that is sent to it.
    ///
    /// # Errors
    /// How long the pool has no room.
    pub fn enter(&mut self, pool: &Arc<Pool>, snapshot: &Snapshot) -> Result<(), Duration> {
        let tokens = self.reserved();
        let first = self.attempts == 0;
        let same = self.pool.as_ref().is_some_and(|(known, _)| Arc::ptr_eq(known, pool));
        if first && (same || pool.gate.is_none()) {
            self.attempts = 1;
            return Ok(());
        }
        let now = Moment::now(snapshot);
        // What was sent before has been sent, and used nothing.
        let sent = if first { Charge::Nothing } else { Charge::Tokens(0) };
        if let Some((_, before)) = self.pool.take() {
            self.end(before, sent, now.when);
        }
        self.attempts += 1;
        let Some(gate) = &pool.gate else { return Ok(()) };
        let instances = snapshot.limiting.instances;
        let windows = Windows::Ours { instances };
        let limits = vec![gate.limit.clone()];
        let taken =
            gate.book.reserve(limits, tokens, now.when, windows, instances).map_err(|full| full.wait)?;
        if let Some((store, at)) = &self.store {
            store.give(taking(&taken, *at));
        }
        self.pool = Some((pool.clone(), taken));
        Ok(())
    }

    /// Replaces what was taken by what it was, and gives slots back.
    ///
    /// A request that costs its tenant nothing has still been sent to a pool, if it has been `sent`.
    pub fn settle(&mut self, charge: Charge, sent: bool, snapshot: &Snapshot) {
        let now = Moment::now(snapshot).when;
        self.close(charge, sent, Some(now));
    }

    fn close(&mut self, charge: Charge, sent: bool, now: Option<When>) {
        let of_pool = if sent && charge == Charge::Nothing { Charge::Tokens(0) } else { charge };
        let own = self.own.take().map(|taken| (taken, charge));
        let pool = self.pool.take().map(|(_, taken)| (taken, of_pool));
        for (taken, charge) in own.into_iter().chain(pool) {
            let now = now.unwrap_or(taken.taken());
            self.end(taken, charge, now);
        }
    }

    /// Ends a reservation here and in the store.
    ///
    /// A young store takes what we alone have counted for the least of what all have. So the store is the first to
    /// hear of a debt and the last to hear of what is given back: told the other way around, it could count either
    /// twice when a request comes in between. Who waits for the slot comes behind both.
    fn end(&self, mut taken: Reservation, charge: Charge, now: When) {
        let Some((store, at)) = &self.store else { return taken.settle(charge, now) };
        let (debts, back): (Vec<_>, Vec<_>) =
            settling(&taken, charge, *at).into_iter().partition(|change| change.amount > 0);
        if !debts.is_empty() {
            store.give(debts);
        }
        taken.settle(charge, now);
        if !back.is_empty() {
            store.give(back);
        }
    }

    /// Whether anything was taken.
    pub fn is_taken(&self) -> bool {
        self.own.is_some() || self.pool.is_some()
    }

    /// Tokens that were taken.
    pub fn reserved(&self) -> u64 {
        let pool = self.pool.as_ref().map(|(_, taken)| taken);
        self.own.as_ref().or(pool).map_or(0, Reservation::tokens)
    }
}

impl Drop for Quota {
    fn drop(&mut self) {
        // Cancelled before anyone settled it.
        self.close(Charge::Nothing, false, None);
    }
}

#[cfg(test)]
mod tests;
