//! All that a policy forbids, ready to be looked for in one pass.
//!
//! Words and expressions that begin with known letters are found by their beginnings, all at once; expressions
//! that begin with anything are first asked together whether any of them may match at all. So a text in which
//! nothing forbidden stands costs about the same, however many patterns there are.

use std::cell::RefCell;

use regex_automata::nfa::thompson::{NFA, State, WhichCaptures};
use regex_automata::{Input, MatchKind, PatternSet, meta};
use regex_syntax::hir::literal::{ExtractKind, Extractor};
use regex_syntax::hir::{Hir, HirKind, Repetition};

use super::fold::fold_into;
use super::heads::Heads;
use super::pattern::{Flaw, Kind, Pattern};
use super::scan::Scan;

/// The most that the patterns of one policy may take together, in bytes.
pub const MAX_SIZE: usize = 64 * 1024 * 1024;
/// An expression that can begin in more ways than this is taken to begin with anything.
const MAX_HEADS: usize = 64;
/// A beginning that is shorter than this is found too often to be of use, in bytes.
const MIN_HEAD: usize = 2;
/// And of a longer one so much is enough.
const MAX_HEAD: usize = 16;
/// What a thread keeps to fold texts in, in bytes; a larger room is given back.
const KEPT: usize = 256 * 1024;

thread_local! {
    /// Where texts are folded.
    static ROOM: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// What is forbidden.
#[derive(Debug)]
pub struct Matcher {
    programs: Vec<Program>,
    heads: Option<Heads>,
    loose: Vec<Loose>,
    gate: Option<meta::Regex>,
}

/// What follows the beginning of a pattern.
#[derive(Debug)]
pub(super) enum Program {
    /// Nothing: the beginning is all of it.
    Text,
    /// The end of a word.
    Word,
    Regex(NFA),
}

/// A pattern that can begin with many things.
#[derive(Debug, Clone)]
pub(super) struct Loose {
    pub(super) pattern: usize,
    first: Box<[bool; 256]>,
    /// Whether the gate leaves something open.
    asks_for_places: bool,
}

impl Loose {
    pub(super) fn may_begin_with(&self, byte: u8) -> bool {
        self.first.get(usize::from(byte)).copied().unwrap_or(false)
    }
}

impl Matcher {
    /// Puts patterns together.
    ///
    /// # Errors
    /// Together they are too large.
    pub fn new(patterns: Vec<Pattern>) -> Result<Self, Flaw> {
        let too_large = || {
            let wrong = format!("takes more than {} MiB when it is compiled", MAX_SIZE / 1024 / 1024);
            Flaw::new(wrong, "leave some of it out")
        };
        if patterns.iter().map(Pattern::size).sum::<usize>() > MAX_SIZE {
            return Err(too_large());
        }
        let (mut heads, mut loose, mut gates) = (Vec::new(), Vec::new(), Vec::new());
        let mut programs = Vec::with_capacity(patterns.len());
        for (index, Pattern(kind)) in patterns.into_iter().enumerate() {
            programs.push(match kind {
                Kind::Text(text) => {
                    heads.push((text.into_bytes(), index));
                    Program::Text
                }
                Kind::Word(text) => {
                    heads.push((text.into_bytes(), index));
                    Program::Word
                }
                Kind::Regex { hir, automaton } => {
                    match beginnings(&hir) {
                        Some(all) => heads.extend(all.into_iter().map(|head| (head, index))),
                        None => {
                            let asks_for_places = !hir.properties().look_set().is_empty();
                            loose.push(Loose { pattern: index, first: first(&automaton), asks_for_places });
                            gates.push(without_places(&hir));
                        }
                    }
                    Program::Regex(automaton)
                }
            });
        }
        let expected = !heads.is_empty();
        let heads = Heads::new(&heads);
        if expected && heads.is_none() {
            return Err(too_large());
        }
        let gate = if gates.is_empty() { None } else { Some(gate(&gates).ok_or_else(too_large)?) };
        Ok(Self { programs, heads, loose, gate })
    }

    /// Whether anything forbidden stands in a text.
    pub fn finds(&self, text: &str) -> bool {
        ROOM.with_borrow_mut(|room| {
            room.clear();
            fold_into(text, room);
            let found = self.finds_folded(room);
            if room.capacity() > KEPT {
                *room = Vec::new();
            }
            found
        })
    }

    fn finds_folded(&self, text: &[u8]) -> bool {
        let open = match &self.gate {
            Some(gate) if gate.is_match(text) => {
                let mut may = PatternSet::new(gate.pattern_len());
                gate.which_overlapping_matches(&Input::new(text), &mut may);
                let open: Vec<_> =
                    may.iter().filter_map(|at| self.loose.get(at.as_usize())).cloned().collect();
                if open.iter().any(|loose| !loose.asks_for_places) {
                    return true;
                }
                open
            }
            Some(_) | None => Vec::new(),
        };
        let mut scan = Scan::default();
        scan.feed(self, text, 0, &open).or_else(|| scan.finish(self, text)).is_some()
    }

    pub(super) fn heads(&self) -> Option<&Heads> {
        self.heads.as_ref()
    }

    pub(super) fn program(&self, pattern: usize) -> Option<&Program> {
        self.programs.get(pattern)
    }

    pub(super) fn loose(&self) -> &[Loose] {
        &self.loose
    }
}

/// What every match begins with one of, when that is little enough.
fn beginnings(hir: &Hir) -> Option<Vec<Vec<u8>>> {
    let mut extractor = Extractor::new();
    extractor.kind(ExtractKind::Prefix).limit_literal_len(MAX_HEAD).limit_total(MAX_HEADS);
    let all = extractor.extract(hir);
    let all = all.literals()?;
    let good = !all.is_empty() && all.iter().all(|head| head.len() >= MIN_HEAD);
    good.then(|| all.iter().map(|head| head.as_bytes().to_vec()).collect())
}

/// One expression for all of these, without what it asks of places.
fn gate(all: &[Hir]) -> Option<meta::Regex> {
    let config = meta::Config::new()
        .match_kind(MatchKind::All)
        .which_captures(WhichCaptures::None)
        .nfa_size_limit(Some(MAX_SIZE));
    meta::Builder::new().configure(config).build_many_from_hir(all).ok()
}

/// The same expression, which no longer minds where it stands: it matches all that it did, and more.
fn without_places(hir: &Hir) -> Hir {
    match hir.kind() {
        HirKind::Look(_) => Hir::empty(),
        HirKind::Empty | HirKind::Literal(_) | HirKind::Class(_) => hir.clone(),
        HirKind::Repetition(repetition) => {
            let sub = Box::new(without_places(&repetition.sub));
            Hir::repetition(Repetition { sub, ..repetition.clone() })
        }
        HirKind::Capture(capture) => without_places(&capture.sub),
        HirKind::Concat(parts) => Hir::concat(parts.iter().map(without_places).collect()),
        HirKind::Alternation(parts) => Hir::alternation(parts.iter().map(without_places).collect()),
    }
}

/// The bytes that a match can begin with.
fn first(nfa: &NFA) -> Box<[bool; 256]> {
    let mut bytes = Box::new([false; 256]);
    let mut seen = vec![false; nfa.states().len()];
    let mut stack = vec![nfa.start_anchored()];
    while let Some(state) = stack.pop() {
        match seen.get_mut(state.as_usize()) {
            Some(seen) if !*seen => *seen = true,
            Some(_) | None => continue,
        }
        let mut from_to = |from: u8, to: u8| {
            bytes.iter_mut().take(usize::from(to) + 1).skip(usize::from(from)).for_each(|may| *may = true);
        };
        match nfa.state(state) {
            State::ByteRange { trans } => from_to(trans.start, trans.end),
            State::Sparse(sparse) => sparse.transitions.iter().for_each(|t| from_to(t.start, t.end)),
            State::Dense(dense) => {
                for byte in (0..=u8::MAX).filter(|byte| dense.matches_byte(*byte).is_some()) {
                    from_to(byte, byte);
                }
            }
            State::Look { next, .. } | State::Capture { next, .. } => stack.push(*next),
            State::Union { alternates } => stack.extend(alternates.iter()),
            State::BinaryUnion { alt1, alt2 } => stack.extend([*alt1, *alt2]),
            State::Fail | State::Match { .. } => {}
        }
    }
    bytes
}

#[cfg(test)]
mod tests;
