//! Durations, sizes, percentages and counts: a number and its unit, within bounds.

use std::ops::RangeInclusive;
use std::time::Duration;

use super::at::At;
use super::complaint::{Complaints, Told};
use super::raw::{Kind, Scalar, Style};

/// The longest duration that is taken; what is longer is a slip.
pub(super) const DAY: Duration = Duration::from_secs(24 * 60 * 60);
/// The shortest duration where none would make no sense.
pub(super) const TICK: Duration = Duration::from_millis(1);

/// The longest duration of what happens again and again.
pub(super) const HOUR: Duration = Duration::from_secs(60 * 60);

const DURATION_UNITS: [(&str, u64); 4] = [("ms", 1), ("s", 1_000), ("m", 60_000), ("h", 3_600_000)];
const SIZE_UNITS: [(&str, u64); 4] = [("KiB", 1 << 10), ("MiB", 1 << 20), ("GiB", 1 << 30), ("B", 1)];

/// A duration such as `250ms`, `30s`, `5m` or `1h`.
pub(super) fn duration(
    at: &At<'_>,
    bounds: RangeInclusive<Duration>,
    out: &mut Complaints,
) -> Result<Duration, Told> {
    const MEND: &str = "write a whole number and a unit: 250ms, 30s, 5m, 1h";
    let scalar = at.scalar("a duration", MEND, out)?;
    let Some(millis) = amount(&scalar.text, &DURATION_UNITS) else {
        let wrong = match scalar.kind() {
            Kind::Number => "is a number without a unit",
            Kind::Nothing | Kind::Truth | Kind::Text => "is not a duration",
        };
        return Err(at.complain(out, wrong, MEND));
    };
    within(at, Duration::from_millis(millis), bounds, shown_duration, out)
}

/// A size such as `64KiB`, `8MiB` or `1GiB`; a plain number counts bytes.
pub(super) fn size(at: &At<'_>, bounds: RangeInclusive<usize>, out: &mut Complaints) -> Result<usize, Told> {
    const MEND: &str = "write a whole number and a unit: 64KiB, 8MiB, 1GiB; or a plain number of bytes";
    let scalar = at.scalar("a size", MEND, out)?;
    let bytes = whole_number(scalar).or_else(|| amount(&scalar.text, &SIZE_UNITS));
    match bytes.and_then(|bytes| usize::try_from(bytes).ok()) {
        Some(bytes) => within(at, bytes, bounds, shown_size, out),
        None => Err(at.complain(out, "is not a size", MEND)),
    }
}

/// A percentage such as `20%`.
pub(super) fn percent(at: &At<'_>, bounds: RangeInclusive<u8>, out: &mut Complaints) -> Result<u8, Told> {
    const MEND: &str = "write a whole number and a percent sign, such as 20%";
    let scalar = at.scalar("a percentage", MEND, out)?;
    let Some(percent) = amount(&scalar.text, &[("%", 1)]) else {
        let wrong = match scalar.kind() {
            Kind::Number => "is a number without a percent sign",
            Kind::Nothing | Kind::Truth | Kind::Text => "is not a percentage",
        };
        return Err(at.complain(out, wrong, MEND));
    };
    let wide = u64::from(*bounds.start())..=u64::from(*bounds.end());
    let percent = within(at, percent, wide, |percent| format!("{percent}%"), out)?;
    Ok(u8::try_from(percent).unwrap_or(*bounds.end()))
}

/// A plain whole number of things in memory.
pub(super) fn count(at: &At<'_>, bounds: RangeInclusive<usize>, out: &mut Complaints) -> Result<usize, Told> {
    let wide = |bound: &usize| u64::try_from(*bound).unwrap_or(u64::MAX);
    let number = whole(at, wide(bounds.start())..=wide(bounds.end()), out)?;
    Ok(usize::try_from(number).unwrap_or(*bounds.end()))
}

/// A plain whole number.
pub(super) fn whole(at: &At<'_>, bounds: RangeInclusive<u64>, out: &mut Complaints) -> Result<u64, Told> {
    let mend = format!("write a whole number from {} to {}, without quotes", bounds.start(), bounds.end());
    let scalar = at.scalar("a whole number", &mend, out)?;
    match whole_number(scalar) {
        Some(number) => within(at, number, bounds, |number| number.to_string(), out),
        None => Err(at.complain(out, "is not a whole number", mend)),
    }
}

/// A duration in its largest whole unit.
pub(super) fn shown_duration(duration: Duration) -> String {
    if duration.is_zero() {
        return "0s".to_owned();
    }
    shown(u64::try_from(duration.as_millis()).unwrap_or(u64::MAX), &DURATION_UNITS)
}

/// A size in its largest whole unit.
pub(super) fn shown_size(bytes: usize) -> String {
    shown(u64::try_from(bytes).unwrap_or(u64::MAX), &SIZE_UNITS)
}

fn shown(amount: u64, units: &[(&str, u64)]) -> String {
    let whole = units.iter().filter(|(_, worth)| amount >= *worth && amount.is_multiple_of(*worth));
    match whole.max_by_key(|(_, worth)| *worth) {
        Some((unit, worth)) => format!("{}{unit}", amount / worth),
        None => {
            format!("{amount}{}", units.iter().min_by_key(|(_, worth)| *worth).map_or("", |(unit, _)| unit))
        }
    }
}

fn within<T: PartialOrd + Copy>(
    at: &At<'_>,
    value: T,
    bounds: RangeInclusive<T>,
    shown: impl Fn(T) -> String,
    out: &mut Complaints,
) -> Result<T, Told> {
    if bounds.contains(&value) {
        return Ok(value);
    }
    let wrong = if value < *bounds.start() { "is too small" } else { "is too large" };
    let mend = format!("write something from {} to {}", shown(*bounds.start()), shown(*bounds.end()));
    Err(at.complain(out, format!("{} {wrong}", shown(value)), mend))
}

/// A number and one of the units, in the unit that is worth 1; `None` for anything else, and on overflow.
fn amount(text: &str, units: &[(&str, u64)]) -> Option<u64> {
    let (number, worth) = units.iter().find_map(|(unit, worth)| {
        let number = digits(text.strip_suffix(unit)?)?;
        Some((number, *worth))
    })?;
    number.checked_mul(worth)
}

fn whole_number(scalar: &Scalar) -> Option<u64> {
    match scalar.style {
        Style::Plain => digits(&scalar.text),
        Style::Quoted => None,
    }
}

/// Decimal digits alone. A leading zero is refused: `0777` is octal to some readers and decimal to others.
fn digits(text: &str) -> Option<u64> {
    let decimal = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let one_reading = text == "0" || !text.starts_with('0');
    (decimal && one_reading).then(|| text.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::super::at::tests::{complaint, reading};
    use super::*;

    const ANY: RangeInclusive<Duration> = Duration::ZERO..=DAY;

    #[test]
    fn a_duration_is_a_whole_number_and_a_unit() {
        for (text, millis) in
            [("250ms", 250), ("30s", 30_000), ("5m", 300_000), ("1h", 3_600_000), ("0s", 0), ("'2s'", 2_000)]
        {
            let read = reading(text, |at, out| duration(at, ANY, out));
            assert_eq!(read, Ok(Duration::from_millis(millis)), "{text}");
        }
        for text in [
            "5",
            "1.5s",
            "-1s",
            "1 s",
            "5 minutes",
            "1d",
            "s",
            "1:30",
            "05s",
            "5S",
            "1h30m",
            "٣s",
            "99999999999999999999s",
        ] {
            assert!(reading(text, |at, out| duration(at, ANY, out)).is_err(), "{text}");
        }
    }

    #[test]
    fn a_number_without_a_unit_is_told_apart() {
        assert_eq!(
            complaint("5", |at, out| duration(at, ANY, out)),
            "is a number without a unit; write a whole number and a unit: 250ms, 30s, 5m, 1h"
        );
    }

    #[test]
    fn bounds_belong_to_what_is_taken() {
        let read = |text: &str| reading(text, |at, out| duration(at, TICK..=DAY, out));
        assert!(read("0s").is_err());
        assert_eq!(read("1ms"), Ok(TICK));
        assert_eq!(read("24h"), Ok(DAY));
        assert!(read("1441m").is_err());
        assert_eq!(
            complaint("87600h", |at, out| duration(at, TICK..=DAY, out)),
            "87600h is too large; write something from 1ms to 24h"
        );
    }

    #[test]
    fn a_size_has_a_binary_unit_or_counts_bytes() {
        for (text, bytes) in
            [("64KiB", 65_536), ("8MiB", 8 << 20), ("1GiB", 1 << 30), ("1000", 1_000), ("7B", 7)]
        {
            assert_eq!(reading(text, |at, out| size(at, 1..=1 << 30, out)), Ok(bytes), "{text}");
        }
        for text in ["8MB", "8mib", "8 MiB", "1.5MiB", "'1000'", "-1", "0x10", "1_000", "99999999999GiB"] {
            assert!(reading(text, |at, out| size(at, 1..=1 << 30, out)).is_err(), "{text}");
        }
    }

    #[test]
    fn a_percentage_is_a_whole_number_and_its_sign() {
        for (text, expected) in [("0%", 0), ("20%", 20), ("'100%'", 100)] {
            assert_eq!(reading(text, |at, out| percent(at, 0..=100, out)), Ok(expected), "{text}");
        }
        for text in ["20", "0.2", "20 %", "2.5%", "-1%", "05%", "%", "101%", "twenty%", "20%%", "1e1%"] {
            assert!(reading(text, |at, out| percent(at, 0..=100, out)).is_err(), "{text}");
        }
        let wrong = |text: &str| complaint(text, |at, out| percent(at, 1..=100, out));
        const MEND: &str = "write a whole number and a percent sign, such as 20%";
        assert_eq!(wrong("0.2"), format!("is a number without a percent sign; {MEND}"));
        assert_eq!(wrong("half"), format!("is not a percentage; {MEND}"));
        assert_eq!(wrong("0%"), "0% is too small; write something from 1% to 100%");
        assert_eq!(wrong("300%"), "300% is too large; write something from 1% to 100%");
    }

    #[test]
    fn a_count_is_plain_and_decimal() {
        for (text, number) in [("1", 1), ("64", 64)] {
            assert_eq!(reading(text, |at, out| count(at, 1..=64, out)), Ok(number));
        }
        for text in ["0", "65", "'8'", "0x8", "010", "+1", "1.0", "two", "true", "99999999999999999999999"] {
            assert!(reading(text, |at, out| count(at, 1..=64, out)).is_err(), "{text}");
        }
    }

    #[test]
    fn amounts_are_shown_in_their_largest_whole_unit() {
        assert_eq!(shown_duration(Duration::from_secs(90)), "90s");
        assert_eq!(shown_duration(Duration::from_secs(600)), "10m");
        assert_eq!(shown_duration(Duration::ZERO), "0s");
        assert_eq!(shown_size(8 << 20), "8MiB");
        assert_eq!(shown_size(1025), "1025B");
    }
}
