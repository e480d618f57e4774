//! The cells of the page's tables, and what else several of them have.

use std::collections::BTreeMap;

use maud::{Markup, html};

use super::facts::{Latency, LimitFacts, Traffic};
use super::history::{POINTS, Pace};
use super::look::address;
use super::words::{count, millis, rate, spaced};

/// So many names are linked to below a table.
const MOST_LINKS: usize = 2000;

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

/// A cell with a rate and its line.
pub fn pace(of: &Pace) -> Markup {
    html! {
        td role="cell" data-label="Rate" .rate {
            span.n { (of.per_second.map_or_else(|| "–".to_owned(), rate)) small { " /s" } }
            (spark(of))
        }
    }
}

/// A cell with a number.
pub fn number(label: &str, n: u64) -> Markup {
    html! { td role="cell" data-label=(label) .n { (count(n)) } }
}

/// The heads of a table: names and classes.
pub fn heads(names: &[(&str, &str)]) -> Markup {
    html! {
        thead role="rowgroup" {
            tr role="row" { @for (name, class) in names { th role="columnheader" scope="col" class=(class) { (name) } } }
        }
    }
}

/// What is left of limits, with bars that grow shorter.
pub fn limits(of: &[LimitFacts]) -> Markup {
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

/// The same as a cell.
pub fn limits_cell(of: &[LimitFacts]) -> Markup {
    html! {
        @if of.is_empty() {
            td role="cell" .limits.unlimited { span.none { "none" } }
        } @else {
            td role="cell" data-label="Limits" .limits { (limits(of)) }
        }
    }
}

/// The cells that tenants and aliases have alike: rate, requests, refusals with their reasons, tokens, in flight.
pub fn traffic(of: &Traffic) -> Markup {
    html! {
        (pace(&of.pace))
        (number("Requests", of.requests))
        td role="cell" data-label="Refused" .n {
            (count(of.refusals))
            @if of.refusals > 0 { small.why { (reasons(&of.reasons)) } }
        }
        td role="cell" data-label="Tokens" .n {
            (count(of.tokens.prompt)) small { " in" } br; (count(of.tokens.completion)) small { " out" }
        }
        (number("In flight", of.in_flight.unsigned_abs()))
    }
}

/// A cell with the usual times to the first byte.
pub fn latency(label: &str, of: Latency) -> Markup {
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

/// Links to what a table has no room for.
pub fn links<'n>(name: &str, what: &str, rest: impl Iterator<Item = &'n str>) -> Markup {
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
pub fn by_traffic(of: &Pace, all: u64) -> std::cmp::Reverse<(u32, u32)> {
    let about = |n: u64| n.checked_ilog2().map_or(0, |magnitude| magnitude + 1);
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "an order of magnitude")]
    let late = of.rates.iter().sum::<f32>() as u64;
    std::cmp::Reverse((about(late), about(all)))
}
