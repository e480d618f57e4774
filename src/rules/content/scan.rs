//! One pass over a folded text: does anything forbidden stand in it, and from where on may something that has
//! not ended yet?
//!
//! The text may come in pieces. What is found does not depend on how it was cut: the first match to end is
//! found, and of those that end together the one that begins first.

use aho_corasick::automaton::StateID;

use super::edge::{Edge, is_start};
use super::matcher::{Loose, Matcher, Program};
use super::run::{Run, Scratch};

/// A pass under way. Places are counted from the beginning of the text that is handed in, which may lack what
/// stood before [`hold`](Self::hold), but for one character.
#[derive(Debug, Clone, Default)]
pub(super) struct Scan {
    /// Where the automaton of beginnings stands; `None` is at its start.
    heads: Option<StateID>,
    /// Words that stand there if nothing of a word follows: where they begin.
    words: Vec<usize>,
    runs: Vec<(usize, Run)>,
    scratch: Scratch,
}

impl Scan {
    /// Reads the text from `from` on. `loose` are patterns that are begun at every character. Returns where the
    /// first match begins.
    pub(super) fn feed(
        &mut self,
        matcher: &Matcher,
        text: &[u8],
        from: usize,
        loose: &[Loose],
    ) -> Option<usize> {
        let mut at = from;
        while let Some(byte) = text.get(at) {
            if self.words.is_empty() && self.runs.is_empty() && loose.is_empty() {
                at += self.find_head(matcher, text.get(at..).unwrap_or_default())?;
                if let Some(start) = self.begin(matcher, text, at) {
                    return Some(start);
                }
                continue;
            }
            if is_start(*byte) {
                self.begin_loose(matcher, *byte, at, loose);
                if let Some(start) = self.settle(matcher, Edge::of(text, at)) {
                    return Some(start);
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
        self.settle(matcher, Edge::of(text, text.len()))
    }

    /// From where on the text may be part of a match that has not ended. `end` is how much has been read.
    pub(super) fn hold(&self, matcher: &Matcher, end: usize) -> usize {
        let begun = match (matcher.heads(), self.heads) {
            (Some(heads), Some(state)) => heads.depth(state),
            (Some(_), None) | (None, _) => 0,
        };
        let words = self.words.iter().copied();
        let runs = self.runs.iter().filter_map(|(_, run)| run.start());
        words.chain(runs).fold(end.saturating_sub(begun), usize::min)
    }

    /// The first `by` bytes of the text will not be handed in again.
    pub(super) fn shift(&mut self, by: usize) {
        for start in &mut self.words {
            *start = start.saturating_sub(by);
        }
        for (_, run) in &mut self.runs {
            run.shift(by);
        }
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
            match matcher.program(head.pattern)? {
                Program::Text => found = earlier(found, Some(start)),
                Program::Word if Edge::of(text, start).splits() => self.words.push(start),
                Program::Word => {}
                Program::Regex(nfa) => {
                    let (run, ended) = Run::catch_up(nfa, text, start, at, &mut self.scratch);
                    found = earlier(found, ended);
                    if run.is_over() {
                        continue;
                    }
                    match self.runs.iter_mut().find(|(pattern, _)| *pattern == head.pattern) {
                        Some((_, known)) => known.join(run, &mut self.scratch),
                        None => self.runs.push((head.pattern, run)),
                    }
                }
            }
        }
        found
    }

    fn begin_loose(&mut self, matcher: &Matcher, byte: u8, at: usize, loose: &[Loose]) {
        for one in loose.iter().filter(|one| one.may_begin_with(byte)) {
            let Some(Program::Regex(nfa)) = matcher.program(one.pattern) else { continue };
            let known = self.runs.iter().position(|(pattern, _)| *pattern == one.pattern);
            let known = known.unwrap_or_else(|| {
                self.runs.push((one.pattern, Run::default()));
                self.runs.len() - 1
            });
            if let Some((_, run)) = self.runs.get_mut(known) {
                run.begin(nfa, at, &mut self.scratch);
            }
        }
    }

    /// Decides what asked for the place between two characters.
    fn settle(&mut self, matcher: &Matcher, edge: Edge) -> Option<usize> {
        let mut found = None;
        if !self.words.is_empty() {
            if edge.splits() {
                found = self.words.iter().copied().min();
            }
            self.words.clear();
        }
        for (pattern, run) in &mut self.runs {
            if let Some(Program::Regex(nfa)) = matcher.program(*pattern) {
                found = earlier(found, run.settle(nfa, || edge, &mut self.scratch));
            }
        }
        found
    }

    fn step(&mut self, matcher: &Matcher, byte: u8) -> Option<usize> {
        let mut found = None;
        for (pattern, run) in &mut self.runs {
            if let Some(Program::Regex(nfa)) = matcher.program(*pattern) {
                found = earlier(found, run.step(nfa, byte, &mut self.scratch));
            }
        }
        self.runs.retain(|(_, run)| !run.is_over());
        found
    }
}

fn earlier(one: Option<usize>, other: Option<usize>) -> Option<usize> {
    one.into_iter().chain(other).min()
}
