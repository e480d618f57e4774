//! One attempt at one backend: who is asked next, and what is learnt of them.

use std::sync::Arc;
use std::time::Duration;

use super::balance::{Turns, Wish};
use super::breaker::Permit;
use super::catalog::Route;
use super::pools::{Backend, Member, Mood, Pool};
use super::tick::Tick;
use super::vitals::Kind;

/// One attempt at one address: it counts as in flight while this lives.
#[derive(Debug)]
pub struct Attempt {
    pool: Arc<Pool>,
    member: Arc<Member>,
    began: Tick,
    kind: Kind,
    stage: Stage,
}

/// What is known of an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// Nothing yet, and the breaker is owed a word.
    Waiting(Permit),
    /// It has begun well.
    Answered,
    /// The breaker knows how it ended.
    Told,
}

/// What has become of a breaker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Turned {
    Not,
    Opened,
    Closed,
}

impl Attempt {
    /// Begins one, with a permit of the member's breaker.
    pub(super) fn begin(pool: Arc<Pool>, member: Arc<Member>, permit: Permit, wish: Wish) -> Self {
        let Wish { now, kind, .. } = wish;
        member.vitals.begin(now);
        member.vitals.speed(kind).asked(now);
        Self { pool, member, began: now, kind, stage: Stage::Waiting(permit) }
    }

    /// Who is asked.
    pub fn member(&self) -> &Arc<Member> {
        &self.member
    }

    /// The pool that it belongs to.
    pub fn pool(&self) -> &Pool {
        &self.pool
    }

    /// The backend that is asked.
    pub fn backend(&self) -> Option<&Backend> {
        self.pool.backends.get(self.member.backend)
    }

    /// It has answered well so far: its first useful byte is here.
    pub fn answered(&mut self, now: Tick) -> Turned {
        let Stage::Waiting(permit) = self.stage else { return Turned::Not };
        self.stage = Stage::Answered;
        self.member.vitals.heard(now);
        self.member.vitals.speed(self.kind).latency.observe(now.since(self.began), now);
        self.member.credential().taken();
        if self.member.vitals.breaker.answered(permit, now) { Turned::Closed } else { Turned::Not }
    }

    /// It has done all that it should.
    pub fn done(&mut self, now: Tick) {
        if self.stage == Stage::Answered {
            self.stage = Stage::Told;
            self.member.vitals.breaker.good(now);
        }
    }

    /// It failed, be it after a good beginning.
    pub fn failed(&mut self, now: Tick) -> Turned {
        let permit = match self.stage {
            Stage::Waiting(permit) => {
                self.member.vitals.left();
                permit
            }
            Stage::Answered => Permit::Pass,
            Stage::Told => return Turned::Not,
        };
        self.stage = Stage::Told;
        let spare = || self.pool.spare(&self.member, now);
        let opened = self.member.vitals.breaker.bad(permit, &self.pool.breaker, now, spare);
        if opened { Turned::Opened } else { Turned::Not }
    }

    /// It took too long. That is its failure if it has said nothing to anybody in the meantime; otherwise
    /// this one request is simply a long one.
    pub fn too_slow(&mut self, now: Tick) -> Turned {
        let waited = now.since(self.began);
        if self.stage == Stage::Answered || self.member.vitals.silence(now) >= waited {
            return self.failed(now);
        }
        Turned::Not
    }

    /// The client has left. If it had waited for far longer than is usual, that says something of the backend.
    pub fn given_up(&mut self, now: Tick) -> Turned {
        let (waited, usual) = (now.since(self.began), self.pool.usual_wait(self.kind));
        if self.stage == Stage::Answered || usual.is_zero() || waited < (usual * FAR_LONGER).max(LONG) {
            return Turned::Not;
        }
        self.member.vitals.speed(self.kind).latency.observe(waited, now);
        self.too_slow(now)
    }

    /// It is there and refuses, for reasons of its own or of the client's: that says nothing of its health.
    pub fn refused(&mut self, now: Tick) {
        if let Stage::Waiting(permit) = self.stage {
            self.stage = Stage::Told;
            self.member.vitals.heard(now);
            self.member.vitals.breaker.withdraw(permit, now);
        }
    }
}

/// A client that leaves after so many times the usual wait has been patient.
const FAR_LONGER: u32 = 10;
/// And after no less than this.
const LONG: Duration = Duration::from_secs(5);

impl Drop for Attempt {
    fn drop(&mut self) {
        let vitals = &self.member.vitals;
        vitals.end();
        match self.stage {
            Stage::Waiting(permit) => {
                vitals.left();
                vitals.breaker.withdraw(permit, self.began);
            }
            // Its client has left a good answer.
            Stage::Answered => vitals.breaker.forgive(),
            Stage::Told => {}
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

/// Chooses whom to ask: of the first route, from `from` on, that has somebody left and whose pool may be
/// entered. `enter` says how long one may not.
///
/// # Errors
/// Why there is nobody.
pub fn choose(
    routes: &[Route],
    tried: &[Tried],
    from: usize,
    kind: Kind,
    now: Tick,
    mut enter: impl FnMut(&Arc<Pool>) -> Result<(), Duration>,
) -> Result<Choice, Nobody> {
    let been = |route: usize, member: &Arc<Member>| {
        tried.iter().any(|tried| tried.route == route && Arc::ptr_eq(&tried.member, member))
    };
    let turns = if tried.is_empty() { Turns::Take } else { Turns::Keep };
    let wish = Wish { now, kind, turns };
    let mut shut: Option<Duration> = None;
    for mood in [Mood::Calm, Mood::Desperate] {
        for (route, of) in routes.iter().enumerate().skip(from) {
            let fits = |member: &Arc<Member>| !been(route, member) && of.has_model(member.backend, now);
            let Some(attempt) = of.pool.pick(wish, mood, fits) else { continue };
            match enter(&of.pool) {
                Ok(()) => return Ok(Choice { route, attempt }),
                Err(wait) => shut = Some(shut.map_or(wait, |shut| shut.min(wait))),
            }
        }
        // There is somebody: there is only no room.
        if let Some(wait) = shut {
            return Err(Nobody::Cooling(wait));
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
    let waits: Option<Vec<_>> = left.iter().map(|member| member.cooling(now)).collect();
    Err(waits.and_then(|waits| waits.into_iter().min()).map_or(Nobody::Down, Nobody::Cooling))
}
