//! Counters with one label whose words are a closed set, each shown from the start: a field for each word.

use prometheus::{IntCounter, IntCounterVec};

/// A counter for each end that a change of what runs can have.
#[derive(Debug)]
pub struct ReloadMetrics {
    pub taken: IntCounter,
    pub refused: IntCounter,
}

impl ReloadMetrics {
    pub(super) fn of(outcomes: &IntCounterVec) -> Self {
        Self { taken: outcomes.with_label_values(&["ok"]), refused: outcomes.with_label_values(&["refused"]) }
    }
}

/// A counter for each log.
#[derive(Debug)]
pub struct LogMetrics {
    pub access: IntCounter,
    pub events: IntCounter,
}

impl LogMetrics {
    pub(super) fn of(logs: &IntCounterVec) -> Self {
        Self { access: logs.with_label_values(&["access"]), events: logs.with_label_values(&["events"]) }
    }
}

/// A counter for each end that a trace can have.
#[derive(Debug, Clone)]
pub struct TraceMetrics {
    pub sent: IntCounter,
    /// There was no room for it.
    pub dropped: IntCounter,
    /// The collector has not taken it.
    pub failed: IntCounter,
}

impl TraceMetrics {
    pub(super) fn of(outcomes: &IntCounterVec) -> Self {
        Self {
            sent: outcomes.with_label_values(&["sent"]),
            dropped: outcomes.with_label_values(&["dropped"]),
            failed: outcomes.with_label_values(&["failed"]),
        }
    }
}

/// One counter for each cap.
#[derive(Debug)]
pub struct CapMetrics {
    pub max_body: IntCounter,
    pub max_head: IntCounter,
    pub max_event: IntCounter,
    pub max_response: IntCounter,
    pub max_buffered: IntCounter,
    /// A tenant's share of it.
    pub max_buffered_share: IntCounter,
}

impl CapMetrics {
    pub(super) fn of(caps: &IntCounterVec) -> Self {
        Self {
            max_body: caps.with_label_values(&["max_body"]),
            max_head: caps.with_label_values(&["max_head"]),
            max_event: caps.with_label_values(&["max_event"]),
            max_response: caps.with_label_values(&["max_response"]),
            max_buffered: caps.with_label_values(&["max_buffered"]),
            max_buffered_share: caps.with_label_values(&["max_buffered_share"]),
        }
    }
}
