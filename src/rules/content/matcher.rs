//! All that a policy forbids, ready to be looked for in one pass.
//!
//! Words and expressions that begin with known letters are found by their beginnings, all at once; expressions
//! that begin with anything are first asked together whether any of them may match at all. What follows a beginning
//! is looked up, one state for all expressions. So a text costs about the same, however many patterns there are.

use std::cell::RefCell;

use regex_syntax::hir::literal::{ExtractKind, Extractor};
use regex_syntax::hir::{Hir, HirKind, Repetition};

use super::automaton::{Automaton, Reach};
use super::edge::is_start;
use super::fold::fold_into;
use super::heads::{Heads, Owner};
use super::pattern::{Flaw, Kind, Pattern};
use super::scan::Scan;
use super::search;
use super::walk::{Halt, Walk};
use super::work::Work;

/// The most that the patterns of one policy may take together, in bytes.
pub const MAX_SIZE: usize = 64 * 1024 * 1024;
/// An expression that can begin in more ways than this is taken to begin with anything.
const MAX_HEADS: usize = 64;
/// A beginning that is shorter than this is found too often to be of use, in bytes.
const MIN_HEAD: usize = 2;
/// And of a longer one so much is enough.
const MAX_HEAD: usize = 16;
/// So much is read between two looks at the work that is left, in bytes.
const PIECE: usize = 64;
/// What a thread keeps to fold texts in, in bytes; a larger room is given back.
const KEPT: usize = 256 * 1024;

thread_local! {
    /// Where texts are folded.
    static ROOM: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// What is forbidden.
#[derive(Debug)]
pub struct Matcher {
    heads: Option<Heads>,
    /// The expressions that begin with one of the heads.
    headed: Option<Automaton>,
    loose: Option<Loose>,
    ways: usize,
}

/// The expressions that can begin with many things.
#[derive(Debug)]
struct Loose {
    automaton: Automaton,
    /// The same without what it asks of places, which is quicker; `None` if it asks for none, or is too large.
    gate: Option<Automaton>,
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
        let (mut heads, mut headed, mut loose) = (Vec::new(), Vec::new(), Vec::new());
        for Pattern(kind) in patterns {
            match kind {
                Kind::Text(text) => heads.push((text.into_bytes(), Owner::Text)),
                Kind::Word(text) => heads.push((text.into_bytes(), Owner::Word)),
                Kind::Regex { hir, .. } => match beginnings(&hir) {
                    Some(all) => {
                        heads.extend(all.into_iter().map(|head| (head, Owner::Expression)));
                        headed.push(hir);
                    }
                    None => loose.push(hir),
                },
            }
        }
        let automaton = |all: &[Hir], reach| match all {
            [] => Ok(None),
            all => Automaton::new(all, reach, MAX_SIZE).map(Some).ok_or_else(too_large),
        };
        let headed = automaton(&headed, Reach::Told)?;
        let begun = heads.iter().filter(|(_, owner)| *owner == Owner::Expression);
        let ways = headed.as_ref().map_or(0, |all| all.ways(begun.map(|(head, _)| head.as_slice())));
        let expected = !heads.is_empty();
        let heads = Heads::new(&heads);
        if expected && heads.is_none() {
            return Err(too_large());
        }
        let loose = automaton(&loose, Reach::Anywhere)?.map(|automaton| {
            let asks = loose.iter().any(|hir| !hir.properties().look_set().is_empty());
            let free: Vec<Hir> = loose.iter().map(without_places).collect();
            let gate = asks.then(|| Automaton::new(&free, Reach::Anywhere, MAX_SIZE)).flatten();
            Loose { automaton, gate }
        });
        Ok(Self { heads, headed, loose, ways })
    }

    /// In how many ways, at the most, expressions go on behind one beginning. What they go on with alike counts
    /// once.
    pub fn ways(&self) -> usize {
        self.ways
    }

    /// Whether anything forbidden stands in a text.
    pub fn finds(&self, text: &str) -> bool {
        let mut work = Work::ENDLESS;
        self.finds_within(text, &mut work).unwrap_or(true)
    }

    /// The same, if it takes no more work than this.
    pub(super) fn finds_within(&self, text: &str, work: &mut Work) -> Option<bool> {
        // Of a request with many texts, none is begun for nobody.
        work.spend(0).ok()?;
        ROOM.with_borrow_mut(|room| {
            room.clear();
            fold_into(text, room);
            let found = self.finds_folded(room, work);
            if room.capacity() > KEPT {
                *room = Vec::new();
            }
            found
        })
    }

    fn finds_folded(&self, text: &[u8], work: &mut Work) -> Option<bool> {
        match self.walks(text, work) {
            Ok(found) => Some(found),
            Err(Halt::Crowded) => self.steps(text, work),
            Err(Halt::Tired) => None,
        }
    }

    fn walks(&self, text: &[u8], work: &mut Work) -> Result<bool, Halt> {
        if let Some(Loose { automaton, gate }) = &self.loose {
            let may = match gate {
                Some(gate) => Walk::new(gate).finds(text, work)?,
                None => true,
            };
            if may && Walk::new(automaton).finds(text, work)? {
                return Ok(true);
            }
        }
        match &self.heads {
            Some(heads) => search::finds(heads, self.headed.as_ref(), text, work),
            None => Ok(false),
        }
    }

    /// Reads a text as streams are read, a piece at a time.
    fn steps(&self, text: &[u8], work: &mut Work) -> Option<bool> {
        let (mut scan, mut end) = (Scan::default(), 0);
        while end < text.len() {
            let from = end;
            end = (from + PIECE).min(text.len());
            while text.get(end).is_some_and(|byte| !is_start(*byte)) {
                end += 1;
            }
            if scan.feed(self, text.get(..end)?, from).is_some() {
                return Some(true);
            }
            work.spend((end - from) * scan.width()).ok()?;
        }
        Some(scan.finish(self, text).is_some())
    }

    pub(super) fn heads(&self) -> Option<&Heads> {
        self.heads.as_ref()
    }

    /// The expressions that begin with one of the heads.
    pub(super) fn headed(&self) -> Option<&Automaton> {
        self.headed.as_ref()
    }

    /// The expressions that can begin anywhere.
    pub(super) fn loose(&self) -> Option<&Automaton> {
        self.loose.as_ref().map(|loose| &loose.automaton)
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

#[cfg(test)]
mod tests;
