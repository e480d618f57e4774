//! Tenants beside each other: what one asks, uses up or breaks is nothing to another.

use std::collections::{BTreeSet, HashMap};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::rc::Rc;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use socket2::{Domain, Socket, Type};

use super::nonces::crowd::Seen;
use super::nonces::{self, Outcome};
use super::timing::compare;
use super::{Row, each, plain, row, table, told};
use crate::faults::parts::{Mode, h2_answer, h2_start};
use crate::kit::answers::{error_answer, json_answer, sse_answer};
use crate::kit::client::{Client, ask, ask_stream, chat_request, request};
use crate::kit::config::{Gateway, digest};
use crate::kit::daemon::Daemon;
use crate::kit::h2_upstream::{H2Step, H2Upstream};
use crate::kit::process::soon;
use crate::kit::script::{Step, whole};
use crate::kit::upstream::Upstream;

/// The keys of tenants `a` and `b`.
const A: &str = "bn-tenant-a";
const B: &str = "bn-tenant-b";

#[test]
fn twenty_six_cases_of_tenants() {
    let crowd = Rc::new(nonces::run());
    let rows = [names(), connections(&crowd), shares(), traces()];
    table("TN", 26, rows.into_iter().flatten().collect());
}

/// A model that says what it is called.
fn echo() -> Upstream {
    Upstream::start(|seen| {
        let name = seen.json()["model"].as_str().unwrap_or_default().to_owned();
        if seen.wants_stream() { sse_answer(&[&name]) } else { json_answer(&name) }
    })
}

/// Tenants `a` and `b`, as YAML: the inside of each one's map but its keys.
fn two(server: &str, pools: &str, a: &str, b: &str) -> Gateway {
    Gateway::new().config_text(&format!(
        "server: {{ listen: \"{{listen}}\", admin: \"{{admin}}\"{server} }}\npools: {{ {pools} }}\ntenants:\n  \
         a: {{ keys: {{ web: {{ sha256: \"{}\" }} }}, {a} }}\n  b: {{ keys: {{ web: {{ sha256: \"{}\" }} }}, {b} }}\n",
        digest(A),
        digest(B)
    ))
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

fn names() -> Vec<Row> {
    vec![
        row("TN-01", "another tenant's alias, and none", "all of 3 the same bytes", || {
            let upstream = echo();
            let daemon = two(
                "",
                &pool("main", &upstream),
                &models(&[("general", "main", "m")]),
                &models(&[("private", "main", "m")]),
            )
            .start();
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
            let daemon = two(
                "",
                &pool("main", &upstream),
                &models(&[("general", "main", "m")]),
                &models(&[("private", "main", "m")]),
            )
            .start();
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
            let gateway = Gateway::new().config_text(&format!(
                "server: {{ listen: \"{{listen}}\", admin: \"{{admin}}\" }}\npools: {{ {} }}\ntenants:\n  \
                 a: {{ keys: {{ web: {{ sha256: \"{}\" }} }}, {} }}\n  b: {{ keys: {{ web: {{ sha256: \"{}\" }} }}, {} }}\n  \
                 empty: {{ keys: {{ web: {{ sha256: \"{}\" }} }} }}\n",
                pool("main", &upstream),
                digest(A),
                models(&[("one", "main", "m"), ("three", "main", "m"), ("two", "main", "m")]),
                digest(B),
                models(&[("two", "main", "m")]),
                digest("bn-empty")
            ));
            let daemon = gateway.start();
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

fn connections(crowd: &Rc<Outcome>) -> Vec<Row> {
    let of = |id, what, seen: fn(&Outcome) -> String| {
        let crowd = Rc::clone(crowd);
        row(id, what, "0 foreign", move || {
            let Outcome { requests, seen: found, crossed, .. } = &*crowd;
            let wrong = found.foreign.len() + crossed + found.broken + requests.abs_diff(found.all());
            format!("{wrong} foreign | {}", seen(&crowd))
        })
    };
    vec![
        of("TN-05", "a nonce each, three in ten leave at any byte", |crowd| {
            let Seen { left, own, mixed, .. } = &crowd.seen;
            let within = mixed.len();
            format!("{} requests, {left} left, {own} with their own nonce, {within} mixed up within a tenant", crowd.requests)})
        .note("NONCES=1000000, or `cargo bench --bench trials -- nonce`, for a million"),
        of("TN-06", "the same with faults of backends", |crowd| {
            format!("{:?}, {} streams told of an error", crowd.seen.statuses, crowd.seen.told)
        }),
        of("TN-07", "the same with a reload each second", |crowd| format!("{} reloads", crowd.reloads)),
        row("TN-08", "a backend that is one answer behind", "a: model-a; b: 10 of 10 model-b; 0 foreign", {
            let crowd = Rc::clone(crowd);
            move || {
                // The first answer of a connection comes again for every later request: what a second answer to
                // one request looks like to whoever asks next.
                let firsts = Mutex::new(HashMap::<usize, String>::new());
                let upstream = Upstream::start(move |seen| {
                    let name = seen.json()["model"].as_str().unwrap_or_default().to_owned();
                    let mut firsts = firsts.lock().expect("no script panics");
                    json_answer(firsts.entry(seen.connection).or_insert(name))
                });
                let daemon = shared("", &pool("main", &upstream), "");
                let a = content(&daemon, A);
                let good = (0..10).filter(|_| content(&daemon, A) == "model-a" && content(&daemon, B) == "model-b");
                format!("a: {a}; b: {} of 10 model-b; {} foreign", good.count(), crowd.seen.foreign.len())
            }
        })
        .note("a kept HTTP/1.1 connection serves one tenant; of the crowd's requests three in a hundred are answered twice"),
        row(
            "TN-09",
            "what is left of A's body is not read for B",
            "401 invalid_api_key, then 200 model-b, then nothing",
            || {
                let upstream = echo();
                let daemon = shared("", &pool("main", &upstream), "");
                let mut client = daemon.client();
                // A front proxy may send both over one connection.
                let inner =
                    format!("GET /v1/models HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {A}\r\n\r\n");
                let bearer = ("Authorization", "Bearer bn-nobody");
                client.send(&request("POST", "/v1/chat/completions", &[bearer], inner.as_bytes()));
                let first = told(&client.read());
                let second = client.chat_as(B, &ask("general"));
                let content = second.json()["choices"][0]["message"]["content"].clone();
                let rest = if client.nothing_yet() { "nothing" } else { "more" };
                format!(
                    "{first}, then {} {}, then {rest}",
                    second.status,
                    content.as_str().unwrap_or_default()
                )
            },
        ),
        row("TN-10", "one HTTP/2 connection to a backend; A does not read", "20 of 20 of B", || {
            let upstream = H2Upstream::start(|seen| {
                if seen.json()["messages"][0]["content"] != "flood" {
                    return h2_answer(if seen.wants_stream() { Mode::Stream } else { Mode::Whole }, "calm");
                }
                let mut steps = h2_start(Mode::Stream, "flood");
                steps.push(H2Step::Repeat(crate::faults::parts::delta(&"x".repeat(1000)).into(), 20_000));
                steps.push(H2Step::End);
                steps
            });
            let daemon = shared("", &format!("main: {{ backends: [ {} ] }}", upstream.backend()), "");
            let stuck: Vec<_> = (0..4)
                .map(|_| {
                    let mut client = daemon.client();
                    client.narrow();
                    client.send(&chat_request(A, &ask_stream("general").replace("Hello", "flood")));
                    client
                })
                .collect();
            std::thread::sleep(Duration::from_millis(300));
            let good = (0..20).filter(|_| content(&daemon, B) == "calm").count();
            drop(stuck);
            format!("{good} of 20 of B | {} connections", upstream.connections())
        }),
    ]
}

fn shares() -> Vec<Row> {
    vec![
        row("TN-11", "A takes all of its slots", "a: 200 429 rate_limited; b: 10 of 10", || {
            let upstream = Upstream::start(|seen| {
                let name = seen.json()["model"].as_str().unwrap_or_default().to_owned();
                if name == "model-a" { vec![Step::Wait("go")].into_iter().chain(json_answer("late")).collect() } else { json_answer(&name) }
            });
            let daemon = shared("", &pool("main", &upstream), ", limits: { concurrent: 2 }");
            let mut busy: Vec<_> = (0..2)
                .map(|_| {
                    let mut client = daemon.client();
                    client.send(&chat_request(A, &ask("general")));
                    client
                })
                .collect();
            upstream.wait_requests(2);
            let refused = told(&daemon.client().chat_as(A, &ask("general")));
            let good = (0..10).filter(|_| content(&daemon, B) == "model-b").count();
            upstream.open("go");
            format!("a: {} {refused}; b: {good} of 10", busy[0].read().status)
        }),
        row("TN-12", "A takes all connections of its address", "a: closed; b: 200", || {
            let upstream = echo();
            let daemon = shared(", max_connections_per_address: 4", &pool("main", &upstream), "");
            // Begun and not ended, so that none of them can make room.
            let _held: Vec<_> = (0..4)
                .map(|_| {
                    let mut client = daemon.client();
                    client.send(b"POST /v1/chat/completions HTTP/1.1\r\nHost: a\r\n");
                    std::thread::sleep(Duration::from_millis(50));
                    client
                })
                .collect();
            let mut fifth = daemon.client();
            let _ = fifth.try_send(&chat_request(A, &ask("general")));
            let a = fifth.try_read().map_or("closed".to_owned(), |answer| told(&answer));
            let mut elsewhere = from(Ipv4Addr::new(127, 0, 0, 2), daemon.addr());
            format!("a: {a}; b: {}", told(&elsewhere.chat_as(B, &ask("general"))))
        })
        .note("before the key is read nobody knows the tenant, so the share is the address's"),
        row("TN-13", "A takes all memory for bodies", "b: 503 service_unavailable while A holds it, then 200", || {
            let upstream = echo();
            let daemon = shared(", max_body: 64KiB, max_buffered: 64KiB, body_timeout: 1s", &pool("main", &upstream), "");
            let mut holding = daemon.client();
            let part = "x".repeat(65_000);
            holding.send(format!("POST /v1/chat/completions HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {A}\r\nContent-Type: application/json\r\nContent-Length: 65500\r\n\r\n{part}").as_bytes());
            soon(Duration::from_secs(5), || daemon.metric("byname_body_bytes") >= Some(60_000.0));
            let long = ask("general").replace("Hello", &"y".repeat(2000));
            let during = told(&daemon.client().chat_as(B, &long));
            soon(Duration::from_secs(5), || daemon.metric("byname_body_bytes") == Some(0.0));
            format!("b: {during} while A holds it, then {}", daemon.client().chat_as(B, &long).status)
        })
        .note("NOT KEPT APART: `max_buffered` is one for all tenants; what holds it is let go of by `body_timeout`"),
        row("TN-14", "A is told 400 by a shared backend", "a: 50 of 50 400 invalid_request; b: 20 of 20; breaker closed", || {
            let upstream = Upstream::start(|seen| {
                let name = seen.json()["model"].as_str().unwrap_or_default().to_owned();
                if name == "model-a" { error_answer(400) } else { json_answer(&name) }
            });
            let daemon = shared("", &pool("main", &upstream), "");
            let a = (0..50).filter(|_| content(&daemon, A) == "400 invalid_request").count();
            let b = (0..20).filter(|_| content(&daemon, B) == "model-b").count();
            let open = daemon.metric_sum("byname_upstream_breaker", &[("pool", "main")]);
            format!("a: {a} of 50 400 invalid_request; b: {b} of 20; breaker {}", if open == 0.0 { "closed" } else { "open" })
        }),
        row("TN-15", "A uses up its retries", "a: budget used up; b: 10 of 10", || {
            // Now and then one is good, or its breaker would open: that is all that it is asked never to do here.
            let failing = || {
                Upstream::start(|seen| if seen.index % 8 == 7 { json_answer("rare") } else { whole(500, &[], "{}") })
            };
            let (bad, worse, good) = (failing(), failing(), echo());
            let pool = |name: &str, more: &str, one: &Upstream, other: &Upstream| {
                format!(
                    "{name}: {{ balance: round_robin, breaker: {{ failures: 1000, error_rate: 100% }}{more}, \
                     backends: [ {{ url: \"{}\" }}, {{ url: \"{}\" }} ] }}",
                    one.url(),
                    other.url()
                )
            };
            let pools = [pool("main", "", &bad, &worse), pool("pair", ", retry: { budget: 100% }", &bad, &good)].join(", ");
            let a = models(&[("general", "main", "m")]);
            let daemon = two("", &pools, &a, &models(&[("general", "pair", "model-b")])).start();
            for _ in 0..80 {
                content(&daemon, A);
            }
            let used = daemon.metric("byname_retry_budget_exhausted_total") > Some(0.0);
            let answered = |_: &usize| ["model-b", "rare"].contains(&content(&daemon, B).as_str());
            let fine = (0..10).filter(answered).count();
            format!("a: budget {}; b: {fine} of 10", if used { "used up" } else { "left" })
        }),
        row("TN-16", "A's 429 of a backend with a shared key", "a: 429 rate_limited; b, the same account: 429 rate_limited; b, its own: 200", || {
            let (busy, own) = (
                Upstream::start(|_| whole(429, &[("Retry-After", "5"), ("Content-Type", "application/json")], "{\"error\":{}}")),
                echo(),
            );
            let pools = format!("{}, {}", pool("main", &busy), pool("own", &own));
            let b = models(&[("general", "main", "m"), ("own", "own", "m")]);
            let daemon = two("", &pools, &models(&[("general", "main", "m")]), &b).start();
            let a = content(&daemon, A);
            format!("a: {a}; b, the same account: {}; b, its own: {}", content(&daemon, B), daemon.client().chat_as(B, &ask("own")).status)
        })
        .note("b is told 429 because it is true: the account is one; a tenant's share of a pool is its `limits`"),
        row("TN-17", "the same question of both tenants", "asked 4 times", || {
            let upstream = echo();
            let daemon = shared("", &pool("main", &upstream), "");
            for key in [A, B, A, B] {
                content(&daemon, key);
            }
            format!("asked {} times", upstream.requests().len())
        })
        .note("there is no cache of prompts or answers; those of names and of TLS hold no client's words"),
        row("TN-18", "`user` and `prompt_cache_key`", "not as the client wrote them; a's as ever, b's others", || {
            let upstream = echo();
            let daemon = shared("", &pool("main", &upstream), "");
            let body = ask("general").replace("\"messages\"", "\"user\":\"wquxzelm\",\"prompt_cache_key\":\"wquxzelm\",\"messages\"");
            for key in [A, B, A] {
                assert_eq!(daemon.client().chat_as(key, &body).status, 200);
            }
            let up: Vec<_> = upstream.requests().iter().map(|seen| seen.text()).collect();
            let name = |text: &str, field: &str| {
                let (_, behind) = text.split_once(&format!("\"{field}\":\"bn-")).expect("it goes up under a name of ours");
                behind.split('"').next().unwrap_or_default().to_owned()
            };
            let names: Vec<_> = up.iter().map(|text| [name(text, "user"), name(text, "prompt_cache_key")]).collect();
            let written = if up.iter().any(|text| text.contains("wquxzelm")) { "" } else { "not " };
            let again = if names[0] == names[2] { "as ever" } else { "others again" };
            let apart = if names[0].iter().zip(&names[1]).all(|(a, b)| a != b) { "others" } else { "the same" };
            format!("{written}as the client wrote them; a's {again}, b's {apart}")
        }),
    ]
}

fn traces() -> Vec<Row> {
    vec![
        row("TN-19", "200 tenants x 10 aliases, and what clients invent", "no new series", || {
            let upstream = echo();
            let daemon = many(&upstream, 200, 10).start();
            let series = || daemon.ask_admin("/metrics").text().lines().count();
            let mut client = daemon.client();
            client.chat_as(&format!("{A}-1"), &ask("nobodys"));
            client.get("bn-nobody", "/nowhere");
            let before = series();
            for number in 0..500 {
                client.chat_as(&format!("{A}-1"), &ask(&format!("invented-{number}")));
                client.get(&format!("bn-invented-{number}"), &format!("/invented/{number}"));
            }
            let began = Instant::now();
            let after = series();
            let new = after.saturating_sub(before);
            format!(
                "{} series | {after} lines in {:.0} ms",
                if new == 0 { "no new".to_owned() } else { format!("{new} new") },
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
                let tenants: String = names
                    .iter()
                    .map(|name| {
                        format!(
                            "  {name}: {{ keys: {{ web: {{ sha256: \"{}\" }} }}, {} }}\n",
                            digest(&format!("bn-{name}")),
                            models(&[("general", "main", &format!("of-{name}"))])
                        )
                    })
                    .collect();
                let daemon = Gateway::new()
                .config_text(&format!("server: {{ listen: \"{{listen}}\", admin: \"{{admin}}\" }}\npools: {{ {} }}\ntenants:\n{tenants}", pool("main", &upstream)))
                .start();
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
                    let a =
                        format!("  a: {{ keys: {{ web: {{ sha256: \"{}\" }} }}, {general} }}\n", digest(A));
                    let b = b.map(|key| format!("  b: {{ keys: {{ web: {{ sha256: \"{}\" }} }}, limits: {{ requests_per_minute: 5 }}, {general} }}\n", digest(key)));
                    Gateway::new().config_text(&format!(
                    "server: {{ listen: \"{{listen}}\", admin: \"{{admin}}\" }}\npools: {{ {} }}\ntenants:\n{a}{}",
                    pool("main", &upstream),
                    b.unwrap_or_default()
                ))
                };
                let daemon = of(Some(B)).start();
                let change = |to: Option<&str>| {
                    daemon.rewrite_config(&of(to));
                    let before = daemon.metric("byname_config_generation");
                    daemon.signal("HUP");
                    assert!(
                        soon(Duration::from_secs(8), || daemon.metric("byname_config_generation") > before)
                    );
                };
                let chat = |key: &str| told(&daemon.client().chat_as(key, &ask("general")));
                for _ in 0..3 {
                    chat(B);
                }
                change(None);
                let gone = chat(B);
                change(Some("bn-new"));
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
                let taken = soon(Duration::from_secs(60), || {
                    daemon.metric_sum("byname_config_reloads_total", &[("outcome", "ok")]) >= 1.0
                });
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
    let models: Vec<_> = (0..aliases)
        .map(|alias| {
            let name = if alias == 0 { "general".to_owned() } else { format!("alias-{alias}") };
            format!("{name}: {{ routes: [ {{ pool: main, model: m }} ] }}")
        })
        .collect();
    let models = models.join(", ");
    let mut text = format!(
        "server: {{ listen: \"{{listen}}\", admin: \"{{admin}}\" }}\npools: {{ {} }}\ntenants:\n",
        pool("main", upstream)
    );
    for tenant in 0..tenants {
        text += &format!(
            "  t{tenant}: {{ keys: {{ web: {{ sha256: \"{}\" }} }}, models: {{ {models} }} }}\n",
            digest(&format!("{A}-{tenant}"))
        );
    }
    Gateway::new().config_text(&text)
}

/// A client at another loopback address.
fn from(own: Ipv4Addr, to: SocketAddr) -> Client<TcpStream> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
    socket.bind(&SocketAddr::from((own, 0)).into()).expect("a loopback address");
    socket.connect(&to.into()).expect("the gateway listens");
    let stream = TcpStream::from(socket);
    stream.set_read_timeout(Some(crate::kit::DEADLINE)).expect("a socket option");
    Client::over(stream)
}
