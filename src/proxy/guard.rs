//! The content policy of an alias: what a request may not hold or say.

use std::num::NonZero;
use std::sync::Arc;

use bytes::Bytes;
use once_cell::sync::Lazy;
use tokio::sync::Semaphore;

use super::quota::Prompt;
use crate::error::{BadRequest, Blocker, GatewayError};
use crate::rules::catalog::AliasEntry;
use crate::rules::content::Policy;
use crate::wire::request::{ChatRequest, Media};

/// A longer body is looked through on a thread of its own, in bytes, so that nobody else waits for it.
const LONG: usize = 128 * 1024;
/// And so is a shorter one that takes more work than this, in units of a few nanoseconds: what nearly matches may
/// take many times as long as ordinary text.
const MAX_WORK: usize = 100_000;

/// Half of the cores, for long bodies: the other half goes on serving.
static LONG_SEATS: Lazy<Arc<Semaphore>> = Lazy::new(|| seats(2));
/// A quarter, for bodies that take long: those that are only long need not wait for them.
static HARD_SEATS: Lazy<Arc<Semaphore>> = Lazy::new(|| seats(4));

fn seats(share: usize) -> Arc<Semaphore> {
    let cores = std::thread::available_parallelism().map_or(1, NonZero::get);
    Arc::new(Semaphore::new((cores / share).max(1)))
}

/// Checks a request against the policy of its alias.
///
/// # Errors
/// The refusal.
pub async fn check(
    policy: &Arc<Policy>,
    entry: &AliasEntry,
    request: &ChatRequest,
    body: &Bytes,
) -> Result<(), GatewayError> {
    for media in Media::ALL {
        if let (false, Some(field)) = (policy.media.has(media), request.holds(media)) {
            let wrong = "is a kind of content that this model may not be given";
            return Err(GatewayError::BadRequest(BadRequest::field(field, wrong)));
        }
    }
    if let Some(most) = policy.max_prompt_tokens
        && Prompt::weighed(entry, body).corrected() > most
    {
        let wrong = "are longer than this model may be asked";
        return Err(GatewayError::BadRequest(BadRequest::field("messages", wrong)));
    }
    if policy.denied.is_none() {
        return Ok(());
    }
    let soon = if body.len() > LONG {
        let work = MAX_WORK * (body.len() / LONG);
        apart(&LONG_SEATS, policy, body, move |policy, body| policy.forbids_soon(body, work)).await?
    } else {
        policy.forbids_soon(body, MAX_WORK)
    };
    let forbidden = match soon {
        Some(forbidden) => forbidden,
        None => apart(&HARD_SEATS, policy, body, Policy::forbids).await?,
    };
    if forbidden { Err(GatewayError::Blocked(Blocker::Prompt)) } else { Ok(()) }
}

/// Looks through a body on a thread of its own, when one of the seats is free.
async fn apart<T: Send + 'static>(
    seats: &Arc<Semaphore>,
    policy: &Arc<Policy>,
    body: &Bytes,
    look: impl FnOnce(&Policy, &[u8]) -> T + Send + 'static,
) -> Result<T, GatewayError> {
    let unread = GatewayError::Internal("policy_unread");
    let Ok(seat) = seats.clone().acquire_owned().await else { return Err(unread) };
    let (policy, body) = (policy.clone(), body.clone());
    let looked = tokio::task::spawn_blocking(move || {
        let found = look(&policy, &body);
        // It is taken up to the end, also when the client leaves.
        drop(seat);
        found
    });
    looked.await.map_err(|_| unread)
}
