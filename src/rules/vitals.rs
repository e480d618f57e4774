//! What is known of one backend address while it runs: whether it is up, how busy and how fast it is.
//!
//! It outlives a configuration that leaves the backend as it was. Atomics throughout: every request reads it.

use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use super::breaker::Breaker;
use super::tick::Tick;

/// What is waited for. A whole answer takes as long as all its words, so the two are never compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// The first event of a stream.
    Stream,
    /// A whole answer.
    Whole,
}

/// The state of one address.
#[derive(Debug, Default)]
pub struct Vitals {
    /// Whether active checks have found it down. Until they do, it is taken to be up.
    down: AtomicBool,
    in_flight: AtomicU32,
    /// Of those in flight, how many have had no useful byte yet.
    unanswered: AtomicU32,
    /// Since when it has been silent, if any are unanswered; in nanoseconds.
    silent: AtomicU64,
    pub breaker: Breaker,
    stream: Speed,
    whole: Speed,
}

/// How fast an address is with one kind of answer.
#[derive(Debug, Default)]
pub struct Speed {
    pub latency: Latency,
    /// Whether it is much slower than its fellows; see [`super::pools::Pool::survey`].
    slow: AtomicBool,
    /// When it was last asked while it was slow, in nanoseconds.
    retested: AtomicU64,
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

    /// How fast it is with answers of one kind.
    pub fn speed(&self, kind: Kind) -> &Speed {
        match kind {
            Kind::Stream => &self.stream,
            Kind::Whole => &self.whole,
        }
    }

    /// How long it has said nothing although somebody waits for it.
    pub fn silence(&self, now: Tick) -> Duration {
        match self.unanswered.load(Relaxed) {
            0 => Duration::ZERO,
            _ => now.since(Tick::new(self.silent.load(Relaxed))),
        }
    }

    /// One more request.
    pub(super) fn begin(&self, now: Tick) {
        self.in_flight.fetch_add(1, Relaxed);
        if self.unanswered.fetch_add(1, Relaxed) == 0 {
            self.silent.store(now.nanos(), Relaxed);
        }
    }

    /// One that waited for its first byte has it, or waits no more. A refusal is a word, too.
    pub(super) fn heard(&self, now: Tick) {
        self.unanswered.fetch_sub(1, Relaxed);
        self.silent.store(now.nanos(), Relaxed);
    }

    /// One that waited for its first byte has left without it.
    pub(super) fn left(&self) {
        self.unanswered.fetch_sub(1, Relaxed);
    }

    /// One request less.
    pub(super) fn end(&self) {
        self.in_flight.fetch_sub(1, Relaxed);
    }
}

impl Speed {
    /// Whether it is much slower than its fellows.
    pub fn is_slow(&self) -> bool {
        self.slow.load(Relaxed)
    }

    pub(super) fn set_slow(&self, slow: bool, now: Tick) {
        if slow && !self.slow.swap(slow, Relaxed) {
            self.retested.store(now.nanos(), Relaxed);
        }
        self.slow.store(slow, Relaxed);
    }

    /// Whether it is slow and is not to be tried again yet.
    pub(super) fn is_shunned(&self, now: Tick) -> bool {
        self.is_slow() && now.since(Tick::new(self.retested.load(Relaxed))) < RETEST
    }

    /// It is asked, slow or not.
    pub(super) fn asked(&self, now: Tick) {
        if self.is_slow() {
            self.retested.store(now.nanos(), Relaxed);
        }
    }
}

/// How long a slow backend is left alone before one request tries it again.
const RETEST: Duration = Duration::from_secs(5);
/// After this time without news, what is known of a latency has lost two thirds of its weight.
const MEMORY: Duration = Duration::from_secs(10);
/// What a single answer counts, against all that came before.
const NEWS: std::ops::RangeInclusive<f64> = 0.1..=0.5;

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
            let news = (1.0 - self.faded(now)).clamp(*NEWS.start(), *NEWS.end());
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

    /// What to expect now: the average, nearer to what is `usual` the longer ago it was told.
    pub fn expected_nanos(&self, usual: f64, now: Tick) -> f64 {
        let known = self.nanos();
        if known > 0.0 { usual + (known - usual) * self.faded(now) } else { usual }
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
    fn an_average_follows_its_news_and_fades_to_what_is_usual() {
        let latency = Latency::default();
        assert_eq!(latency.nanos(), 0.0);
        assert_eq!(latency.expected_nanos(7e6, at(0)), 7e6);
        latency.observe(Duration::from_millis(20), at(0));
        assert_eq!(latency.nanos(), 20e6);
        for n in 1..=30 {
            latency.observe(Duration::from_millis(200), at(n));
        }
        assert!((150e6..200e6).contains(&latency.nanos()), "{}", latency.nanos());
        assert!(latency.expected_nanos(20e6, at(30)) > 150e6);
        assert!(latency.expected_nanos(20e6, at(60_030)) < 21e6);
        // After a long silence the next answer is half of what counts, and no more.
        let before = latency.nanos();
        latency.observe(Duration::from_millis(20), at(400_030));
        assert!((latency.nanos() - (before + 20e6) / 2.0).abs() < 1.0, "{}", latency.nanos());
    }

    #[test]
    fn silence_lasts_from_the_first_who_waits_to_the_next_word() {
        let vitals = Vitals::default();
        assert_eq!(vitals.silence(at(500)), Duration::ZERO);
        vitals.begin(at(1000));
        vitals.begin(at(2000));
        assert_eq!(vitals.silence(at(4000)), Duration::from_secs(3));
        vitals.heard(at(4000));
        assert_eq!(vitals.silence(at(4500)), Duration::from_millis(500));
        vitals.left();
        assert_eq!(vitals.silence(at(9000)), Duration::ZERO);
        vitals.begin(at(9000));
        assert_eq!(vitals.silence(at(9000)), Duration::ZERO);
    }
}
