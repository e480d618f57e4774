//! A text that comes in pieces and goes on as soon as nothing forbidden can still stand in it.
//!
//! Promises that what has gone on is never part of a match, that what goes on before a match is all that stands
//! before it, and that neither depends on how the text was cut. What is kept is bounded: by the longest match,
//! and for texts that are made to be kept by [`MAX_KEPT`].

use std::collections::VecDeque;

use super::escape::{self, Unit};
use super::fold::Folder;
use super::matcher::Matcher;
use super::scan::Scan;
use crate::wire::sieve::Writing;

/// The most of one text that is kept, in bytes. Only what shows nothing, or runs of white space in the middle
/// of what might be forbidden, comes so far; then the text is taken for forbidden.
const MAX_KEPT: usize = 64 * 1024;

/// What has been found in a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub(super) enum Found {
    Nothing,
    /// Something forbidden, or too much that might be.
    Match,
}

/// One text.
#[derive(Debug, Clone)]
pub(super) struct Flow {
    writing: Writing,
    /// As it came: what has not gone on, or may begin what is forbidden all the same.
    kept: String,
    /// So many bytes of it have gone on.
    gone: usize,
    /// How much of that has been handed to the folder.
    read: usize,
    folder: Folder,
    /// In so many bytes was the letter written that waits in the folder.
    waiting: usize,
    /// What is kept, folded, behind one character that has gone on.
    folded: Vec<u8>,
    /// How long that character is; 0 at the beginning of the text.
    context: usize,
    /// What the parts of `kept` were folded to, in order.
    steps: VecDeque<Step>,
    scan: Scan,
}

/// A few characters, and what they were folded to; lengths in bytes.
#[derive(Debug, Clone, Copy)]
struct Step {
    written: usize,
    folded: usize,
}

impl Flow {
    pub(super) fn new(writing: Writing) -> Self {
        Self {
            writing,
            kept: String::new(),
            gone: 0,
            read: 0,
            folder: Folder::default(),
            waiting: 0,
            folded: Vec::new(),
            context: 0,
            steps: VecDeque::new(),
            scan: Scan::default(),
        }
    }

    /// Takes the next piece, and adds to `out` what may go on.
    pub(super) fn push(&mut self, matcher: &Matcher, piece: &str, out: &mut String) -> Found {
        self.kept.push_str(piece);
        let from = self.folded.len();
        while let Some(Unit::Char(c, length)) = self.next() {
            self.fold(c, length);
        }
        if let Some(start) = self.scan.feed(matcher, &self.folded, from) {
            self.let_go(start, out);
            return Found::Match;
        }
        self.let_go(self.scan.hold(matcher, self.folded.len()), out);
        if self.kept.len() > MAX_KEPT { Found::Match } else { Found::Nothing }
    }

    /// Another text goes on in the place of this one, for now or for ever: adds to `out` what may go on if it ends
    /// here, and nothing otherwise. What may follow is matched with it all the same.
    pub(super) fn settle(&mut self, matcher: &Matcher, out: &mut String) {
        let mut rest = String::new();
        match self.clone().finish(matcher, &mut rest) {
            Found::Nothing => {
                out.push_str(&rest);
                self.gone = self.kept.len();
            }
            Found::Match => {}
        }
    }

    /// The text has ended; adds to `out` what may still go on of it.
    pub(super) fn finish(mut self, matcher: &Matcher, out: &mut String) -> Found {
        let from = self.folded.len();
        while let Some(unit) = self.next() {
            match unit {
                Unit::Char(c, length) => self.fold(c, length),
                // It never ends, so it is none.
                Unit::Open => self.fold('\\', 1),
            }
        }
        let before = self.folded.len();
        self.folder.finish(&mut self.folded);
        self.steps.push_back(Step { written: self.waiting, folded: self.folded.len() - before });
        let found = self.scan.feed(matcher, &self.folded, from);
        match found.or_else(|| self.scan.finish(matcher, &self.folded)) {
            Some(start) => {
                self.let_go(start, out);
                Found::Match
            }
            None => {
                out.push_str(self.kept.get(self.gone..).unwrap_or_default());
                Found::Nothing
            }
        }
    }

    /// The next character that has not been read.
    fn next(&self) -> Option<Unit> {
        let rest = self.kept.get(self.read..)?;
        match self.writing {
            Writing::Plain => rest.chars().next().map(|c| Unit::Char(c, c.len_utf8())),
            Writing::Json => escape::first(rest),
        }
    }

    /// Folds a character that was written in so many bytes.
    fn fold(&mut self, c: char, written: usize) {
        self.read += written;
        let before = self.folded.len();
        let Some(own) = self.folder.push(c, &mut self.folded) else {
            // It belongs to what stands before it.
            match self.folder.is_open() {
                true => self.waiting += written,
                false => self.steps.push_back(Step { written, folded: 0 }),
            }
            return;
        };
        if self.waiting > 0 {
            self.steps.push_back(Step { written: self.waiting, folded: own - before });
        }
        // Of a letter that waits, all but its last part may have been folded.
        let now = if self.folder.is_open() { 0 } else { written };
        self.waiting = written - now;
        self.steps.push_back(Step { written: now, folded: self.folded.len() - own });
    }

    /// Lets go on what stands before `hold`, a place in the folded text.
    fn let_go(&mut self, hold: usize, out: &mut String) {
        let (mut written, mut folded) = (0, self.context);
        while let Some(step) = self.steps.front().filter(|step| folded + step.folded <= hold) {
            written += step.written;
            folded += step.folded;
            self.steps.pop_front();
        }
        let gone = self.gone.min(written);
        out.push_str(self.kept.get(gone..written).unwrap_or_default());
        self.kept.drain(..written);
        self.gone -= gone;
        self.read -= written;
        if folded == self.context {
            return;
        }
        // The last character stays, for what asks what stands before it.
        let gone =
            self.folded.iter().take(folded).rposition(|byte| super::edge::is_start(*byte)).unwrap_or(0);
        self.folded.drain(..gone);
        self.context = folded - gone;
        self.scan.shift(gone);
    }
}

#[cfg(test)]
mod tests;
