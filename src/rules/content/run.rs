//! Steps through the automaton of one regular expression, from several beginnings at once.
//!
//! One thread for each state, that of the earliest beginning: so the work for a byte is bounded by the size of
//! the expression, whatever the text.

use regex_automata::nfa::thompson::{NFA, State};
use regex_automata::util::primitives::StateID;

use super::edge::{Edge, is_start};

/// The threads of one expression, those that began first in front.
#[derive(Debug, Clone, Default)]
pub(super) struct Run {
    threads: Vec<Thread>,
}

#[derive(Debug, Clone, Copy)]
struct Thread {
    state: StateID,
    /// Where the match would begin.
    start: usize,
}

/// What the work needs and nobody has to remember.
#[derive(Debug, Clone, Default)]
pub(super) struct Scratch {
    /// A bit for each state that has been entered.
    seen: Vec<u64>,
    entered: Vec<StateID>,
    stack: Vec<StateID>,
    threads: Vec<Thread>,
}

impl Scratch {
    /// Whether a state is entered for the first time.
    fn is_new(&mut self, state: StateID) -> bool {
        let (word, bit) = (state.as_usize() / 64, 1 << (state.as_usize() % 64));
        if word >= self.seen.len() {
            self.seen.resize(word + 1, 0);
        }
        match self.seen.get_mut(word) {
            Some(seen) if *seen & bit == 0 => {
                *seen |= bit;
                self.entered.push(state);
                true
            }
            Some(_) | None => false,
        }
    }

    /// Forgets which states have been entered.
    fn forget(&mut self) {
        for state in self.entered.drain(..) {
            if let Some(seen) = self.seen.get_mut(state.as_usize() / 64) {
                *seen = 0;
            }
        }
    }
}

impl Run {
    /// Whether nothing can come of it.
    pub(super) fn is_over(&self) -> bool {
        self.threads.is_empty()
    }

    /// Where the earliest match that may still come of it would begin.
    pub(super) fn start(&self) -> Option<usize> {
        self.threads.first().map(|thread| thread.start)
    }

    /// Counts places from `by` bytes further on.
    pub(super) fn shift(&mut self, by: usize) {
        for thread in &mut self.threads {
            thread.start = thread.start.saturating_sub(by);
        }
    }

    /// A match may begin at `start`, which is here.
    pub(super) fn begin(&mut self, nfa: &NFA, start: usize, scratch: &mut Scratch) {
        for thread in &self.threads {
            scratch.is_new(thread.state);
        }
        let mut threads = std::mem::take(&mut self.threads);
        // No expression matches nothing, so none has matched here.
        let _ = enter(nfa, Thread { state: nfa.start_anchored(), start }, None, scratch, &mut threads);
        self.threads = threads;
        scratch.forget();
    }

    /// Begins at `start` and reads the text from there up to `end`. Returns where a match begins that ends there.
    pub(super) fn catch_up(
        nfa: &NFA,
        text: &[u8],
        start: usize,
        end: usize,
        scratch: &mut Scratch,
    ) -> (Self, Option<usize>) {
        let (mut run, mut found) = (Self::default(), None);
        run.begin(nfa, start, scratch);
        for (at, byte) in text.iter().enumerate().take(end).skip(start) {
            if is_start(*byte) {
                found = found.or(run.settle(nfa, || Edge::of(text, at), scratch));
            }
            found = found.or(run.step(nfa, *byte, scratch));
        }
        (run, found)
    }

    /// Takes the threads of another run in.
    pub(super) fn join(&mut self, other: Self, scratch: &mut Scratch) {
        self.threads.extend(other.threads);
        self.threads.sort_by_key(|thread| thread.start);
        self.threads.retain(|thread| scratch.is_new(thread.state));
        scratch.forget();
    }

    /// Goes on across the place between two characters. Returns where a match begins that ends here.
    pub(super) fn settle(
        &mut self,
        nfa: &NFA,
        edge: impl FnOnce() -> Edge,
        scratch: &mut Scratch,
    ) -> Option<usize> {
        let waits = |thread: &Thread| matches!(nfa.state(thread.state), State::Look { .. });
        if !self.threads.iter().any(waits) {
            return None;
        }
        let edge = edge();
        let mut found = None;
        let mut threads = std::mem::take(&mut scratch.threads);
        for thread in self.threads.drain(..) {
            found = found.or(enter(nfa, thread, Some(edge), scratch, &mut threads));
        }
        scratch.forget();
        std::mem::swap(&mut self.threads, &mut threads);
        scratch.threads = threads;
        found
    }

    /// Reads one byte. Returns where a match begins that ends behind it.
    pub(super) fn step(&mut self, nfa: &NFA, byte: u8, scratch: &mut Scratch) -> Option<usize> {
        let mut found = None;
        let mut threads = std::mem::take(&mut scratch.threads);
        for Thread { state, start } in self.threads.drain(..) {
            let next = match nfa.state(state) {
                State::ByteRange { trans } if trans.matches_byte(byte) => Some(trans.next),
                State::Sparse(sparse) => sparse.matches_byte(byte),
                State::Dense(dense) => dense.matches_byte(byte),
                // The others take no byte; a place that was asked for was not there.
                State::ByteRange { .. }
                | State::Look { .. }
                | State::Union { .. }
                | State::BinaryUnion { .. }
                | State::Capture { .. }
                | State::Fail
                | State::Match { .. } => None,
            };
            if let Some(state) = next {
                found = found.or(enter(nfa, Thread { state, start }, None, scratch, &mut threads));
            }
        }
        scratch.forget();
        std::mem::swap(&mut self.threads, &mut threads);
        scratch.threads = threads;
        found
    }
}

/// Follows what takes no byte. What asks for a place waits when `edge` is not known. Returns the start of the
/// thread if it has matched.
fn enter(
    nfa: &NFA,
    thread: Thread,
    edge: Option<Edge>,
    scratch: &mut Scratch,
    threads: &mut Vec<Thread>,
) -> Option<usize> {
    let mut found = None;
    let mut stack = std::mem::take(&mut scratch.stack);
    stack.push(thread.state);
    while let Some(state) = stack.pop() {
        if !scratch.is_new(state) {
            continue;
        }
        match nfa.state(state) {
            State::ByteRange { .. } | State::Sparse(_) | State::Dense(_) => {
                threads.push(Thread { state, ..thread });
            }
            State::Look { look, next } => match edge {
                None => threads.push(Thread { state, ..thread }),
                Some(edge) if edge.allows(*look) => stack.push(*next),
                Some(_) => {}
            },
            State::Union { alternates } => stack.extend(alternates.iter().rev()),
            State::BinaryUnion { alt1, alt2 } => stack.extend([*alt2, *alt1]),
            State::Capture { next, .. } => stack.push(*next),
            State::Fail => {}
            State::Match { .. } => found = Some(thread.start),
        }
    }
    scratch.stack = stack;
    found
}
