//! How often a request may be asked again: rules of a pool, a budget of an alias, and a wait in between.

use std::time::Duration;

use super::tick::Tick;
use super::window::{SECONDS, Window};

/// What a pool allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RetryRules {
    /// Attempts in all for one request; at least 1.
    pub attempts: usize,
    /// How often a request that a backend may have worked on is sent again.
    pub resend: usize,
    /// Retries as a share of the requests of the last ten seconds, in percent.
    pub budget: u8,
    /// Whether a backend that did not answer in time may be followed by another.
    pub on_timeout: bool,
}

/// Retries that are always allowed, each second: a quiet alias has too few requests for a share of them.
const FLOOR: u64 = 3;

/// What an alias has spent on retries, so that a failing pool is not asked much more than is asked of us.
#[derive(Debug, Default)]
pub struct Budget(Window);

impl Budget {
    /// Counts a request.
    pub fn request(&self, now: Tick) {
        self.0.first(now);
    }

    /// Whether there is room for a retry.
    pub fn has_room(&self, percent: u8, now: Tick) -> bool {
        let (requests, retries) = self.0.sums(now);
        retries < (requests * u64::from(percent) / 100).max(FLOOR * SECONDS)
    }

    /// Takes a retry out of the budget.
    pub fn spend(&self, now: Tick) {
        self.0.second(now);
    }
}

/// The longest wait before the first retry; it doubles with each.
const FIRST_WAIT: Duration = Duration::from_millis(25);
/// The longest wait before any retry.
const LONGEST_WAIT: Duration = Duration::from_millis(250);

/// How long to wait before the `nth` retry of a request, counted from 1: anything up to a bound, so that
/// requests that failed together do not come back together. `random` is any number.
pub fn wait(nth: usize, random: u64) -> Duration {
    let doublings = u32::try_from(nth.saturating_sub(1)).unwrap_or(u32::MAX).min(8);
    let bound = (FIRST_WAIT * (1 << doublings)).min(LONGEST_WAIT);
    let micros = u64::try_from(bound.as_micros()).unwrap_or(u64::MAX);
    Duration::from_micros(random % (micros + 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Tick {
        Tick::ZERO.plus(Duration::from_secs(seconds))
    }

    #[test]
    fn a_fifth_of_the_last_ten_seconds_may_be_asked_again() {
        let budget = Budget::default();
        for second in 0..10 {
            (0..500).for_each(|_| budget.request(at(second)));
        }
        let spend = |percent, now| {
            let room = budget.has_room(percent, now);
            if room {
                budget.spend(now);
            }
            room
        };
        let spent = (0..2000).filter(|_| spend(20, at(9))).count();
        assert_eq!(spent, 1000);
        // What was spent in second 9 is forgotten in second 19.
        assert!(!spend(20, at(18)));
        assert!(spend(20, at(19)));
    }

    #[test]
    fn a_quiet_alias_has_three_a_second_even_with_a_share_of_nothing() {
        let budget = Budget::default();
        budget.request(at(0));
        for _ in 0..30 {
            assert!(budget.has_room(0, at(0)));
            budget.spend(at(0));
        }
        assert!(!budget.has_room(0, at(0)));
    }

    #[test]
    fn waits_grow_to_a_bound_and_use_all_of_it() {
        for (nth, bound) in [(0, 25), (1, 25), (2, 50), (3, 100), (4, 200), (5, 250), (99, 250)] {
            let longest = (0..400_000).step_by(7).map(|random| wait(nth, random)).max().unwrap();
            assert!(longest <= Duration::from_millis(bound), "{nth}: {longest:?}");
            assert!(longest > Duration::from_millis(bound) * 9 / 10, "{nth}: {longest:?}");
            assert_eq!(wait(nth, 0), Duration::ZERO);
        }
    }
}
