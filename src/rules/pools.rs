//! Backends that can answer for each other, and which of them is asked next.

use std::net::SocketAddr;
use std::sync::Arc;

use arc_swap::ArcSwap;

use super::attempt::Attempt;
use super::balance::{Balance, Candidate, Dice, Round, Turn, expected_wait};
use super::breaker::{BreakerRules, Spare, State};
use super::credential::Credential;
use super::reach::Reach;
use super::retry::RetryRules;
use super::tick::Tick;
use super::timeouts::Timeouts;
use super::vitals::Vitals;
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
    /// All addresses of all backends. Replaced when a name leads elsewhere.
    members: ArcSwap<Members>,
    round: Round,
    dice: Dice,
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

/// What a pool is made of.
pub struct PoolParts {
    pub name: PoolName,
    pub backends: Vec<Backend>,
    pub balance: Balance,
    pub breaker: BreakerRules,
    pub timeouts: Timeouts,
    pub retry: RetryRules,
    pub forward: Forward,
}

impl Pool {
    /// A pool that has no addresses yet.
    pub fn new(parts: PoolParts) -> Self {
        let PoolParts { name, backends, balance, breaker, timeouts, retry, forward } = parts;
        let dice = Dice::new(name.as_str().bytes().fold(0, |seed, byte| seed * 31 + u64::from(byte)));
        let members = ArcSwap::default();
        let round = Round::default();
        Self { name, backends, balance, breaker, timeouts, retry, forward, members, round, dice }
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

    /// Chooses an address that can be asked and is not among the `tried`.
    pub fn pick(self: &Arc<Self>, now: Tick, tried: impl Fn(&Arc<Member>) -> bool) -> Option<Attempt> {
        let members = self.members.load();
        let can = |member: &&Arc<Member>| member.can_be_asked(now) && !tried(member);
        // A permit can only be lost to a race for a probe, and then its member is out.
        for _ in 0..=members.all.len() {
            let candidates = || members.all.iter().filter(can).map(|m| (m, m.candidate(&self.breaker, now)));
            let member = match self.balance {
                Balance::RoundRobin => self.round.turn(candidates()),
                Balance::LeastInflight => self.round.least_inflight(candidates(), now),
                Balance::P2cEwma => self.better_of_two(&members, can, now),
            }?;
            if let Some(permit) = member.vitals.breaker.enter(now) {
                return Some(Attempt::begin(self.clone(), member.clone(), permit, now));
            }
        }
        None
    }

    fn better_of_two<'m>(
        &self,
        members: &'m Members,
        can: impl Fn(&&Arc<Member>) -> bool,
        now: Tick,
    ) -> Option<&'m Arc<Member>> {
        let one = self.at_random(members, &can, now)?;
        let other = self.at_random(members, |member| can(member) && !Arc::ptr_eq(member, one), now);
        let Some(other) = other else { return Some(one) };
        let wait = |member: &Member| expected_wait(&member.candidate(&self.breaker, now), now);
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

    /// Looks at all addresses and marks those that are far slower than their fellows: at most half of them.
    /// To be called now and then.
    pub fn survey(&self) {
        let members = self.members.load();
        let known = |member: &&Arc<Member>| member.vitals.latency.nanos() > 0.0;
        let mut averages: Vec<f64> =
            members.all.iter().filter(known).map(|member| member.vitals.latency.nanos()).collect();
        averages.sort_by(f64::total_cmp);
        // The lower one of two, so that one of two can be the slow one; with one alone it is its own measure.
        let usual = averages.get(averages.len().saturating_sub(1) / 2).copied().unwrap_or(0.0);
        for member in &members.all {
            let average = member.vitals.latency.nanos();
            let much = if member.vitals.is_slow() { STILL_SLOW } else { SLOW };
            member.vitals.set_slow(average > usual * much && average - usual > NOTICEABLE);
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
            let up = |member: &Arc<Member>| {
                member.vitals.is_up() && member.credential.is_usable(now) && breaker(member) < 2
            };
            backend.metrics.up.set(i64::from(own().any(up)));
            backend.metrics.breaker.set(own().map(breaker).min().unwrap_or(0));
            backend.metrics.in_flight.set(own().map(|member| i64::from(member.vitals.in_flight())).sum());
        }
    }

    /// Whether nobody else could do the work of one that fails. At most half of a pool is let go of, but
    /// when nobody answers any more, all of them: then refusing at once is the best there is.
    pub(super) fn spare(&self, failing: &Arc<Member>, now: Tick) -> Spare {
        let members = self.members.load();
        let others = || members.all.iter().filter(|member| !Arc::ptr_eq(member, failing));
        let out = others().filter(|member| member.vitals.breaker.state(now) != State::Closed).count();
        let half = (members.all.len() / 2).max(1);
        let hopeless = |member: &Arc<Member>| {
            let breaker = &member.vitals.breaker;
            breaker.state(now) != State::Closed || breaker.is_failing(&self.breaker)
        };
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
    fn can_be_asked(&self, now: Tick) -> bool {
        self.vitals.is_up()
            && self.vitals.breaker.admits(now)
            && self.vitals.cooling(now).is_none()
            && self.credential.is_usable(now)
    }

    fn candidate(&self, rules: &BreakerRules, now: Tick) -> Candidate<'_> {
        let share = self.weight * self.vitals.breaker.share(rules, now);
        Candidate { vitals: &self.vitals, turn: &self.turn, share }
    }
}

#[cfg(test)]
mod tests;
