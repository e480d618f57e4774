//! Tenants, aliases and keys as tables: the busiest first. What is too much to show is linked to.

use maud::{Markup, PreEscaped, html};

use super::cells::{by_traffic, heads, limits_cell, links, traffic};
use super::facts::{AliasFacts, Facts, KeyFacts, TenantFacts};
use super::look::{Look, address};
use super::words::{count, millis};

/// So many tenants, and so many aliases, are shown at once.
const MOST_ROWS: usize = 50;
/// As many aliases or keys of one tenant, when nothing else is shown.
const MOST_ALONE: usize = 500;

/// Tenants and aliases; of one tenant alone, everything.
pub fn tenants(facts: &Facts, look: &Look) -> Markup {
    let mut tenants: Vec<_> = facts.tenants.iter().collect();
    tenants.sort_by_key(|tenant| by_traffic(&tenant.traffic.pace, tenant.traffic.requests));
    let finds =
        |alias: &AliasFacts, tenant: &TenantFacts| look.finds(&tenant.name) || look.finds(&alias.name);
    let mut aliases: Vec<_> =
        tenants.iter().flat_map(|of| of.aliases.iter().map(move |alias| (*of, alias))).collect();
    aliases.retain(|(tenant, alias)| finds(alias, tenant));
    aliases.sort_by_key(|(_, alias)| by_traffic(&alias.traffic.pace, alias.traffic.requests));
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
                        ("In flight", "n"), ("First token, 2 min", "n"), ("Limits", ""), ("Asks", ""),
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
            (traffic(&tenant.traffic))
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
            (traffic(&alias.traffic))
            td role="cell" data-label="First token, 2 min" .n {
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
