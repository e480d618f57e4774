//! What one tenant learns of another by names: TN-01 to TN-04.

use std::collections::BTreeSet;

use super::{A, B, echo, gateway, models, pool, tenant, two};
use crate::guard::timing::compare;
use crate::guard::{Case, each, plain, row};
use crate::kit::client::{ask, ask_stream, chat_request};
use crate::kit::daemon::Daemon;
use crate::kit::upstream::Upstream;

pub fn cases() -> Vec<Case> {
    vec![
        row("TN-01", "another tenant's alias, and none", "all of 3 the same bytes", || {
            let upstream = echo();
            let daemon = private(&upstream);
            let chat = |alias: &str| plain(&daemon.client().chat_as(A, &ask(alias)));
            let get = |alias: &str| plain(&daemon.client().get(A, &format!("/v1/models/{alias}")));
            let stream = |alias: &str| plain(&daemon.client().chat_as(A, &ask_stream(alias)));
            let seen = each(
                [
                    (chat("private"), chat("nobodys")),
                    (get("private"), get("nobodys")),
                    (stream("private"), stream("nobodys")),
                ],
                |(theirs, none)| {
                    if theirs == none && none.contains("404") {
                        Ok(())
                    } else {
                        Err(format!("{theirs} / {none}"))
                    }
                },
            );
            format!("{seen} the same bytes")
        }),
        row("TN-02", "time of the same", "timed", || {
            let upstream = echo();
            let daemon = private(&upstream);
            compare(daemon.addr(), &chat_request(A, &ask("private")), &chat_request(A, &ask("nobodys")))
        })
        .note("printed, not asserted"),
        row(
            "TN-03",
            "one alias, two tenants, two backends",
            "all of 2000 at their own; 1000 and 1000 asked",
            || {
                let (one, other) = (echo(), echo());
                let pools = format!("{}, {}", pool("one", &one), pool("other", &other));
                let daemon = two(
                    "",
                    &pools,
                    &models(&[("general", "one", "model-a")]),
                    &models(&[("general", "other", "model-b")]),
                )
                .start();
                let mut clients = [daemon.client(), daemon.client()];
                let seen = each(0..2000_usize, |number| {
                    let (key, name) = if number % 2 == 0 { (A, "model-a") } else { (B, "model-b") };
                    // Both over the same connections in turn.
                    let answer = clients[number / 2 % 2].chat_as(key, &ask("general"));
                    let content = answer.json()["choices"][0]["message"]["content"].clone();
                    if content == name { Ok(()) } else { Err(format!("{key}: {content}")) }
                });
                format!("{seen} at their own; {} and {} asked", one.requests().len(), other.requests().len())
            },
        ),
        row("TN-04", "lists of models", "a: one three two; b: two; empty: nothing; 3 times the same", || {
            let upstream = echo();
            let a = models(&[("one", "main", "m"), ("three", "main", "m"), ("two", "main", "m")]);
            let tenants = [
                tenant("a", A, &a),
                tenant("b", B, &models(&[("two", "main", "m")])),
                tenant("empty", "bn-empty", ""),
            ];
            let daemon = gateway("", &pool("main", &upstream), &tenants).start();
            let list = |key: &str| {
                let json = daemon.client().get(key, "/v1/models").json();
                let ids: Vec<_> = json["data"]
                    .as_array()
                    .into_iter()
                    .flatten()
                    .filter_map(|model| model["id"].as_str().map(str::to_owned))
                    .collect();
                if ids.is_empty() { "nothing".to_owned() } else { ids.join(" ") }
            };
            let all = || format!("a: {}; b: {}; empty: {}", list(A), list(B), list("bn-empty"));
            let three: BTreeSet<_> = (0..3).map(|_| all()).collect();
            format!("{}; {} times the same", all(), 4 - three.len())
        }),
    ]
}

/// `general` is a's, and `private` is b's.
fn private(upstream: &Upstream) -> Daemon {
    let of = |alias| models(&[(alias, "main", "m")]);
    two("", &pool("main", upstream), &of("general"), &of("private")).start()
}
