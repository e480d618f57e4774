//! Pools and their backends as tables: what is in trouble comes first, then what has most traffic.

use std::collections::BTreeMap;

use maud::{Markup, html};

use super::cells::{badge, by_traffic, heads, latency, limits, links, number, pace, reasons, spark};
use super::facts::{BackendFacts, Facts, PoolFacts};
use super::look::{Look, address};
use super::words::{count, rate, spaced};
use crate::rules::failover;
use crate::rules::pools::condition::Condition;

/// So many pools are shown at once.
const MOST_POOLS: usize = 50;
/// So many backends of all pools are shown at once.
const MOST_BACKENDS: usize = 200;
/// So many backends of one pool, when nothing else is shown.
const MOST_ALONE: usize = 500;
/// With no more pools than this all of them are unfolded.
const FEW_POOLS: usize = 8;

/// How bad a backend is: 0 is good.
fn badness(backend: &BackendFacts) -> u8 {
    match backend.condition {
        Some(Condition::Good) if backend.addresses.iter().all(|address| address.up) => 0,
        Some(Condition::Good | Condition::Slow | Condition::OnTrial | Condition::LeftAlone(_)) => 1,
        None | Some(Condition::CredentialRefused | Condition::BreakerOpen | Condition::Down) => 2,
    }
}

fn worst(pool: &PoolFacts) -> u8 {
    pool.backends.iter().map(badness).max().unwrap_or(2)
}

fn kind(badness: u8) -> &'static str {
    match badness {
        0 => "good",
        1 => "warn",
        _ => "bad",
    }
}

/// All pools with their backends.
pub fn pools(facts: &Facts, look: &Look) -> Markup {
    let mut pools: Vec<_> = facts.pools.iter().collect();
    pools.sort_by_key(|pool| {
        let attempts = pool.backends.iter().map(|backend| backend.attempts).sum();
        (std::cmp::Reverse(worst(pool)), by_traffic(&pool.pace, attempts))
    });
    let unfolded = pools.len() <= FEW_POOLS;
    let mut room = if look.pool.is_some() { MOST_ALONE } else { MOST_BACKENDS };
    let shown: Vec<_> = pools
        .iter()
        .take(MOST_POOLS)
        .map(|pool| {
            let rows = pool.backends.len().min(room);
            room -= rows;
            (pool, rows)
        })
        .collect();
    html! {
        @if !pools.is_empty() {
            section aria-labelledby="pools" {
                h2 id="pools" { "Pools" }
                @for (pool, rows) in shown { (self::pool(pool, rows, unfolded || worst(pool) > 1, look)) }
                (links("pool", "pools", pools.iter().skip(MOST_POOLS).map(|pool| pool.name.as_str())))
            }
        }
    }
}

fn pool(pool: &PoolFacts, rows: usize, open: bool, look: &Look) -> Markup {
    let mut backends: Vec<_> = pool.backends.iter().collect();
    backends.retain(|backend| look.finds(&pool.name) || look.finds(&backend.name));
    backends.sort_by_key(|backend| {
        (std::cmp::Reverse(badness(backend)), by_traffic(&backend.pace, backend.attempts))
    });
    let state = match (pool.usable, pool.backends.len()) {
        (0, _) => "bad",
        (usable, all) if usable < all => "warn",
        _ => "good",
    };
    let rest = backends.len().saturating_sub(rows);
    html! {
        details.pool data-key={ "pool " (pool.name) } open[open] {
            summary {
                h3 { (pool.name) }
                (badge(state, &format!("{} of {} can be asked", pool.usable, pool.backends.len())))
                span.n { (pool.pace.per_second.map_or_else(|| "–".to_owned(), rate)) small { " /s" } }
                (spark(&pool.pace))
                small { (spaced(pool.balance)) }
            }
            @if !pool.limits.is_empty() { p { (limits(&pool.limits)) } }
            @if rows > 0 {
                table role="table" aria-label={ "Backends of pool " (pool.name) } {
                    (heads(&[
                        ("Backend", ""), ("State", ""), ("Rate", ""), ("In flight", "n"), ("First byte", "n"),
                        ("Attempts", "n"), ("Failures", "n"), ("Weight", "n"),
                    ]))
                    tbody role="rowgroup" { @for backend in backends.iter().take(rows) { (self::backend(backend)) } }
                }
            }
            @if rest > 0 {
                p.more { a href=(address("pool", &pool.name)) { (count(rest as u64)) " more backends of this pool" } }
            }
        }
    }
}

fn backend(backend: &BackendFacts) -> Markup {
    let ended = |blamed: bool| -> BTreeMap<_, _> {
        let of = |outcome: &str| outcome != "ok" && failover::blames(outcome) == blamed;
        let all = backend.outcomes.iter().filter(|(outcome, _)| of(outcome));
        all.map(|(outcome, number)| (outcome.clone(), *number)).collect()
    };
    html! {
        tr role="row" data-key=(backend.name) {
            th role="rowheader" scope="row" {
                (backend.name)
                @if backend.addresses.len() > 1 {
                    details.addresses {
                        summary { (backend.addresses.len()) " addresses" }
                        ul {
                            @for address in &backend.addresses {
                                li {
                                    (address.address) ": " (spaced(address.state)) ", "
                                    (address.in_flight) " in flight"
                                }
                            }
                        }
                    }
                }
            }
            td role="cell" data-label="State" .state {
                (badge(kind(badness(backend)), &spaced(backend.state)))
                @if backend.breaker != "closed" && backend.state == "checks_fail" { br; small { "breaker " (spaced(backend.breaker)) } }
                @if backend.credential == "refused" && backend.state != "credential_refused" { br; small { "credential refused" } }
            }
            (pace(&backend.pace))
            (number("In flight", u64::from(backend.in_flight)))
            (latency("First byte", backend.latency_ms))
            (number("Attempts", backend.attempts))
            td role="cell" data-label="Failures" .n {
                (count(backend.failures))
                @if backend.failures > 0 { small.why { (reasons(&ended(true))) } }
                @if backend.other_ends > 0 { small.why { "no failures: " (reasons(&ended(false))) } }
            }
            (number("Weight", u64::from(backend.weight)))
        }
    }
}
