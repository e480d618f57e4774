//! A circuit breaker for one backend address: lets go of one that fails, tries it again with one request
//! at a time, and gives it back its share step by step.
//!
//! Lock-free: every decision is a load, every change a compare-and-swap whose loser does nothing, because
//! somebody else has just decided the same.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use super::tick::Tick;
use super::window::Window;

/// When a breaker opens, and how it closes again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BreakerRules {
    /// So many failures in a row open it.
    pub failures: u32,
    /// So large a share of failures in the last ten seconds opens it, in percent; of [`ENOUGH`] attempts at least.
    pub error_rate: u8,
    /// How long it stays open the first time. It doubles each time that a probe fails.
    pub open: Duration,
    /// The longest time that it stays open.
    pub max_open: Duration,
    /// How long it takes after closing until the backend has its whole share again.
    pub slow_start: Duration,
}

/// Fewer attempts than this say nothing about a rate.
pub const ENOUGH: u64 = 20;
/// What a backend starts with after its return, of its share.
const FIRST_SHARE: f32 = 0.1;

/// What a breaker does now, from best to worst.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum State {
    /// Requests pass.
    Closed,
    /// One request has been let through to see how it fares, or the next one will be.
    HalfOpen,
    /// No request passes.
    Open,
}

/// Leave to ask the backend. Whoever has it says how it went, or gives it back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Permit {
    /// As one of many.
    Pass,
    /// As the only one, while the breaker is half open; since then, in nanoseconds.
    Probe(u64),
}

/// Whether a failing backend may be let go of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Spare {
    /// Others can do its work.
    Yes,
    /// Too many are gone already: it stays, with its smallest share.
    No,
}

const CLOSED: u64 = 0;
/// A probe is under way since the rest of the number, in nanoseconds.
const PROBING: u64 = 1 << 63;

/// One backend address's breaker.
#[derive(Debug, Default)]
pub struct Breaker {
    /// [`CLOSED`], [`PROBING`] since when, or until when it is open, in nanoseconds.
    state: AtomicU64,
    /// Failures since the last success.
    streak: AtomicU32,
    /// How often it has opened without a good spell in between.
    trips: AtomicU32,
    /// Since when the backend has been getting its share back; 0 is long ago.
    returned: AtomicU64,
    /// Successes and failures.
    record: Window,
}

impl Breaker {
    /// What it does now.
    pub fn state(&self, now: Tick) -> State {
        match self.state.load(Relaxed) {
            CLOSED => State::Closed,
            state if state & PROBING != 0 || state <= now.nanos() => State::HalfOpen,
            _ => State::Open,
        }
    }

    /// Whether a request could get a permit.
    pub fn admits(&self, rules: &BreakerRules, now: Tick) -> bool {
        let state = self.state.load(Relaxed);
        state == CLOSED || due(state, rules, now)
    }

    /// Asks for leave. When the breaker is half open, one gets it and everyone else does not; unless that one
    /// takes so long that it says nothing of others.
    pub fn enter(&self, rules: &BreakerRules, now: Tick) -> Option<Permit> {
        let state = self.state.load(Relaxed);
        if state == CLOSED {
            return Some(Permit::Pass);
        }
        let probing = PROBING | now.nanos();
        let taken =
            due(state, rules, now) && self.state.compare_exchange(state, probing, Relaxed, Relaxed).is_ok();
        taken.then_some(Permit::Probe(now.nanos()))
    }

    /// Gives a permit back unused: nothing was learnt. The next request may probe.
    pub fn withdraw(&self, permit: Permit, now: Tick) {
        match permit {
            Permit::Pass => {}
            Permit::Probe(since) => drop(self.reopen(since, now)),
        }
    }

    /// A probe has been answered: requests pass again. Says whether that is news.
    pub fn answered(&self, permit: Permit, now: Tick) -> bool {
        match permit {
            Permit::Pass => false,
            Permit::Probe(_) => {
                let state = self.state.load(Relaxed);
                let closed = state & PROBING != 0
                    && self.state.compare_exchange(state, CLOSED, Relaxed, Relaxed).is_ok();
                if closed {
                    self.streak.store(0, Relaxed);
                    self.returned.store(now.nanos().max(1), Relaxed);
                    // What it did before says nothing of the one that has come back.
                    self.record.clear();
                }
                closed
            }
        }
    }

    /// The backend has done what it should, from the first byte to the last.
    pub fn good(&self, now: Tick) {
        self.record.first(now);
        self.streak.store(0, Relaxed);
    }

    /// The backend has begun well, and nobody knows when that was.
    pub fn forgive(&self) {
        self.streak.store(0, Relaxed);
    }

    /// The backend failed. `spare` is asked only when it would be let go of. Says whether the breaker has just opened.
    pub fn bad(
        &self,
        permit: Permit,
        rules: &BreakerRules,
        now: Tick,
        spare: impl FnOnce() -> Spare,
    ) -> bool {
        self.record.second(now);
        let streak = self.streak.fetch_add(1, Relaxed).saturating_add(1);
        match permit {
            // It was out already, and stays out for longer.
            Permit::Probe(since) => {
                let longer = self.reopen(since, now.plus(self.pause(rules)));
                self.tripped(longer)
            }
            Permit::Pass if streak >= rules.failures || self.fails_often(rules, now) => {
                if self.state.load(Relaxed) != CLOSED {
                    return false;
                }
                match spare() {
                    Spare::Yes => {
                        self.forget_old_trouble(rules, now);
                        let until = now.plus(self.pause(rules)).nanos();
                        self.tripped(self.state.compare_exchange(CLOSED, until, Relaxed, Relaxed).is_ok())
                    }
                    Spare::No => {
                        self.returned.store(now.nanos().max(1), Relaxed);
                        false
                    }
                }
            }
            Permit::Pass => false,
        }
    }

    /// Whether so many failures in a row are behind it that it would be let go of.
    pub fn is_failing(&self, rules: &BreakerRules) -> bool {
        self.streak.load(Relaxed) >= rules.failures
    }

    /// The part of its share that it gets now: less than 1 for a while after its return.
    pub fn share(&self, rules: &BreakerRules, now: Tick) -> f32 {
        if self.is_failing(rules) {
            // It would be let go of, if it could be spared.
            return FIRST_SHARE;
        }
        match self.returned.load(Relaxed) {
            0 => 1.0,
            returned => {
                let back = now.since(Tick::new(returned));
                if back >= rules.slow_start {
                    return 1.0;
                }
                FIRST_SHARE + (1.0 - FIRST_SHARE) * back.as_secs_f32() / rules.slow_start.as_secs_f32()
            }
        }
    }

    fn reopen(&self, since: u64, until: Tick) -> bool {
        // Never the number that means "closed".
        let until = until.nanos().max(1);
        self.state.compare_exchange(PROBING | since, until, Relaxed, Relaxed).is_ok()
    }

    fn tripped(&self, really: bool) -> bool {
        if really {
            self.trips.fetch_add(1, Relaxed);
        }
        really
    }

    fn fails_often(&self, rules: &BreakerRules, now: Tick) -> bool {
        let (good, bad) = self.record.sums(now);
        good + bad >= ENOUGH && bad * 100 >= (good + bad) * u64::from(rules.error_rate)
    }

    /// If it did well for a while, this is a new trouble.
    fn forget_old_trouble(&self, rules: &BreakerRules, now: Tick) {
        if now.since(Tick::new(self.returned.load(Relaxed))) > rules.max_open {
            self.trips.store(0, Relaxed);
        }
    }

    /// How long it stays open this time.
    fn pause(&self, rules: &BreakerRules) -> Duration {
        let doublings = self.trips.load(Relaxed).min(16);
        rules.open.saturating_mul(1 << doublings).min(rules.max_open)
    }
}

/// Whether a state that is not closed lets a probe through: it has been open for long enough, or the probe
/// before has taken as long as that.
fn due(state: u64, rules: &BreakerRules, now: Tick) -> bool {
    if state & PROBING != 0 {
        now.since(Tick::new(state & !PROBING)) >= rules.open
    } else {
        state <= now.nanos()
    }
}

#[cfg(test)]
mod tests;
