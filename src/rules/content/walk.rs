//! Walks through the automaton of many expressions as one state at a time, which stands for all that the text
//! may be in the middle of.
//!
//! What follows such a state is worked out once and looked up from then on, so that a byte costs the same however
//! many expressions there are. What is remembered has a bound, [`MAX_CACHE`]; a text that leads to ever new states
//! is given up on, and left to those who step through them.

use std::collections::HashMap;
use std::sync::Arc;

use regex_automata::nfa::thompson;
use regex_automata::util::primitives::StateID;

use super::automaton::{Automaton, Marks};
use super::edge::{Edge, is_start};
use super::work::Work;

/// The most that one walk remembers, about, in bytes.
const MAX_CACHE: usize = 2 * 1024 * 1024;
/// When so few bytes were read for each state that had to be worked out, remembering them is of no use.
const MIN_BYTES: usize = 8;
/// What a state costs besides what is in it, in bytes, about.
const STATE: usize = 120;
/// What working out a state costs besides what is in it, in units of work.
const NEW: usize = 16;

/// So many bytes of a beginning are read in a unit of work.
const READ: usize = 4;

/// Why a walk did not come to the end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Halt {
    /// It led to ever new states.
    Crowded,
    /// The work that was allowed is done.
    Tired,
}

/// Where a walk stands: the row of the table, or nothing more to be looked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct State(u32);

impl State {
    /// Has not been worked out.
    const UNKNOWN: Self = Self(u32::MAX);
    /// A match has ended.
    const MATCH: Self = Self(u32::MAX - 1);
    /// In a state that asks for a place, and for nothing else.
    const WAITS: u32 = 1 << 30;
    /// In both that are no rows.
    const SPECIAL: u32 = 1 << 31;
    /// The text is in the middle of nothing.
    pub(super) const EMPTY: Self = Self(0);

    fn row(self) -> usize {
        (self.0 & !Self::WAITS) as usize
    }

    fn is_special(self) -> bool {
        self.0 & Self::SPECIAL != 0
    }

    /// Whether a match has ended here.
    pub(super) fn is_match(self) -> bool {
        self == Self::MATCH
    }

    /// Whether what follows depends on the place.
    pub(super) fn waits(self) -> bool {
        self.0 & (Self::WAITS | Self::SPECIAL) == Self::WAITS
    }
}

/// What has been worked out.
#[derive(Debug, Default)]
pub(super) struct Cache {
    /// What follows each state, for each class of bytes and then for each kind of place.
    table: Vec<State>,
    /// What each row stands for, in order.
    sets: Vec<Arc<[StateID]>>,
    known: HashMap<Arc<[StateID]>, State>,
    joined: HashMap<(State, State), State>,
    /// The state that a match begins in.
    start: Option<State>,
    /// In bytes, about.
    size: usize,
    marks: Marks,
    stack: Vec<StateID>,
    next: Vec<StateID>,
}

/// A walk over one text.
#[derive(Debug)]
pub(super) struct Walk<'a> {
    automaton: &'a Automaton,
    cache: Cache,
    /// States that were worked out since `cleared`.
    new: usize,
    /// How often the cache had to be emptied.
    emptied: usize,
    /// How much of the text had been read then.
    cleared: usize,
}

impl Drop for Walk<'_> {
    fn drop(&mut self) {
        self.automaton.keep(std::mem::take(&mut self.cache));
    }
}

impl<'a> Walk<'a> {
    pub(super) fn new(automaton: &'a Automaton) -> Self {
        Self { automaton, cache: automaton.cache(), new: 0, emptied: 0, cleared: 0 }
    }

    /// Whether a match stands anywhere in a text.
    ///
    /// # Errors
    /// It was not read to the end.
    pub(super) fn finds(&mut self, text: &[u8], work: &mut Work) -> Result<bool, Halt> {
        let mut state = self.begin(0, work)?;
        for (at, byte) in text.iter().enumerate() {
            if state.waits() && is_start(*byte) {
                state = self.settle(state, Edge::of(text, at), at, work)?;
                if state.is_match() {
                    return Ok(true);
                }
            }
            state = self.step(state, *byte, at, work)?;
            if state.is_match() {
                return Ok(true);
            }
        }
        let end = text.len();
        Ok(state.waits() && self.settle(state, Edge::of(text, end), end, work)?.is_match())
    }

    /// Takes a beginning up that stands between `start` and `at`.
    ///
    /// # Errors
    /// It was given up on.
    pub(super) fn take_up(
        &mut self,
        state: State,
        text: &[u8],
        start: usize,
        at: usize,
        work: &mut Work,
    ) -> Result<State, Halt> {
        // All of it is read once more, for each beginning that ends here.
        work.spend(at.saturating_sub(start) / READ + 1)?;
        let before = self.cache.sets.get(self.index(state)).cloned().unwrap_or_default();
        let emptied = self.emptied;
        let mut begun = self.begin(at, work)?;
        for (place, byte) in text.iter().enumerate().take(at).skip(start) {
            if begun.waits() && is_start(*byte) {
                begun = self.settle(begun, Edge::of(text, place), at, work)?;
            }
            begun = self.step(begun, *byte, at, work)?;
            if begun.is_match() {
                return Ok(begun);
            }
        }
        if before.is_empty() {
            return Ok(begun);
        }
        // Once it was emptied, what was a state is none.
        if emptied == self.emptied {
            if begun == state {
                return Ok(begun);
            }
            if let Some(known) = self.cache.joined.get(&(state, begun)) {
                return Ok(*known);
            }
        }
        let other = self.cache.sets.get(self.index(begun)).cloned().unwrap_or_default();
        self.cache.next.clear();
        self.cache.next.extend(before.iter().chain(other.iter()));
        let joined = self.enter(at, work)?;
        // One that was known already came without a look at what fits.
        if emptied == self.emptied && self.cache.size <= MAX_CACHE {
            self.cache.joined.insert((state, begun), joined);
            self.cache.size += STATE;
        }
        Ok(joined)
    }

    /// Reads a byte, the one at `at`.
    ///
    /// # Errors
    /// It was given up on.
    #[inline]
    pub(super) fn step(&mut self, state: State, byte: u8, at: usize, work: &mut Work) -> Result<State, Halt> {
        let column = self.automaton.class(byte);
        match self.cache.table.get(state.row() + column) {
            Some(known) if *known != State::UNKNOWN => Ok(*known),
            Some(_) | None => self.work_out(state, column, Cause::Byte(byte), at, work),
        }
    }

    /// Goes on across the place between two characters.
    ///
    /// # Errors
    /// It was given up on.
    #[inline]
    pub(super) fn settle(
        &mut self,
        state: State,
        edge: Edge,
        at: usize,
        work: &mut Work,
    ) -> Result<State, Halt> {
        let column = self.automaton.classes() + edge.kind();
        match self.cache.table.get(state.row() + column) {
            Some(known) if *known != State::UNKNOWN => Ok(*known),
            Some(_) | None => self.work_out(state, column, Cause::Place(edge), at, work),
        }
    }

    fn stride(&self) -> usize {
        self.automaton.classes() + Edge::KINDS
    }

    /// Which of the sets a state stands for.
    fn index(&self, state: State) -> usize {
        if state.is_special() { usize::MAX } else { state.row() / self.stride() }
    }

    #[cold]
    fn work_out(
        &mut self,
        state: State,
        column: usize,
        cause: Cause,
        at: usize,
        work: &mut Work,
    ) -> Result<State, Halt> {
        let set = self.cache.sets.get(self.index(state)).cloned().unwrap_or_default();
        work.spend(set.len() + NEW)?;
        self.cache.next.clear();
        let mut end = End::Open;
        for id in set.iter() {
            let (from, edge) = match cause {
                Cause::Byte(byte) => match self.automaton.after(*id, byte) {
                    Some(next) => (next, None),
                    None => continue,
                },
                Cause::Place(edge) => (*id, Some(edge)),
            };
            if self.cache.reach(self.automaton.nfa(), from, edge) == End::Match {
                end = End::Match;
                break;
            }
        }
        self.cache.marks.forget();
        let emptied = self.emptied;
        let next = match end {
            End::Match => State::MATCH,
            End::Open => self.enter(at, work)?,
        };
        if emptied == self.emptied
            && let Some(slot) = self.cache.table.get_mut(state.row() + column)
        {
            *slot = next;
        }
        Ok(next)
    }

    /// The state that a match may begin in.
    fn begin(&mut self, at: usize, work: &mut Work) -> Result<State, Halt> {
        if let Some(known) = self.cache.start {
            return Ok(known);
        }
        self.cache.next.clear();
        // No expression matches nothing.
        let _ = self.cache.reach(self.automaton.nfa(), self.automaton.start(), None);
        self.cache.marks.forget();
        let start = self.enter(at, work)?;
        self.cache.start = Some(start);
        Ok(start)
    }

    /// The state that stands for what is in `next`.
    fn enter(&mut self, at: usize, work: &mut Work) -> Result<State, Halt> {
        if self.cache.sets.is_empty() {
            self.add(Arc::default());
        }
        self.cache.next.sort_unstable();
        self.cache.next.dedup();
        if let Some(known) = self.cache.known.get(self.cache.next.as_slice()) {
            return Ok(*known);
        }
        let set: Arc<[StateID]> = self.cache.next.as_slice().into();
        work.spend(set.len() + NEW)?;
        if self.cache.size > MAX_CACHE {
            let of_use = at.saturating_sub(self.cleared) >= self.new * MIN_BYTES;
            let first = self.emptied == 0;
            self.cache.clear();
            self.emptied += 1;
            self.cleared = at;
            self.new = 0;
            if !of_use && !first {
                return Err(Halt::Crowded);
            }
            self.add(Arc::default());
        }
        self.new += 1;
        Ok(self.add(set))
    }

    fn add(&mut self, set: Arc<[StateID]>) -> State {
        let row = self.cache.table.len();
        self.cache.table.resize(row + self.stride(), State::UNKNOWN);
        self.cache.size += size_of_val(&*set) + self.stride() * size_of::<State>() + STATE;
        let waits = set.iter().any(|id| self.automaton.asks(*id));
        // The bound of the cache keeps it small enough.
        let state = State(u32::try_from(row).unwrap_or_default() | if waits { State::WAITS } else { 0 });
        self.cache.sets.push(set.clone());
        self.cache.known.insert(set, state);
        state
    }
}

/// What leads from one state to the next.
#[derive(Debug, Clone, Copy)]
enum Cause {
    Byte(u8),
    Place(Edge),
}

/// What became of a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    Open,
    Match,
}

impl Cache {
    fn clear(&mut self) {
        self.table.clear();
        self.sets.clear();
        self.known.clear();
        self.joined.clear();
        self.start = None;
        self.size = 0;
    }

    /// Adds to `next` what can be reached without a byte. What asks for a place waits when `edge` is not known.
    fn reach(&mut self, nfa: &thompson::NFA, from: StateID, edge: Option<Edge>) -> End {
        self.stack.push(from);
        while let Some(state) = self.stack.pop() {
            if !self.marks.is_new(state) {
                continue;
            }
            match nfa.state(state) {
                thompson::State::ByteRange { .. }
                | thompson::State::Sparse(_)
                | thompson::State::Dense(_) => {
                    self.next.push(state);
                }
                thompson::State::Look { look, next } => match edge {
                    None => self.next.push(state),
                    Some(edge) if edge.allows(*look) => self.stack.push(*next),
                    Some(_) => {}
                },
                thompson::State::Union { alternates } => self.stack.extend(alternates.iter()),
                thompson::State::BinaryUnion { alt1, alt2 } => self.stack.extend([*alt1, *alt2]),
                thompson::State::Capture { next, .. } => self.stack.push(*next),
                thompson::State::Fail => {}
                thompson::State::Match { .. } => {
                    self.stack.clear();
                    return End::Match;
                }
            }
        }
        End::Open
    }
}
