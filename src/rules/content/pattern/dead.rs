//! Whether an expression can match any folded text at all.

use regex_automata::nfa::thompson::{NFA, State};
use regex_automata::util::look::Look;
use regex_automata::util::primitives::StateID;

use super::super::edge::BLANK_BEFORE;
use super::super::fold::ascii;

/// What stands before a place, as far as it matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Before {
    /// The text begins here.
    Nothing,
    Blank,
    Other,
    /// The text ends here.
    End,
}

impl Before {
    const ALL: [Self; 4] = [Self::Nothing, Self::Blank, Self::Other, Self::End];
}

/// Whether no text that has been folded can match. Where words begin and end is not looked at.
pub(super) fn is_dead(nfa: &NFA) -> bool {
    let mut seen = vec![[false; Before::ALL.len()]; nfa.states().len()];
    let mut stack: Vec<(StateID, Before)> = Before::ALL.map(|before| (nfa.start_anchored(), before)).to_vec();
    while let Some((state, before)) = stack.pop() {
        let seen = seen.get_mut(state.as_usize()).and_then(|seen| seen.get_mut(before as usize));
        match seen {
            Some(seen) if !*seen => *seen = true,
            Some(_) | None => continue,
        }
        let mut read = |from: u8, to: u8, next: StateID| {
            let bytes = (from..=to).filter(|byte| stands(*byte, before));
            let mut found = [false; Before::ALL.len()];
            for byte in bytes {
                let behind = if byte == b' ' { Before::Blank } else { Before::Other };
                if let Some(found) = found.get_mut(behind as usize)
                    && !*found
                {
                    *found = true;
                    stack.push((next, behind));
                }
            }
        };
        match nfa.state(state) {
            State::ByteRange { trans } => read(trans.start, trans.end, trans.next),
            State::Sparse(sparse) => sparse.transitions.iter().for_each(|t| read(t.start, t.end, t.next)),
            State::Dense(dense) => {
                for byte in 0..=u8::MAX {
                    if let Some(next) = dense.matches_byte(byte) {
                        read(byte, byte, next);
                    }
                }
            }
            State::Look { look, next } => match look {
                look if *look == BLANK_BEFORE => {
                    if before == Before::Blank {
                        stack.push((*next, before));
                    }
                }
                Look::Start | Look::StartLF if before != Before::Nothing => {}
                Look::End | Look::EndLF | Look::EndCRLF => stack.push((*next, Before::End)),
                _ => stack.push((*next, before)),
            },
            State::Capture { next, .. } => stack.push((*next, before)),
            State::Union { alternates } => stack.extend(alternates.iter().map(|next| (*next, before))),
            State::BinaryUnion { alt1, alt2 } => stack.extend([(*alt1, before), (*alt2, before)]),
            State::Fail => {}
            State::Match { .. } => return false,
        }
    }
    true
}

/// Whether a folded text may have this byte there.
fn stands(byte: u8, before: Before) -> bool {
    let folded = ascii(char::from(byte)).is_none_or(|folded| folded == byte);
    folded && before != Before::End && !(byte == b' ' && before == Before::Blank)
}
