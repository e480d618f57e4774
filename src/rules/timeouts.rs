//! How long a backend may take, part by part.

use std::time::Duration;

/// How long each part of an attempt may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timeouts {
    /// Connecting, TLS included.
    pub connect: Duration,
    /// From the sent request to the first useful event, or to the head of a JSON answer.
    pub first_byte: Duration,
    /// Silence between two useful events, or between two pieces of a JSON answer.
    pub idle: Duration,
    /// The whole request, all attempts together.
    pub total: Duration,
}
