//! Asks the moderator of an alias's policy about a request, while everything else goes on.

use std::sync::Arc;
use std::time::Instant;

use crossbeam_utils::atomic::AtomicCell;
use tokio::sync::oneshot;

use super::about;
use super::exchange::RequestId;
use super::held::Permit;
use super::intake::NoBody;
use crate::error::{Blocker, GatewayError, UpstreamFault};
use crate::metrics::{Metrics, Moderated};
use crate::rules::buffered::{Full, Part};
use crate::rules::content::{Moderation, NoWord, OnFailure, Policy, Turn, questions};
use crate::wire::moderation::Question;
use crate::wire::request::ChatRequest;
use crate::wire::sieve::Verdict;

/// How a request went on that a moderator has not judged, or not all of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unmoderated {
    /// A part of it is of a kind that the moderator cannot judge.
    Partly,
    /// The moderator has said nothing.
    Wholly,
}

impl Unmoderated {
    /// For the access log.
    pub fn label(self) -> &'static str {
        match self {
            Self::Partly => "partial",
            Self::Wholly => "skipped",
        }
    }
}

/// Where that is told, as soon as it is known.
pub type Gap = Arc<AtomicCell<Option<Unmoderated>>>;

/// What the moderator of a policy is to be asked about a request.
#[derive(Debug, Default)]
pub struct Asking {
    questions: Vec<Question>,
    /// The room in memory that the questions take, and their bodies.
    room: Option<Part>,
    pub gap: Gap,
}

impl Asking {
    /// Nothing for a policy without a moderator. `take` gives room in memory for so many bytes.
    ///
    /// # Errors
    /// The refusal of what it cannot be asked, if nothing may go on without its word; and when there is no room.
    pub fn about(
        policy: &Policy,
        request: &ChatRequest,
        body: &[u8],
        metrics: &Metrics,
        take: impl FnOnce(usize) -> Result<Part, Full>,
    ) -> Result<Self, NoBody> {
        let Some(moderation) = &policy.moderation else { return Ok(Self::default()) };
        let mut gap = None;
        if moderation.media.exceeded(request).is_some() {
            metrics.policies.unjudged(policy.name.as_str());
            match moderation.on_failure {
                OnFailure::Block => return Err(GatewayError::Blocked(Blocker::Unjudged).into()),
                OnFailure::Allow => gap = Some(Unmoderated::Partly),
            }
        }
        let questions = questions(body, moderation.media);
        if questions.is_empty() && gap.is_some() {
            gap = Some(Unmoderated::Wholly);
        }
        let weight: usize = questions.iter().map(Question::weight).sum();
        let room = if questions.is_empty() { None } else { Some(take(weight)?) };
        Ok(Self { questions, room, gap: Arc::new(AtomicCell::new(gap)) })
    }

    /// Asks. The answer is not let go before the moderator has spoken. It is left, and all memory given back, when
    /// nobody waits for the permit any more.
    pub fn ask(self, policy: &Arc<Policy>, metrics: &Arc<Metrics>, id: &RequestId) -> Option<Permit> {
        let Self { questions, room, gap } = self;
        if questions.is_empty() {
            return None;
        }
        let (mut tell, permit) = oneshot::channel();
        let (policy, metrics, id) = (policy.clone(), metrics.clone(), id.clone());
        tokio::spawn(async move {
            let Some(moderation) = &policy.moderation else { return };
            let asked = Instant::now();
            let word = tokio::select! {
                biased;
                word = moderation.moderator.judge(questions) => word,
                () = tell.closed() => return,
            };
            drop(room);
            let now = Instant::now();
            let outcome = match &word {
                Ok(Verdict::Clean) => Moderated::Clean,
                Ok(Verdict::Forbidden) => Moderated::Flagged,
                Err(NoWord { outcome, .. }) => *outcome,
            };
            metrics.policies.moderated(policy.name.as_str(), outcome, (now - asked).as_secs_f64());
            // A client that has just left does not wait for it.
            let _ = tell.send(about::request(&id, || meaning(&policy, moderation, word, &gap, now)));
        });
        Some(permit)
    }
}

fn meaning(
    policy: &Policy,
    moderation: &Moderation,
    word: Result<Verdict, NoWord>,
    gap: &AtomicCell<Option<Unmoderated>>,
    now: Instant,
) -> Result<(), UpstreamFault> {
    let standing = &moderation.standing;
    let verdict = match word {
        Ok(verdict) => {
            match standing.answered(now) {
                Turn::ToGood => log::info!("the moderator of policy {} answers again", policy.name),
                Turn::Not | Turn::ToBad => {}
            }
            verdict
        }
        Err(NoWord { why, .. }) => {
            match standing.failed(why.clone(), now) {
                Turn::ToBad => {
                    let then = moderation.on_failure.words();
                    log::warn!("the moderator of policy {} fails: {why}; {then}", policy.name);
                }
                Turn::Not | Turn::ToGood => {}
            }
            return match moderation.on_failure {
                OnFailure::Block => Err(UpstreamFault::NotModerated),
                OnFailure::Allow => {
                    gap.store(Some(Unmoderated::Wholly));
                    Ok(())
                }
            };
        }
    };
    match verdict {
        Verdict::Clean => Ok(()),
        Verdict::Forbidden => Err(UpstreamFault::Flagged),
    }
}
