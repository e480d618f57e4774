//! JSON strings: where they end, and what they say.
//!
//! Reading checks every byte, 32 at a time; decoding allocates only for a string with escapes in it.

use std::borrow::Cow;

use super::Malformed;

/// A string as it stands in the text, checked, without its quotes.
#[derive(Debug, Clone, Copy)]
pub(in crate::wire) struct Text<'a> {
    raw: &'a str,
    spelling: Spelling,
}

// A word wide, as `Malformed` is: so a `Text` and a `Result` of it have no padding. Compilers copy seven bytes
// of padding by two overlapping moves, and the processor then waits for its own writes at every string. It
// was a quarter of the time that a long conversation takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(usize)]
enum Spelling {
    Plain,
    Escaped,
}

impl<'a> Text<'a> {
    /// Reads the string whose opening quote stands at `at`; returns it and where the text goes on.
    pub(super) fn read(text: &'a str, at: usize) -> Result<(Self, usize), Malformed> {
        let bytes = text.as_bytes();
        if bytes.get(at) != Some(&b'"') {
            return Err(Malformed::Grammar);
        }
        let from = at + 1;
        let mut spelling = Spelling::Plain;
        let mut at = from;
        loop {
            at += plain(bytes.get(at..).unwrap_or_default());
            match bytes.get(at) {
                Some(b'"') => {
                    let raw = text.get(from..at).ok_or(Malformed::Grammar)?;
                    return Ok((Self { raw, spelling }, at + 1));
                }
                Some(b'\\') => spelling = Spelling::Escaped,
                Some(_) => return Err(Malformed::Control),
                None => return Err(Malformed::Grammar),
            }
            // Escapes come in rows: Japanese text from a sender that writes ASCII is nothing else.
            while bytes.get(at) == Some(&b'\\') {
                at += escape(bytes.get(at..).unwrap_or_default())?;
            }
        }
    }

    /// What the string says.
    pub(in crate::wire) fn decode(self) -> Cow<'a, str> {
        match self.spelling {
            Spelling::Plain => Cow::Borrowed(self.raw),
            Spelling::Escaped => Cow::Owned(unescape(self.raw)),
        }
    }
}

/// How many bytes from the beginning mean only themselves.
fn plain(bytes: &[u8]) -> usize {
    let (chunks, _) = bytes.as_chunks::<32>();
    let clean = chunks.iter().take_while(|chunk| is_clean(chunk)).count() * 32;
    clean + plain_by_word(bytes.get(clean..).unwrap_or_default())
}

/// No early exit: so the compiler looks at all 32 bytes in a few vector instructions.
fn is_clean(chunk: &[u8; 32]) -> bool {
    !chunk.iter().fold(false, |hit, byte| hit | is_special(*byte))
}

fn is_special(byte: u8) -> bool {
    (byte == b'"') | (byte == b'\\') | (byte < 0x20)
}

/// The same as [`plain`], for short strings and for the chunk that has something: 8 bytes at a time.
fn plain_by_word(bytes: &[u8]) -> usize {
    let (words, rest) = bytes.as_chunks::<8>();
    for (index, word) in words.iter().enumerate() {
        let marks = special_bytes(u64::from_le_bytes(*word));
        if marks != 0 {
            // The first byte is the lowest one.
            return index * 8 + marks.trailing_zeros() as usize / 8;
        }
    }
    words.len() * 8 + rest.iter().position(|byte| is_special(*byte)).unwrap_or(rest.len())
}

/// Sets the high bit of the lowest special byte, if there is one. Bits above it mean nothing, because a
/// borrow may have run into them.
fn special_bytes(word: u64) -> u64 {
    const ONES: u64 = u64::from_le_bytes([1; 8]);
    const HIGH: u64 = ONES << 7;
    let below = |limit: u8, word: u64| word.wrapping_sub(ONES * u64::from(limit)) & !word;
    let quote = below(1, word ^ (ONES * u64::from(b'"')));
    let backslash = below(1, word ^ (ONES * u64::from(b'\\')));
    (quote | backslash | below(0x20, word)) & HIGH
}

/// The length of the escape, or of the surrogate pair, at the beginning of `bytes`.
fn escape(bytes: &[u8]) -> Result<usize, Malformed> {
    match bytes.get(1) {
        Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => Ok(2),
        Some(b'u') => match unit(bytes, 2)? {
            0xD800..=0xDBFF if bytes.get(6..8) != Some(br"\u") => Err(Malformed::Surrogate),
            0xD800..=0xDBFF => match unit(bytes, 8)? {
                0xDC00..=0xDFFF => Ok(12),
                _ => Err(Malformed::Surrogate),
            },
            0xDC00..=0xDFFF => Err(Malformed::Surrogate),
            _ => Ok(6),
        },
        Some(_) => Err(Malformed::Escape),
        None => Err(Malformed::Grammar),
    }
}

/// The UTF-16 unit that four hexadecimal digits at `from` write.
fn unit(bytes: &[u8], from: usize) -> Result<u16, Malformed> {
    let digits = bytes.get(from..from + 4).ok_or(Malformed::Grammar)?;
    digits.iter().try_fold(0, |unit, digit| {
        let value = char::from(*digit).to_digit(16).and_then(|value| u16::try_from(value).ok());
        value.map(|value| unit << 4 | value).ok_or(Malformed::Escape)
    })
}

/// Resolves escapes. `raw` has been read before, so the fallbacks for bad ones are never met.
fn unescape(raw: &str) -> String {
    let mut said = String::with_capacity(raw.len());
    let mut rest = raw;
    while let Some((before, escape)) = rest.split_once('\\') {
        said.push_str(before);
        let mut letters = escape.chars();
        rest = match letters.next() {
            Some('u') => {
                let (units, length) = units(escape.as_bytes());
                said.extend(char::decode_utf16(units).map(|it| it.unwrap_or(char::REPLACEMENT_CHARACTER)));
                escape.get(length..).unwrap_or_default()
            }
            Some(letter) => {
                said.push(simple(letter));
                letters.as_str()
            }
            None => "",
        };
    }
    said.push_str(rest);
    said
}

/// The unit at `u…`, or both of a pair, and the length of what writes them.
fn units(escape: &[u8]) -> (impl Iterator<Item = u16>, usize) {
    let first = unit(escape, 1).ok();
    let second = match first {
        Some(0xD800..=0xDBFF) => unit(escape, 7).ok(),
        Some(_) | None => None,
    };
    let length = if second.is_some() { 11 } else { 5 };
    (first.into_iter().chain(second), length)
}

fn simple(letter: char) -> char {
    match letter {
        'b' => '\u{8}',
        'f' => '\u{c}',
        'n' => '\n',
        'r' => '\r',
        't' => '\t',
        itself => itself,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decoded(json: &str) -> Result<String, Malformed> {
        Text::read(json, 0).map(|(text, end)| {
            assert_eq!(end, json.len());
            text.decode().into_owned()
        })
    }

    #[test]
    fn a_string_says_what_serde_json_says_it_says() {
        for json in [
            r#""""#,
            r#""plain""#,
            r#""月次レポート""#,
            r#""\"\\\/\b\f\n\r\t""#,
            r#""\u0000\u001f\u0041\u3042\uFFFF""#,
            r#""\ud83d\ude00 \uD83D\uDE00""#,
            r#""end \\""#,
            r#""mod\u0065l""#,
        ] {
            assert_eq!(decoded(json).unwrap(), serde_json::from_str::<String>(json).unwrap(), "{json}");
        }
    }

    #[test]
    fn a_plain_string_is_borrowed() {
        let (text, _) = Text::read(r#""plain""#, 0).unwrap();
        assert!(matches!(text.decode(), Cow::Borrowed("plain")));
    }

    #[test]
    fn half_a_surrogate_pair_is_refused_on_either_side() {
        for half in [
            r"\ud800",
            r"\udfff",
            r"\ud800x",
            r"\ud800\n",
            r"\ud800\u0041",
            r"\ud800\ud800\udc00",
            r"\udc00\ud800",
        ] {
            assert_eq!(decoded(&format!("\"{half}\"")), Err(Malformed::Surrogate), "{half}");
        }
    }

    #[test]
    fn unknown_escapes_raw_controls_and_missing_ends_are_refused() {
        for (json, why) in [
            (r#""\x41""#, Malformed::Escape),
            (r#""\u00g0""#, Malformed::Escape),
            (r#""\u+041""#, Malformed::Escape),
            (r#""\U0041""#, Malformed::Escape),
            ("\"\n\"", Malformed::Control),
            ("\"\0\"", Malformed::Control),
            ("\"\u{1f}\"", Malformed::Control),
            ("\"", Malformed::Grammar),
            ("\"open", Malformed::Grammar),
            (r#""\"#, Malformed::Grammar),
            (r#""\""#, Malformed::Grammar),
            (r#""\u00"#, Malformed::Grammar),
            (r#""\ud800\u"#, Malformed::Grammar),
            ("'single'", Malformed::Grammar),
        ] {
            assert_eq!(decoded(json), Err(why), "{json:?}");
        }
        assert!(decoded("\"\u{7f}\u{2028}\"").is_ok());
    }

    #[test]
    fn a_special_byte_is_found_at_every_distance_from_the_quote() {
        for length in 0..100 {
            let before = "あ".repeat(length / 3) + &"a".repeat(length % 3);
            assert_eq!(decoded(&format!("\"{before}\"")).as_deref(), Ok(before.as_str()));
            assert_eq!(decoded(&format!("\"{before}\u{1}{before}\"")), Err(Malformed::Control));
            assert_eq!(decoded(&format!("\"{before}\\n{before}\"")), Ok(format!("{before}\n{before}")));
        }
    }

    #[test]
    fn eight_bytes_at_once_find_the_same_first_special_byte_as_one_at_a_time() {
        for first in 0..=u8::MAX {
            for second in [0, 0x1f, b' ', b'!', b'"', b'#', b'[', b'\\', b']', 0x7f, 0x80, 0xa2, 0xdc, 0xff] {
                for at in 0..7 {
                    let mut bytes = [b'a'; 12];
                    bytes[at] = first;
                    bytes[at + 1] = second;
                    let naive = bytes.iter().position(|byte| is_special(*byte)).unwrap_or(bytes.len());
                    assert_eq!(plain_by_word(&bytes), naive, "{bytes:?}");
                }
            }
        }
    }
}
