//! One pass over a folded text: does anything forbidden stand in it, and from where on may something that has
//! not ended yet?
//!
//! The text may come in pieces. What is found does not depend on how it was cut: the first match to end is
//! found, and of those that end together the one that begins first.

use aho_corasick::automaton::StateID;

use super::edge::{Edge, is_start};
use super::heads::Owner;
use super::matcher::Matcher;
use super::run::{Run, Scratch};

/// A pass under way. Places are counted from the beginning of the text that is handed in, which may lack what
/// stood before [`hold`](Self::hold), but for one character.
#[derive(Debug, Clone, Default)]
pub(super) struct Scan {
    /// Where the automaton of beginnings stands; `None` is at its start.
    heads: Option<StateID>,
    /// Words that stand there if nothing of a word follows: where they begin.
    words: Vec<usize>,
    /// The expressions that begin with one of the heads.
    headed: Run,
    /// The expressions that begin with anything.
    loose: Run,
    scratch: Scratch,
}

impl Scan {
    /// Reads the text from `from` on. Returns where the first match begins.
    pub(super) fn feed(&mut self, matcher: &Matcher, text: &[u8], from: usize) -> Option<usize> {
        let mut at = from;
        while let Some(byte) = text.get(at) {
            if self.words.is_empty() && self.headed.is_over() && matcher.loose().is_none() {
                at += self.find_head(matcher, text.get(at..).unwrap_or_default())?;
                if let Some(start) = self.begin(matcher, text, at) {
                    return Some(start);
                }
                continue;
            }
            if is_start(*byte) {
                if let Some(start) = self.settle(matcher, || Edge::of(text, at)) {
                    return Some(start);
                }
                if let Some(loose) = matcher.loose() {
                    self.loose.begin(loose, *byte, at, || Edge::of(text, at), &mut self.scratch);
                }
            }
            let ended = self.step(matcher, *byte);
            let headed = match matcher.heads() {
                Some(heads) => {
                    heads.step(self.heads.get_or_insert(heads.start()), *byte);
                    self.begin(matcher, text, at + 1)
                }
                None => None,
            };
            if let Some(start) = earlier(ended, headed) {
                return Some(start);
            }
            at += 1;
        }
        None
    }

    /// The text has ended. Returns where a match begins that this completes.
    pub(super) fn finish(&mut self, matcher: &Matcher, text: &[u8]) -> Option<usize> {
        self.settle(matcher, || Edge::of(text, text.len()))
    }

    /// From where on the text may be part of a match that has not ended. `end` is how much has been read.
    pub(super) fn hold(&self, matcher: &Matcher, end: usize) -> usize {
        let begun = match (matcher.heads(), self.heads) {
            (Some(heads), Some(state)) => heads.depth(state),
            (Some(_), None) | (None, _) => 0,
        };
        let words = self.words.iter().copied();
        let runs = [&self.headed, &self.loose].into_iter().filter_map(Run::start);
        words.chain(runs).fold(end.saturating_sub(begun), usize::min)
    }

    /// The first `by` bytes of the text will not be handed in again.
    pub(super) fn shift(&mut self, by: usize) {
        for start in &mut self.words {
            *start = start.saturating_sub(by);
        }
        self.headed.shift(by);
        self.loose.shift(by);
    }

    /// How much a byte costs now, in threads.
    pub(super) fn width(&self) -> usize {
        self.words.len() + self.headed.width() + self.loose.width()
    }

    /// Reads up to where a beginning ends. Returns how much was read, if there is one.
    fn find_head(&mut self, matcher: &Matcher, text: &[u8]) -> Option<usize> {
        let heads = matcher.heads()?;
        heads.advance(self.heads.get_or_insert(heads.start()), text)
    }

    /// Takes up the beginnings that end at `at`. Returns where the first match begins that ends there, too.
    fn begin(&mut self, matcher: &Matcher, text: &[u8], at: usize) -> Option<usize> {
        let (heads, state) = (matcher.heads()?, self.heads?);
        let mut found = None;
        for head in heads.ended(state) {
            let start = at.saturating_sub(head.length);
            match head.owner {
                Owner::Text => found = earlier(found, Some(start)),
                Owner::Word if Edge::of(text, start).splits() => self.words.push(start),
                Owner::Word => {}
                Owner::Expression => {
                    let (run, ended) = Run::catch_up(matcher.headed()?, text, start, at, &mut self.scratch);
                    found = earlier(found, ended);
                    self.headed.join(run, &mut self.scratch);
                }
            }
        }
        found
    }

    /// Decides what asked for the place between two characters.
    fn settle(&mut self, matcher: &Matcher, edge: impl Fn() -> Edge) -> Option<usize> {
        let mut found = None;
        if !self.words.is_empty() {
            if edge().splits() {
                found = self.words.iter().copied().min();
            }
            self.words.clear();
        }
        if let Some(headed) = matcher.headed() {
            found = earlier(found, self.headed.settle(headed, &edge, &mut self.scratch));
        }
        match matcher.loose() {
            Some(loose) => earlier(found, self.loose.settle(loose, &edge, &mut self.scratch)),
            None => found,
        }
    }

    fn step(&mut self, matcher: &Matcher, byte: u8) -> Option<usize> {
        let headed = matcher.headed().and_then(|all| self.headed.step(all, byte, &mut self.scratch));
        let loose = matcher.loose().and_then(|all| self.loose.step(all, byte, &mut self.scratch));
        earlier(headed, loose)
    }
}

fn earlier(one: Option<usize>, other: Option<usize>) -> Option<usize> {
    one.into_iter().chain(other).min()
}
