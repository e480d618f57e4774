//! JSON strings: where they end, and what they say.
//!
//! Reading checks every byte, up to 64 at a time; decoding allocates only for a string with escapes in it.

use std::borrow::Cow;

use wide::u8x16;

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
        let mut block = Block::short(bytes, from);
        loop {
            while let Some(at) = block.next() {
                match bytes.get(at) {
                    Some(b'"') => {
                        let raw = text.get(from..at).ok_or(Malformed::Grammar)?;
                        return Ok((Self { raw, spelling }, at + 1));
                    }
                    Some(b'\\') => {
                        spelling = Spelling::Escaped;
                        block.go_on_at(at + escape(bytes.get(at..).unwrap_or_default())?);
                    }
                    Some(_) => return Err(Malformed::Control),
                    None => return Err(Malformed::Grammar),
                }
            }
            block = block.following(bytes).ok_or(Malformed::Grammar)?;
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

/// A few bytes of a string, with a mark for each that may not simply mean itself.
struct Block {
    /// Where the block begins.
    from: usize,
    /// Where the next one begins; never before an escape has ended.
    end: usize,
    /// The lowest bit stands for the byte at `from`.
    marks: u64,
}

/// How many bytes a vector register holds on every machine.
const LANE: usize = 16;

impl Block {
    /// One register: most strings are names and short words.
    fn short(bytes: &[u8], from: usize) -> Self {
        let rest = bytes.get(from..).unwrap_or_default();
        match rest.first_chunk::<LANE>() {
            Some(lane) => Self { from, end: from + LANE, marks: marks(*lane) },
            None => Self::last(rest, from),
        }
    }

    /// Four registers, for the length of a text. `None` when there are no more bytes.
    fn following(&self, bytes: &[u8]) -> Option<Self> {
        let from = self.end;
        let rest = bytes.get(from..)?;
        match rest.as_chunks::<LANE>().0 {
            [a, b, c, d, ..] => {
                let marks = marks(*a) | marks(*b) << 16 | marks(*c) << 32 | marks(*d) << 48;
                Some(Self { from, end: from + 4 * LANE, marks })
            }
            [_, ..] => Some(Self::short(bytes, from)),
            [] if rest.is_empty() => None,
            [] => Some(Self::last(rest, from)),
        }
    }

    /// What is left at the end of a text, one byte at a time.
    fn last(rest: &[u8], from: usize) -> Self {
        let marks = rest.iter().rev().fold(0, |marks, byte| marks << 1 | u64::from(is_special(*byte)));
        Self { from, end: from + rest.len(), marks }
    }

    /// Takes the next marked position.
    fn next(&mut self) -> Option<usize> {
        if self.marks == 0 {
            return None;
        }
        let at = self.from + self.marks.trailing_zeros() as usize;
        self.marks &= self.marks - 1;
        Some(at)
    }

    /// Forgets the marks before `at`, which an escape has explained.
    fn go_on_at(&mut self, at: usize) {
        let gone = u32::try_from(at - self.from).unwrap_or(u32::MAX);
        self.marks &= u64::MAX.checked_shl(gone).unwrap_or(0);
        self.end = self.end.max(at);
    }
}

/// Marks the special bytes among 16; the lowest bit is the first byte's.
fn marks(lane: [u8; LANE]) -> u64 {
    let bytes = u8x16::new(lane);
    let control = bytes.min(u8x16::splat(0x1f)).simd_eq(bytes);
    let special = bytes.simd_eq(u8x16::splat(b'"')) | bytes.simd_eq(u8x16::splat(b'\\')) | control;
    u64::from(special.to_bitmask())
}

fn is_special(byte: u8) -> bool {
    (byte == b'"') | (byte == b'\\') | (byte < 0x20)
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
    fn sixteen_bytes_at_once_are_marked_as_one_at_a_time() {
        for byte in 0..=u8::MAX {
            for at in 0..LANE {
                let mut lane = [b'a'; LANE];
                lane[at] = byte;
                assert_eq!(marks(lane), Block::last(&lane, 0).marks, "{byte} at {at}");
            }
        }
    }

    #[test]
    fn an_escape_is_read_as_one_wherever_a_block_ends_in_it() {
        for escape in [r"\n", "\\\"", r"\\", r"\u3042", r"\ud83d\ude00"] {
            for before in 0..150 {
                let json = format!("\"{}{escape}{}\"", "a".repeat(before), "b".repeat(before % 70));
                assert_eq!(decoded(&json).unwrap(), serde_json::from_str::<String>(&json).unwrap(), "{json}");
            }
        }
    }
}
