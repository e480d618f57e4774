//! Where words begin and end, and what else a pattern may ask of a place between two characters.
//!
//! A word of a script without blanks between words may begin and end anywhere.

use regex_automata::util::look::Look;

use super::fold::letters::{is_unspaced, is_word};

/// What an expression asks for where a blank must stand before. It means something else to those who write them, and
/// what they write with it is refused.
pub(super) const BLANK_BEFORE: Look = Look::StartCRLF;

/// What stands on one side of a place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    /// The end of the text.
    End,
    /// A letter or digit of a script that sets its words apart.
    Word,
    /// One of a script that does not.
    Unspaced,
    Blank,
    Other,
}

/// A place in a text: what stands before it and behind it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Edge {
    before: Side,
    behind: Side,
}

impl Edge {
    /// How many there are.
    pub(super) const KINDS: usize = 25;

    /// The place at `at`, where a character begins or the text ends.
    pub(super) fn of(text: &[u8], at: usize) -> Self {
        Self {
            before: Side::of(last(text.get(..at).unwrap_or_default())),
            behind: Side::of(first(text.get(at..).unwrap_or_default())),
        }
    }

    /// Its number among all kinds of places.
    pub(super) fn kind(self) -> usize {
        self.before as usize * 5 + self.behind as usize
    }

    /// Whether no word goes on across this place.
    pub(super) fn splits(self) -> bool {
        !(self.before == Side::Word && self.behind == Side::Word)
    }

    /// Whether a pattern that asks for `look` may go on here.
    pub(super) fn allows(self, look: Look) -> bool {
        let Self { before, behind } = self;
        match look {
            // A folded text is one line.
            BLANK_BEFORE => before == Side::Blank,
            Look::Start | Look::StartLF => before == Side::End,
            Look::End | Look::EndLF | Look::EndCRLF => behind == Side::End,
            Look::WordAscii | Look::WordUnicode => self.is_boundary(),
            Look::WordAsciiNegate | Look::WordUnicodeNegate => !self.is_boundary(),
            Look::WordStartAscii | Look::WordStartUnicode => self.is_boundary() && behind.is_letter(),
            Look::WordEndAscii | Look::WordEndUnicode => self.is_boundary() && before.is_letter(),
            Look::WordStartHalfAscii | Look::WordStartHalfUnicode => before != Side::Word,
            Look::WordEndHalfAscii | Look::WordEndHalfUnicode => behind != Side::Word,
        }
    }

    fn is_boundary(self) -> bool {
        let Self { before, behind } = self;
        (before == Side::Word) != (behind == Side::Word)
            || before == Side::Unspaced
            || behind == Side::Unspaced
    }
}

impl Side {
    fn of(c: Option<char>) -> Self {
        match c {
            None => Self::End,
            Some(' ') => Self::Blank,
            Some(c) if is_word(c) => Self::Word,
            Some(c) if is_unspaced(c) => Self::Unspaced,
            Some(_) => Self::Other,
        }
    }

    fn is_letter(self) -> bool {
        match self {
            Self::Word | Self::Unspaced => true,
            Self::End | Self::Blank | Self::Other => false,
        }
    }
}

/// The first character of a text in UTF-8.
fn first(text: &[u8]) -> Option<char> {
    let length = match text.first()? {
        byte @ 0..=0x7f => return Some(char::from(*byte)),
        0x80..=0xdf => 2,
        0xe0..=0xef => 3,
        0xf0.. => 4,
    };
    std::str::from_utf8(text.get(..length)?).ok()?.chars().next()
}

fn last(text: &[u8]) -> Option<char> {
    let from = text.iter().rposition(|byte| is_start(*byte))?;
    first(text.get(from..)?)
}

/// Whether a character begins with this byte of UTF-8.
pub(super) fn is_start(byte: u8) -> bool {
    byte & 0xc0 != 0x80
}

#[cfg(test)]
mod tests {
    use super::*;

    fn edge(text: &str, at: usize) -> Edge {
        Edge::of(text.as_bytes(), at)
    }

    #[test]
    fn words_of_scripts_with_blanks_end_where_their_letters_do() {
        for (text, at, splits) in [
            ("bomb", 0, true),
            ("bomb", 1, false),
            ("bomb", 4, true),
            ("a bomb", 2, true),
            ("b1", 1, false),
            ("b_b", 1, true),
            ("жук", 2, false),
            ("この爆弾", 6, true),
            ("aか", 1, true),
            ("폭탄을", 6, true),
        ] {
            assert_eq!(edge(text, at).splits(), splits, "{text} at {at}");
        }
    }

    #[test]
    fn a_boundary_is_the_usual_one_and_anywhere_in_scripts_without_blanks() {
        for (text, at, there) in [
            ("a b", 1, true),
            ("a b", 2, true),
            ("ab", 1, false),
            ("--", 1, false),
            ("", 0, false),
            ("爆弾", 3, true),
            ("爆", 0, true),
        ] {
            assert_eq!(edge(text, at).allows(Look::WordUnicode), there, "{text} at {at}");
            assert_eq!(edge(text, at).allows(Look::WordAsciiNegate), !there, "{text} at {at}");
        }
        assert!(edge("ab", 0).allows(Look::Start) && !edge("ab", 1).allows(Look::Start));
        assert!(edge("ab", 2).allows(Look::End) && edge("ab", 2).allows(Look::WordEndUnicode));
        assert!(edge("ab", 0).allows(Look::WordStartUnicode) && !edge("ab", 0).allows(Look::WordEndAscii));
        assert!(
            edge("-a", 1).allows(Look::WordStartHalfAscii) && edge("a-", 1).allows(Look::WordEndHalfUnicode)
        );
    }
}
