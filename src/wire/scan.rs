//! Strict JSON (RFC 8259), read in place: one pass, no tree, no recursion over what a sender nests.
//!
//! [`Scanner`] accepts exactly the grammar, refuses lone surrogate escapes, and bounds nesting, in memory
//! that does not depend on the text. It never judges what a value means, never builds a number, and copies
//! a string only when somebody asks for its meaning and it was written with escapes.

mod number;
mod text;

pub(super) use text::Text;

use crate::error::BadRequest;

/// How deep values may nest; the outermost object counts as 1. serde_json draws the same line.
pub(super) const MAX_DEPTH: usize = 127;

/// Why a text is not JSON that we pass on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
// A word wide for speed; `text::Spelling` says why.
#[repr(usize)]
pub(super) enum Malformed {
    /// Anything that the grammar does not allow here, the end of the text included.
    Grammar,
    /// Nested deeper than [`MAX_DEPTH`].
    Depth,
    /// A control character inside a string that should have been escaped.
    Control,
    /// A backslash that no escape begins with.
    Escape,
    /// Half of a surrogate pair, which no text can contain.
    Surrogate,
    /// Something behind the value.
    Trailing,
}

impl From<Malformed> for BadRequest {
    fn from(why: Malformed) -> Self {
        Self::body(match why {
            Malformed::Grammar => "The body is not valid JSON",
            Malformed::Depth => "The body is nested deeper than 127 levels",
            Malformed::Control => "The body has a control character in a string; it must be escaped",
            Malformed::Escape => "The body has an unknown escape in a string",
            Malformed::Surrogate => "The body has half of a surrogate pair in a string",
            Malformed::Trailing => "The body has something behind its JSON value",
        })
    }
}

/// What sort of value comes next, as its first byte tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Object,
    Array,
    String,
    Number,
    True,
    False,
    Null,
}

/// The beginning of an object's member.
#[derive(Debug, Clone, Copy)]
pub(super) struct Entry<'a> {
    /// Where the member's own bytes begin: right behind the brace or comma before it.
    pub(super) from: usize,
    /// The member's name.
    pub(super) name: Text<'a>,
}

/// A position in a JSON text. After an error the position means nothing.
pub(super) struct Scanner<'a> {
    text: &'a str,
    at: usize,
    /// Containers that are open here; at most [`MAX_DEPTH`].
    depth: usize,
}

impl<'a> Scanner<'a> {
    /// Starts before the first byte.
    pub(super) fn new(text: &'a str) -> Self {
        Self { text, at: 0, depth: 0 }
    }

    /// How many bytes have been read.
    pub(super) fn at(&self) -> usize {
        self.at
    }

    /// Skips white space and looks at the value that follows.
    pub(super) fn peek(&mut self) -> Result<Kind, Malformed> {
        match self.look() {
            Some(b'{') => Ok(Kind::Object),
            Some(b'[') => Ok(Kind::Array),
            Some(b'"') => Ok(Kind::String),
            Some(b'-' | b'0'..=b'9') => Ok(Kind::Number),
            Some(b't') => Ok(Kind::True),
            Some(b'f') => Ok(Kind::False),
            Some(b'n') => Ok(Kind::Null),
            Some(_) | None => Err(Malformed::Grammar),
        }
    }

    /// Reads an object. `each` is called behind every colon and has to read the value.
    pub(super) fn object<E: From<Malformed>>(
        &mut self,
        mut each: impl FnMut(&mut Self, Entry<'a>) -> Result<(), E>,
    ) -> Result<(), E> {
        self.enter(b'{')?;
        let mut from = self.at;
        if self.look() == Some(b'}') {
            self.leave();
            return Ok(());
        }
        loop {
            let name = self.name()?;
            each(self, Entry { from, name })?;
            match self.look() {
                Some(b',') => self.at += 1,
                Some(b'}') => break,
                Some(_) | None => return Err(Malformed::Grammar.into()),
            }
            from = self.at;
        }
        self.leave();
        Ok(())
    }

    /// Reads an array. `each` gets the index of every element and has to read it. Returns their number.
    pub(super) fn array<E: From<Malformed>>(
        &mut self,
        mut each: impl FnMut(&mut Self, usize) -> Result<(), E>,
    ) -> Result<usize, E> {
        self.enter(b'[')?;
        if self.look() == Some(b']') {
            self.leave();
            return Ok(0);
        }
        let mut count = 0;
        loop {
            each(self, count)?;
            count += 1;
            match self.look() {
                Some(b',') => self.at += 1,
                Some(b']') => break,
                Some(_) | None => return Err(Malformed::Grammar.into()),
            }
        }
        self.leave();
        Ok(count)
    }

    /// Reads a string.
    pub(super) fn string(&mut self) -> Result<Text<'a>, Malformed> {
        self.look();
        let (text, end) = Text::read(self.text, self.at)?;
        self.at = end;
        Ok(text)
    }

    /// Reads a number and returns it as it is written.
    pub(super) fn number(&mut self) -> Result<&'a str, Malformed> {
        self.look();
        let rest = self.text.get(self.at..).ok_or(Malformed::Grammar)?;
        let written = number::length(rest.as_bytes())
            .and_then(|length| rest.get(..length))
            .ok_or(Malformed::Grammar)?;
        self.at += written.len();
        Ok(written)
    }

    /// Reads a value of any kind and forgets it. Nesting is kept as one bit a level, so that neither the
    /// stack nor the heap grows with it.
    pub(super) fn skip(&mut self) -> Result<(), Malformed> {
        // The lowest bit is the innermost open container: 1 for an object, 0 for an array.
        // 127 levels fit into 128 bits.
        let mut kinds = 0_u128;
        let outside = self.depth;
        loop {
            match self.peek()? {
                Kind::Object => {
                    self.enter(b'{')?;
                    kinds = kinds << 1 | 1;
                    if self.look() != Some(b'}') {
                        self.name()?;
                        continue;
                    }
                }
                Kind::Array => {
                    self.enter(b'[')?;
                    kinds <<= 1;
                    if self.look() != Some(b']') {
                        continue;
                    }
                }
                Kind::String => {
                    self.string()?;
                }
                Kind::Number => {
                    self.number()?;
                }
                Kind::True => self.word("true")?,
                Kind::False => self.word("false")?,
                Kind::Null => self.word("null")?,
            }
            // A value has ended, or a container is empty: close what closes here, up to the next value.
            loop {
                if self.depth == outside {
                    return Ok(());
                }
                match (self.look(), kinds & 1) {
                    (Some(b','), 1) => {
                        self.at += 1;
                        self.name()?;
                        break;
                    }
                    (Some(b','), _) => {
                        self.at += 1;
                        break;
                    }
                    (Some(b'}'), 1) | (Some(b']'), 0) => {
                        self.leave();
                        kinds >>= 1;
                    }
                    (Some(_) | None, _) => return Err(Malformed::Grammar),
                }
            }
        }
    }

    /// Reads white space up to the end of the text.
    pub(super) fn end(&mut self) -> Result<(), Malformed> {
        match self.look() {
            None => Ok(()),
            Some(_) => Err(Malformed::Trailing),
        }
    }

    /// Skips white space and looks at the next byte.
    fn look(&mut self) -> Option<u8> {
        loop {
            let byte = self.text.as_bytes().get(self.at).copied();
            match byte {
                Some(b' ' | b'\n' | b'\r' | b'\t') => self.at += 1,
                Some(_) | None => return byte,
            }
        }
    }

    fn enter(&mut self, bracket: u8) -> Result<(), Malformed> {
        if self.look() != Some(bracket) {
            return Err(Malformed::Grammar);
        }
        if self.depth == MAX_DEPTH {
            return Err(Malformed::Depth);
        }
        self.depth += 1;
        self.at += 1;
        Ok(())
    }

    /// Steps over the bracket that closes the innermost container.
    fn leave(&mut self) {
        self.depth = self.depth.saturating_sub(1);
        self.at += 1;
    }

    /// Reads a member's name and the colon behind it.
    fn name(&mut self) -> Result<Text<'a>, Malformed> {
        let name = self.string()?;
        if self.look() != Some(b':') {
            return Err(Malformed::Grammar);
        }
        self.at += 1;
        Ok(name)
    }

    fn word(&mut self, word: &'static str) -> Result<(), Malformed> {
        let rest = self.text.get(self.at..).ok_or(Malformed::Grammar)?;
        if !rest.starts_with(word) {
            return Err(Malformed::Grammar);
        }
        self.at += word.len();
        Ok(())
    }
}

#[cfg(test)]
mod tests;
