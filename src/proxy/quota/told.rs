//! A request's limits in the words of a shared store: what it is asked, and what it is told afterwards.

use std::sync::Arc;
use std::time::SystemTime;

use super::Moment;
use crate::rules::limits::LimitKind;
use crate::rules::limits::book::{Charge, Limit, Reservation};
use crate::rules::store::{Ask, Change, Span};

/// What a reservation asks of a shared store.
pub(super) fn asks_of(taken: &Reservation, now: Moment, instances: u64) -> Vec<(LimitKind, Ask)> {
    let today = now.when.today;
    let mut asks = Vec::new();
    for limit in taken.limits() {
        for kind in LimitKind::ALL {
            let Some(most) = limit.rules.of(kind) else { continue };
            let (window, amount) = match kind {
                LimitKind::Concurrent => continue,
                LimitKind::RequestsPerMinute => (Span::Minute, 1),
                LimitKind::TokensPerMinute => (Span::Minute, taken.tokens()),
                LimitKind::TokensPerDay => (Span::Day { number: today.day }, taken.tokens()),
                LimitKind::TokensPerMonth => (Span::Month { number: today.month }, taken.tokens()),
            };
            let local = taken.used(limit, kind, now.when);
            let share = most.div_ceil(instances.max(1));
            asks.push((
                kind,
                Ask { key: key(limit, kind), window, limit: most, amount: amount.min(most), local, share },
            ));
        }
    }
    asks
}

fn key(limit: &Limit, kind: LimitKind) -> Arc<str> {
    format!("{}:{}", limit.name, kind.label()).into()
}

/// What a store has to count that was not asked.
pub(super) fn taking(taken: &Reservation, at: SystemTime) -> Vec<Change> {
    changes(taken, at, 1, |taken| taken)
}

/// What a store has to change of what it has counted.
pub(super) fn settling(taken: &Reservation, charge: Charge, at: SystemTime) -> Vec<Change> {
    match charge {
        Charge::Nothing => changes(taken, at, -1, |taken| -taken),
        Charge::Tokens(used) => changes(taken, at, 0, |taken| signed(used) - taken),
    }
}

/// Changes of all counters of a reservation, the tokens' by what was taken of each.
fn changes(
    taken: &Reservation,
    taken_at: SystemTime,
    requests: i64,
    tokens: impl Fn(i64) -> i64,
) -> Vec<Change> {
    let today = taken.taken().today;
    let mut changes = Vec::new();
    for limit in taken.limits() {
        for kind in LimitKind::ALL {
            let Some(most) = limit.rules.of(kind) else { continue };
            // A store never takes more than all of it.
            let of_tokens = tokens(signed(taken.tokens().min(most)));
            let (window, amount) = match kind {
                LimitKind::Concurrent => continue,
                LimitKind::RequestsPerMinute => (Span::Minute, requests),
                LimitKind::TokensPerMinute => (Span::Minute, of_tokens),
                LimitKind::TokensPerDay => (Span::Day { number: today.day }, of_tokens),
                LimitKind::TokensPerMonth => (Span::Month { number: today.month }, of_tokens),
            };
            if amount != 0 {
                // A debt is made now; what is given back is given back to when it was taken.
                let taken_at = if amount > 0 && requests == 0 { SystemTime::now() } else { taken_at };
                changes.push(Change { key: key(limit, kind), window, taken_at, amount });
            }
        }
    }
    changes
}

fn signed(amount: u64) -> i64 {
    i64::try_from(amount).unwrap_or(i64::MAX)
}
