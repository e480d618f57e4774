//! Days and months of UTC, and what was used in them.

use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};

use crate::rules::store::Span;

/// Which day and which month it is, and how long they still are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Today {
    /// Days since 1970.
    pub day: u64,
    /// Months since 1970.
    pub month: u64,
    pub day_left: Duration,
    pub month_left: Duration,
}

impl Today {
    /// The day and month of a point in time.
    pub fn at(now: SystemTime) -> Self {
        let left = |span: Span| span.end().and_then(|end| end.duration_since(now).ok()).unwrap_or_default();
        let (day, month) = (Span::day(now), Span::month(now));
        Self { day: number(day), month: number(month), day_left: left(day), month_left: left(month) }
    }
}

fn number(span: Span) -> u64 {
    match span {
        Span::Minute => 0,
        Span::Day { number } | Span::Month { number } => number,
    }
}

/// What was used in one period, of any length.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Spent {
    /// Which period it was.
    pub number: u64,
    pub used: u64,
}

impl Spent {
    /// What was used in this period.
    pub fn used_in(&self, number: u64) -> u64 {
        if self.number == number { self.used } else { 0 }
    }

    /// Uses more in this period.
    ///
    /// What belongs to a period before the one that is counted is lost: a clock that has gone back, or a
    /// request that ends after midnight, must not wipe what the new period has.
    pub fn add(&mut self, number: u64, amount: u64) {
        if number > self.number {
            *self = Self { number, used: 0 };
        }
        if number == self.number {
            self.used = self.used.saturating_add(amount);
        }
    }

    /// Changes what was used in a period by what another process has counted of it.
    pub fn adjust(&mut self, change: Change) {
        match u64::try_from(change.by) {
            Ok(more) => self.add(change.number, more),
            Err(_) => self.give_back(change.number, change.by.unsigned_abs()),
        }
    }

    /// What has been used since `before`, of the same period or of the one that has begun meanwhile.
    pub fn since(self, before: Self) -> Change {
        let signed = |used: u64| i64::try_from(used).unwrap_or(i64::MAX);
        let before = before.used_in(self.number);
        Change { number: self.number, by: signed(self.used).saturating_sub(signed(before)) }
    }

    /// Gives back what was used in this period, if it still is the current one.
    pub fn give_back(&mut self, number: u64, amount: u64) {
        if self.number == number {
            self.used = self.used.saturating_sub(amount);
        }
    }
}

/// A difference in what was used in one period.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Change {
    /// Which period it was.
    pub number: u64,
    pub by: i64,
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: u64 = 24 * 60 * 60;

    #[test]
    fn days_and_months_are_those_of_the_calendar() {
        for (text, day, month) in [
            ("1970-01-01T00:00:00Z", 0, 0),
            ("1999-12-31T23:59:59Z", 10_956, 359),
            ("2000-02-29T12:00:00Z", 11_016, 361),
            ("2000-03-01T00:00:00Z", 11_017, 362),
            ("2024-02-29T23:00:00Z", 19_782, 649),
            ("2026-11-22T18:00:00Z", 20_779, 682),
            ("2100-02-28T00:00:00Z", 47_540, 1561),
            ("2100-03-01T00:00:00Z", 47_541, 1562),
        ] {
            let now = humantime::parse_rfc3339(text).unwrap();
            let today = Today::at(now);
            assert_eq!((today.day, today.month), (day, month), "{text}");
            let next = Today::at(now + today.day_left);
            assert_eq!((next.day, next.day_left), (day + 1, Duration::from_secs(DAY)), "{text}");
            let next = Today::at(now + today.month_left);
            assert_eq!((next.month, next.day_left), (month + 1, Duration::from_secs(DAY)), "{text}");
            let last = Today::at(now + today.month_left - Duration::from_secs(1));
            assert_eq!(last.month, month, "{text}");
        }
    }

    #[test]
    fn a_new_period_starts_from_nothing() {
        let mut spent = Spent::default();
        spent.add(7, 10);
        spent.give_back(7, 4);
        assert_eq!((spent.used_in(7), spent.used_in(8)), (6, 0));
        spent.add(8, 1);
        spent.give_back(7, 6);
        spent.add(7, 500);
        assert_eq!((spent.used_in(8), spent.used_in(7)), (1, 0));
        spent.give_back(8, 99);
        assert_eq!(spent.used_in(8), 0);
    }

    #[test]
    fn what_two_processes_count_comes_together() {
        let (kept, now) = (Spent { number: 3, used: 100 }, Spent { number: 3, used: 80 });
        let mut other = Spent { number: 3, used: 110 };
        other.adjust(now.since(kept));
        assert_eq!(other, Spent { number: 3, used: 90 });
        // Midnight has passed meanwhile: the new day's count is added to the new day's.
        let mut other = Spent { number: 4, used: 5 };
        other.adjust(Spent { number: 4, used: 7 }.since(kept));
        assert_eq!(other, Spent { number: 4, used: 12 });
    }
}
