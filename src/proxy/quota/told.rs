//! A request's limits in the words of a shared store: what it is asked, and what it is told afterwards.

use std::sync::Arc;
use std::time::SystemTime;

use super::Moment;
use crate::rules::limits::LimitKind;
use crate::rules::limits::book::{Charge, Limit, Reservation};
use crate::rules::limits::period::Today;
use crate::rules::store::{Ask, Change, Span};

/// What a reservation asks of a shared store, and of which of its limits.
pub(super) fn asks_of(taken: &Reservation, now: Moment, instances: u64) -> Vec<(Limit, LimitKind, Ask)> {
    let mut asks = Vec::new();
    for limit in taken.limits() {
        for kind in LimitKind::ALL {
            let counted = limit.rules.of(kind).zip(window(kind, now.when.today));
            let Some((most, window)) = counted else { continue };
            let amount = if kind == LimitKind::RequestsPerMinute { 1 } else { taken.tokens() };
            let local = taken.used(limit, kind, now.when);
            let share = most.div_ceil(instances.max(1));
            asks.push((
                limit.clone(),
                kind,
                Ask { key: key(limit, kind), window, limit: most, amount: amount.min(most), local, share },
            ));
        }
    }
    asks
}

/// The window that a store counts a kind of limit in; it knows nothing of slots.
fn window(kind: LimitKind, today: Today) -> Option<Span> {
    match kind {
        LimitKind::Concurrent => None,
        LimitKind::RequestsPerMinute | LimitKind::TokensPerMinute => Some(Span::Minute),
        LimitKind::TokensPerDay => Some(Span::Day { number: today.day }),
        LimitKind::TokensPerMonth => Some(Span::Month { number: today.month }),
    }
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
    let mut changes = Vec::new();
    for limit in taken.limits() {
        for kind in LimitKind::ALL {
            let counted = limit.rules.of(kind).zip(window(kind, taken.taken().today));
            let Some((most, window)) = counted else { continue };
            let amount = if kind == LimitKind::RequestsPerMinute {
                requests
            } else {
                // A store never takes more than all of it.
                tokens(signed(taken.tokens().min(most)))
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
