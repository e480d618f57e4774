//! Asks the moderator of an alias's policy about a request, while everything else goes on.

use std::sync::Arc;
use std::time::Instant;

use tokio::sync::oneshot;

use super::held::Permit;
use crate::error::{Blocker, GatewayError, UpstreamFault};
use crate::metrics::{Metrics, Moderated};
use crate::rules::content::{Moderation, OnFailure, Policy, questions};
use crate::wire::moderation::Question;
use crate::wire::request::{ChatRequest, Media};

/// What the moderator of a policy is to be asked. Nothing for a policy without one.
///
/// # Errors
/// The refusal of what it cannot be asked, if nothing may go on without its word.
pub fn asking(
    policy: &Policy,
    request: &ChatRequest,
    body: &[u8],
    metrics: &Metrics,
) -> Result<Vec<Question>, GatewayError> {
    let Some(moderation) = &policy.moderation else { return Ok(Vec::new()) };
    if unjudged(moderation, request) {
        metrics.policies.unjudged(policy.name.as_str());
        match moderation.on_failure {
            OnFailure::Block => return Err(GatewayError::Blocked(Blocker::Unjudged)),
            OnFailure::Allow => {}
        }
    }
    Ok(questions(body, moderation.media))
}

fn unjudged(moderation: &Moderation, request: &ChatRequest) -> bool {
    Media::ALL.into_iter().any(|media| !moderation.media.has(media) && request.holds(media).is_some())
}

/// Asks. The answer is not let go before the moderator has spoken.
pub fn ask(policy: &Arc<Policy>, questions: Vec<Question>, metrics: &Arc<Metrics>) -> Option<Permit> {
    if questions.is_empty() {
        return None;
    }
    let (tell, permit) = oneshot::channel();
    let (policy, metrics) = (policy.clone(), metrics.clone());
    tokio::spawn(async move {
        let Some(moderation) = &policy.moderation else { return };
        let asked = Instant::now();
        let judgement = moderation.moderator.judge(questions).await;
        let seconds = asked.elapsed().as_secs_f64();
        metrics.policies.moderated(policy.name.as_str(), judgement, seconds);
        // A client that has left does not wait for it.
        let _ = tell.send(meaning(judgement, moderation.on_failure));
    });
    Some(permit)
}

fn meaning(judgement: Moderated, on_failure: OnFailure) -> Result<(), UpstreamFault> {
    match (judgement, on_failure) {
        (Moderated::Clean, _)
        | (Moderated::TimedOut | Moderated::Failed | Moderated::Unjudged, OnFailure::Allow) => Ok(()),
        (Moderated::Flagged, _) => Err(UpstreamFault::Flagged),
        (Moderated::TimedOut | Moderated::Failed | Moderated::Unjudged, OnFailure::Block) => {
            Err(UpstreamFault::NotModerated)
        }
    }
}
