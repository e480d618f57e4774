//! How long a backend asks us to wait.
//!
//! Promises a time within bounds, whatever stands in the headers. Never looks at a clock.

use std::time::{Duration, SystemTime};

/// The shortest time that is taken from a backend.
pub const SHORTEST: Duration = Duration::from_secs(1);
/// The longest time that is taken from a backend.
pub const LONGEST: Duration = Duration::from_secs(60);

/// Reads `retry-after-ms` (milliseconds), or else `Retry-After` (seconds or a date), from [`SHORTEST`] to
/// [`LONGEST`]. Fractions are read, too. Negative times and dates in the past are the shortest. `None`, if
/// neither is there and can be read.
pub fn wait(retry_after: Option<&[u8]>, retry_after_ms: Option<&[u8]>, now: SystemTime) -> Option<Duration> {
    let precise = || number(retry_after_ms?).map(|ms| bounded(ms / 1000.0));
    let usual = || {
        let value = retry_after?;
        number(value).map(bounded).or_else(|| until(value, now))
    };
    precise().or_else(usual)
}

/// A decimal number, without an exponent.
fn number(value: &[u8]) -> Option<f64> {
    let value = value.trim_ascii();
    let digits = value.strip_prefix(b"-").unwrap_or(value);
    if !digits.iter().all(|byte| byte.is_ascii_digit() || *byte == b'.') {
        return None;
    }
    // A number too large for a double is infinite, and that has bounds as well.
    std::str::from_utf8(value).ok()?.parse().ok()
}

fn bounded(seconds: f64) -> Duration {
    Duration::from_secs_f64(seconds.clamp(SHORTEST.as_secs_f64(), LONGEST.as_secs_f64()))
}

/// The time from now to a date in one of HTTP's three formats. A year of two digits is one from 1970 to 2069.
fn until(value: &[u8], now: SystemTime) -> Option<Duration> {
    let date = httpdate::parse_http_date(std::str::from_utf8(value).ok()?).ok()?;
    Some(date.duration_since(now).unwrap_or_default().clamp(SHORTEST, LONGEST))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Sun, 06 Nov 1994 08:49:37 GMT.
    fn now() -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(784_111_777)
    }

    fn after(value: &str) -> Option<Duration> {
        wait(Some(value.as_bytes()), None, now())
    }

    const fn ms(ms: u64) -> Option<Duration> {
        Some(Duration::from_millis(ms))
    }

    #[test]
    fn seconds_are_whole_or_not_and_have_bounds() {
        for (value, expected) in [
            ("1", ms(1000)),
            (" 30 ", ms(30_000)),
            ("007", ms(7000)),
            ("2.5", ms(2500)),
            ("60", ms(60_000)),
            ("0", ms(1000)),
            ("0.2", ms(1000)),
            ("-5", ms(1000)),
            ("-0", ms(1000)),
            ("61", ms(60_000)),
            ("86400", ms(60_000)),
            ("18446744073709551616", ms(60_000)),
        ] {
            assert_eq!(after(value), expected, "{value}");
        }
        assert_eq!(after(&"9".repeat(4000)), ms(60_000));
        assert_eq!(after(&format!("-{}", "9".repeat(4000))), ms(1000));
    }

    #[test]
    fn a_date_counts_from_now_in_each_of_the_three_formats() {
        for (value, expected) in [
            ("Sun, 06 Nov 1994 08:49:47 GMT", ms(10_000)),
            ("Sunday, 06-Nov-94 08:49:47 GMT", ms(10_000)),
            ("Sun Nov  6 08:49:47 1994", ms(10_000)),
            ("Sun, 06 Nov 1994 08:49:37 GMT", ms(1000)),
            ("Sun, 06 Nov 1994 08:00:00 GMT", ms(1000)),
            ("Thu, 01 Jan 1970 00:00:00 GMT", ms(1000)),
            ("Sun, 06 Nov 1994 09:49:37 GMT", ms(60_000)),
            ("Fri, 31 Dec 9999 23:59:59 GMT", ms(60_000)),
        ] {
            assert_eq!(after(value), expected, "{value}");
        }
    }

    #[test]
    fn garbage_is_nothing() {
        for value in [
            "",
            " ",
            "-",
            ".",
            "1.2.3",
            "--1",
            "+1",
            "1e3",
            "inf",
            "nan",
            "0x10",
            "1,5",
            "5s",
            "5, 7",
            "soon",
            "Sun, 06 Nov 1994",
            "Sun, 31 Feb 1994 08:49:37 GMT",
            "Sun, 06 Nov 1994 08:49:37 +0100",
            "2026-01-01T00:00:00Z",
            "１",
        ] {
            assert_eq!(after(value), None, "{value}");
        }
        assert_eq!(wait(Some(b"\xff"), Some(b"\xff"), now()), None);
        assert_eq!(wait(None, None, now()), None);
    }

    #[test]
    fn milliseconds_win_if_they_can_be_read() {
        assert_eq!(wait(Some(b"30"), Some(b"1500"), now()), ms(1500));
        assert_eq!(wait(None, Some(b"1500.5"), now()), Some(Duration::from_micros(1_500_500)));
        assert_eq!(wait(Some(b"30"), Some(b"20"), now()), ms(1000));
        assert_eq!(wait(Some(b"30"), Some(b"-1"), now()), ms(1000));
        assert_eq!(wait(None, Some(b"999999999"), now()), ms(60_000));
        assert_eq!(wait(Some(b"30"), Some(b"soon"), now()), ms(30_000));
        assert_eq!(wait(None, Some(b"Sun, 06 Nov 1994 08:49:47 GMT"), now()), None);
    }

    proptest! {
        #[test]
        fn whatever_is_sent_the_time_is_within_bounds(
            after in prop_oneof![
                any::<Option<Vec<u8>>>(),
                "[A-Z][a-z]{2}, [0-3][0-9] (Jan|Feb|Dec) [0-9]{4} [0-9]{2}:[0-9]{2}:[0-9]{2} GMT"
                    .prop_map(|date| Some(date.into_bytes())),
                "-?[0-9.]{0,40}".prop_map(|number| Some(number.into_bytes())),
            ],
            precise in prop::option::of("-?[0-9.]{0,40}"),
            now in 0..10_000_000_000_u64,
        ) {
            let now = SystemTime::UNIX_EPOCH + Duration::from_secs(now);
            let wait = wait(after.as_deref(), precise.as_deref().map(str::as_bytes), now);
            prop_assert!(wait.is_none_or(|wait| (SHORTEST..=LONGEST).contains(&wait)));
        }
    }
}
