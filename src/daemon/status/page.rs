//! The page for people: one document with all it needs, the most pressing first.

use maud::{DOCTYPE, Markup, PreEscaped, html};

use super::attention::{Level, Notice};
use super::facts::{Configuration, Facts};
use super::look::Look;
use super::words::{bytes, count, rate, span};
use super::{cells, pools, tenants};

const STYLE: &str = include_str!("style.css");
const SCRIPT: &str = include_str!("live.js");

/// The whole document. `nonce` is what its policy lets style and script be known by.
pub fn render(facts: &Facts, look: &Look, nonce: &str) -> String {
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                meta name="robots" content="noindex";
                link rel="icon" href="data:,";
                title { (title(facts)) }
                style nonce=(nonce) { (PreEscaped(STYLE)) }
            }
            body {
                a.skip href="#main" { "To the content" }
                header {
                    h1 { a href="/status" { "Byname" } }
                    form role="search" action="/status" method="get" {
                        label for="find" { "Find" }
                        input id="find" name="find" type="search" maxlength="200"
                            placeholder="pool, backend, tenant, alias" value=[look.find.as_deref()];
                        button { "Show" }
                    }
                    p.live {
                        span id="live" role="status" { noscript { "Reload for news" } }
                        " " button id="pause" type="button" aria-pressed="false" hidden { "Pause" }
                    }
                }
                main id="main" data-title=(title(facts)) { (content(facts, look)) }
                footer {
                    a href="/status.json" { "JSON" } " · " a href="/metrics" { "Metrics" }
                }
                script nonce=(nonce) { (PreEscaped(SCRIPT)) }
            }
        }
    };
    page.into_string()
}

fn title(facts: &Facts) -> String {
    match facts.attention.iter().filter(|notice| notice.level == Level::Act).count() {
        0 => "Byname".to_owned(),
        urgent => format!("({urgent}) Byname"),
    }
}

/// What the script renews.
fn content(facts: &Facts, look: &Look) -> Markup {
    html! {
        (tiles(facts))
        (attention(&facts.attention))
        @if !look.is_whole() {
            p.filter {
                "Only "
                @if let Some(pool) = &look.pool { "pool " b { (pool) } " " }
                @if let Some(tenant) = &look.tenant { "tenant " b { (tenant) } " " }
                @if let Some(text) = &look.find { "names with “" b { (text) } "” " }
                "· " a href="/status" { "Show everything" }
            }
        }
        (pools::pools(facts, look))
        (tenants::tenants(facts, look))
        @if look.is_whole() { (configuration(&facts.configuration)) }
    }
}

fn tiles(facts: &Facts) -> Markup {
    let connections = facts.connections.idle + facts.connections.busy;
    html! {
        dl.tiles {
            div {
                dt { "State" }
                dd {
                    @match facts.not_ready {
                        None => (cells::badge("good", facts.stage)),
                        Some(_) if facts.stage == "serving" => (cells::badge("bad", "not ready")),
                        Some(_) => (cells::badge("bad", &facts.stage.replace('_', " "))),
                    }
                }
                dd.small { "version " (facts.version) ", process " (facts.process) }
            }
            div {
                dt { "Requests" }
                dd { (facts.requests_per_second.map_or_else(|| "–".to_owned(), rate)) small { " /s" } }
                dd.small { (cells::spark(&facts.pace)) }
            }
            div {
                dt { "Serving now" }
                dd { (count(facts.serving.unsigned_abs())) }
                dd.small { (count(connections as u64)) (if connections == 1 { " connection, " } else { " connections, " }) (count(facts.connections.busy as u64)) " busy" }
            }
            div {
                dt { "Up for" }
                dd { (span(std::time::Duration::from_secs(facts.uptime_seconds))) }
                dd.small { "memory " (facts.memory_bytes.map_or_else(|| "not told".to_owned(), bytes)) }
            }
            div {
                dt { "Configuration" }
                dd { "no. " (facts.configuration.generation) }
                dd.small { "last reload " (facts.configuration.last_reload) }
            }
            @if facts.strangers.requests > 0 {
                div {
                    dt { "Without a good key" }
                    dd { (count(facts.strangers.requests)) small { " requests" } }
                    dd.small { (cells::reasons(&facts.strangers.reasons)) }
                }
            }
        }
    }
}

fn attention(notices: &[Notice]) -> Markup {
    html! {
        @if notices.is_empty() {
            p.calm { (cells::badge("good", "nothing needs attention")) }
        } @else {
            section.attention aria-labelledby="attention" {
                h2 id="attention" { "Needs attention" }
                ul {
                    @for notice in notices {
                        li class=(match notice.level { Level::Act => "act", Level::Watch => "watch" }) {
                            span.mark {
                                (match notice.level { Level::Act => "✕ act", Level::Watch => "! watch" })
                            }
                            span {
                                b {
                                    @match &notice.link {
                                        Some(link) => { a href=(link) { (notice.about) } }
                                        None => (notice.about),
                                    }
                                }
                                " " (notice.what)
                            }
                        }
                    }
                }
            }
        }
    }
}

fn configuration(of: &Configuration) -> Markup {
    html! {
        section aria-labelledby="configuration" {
            h2 id="configuration" { "Configuration" }
            dl.facts {
                dt { "File" } dd { code { (of.file) } }
                dt { "Runs" } dd { "no. " (of.generation) ", " (of.in_use) " in use" }
                dt { "Last reload" } dd { (of.last_reload) " at " time datetime=(of.at) { (of.at) } }
            }
            (lines("Complaints of the refused reload", &of.complaints))
            (lines("Warnings", &of.warnings))
        }
    }
}

/// The longest list of complaints that is shown.
const MOST_LINES: usize = 200;

fn lines(what: &str, lines: &[String]) -> Markup {
    html! {
        @if !lines.is_empty() {
            h3 { (what) }
            ul.lines { @for line in lines.iter().take(MOST_LINES) { li { code { (line) } } } }
            @if lines.len() > MOST_LINES { p.more { "and " (lines.len() - MOST_LINES) " more, in the JSON" } }
        }
    }
}
