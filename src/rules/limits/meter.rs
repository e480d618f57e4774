//! A count over the last minute.

use std::time::Duration;

use pingora_limits::estimator::Estimator;

use crate::rules::tick::Tick;

/// The window, in nanoseconds.
const MINUTE: u64 = 60 * 1_000_000_000;

/// What was counted in this minute and in the one before, of which less and less counts as this one goes on.
///
/// Of two sketches with one slot each, so that they are exact. `pingora_limits::rate::Rate` would be the same
/// with a clock inside, which cannot be told the time and races with its own reset.
pub struct Meter {
    current: Estimator,
    previous: Estimator,
    /// Which minute `current` belongs to.
    minute: u64,
}

/// The only key of an estimator of ours.
const KEY: u8 = 0;

impl Default for Meter {
    fn default() -> Self {
        Self { current: exact(), previous: exact(), minute: 0 }
    }
}

/// A sketch that counts one thing exactly.
pub(super) fn exact() -> Estimator {
    Estimator::new(1, 1)
}

/// What such a sketch has counted. Given back after it was settled otherwise, a count may be below nothing for a
/// while: then it is nothing.
pub(super) fn count(of: &Estimator) -> u64 {
    u64::try_from(of.get(KEY)).unwrap_or(0)
}

/// Counts so much more, or less.
pub(super) fn change(of: &Estimator, by: i64) {
    of.incr(KEY, isize::try_from(by).unwrap_or(isize::MAX));
}

impl Meter {
    /// What counts now.
    pub fn used(&mut self, now: Tick) -> u64 {
        let (current, previous, left) = self.at(now);
        whole(current + previous * left)
    }

    /// Counts so much more.
    pub fn add(&mut self, now: Tick, amount: u64) {
        self.roll(now);
        change(&self.current, signed(amount));
    }

    /// Takes back what was counted at `taken`, as far as it still counts.
    pub fn give_back(&mut self, taken: Tick, now: Tick, amount: u64) {
        self.roll(now);
        let minute = taken.nanos() / MINUTE;
        if minute == self.minute {
            change(&self.current, -signed(amount));
        } else if minute + 1 == self.minute {
            change(&self.previous, -signed(amount));
        }
    }

    /// How long until `amount` more fit under the limit; nothing if they do now. More than the limit never
    /// fits, so it is taken for the limit.
    pub fn wait(&mut self, now: Tick, limit: u64, amount: u64) -> Duration {
        let (current, previous, left) = self.at(now);
        let room = float(limit) - float(amount.min(limit));
        if current + previous * left <= room {
            return Duration::ZERO;
        }
        let rest_of_minute = left;
        if current <= room {
            // What is left of the previous minute fades below `room - current`.
            return fraction(rest_of_minute - (room - current).max(0.0) / previous.max(1.0));
        }
        // Only in the next minute, when this one is the previous one and has faded far enough.
        fraction(rest_of_minute + 1.0 - room / current.max(1.0))
    }

    /// How long until nothing counts any more.
    pub fn reset(&mut self, now: Tick) -> Duration {
        let (current, previous, left) = self.at(now);
        if current > 0.0 {
            fraction(left + 1.0)
        } else if previous > 0.0 {
            fraction(left)
        } else {
            Duration::ZERO
        }
    }

    /// This minute's count, the previous one's, and how much of the latter counts.
    fn at(&mut self, now: Tick) -> (f64, f64, f64) {
        self.roll(now);
        let gone = float(now.nanos() % MINUTE) / float(MINUTE);
        (float(count(&self.current)), float(count(&self.previous)), 1.0 - gone)
    }

    fn roll(&mut self, now: Tick) {
        let minute = now.nanos() / MINUTE;
        // Ticks of two threads may arrive in the wrong order; a minute that has begun has begun.
        if minute <= self.minute {
            return;
        }
        if minute == self.minute + 1 {
            std::mem::swap(&mut self.current, &mut self.previous);
        } else {
            self.previous.reset();
        }
        self.current.reset();
        self.minute = minute;
    }
}

fn signed(amount: u64) -> i64 {
    i64::try_from(amount).unwrap_or(i64::MAX)
}

#[expect(clippy::cast_precision_loss, reason = "counts are far below 2^52")]
fn float(amount: u64) -> f64 {
    amount as f64
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "positive, and far below 2^64")]
fn whole(amount: f64) -> u64 {
    // A hair above a whole number is rounding, not use.
    (amount - 1e-6).ceil() as u64
}

/// This part of a minute, and a hair more, so that it has really passed.
fn fraction(of: f64) -> Duration {
    Duration::from_secs_f64(of.max(0.0) * 60.0) + Duration::from_millis(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> Tick {
        Tick::ZERO.plus(Duration::from_secs(600) + Duration::from_millis(millis))
    }

    #[test]
    fn the_previous_minute_fades() {
        let mut meter = Meter::default();
        meter.add(at(0), 40);
        meter.add(at(59_999), 20);
        assert_eq!(meter.used(at(59_999)), 60);
        assert_eq!(meter.used(at(60_000)), 60);
        assert_eq!(meter.used(at(90_000)), 30);
        meter.add(at(90_000), 5);
        assert_eq!(meter.used(at(90_000)), 35);
        assert_eq!(meter.used(at(120_000)), 5);
        assert_eq!(meter.used(at(180_000)), 0);
    }

    #[test]
    fn what_is_given_back_is_taken_from_the_minute_it_was_counted_in() {
        let mut meter = Meter::default();
        meter.add(at(0), 10);
        meter.add(at(60_000), 10);
        meter.give_back(at(0), at(60_000), 10);
        assert_eq!(meter.used(at(60_000)), 10);
        meter.give_back(at(60_000), at(60_000), 4);
        assert_eq!(meter.used(at(60_000)), 6);
        meter.give_back(at(0), at(120_000), 10);
        assert_eq!(meter.used(at(120_000)), 6);
    }

    #[test]
    fn a_wait_that_is_kept_leads_to_room() {
        for (early, late, limit, amount) in [
            (50, 0, 50, 1),
            (0, 50, 50, 1),
            (30, 20, 50, 10),
            (10, 40, 50, 50),
            (70, 10, 50, 1),
            (0, 900, 50, 60),
        ] {
            for asked in [60_000, 61_000, 89_500, 119_999] {
                let mut meter = Meter::default();
                meter.add(at(0), early);
                meter.add(at(asked), late);
                let wait = meter.wait(at(asked), limit, amount);
                let after = at(asked).plus(wait);
                assert_eq!(
                    meter.wait(after, limit, amount),
                    Duration::ZERO,
                    "{early} {late} {asked}: {wait:?}"
                );
                assert!(wait <= Duration::from_secs(121), "{wait:?}");
                if wait > Duration::from_millis(20) {
                    let mut meter = Meter::default();
                    meter.add(at(0), early);
                    meter.add(at(asked), late);
                    let before = at(asked).plus(wait - Duration::from_millis(20));
                    assert_ne!(
                        meter.wait(before, limit, amount),
                        Duration::ZERO,
                        "{early} {late} {asked}: too long"
                    );
                }
            }
        }
    }

    #[test]
    fn a_minute_never_lets_much_more_than_its_limit_through() {
        let mut meter = Meter::default();
        let mut passed = Vec::new();
        for millis in (0..600_000).step_by(100) {
            if meter.wait(at(millis), 50, 1).is_zero() {
                meter.add(at(millis), 1);
                passed.push(millis);
            }
        }
        // By any sixty seconds; the window assumes that the previous minute was even.
        let most = passed
            .iter()
            .map(|start| passed.iter().filter(|t| (*start..start + 60_000).contains(*t)).count());
        assert!(most.max().unwrap() <= 75, "{passed:?}");
        assert!((450..=550).contains(&passed.len()), "{}", passed.len());
    }

    #[test]
    fn the_reset_is_when_nothing_counts_any_more() {
        let mut meter = Meter::default();
        assert_eq!(meter.reset(at(0)), Duration::ZERO);
        meter.add(at(30_000), 1);
        let wait = meter.reset(at(30_000));
        assert_eq!(meter.used(at(30_000).plus(wait)), 0);
        assert!(wait < Duration::from_secs(91));
    }
}
