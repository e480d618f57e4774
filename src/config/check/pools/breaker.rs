//! The `breaker:` of a pool: when a failing backend is left alone.

use std::ops::RangeInclusive;
use std::time::Duration;

use crate::config::at::{At, Fields};
use crate::config::complaint::{Complaints, Told};
use crate::config::form::{Field, Form, may};
use crate::config::plan::BreakerRules;
use crate::config::units::{HOUR, count, duration, percent, shown_duration};

pub(super) const FIELDS: &[Field] = &[
    may("failures", Form::Whole(1, 1_000), "in a row"),
    may("error_rate", Form::Percent, "or so large a share"),
    may("open", Form::Duration, "for how long it is left alone at first"),
    may("max_open", Form::Duration, "and at most"),
    may("slow_start", Form::Duration, "until it has its full share again"),
];
const FAILURES: usize = 5;
const FAILURES_BOUNDS: RangeInclusive<usize> = 1..=1000;
const ERROR_RATE: u8 = 50;
const OPEN: Duration = Duration::from_secs(1);
const OPEN_BOUNDS: RangeInclusive<Duration> = Duration::from_millis(100)..=HOUR;
const MAX_OPEN: Duration = Duration::from_secs(8);
const SLOW_START: Duration = Duration::from_secs(10);

/// Reads the map; an empty one is all defaults.
pub(super) fn breaker(at: &At<'_>, out: &mut Complaints) -> Result<BreakerRules, Told> {
    let fields = at.fields(FIELDS, out)?;
    let failures = fields.or("failures", FAILURES, out, |at, out| count(at, FAILURES_BOUNDS, out));
    let error_rate = fields.or("error_rate", ERROR_RATE, out, |at, out| percent(at, 1..=100, out));
    let times = times(&fields, out);
    let slow_start =
        fields.or("slow_start", SLOW_START, out, |at, out| duration(at, Duration::ZERO..=HOUR, out));
    let (open, max_open) = times?;
    Ok(BreakerRules {
        failures: u32::try_from(failures?).unwrap_or(u32::MAX),
        error_rate: error_rate?,
        open,
        max_open,
        slow_start: slow_start?,
    })
}

/// `open` and `max_open`. Of the two, one that was not written gives way to the other.
fn times(fields: &Fields<'_>, out: &mut Complaints) -> Result<(Duration, Duration), Told> {
    let open = fields.get("open").map(|at| duration(&at, OPEN_BOUNDS, out)).transpose();
    let most =
        fields.get("max_open").map(|at| duration(&at, OPEN_BOUNDS, out).map(|read| (at, read))).transpose();
    match (open?, most?) {
        (Some(open), Some((at, most))) if most < open => {
            let wrong = format!("{} is shorter than `open` ({})", shown_duration(most), shown_duration(open));
            Err(at.complain(out, wrong, "raise it, or shorten `open`"))
        }
        (Some(open), Some((_, most))) => Ok((open, most)),
        (Some(open), None) => Ok((open, MAX_OPEN.max(open))),
        (None, Some((_, most))) => Ok((OPEN.min(most), most)),
        (None, None) => Ok((OPEN, MAX_OPEN)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::at::tests::{complaint, reading};

    #[test]
    fn an_empty_map_is_all_defaults() {
        let expected = BreakerRules {
            failures: 5,
            error_rate: 50,
            open: Duration::from_secs(1),
            max_open: Duration::from_secs(8),
            slow_start: Duration::from_secs(10),
        };
        assert_eq!(reading("{}", breaker), Ok(expected));
    }

    #[test]
    fn a_time_that_was_not_written_gives_way() {
        let times = |text: &str| reading(text, breaker).map(|read| (read.open, read.max_open));
        let (half, minute) = (Duration::from_millis(500), Duration::from_secs(60));
        assert_eq!(times("{ open: 1m }"), Ok((minute, minute)));
        assert_eq!(times("{ open: 500ms }"), Ok((half, MAX_OPEN)));
        assert_eq!(times("{ max_open: 500ms }"), Ok((half, half)));
        assert_eq!(times("{ max_open: 1m }"), Ok((OPEN, minute)));
        assert_eq!(times("{ open: 1m, max_open: 60s }"), Ok((minute, minute)));
        assert_eq!(
            complaint("{ open: 1m, max_open: 59s }", breaker),
            "t:1:23: max_open: 59s is shorter than `open` (1m); raise it, or shorten `open`"
        );
    }

    #[test]
    fn every_part_has_its_bounds() {
        for good in ["failures: 1", "failures: 1000", "error_rate: 1%", "error_rate: 100%", "slow_start: 0s"]
        {
            assert!(reading(&format!("{{ {good} }}"), breaker).is_ok(), "{good}");
        }
        for bad in [
            "failures: 0",
            "failures: 1001",
            "error_rate: 0%",
            "error_rate: 0.5",
            "open: 99ms",
            "max_open: 2h",
            "slow_start: 61m",
        ] {
            assert!(reading(&format!("{{ {bad} }}"), breaker).is_err(), "{bad}");
        }
    }
}
