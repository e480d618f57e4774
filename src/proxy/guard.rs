//! The content policy of an alias: what a request may not hold or say, and who else is asked about it.

use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use tokio::sync::oneshot;

use super::held::Permit;
use super::quota::Prompt;
use crate::error::{BadRequest, Blocker, GatewayError, UpstreamFault};
use crate::metrics::{Metrics, Moderated};
use crate::rules::catalog::AliasEntry;
use crate::rules::content::{OnFailure, Policy, conversation};
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

/// Asks the moderator of a policy, if it has one, while everything else goes on. The answer is not let go
/// before the moderator has spoken.
pub fn ask(policy: &Arc<Policy>, body: &[u8], metrics: &Arc<Metrics>) -> Option<Permit> {
    policy.moderation.as_ref()?;
    let texts = conversation(body);
    if texts.is_empty() {
        return None;
    }
    let (tell, permit) = oneshot::channel();
    let (policy, metrics) = (policy.clone(), metrics.clone());
    tokio::spawn(async move {
        let Some(moderation) = &policy.moderation else { return };
        let asked = Instant::now();
        let judgement = moderation.moderator.judge(texts).await;
        let seconds = asked.elapsed().as_secs_f64();
        metrics.policies.moderated(policy.name.as_str(), judgement, seconds);
        // A client that has left does not wait for it.
        let _ = tell.send(meaning(judgement, moderation.on_failure));
    });
    Some(permit)
}

fn meaning(judgement: Moderated, on_failure: OnFailure) -> Result<(), UpstreamFault> {
    match (judgement, on_failure) {
        (Moderated::Clean, _) | (Moderated::TimedOut | Moderated::Failed, OnFailure::Allow) => Ok(()),
        (Moderated::Flagged, _) => Err(UpstreamFault::Flagged),
        (Moderated::TimedOut | Moderated::Failed, OnFailure::Block) => Err(UpstreamFault::NotModerated),
    }
}
