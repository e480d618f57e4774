//! Readers for values that must be of one kind. Each takes the path it complains with.

use std::borrow::Cow;
use std::ops::RangeInclusive;

use super::super::scan::{Kind, Scanner};
use super::once::{Once, TWICE};
use super::path::Path;
use crate::error::BadRequest;

/// A string, decoded.
pub(super) fn string<'a>(scanner: &mut Scanner<'a>, path: &Path<'_>) -> Result<Cow<'a, str>, BadRequest> {
    expect(scanner, Kind::String, path, "must be a string")?;
    Ok(scanner.string()?.decode())
}

/// Reads over a value that must be a string, whatever it says.
pub(super) fn any_string(scanner: &mut Scanner<'_>, path: &Path<'_>) -> Result<(), BadRequest> {
    expect(scanner, Kind::String, path, "must be a string")?;
    scanner.string()?;
    Ok(())
}

/// The longest word, in bytes.
const MAX_WORD: usize = 32;

/// Whether a value of a closed set may be called so, also one that is new to us. It says nothing to a model.
pub(super) fn is_word(text: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"_-.".contains(&byte);
    (1..=MAX_WORD).contains(&text.len()) && text.bytes().all(fits)
}

/// One word of a closed set.
pub(super) fn word<'a>(scanner: &mut Scanner<'a>, path: &Path<'_>) -> Result<Cow<'a, str>, BadRequest> {
    let word = string(scanner, path)?;
    if is_word(&word) {
        return Ok(word);
    }
    Err(path.wrong("must be one word: 1 to 32 letters, digits, `_`, `-` and `.`"))
}

/// For [`members`], when every one of them must be a string.
pub(super) fn each_a_string(
    scanner: &mut Scanner<'_>,
    _name: &'static str,
    path: &Path<'_>,
) -> Result<(), BadRequest> {
    any_string(scanner, path)
}

/// A truth value; neither 1 nor "true" is one.
pub(super) fn flag(scanner: &mut Scanner<'_>, path: &Path<'_>) -> Result<bool, BadRequest> {
    let kind = scanner.peek()?;
    if kind != Kind::True && kind != Kind::False {
        return Err(path.wrong("must be true or false"));
    }
    scanner.skip()?;
    Ok(kind == Kind::True)
}

/// A number in `range`; `wrong` describes both.
pub(super) fn number(
    scanner: &mut Scanner<'_>,
    path: &Path<'_>,
    range: RangeInclusive<f64>,
    wrong: &'static str,
) -> Result<f64, BadRequest> {
    expect(scanner, Kind::Number, path, wrong)?;
    // Too large a number becomes infinite here, and is in no range.
    let value = scanner.number()?.parse().map_err(|_| path.wrong(wrong))?;
    if range.contains(&value) { Ok(value) } else { Err(path.wrong(wrong)) }
}

/// A whole number in `range`; `wrong` describes both. `1.0` and `1e2` are whole.
pub(super) fn integer(
    scanner: &mut Scanner<'_>,
    path: &Path<'_>,
    range: RangeInclusive<i64>,
    wrong: &'static str,
) -> Result<i64, BadRequest> {
    expect(scanner, Kind::Number, path, wrong)?;
    let written = scanner.number()?;
    whole(written).filter(|value| range.contains(value)).ok_or_else(|| path.wrong(wrong))
}

/// The value of a number if it is whole and fits. One that is written with a point or an exponent goes
/// through `f64`, as it does in a JSON schema validator.
fn whole(written: &str) -> Option<i64> {
    if !written.contains(['.', 'e', 'E']) {
        return written.parse().ok();
    }
    let value: f64 = written.parse().ok()?;
    // 2^63 itself is the first that does not fit.
    let limit = -(i64::MIN as f64);
    (value.fract() == 0.0 && (-limit..limit).contains(&value)).then_some(value as i64)
}

/// Reads over a value that must be an object, whatever is in it.
pub(super) fn any_object(scanner: &mut Scanner<'_>, path: &Path<'_>) -> Result<(), BadRequest> {
    expect(scanner, Kind::Object, path, "must be an object")?;
    Ok(scanner.skip()?)
}

/// Reads an array; `each` reads one element. Returns how many there were.
pub(super) fn items<'a>(
    scanner: &mut Scanner<'a>,
    path: &Path<'_>,
    mut each: impl FnMut(&mut Scanner<'a>, &Path<'_>) -> Result<(), BadRequest>,
) -> Result<usize, BadRequest> {
    expect(scanner, Kind::Array, path, "must be an array")?;
    scanner.array(|scanner, index| each(scanner, &path.item(index)))
}

/// Reads an object of which we know the members called `names`, at most 32. `each` is called with every one
/// of them that is not null, and reads its value. Other members are read over; no name may come twice.
pub(super) fn members<'a>(
    scanner: &mut Scanner<'a>,
    path: &Path<'_>,
    names: &'static [&'static str],
    mut each: impl FnMut(&mut Scanner<'a>, &'static str, &Path<'_>) -> Result<(), BadRequest>,
) -> Result<Found, BadRequest> {
    expect(scanner, Kind::Object, path, "must be an object")?;
    let mut once = Once::default();
    let mut found = Found { names, written: 0, given: 0 };
    scanner.object::<BadRequest>(|scanner, entry| {
        let name = entry.name.decode();
        let Some((bit, name)) = known(names, &name) else {
            once.other(name).map_err(|_| path.wrong("must not have the same member twice"))?;
            return Ok(scanner.skip()?);
        };
        let path = path.member(name);
        if found.written & bit != 0 {
            return Err(path.wrong(TWICE));
        }
        found.written |= bit;
        if scanner.peek()? == Kind::Null {
            return Ok(scanner.skip()?);
        }
        found.given |= bit;
        each(scanner, name, &path)
    })?;
    Ok(found)
}

/// Which of the members we know an object has.
pub(super) struct Found {
    names: &'static [&'static str],
    written: u32,
    given: u32,
}

impl Found {
    /// Whether the member is there, null or not.
    pub(super) fn written(&self, name: &str) -> bool {
        known(self.names, name).is_some_and(|(bit, _)| self.written & bit != 0)
    }

    /// Whether the member is there and not null.
    pub(super) fn given(&self, name: &str) -> bool {
        known(self.names, name).is_some_and(|(bit, _)| self.given & bit != 0)
    }

    /// Complains if the member of the object at `path` is missing or null.
    pub(super) fn require(&self, path: &Path<'_>, name: &'static str) -> Result<(), BadRequest> {
        if self.given(name) { Ok(()) } else { Err(path.member(name).wrong("is required")) }
    }
}

fn known(names: &'static [&'static str], name: &str) -> Option<(u32, &'static str)> {
    let index = names.iter().position(|known| *known == name)?;
    let bit = 1_u32.checked_shl(u32::try_from(index).ok()?)?;
    names.get(index).map(|name| (bit, *name))
}

fn expect(
    scanner: &mut Scanner<'_>,
    kind: Kind,
    path: &Path<'_>,
    wrong: &'static str,
) -> Result<(), BadRequest> {
    if scanner.peek()? == kind { Ok(()) } else { Err(path.wrong(wrong)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_numbers_may_be_written_as_floats() {
        for (written, value) in [
            ("0", 0),
            ("-0", 0),
            ("-0.0", 0),
            ("1.0", 1),
            ("1e2", 100),
            ("120e-1", 12),
            ("9223372036854775807", i64::MAX),
            ("-9223372036854775808", i64::MIN),
            ("-9007199254740991", -9_007_199_254_740_991),
        ] {
            assert_eq!(whole(written), Some(value), "{written}");
        }
        for written in
            ["1.5", "1e-1", "9223372036854775808", "-9223372036854775809", "9223372036854775808.0", "1e999"]
        {
            assert_eq!(whole(written), None, "{written}");
        }
    }
}
