//! The content policy of an alias: what a request may not hold or say.

mod apart;
mod later;

use std::sync::Arc;

use bytes::Bytes;

use self::apart::Look;
pub use self::apart::Waiting;
pub use self::later::{Aside, glance, later};
use super::intake::NoBody;
use super::quota::Prompt;
use crate::error::{BadRequest, Blocker, GatewayError};
use crate::rules::buffered::Part;
use crate::rules::catalog::AliasEntry;
use crate::rules::content::{Policy, Work};
use crate::wire::request::ChatRequest;

/// A longer body is looked through on a thread of its own, in bytes, so that nobody else waits for it.
const LONG: usize = 128 * 1024;
/// And so is a shorter one that takes more work than this, in units of a few nanoseconds: what nearly matches may
/// take many times as long as ordinary text.
const MAX_WORK: usize = 100_000;

/// Checks a request against the policy of its alias. The room that its body takes is given back with the answer, or
/// when nobody reads the body any more.
///
/// # Errors
/// The refusal, or that the client left while its prompt was looked through or waited for that.
pub async fn check(
    policy: &Arc<Policy>,
    entry: &AliasEntry,
    request: &ChatRequest,
    body: &Bytes,
    mut room: Part,
    mut waiting: Waiting<'_>,
) -> Result<Part, NoBody> {
    if let Some(field) = policy.media.exceeded(request) {
        let wrong = "is a kind of content that this model may not be given";
        return Err(GatewayError::BadRequest(BadRequest::field(field, wrong)).into());
    }
    if let Some(most) = policy.max_prompt_tokens
        && Prompt::weighed(entry, body).corrected() > most
    {
        let wrong = "are longer than this model may be asked";
        return Err(GatewayError::BadRequest(BadRequest::field("messages", wrong)).into());
    }
    if policy.denied.is_none() {
        return Ok(room);
    }
    let mut found;
    if body.len() > LONG {
        let look = Look::Long(MAX_WORK * (body.len() / LONG));
        (found, room) = waiting.apart(look, policy, body, room).await?;
    } else {
        found = policy.forbids_within(body, Work::of(MAX_WORK));
    }
    if found.is_none() {
        (found, room) = waiting.apart(Look::Hard, policy, body, room).await?;
    }
    match found {
        Some(false) => Ok(room),
        Some(true) => Err(GatewayError::Blocked(Blocker::Prompt).into()),
        None => Err(GatewayError::Internal("policy_unread").into()),
    }
}
