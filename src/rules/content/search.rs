//! One pass over a whole folded text for what begins with known letters.

use super::automaton::Automaton;
use super::edge::{Edge, is_start};
use super::heads::{Heads, Owner};
use super::walk::{Halt, State, Walk};
use super::work::Work;

/// A word whose last letter has been read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Word {
    None,
    /// It stands there if nothing of a word follows.
    Open,
}

/// Whether a text has any of these. `headed` are the expressions that begin with one of the heads.
///
/// # Errors
/// It was not read to the end.
pub(super) fn finds(
    heads: &Heads,
    headed: Option<&Automaton>,
    text: &[u8],
    work: &mut Work,
) -> Result<bool, Halt> {
    let (mut head, mut word, mut state, mut at) = (heads.start(), Word::None, State::EMPTY, 0);
    // Most texts have no beginning of an expression.
    let mut walk: Option<Walk<'_>> = None;
    loop {
        match (&mut walk, text.get(at)) {
            (_, None) => break,
            (_, Some(_)) if word == Word::None && state == State::EMPTY => {
                match heads.advance(&mut head, text.get(at..).unwrap_or_default()) {
                    Some(read) => at += read,
                    None => break,
                }
            }
            (walk, Some(byte)) => {
                if is_start(*byte) && (word == Word::Open || state.waits()) {
                    let edge = Edge::of(text, at);
                    if word == Word::Open && edge.splits() {
                        return Ok(true);
                    }
                    word = Word::None;
                    if let Some(walk) = walk
                        && state.waits()
                    {
                        state = walk.settle(state, edge, at, work)?;
                    }
                }
                if let Some(walk) = walk
                    && state != State::EMPTY
                    && !state.is_match()
                {
                    state = walk.step(state, *byte, at, work)?;
                }
                if state.is_match() {
                    return Ok(true);
                }
                heads.step(&mut head, *byte);
                at += 1;
            }
        }
        for found in heads.ended(head) {
            let start = at.saturating_sub(found.length);
            match (found.owner, headed) {
                (Owner::Text, _) => return Ok(true),
                (Owner::Word, _) if Edge::of(text, start).splits() => word = Word::Open,
                (Owner::Expression, Some(headed)) => {
                    let walk = walk.get_or_insert_with(|| Walk::new(headed));
                    state = walk.take_up(state, text, start, at, work)?;
                    if state.is_match() {
                        return Ok(true);
                    }
                }
                (Owner::Word | Owner::Expression, _) => {}
            }
        }
    }
    let edge = Edge::of(text, text.len());
    let ends = word == Word::Open && edge.splits();
    match walk {
        Some(mut walk) if !ends && state.waits() => {
            Ok(walk.settle(state, edge, text.len(), work)?.is_match())
        }
        Some(_) | None => Ok(ends),
    }
}
