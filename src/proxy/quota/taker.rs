//! Takes what one request needs from all its limits at once, or waits in line for it.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use pingora_core::protocols::http::ServerSession as HttpSession;
use pingora_timeout::fast_timeout::{fast_sleep, fast_timeout};

use super::told::{asks_of, taking};
use super::{Moment, NoBody};
use crate::config::snapshot::Snapshot;
use crate::proxy::intake;
use crate::rules::auth::Principal;
use crate::rules::catalog::{AliasEntry, Route};
use crate::rules::limits::book::{Book, Full, Limit, Reservation, When, Windows};
use crate::rules::limits::standing::{Left, Standing};
use crate::rules::limits::ticket::Queueing;
use crate::rules::limits::{LimitKind, QueueRules};
use crate::rules::pools::Pool;
use crate::rules::store::{Ask, Gone, Store, Verdict};

/// How often a request in line looks whether a pool has a slot again.
const LOOK: Duration = Duration::from_millis(20);

/// Why nothing was taken.
pub(super) enum Refused {
    /// All slots are taken: waiting in line may help.
    Slot,
    /// This limit, for so long.
    Window(&'static str, Duration),
}

impl Refused {
    /// That of two which may be over sooner; nobody knows when a slot is free, but it may be now.
    fn sooner(self, other: Option<Self>) -> Self {
        match (self, other) {
            (only, None) => only,
            (Self::Slot, Some(_)) | (_, Some(Self::Slot)) => Self::Slot,
            (Self::Window(_, wait), Some(other @ Self::Window(_, its))) if its < wait => other,
            (one @ Self::Window(..), Some(Self::Window(..))) => one,
        }
    }
}

/// A place among those of an alias that wait.
struct Place<'w>(&'w AtomicUsize);

impl<'w> Place<'w> {
    fn find(waiting: &'w AtomicUsize, depth: usize) -> Option<Self> {
        let place = Self(waiting);
        // Given back at once if it is one too many.
        (waiting.fetch_add(1, Ordering::Relaxed) < depth).then_some(place)
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl From<Full> for Refused {
    fn from(full: Full) -> Self {
        match full.kind {
            LimitKind::Concurrent => Self::Slot,
            LimitKind::RequestsPerMinute
            | LimitKind::TokensPerMinute
            | LimitKind::TokensPerDay
            | LimitKind::TokensPerMonth => Self::Window(full.kind.label(), full.wait),
        }
    }
}

impl Refused {
    /// A pool's limit is not the caller's own doing.
    fn of_pool(full: Full) -> Self {
        match Self::from(full) {
            Self::Slot => Self::Slot,
            Self::Window(_, wait) => Self::Window(full.kind.pool_label(), wait),
        }
    }
}

pub(super) type Taken = (Option<Reservation>, Option<(Arc<Pool>, Reservation)>);

/// What one request takes, and from where.
pub(super) struct Taker<'t> {
    pub(super) snapshot: &'t Snapshot,
    pub(super) entry: &'t AliasEntry,
    pub(super) book: &'t Arc<Book>,
    pub(super) limits: Vec<Limit>,
    pub(super) tokens: u64,
    /// What a store says is left of the caller's own limits.
    pub(super) told: Mutex<Option<Standing>>,
}

impl Taker<'_> {
    fn windows(&self) -> Windows {
        match self.snapshot.limiting.store {
            Some(_) => Windows::Theirs,
            None => Windows::Ours { instances: 1 },
        }
    }

    /// From everything at once.
    pub(super) async fn all(&self, now: Moment) -> Result<Taken, Refused> {
        let instances = self.snapshot.limiting.instances;
        let own = match self.limits.is_empty() {
            true => None,
            false => {
                let limits = self.limits.clone();
                Some(self.book.reserve(limits, self.tokens, now.when, self.windows(), instances)?)
            }
        };
        self.with_pool(own, now).await.map_err(|(refused, _)| refused)
    }

    /// From the first pool that has room, and then from the store, if there is one. A refusal comes with what
    /// had been taken before.
    async fn with_pool(
        &self,
        mut own: Option<Reservation>,
        now: Moment,
    ) -> Result<Taken, (Refused, Option<Reservation>)> {
        let mut refused: Option<Refused> = None;
        for route in &self.entry.routes {
            let mut pool = match self.pool(route, now) {
                Ok(pool) => pool,
                Err(full) => {
                    refused = Some(full.sooner(refused));
                    continue;
                }
            };
            let Some(store) = &self.snapshot.limiting.store else { return Ok((own, pool)) };
            match self.shared(&**store, &mut own, &mut pool, now).await {
                Ok(()) => return Ok((own, pool)),
                Err(Whose::Own(refused)) => return Err((refused, own)),
                Err(Whose::Pool(full)) => refused = Some(full.sooner(refused)),
            }
        }
        Err((refused.unwrap_or(Refused::Slot), own))
    }

    fn pool(&self, route: &Route, now: Moment) -> Result<Option<(Arc<Pool>, Reservation)>, Refused> {
        let Some(gate) = &route.pool.gate else { return Ok(None) };
        let instances = self.snapshot.limiting.instances;
        let limits = vec![gate.limit.clone()];
        let taken = gate.book.reserve(limits, self.tokens, now.when, self.windows(), instances);
        Ok(Some((route.pool.clone(), taken.map_err(Refused::of_pool)?)))
    }

    /// Lets the store decide about the windows, and ourselves when it is gone.
    async fn shared(
        &self,
        store: &dyn Store,
        own: &mut Option<Reservation>,
        pool: &mut Option<(Arc<Pool>, Reservation)>,
        now: Moment,
    ) -> Result<(), Whose> {
        let mut both: Vec<&mut Reservation> =
            own.iter_mut().chain(pool.iter_mut().map(|(_, taken)| taken)).collect();
        let is_own = |at: usize| at == 0 && !self.limits.is_empty();
        let (mut asks, mut kinds, mut whose) = (Vec::new(), Vec::new(), Vec::new());
        for (at, taken) in both.iter().enumerate() {
            for (limit, kind, ask) in asks_of(taken, now, self.snapshot.limiting.instances) {
                kinds.push((at, kind));
                whose.push(limit);
                asks.push(ask);
            }
        }
        if asks.is_empty() {
            return Ok(());
        }
        // For metrics and the status: what others have used, too.
        let tell = |both: &[&mut Reservation], remaining: &[u64]| {
            let all = kinds.iter().zip(&whose).zip(asks.iter().zip(remaining));
            for (((at, kind), limit), (ask, left)) in all {
                if let Some(taken) = both.get(*at) {
                    taken.hear(limit, *kind, ask.limit.saturating_sub(*left), now.when);
                }
            }
        };
        match store.take(&asks, now.wall).await {
            Ok(Verdict::Taken { remaining }) => {
                both.iter_mut().for_each(|taken| taken.note());
                tell(&both, &remaining);
                self.hear(&kinds, &asks, &remaining, now);
                Ok(())
            }
            Ok(Verdict::Full { which, wait, remaining }) => {
                tell(&both, &remaining);
                self.hear(&kinds, &asks, &remaining, now);
                let (at, kind) = kinds.get(which).copied().unwrap_or((0, LimitKind::RequestsPerMinute));
                Err(if is_own(at) {
                    Whose::Own(Refused::Window(kind.label(), wait))
                } else {
                    Whose::Pool(Refused::Window(kind.pool_label(), wait))
                })
            }
            Err(Gone) => {
                for (at, taken) in both.iter_mut().enumerate() {
                    taken.decide(self.snapshot.limiting.instances).map_err(|full| {
                        if is_own(at) { Whose::Own(full.into()) } else { Whose::Pool(Refused::of_pool(full)) }
                    })?;
                }
                // So that it counts for the others, too, once the store is back.
                store.give(both.iter().flat_map(|taken| taking(taken, now.wall)).collect());
                Ok(())
            }
        }
    }

    /// Waits for a slot, if the alias has a queue.
    pub(super) async fn in_line(
        &self,
        session: &mut HttpSession,
        caller: &Principal,
        now: Moment,
    ) -> Result<Result<Taken, Refused>, NoBody> {
        let Some(queue) = self.entry.queue else { return Ok(Err(Refused::Slot)) };
        let Some(_place) = Place::find(&self.entry.waiting, queue.depth) else {
            return Ok(Err(Refused::Slot));
        };
        let waiting = fast_timeout(queue.wait, self.wait(queue, caller, now));
        tokio::select! {
            biased;
            gone = intake::gone(session) => Err(NoBody::Gone(gone)),
            taken = waiting => Ok(taken.unwrap_or(Err(Refused::Slot))),
        }
    }

    async fn wait(&self, queue: QueueRules, caller: &Principal, now: Moment) -> Result<Taken, Refused> {
        let instances = self.snapshot.limiting.instances;
        let own = if self.limits.is_empty() {
            None
        } else {
            let place = Queueing {
                group: self.entry.alias.as_str().into(),
                depth: queue.depth,
                who: caller.key.as_str().into(),
            };
            let ticket = self
                .book
                .line_up(self.limits.clone(), self.tokens, now.when, instances, place)
                .map_err(|_| Refused::Slot)?;
            let mut redeemed = ticket.redeem(Moment::now(self.snapshot).when);
            while redeemed.is_none() {
                ticket.called().await;
                redeemed = ticket.redeem(Moment::now(self.snapshot).when);
            }
            let mut own = redeemed;
            if let (Some(own), Windows::Ours { instances }) = (&mut own, self.windows()) {
                own.decide(instances)?;
            }
            own
        };
        self.pool_in_time(own).await
    }

    /// Slots of a pool are freed by requests of other tenants, whose books know nothing of this line.
    async fn pool_in_time(&self, mut own: Option<Reservation>) -> Result<Taken, Refused> {
        loop {
            match self.with_pool(own, Moment::now(self.snapshot)).await {
                Ok(taken) => return Ok(taken),
                Err((refused @ Refused::Window(..), _)) => return Err(refused),
                Err((Refused::Slot, kept)) => own = kept,
            }
            fast_sleep(LOOK).await;
        }
    }

    /// Remembers what a store says is left of the caller's own limits.
    fn hear(&self, kinds: &[(usize, LimitKind)], asks: &[Ask], remaining: &[u64], now: Moment) {
        if self.limits.is_empty() {
            return;
        }
        let local = self.book.standing(&self.limits, now.when);
        let reset = |left: Option<Left>| left.map_or(Duration::ZERO, |left| left.reset).max(MINUTE);
        let mut standing = Standing::default();
        let own = kinds.iter().zip(asks).zip(remaining).filter(|(((at, _), _), _)| *at == 0);
        for (((_, kind), ask), left) in own {
            let used = ask.limit.saturating_sub(*left);
            match kind {
                LimitKind::RequestsPerMinute => standing.requests(ask.limit, used, reset(local.requests)),
                LimitKind::TokensPerMinute => standing.tokens(ask.limit, used, reset(local.tokens)),
                LimitKind::Concurrent | LimitKind::TokensPerDay | LimitKind::TokensPerMonth => {}
            }
        }
        *self.told.lock().unwrap_or_else(PoisonError::into_inner) = Some(standing);
    }

    pub(super) fn standing(&self, when: When) -> Standing {
        let told = *self.told.lock().unwrap_or_else(PoisonError::into_inner);
        told.unwrap_or_else(|| self.book.standing(&self.limits, when))
    }
}

/// Others may have used a shared limit a moment ago.
const MINUTE: Duration = Duration::from_secs(60);

/// Whose limit refused.
enum Whose {
    Own(Refused),
    Pool(Refused),
}
