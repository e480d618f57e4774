//! How patterns begin: one automaton that finds all beginnings in one pass.

use std::collections::HashMap;

use aho_corasick::automaton::{Automaton, StateID};
use aho_corasick::nfa::contiguous;
use aho_corasick::{Anchored, MatchKind, StartKind, dfa};

/// Beginnings of so many bytes together get the faster automaton, of some hundred bytes for each.
const MAX_FAST: usize = 32 * 1024;

/// All beginnings.
#[derive(Debug)]
pub(super) struct Heads {
    automaton: Engine,
    start: StateID,
    /// What begins so, each once; indexed as the automaton's own.
    owners: Vec<Vec<Owner>>,
    /// How much of a beginning has been read in each state.
    depths: HashMap<StateID, usize>,
}

#[derive(Debug)]
enum Engine {
    Fast(Box<dfa::DFA>),
    Small(Box<contiguous::NFA>),
}

/// What a beginning belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Owner {
    /// Nothing follows: the beginning is all of it.
    Text,
    /// The end of a word follows.
    Word,
    /// Expressions, of which the automaton of all of them knows what follows.
    Expression,
}

/// A beginning that has been found.
#[derive(Debug, Clone, Copy)]
pub(super) struct Head {
    pub(super) owner: Owner,
    pub(super) length: usize,
}

impl Heads {
    /// From every beginning with its owner; none may be empty. `None` when there are none, or more than fit
    /// into an automaton.
    pub(super) fn new(all: &[(Vec<u8>, Owner)]) -> Option<Self> {
        let mut texts: Vec<&[u8]> = Vec::new();
        let mut owners: Vec<Vec<Owner>> = Vec::new();
        let mut known: HashMap<&[u8], usize> = HashMap::new();
        for (text, owner) in all {
            let at = *known.entry(text).or_insert_with(|| {
                texts.push(text);
                owners.push(Vec::new());
                texts.len() - 1
            });
            let owners = owners.get_mut(at)?;
            if !owners.contains(owner) {
                owners.push(*owner);
            }
        }
        if texts.is_empty() {
            return None;
        }
        let kind = MatchKind::Standard;
        let automaton = if texts.iter().map(|text| text.len()).sum::<usize>() <= MAX_FAST {
            let mut builder = dfa::Builder::new();
            builder.match_kind(kind).start_kind(StartKind::Unanchored).prefilter(false);
            Engine::Fast(Box::new(builder.build(&texts).ok()?))
        } else {
            Engine::Small(Box::new(
                contiguous::Builder::new().match_kind(kind).prefilter(false).build(&texts).ok()?,
            ))
        };
        let start = automaton.start()?;
        let mut depths = HashMap::new();
        for text in texts {
            let mut state = start;
            for (byte, depth) in text.iter().zip(1..) {
                state = automaton.next(state, *byte);
                depths.insert(state, depth);
            }
        }
        Some(Self { automaton, start, owners, depths })
    }

    pub(super) fn start(&self) -> StateID {
        self.start
    }

    /// Reads one byte.
    pub(super) fn step(&self, state: &mut StateID, byte: u8) {
        *state = self.automaton.next(*state, byte);
    }

    /// Reads until a beginning ends or the bytes do. Returns how many bytes were read, if one has ended.
    pub(super) fn advance(&self, state: &mut StateID, bytes: &[u8]) -> Option<usize> {
        match &self.automaton {
            Engine::Fast(automaton) => advance(&**automaton, state, bytes),
            Engine::Small(automaton) => advance(&**automaton, state, bytes),
        }
    }

    /// The beginnings that end in this state.
    pub(super) fn ended(&self, state: StateID) -> impl Iterator<Item = Head> + '_ {
        let found = self.automaton.found(state);
        found.flat_map(|(at, length)| {
            let owners = self.owners.get(at).map(Vec::as_slice).unwrap_or_default();
            owners.iter().map(move |owner| Head { owner: *owner, length })
        })
    }

    /// How many of the last bytes may begin a pattern.
    pub(super) fn depth(&self, state: StateID) -> usize {
        self.depths.get(&state).copied().unwrap_or(0)
    }
}

impl Engine {
    fn start(&self) -> Option<StateID> {
        match self {
            Self::Fast(automaton) => automaton.start_state(Anchored::No).ok(),
            Self::Small(automaton) => automaton.start_state(Anchored::No).ok(),
        }
    }

    fn next(&self, state: StateID, byte: u8) -> StateID {
        match self {
            Self::Fast(automaton) => automaton.next_state(Anchored::No, state, byte),
            Self::Small(automaton) => automaton.next_state(Anchored::No, state, byte),
        }
    }

    /// The texts that end in a state: which, and how long they are.
    fn found(&self, state: StateID) -> impl Iterator<Item = (usize, usize)> + '_ {
        let count = match self {
            Self::Fast(automaton) if automaton.is_match(state) => automaton.match_len(state),
            Self::Small(automaton) if automaton.is_match(state) => automaton.match_len(state),
            Self::Fast(_) | Self::Small(_) => 0,
        };
        (0..count).map(move |index| match self {
            Self::Fast(automaton) => {
                let pattern = automaton.match_pattern(state, index);
                (pattern.as_usize(), automaton.pattern_len(pattern))
            }
            Self::Small(automaton) => {
                let pattern = automaton.match_pattern(state, index);
                (pattern.as_usize(), automaton.pattern_len(pattern))
            }
        })
    }
}

fn advance(automaton: &impl Automaton, state: &mut StateID, bytes: &[u8]) -> Option<usize> {
    let mut now = *state;
    for (byte, read) in bytes.iter().zip(1..) {
        now = automaton.next_state(Anchored::No, now, *byte);
        if automaton.is_special(now) && automaton.is_match(now) {
            *state = now;
            return Some(read);
        }
    }
    *state = now;
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn heads(texts: &[&str]) -> Heads {
        let all: Vec<_> = texts.iter().map(|text| (text.as_bytes().to_vec(), Owner::Word)).collect();
        Heads::new(&all).unwrap()
    }

    fn found<'a>(heads: &Heads, text: &'a str) -> Vec<(usize, &'a str)> {
        let (mut state, mut at, mut all) = (heads.start(), 0, Vec::new());
        while let Some(read) = heads.advance(&mut state, &text.as_bytes()[at..]) {
            at += read;
            all.extend(heads.ended(state).map(|head| (at - head.length, &text[at - head.length..at])));
        }
        all.sort_unstable();
        all
    }

    #[test]
    fn every_beginning_is_found_also_inside_of_another() {
        let texts = ["he", "she", "hers", "he"];
        let expected = [(0, "she"), (1, "he"), (6, "he"), (6, "hers")];
        assert_eq!(found(&heads(&texts), "she   hers"), expected);
        // The same in the smaller automaton.
        let many: Vec<_> = (0..5000).map(|n| format!("filler{n}")).collect();
        let texts: Vec<&str> = texts.into_iter().chain(many.iter().map(String::as_str)).collect();
        assert_eq!(found(&heads(&texts), "she   hers"), expected);
        assert!(Heads::new(&[]).is_none());
    }

    #[test]
    fn each_kind_of_owner_is_told_once() {
        let all = [Owner::Expression, Owner::Text, Owner::Expression].map(|owner| (b"ab".to_vec(), owner));
        let heads = Heads::new(&all).unwrap();
        let mut state = heads.start();
        assert_eq!(heads.advance(&mut state, b"xab"), Some(3));
        let owners: Vec<_> = heads.ended(state).map(|head| (head.owner, head.length)).collect();
        assert_eq!(owners, [(Owner::Expression, 2), (Owner::Text, 2)]);
    }

    #[test]
    fn a_state_tells_how_much_of_a_beginning_has_been_read() {
        let heads = heads(&["bomb", "omen"]);
        for (text, depth) in
            [("", 0), ("x", 0), ("b", 1), ("xbom", 3), ("bome", 3), ("bomex", 0), ("bomb", 4), ("bombb", 1)]
        {
            let mut state = heads.start();
            text.bytes().for_each(|byte| heads.step(&mut state, byte));
            assert_eq!(heads.depth(state), depth, "{text}");
        }
    }
}
