//! What is kept of tenants, in metrics, logs and counts: TN-19 to TN-26.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use super::{A, B, content, echo, gateway, models, pool, shared, tenant};
use crate::guard::{Case, row, told};
use crate::kit::client::{ask, request};
use crate::kit::config::Gateway;
use crate::kit::process::soon;
use crate::kit::upstream::Upstream;

pub fn cases() -> Vec<Case> {
    vec![
        row("TN-19", "200 tenants x 10 aliases, and what clients invent", "no new series", || {
            let upstream = echo();
            let daemon = many(&upstream, 200, 10).start();
            let series = || -> BTreeSet<String> {
                let page = daemon.ask_admin("/metrics").text();
                page.lines().filter_map(|line| Some(line.rsplit_once(' ')?.0.to_owned())).collect()
            };
            let mut client = daemon.client();
            client.chat_as(&format!("{A}-1"), &ask("nobodys"));
            client.get("bn-nobody", "/nowhere");
            // A request counts when its client has been answered.
            daemon.wait_metric("byname_serving", 0.0);
            let before = series();
            for number in 0..500 {
                client.chat_as(&format!("{A}-1"), &ask(&format!("invented-{number}")));
                client.get(&format!("bn-invented-{number}"), &format!("/invented/{number}"));
            }
            let began = Instant::now();
            let after = series();
            let new: Vec<_> = after.difference(&before).cloned().collect();
            format!(
                "{} series | {} lines in {:.0} ms",
                if new.is_empty() { "no new".to_owned() } else { format!("new {new:?}") },
                after.len(),
                began.elapsed().as_secs_f64() * 1e3
            )
        }),
        row("TN-20", "a client's words as labels", "0 times", || {
            let upstream = echo();
            let daemon = shared("", &pool("main", &upstream), "");
            let mut client = daemon.client();
            client.chat_as(A, &ask("wquxzelm"));
            client.get(A, "/v1/models/wquxzelm");
            client.get("wquxzelm", "/wquxzelm?wquxzelm");
            for headers in [
                [("User-Agent", "wquxzelm"), ("X-Request-Id", "wquxzelm")],
                [("Host", "wquxzelm"), ("wquxzelm", "wquxzelm")],
            ] {
                let mut client = daemon.client();
                client.send(&request("WQUXZELM", "/v1/models", &headers, b""));
                let _ = client.try_read();
            }
            format!(
                "{} times",
                daemon.ask_admin("/metrics").text().to_lowercase().matches("wquxzelm").count()
            )
        }),
        row("TN-21", "lines of a log beside a loud tenant", "10 of b, 2000 of a, 0 dropped", || {
            let upstream = echo();
            let daemon = shared("", &pool("main", &upstream), "");
            let mut client = daemon.client();
            for number in 0..2010 {
                client.chat_as(if number % 201 == 200 { B } else { A }, &ask("general"));
            }
            let lines = daemon.log_lines(2010);
            let of = |name: &str| lines.iter().filter(|line| line["tenant"] == name).count();
            format!(
                "{} of b, {} of a, {} dropped",
                of("b"),
                of("a"),
                daemon.metric("byname_log_lines_dropped_total{log=\"access\"}").unwrap_or(-1.0)
            )
        })
        .note(
            "lines are not sampled by tenant: all are written, or dropped and counted when nobody reads them",
        ),
        row(
            "TN-22",
            "names that are almost the same",
            "a ab A Ab; general 200, gеneral 404 model_not_found, General 404 model_not_found",
            || {
                let upstream = echo();
                let names = ["a", "ab", "A", "Ab"];
                let tenants = names.map(|name| {
                    let general = models(&[("general", "main", &format!("of-{name}"))]);
                    tenant(name, &format!("bn-{name}"), &general)
                });
                let daemon = gateway("", &pool("main", &upstream), &tenants).start();
                let own: Vec<_> = names
                    .iter()
                    .map(|name| content(&daemon, &format!("bn-{name}")).replace("of-", ""))
                    .collect();
                // The second has a Cyrillic letter.
                let ask = |alias: &str| told(&daemon.client().chat_as("bn-a", &ask(alias)));
                format!(
                    "{}; general {}, gеneral {}, General {}",
                    own.join(" "),
                    ask("general"),
                    ask("g\u{435}neral"),
                    ask("General")
                )
            },
        ),
        row(
            "TN-23",
            "deleted, and made anew with the same name",
            "gone 401 invalid_api_key; old key 401 invalid_api_key, new key 200, 1 left of 5",
            || {
                let upstream = echo();
                let of = |b: Option<&str>| {
                    let general = models(&[("general", "main", "m")]);
                    let limited = format!("limits: {{ requests_per_minute: 5 }}, {general}");
                    let tenants = [Some(tenant("a", A, &general)), b.map(|key| tenant("b", key, &limited))];
                    gateway("", &pool("main", &upstream), &tenants.into_iter().flatten().collect::<Vec<_>>())
                };
                let daemon = of(Some(B)).start();
                let chat = |key: &str| told(&daemon.client().chat_as(key, &ask("general")));
                for _ in 0..3 {
                    chat(B);
                }
                daemon.reload_to(&of(None));
                let gone = chat(B);
                daemon.reload_to(&of(Some("bn-new")));
                let (old, new) = (chat(B), chat("bn-new"));
                let left = daemon.metric_sum(
                    "byname_limit_remaining",
                    &[("tenant", "b"), ("limit", "requests_per_minute")],
                );
                format!("gone {gone}; old key {old}, new key {new}, {left} left of 5")
            },
        )
        .note("NOT FRESH: a name keeps its counts, so that a mistake in a file gives nobody a second budget; its keys are dead"),
        row(
            "TN-24",
            "10,000 tenants",
            "the first, the last and the one between are served; a reload is taken",
            || {
                let upstream = echo();
                let gateway = many(&upstream, 10_000, 1);
                let began = Instant::now();
                let daemon = gateway.start();
                let started = began.elapsed();
                let good =
                    [0, 5000, 9999].iter().all(|number| content(&daemon, &format!("{A}-{number}")) == "m");
                let began = Instant::now();
                daemon.signal("HUP");
                // Its metrics are a page of half a million lines: the event says it sooner.
                let taken =
                    soon(Duration::from_secs(60), || daemon.stderr().contains("configuration 2 is taken"));
                format!(
                    "{}; a reload {} | start {:.1} s, reload {:.1} s in a debug build",
                    if good { "the first, the last and the one between are served" } else { "not served" },
                    if taken { "is taken" } else { "is not taken" },
                    started.as_secs_f64(),
                    began.elapsed().as_secs_f64()
                )
            },
        )
        .note("times are printed, not asserted"),
        row("TN-25", "shares by weight when all is busy", "not here", || "not here".to_owned()).note(
            "NOT HERE: tenants have limits and no weights; slots are handed out in the order of asking",
        ),
        row(
            "TN-26",
            "a request id that a client brings",
            "ours in the answer, in the log and upstream",
            || {
                let upstream = echo();
                let daemon = shared("", &pool("main", &upstream), "");
                let mut client = daemon.client();
                let bearer = format!("Bearer {A}");
                let theirs = [
                    ("Authorization", bearer.as_str()),
                    ("X-Request-Id", "wquxzelm"),
                    ("traceparent", "00-wquxzelm-01"),
                    ("X-Client-Request-Id", "wquxzelm"),
                ];
                client.send(&request("POST", "/v1/chat/completions", &theirs, ask("general").as_bytes()));
                let answer = client.read();
                let id = answer.header("x-request-id").unwrap_or_default().to_owned();
                let logged = daemon.log_lines(1)[0]["request_id"] == id.as_str();
                let head = String::from_utf8_lossy(&upstream.requests()[0].head.raw).into_owned();
                let everything = answer.everything() + &head + &daemon.stdout();
                if !id.is_empty() && logged && head.contains(&id) && !everything.contains("wquxzelm") {
                    "ours in the answer, in the log and upstream".into()
                } else {
                    format!("{id} {logged} {head}")
                }
            },
        ),
    ]
}

/// So many tenants with so many aliases each.
fn many(upstream: &Upstream, tenants: usize, aliases: usize) -> Gateway {
    let aliases: Vec<_> = (1..aliases).map(|alias| format!("alias-{alias}")).collect();
    let aliases: Vec<_> = std::iter::once("general").chain(aliases.iter().map(String::as_str)).collect();
    let models = models(&aliases.iter().map(|alias| (*alias, "main", "m")).collect::<Vec<_>>());
    let tenants: Vec<_> =
        (0..tenants).map(|number| tenant(&format!("t{number}"), &format!("{A}-{number}"), &models)).collect();
    gateway("", &pool("main", upstream), &tenants)
}
