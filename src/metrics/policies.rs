//! What is counted of content policies.

use std::collections::{HashMap, HashSet};
use std::sync::{PoisonError, RwLock};

use prometheus::{Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, Opts, Registry};

use super::registered;

/// A moderator answers in tens of milliseconds to seconds.
const MODERATION: &[f64] = &[0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 60.0];

/// How a moderator can answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Moderated {
    Clean,
    Flagged,
    /// Nothing in time.
    TimedOut,
    /// Nothing that could be understood.
    Failed,
    /// It was not asked about a part that it cannot judge.
    Unjudged,
}

impl Moderated {
    const ALL: [Self; 5] = [Self::Clean, Self::Flagged, Self::TimedOut, Self::Failed, Self::Unjudged];

    /// The label's text.
    fn label(self) -> &'static str {
        match self {
            Self::Clean => "clean",
            Self::Flagged => "flagged",
            Self::TimedOut => "timeout",
            Self::Failed => "error",
            Self::Unjudged => "unjudged",
        }
    }
}

/// How often moderators are asked, and how they answer.
#[derive(Debug)]
pub struct PolicyMetrics {
    moderations: IntCounterVec,
    seconds: HistogramVec,
    /// Of the policies that are configured and have a moderator.
    by_policy: RwLock<HashMap<String, Handles>>,
}

/// What is counted of one moderator.
#[derive(Debug)]
struct Handles {
    outcomes: [(Moderated, IntCounter); Moderated::ALL.len()],
    seconds: Histogram,
}

impl Handles {
    fn count(&self, outcome: Moderated) {
        if let Some((_, counter)) = self.outcomes.iter().find(|(of, _)| *of == outcome) {
            counter.inc();
        }
    }
}

impl PolicyMetrics {
    pub(super) fn new(registry: &Registry) -> prometheus::Result<Self> {
        let help = "Requests that a moderator was asked about, or could not be.";
        let opts = Opts::new("moderations_total", help);
        let moderations = registered(registry, IntCounterVec::new(opts, &["policy", "outcome"])?)?;
        let opts = HistogramOpts::new("moderation_seconds", "How long a moderator took to answer.");
        let opts = opts.buckets(MODERATION.to_vec());
        let seconds = registered(registry, HistogramVec::new(opts, &["policy"])?)?;
        Ok(Self { moderations, seconds, by_policy: RwLock::default() })
    }

    /// A policy has a moderator: its series are shown from now on.
    pub fn has_moderator(&self, policy: &str) {
        let mut by_policy = self.by_policy.write().unwrap_or_else(PoisonError::into_inner);
        let outcomes = Moderated::ALL
            .map(|outcome| (outcome, self.moderations.with_label_values(&[policy, outcome.label()])));
        let seconds = self.seconds.with_label_values(&[policy]);
        by_policy.insert(policy.to_owned(), Handles { outcomes, seconds });
    }

    /// Counts a moderator's answer, unless its policy is no more.
    pub fn moderated(&self, policy: &str, outcome: Moderated, seconds: f64) {
        let by_policy = self.by_policy.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(handles) = by_policy.get(policy) {
            handles.count(outcome);
            handles.seconds.observe(seconds);
        }
    }

    /// Counts a request with a part that a moderator cannot be asked about, unless its policy is no more.
    pub fn unjudged(&self, policy: &str) {
        let by_policy = self.by_policy.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(handles) = by_policy.get(policy) {
            handles.count(Moderated::Unjudged);
        }
    }

    /// Forgets the series of policies that are no more.
    pub(super) fn forget(&self, gone: &HashSet<&String>) {
        let mut by_policy = self.by_policy.write().unwrap_or_else(PoisonError::into_inner);
        for policy in gone {
            by_policy.remove(policy.as_str());
            // What was never counted cannot be removed, and need not be.
            for outcome in Moderated::ALL {
                let _ = self.moderations.remove_label_values(&[policy.as_str(), outcome.label()]);
            }
            let _ = self.seconds.remove_label_values(&[policy.as_str()]);
        }
    }
}
