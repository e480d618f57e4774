//! What is known of one backend address while it runs: whether it is up, how busy and how fast it is.
//!
//! It outlives a configuration that leaves the backend as it was. Atomics throughout: every request reads it.

use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use super::breaker::Breaker;
use super::tick::Tick;

/// The state of one address.
#[derive(Debug, Default)]
pub struct Vitals {
    /// Whether active checks have found it down. Until they do, it is taken to be up.
    down: AtomicBool,
    in_flight: AtomicU32,
    /// Until when it has asked to be left alone, in nanoseconds.
    cooling: AtomicU64,
    pub breaker: Breaker,
    pub latency: Latency,
    /// Whether it is much slower than its fellows; see [`super::pools::Pool::survey`].
    slow: AtomicBool,
    /// When it was last asked, in nanoseconds.
    asked: AtomicU64,
}

impl Vitals {
    /// What active checks say.
    pub fn set_up(&self, up: bool) {
        self.down.store(!up, Relaxed);
    }

    /// Whether active checks, if there are any, find it up.
    pub fn is_up(&self) -> bool {
        !self.down.load(Relaxed)
    }

    /// Requests that are with it now.
    pub fn in_flight(&self) -> u32 {
        self.in_flight.load(Relaxed)
    }

    /// One more request.
    pub(super) fn begin(&self, now: Tick) {
        self.in_flight.fetch_add(1, Relaxed);
        self.asked.store(now.nanos(), Relaxed);
    }

    /// One less.
    pub(super) fn end(&self) {
        self.in_flight.fetch_sub(1, Relaxed);
    }

    /// Leaves it alone until then, or for longer if it has asked for longer before.
    pub fn cool_down(&self, until: Tick) {
        self.cooling.fetch_max(until.nanos(), Relaxed);
    }

    /// How long it is still to be left alone; `None` when it may be asked.
    pub fn cooling(&self, now: Tick) -> Option<Duration> {
        let left = Tick::new(self.cooling.load(Relaxed)).since(now);
        (!left.is_zero()).then_some(left)
    }

    /// Whether it is much slower than its fellows.
    pub fn is_slow(&self) -> bool {
        self.slow.load(Relaxed)
    }

    pub(super) fn set_slow(&self, slow: bool) {
        self.slow.store(slow, Relaxed);
    }

    /// How long ago it was last asked.
    pub(super) fn unasked_for(&self, now: Tick) -> Duration {
        now.since(Tick::new(self.asked.load(Relaxed)))
    }
}

/// After this time without news, what is known of a latency has lost two thirds of its weight.
const MEMORY: Duration = Duration::from_secs(10);
/// What a single answer counts at least, against all that came before.
const LEAST_NEWS: f64 = 0.1;

/// A moving average of the time to the first useful byte, which forgets with time.
#[derive(Debug, Default)]
pub struct Latency {
    /// Nanoseconds, as the bits of an `f64`; 0 is unknown.
    average: AtomicU64,
    /// When it was last told, in nanoseconds.
    told: AtomicU64,
}

impl Latency {
    /// Takes in one answer's time. Of two threads at once, one may be lost.
    pub fn observe(&self, time: Duration, now: Tick) {
        let time = time.as_secs_f64() * 1e9;
        let average = f64::from_bits(self.average.load(Relaxed));
        let average = if average > 0.0 {
            let news = (1.0 - self.faded(now)).max(LEAST_NEWS);
            average + (time - average) * news
        } else {
            time
        };
        self.average.store(average.max(1.0).to_bits(), Relaxed);
        self.told.store(now.nanos(), Relaxed);
    }

    /// The average as it was last told, in nanoseconds; 0 when nothing is known.
    pub fn nanos(&self) -> f64 {
        f64::from_bits(self.average.load(Relaxed))
    }

    /// The same, the less the longer ago that was: one that has not been asked for a while is worth a try.
    pub fn faded_nanos(&self, now: Tick) -> f64 {
        self.nanos() * self.faded(now)
    }

    /// How much of what was known still counts, from 1 down to 0.
    fn faded(&self, now: Tick) -> f64 {
        let age = now.since(Tick::new(self.told.load(Relaxed)));
        (-age.as_secs_f64() / MEMORY.as_secs_f64()).exp()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> Tick {
        Tick::ZERO.plus(Duration::from_millis(millis))
    }

    #[test]
    fn a_cool_down_is_never_shortened() {
        let vitals = Vitals::default();
        assert_eq!(vitals.cooling(at(0)), None);
        vitals.cool_down(at(5000));
        vitals.cool_down(at(2000));
        assert_eq!(vitals.cooling(at(4000)), Some(Duration::from_secs(1)));
        assert_eq!(vitals.cooling(at(5000)), None);
    }

    #[test]
    fn an_average_follows_its_news_and_fades() {
        let latency = Latency::default();
        assert_eq!(latency.nanos(), 0.0);
        latency.observe(Duration::from_millis(20), at(0));
        assert_eq!(latency.nanos(), 20e6);
        for n in 1..=30 {
            latency.observe(Duration::from_millis(200), at(n));
        }
        assert!((150e6..200e6).contains(&latency.nanos()), "{}", latency.nanos());
        let fresh = latency.faded_nanos(at(30));
        assert!(latency.faded_nanos(at(10_030)) < fresh * 0.37);
        // After a long silence the next answer is nearly all that counts.
        latency.observe(Duration::from_millis(20), at(40_030));
        assert!(latency.nanos() < 25e6, "{}", latency.nanos());
    }
}
