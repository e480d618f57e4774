//! The automaton of many regular expressions.

use std::sync::{Mutex, PoisonError};

use regex_automata::nfa::thompson::{Compiler, NFA, State, WhichCaptures};
use regex_automata::util::primitives::StateID;
use regex_syntax::hir::Hir;

use super::factor::together;
use super::walk::Cache;

/// So many walks' caches are kept for later ones.
const MAX_KEPT: usize = 4;

/// Where a walk looks for matches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reach {
    /// Where it is told that one may begin.
    Told,
    Anywhere,
}

/// Several expressions, compiled as one.
#[derive(Debug)]
pub(super) struct Automaton {
    nfa: NFA,
    /// Where walks begin.
    start: StateID,
    /// For each class of bytes the states that a match may begin in with it: they read it, or ask for a place and
    /// may read it then.
    first: Vec<Vec<StateID>>,
    caches: Mutex<Vec<Cache>>,
}

impl Automaton {
    /// `None` if it takes more than `max` bytes.
    pub(super) fn new(all: &[Hir], reach: Reach, max: usize) -> Option<Self> {
        let config = NFA::config()
            .which_captures(WhichCaptures::None)
            .nfa_size_limit(Some(max))
            .utf8(false)
            .shrink(false);
        let nfa = Compiler::new().configure(config).build_from_hir(&together(all)).ok()?;
        let first = first(&nfa);
        let start = match reach {
            Reach::Told => nfa.start_anchored(),
            Reach::Anywhere => nfa.start_unanchored(),
        };
        Some(Self { nfa, start, first, caches: Mutex::default() })
    }

    pub(super) fn nfa(&self) -> &NFA {
        &self.nfa
    }

    pub(super) fn start(&self) -> StateID {
        self.start
    }

    /// How many classes of bytes there are that nothing tells apart.
    pub(super) fn classes(&self) -> usize {
        self.first.len()
    }

    pub(super) fn class(&self, byte: u8) -> usize {
        usize::from(self.nfa.byte_classes().get(byte))
    }

    /// The states that a match which begins with this byte may begin in.
    pub(super) fn first(&self, byte: u8) -> &[StateID] {
        self.first.get(self.class(byte)).map(Vec::as_slice).unwrap_or_default()
    }

    /// Whether a state asks for a place.
    pub(super) fn asks(&self, state: StateID) -> bool {
        matches!(self.nfa.state(state), State::Look { .. })
    }

    /// The state behind a byte, if this one reads it.
    pub(super) fn after(&self, state: StateID, byte: u8) -> Option<StateID> {
        after(&self.nfa, state, byte)
    }

    /// In how many ways, at the most, expressions go on behind one of these beginnings.
    pub(super) fn ways<'a>(&self, heads: impl Iterator<Item = &'a [u8]>) -> usize {
        let (nfa, mut marks) = (&self.nfa, Marks::default());
        let start = reached(nfa, [nfa.start_anchored()].into_iter(), Places::Passed, &mut marks);
        let count = |head: &[u8]| {
            let behind = head.iter().fold(start.clone(), |states, byte| {
                let next = states.into_iter().filter_map(|state| after(nfa, state, *byte));
                reached(nfa, next, Places::Passed, &mut marks)
            });
            behind.len()
        };
        heads.map(count).max().unwrap_or(0)
    }

    /// A cache of an earlier walk, or a new one.
    pub(super) fn cache(&self) -> Cache {
        self.caches.lock().unwrap_or_else(PoisonError::into_inner).pop().unwrap_or_default()
    }

    /// Keeps a cache for later.
    pub(super) fn keep(&self, cache: Cache) {
        let mut caches = self.caches.lock().unwrap_or_else(PoisonError::into_inner);
        if caches.len() < MAX_KEPT {
            caches.push(cache);
        }
    }
}

/// Which states have been entered.
#[derive(Debug, Clone, Default)]
pub(super) struct Marks {
    /// A bit for each.
    seen: Vec<u64>,
    entered: Vec<StateID>,
}

impl Marks {
    /// Whether a state is entered for the first time.
    pub(super) fn is_new(&mut self, state: StateID) -> bool {
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

    /// Forgets all of them.
    pub(super) fn forget(&mut self) {
        for state in self.entered.drain(..) {
            if let Some(seen) = self.seen.get_mut(state.as_usize() / 64) {
                *seen = 0;
            }
        }
    }
}

fn after(nfa: &NFA, state: StateID, byte: u8) -> Option<StateID> {
    match nfa.state(state) {
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
    }
}

/// The states that can be reached from these without a byte: those that read one, and those that ask for a place,
/// which are gone through if `places` says so.
fn reached(
    nfa: &NFA,
    from: impl Iterator<Item = StateID>,
    places: Places,
    marks: &mut Marks,
) -> Vec<StateID> {
    let (mut found, mut stack): (_, Vec<_>) = (Vec::new(), from.collect());
    while let Some(state) = stack.pop() {
        if !marks.is_new(state) {
            continue;
        }
        match (nfa.state(state), places) {
            (State::ByteRange { .. } | State::Sparse(_) | State::Dense(_), _)
            | (State::Look { .. }, Places::Kept) => found.push(state),
            (State::Look { next, .. }, Places::Passed) | (State::Capture { next, .. }, _) => {
                stack.push(*next)
            }
            (State::Union { alternates }, _) => stack.extend(alternates.iter()),
            (State::BinaryUnion { alt1, alt2 }, _) => stack.extend([*alt1, *alt2]),
            (State::Fail | State::Match { .. }, _) => {}
        }
    }
    marks.forget();
    found
}

/// What becomes of a state that asks for a place.
#[derive(Debug, Clone, Copy)]
enum Places {
    Kept,
    Passed,
}

fn first(nfa: &NFA) -> Vec<Vec<StateID>> {
    let bytes: Vec<u8> =
        nfa.byte_classes().representatives(0..=u8::MAX).filter_map(|unit| unit.as_u8()).collect();
    let (mut first, mut marks) = (vec![Vec::new(); bytes.len()], Marks::default());
    for state in reached(nfa, [nfa.start_anchored()].into_iter(), Places::Kept, &mut marks) {
        let readers = match nfa.state(state) {
            State::Look { next, .. } => reached(nfa, [*next].into_iter(), Places::Passed, &mut marks),
            _ => vec![state],
        };
        for (byte, first) in bytes.iter().zip(&mut first) {
            if readers.iter().any(|reader| after(nfa, *reader, *byte).is_some()) {
                first.push(state);
            }
        }
    }
    first
}
