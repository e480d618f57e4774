//! The `health:` of a pool: how its backends are looked after between requests.

use std::ops::RangeInclusive;
use std::time::Duration;

use crate::config::at::{At, Fields};
use crate::config::complaint::{Complaints, Told};
use crate::config::form::{Field, Form, may};
use crate::config::plan::HealthPlan;
use crate::config::units::{HOUR, TICK, count, duration, shown_duration};

pub(super) const FIELDS: &[Field] = &[
    may("path", Form::Like("^/"), "what is asked for; only a connection is made unless written"),
    may("interval", Form::Duration, "from one check to the next"),
    may("timeout", Form::Duration, "for a check; at most `interval`"),
    may("failures", Form::Whole(1, 100), "in a row, and a backend is down"),
    may("successes", Form::Whole(1, 100), "in a row, and it is up again"),
];
const INTERVAL: Duration = Duration::from_secs(5);
/// More often, and the checks are a load of their own.
const INTERVAL_BOUNDS: RangeInclusive<Duration> = Duration::from_millis(100)..=HOUR;
const TIMEOUT: Duration = Duration::from_secs(1);
const FAILURES: usize = 3;
const SUCCESSES: usize = 2;
const COUNT_BOUNDS: RangeInclusive<usize> = 1..=100;
/// In characters.
const MAX_PATH: usize = 1024;

/// Reads the map; an empty one connects and asks for nothing.
pub(super) fn health(at: &At<'_>, out: &mut Complaints) -> Result<HealthPlan, Told> {
    let fields = at.fields(FIELDS, out)?;
    let path = fields.get("path").map(|at| path(&at, out)).transpose();
    let interval = fields.or("interval", INTERVAL, out, |at, out| duration(at, INTERVAL_BOUNDS, out));
    let timeout = timeout(&fields, interval, out);
    let failures = fields.or("failures", FAILURES, out, |at, out| count(at, COUNT_BOUNDS, out));
    let successes = fields.or("successes", SUCCESSES, out, |at, out| count(at, COUNT_BOUNDS, out));
    Ok(HealthPlan {
        path: path?,
        interval: interval?,
        timeout: timeout?,
        failures: failures?,
        successes: successes?,
    })
}

/// A check ends before the next one starts; a timeout that was not written is cut to that.
fn timeout(
    fields: &Fields<'_>,
    interval: Result<Duration, Told>,
    out: &mut Complaints,
) -> Result<Duration, Told> {
    let Some(at) = fields.get("timeout") else {
        return interval.map(|interval| TIMEOUT.min(interval));
    };
    let timeout = duration(&at, TICK..=HOUR, out)?;
    match interval {
        Ok(interval) if timeout > interval => {
            let wrong = format!(
                "{} is longer than `interval` ({})",
                shown_duration(timeout),
                shown_duration(interval)
            );
            Err(at.complain(out, wrong, "shorten it, or raise `interval`"))
        }
        Ok(_) | Err(_) => Ok(timeout),
    }
}

/// The target of a request (RFC 9112, 3.2.1), with a query or without.
fn path(at: &At<'_>, out: &mut Complaints) -> Result<String, Told> {
    let text = at.text(out)?;
    let fault = if text.contains("://") {
        Some(("is a whole URL", "write the path alone, such as /v1/models"))
    } else if !text.starts_with('/') || text.starts_with("//") {
        Some(("does not start with one slash", "write the whole path, such as /v1/models"))
    } else if text.contains('#') {
        Some(("has a fragment", "remove the `#` and what follows it"))
    } else if text.contains(|c: char| !may_stand(c)) {
        Some(("holds a character that no path may hold", "write it as %XX"))
    } else if text.len() > MAX_PATH {
        Some(("is longer than 1024 characters", "shorten it"))
    } else {
        None
    };
    fault.map_or_else(|| Ok(text.to_owned()), |(wrong, mend)| Err(at.complain(out, wrong, mend)))
}

/// The characters of RFC 3986, without the fragment's and those of addresses.
fn may_stand(c: char) -> bool {
    c.is_ascii_alphanumeric() || "-._~%!$&'()*+,;=:@/?".contains(c)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::at::tests::{complaint, reading};

    #[test]
    fn an_empty_map_connects_now_and_then() {
        let read = reading("{}", health).unwrap();
        assert_eq!(read.path, None);
        assert_eq!((read.interval, read.timeout), (Duration::from_secs(5), Duration::from_secs(1)));
        assert_eq!((read.failures, read.successes), (3, 2));
    }

    #[test]
    fn a_check_ends_before_the_next_one_starts() {
        let timeout = |text: &str| reading(text, health).map(|health| health.timeout);
        assert_eq!(timeout("{ interval: 100ms }"), Ok(Duration::from_millis(100)));
        assert_eq!(timeout("{ interval: 2s, timeout: 2s }"), Ok(Duration::from_secs(2)));
        assert_eq!(
            complaint("{ interval: 2s, timeout: 3s }", health),
            "t:1:26: timeout: 3s is longer than `interval` (2s); shorten it, or raise `interval`"
        );
        for bad in [
            "{ interval: 99ms }",
            "{ interval: 61m }",
            "{ timeout: 0s }",
            "{ failures: 0 }",
            "{ successes: 101 }",
        ] {
            assert!(reading(bad, health).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_path_is_what_a_request_may_ask_for() {
        for good in ["/", "/v1/models", "/health?deep=1&x", "/a%20b", "/a:b@c"] {
            assert_eq!(reading(&format!("'{good}'"), path), Ok(good.to_owned()));
        }
        let long = format!("/{}", "a".repeat(MAX_PATH));
        for bad in
            ["", "v1/models", "//a", "/a b", "/a#b", "/日本", "/a\"b", "/a[b]", "/a\\b", "http://a/b", &long]
        {
            assert!(reading(&format!("'{bad}'"), path).is_err(), "{bad}");
        }
        for bad in ["\"/a\\nb\"", "\"/a\\0\"", "1", "[/a]"] {
            assert!(reading(bad, path).is_err(), "{bad}");
        }
    }
}
