//! Where words begin and end, and what else a pattern may ask of a place between two characters.
//!
//! A word of a script without blanks between words may begin and end anywhere.

use regex_automata::util::look::Look;

use super::fold::letters::{is_unspaced, is_word};

/// A place in a text: what stands before it and behind it. `None` is the end of the text.
#[derive(Debug, Clone, Copy)]
pub(super) struct Edge {
    pub(super) before: Option<char>,
    pub(super) behind: Option<char>,
}

impl Edge {
    /// The place at `at`, where a character begins or the text ends.
    pub(super) fn of(text: &[u8], at: usize) -> Self {
        Self {
            before: last(text.get(..at).unwrap_or_default()),
            behind: first(text.get(at..).unwrap_or_default()),
        }
    }

    /// Whether no word goes on across this place.
    pub(super) fn splits(self) -> bool {
        !(self.before.is_some_and(is_word) && self.behind.is_some_and(is_word))
    }

    /// Whether a pattern that asks for `look` may go on here.
    pub(super) fn allows(self, look: Look) -> bool {
        let Self { before, behind } = self;
        match look {
            // A folded text is one line.
            Look::Start | Look::StartLF | Look::StartCRLF => before.is_none(),
            Look::End | Look::EndLF | Look::EndCRLF => behind.is_none(),
            Look::WordAscii | Look::WordUnicode => self.is_boundary(),
            Look::WordAsciiNegate | Look::WordUnicodeNegate => !self.is_boundary(),
            Look::WordStartAscii | Look::WordStartUnicode => self.is_boundary() && is_letter(behind),
            Look::WordEndAscii | Look::WordEndUnicode => self.is_boundary() && is_letter(before),
            Look::WordStartHalfAscii | Look::WordStartHalfUnicode => !before.is_some_and(is_word),
            Look::WordEndHalfAscii | Look::WordEndHalfUnicode => !behind.is_some_and(is_word),
        }
    }

    fn is_boundary(self) -> bool {
        let word = |side: Option<char>| side.is_some_and(is_word);
        let free = |side: Option<char>| side.is_some_and(is_unspaced);
        word(self.before) != word(self.behind) || free(self.before) || free(self.behind)
    }
}

fn is_letter(side: Option<char>) -> bool {
    side.is_some_and(|c| is_word(c) || is_unspaced(c))
}

/// The first character of a text in UTF-8.
pub(super) fn first(text: &[u8]) -> Option<char> {
    let length = match text.first()? {
        0..=0x7f => 1,
        0xc0..=0xdf => 2,
        0xe0..=0xef => 3,
        _ => 4,
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
