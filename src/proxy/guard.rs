//! The content policy of an alias: what a request may not hold or say.

use std::sync::Arc;

use bytes::Bytes;

use super::quota::Prompt;
use crate::error::{BadRequest, Blocker, GatewayError};
use crate::rules::catalog::AliasEntry;
use crate::rules::content::{Answers, Policy};
use crate::wire::request::{ChatRequest, Media};

/// A longer body is looked through on a thread of its own, in bytes: what nearly matches takes many times as long
/// as ordinary text, and nobody else shall wait for it.
const LONG: usize = 128 * 1024;

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
    let forbidden = if body.len() > LONG && policy.denied.is_some() {
        let (policy, body) = (policy.clone(), body.clone());
        let looked = tokio::task::spawn_blocking(move || policy.forbids(&body)).await;
        looked.map_err(|_| GatewayError::Internal("policy_unread"))?
    } else {
        policy.forbids(body)
    };
    if forbidden { Err(GatewayError::Blocked(Blocker::Prompt)) } else { Ok(()) }
}

/// Whether the length of the prompt must be known, for an answer that we may have to end ourselves.
pub fn needs_prompt(policy: &Policy, request: &ChatRequest) -> bool {
    policy.answers == Answers::Screened && request.usage_asked()
}
