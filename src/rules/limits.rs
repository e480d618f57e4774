//! Limits that are true: each has counters of its own, and all that apply to a request are taken at once or not at all.

pub mod book;
mod cell;
mod line;
pub mod meter;
pub mod period;
pub mod standing;
pub mod ticket;

#[cfg(test)]
mod tests;

use std::time::Duration;

/// How long a client is told to wait for a slot. Nobody knows how long requests take.
pub const SLOT_WAIT: Duration = Duration::from_secs(1);

/// The locks of counters. `tests/permit` compiles the book with others, and tries orders of threads with them.
mod sync {
    pub(super) use std::sync::{Mutex, MutexGuard};
}

/// What an entity may use. `None` is without limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct LimitRules {
    pub requests_per_minute: Option<u64>,
    pub tokens_per_minute: Option<u64>,
    pub concurrent: Option<u64>,
    /// By the day of UTC.
    pub tokens_per_day: Option<u64>,
    /// By the month of UTC.
    pub tokens_per_month: Option<u64>,
}

/// How requests wait for a free slot instead of being refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct QueueRules {
    /// The longest wait.
    pub wait: Duration,
    /// The most that wait for one alias.
    pub depth: usize,
}

/// Which kind of limit refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum LimitKind {
    RequestsPerMinute,
    TokensPerMinute,
    Concurrent,
    TokensPerDay,
    TokensPerMonth,
}

impl LimitKind {
    /// All of them.
    pub const ALL: [Self; 5] = [
        Self::RequestsPerMinute,
        Self::TokensPerMinute,
        Self::Concurrent,
        Self::TokensPerDay,
        Self::TokensPerMonth,
    ];

    /// Its name in the configuration, also a label.
    pub fn label(self) -> &'static str {
        match self {
            Self::RequestsPerMinute => "requests_per_minute",
            Self::TokensPerMinute => "tokens_per_minute",
            Self::Concurrent => "concurrent",
            Self::TokensPerDay => "tokens_per_day",
            Self::TokensPerMonth => "tokens_per_month",
        }
    }

    /// The same as a reason when it is a pool's: then it is not the caller's own doing.
    pub fn pool_label(self) -> &'static str {
        match self {
            Self::RequestsPerMinute => "pool_requests_per_minute",
            Self::TokensPerMinute => "pool_tokens_per_minute",
            Self::Concurrent => "pool_concurrent",
            Self::TokensPerDay => "pool_tokens_per_day",
            Self::TokensPerMonth => "pool_tokens_per_month",
        }
    }
}

impl LimitRules {
    /// The limit of one kind.
    pub fn of(&self, kind: LimitKind) -> Option<u64> {
        match kind {
            LimitKind::RequestsPerMinute => self.requests_per_minute,
            LimitKind::TokensPerMinute => self.tokens_per_minute,
            LimitKind::Concurrent => self.concurrent,
            LimitKind::TokensPerDay => self.tokens_per_day,
            LimitKind::TokensPerMonth => self.tokens_per_month,
        }
    }

    /// Whether there is any.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Whether any of them counts tokens.
    pub fn counts_tokens(&self) -> bool {
        self.tokens_per_minute.or(self.tokens_per_day).or(self.tokens_per_month).is_some()
    }
}
