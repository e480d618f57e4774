//! Sets the metrics that are only looked at when somebody asks: backends' health, what is left of limits, and what
//! clients take of us.

use std::time::{Instant, SystemTime};

use crate::config::snapshot::Snapshot;
use crate::metrics::Metrics;
use crate::proxy::door::seats::Seats;
use crate::rules::buffered::Buffered;
use crate::rules::limits::LimitKind;
use crate::rules::limits::book::{Book, Limit, When};
use crate::rules::limits::period::Today;

/// Sets them to what is so now.
pub fn now(snapshot: &Snapshot, metrics: &Metrics) {
    let now = snapshot.origin.tick(Instant::now());
    snapshot.pools.iter().for_each(|pool| pool.observe(now));
    let when = When { now, today: Today::at(SystemTime::now()) };
    let of_tenants = snapshot.tenants.iter().flat_map(|tenant| {
        let own = tenant.limit.iter().map(move |limit| ("", "", &*tenant.book, limit));
        let aliases = tenant
            .catalog
            .entries()
            .filter_map(move |entry| Some((entry.alias.as_str(), "", &*tenant.book, entry.limit.as_ref()?)));
        own.chain(aliases).map(move |(model, key, book, limit)| (tenant.id.as_str(), model, key, book, limit))
    });
    let of_keys = snapshot.keys.principals().filter_map(|caller| {
        let tenant = snapshot.tenant(caller)?;
        Some((tenant.id.as_str(), "", caller.key.as_str(), &*tenant.book, caller.limit.as_ref()?))
    });
    let of_pools = snapshot.pools.iter().filter_map(|pool| {
        let gate = pool.gate.as_ref()?;
        Some(("", "", pool.name.as_str(), &*gate.book, &gate.limit))
    });
    let all = of_tenants.chain(of_keys).chain(of_pools);
    metrics.remaining(all.flat_map(|(tenant, model, whose, book, limit)| {
        left(book, limit, when).map(move |(kind, left)| (tenant, model, named(whose, kind), left))
    }));
}

/// Sets what clients take of us to what is so now.
pub fn clients(seats: &Seats, buffered: &Buffered, metrics: &Metrics) {
    let number = |n: usize| i64::try_from(n).unwrap_or(i64::MAX);
    let census = seats.census();
    metrics.connections.idle.set(number(census.idle));
    metrics.connections.busy.set(number(census.busy));
    metrics.body_bytes.set(number(buffered.bytes()));
}

/// What is left of each limit of one entity, for all gateways that share it as far as a store has told of them.
pub fn left(book: &Book, limit: &Limit, when: When) -> impl Iterator<Item = (LimitKind, u64)> {
    LimitKind::ALL.into_iter().filter_map(move |kind| {
        let most = limit.rules.of(kind)?;
        Some((kind, most.saturating_sub(book.used_by_all(limit, kind, when))))
    })
}

/// A key's or a pool's limit is told apart by its name.
fn named(whose: &str, kind: LimitKind) -> String {
    if whose.is_empty() { kind.label().to_owned() } else { format!("{whose}/{}", kind.label()) }
}
