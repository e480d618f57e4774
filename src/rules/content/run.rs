//! Steps through the automaton of many regular expressions, from several beginnings at once.
//!
//! One thread for each state, that of the earliest beginning: so the work for a byte is bounded by the size of
//! the expressions, whatever the text.

use regex_automata::nfa::thompson::{NFA, State};
use regex_automata::util::primitives::StateID;

use super::automaton::{Automaton, Marks};
use super::edge::{Edge, is_start};

/// The threads, those that began first in front.
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
    marks: Marks,
    stack: Vec<StateID>,
    threads: Vec<Thread>,
}

impl Scratch {
    fn forget(&mut self) {
        self.marks.forget();
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

    /// How many threads there are.
    pub(super) fn width(&self) -> usize {
        self.threads.len()
    }

    /// Counts places from `by` bytes further on.
    pub(super) fn shift(&mut self, by: usize) {
        for thread in &mut self.threads {
            thread.start = thread.start.saturating_sub(by);
        }
    }

    /// A match may begin here, at `at`, where `byte` is the next to be read.
    pub(super) fn begin(
        &mut self,
        automaton: &Automaton,
        byte: u8,
        at: usize,
        edge: impl Fn() -> Edge,
        scratch: &mut Scratch,
    ) {
        for state in automaton.first(byte) {
            let thread = Thread { state: *state, start: at };
            if automaton.asks(*state) {
                // No expression matches nothing, so none has matched here.
                let _ = enter(automaton.nfa(), thread, Some(edge()), scratch, &mut self.threads);
            } else {
                self.threads.push(thread);
            }
        }
        scratch.forget();
    }

    /// Begins at `start` and reads the text from there up to `end`. Returns where a match begins that ends there.
    pub(super) fn catch_up(
        automaton: &Automaton,
        text: &[u8],
        start: usize,
        end: usize,
        scratch: &mut Scratch,
    ) -> (Self, Option<usize>) {
        let (mut run, mut found) = (Self::default(), None);
        for (at, byte) in text.iter().enumerate().take(end).skip(start) {
            let edge = || Edge::of(text, at);
            if at == start {
                run.begin(automaton, *byte, start, edge, scratch);
            } else if is_start(*byte) {
                found = found.or(run.settle(automaton, edge, scratch));
            }
            found = found.or(run.step(automaton, *byte, scratch));
        }
        (run, found)
    }

    /// Takes the threads of another run in.
    pub(super) fn join(&mut self, other: Self, scratch: &mut Scratch) {
        self.threads.extend(other.threads);
        self.threads.sort_by_key(|thread| thread.start);
        self.threads.retain(|thread| scratch.marks.is_new(thread.state));
        scratch.forget();
    }

    /// Goes on across the place between two characters. Returns where a match begins that ends here.
    pub(super) fn settle(
        &mut self,
        automaton: &Automaton,
        edge: impl FnOnce() -> Edge,
        scratch: &mut Scratch,
    ) -> Option<usize> {
        let waits = |thread: &Thread| automaton.asks(thread.state);
        if !self.threads.iter().any(waits) {
            return None;
        }
        let edge = edge();
        let mut found = None;
        let mut threads = std::mem::take(&mut scratch.threads);
        for thread in self.threads.drain(..) {
            found = found.or(enter(automaton.nfa(), thread, Some(edge), scratch, &mut threads));
        }
        scratch.forget();
        std::mem::swap(&mut self.threads, &mut threads);
        scratch.threads = threads;
        found
    }

    /// Reads one byte. Returns where a match begins that ends behind it.
    pub(super) fn step(&mut self, automaton: &Automaton, byte: u8, scratch: &mut Scratch) -> Option<usize> {
        let mut found = None;
        let mut threads = std::mem::take(&mut scratch.threads);
        for Thread { state, start } in self.threads.drain(..) {
            if let Some(state) = automaton.after(state, byte) {
                found =
                    found.or(enter(automaton.nfa(), Thread { state, start }, None, scratch, &mut threads));
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
        if !scratch.marks.is_new(state) {
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
