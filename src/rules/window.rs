//! Two counts over the last ten seconds, without a lock.

use std::sync::atomic::{AtomicU64, Ordering};

use super::tick::Tick;

/// How many seconds are remembered.
pub const SECONDS: u64 = 10;
/// Bits of each count in a slot. A second with more than a million of either counts as a million.
const BITS: u32 = 20;
const MOST: u64 = (1 << BITS) - 1;

/// A ring of one slot for each second: which second it is, and the two counts.
///
/// The second that runs and the nine before it count. Two threads that enter a new second at once may lose
/// one count; nothing that rests on this needs more.
#[derive(Debug, Default)]
pub struct Window([AtomicU64; SECONDS as usize]);

impl Window {
    /// Adds one to the first count.
    pub fn first(&self, now: Tick) {
        self.add(now, 1);
    }

    /// Adds one to the second count.
    pub fn second(&self, now: Tick) {
        self.add(now, 1 << BITS);
    }

    /// Both counts over the last ten seconds.
    pub fn sums(&self, now: Tick) -> (u64, u64) {
        let second = now.seconds();
        self.0.iter().map(|slot| slot.load(Ordering::Relaxed)).fold((0, 0), |(first, other), slot| {
            let age = second.wrapping_sub(slot >> (2 * BITS)) & (u64::MAX >> (2 * BITS));
            if age < SECONDS {
                (first + (slot & MOST), other + (slot >> BITS & MOST))
            } else {
                (first, other)
            }
        })
    }

    /// Forgets everything.
    pub fn clear(&self) {
        self.0.iter().for_each(|slot| slot.store(0, Ordering::Relaxed));
    }

    fn add(&self, now: Tick, one: u64) {
        let second = now.seconds() & (u64::MAX >> (2 * BITS));
        let index = usize::try_from(now.seconds() % SECONDS).unwrap_or(0);
        let Some(slot) = self.0.get(index) else { return };
        let counted = |old: u64| {
            let counts = if old >> (2 * BITS) == second { old & ((1 << (2 * BITS)) - 1) } else { 0 };
            let full = if one == 1 { counts & MOST == MOST } else { counts >> BITS == MOST };
            Some(second << (2 * BITS) | if full { counts } else { counts + one })
        };
        // It never fails: `counted` always has an answer.
        let _ = slot.fetch_update(Ordering::Relaxed, Ordering::Relaxed, counted);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn at(seconds: u64) -> Tick {
        Tick::ZERO.plus(Duration::from_secs(seconds))
    }

    #[test]
    fn ten_seconds_count_and_older_ones_do_not() {
        let window = Window::default();
        assert_eq!(window.sums(at(0)), (0, 0));
        for second in 100..125 {
            window.first(at(second));
            window.second(at(second));
            window.second(at(second));
        }
        assert_eq!(window.sums(at(124)), (10, 20));
        assert_eq!(window.sums(at(129)), (5, 10));
        assert_eq!(window.sums(at(133)), (1, 2));
        assert_eq!(window.sums(at(134)), (0, 0));
        window.first(at(134));
        window.clear();
        assert_eq!(window.sums(at(134)), (0, 0));
    }

    #[test]
    fn a_full_count_does_not_spill_into_the_other() {
        let window = Window::default();
        for _ in 0..MOST + 5 {
            window.first(at(3));
        }
        assert_eq!(window.sums(at(3)), (MOST, 0));
        for _ in 0..MOST + 5 {
            window.second(at(3));
        }
        assert_eq!(window.sums(at(3)), (MOST, MOST));
    }

    #[test]
    fn a_count_before_the_first_second_is_over_counts() {
        let window = Window::default();
        window.first(at(0));
        assert_eq!(window.sums(at(0)), (1, 0));
        assert_eq!(window.sums(at(9)), (1, 0));
    }
}
