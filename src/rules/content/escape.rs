//! The escapes of JSON in a text that is JSON itself, such as a tool call's arguments: so that `\u0062omb` is
//! read as the tool will read it.
//!
//! What is no escape stands for itself: the text need not be well-formed.

use std::borrow::Cow;

/// The longest escape, a surrogate pair, in bytes.
const LONGEST: usize = 12;

/// The beginning of a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unit {
    /// A character, and how many bytes write it.
    Char(char, usize),
    /// An escape that may go on behind the end of the text.
    Open,
}

/// Reads the first character of a text. `None` when there is none.
pub(super) fn first(text: &str) -> Option<Unit> {
    let mut letters = text.chars();
    let c = letters.next()?;
    if c != '\\' {
        return Some(Unit::Char(c, c.len_utf8()));
    }
    let itself = Unit::Char(c, 1);
    let simple = |c| Unit::Char(c, 2);
    Some(match letters.next() {
        None => Unit::Open,
        Some(c @ ('"' | '\\' | '/')) => simple(c),
        Some('b') => simple('\u{8}'),
        Some('f') => simple('\u{c}'),
        Some('n') => simple('\n'),
        Some('r') => simple('\r'),
        Some('t') => simple('\t'),
        Some('u') => unicode(text.as_bytes()).unwrap_or(itself),
        Some(_) => itself,
    })
}

/// Reads `\uXXXX`, or two of them for one character. `None` when it is none.
fn unicode(text: &[u8]) -> Option<Unit> {
    let high = match unit(text, 2) {
        Hex::Unit(high) => high,
        Hex::Open => return Some(Unit::Open),
        Hex::None => return None,
    };
    let half = Unit::Char(char::REPLACEMENT_CHARACTER, 6);
    match high {
        0xD800..=0xDBFF => match (text.get(6), text.get(7)) {
            (None, _) | (Some(b'\\'), None) => Some(Unit::Open),
            (Some(b'\\'), Some(b'u')) => match unit(text, 8) {
                Hex::Unit(low @ 0xDC00..=0xDFFF) => {
                    let pair = char::decode_utf16([high, low]).next()?.ok();
                    Some(pair.map_or(half, |c| Unit::Char(c, LONGEST)))
                }
                Hex::Open => Some(Unit::Open),
                Hex::Unit(_) | Hex::None => Some(half),
            },
            (Some(_), _) => Some(half),
        },
        0xDC00..=0xDFFF => Some(half),
        code => char::from_u32(u32::from(code)).map(|c| Unit::Char(c, 6)),
    }
}

enum Hex {
    Unit(u16),
    /// The text ends in it.
    Open,
    None,
}

/// The four digits at `from`.
fn unit(text: &[u8], from: usize) -> Hex {
    let mut unit = 0;
    for at in from..from + 4 {
        let Some(byte) = text.get(at) else { return Hex::Open };
        match char::from(*byte).to_digit(16).and_then(|digit| u16::try_from(digit).ok()) {
            Some(digit) => unit = unit << 4 | digit,
            None => return Hex::None,
        }
    }
    Hex::Unit(unit)
}

/// A text with its escapes resolved.
pub(super) fn unescaped(text: &str) -> Cow<'_, str> {
    if !text.contains('\\') {
        return Cow::Borrowed(text);
    }
    let mut said = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(unit) = first(rest) {
        let (c, length) = match unit {
            Unit::Char(c, length) => (c, length),
            // It never ends, so it is none.
            Unit::Open => ('\\', 1),
        };
        said.push(c);
        rest = rest.get(length..).unwrap_or_default();
    }
    Cow::Owned(said)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_are_read_as_json_reads_them() {
        for json in [
            r#"plain"#,
            r#"\"\\\/\b\f\n\r\t"#,
            r#"\u0062omb"#,
            r#"\u7206\u5f3E"#,
            r#"\ud83d\ude00!"#,
            "爆\\u5f3e",
        ] {
            let expected: String = serde_json::from_str(&format!("\"{json}\"")).unwrap();
            assert_eq!(unescaped(json), expected, "{json}");
        }
    }

    #[test]
    fn what_is_no_escape_stands_for_itself() {
        for (text, said) in [
            (r"C:\Xindows", r"C:\Xindows"),
            (r"\u00g0", r"\u00g0"),
            (r"\", r"\"),
            (r"\u12", r"\u12"),
            (r"\ud800x", "\u{fffd}x"),
            (r"\ud800\n", "\u{fffd}\n"),
            (r"\ud800\u0041", "\u{fffd}A"),
            (r"\udc00", "\u{fffd}"),
        ] {
            assert_eq!(unescaped(text), said, "{text}");
        }
    }

    #[test]
    fn an_escape_that_is_cut_is_waited_for() {
        let whole = r"\ud83d\ude00";
        for end in 1..whole.len() {
            assert_eq!(first(&whole[..end]), Some(Unit::Open), "{end}");
        }
        assert_eq!(first(whole), Some(Unit::Char('😀', LONGEST)));
        assert_eq!(first(""), None);
    }
}
