//! What is counted of clients' connections.

use prometheus::{IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry};

use super::registered;

/// What becomes of clients' connections.
#[derive(Debug)]
pub struct ConnectionMetrics {
    /// Open without a request; set when somebody asks.
    pub idle: IntGauge,
    /// Open with a request; set when somebody asks.
    pub busy: IntGauge,
    /// Turned away because `max_connections` were busy.
    pub refused_all: IntCounter,
    /// Turned away because their address had `max_connections_per_address`.
    pub refused_address: IntCounter,
    /// Cut because a head took too long.
    pub cut_head: IntCounter,
    /// Cut because their TLS handshake came to nothing.
    pub cut_handshake: IntCounter,
    /// Cut because their client did not take what it was sent.
    pub cut_write: IntCounter,
    /// Idle ones that were cut to make room for others.
    pub cut_for_room: IntCounter,
}

impl ConnectionMetrics {
    pub(super) fn new(registry: &Registry) -> prometheus::Result<Self> {
        let opts = Opts::new("connections", "Connections of clients that are open now.");
        let open = registered(registry, IntGaugeVec::new(opts, &["state"])?)?;
        let reasons = |name: &str, help: &str| {
            registered(registry, IntCounterVec::new(Opts::new(name, help), &["reason"])?)
        };
        let refused = reasons("connections_refused_total", "Connections that were turned away at the door.")?;
        let cut = reasons("connections_cut_total", "Connections that were closed before their time.")?;
        Ok(Self {
            idle: open.with_label_values(&["idle"]),
            busy: open.with_label_values(&["busy"]),
            refused_all: refused.with_label_values(&["max_connections"]),
            refused_address: refused.with_label_values(&["max_connections_per_address"]),
            cut_head: cut.with_label_values(&["slow_head"]),
            cut_handshake: cut.with_label_values(&["tls"]),
            cut_write: cut.with_label_values(&["slow_reader"]),
            cut_for_room: cut.with_label_values(&["made_room"]),
        })
    }
}
