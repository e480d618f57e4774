//! Looks through what was put off of a whole answer, while the answer is held.

use std::sync::Arc;

use tokio::sync::oneshot;

use super::apart::{Look, looked};
use super::{LONG, MAX_WORK};
use crate::error::{GatewayError, UpstreamFault};
use crate::proxy::held::Permit;
use crate::rules::buffered::{Bounds, Part};
use crate::rules::content::{Glance, Policy, PutOff};
use crate::rules::turns::Turns;

/// Who looks at a whole answer, if somebody has to. What takes long is put off.
pub fn glance(policy: &Policy) -> Option<Glance> {
    policy.glance(LONG, MAX_WORK)
}

/// What a look at an answer takes besides time.
pub struct Aside {
    /// How its tenant takes turns.
    pub turns: Turns,
    /// The room in memory for what waits; nothing has been taken of it yet.
    pub room: Part,
}

/// Looks through the rest of an answer on a thread of its own, while the answer, of so many bytes, waits. It ends when
/// nobody waits for the word any more.
///
/// # Errors
/// What there is to be looked at, where there is no room for what waits.
pub fn later(
    put_off: PutOff,
    answer: usize,
    aside: Option<Aside>,
    bounds: &Bounds,
) -> Result<Permit, PutOff> {
    let Some(Aside { turns, mut room }) = aside else { return Err(put_off) };
    if room.grow(put_off.bytes().saturating_add(answer), bounds).is_err() {
        return Err(put_off);
    }
    let (mut tell, permit) = oneshot::channel();
    tokio::spawn(async move {
        // Given back when nobody waits any more.
        let _room = room;
        let forbidden = tokio::select! {
            biased;
            forbidden = forbids(put_off, &turns) => forbidden,
            () = tell.closed() => return,
        };
        let word = match forbidden {
            Ok(Some(false)) => Ok(()),
            Ok(Some(true)) => Err(UpstreamFault::AnswerForbidden),
            // Nobody has looked. Without a word nothing goes on, and it is not the answer's fault.
            Ok(None) | Err(_) => Err(UpstreamFault::NotModerated),
        };
        // A client that has just left does not wait for it.
        let _ = tell.send(word);
    });
    Ok(permit)
}

async fn forbids(put_off: PutOff, turns: &Turns) -> Result<Option<bool>, GatewayError> {
    let put_off = Arc::new(put_off);
    if put_off.bytes() > LONG {
        let long = put_off.clone();
        let look = Look::Long(MAX_WORK * (long.bytes() / LONG));
        let (soon, _) = looked(look, turns, move |work| long.forbids_within(work)).await?;
        if soon.is_some() {
            return Ok(soon);
        }
    }
    let (found, _) = looked(Look::Hard, turns, move |work| put_off.forbids_within(work)).await?;
    Ok(found)
}
