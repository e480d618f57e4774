//! The content policy of an alias: what a request may not hold or say.

use std::num::NonZero;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use once_cell::sync::Lazy;
use tokio::sync::Semaphore;

use super::quota::Prompt;
use super::stopwatch::Stopwatch;
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

/// Checks a request against the policy of its alias. `own` stops while a thread for it is waited for.
///
/// # Errors
/// The refusal.
pub async fn check(
    policy: &Arc<Policy>,
    entry: &AliasEntry,
    request: &ChatRequest,
    body: &Bytes,
    own: &mut Stopwatch,
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
        let (policy, body) = (policy.clone(), body.clone());
        apart(&LONG_SEATS, own, move || policy.forbids_soon(&body, work)).await?
    } else {
        policy.forbids_soon(body, MAX_WORK)
    };
    let forbidden = match soon {
        Some(forbidden) => forbidden,
        None => {
            let (policy, body) = (policy.clone(), body.clone());
            apart(&HARD_SEATS, own, move || policy.forbids(&body)).await?
        }
    };
    if forbidden { Err(GatewayError::Blocked(Blocker::Prompt)) } else { Ok(()) }
}

/// Looks through a body on a thread of its own, when one of the seats is free. The look is our own work; the wait for
/// a seat and a thread is not.
async fn apart<T: Send + 'static>(
    seats: &Arc<Semaphore>,
    own: &mut Stopwatch,
    look: impl FnOnce() -> T + Send + 'static,
) -> Result<T, GatewayError> {
    let unread = GatewayError::Internal("policy_unread");
    own.stop(Instant::now());
    let Ok(seat) = seats.clone().acquire_owned().await else { return Err(unread) };
    let looked = tokio::task::spawn_blocking(move || {
        let began = Instant::now();
        let found = look();
        // It is taken up to the end, also when the client leaves.
        drop(seat);
        (found, began)
    });
    let (found, began) = looked.await.map_err(|_| unread)?;
    own.start(began);
    Ok(found)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test]
    async fn a_look_is_our_own_time_and_the_wait_for_a_seat_is_not() {
        let (wait, look) = (Duration::from_millis(400), Duration::from_millis(20));
        let seats = Arc::new(Semaphore::new(1));
        let seat = seats.clone().acquire_owned().await.unwrap();
        let mut own = Stopwatch::started(Instant::now());
        let freed = async {
            tokio::time::sleep(wait).await;
            drop(seat);
        };
        let looking = apart(&seats, &mut own, move || std::thread::sleep(look));
        let (looked, ()) = tokio::join!(looking, freed);
        looked.unwrap();
        own.stop(Instant::now());
        assert!(own.total() >= look && own.total() < wait, "{:?}", own.total());
    }
}
