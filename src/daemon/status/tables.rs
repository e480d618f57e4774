//! The tables of the page. What is in trouble comes first, then what has most traffic; what is too much to show
//! is linked to.

use std::collections::BTreeMap;

use maud::{Markup, PreEscaped, html};

use super::facts::{
    AliasFacts, BackendFacts, Facts, KeyFacts, Latency, LimitFacts, PoolFacts, TenantFacts, Tokens,
};
use super::history::{POINTS, Pace};
use super::look::{Look, address};
use super::words::{count, millis, rate, spaced};
use crate::rules::pools::condition::Condition;

/// So many tenants, and so many aliases, are shown at once.
const MOST_ROWS: usize = 50;
/// So many pools are shown at once.
const MOST_POOLS: usize = 50;
/// So many backends of all pools are shown at once.
const MOST_BACKENDS: usize = 200;
/// As many rows of one tenant or one pool as are shown when nothing else is.
const MOST_ALONE: usize = 500;
/// So many names are linked to below a table.
const MOST_LINKS: usize = 2000;
/// With no more pools than this all of them are unfolded.
const FEW_POOLS: usize = 8;

/// A word with a sign, so that it is not told by colour alone. `kind` is `good`, `warn` or `bad`.
pub fn badge(kind: &str, word: &str) -> Markup {
    let sign = match kind {
        "good" => "✓",
        "warn" => "!",
        _ => "✕",
    };
    html! { span class={ "badge " (kind) } { span aria-hidden="true" { (sign) } " " (word) } }
}

/// The last two minutes as a line.
pub fn spark(pace: &Pace) -> Markup {
    const HEIGHT: f32 = 20.0;
    let most = pace.rates.iter().copied().fold(0.0, f32::max);
    if pace.rates.len() < 2 {
        return html! { svg.spark aria-hidden="true" {} };
    }
    let first = POINTS.saturating_sub(pace.rates.len());
    let mut points = String::with_capacity(pace.rates.len() * 7);
    if most > 0.0 {
        for (place, rate) in pace.rates.iter().enumerate() {
            let height = HEIGHT - 1.0 - rate / most * (HEIGHT - 2.0);
            points.push_str(&format!("{},{height:.0} ", (first + place) * 2));
        }
    } else {
        points = format!("{},19 {},19", first * 2, (POINTS - 1) * 2);
    }
    html! {
        svg.spark viewBox="0 0 118 20" preserveAspectRatio="none" aria-hidden="true" {
            polyline points=(points.trim_end()) {}
        }
    }
}

/// Why something was refused, the most frequent first.
pub fn reasons(reasons: &BTreeMap<String, u64>) -> String {
    let mut all: Vec<_> = reasons.iter().filter(|(_, count)| **count > 0).collect();
    all.sort_by_key(|(_, count)| std::cmp::Reverse(**count));
    let words: Vec<_> = all
        .iter()
        .take(4)
        .map(|(reason, number)| format!("{} {}", spaced(reason), count(**number)))
        .collect();
    words.join(", ")
}

fn pace(of: &Pace) -> Markup {
    html! {
        td role="cell" data-label="Rate" .rate {
            span.n { (of.per_second.map_or_else(|| "–".to_owned(), rate)) small { " /s" } }
            (spark(of))
        }
    }
}

fn number(label: &str, n: u64) -> Markup {
    html! { td role="cell" data-label=(label) .n { (count(n)) } }
}

fn heads(names: &[(&str, &str)]) -> Markup {
    html! {
        thead role="rowgroup" {
            tr role="row" { @for (name, class) in names { th role="columnheader" scope="col" class=(class) { (name) } } }
        }
    }
}

fn limits(of: &[LimitFacts]) -> Markup {
    html! {
        @for limit in of {
            @let left = 100 - limit.percent().min(100);
            span.limit {
                svg.bar viewBox="0 0 100 6" preserveAspectRatio="none" aria-hidden="true" {
                    rect.track width="100" height="6" {}
                    rect class=(if left <= 10 { "low" } else { "fill" }) width=(left) height="6" {}
                }
                span { b { (count(limit.left)) } " of " (count(limit.most)) " " (spaced(limit.limit)) " left" }
            }
        }
    }
}

fn limits_cell(of: &[LimitFacts]) -> Markup {
    html! {
        @if of.is_empty() {
            td role="cell" .limits.unlimited { span.none { "none" } }
        } @else {
            td role="cell" data-label="Limits" .limits { (limits(of)) }
        }
    }
}

fn refused(number: u64, why: &BTreeMap<String, u64>) -> Markup {
    html! {
        td role="cell" data-label="Refused" .n {
            (count(number))
            @if number > 0 { small.why { (reasons(why)) } }
        }
    }
}

fn tokens(of: Tokens) -> Markup {
    html! {
        td role="cell" data-label="Tokens" .n {
            (count(of.prompt)) small { " in" } br; (count(of.completion)) small { " out" }
        }
    }
}

fn latency(label: &str, of: Latency) -> Markup {
    html! {
        td role="cell" data-label=(label) .n {
            @match (of.stream, of.whole) {
                (None, None) => span.none { "–" },
                (stream, whole) => {
                    @if let Some(ms) = stream { (millis(ms)) small { " stream" } }
                    @if stream.is_some() && whole.is_some() { br; }
                    @if let Some(ms) = whole { (millis(ms)) small { " whole" } }
                },
            }
        }
    }
}

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

fn links<'n>(name: &str, what: &str, rest: impl Iterator<Item = &'n str>) -> Markup {
    let rest: Vec<_> = rest.collect();
    html! {
        @if !rest.is_empty() {
            details.links {
                summary { (count(rest.len() as u64)) " more " (what) }
                ul { @for one in rest.iter().take(MOST_LINKS) { li { a href=(address(name, one)) { (one) } } } }
                @if rest.len() > MOST_LINKS {
                    p.more { "and " (rest.len() - MOST_LINKS) " more: look for their names above" }
                }
            }
        }
    }
}

/// The busiest of the last two minutes first, then of all time. Those that are about as busy stay in the order of
/// the file, so that rows do not change places whenever they are looked at.
fn by_traffic(of: &Pace, all: u64) -> std::cmp::Reverse<(u32, u32)> {
    let about = |n: u64| n.checked_ilog2().map_or(0, |magnitude| magnitude + 1);
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "an order of magnitude")]
    let late = of.rates.iter().sum::<f32>() as u64;
    std::cmp::Reverse((about(late), about(all)))
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
    let failures: BTreeMap<_, _> = backend
        .outcomes
        .iter()
        .filter(|(outcome, _)| *outcome != "ok")
        .map(|(o, n)| (o.clone(), *n))
        .collect();
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
                @if backend.failures > 0 { small.why { (reasons(&failures)) } }
            }
            (number("Weight", u64::from(backend.weight)))
        }
    }
}

/// Tenants and aliases; of one tenant alone, everything.
pub fn tenants(facts: &Facts, look: &Look) -> Markup {
    let mut tenants: Vec<_> = facts.tenants.iter().collect();
    tenants.sort_by_key(|tenant| by_traffic(&tenant.pace, tenant.requests));
    let finds =
        |alias: &AliasFacts, tenant: &TenantFacts| look.finds(&tenant.name) || look.finds(&alias.name);
    let mut aliases: Vec<_> =
        tenants.iter().flat_map(|of| of.aliases.iter().map(move |alias| (*of, alias))).collect();
    aliases.retain(|(tenant, alias)| finds(alias, tenant));
    aliases.sort_by_key(|(_, alias)| by_traffic(&alias.pace, alias.requests));
    let most = if look.tenant.is_some() { MOST_ALONE } else { MOST_ROWS };
    html! {
        @if !tenants.is_empty() {
            section aria-labelledby="tenants" {
                h2 id="tenants" { "Tenants" }
                table role="table" aria-labelledby="tenants" {
                    (heads(&[
                        ("Tenant", ""), ("Rate", ""), ("Requests", "n"), ("Refused", "n"), ("Tokens", "n"),
                        ("In flight", "n"), ("Limits", ""),
                    ]))
                    tbody role="rowgroup" { @for tenant in tenants.iter().take(MOST_ROWS) { (self::tenant(tenant)) } }
                }
                (links("tenant", "tenants", tenants.iter().skip(MOST_ROWS).map(|tenant| tenant.name.as_str())))
            }
        }
        @if !aliases.is_empty() {
            section aria-labelledby="aliases" {
                h2 id="aliases" { "Aliases" }
                table role="table" aria-labelledby="aliases" {
                    (heads(&[
                        ("Alias", ""), ("Rate", ""), ("Requests", "n"), ("Refused", "n"), ("Tokens", "n"),
                        ("In flight", "n"), ("First token", "n"), ("Limits", ""), ("Asks", ""),
                    ]))
                    tbody role="rowgroup" {
                        @for (tenant, alias) in aliases.iter().take(most) { (self::alias(tenant, alias)) }
                    }
                }
                @if aliases.len() > most {
                    p.more {
                        (count((aliases.len() - most) as u64)) " more aliases: choose a tenant, or look for a name"
                    }
                }
            }
        }
        @if look.tenant.is_some() { @for tenant in tenants { (keys(&tenant.keys)) } }
    }
}

fn tenant(tenant: &TenantFacts) -> Markup {
    html! {
        tr role="row" data-key=(tenant.name) {
            th role="rowheader" scope="row" { a href=(address("tenant", &tenant.name)) { (tenant.name) } }
            (pace(&tenant.pace))
            (number("Requests", tenant.requests))
            (refused(tenant.refusals, &tenant.reasons))
            (tokens(tenant.tokens))
            (number("In flight", tenant.in_flight.unsigned_abs()))
            (limits_cell(&tenant.limits))
        }
    }
}

fn alias(tenant: &TenantFacts, alias: &AliasFacts) -> Markup {
    html! {
        tr role="row" data-key={ (tenant.name) (PreEscaped(" ")) (alias.name) } {
            th role="rowheader" scope="row" {
                (alias.name) " " small { "of " a href=(address("tenant", &tenant.name)) { (tenant.name) } }
            }
            (pace(&alias.pace))
            (number("Requests", alias.requests))
            (refused(alias.refusals, &alias.reasons))
            (tokens(alias.tokens))
            (number("In flight", alias.in_flight.unsigned_abs()))
            td role="cell" data-label="First token" .n {
                @match alias.first_token_ms { Some(ms) => (millis(ms)), None => span.none { "–" } }
            }
            (limits_cell(&alias.limits))
            td role="cell" data-label="Asks" .asks {
                @for route in &alias.routes {
                    span.route { a href=(address("pool", &route.pool)) { (route.pool) } " " small { (route.model) } }
                }
            }
        }
    }
}

fn keys(keys: &[KeyFacts]) -> Markup {
    html! {
        section aria-labelledby="keys" {
            h2 id="keys" { "Keys" }
            table role="table" aria-labelledby="keys" {
                (heads(&[("Key", ""), ("Expires", ""), ("Limits", "")]))
                tbody role="rowgroup" {
                    @for key in keys.iter().take(MOST_ALONE) {
                        tr role="row" data-key=(key.name) {
                            th role="rowheader" scope="row" { (key.name) }
                            td role="cell" data-label="Expires" {
                                @match &key.expires {
                                    Some(at) => time datetime=(at) { (at) },
                                    None => span.none { "never" },
                                }
                            }
                            (limits_cell(&key.limits))
                        }
                    }
                }
            }
            @if keys.len() > MOST_ALONE { p.more { (keys.len() - MOST_ALONE) " more keys, in the JSON" } }
        }
    }
}
