//! One attempt at one backend: who is asked next, and what is learnt of them.

use std::sync::Arc;
use std::time::Duration;

use super::breaker::Permit;
use super::catalog::Route;
use super::pools::{Backend, Member, Pool};
use super::tick::Tick;

/// One attempt at one address: it counts as in flight while this lives.
#[derive(Debug)]
pub struct Attempt {
    pool: Arc<Pool>,
    member: Arc<Member>,
    began: Tick,
    /// The permit, until somebody has told the breaker how it went; and when to take it back otherwise.
    owed: Option<(Permit, Tick)>,
}

impl Attempt {
    /// Begins one, with a permit of the member's breaker.
    pub(super) fn begin(pool: Arc<Pool>, member: Arc<Member>, permit: Permit, now: Tick) -> Self {
        member.vitals.begin(now);
        Self { pool, member, began: now, owed: Some((permit, now)) }
    }

    /// Who is asked.
    pub fn member(&self) -> &Arc<Member> {
        &self.member
    }

    /// The backend that is asked.
    pub fn backend(&self) -> Option<&Backend> {
        self.pool.backends.get(self.member.backend)
    }

    /// It has answered well so far: its first useful byte is here.
    pub fn answered(&mut self, now: Tick) {
        if let Some((permit, _)) = self.owed.take() {
            self.member.vitals.breaker.good(permit, now);
            self.member.vitals.latency.observe(now.since(self.began), now);
        }
    }

    /// It failed, be it after a good beginning. Says whether its breaker has just opened.
    pub fn failed(&mut self, now: Tick) -> bool {
        let permit = self.owed.take().map_or(Permit::Pass, |(permit, _)| permit);
        let spare = || self.pool.spare(&self.member, now);
        self.member.vitals.breaker.bad(permit, &self.pool.breaker, now, spare)
    }

    /// It is there and refuses, for reasons of its own or of the client's: no failure.
    pub fn refused(&mut self, now: Tick) {
        if let Some((permit, _)) = self.owed.take() {
            self.member.vitals.breaker.good(permit, now);
        }
    }
}

impl Drop for Attempt {
    fn drop(&mut self) {
        self.member.vitals.end();
        if let Some((permit, began)) = self.owed.take() {
            self.member.vitals.breaker.withdraw(permit, began);
        }
    }
}

/// A route's member that has been asked.
#[derive(Debug, Clone)]
pub struct Tried {
    pub route: usize,
    pub member: Arc<Member>,
}

/// Who is asked next.
#[derive(Debug)]
pub struct Choice {
    pub route: usize,
    pub attempt: Attempt,
}

/// Why nobody can be asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Nobody {
    /// All that are left have asked to be left alone; the first of them for so long.
    Cooling(Duration),
    /// Everyone has been asked.
    Exhausted,
    /// Down, let go of, without a credential, or without an address.
    Down,
}

/// Chooses whom to ask: of the first route, from `from` on, that has somebody left.
///
/// # Errors
/// Why there is nobody.
pub fn choose(routes: &[Route], tried: &[Tried], from: usize, now: Tick) -> Result<Choice, Nobody> {
    let been = |route: usize, member: &Arc<Member>| {
        tried.iter().any(|tried| tried.route == route && Arc::ptr_eq(&tried.member, member))
    };
    for (route, of) in routes.iter().enumerate().skip(from) {
        if let Some(attempt) = of.pool.pick(now, |member| been(route, member)) {
            return Ok(Choice { route, attempt });
        }
    }
    let left: Vec<_> = routes
        .iter()
        .enumerate()
        .skip(from)
        .flat_map(|(route, of)| of.pool.members().into_iter().filter(move |member| !been(route, member)))
        .collect();
    if left.is_empty() && !tried.is_empty() {
        return Err(Nobody::Exhausted);
    }
    let waits: Option<Vec<_>> = left.iter().map(|member| member.vitals.cooling(now)).collect();
    Err(waits.and_then(|waits| waits.into_iter().min()).map_or(Nobody::Down, Nobody::Cooling))
}
