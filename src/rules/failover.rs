//! What follows from a failed attempt: for the next one, for the backend, and for the client.
//!
//! One table says it all, row by row; whoever wonders why a request was or was not asked again finds it here.

use super::credential::Sure;
use crate::error::{Blocker, Reason, Rejection, UpstreamFault};

/// What a fault means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Meaning {
    pub again: Again,
    pub blame: Blame,
    pub told: Told,
}

/// Whether somebody else may be asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Again {
    /// Nothing was sent, or the answer itself says that nothing was done.
    Safe,
    /// It may have been worked on, and paid for.
    Unsure,
    /// The same, and a matter of patience: an operator may forbid it.
    OutOfTime,
    /// This backing model cannot do it; another route's may.
    OtherRoute,
    /// Nobody would do better, or nobody may be asked.
    Never,
}

/// What it says of the backend.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Blame {
    /// Nothing: the client or the operator is at fault, or it is simply so.
    Nobody,
    /// It fails.
    Failing,
    /// It took too long, which is its failure if it says nothing to anybody.
    TooSlow,
    /// It does not have the model that a route names: our configuration is wrong, for this route.
    Absent,
    /// It is busy and wants to be left alone for a while.
    Busy,
    /// It does not take our credential, or the account behind it is empty.
    Credential(Sure),
}

/// What the client is told when it was the last word.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Told {
    /// The model is not available.
    Unavailable,
    /// The model is busy, if that is all that any backend said.
    Busy,
    /// The request is wrong.
    Rejected(Rejection),
    /// A content policy forbids it.
    Blocked(Blocker),
}

const fn meaning(again: Again, blame: Blame, told: Told) -> Meaning {
    Meaning { again, blame, told }
}

const UNAVAILABLE: Meaning = meaning(Again::Unsure, Blame::Failing, Told::Unavailable);

/// What is forbidden is so wherever it is asked.
const fn blocked(who: Blocker) -> Meaning {
    meaning(Again::Never, Blame::Nobody, Told::Blocked(who))
}

/// The row for a fault.
pub fn judge(fault: UpstreamFault) -> Meaning {
    match fault {
        UpstreamFault::Connect | UpstreamFault::ConnectTimeout | UpstreamFault::Tls => {
            meaning(Again::Safe, Blame::Failing, Told::Unavailable)
        }
        UpstreamFault::NotTaken => meaning(Again::Safe, Blame::Failing, Told::Unavailable),
        UpstreamFault::NoBackend => meaning(Again::Never, Blame::Nobody, Told::Unavailable),
        UpstreamFault::AllBusy => meaning(Again::Never, Blame::Nobody, Told::Busy),
        UpstreamFault::FirstByteTimeout | UpstreamFault::IdleTimeout => {
            meaning(Again::OutOfTime, Blame::TooSlow, Told::Unavailable)
        }
        UpstreamFault::DrainOver => meaning(Again::Never, Blame::Nobody, Told::Unavailable),
        UpstreamFault::AnswerForbidden => blocked(Blocker::Answer),
        UpstreamFault::Flagged => blocked(Blocker::Moderator),
        UpstreamFault::NotModerated => blocked(Blocker::NoModerator),
        UpstreamFault::TotalTimeout => meaning(Again::Never, Blame::TooSlow, Told::Unavailable),
        UpstreamFault::Reset
        | UpstreamFault::BadResponse
        | UpstreamFault::BadContentType
        | UpstreamFault::BadEncoding
        | UpstreamFault::BadJson
        | UpstreamFault::BadShape
        | UpstreamFault::Truncated => UNAVAILABLE,
        // A client can ask for long answers; that must not cost others the backend.
        UpstreamFault::TooLarge | UpstreamFault::EventTooLarge => {
            meaning(Again::Unsure, Blame::Nobody, Told::Unavailable)
        }
        UpstreamFault::Status { status, reason } => refusal(status, reason),
        UpstreamFault::ErrorInAnswer(said) => refusal(said.status.unwrap_or(usual(said.reason)), said.reason),
    }
}

/// The row for an answer that says no: with this status, for this reason. The first that fits counts.
fn refusal(status: u16, reason: Reason) -> Meaning {
    let rejected = |why| meaning(Again::Never, Blame::Nobody, Told::Rejected(why));
    match (status, reason) {
        (_, Reason::ContentPolicy) => blocked(Blocker::Backend),
        (401 | 402 | 407, _) | (403 | 429, Reason::BadCredential | Reason::Quota) => {
            meaning(Again::Safe, Blame::Credential(Sure::Yes), Told::Unavailable)
        }
        // Firewalls and odd servers say so of single requests, too; asked everywhere, such a request would
        // take all backends out.
        (403, _) | (_, Reason::BadCredential | Reason::Quota) => {
            meaning(Again::Unsure, Blame::Credential(Sure::Perhaps), Told::Unavailable)
        }
        (_, Reason::ContextOverflow) => rejected(Rejection::ContextOverflow),
        // More than fits into any minute: nobody's moment, and no use in coming again.
        (429, Reason::Unsupported) => {
            meaning(Again::OtherRoute, Blame::Nobody, Told::Rejected(Rejection::Other))
        }
        (429 | 498, _) => meaning(Again::Safe, Blame::Busy, Told::Busy),
        (529, _) | (503, Reason::Capacity) | (500..=599, Reason::RateLimited) => {
            meaning(Again::Unsure, Blame::Busy, Told::Busy)
        }
        // The alias exists, so it is our configuration that is wrong; for one model, not for the backend.
        (404 | 405 | 410 | 501, _) | (_, Reason::NoSuchModel) => {
            meaning(Again::Safe, Blame::Absent, Told::Unavailable)
        }
        (400 | 422, Reason::Unsupported) => {
            meaning(Again::OtherRoute, Blame::Nobody, Told::Rejected(Rejection::Other))
        }
        (400 | 413 | 422, _) => rejected(Rejection::Other),
        (300..=399, _) => meaning(Again::Never, Blame::Failing, Told::Unavailable),
        (408, _) | (500..=599, _) => UNAVAILABLE,
        (400..=499, _) => meaning(Again::Unsure, Blame::Nobody, Told::Unavailable),
        // A success that is none of the API's, or no status that HTTP knows.
        (_, _) => UNAVAILABLE,
    }
}

/// How attempts end, by their labels in the metrics, that say nothing against their backends.
const INNOCENT: [&str; 14] = [
    "ok",
    "client_left",
    "stale_connection",
    "no_backend",
    "all_busy",
    "drain_over",
    "answer_forbidden",
    "flagged",
    "not_moderated",
    "too_large",
    "event_too_large",
    "rejected",
    "context_overflow",
    "content_policy",
];

/// Whether an attempt that ended so, by its label in the metrics, says something against its backend. Of labels that
/// stand for several ends, one that usually does is enough.
pub fn blames(outcome: &str) -> bool {
    !INNOCENT.contains(&outcome)
}

/// The status that an error would have had, if it had been sent as one.
fn usual(reason: Reason) -> u16 {
    match reason {
        Reason::RateLimited => 429,
        Reason::Capacity => 503,
        Reason::ContextOverflow | Reason::Unsupported => 400,
        Reason::BadCredential => 401,
        Reason::Quota => 402,
        Reason::ContentPolicy => 403,
        Reason::NoSuchModel => 404,
        Reason::Other => 500,
    }
}

/// What the client has of the answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sent {
    /// Nothing: the failure can still be hidden.
    Nothing,
    /// Part of the answer: it can only be told.
    Some,
}

/// What a request has cost so far, the failed attempt included.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Spent {
    /// Attempts in all.
    pub attempts: usize,
    /// Attempts that a backend may have worked on.
    pub unsure: usize,
}

/// What to do after a failed attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub enum Verdict {
    /// Ask another backend, if the budget allows.
    TryNext,
    /// Ask another route.
    TryOtherRoute,
    Refuse,
}

/// Whether a request may be asked again.
pub fn verdict(again: Again, sent: Sent, spent: Spent, rules: &super::retry::RetryRules) -> Verdict {
    match sent {
        Sent::Some => return Verdict::Refuse,
        Sent::Nothing if spent.attempts >= rules.attempts => return Verdict::Refuse,
        Sent::Nothing => {}
    }
    let resend = if spent.unsure > rules.resend { Verdict::Refuse } else { Verdict::TryNext };
    match again {
        Again::Safe => Verdict::TryNext,
        Again::OtherRoute => Verdict::TryOtherRoute,
        Again::Unsure => resend,
        Again::OutOfTime if rules.on_timeout => resend,
        Again::OutOfTime | Again::Never => Verdict::Refuse,
    }
}

/// Whether the next attempt would be the last one, if it ended so that it may have been worked on. It had
/// better go to another route then.
pub fn is_last_chance(spent: Spent, rules: &super::retry::RetryRules) -> bool {
    spent.attempts + 1 >= rules.attempts || spent.unsure >= rules.resend
}

/// Whether an attempt that ended so may have been worked on.
pub fn is_unsure(again: Again) -> bool {
    match again {
        Again::Unsure | Again::OutOfTime => true,
        Again::Safe | Again::OtherRoute | Again::Never => false,
    }
}

#[cfg(test)]
mod tests;
