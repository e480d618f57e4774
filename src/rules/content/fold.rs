//! One spelling for texts that say the same: what patterns are matched against, and how patterns are read.
//!
//! Compatible forms become the usual ones (NFKC: full width, superscripts, ligatures, half-width kana), letters
//! lose their marks, except where a mark makes another letter (kana, Hangul, the scripts of India and their
//! neighbours), capitals become small, runs of white space become one blank, and what shows nothing goes.
//!
//! Promises the same result however the text was cut, and that folding twice changes nothing. Never takes
//! letters of different scripts for each other.

pub(super) mod letters;
mod quick;
mod whole;

use unicode_normalization::UnicodeNormalization;
use unicode_normalization::char::{compose, decompose_compatible, is_combining_mark};

use self::letters::{
    is_blank, is_invisible, is_itself, is_open_hangul, is_ornament, is_voiceable, joins_hangul, keeps_marks,
    usual,
};
pub(super) use self::quick::ascii;
pub(super) use self::whole::{fold, fold_into};

/// So many marks of one letter are looked at; Unicode's stream-safe text has at most 30.
const MAX_MARKS: usize = 32;
const VOICED: char = '\u{3099}';
const SEMI_VOICED: char = '\u{309a}';

/// Folds a text as it comes. What a letter becomes is written when nothing can change it any more.
#[derive(Debug, Clone, Default)]
pub(super) struct Folder {
    /// A letter that what follows may still change.
    open: Option<char>,
    /// Its marks.
    marks: Vec<char>,
    last: Last,
    /// Where what was written upon the last character begins to be its own.
    own: Option<usize>,
}

/// What was written last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Last {
    Blank,
    #[default]
    Other,
}

impl Folder {
    /// Whether a letter waits for what follows it.
    pub(super) fn is_open(&self) -> bool {
        self.open.is_some()
    }

    /// Takes the next character. Returns the length of `out` from which on it holds what this one became; before
    /// that, an earlier one may have been added. `None` when this one says nothing, or belongs to the one before it.
    pub(super) fn push(&mut self, c: char, out: &mut Vec<u8>) -> Option<usize> {
        self.own = None;
        self.letter(c, out);
        self.own
    }

    fn letter(&mut self, c: char, out: &mut Vec<u8>) {
        if let Some(folded) = ascii(c) {
            return match folded {
                quick::NOTHING => {}
                b' ' => {
                    self.close(out);
                    self.blank(out);
                }
                folded => {
                    self.close(out);
                    self.last = Last::Other;
                    out.push(folded);
                }
            };
        }
        if is_itself(c) {
            return self.take_itself(c, out);
        }
        match quick::letter(c) {
            Some(folded) => {
                self.close(out);
                self.last = Last::Other;
                out.extend_from_slice(folded);
            }
            None => self.slow(c, out),
        }
    }

    /// Takes any character.
    fn slow(&mut self, c: char, out: &mut Vec<u8>) {
        match c {
            _ if is_invisible(c) => {}
            _ if is_blank(c) => {
                self.close(out);
                self.blank(out);
            }
            // Written behind a kana, these are what the combining marks are; on their own they are blanks
            // with a mark on top, to Unicode.
            '゛' | '゜' if self.open.is_some_and(is_voiceable) => {
                self.take(if c == '゛' { VOICED } else { SEMI_VOICED }, out);
            }
            _ => decompose_compatible(usual(c), |c| self.take(c, out)),
        }
    }

    /// Takes a character that is written as it is, unless something follows that belongs to it.
    fn take_itself(&mut self, c: char, out: &mut Vec<u8>) {
        self.close(out);
        if is_voiceable(c) || is_open_hangul(c) {
            self.open = Some(c);
        } else {
            self.last = Last::Other;
            put(c, out);
        }
    }

    /// The text has ended.
    pub(super) fn finish(&mut self, out: &mut Vec<u8>) {
        self.close(out);
    }

    /// Takes a character that is decomposed, or need not be.
    fn take(&mut self, c: char, out: &mut Vec<u8>) {
        if is_combining_mark(c) || joins_hangul(c) {
            if self.open.is_some_and(|base| takes(base, c, self.marks.len())) {
                if self.marks.len() < MAX_MARKS {
                    self.marks.push(c);
                }
                return;
            }
            if is_combining_mark(c) {
                // On anything else it is an ornament.
                return;
            }
        }
        self.close(out);
        if is_voiceable(c) || is_open_hangul(c) || keeps_marks(c) {
            self.open = Some(c);
        } else {
            self.write(c, out);
        }
    }

    /// Writes the open letter.
    #[inline]
    fn close(&mut self, out: &mut Vec<u8>) {
        if let Some(base) = self.open.take() {
            self.write_letter(base, out);
        }
        self.own.get_or_insert(out.len());
    }

    fn write_letter(&mut self, base: char, out: &mut Vec<u8>) {
        let marks = std::mem::take(&mut self.marks);
        match marks.as_slice() {
            [] => self.write(base, out),
            [mark] => match compose(base, *mark) {
                Some(whole) => self.write(whole, out),
                // There is no such letter.
                None if is_voiceable(base) => self.write(base, out),
                None => [base, *mark].into_iter().for_each(|c| self.write(c, out)),
            },
            several => {
                for c in std::iter::once(base).chain(several.iter().copied()).nfc() {
                    self.write(c, out);
                }
            }
        }
        self.marks = marks;
        self.marks.clear();
    }

    /// Writes a character that is final, but for its case.
    fn write(&mut self, c: char, out: &mut Vec<u8>) {
        if c.is_whitespace() {
            return self.blank(out);
        }
        self.last = Last::Other;
        match c {
            _ if c.is_ascii() => out.extend(u8::try_from(c).map(|byte| byte.to_ascii_lowercase())),
            // The full case folding of what has no single small letter, or two.
            'ß' | 'ẞ' => out.extend_from_slice(b"ss"),
            'ς' => put('σ', out),
            '\u{2e80}'..='\u{a63f}' | '가'..='힣' => put(c, out),
            _ => c.to_lowercase().for_each(|c| put(c, out)),
        }
    }

    fn blank(&mut self, out: &mut Vec<u8>) {
        if self.last == Last::Other {
            out.push(b' ');
        }
        self.last = Last::Blank;
    }
}

/// Whether a mark, behind so many others, belongs to a letter and is no ornament of it.
fn takes(base: char, mark: char, before: usize) -> bool {
    if is_voiceable(base) {
        matches!(mark, VOICED | SEMI_VOICED) && before == 0
    } else if is_open_hangul(base) {
        joins_hangul(mark)
    } else {
        is_combining_mark(mark) && !is_ornament(mark) && !matches!(mark, VOICED | SEMI_VOICED)
    }
}

fn put(c: char, out: &mut Vec<u8>) {
    out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
}

#[cfg(test)]
pub(super) mod tests;
