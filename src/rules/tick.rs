//! Points in time as plain numbers, so that they fit into atomics. Nobody here asks a clock.

use std::time::{Duration, Instant};

/// Nanoseconds since an [`Origin`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Tick(u64);

/// Where ticks are counted from. One for the whole process, so that what was learnt of a backend
/// outlives a configuration.
#[derive(Debug, Clone, Copy)]
pub struct Origin(Instant);

impl Origin {
    /// Counts from here. It should lie in the past: times before it are all tick 0.
    pub fn new(at: Instant) -> Self {
        Self(at)
    }

    /// A point in time as a tick.
    pub fn tick(self, now: Instant) -> Tick {
        Tick(nanos(now.saturating_duration_since(self.0)))
    }
}

impl Tick {
    /// The origin itself.
    pub const ZERO: Self = Self(0);

    /// So many nanoseconds after the origin.
    pub const fn new(nanos: u64) -> Self {
        Self(nanos)
    }

    /// Nanoseconds since the origin.
    pub const fn nanos(self) -> u64 {
        self.0
    }

    /// Whole seconds since the origin.
    pub const fn seconds(self) -> u64 {
        self.0 / 1_000_000_000
    }

    /// This much later.
    pub fn plus(self, time: Duration) -> Self {
        Self(self.0.saturating_add(nanos(time)))
    }

    /// How long after `earlier`; nothing when it is not.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }
}

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}
