//! Which of several backends is asked: three ways to choose, all without a lock.
//!
//! All of them honour weights, also while some of the backends are out: the others keep their ratio.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use super::tick::Tick;
use super::vitals::{Kind, Vitals};

/// How a pool chooses among its backends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Balance {
    /// In turns, by weight, evenly interleaved.
    RoundRobin,
    /// The one with the fewest requests for its weight; one that is far slower than its fellows only as a
    /// last resort. Equals take turns.
    LeastInflight,
    /// Of two at random, the one that promises the sooner first byte: what it took of late, times how
    /// busy it is.
    P2cEwma,
}

impl Balance {
    /// Its name in the configuration.
    pub fn label(self) -> &'static str {
        match self {
            Self::RoundRobin => "round_robin",
            Self::LeastInflight => "least_inflight",
            Self::P2cEwma => "p2c_ewma",
        }
    }
}

/// A backend that could be chosen.
pub struct Candidate<'a> {
    pub vitals: &'a Vitals,
    pub turn: &'a Turn,
    /// Its weight, times the part of it that it gets after a return. Above 0.
    pub share: f32,
}

/// What a choice is for.
#[derive(Debug, Clone, Copy)]
pub struct Wish {
    pub now: Tick,
    pub kind: Kind,
    pub turns: Turns,
}

/// Whether a choice is somebody's turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Turns {
    /// It is.
    Take,
    /// Another one failed: whoever helps out keeps its turn, so that the failing one does not meet the next
    /// request again.
    Keep,
}

/// When a backend has its next turn, in units of work done for its weight.
#[derive(Debug, Default)]
pub struct Turn(AtomicU64);

/// A turn of weight 1. Large, so that weights up to thousands divide it finely.
const STEP: f64 = (1_u64 << 32) as f64;

/// How far all turns have come. A backend that was out does not catch up on what it missed.
#[derive(Debug, Default)]
pub struct Round(AtomicU64);

impl Round {
    /// Where a backend with this turn stands: not behind the others.
    fn place(&self, turn: &Turn) -> u64 {
        turn.0.load(Relaxed).max(self.0.load(Relaxed))
    }

    /// Takes a backend's turn. A thread that lost a race has taken it as well; one turn is lost, no more.
    fn take(&self, candidate: &Candidate<'_>) {
        let old = candidate.turn.0.load(Relaxed);
        let place = old.max(self.0.load(Relaxed));
        let next = place + step(candidate.share);
        if candidate.turn.0.compare_exchange(old, next, Relaxed, Relaxed).is_err() {
            candidate.turn.0.fetch_add(step(candidate.share), Relaxed);
        }
        self.0.fetch_max(place, Relaxed);
    }

    /// The one whose turn it is.
    pub fn turn<'a, T>(&self, all: impl Iterator<Item = (T, Candidate<'a>)>, wish: Wish) -> Option<T> {
        let (chosen, candidate) = all.min_by_key(|(_, candidate)| self.place(candidate.turn))?;
        self.grant(&candidate, wish.turns);
        Some(chosen)
    }

    /// The one with the fewest requests for its weight, else the one whose turn it is.
    pub fn least_inflight<'a, T>(
        &self,
        all: impl Iterator<Item = (T, Candidate<'a>)>,
        wish: Wish,
    ) -> Option<T> {
        let mut best: Option<(T, Candidate<'a>, (bool, f32, u64))> = None;
        for (item, candidate) in all {
            let vitals = candidate.vitals;
            let slow = vitals.speed(wish.kind).is_shunned(wish.now);
            #[expect(clippy::cast_precision_loss, reason = "nobody has millions of requests in flight")]
            let load = vitals.in_flight() as f32 / candidate.share;
            let rank = (slow, load, self.place(candidate.turn));
            if best.as_ref().is_none_or(|(_, _, least)| rank < *least) {
                best = Some((item, candidate, rank));
            }
        }
        let (chosen, candidate, _) = best?;
        self.grant(&candidate, wish.turns);
        Some(chosen)
    }

    fn grant(&self, candidate: &Candidate<'_>, turns: Turns) {
        match turns {
            Turns::Take => self.take(candidate),
            Turns::Keep => {}
        }
    }
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "positive, and far below 2^64")]
fn step(share: f32) -> u64 {
    (STEP / f64::from(share.max(f32::EPSILON))) as u64
}

/// What is usual in a pool, by which its backends are measured.
#[derive(Debug, Clone, Copy)]
pub struct Usual {
    /// The time to the first useful byte, in nanoseconds; 0 when nothing is known.
    pub nanos: f64,
    /// The mean of the weights.
    pub weight: f32,
}

/// What asking this one would cost: its usual wait, or its silence if that is longer, times its place in the queue.
pub fn expected_wait(candidate: &Candidate<'_>, usual: Usual, wish: Wish) -> f64 {
    let queue = 1.0 + f64::from(candidate.vitals.in_flight()) * f64::from(usual.weight / candidate.share);
    expected_answer(candidate.vitals, usual, wish).max(1.0) * queue
}

/// Whether its answers take more than twice what is usual.
pub fn is_slower(vitals: &Vitals, usual: Usual, wish: Wish) -> bool {
    usual.nanos > 0.0 && expected_answer(vitals, usual, wish) > 2.0 * usual.nanos
}

fn expected_answer(vitals: &Vitals, usual: Usual, wish: Wish) -> f64 {
    let expected = vitals.speed(wish.kind).latency.expected_nanos(usual.nanos, wish.now);
    expected.max(vitals.silence(wish.now).as_secs_f64() * 1e9)
}

/// Numbers that look random, for choices that nobody may foresee only by accident. Not for secrets.
#[derive(Debug, Default)]
pub struct Dice(AtomicU64);

impl Dice {
    /// Dice that fall differently for every seed.
    pub fn new(seed: u64) -> Self {
        Self(AtomicU64::new(seed))
    }

    /// The next number (SplitMix64).
    pub fn roll(&self) -> u64 {
        let mut z = self.0.fetch_add(0x9E37_79B9_7F4A_7C15, Relaxed).wrapping_add(0x9E37_79B9_7F4A_7C15);
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// A number from 0 up to, but not including, `bound`.
    #[expect(clippy::cast_precision_loss, reason = "24 bits are exact, and enough")]
    pub fn below(&self, bound: f32) -> f32 {
        (self.roll() >> 40) as f32 / (1_u64 << 24) as f32 * bound
    }
}
