//! What is counted for one alias and for one backend: handles that are made when it is first configured.

use std::sync::Arc;

use once_cell::sync::OnceCell;
use prometheus::{Histogram, IntCounter, IntCounterVec, IntGauge};

use super::late::{ByWord, LateCounter, LateHistogram, Owner};
use super::{STATUSES, TokenSource};
use crate::error::GatewayError;

/// A counter for each way of knowing.
#[derive(Debug)]
pub(super) struct BySource {
    pub(super) upstream: LateCounter,
    pub(super) estimated: LateCounter,
}

/// What is counted for one alias of one tenant. All but `in_flight` is shown from its first request on, so that an
/// alias that nobody asks for costs one series.
#[derive(Debug)]
pub struct AliasMetrics {
    pub(super) owner: Arc<Owner>,
    pub(super) requests: IntCounterVec,
    pub(super) by_status: [OnceCell<Option<IntCounter>>; STATUSES.len()],
    pub(super) refusals: ByWord<2>,
    pub duration: LateHistogram,
    /// Our own share of a request's time.
    pub overhead: LateHistogram,
    pub first_token: LateHistogram,
    /// Between two useful pieces of a stream.
    pub between: LateHistogram,
    pub in_flight: IntGauge,
    pub(super) reserved: LateCounter,
    pub(super) settled: LateCounter,
    pub(super) prompt: BySource,
    pub(super) completion: BySource,
}

impl AliasMetrics {
    /// Counts an answered request.
    pub fn answered(&self, status: u16) {
        let cell = STATUSES.iter().position(|s| *s == status).and_then(|at| self.by_status.get(at));
        let make = || self.owner.series(&self.requests, &[&status.to_string()]);
        if let Some(counter) = cell.map_or_else(make, |cell| cell.get_or_init(make).clone()) {
            counter.inc();
        }
    }

    /// Counts a refusal by its reason.
    pub fn refused(&self, error: &GatewayError) {
        self.refusals.inc([error.reason(), error.fault().label()]);
    }

    /// Counts tokens that were taken from limits by estimate, and what they came to.
    pub fn settled(&self, reserved: u64, settled: u64) {
        self.reserved.inc_by(reserved);
        self.settled.inc_by(settled);
    }

    /// Counts used tokens.
    pub fn used(&self, prompt: u64, completion: u64, source: TokenSource) {
        let (of_prompt, of_completion) = match source {
            TokenSource::Upstream => (&self.prompt.upstream, &self.completion.upstream),
            TokenSource::Estimated => (&self.prompt.estimated, &self.completion.estimated),
        };
        of_prompt.inc_by(prompt);
        of_completion.inc_by(completion);
    }
}

/// What is counted for one backend.
#[derive(Debug)]
pub struct BackendMetrics {
    pub(super) ok: IntCounter,
    pub(super) attempts: ByWord<1>,
    pub latency: Histogram,
    pub up: IntGauge,
    pub breaker: IntGauge,
    pub in_flight: IntGauge,
    pub credential_refused: IntCounter,
    pub(super) checks: ByWord<1>,
    pub(super) lookups: ByWord<1>,
}

impl BackendMetrics {
    /// An attempt that led to a complete answer.
    pub fn succeeded(&self) {
        self.ok.inc();
    }

    /// An attempt that failed; `outcome` comes from a closed set.
    pub fn failed(&self, outcome: &'static str) {
        self.attempts.inc([outcome]);
    }

    /// An active health check; `outcome` comes from a closed set.
    pub fn checked(&self, outcome: &'static str) {
        self.checks.inc([outcome]);
    }

    /// A lookup of its name; `outcome` comes from a closed set.
    pub fn looked_up(&self, outcome: &'static str) {
        self.lookups.inc([outcome]);
    }
}
