//! What is asked of the place where several gateways keep their limits together.
//!
//! Whoever asks must be able to go on alone: a store that is slow or gone says [`Gone`], and then the
//! gateway decides by its own share.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use async_trait::async_trait;
use time::{Date, Month, OffsetDateTime};

const SECONDS_A_DAY: u64 = 24 * 60 * 60;
const MONTHS_A_YEAR: u64 = 12;

/// One limit of one window that a request takes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ask {
    /// The counter's name, such as `t:acme:requests_per_minute`. One call names a counter once.
    pub key: Arc<str>,
    pub window: Span,
    /// The most that the window lets through.
    pub limit: u64,
    /// How much is taken, at most `limit`. Nothing is a question: does anything go through?
    pub amount: u64,
    /// What this gateway itself has counted in the running window: the least that is right if the store
    /// knows nothing of it.
    pub local: u64,
    /// The most that this gateway may have counted itself while the store is too young to know of the others.
    pub share: u64,
}

/// How long something counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Span {
    /// The sixty seconds before now. The store's own clock tells when that is.
    Minute,
    /// A day of UTC.
    Day {
        /// Days since 1 January 1970.
        number: u64,
    },
    /// A month of UTC.
    Month {
        /// Months since January 1970.
        number: u64,
    },
}

impl Span {
    /// The day of UTC that runs at `now`. Times before 1970 are in the first.
    pub fn day(now: SystemTime) -> Self {
        Self::Day { number: seconds(now) / SECONDS_A_DAY }
    }

    /// The month of UTC that runs at `now`. Times before 1970 are in the first.
    pub fn month(now: SystemTime) -> Self {
        let time =
            i64::try_from(seconds(now)).ok().and_then(|now| OffsetDateTime::from_unix_timestamp(now).ok());
        let date = time.map_or(Date::MAX, OffsetDateTime::date);
        let years = u64::try_from(date.year()).unwrap_or(0).saturating_sub(1970);
        Self::Month { number: years * MONTHS_A_YEAR + u64::from(u8::from(date.month())) - 1 }
    }

    /// When a day or a month ends. A minute has no end: it slides.
    pub fn end(self) -> Option<SystemTime> {
        let seconds = match self {
            Self::Minute => return None,
            Self::Day { number } => number.saturating_add(1).checked_mul(SECONDS_A_DAY)?,
            Self::Month { number } => {
                let next = number.saturating_add(1);
                let year = i32::try_from(next / MONTHS_A_YEAR).ok()?.checked_add(1970)?;
                let month = u8::try_from(next % MONTHS_A_YEAR).ok()? + 1;
                let first = Date::from_calendar_date(year, Month::try_from(month).ok()?, 1).ok()?;
                u64::try_from(first.midnight().assume_utc().unix_timestamp()).ok()?
            }
        };
        UNIX_EPOCH.checked_add(Duration::from_secs(seconds))
    }
}

fn seconds(now: SystemTime) -> u64 {
    now.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}

/// What the store says. `remaining` is what is left of each limit, in the order of the asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// Everything was taken.
    Taken { remaining: Vec<u64> },
    /// Nothing was taken.
    Full {
        /// The ask that has to wait longest.
        which: usize,
        /// How long until it fits, if nobody else takes anything; never zero.
        wait: Duration,
        remaining: Vec<u64>,
    },
}

/// The store did not answer in time: decide locally, and [`Store::give`] what was then taken. What it counts
/// of this call after all is given back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Gone;

/// Whether a store answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    Up,
    Down,
}

/// More or less of what was taken, once it is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// The counter's name, as it was in the [`Ask`].
    pub key: Arc<str>,
    pub window: Span,
    /// When it was taken, by this gateway's clock.
    pub taken_at: SystemTime,
    /// Negative gives back.
    pub amount: i64,
}

/// Where several gateways keep their limits together.
#[async_trait]
pub trait Store: Send + Sync {
    /// Takes from all asks, or from none if one does not fit. `now` tells when a day or a month ends.
    ///
    /// Dropping the future is safe: what the store then takes is given back.
    ///
    /// # Errors
    /// The store has no answer in its time.
    async fn take(&self, asks: &[Ask], now: SystemTime) -> Result<Verdict, Gone>;

    /// Changes what was taken, some time soon. Never waits and never fails: changes that cannot be kept
    /// until the store has them are dropped and counted.
    fn give(&self, changes: Vec<Change>);

    /// Whether it answers.
    fn state(&self) -> State;
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(seconds)
    }

    #[test]
    fn days_and_months_begin_and_end_at_midnight_utc() {
        assert_eq!(Span::day(at(0)), Span::Day { number: 0 });
        assert_eq!(Span::month(at(0)), Span::Month { number: 0 });
        // 2028-02-29 23:59:59 and the second after.
        let leap = at(1_835_481_599);
        assert_eq!(Span::day(leap), Span::Day { number: 21_243 });
        assert_eq!(Span::month(leap), Span::Month { number: 58 * 12 + 1 });
        assert_eq!(Span::day(leap).end(), Some(at(1_835_481_600)));
        assert_eq!(Span::month(leap).end(), Some(at(1_835_481_600)));
        assert_eq!(Span::month(at(1_835_481_600)), Span::Month { number: 58 * 12 + 2 });
        // December leads into the next year.
        assert_eq!(Span::Month { number: 11 }.end(), Some(at(365 * SECONDS_A_DAY)));
        assert_eq!(Span::Minute.end(), None);
    }

    #[test]
    fn every_month_ends_where_the_next_begins() {
        for number in 0..3000 {
            let end = Span::Month { number }.end().unwrap();
            assert_eq!(Span::month(end), Span::Month { number: number + 1 });
            assert_eq!(Span::month(end - Duration::from_secs(1)), Span::Month { number });
        }
    }

    #[test]
    fn absurd_times_are_no_accident() {
        assert_eq!(Span::day(UNIX_EPOCH - Duration::from_secs(5)), Span::Day { number: 0 });
        assert_eq!(Span::month(at(u64::MAX / 4)), Span::Month { number: 8029 * 12 + 11 });
        assert_eq!(Span::Day { number: u64::MAX }.end(), None);
        assert_eq!(Span::Month { number: u64::MAX }.end(), None);
    }
}
