//! What is counted for one alias and for one backend: handles that are made when a configuration is.

use once_cell::sync::OnceCell;
use prometheus::{Histogram, IntCounter, IntCounterVec, IntGauge};

use super::{STATUSES, TokenSource};
use crate::error::GatewayError;

/// A counter for each way of knowing.
#[derive(Debug)]
pub(super) struct BySource {
    pub(super) upstream: IntCounter,
    pub(super) estimated: IntCounter,
}

/// What is counted for one alias of one tenant.
#[derive(Debug)]
pub struct AliasMetrics {
    pub(super) tenant: String,
    pub(super) model: String,
    pub(super) requests: IntCounterVec,
    /// Made when a status is first seen, so that an alias costs a few series and not all of them.
    pub(super) by_status: [OnceCell<IntCounter>; STATUSES.len()],
    pub(super) refusals: IntCounterVec,
    pub duration: Histogram,
    /// Our own share of a request's time.
    pub overhead: Histogram,
    pub first_token: Histogram,
    /// Between two useful pieces of a stream.
    pub between: Histogram,
    pub in_flight: IntGauge,
    pub(super) reserved: IntCounterVec,
    pub(super) settled: IntCounterVec,
    pub(super) prompt: BySource,
    pub(super) completion: BySource,
}

impl AliasMetrics {
    /// Counts an answered request.
    pub fn answered(&self, status: u16) {
        let cell = STATUSES.iter().position(|s| *s == status).and_then(|at| self.by_status.get(at));
        let make = || self.requests.with_label_values(&[&self.tenant, &self.model, &status.to_string()]);
        match cell {
            Some(cell) => cell.get_or_init(make).inc(),
            None => make().inc(),
        }
    }

    /// Counts a refusal by its reason.
    pub fn refused(&self, error: &GatewayError) {
        self.refusals
            .with_label_values(&[&self.tenant, &self.model, error.reason(), error.fault().label()])
            .inc();
    }

    /// Counts tokens that were taken from limits by estimate, and what they came to.
    pub fn settled(&self, reserved: u64, settled: u64) {
        let labels = &[&*self.tenant, &*self.model];
        self.reserved.with_label_values(labels).inc_by(reserved);
        self.settled.with_label_values(labels).inc_by(settled);
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
    pub(super) pool: String,
    pub(super) backend: String,
    pub(super) ok: IntCounter,
    pub(super) attempts: IntCounterVec,
    pub latency: Histogram,
    pub up: IntGauge,
    pub breaker: IntGauge,
    pub in_flight: IntGauge,
    pub credential_refused: IntCounter,
    pub(super) checks: IntCounterVec,
    pub(super) lookups: IntCounterVec,
}

impl BackendMetrics {
    /// An attempt that led to a complete answer.
    pub fn succeeded(&self) {
        self.ok.inc();
    }

    /// An attempt that failed; `outcome` comes from a closed set.
    pub fn failed(&self, outcome: &'static str) {
        self.attempts.with_label_values(&[&self.pool, &self.backend, outcome]).inc();
    }

    /// An active health check; `outcome` comes from a closed set.
    pub fn checked(&self, outcome: &'static str) {
        self.checks.with_label_values(&[&self.pool, &self.backend, outcome]).inc();
    }

    /// A lookup of its name; `outcome` comes from a closed set.
    pub fn looked_up(&self, outcome: &'static str) {
        self.lookups.with_label_values(&[&self.pool, &self.backend, outcome]).inc();
    }
}
