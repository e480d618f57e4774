//! Tenants beside each other: what one asks, uses up or breaks is nothing to another.

mod connections; // that both use
mod names; // of models
mod shares; // of what there is
mod traces; // that each leaves

use std::rc::Rc;

use super::nonces::{self};
use super::{table, told};
use crate::kit::answers::{json_answer, sse_answer};
use crate::kit::client::ask;
use crate::kit::config::{Gateway, digest};
use crate::kit::daemon::Daemon;
use crate::kit::upstream::Upstream;

/// The keys of tenants `a` and `b`.
const A: &str = "bn-tenant-a";
const B: &str = "bn-tenant-b";

#[test]
fn twenty_six_cases_of_tenants() {
    let crowd = Rc::new(nonces::run());
    let rows = [names::cases(), connections::cases(&crowd), shares::cases(), traces::cases()];
    table("Tenants beside each other", "TN", 26, rows.into_iter().flatten().collect());
}

/// A model that says what it is called.
fn echo() -> Upstream {
    Upstream::start(|seen| {
        let name = seen.json()["model"].as_str().unwrap_or_default().to_owned();
        if seen.wants_stream() { sse_answer(&[&name]) } else { json_answer(&name) }
    })
}

/// What the server has beside its addresses, the inside of the pools' map, and tenants.
fn gateway(server: &str, pools: &str, tenants: &[String]) -> Gateway {
    Gateway::new().config_text(&format!(
        "server: {{ listen: \"{{listen}}\", admin: \"{{admin}}\"{server} }}\npools: {{ {pools} }}\ntenants:\n{}",
        tenants.concat()
    ))
}

/// A tenant with one key; `inside` is the rest of its map.
fn tenant(name: &str, key: &str, inside: &str) -> String {
    format!("  {name}: {{ keys: {{ web: {{ sha256: \"{}\" }} }}, {inside} }}\n", digest(key))
}

/// Tenants `a` and `b`.
fn two(server: &str, pools: &str, a: &str, b: &str) -> Gateway {
    gateway(server, pools, &[tenant("a", A, a), tenant("b", B, b)])
}

fn pool(name: &str, upstream: &Upstream) -> String {
    format!("{name}: {{ backends: [ {{ url: \"{}\" }} ] }}", upstream.url())
}

fn models(aliases: &[(&str, &str, &str)]) -> String {
    let each = |(alias, pool, model): &(&str, &str, &str)| {
        format!("\"{alias}\": {{ routes: [ {{ pool: {pool}, model: {model} }} ] }}")
    };
    format!("models: {{ {} }}", aliases.iter().map(each).collect::<Vec<_>>().join(", "))
}

/// Both tenants' `general` at one pool.
fn shared(server: &str, pools: &str, limits: &str) -> Daemon {
    let a = format!("{}{limits}", models(&[("general", "main", "model-a")]));
    two(server, pools, &a, &models(&[("general", "main", "model-b")])).start()
}

fn content(daemon: &Daemon, key: &str) -> String {
    let answer = daemon.client().chat_as(key, &ask("general"));
    match answer.json()["choices"][0]["message"]["content"].as_str() {
        Some(content) => content.to_owned(),
        None => told(&answer),
    }
}
