//! Looks through what was put off of a whole answer, while the answer is held.

use std::sync::Arc;

use tokio::sync::oneshot;

use super::apart::{Look, looked};
use super::{LONG, MAX_WORK};
use crate::error::{GatewayError, UpstreamFault};
use crate::proxy::held::Permit;
use crate::rules::content::{Glance, Policy, PutOff};
use crate::rules::turns::Turns;

/// Who looks at a whole answer, if somebody has to. What takes long is put off.
pub fn glance(policy: &Policy) -> Option<Glance> {
    policy.glance(LONG, MAX_WORK)
}

/// Looks through the rest of an answer on a thread of its own. It ends when nobody waits for the word any more.
pub fn later(put_off: PutOff, turns: Turns) -> Permit {
    let (mut tell, permit) = oneshot::channel();
    tokio::spawn(async move {
        let forbidden = tokio::select! {
            biased;
            forbidden = forbids(put_off, &turns) => forbidden,
            () = tell.closed() => return,
        };
        // Without a word nothing may go on.
        let word = match forbidden {
            Ok(Some(false)) => Ok(()),
            Ok(Some(true) | None) | Err(_) => Err(UpstreamFault::AnswerForbidden),
        };
        // A client that has just left does not wait for it.
        let _ = tell.send(word);
    });
    permit
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
