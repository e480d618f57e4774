//! What may be a name. Names end up in metrics, logs and addresses, and are compared byte for byte.

use super::at::{At, Named};
use super::complaint::{Complaints, Told};
use super::raw::Kind;

/// Tenants, keys and pools, in characters.
const MAX_IDENTIFIER: usize = 64;
/// An alias; a request's `model` may be no longer either.
pub(super) const MAX_ALIAS: usize = 256;
/// What a backing model calls itself.
pub(super) const MAX_MODEL: usize = 512;

/// The name of a tenant, key or pool.
pub(super) fn identifier<'a>(named: &Named<'a>, out: &mut Complaints) -> Result<&'a str, Told> {
    let text = key_text(named, out)?;
    identifier_fault(text).map_or(Ok(text), |(wrong, mend)| Err(named.complain(out, wrong, mend)))
}

/// A value that is made as such a name is.
pub(super) fn identifier_text<'a>(at: &At<'a>, out: &mut Complaints) -> Result<&'a str, Told> {
    let text = at.text(out)?;
    identifier_fault(text).map_or(Ok(text), |(wrong, mend)| Err(at.complain(out, wrong, mend)))
}

/// An alias: any script, also with blanks, colons and slashes inside.
pub(super) fn alias<'a>(named: &Named<'a>, out: &mut Complaints) -> Result<&'a str, Told> {
    let text = key_text(named, out)?;
    free_fault(text, MAX_ALIAS).map_or(Ok(text), |(wrong, mend)| Err(named.complain(out, wrong, mend)))
}

/// A value that is a name of at most `max` characters.
pub(super) fn free_text<'a>(at: &At<'a>, max: usize, out: &mut Complaints) -> Result<&'a str, Told> {
    let text = at.text(out)?;
    free_fault(text, max).map_or(Ok(text), |(wrong, mend)| Err(at.complain(out, wrong, mend)))
}

/// YAML takes an unquoted `42` for a number and `null` for nothing; as names they would not survive another reader.
fn key_text<'a>(named: &Named<'a>, out: &mut Complaints) -> Result<&'a str, Told> {
    match named.name.kind() {
        Kind::Text => Ok(&named.name.text),
        Kind::Nothing | Kind::Truth | Kind::Number => {
            Err(named.complain(out, "is not text, and a name must be", "put the name in quotes"))
        }
    }
}

fn identifier_fault(text: &str) -> Option<(&'static str, String)> {
    let good = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    if (1..=MAX_IDENTIFIER).contains(&text.len()) && text.chars().all(good) {
        return None;
    }
    let mend = format!("write 1 to {MAX_IDENTIFIER} of the characters A-Z a-z 0-9 . _ -");
    Some(("is not a name that can be used here", mend))
}

fn free_fault(text: &str, max: usize) -> Option<(String, String)> {
    // A text of a megabyte need not be counted to the end.
    if text.chars().nth(max).is_some() {
        Some((format!("is longer than {max} characters"), "shorten it".to_owned()))
    } else if text.is_empty() {
        Some(("is empty".to_owned(), format!("write 1 to {max} characters")))
    } else if text.chars().any(char::is_control) {
        Some(("holds a control character".to_owned(), "remove it".to_owned()))
    } else if text.trim() != text {
        Some(("starts or ends with a blank".to_owned(), "remove the blank".to_owned()))
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::super::at::tests::reading;
    use super::*;

    /// Reads the only name of a map.
    fn name(
        text: &str,
        read: impl for<'a> Fn(&Named<'a>, &mut Complaints) -> Result<&'a str, Told>,
    ) -> Result<String, Told> {
        reading(&format!("{{ {text}: x }}"), |at, out| {
            let mut names = at.named(out)?;
            names.next().map(|named| read(&named, out).map(str::to_owned)).unwrap()
        })
    }

    #[test]
    fn identifiers_are_short_and_ascii() {
        let longest = "a".repeat(MAX_IDENTIFIER);
        for good in ["acme", "A.b_c-9", "'42'", "yes", &longest] {
            assert!(name(good, identifier).is_ok(), "{good}");
        }
        let longer = format!("{longest}a");
        for bad in ["''", "a b", "a/b", "日本", "42", "null", "true", &longer] {
            assert!(name(bad, identifier).is_err(), "{bad}");
        }
    }

    #[test]
    fn aliases_are_free_but_for_edges_and_control_characters() {
        let longest = "日".repeat(MAX_ALIAS);
        for good in ["general", "acme/large:v2", "two words", "汎用", "'42'", &longest] {
            assert!(name(good, alias).is_ok(), "{good}");
        }
        let longer = format!("{longest}日");
        for bad in ["''", "' a'", "'a '", "\"a\\tb\"", "\"a\\0\"", "'\u{3000}a'", "1.5", &longer] {
            assert!(name(bad, alias).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_value_may_be_as_long_as_its_limit() {
        let read = |length: usize| {
            reading(&"m".repeat(length), |at, out| free_text(at, MAX_MODEL, out).map(str::len))
        };
        assert!(read(MAX_MODEL - 1).is_ok());
        assert!(read(MAX_MODEL).is_ok());
        assert!(read(MAX_MODEL + 1).is_err());
    }
}
