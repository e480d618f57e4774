//! Backends that can answer for each other, and which of them is asked next.

pub mod condition;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use arc_swap::ArcSwap;

use super::attempt::Attempt;
use super::balance::{Balance, Candidate, Dice, Round, Turn, Usual, Wish, expected_wait, is_slower};
use super::breaker::{BreakerRules, Spare, State};
use super::credential::Credential;
use super::limits::book::{Book, Limit};
use super::reach::Reach;
use super::retry::RetryRules;
use super::tick::Tick;
use super::timeouts::Timeouts;
use super::trace::Passing;
use super::vitals::{Kind, Vitals};
use crate::metrics::BackendMetrics;
use crate::names::{BackendName, PoolName};
use crate::wire::splice::Forward;

/// Backends that can answer for each other.
#[derive(Debug)]
pub struct Pool {
    pub name: PoolName,
    /// At least one.
    pub backends: Vec<Backend>,
    pub balance: Balance,
    pub breaker: BreakerRules,
    pub timeouts: Timeouts,
    pub retry: RetryRules,
    /// Unknown request fields that this pool gets.
    pub forward: Forward,
    /// What may be asked of it, whoever asks.
    pub gate: Option<Gate>,
    /// Whether its backends learn of a request's trace.
    pub passing: Passing,
    /// What traces call whoever answers: `gen_ai.provider.name`.
    pub provider: &'static str,
    /// All addresses of all backends. Replaced when a name leads elsewhere.
    members: ArcSwap<Members>,
    round: Round,
    dice: Dice,
    /// The usual time to the first useful byte, in nanoseconds as the bits of an `f64`.
    usual_stream: AtomicU64,
    usual_whole: AtomicU64,
}

/// A pool's own limit, and where it is counted.
#[derive(Debug, Clone)]
pub struct Gate {
    pub book: Arc<Book>,
    pub limit: Limit,
}

/// One backend as it was configured.
#[derive(Debug)]
pub struct Backend {
    pub name: BackendName,
    /// The share of the pool's requests that it gets, relative to the others; shared by its addresses.
    pub weight: u16,
    pub reach: Reach,
    pub credential: Arc<Credential>,
    pub metrics: Arc<BackendMetrics>,
}

/// One address of one backend.
#[derive(Debug)]
pub struct Member {
    /// Its backend's place in [`Pool::backends`].
    pub backend: usize,
    pub address: SocketAddr,
    pub vitals: Arc<Vitals>,
    credential: Arc<Credential>,
    weight: f32,
    turn: Turn,
}

#[derive(Debug, Default)]
struct Members {
    all: Vec<Arc<Member>>,
    /// The sum of the weights up to and including each member's.
    sums: Vec<f32>,
}

/// The address of a backend, and what is known of it.
#[derive(Debug, Clone)]
pub struct Place {
    /// The backend's place in [`Pool::backends`].
    pub backend: usize,
    pub address: SocketAddr,
    pub vitals: Arc<Vitals>,
}

/// Whether active checks are believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mood {
    Calm,
    /// All that could be asked are down by their checks. When a check says so of everyone, it is as likely the
    /// check that is wrong.
    Desperate,
}

/// What a pool is made of.
pub struct PoolParts {
    pub name: PoolName,
    pub backends: Vec<Backend>,
    pub balance: Balance,
    pub breaker: BreakerRules,
    pub timeouts: Timeouts,
    pub retry: RetryRules,
    pub forward: Forward,
    pub gate: Option<Gate>,
    pub passing: Passing,
    pub provider: &'static str,
}

impl Pool {
    /// A pool that has no addresses yet.
    pub fn new(parts: PoolParts) -> Self {
        let PoolParts { name, backends, balance, breaker, timeouts, retry, forward, gate, passing, provider } =
            parts;
        let dice = Dice::new(name.as_str().bytes().fold(0, |seed, byte| seed * 31 + u64::from(byte)));
        Self {
            name,
            backends,
            balance,
            breaker,
            timeouts,
            retry,
            forward,
            gate,
            passing,
            provider,
            members: ArcSwap::default(),
            round: Round::default(),
            dice,
            usual_stream: AtomicU64::default(),
            usual_whole: AtomicU64::default(),
        }
    }

    /// Takes these addresses for those of all backends. What is here already goes on as it was.
    pub fn settle(&self, places: &[Place]) {
        let old = self.members.load();
        let all: Vec<_> = places
            .iter()
            .filter_map(|place| {
                let backend = self.backends.get(place.backend)?;
                let siblings = places.iter().filter(|other| other.backend == place.backend).count();
                #[expect(clippy::cast_precision_loss, reason = "a name has a handful of addresses")]
                let weight = f32::from(backend.weight) / siblings as f32;
                let same = |member: &&Arc<Member>| {
                    member.backend == place.backend
                        && member.address == place.address
                        && (member.weight - weight).abs() < f32::EPSILON
                };
                let member = old.all.iter().find(same).cloned();
                Some(member.unwrap_or_else(|| {
                    Arc::new(Member {
                        backend: place.backend,
                        address: place.address,
                        vitals: place.vitals.clone(),
                        credential: backend.credential.clone(),
                        weight,
                        turn: Turn::default(),
                    })
                }))
            })
            .collect();
        let sums = all.iter().scan(0.0, |sum, member| {
            *sum += member.weight;
            Some(*sum)
        });
        let sums = sums.collect();
        self.members.store(Arc::new(Members { all, sums }));
    }

    /// All addresses.
    pub fn members(&self) -> Vec<Arc<Member>> {
        self.members.load().all.clone()
    }

    /// Chooses an address that can be asked and that `fits`.
    pub fn pick(
        self: &Arc<Self>,
        wish: Wish,
        mood: Mood,
        fits: impl Fn(&Arc<Member>) -> bool,
    ) -> Option<Attempt> {
        let now = wish.now;
        let members = self.members.load();
        let can = |member: &&Arc<Member>| member.can_be_asked(&self.breaker, mood, now) && fits(member);
        // A permit can only be lost to a race for a probe, and then its member is out.
        for _ in 0..=members.all.len() {
            let candidates = || members.all.iter().filter(can).map(|m| (m, m.candidate(&self.breaker, now)));
            let member = match self.balance {
                Balance::RoundRobin => self.round.turn(candidates(), wish),
                Balance::LeastInflight => self.round.least_inflight(candidates(), wish),
                Balance::P2cEwma => self.better_of_two(&members, can, wish),
            }?;
            let Some(permit) = member.vitals.breaker.enter(&self.breaker, now) else { continue };
            if member.credential.enter(now) {
                return Some(Attempt::begin(self.clone(), member.clone(), permit, wish));
            }
            member.vitals.breaker.withdraw(permit, now);
        }
        None
    }

    fn better_of_two<'m>(
        &self,
        members: &'m Members,
        can: impl Fn(&&Arc<Member>) -> bool,
        wish: Wish,
    ) -> Option<&'m Arc<Member>> {
        #[expect(clippy::cast_precision_loss, reason = "a pool has a handful of addresses")]
        let weight = members.sums.last()? / members.all.len() as f32;
        let usual = Usual { nanos: f64::from_bits(self.usual(wish.kind).load(Relaxed)), weight };
        let one = self.at_random(members, &can, wish.now)?;
        let mut other = self.at_random(members, &can, wish.now)?;
        // The same one twice is a choice, too, without which weights would be lost; but not if it is slow.
        if Arc::ptr_eq(one, other) && is_slower(&one.vitals, usual, wish) {
            let another = |member: &&Arc<Member>| can(member) && !Arc::ptr_eq(member, one);
            other = self.at_random(members, another, wish.now).unwrap_or(one);
        }
        let wait = |member: &Member| expected_wait(&member.candidate(&self.breaker, wish.now), usual, wish);
        if wait(other) < wait(one) { Some(other) } else { Some(one) }
    }

    /// One of those that can be asked, as often as its share says.
    fn at_random<'m>(
        &self,
        members: &'m Members,
        can: impl Fn(&&Arc<Member>) -> bool,
        now: Tick,
    ) -> Option<&'m Arc<Member>> {
        let sum = members.sums.last()?;
        // Throwing again keeps the ratio of those that can. With most of them out, looking at all is quicker.
        for _ in 0..4 {
            let point = self.dice.below(*sum);
            let member = members.all.get(members.sums.partition_point(|upto| *upto <= point))?;
            let fits = can(&member) && self.dice.below(1.0) < member.vitals.breaker.share(&self.breaker, now);
            if fits {
                return Some(member);
            }
        }
        let share = |member: &Arc<Member>| member.candidate(&self.breaker, now).share;
        let left = || members.all.iter().filter(&can);
        let mut point = self.dice.below(left().map(share).sum());
        let hit = left().find(|member| {
            point -= share(member);
            point < 0.0
        });
        // Rounding may leave the last one unhit.
        hit.or_else(|| left().last())
    }

    fn usual(&self, kind: Kind) -> &AtomicU64 {
        match kind {
            Kind::Stream => &self.usual_stream,
            Kind::Whole => &self.usual_whole,
        }
    }

    /// The usual time to the first useful byte; nothing when nothing is known.
    pub(super) fn usual_wait(&self, kind: Kind) -> Duration {
        Duration::from_secs_f64(f64::from_bits(self.usual(kind).load(Relaxed)) / 1e9)
    }

    /// Looks at all addresses, at how fast they usually are, and marks those that are far slower than their
    /// fellows: at most half of them. To be called now and then.
    pub fn survey(&self, now: Tick) {
        for kind in [Kind::Stream, Kind::Whole] {
            self.survey_kind(kind, now);
        }
    }

    fn survey_kind(&self, kind: Kind, now: Tick) {
        let members = self.members.load();
        let average = |member: &Arc<Member>| member.vitals.speed(kind).latency.nanos();
        let mut averages: Vec<f64> = members.all.iter().map(average).filter(|nanos| *nanos > 0.0).collect();
        averages.sort_by(f64::total_cmp);
        // The lower one of two, so that one of two can be the slow one; with one alone it is its own measure.
        let usual = averages.get(averages.len().saturating_sub(1) / 2).copied().unwrap_or(0.0);
        self.usual(kind).store(usual.to_bits(), Relaxed);
        for member in &members.all {
            let speed = member.vitals.speed(kind);
            let average = average(member).max(member.vitals.silence(now).as_secs_f64() * 1e9);
            let much = if speed.is_slow() { STILL_SLOW } else { SLOW };
            let alone = members.all.len() == 1 || usual == 0.0;
            speed.set_slow(!alone && average > usual * much && average - usual > NOTICEABLE, now);
        }
    }

    /// Sets the gauges of all backends to what is so now.
    pub fn observe(&self, now: Tick) {
        let members = self.members.load();
        for (index, backend) in self.backends.iter().enumerate() {
            let own = || members.all.iter().filter(|member| member.backend == index);
            let breaker = |member: &Arc<Member>| match member.vitals.breaker.state(now) {
                State::Closed => 0,
                State::HalfOpen => 1,
                State::Open => 2,
            };
            let up = |member: &Arc<Member>| member.can_be_asked(&self.breaker, Mood::Calm, now);
            backend.metrics.up.set(i64::from(own().any(up)));
            backend.metrics.breaker.set(own().map(breaker).min().unwrap_or(0));
            backend.metrics.in_flight.set(own().map(|member| i64::from(member.vitals.in_flight())).sum());
        }
    }

    /// Whether anyone in it can be asked now.
    pub fn has_anyone(&self, now: Tick) -> bool {
        self.members.load().all.iter().any(|member| member.can_be_asked(&self.breaker, Mood::Calm, now))
    }

    /// Whether nobody else could do the work of one that fails. At most half of a pool is let go of, but
    /// when nobody answers any more, all of them: then refusing at once is the best there is.
    pub(super) fn spare(&self, failing: &Arc<Member>, now: Tick) -> Spare {
        let members = self.members.load();
        let others = || members.all.iter().filter(|member| !Arc::ptr_eq(member, failing));
        let gone = |member: &Arc<Member>| {
            !member.vitals.is_up() || member.vitals.breaker.state(now) != State::Closed
        };
        let out = others().filter(|member| gone(member)).count();
        let half = (members.all.len() / 2).max(1);
        let hopeless = |member: &Arc<Member>| gone(member) || member.vitals.breaker.is_failing(&self.breaker);
        if out < half || others().all(hopeless) { Spare::Yes } else { Spare::No }
    }
}

/// So many times slower than the usual one is slow.
const SLOW: f64 = 3.0;
/// And stays slow until it is less than this.
const STILL_SLOW: f64 = 2.0;
/// Differences below this are nobody's concern, in nanoseconds.
const NOTICEABLE: f64 = 5e6;

impl Member {
    fn can_be_asked(&self, rules: &BreakerRules, mood: Mood, now: Tick) -> bool {
        (mood == Mood::Desperate || self.vitals.is_up())
            && self.vitals.breaker.admits(rules, now)
            && self.credential.cooling(now).is_none()
            && self.credential.is_usable(now)
    }

    /// Our account with its backend.
    pub(super) fn credential(&self) -> &Credential {
        &self.credential
    }

    /// How long its backend is still to be left alone.
    pub(super) fn cooling(&self, now: Tick) -> Option<Duration> {
        self.credential.cooling(now)
    }

    fn candidate(&self, rules: &BreakerRules, now: Tick) -> Candidate<'_> {
        let share = self.weight * self.vitals.breaker.share(rules, now);
        Candidate { vitals: &self.vitals, turn: &self.turn, share }
    }
}

#[cfg(test)]
mod tests;
