//! Keys: how they are written, what they may, when they begin and end, and that nothing else identifies anybody.

use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::{Duration, Instant, SystemTime};

use super::timing::compare;
use super::{Row, each, plain, row, table, told};
use crate::kit::answers::{json_answer, sse_answer};
use crate::kit::client::{Client, Response, ask, ask_stream, chat_request, request};
use crate::kit::config::{Gateway, digest};
use crate::kit::daemon::Daemon;
use crate::kit::process::{memory, soon};
use crate::kit::script::{Step, chunk};
use crate::kit::upstream::Upstream;
use crate::kit::{KEY, KEY_CHAT_ONLY, KEY_EXPIRED, KEY_GLOBEX, KEY_MODELS_ONLY, MODEL};

const UNKNOWN: &str = "401 invalid_api_key";
/// Keys that nobody has, said in these rows.
const STRANGE: &str = "bn-strange-0123456789abcdef";

/// The gateway of the rows that change nothing.
struct Scene {
    daemon: Daemon,
    upstream: Upstream,
}

fn good() -> Upstream {
    Upstream::start(|seen| if seen.wants_stream() { sse_answer(&["good"]) } else { json_answer("good") })
}

impl Scene {
    fn start() -> Rc<Self> {
        let upstream = good();
        let daemon = Gateway::new()
            .backend_with_key(&upstream, "the-gateway-s-own-key")
            .server("unknown_keys_per_minute", "1000000")
            .env("BYNAME_LOG", "trace")
            .start();
        Rc::new(Self { daemon, upstream })
    }

    /// The answer to a chat with these headers.
    fn with(&self, headers: &[(&str, &str)]) -> Response {
        let mut client = self.daemon.client();
        client.send(&request("POST", "/v1/chat/completions", headers, ask("general").as_bytes()));
        client.read()
    }

    fn authorized(&self, value: &str) -> String {
        told(&self.with(&[("Authorization", value)]))
    }

    /// All of these values, which must come to the same.
    fn all(&self, values: &[&str]) -> String {
        let mut seen: Vec<_> = values.iter().map(|value| self.authorized(value)).collect();
        seen.dedup();
        seen.join(", ")
    }
}

#[test]
fn thirty_six_cases_of_keys() {
    let scene = Scene::start();
    let rows = [written(&scene), lives(&scene), kept_out(&scene), everything_else(&scene)];
    table("AU", 36, rows.into_iter().flatten().collect());
}

/// A row that needs the common scene.
fn of(
    scene: &Rc<Scene>,
    id: &'static str,
    what: &'static str,
    expected: &'static str,
    run: impl FnOnce(&Scene) -> String + 'static,
) -> Row {
    let scene = Rc::clone(scene);
    row(id, what, expected, move || run(&scene))
}

fn written(s: &Rc<Scene>) -> Vec<Row> {
    vec![
        of(s, "AU-01", "no header", "401 invalid_api_key, Bearer, three members", |s| {
            let answer = s.with(&[]);
            let members = answer.json()["error"].as_object().map_or(0, serde_json::Map::len);
            let how = answer.header("www-authenticate").unwrap_or("no challenge");
            format!("{}, {how}, {} members", told(&answer), if members == 3 { "three" } else { "other" })
        }),
        of(s, "AU-02", "an empty bearer", UNKNOWN, |s| s.all(&["Bearer", "Bearer ", ""])),
        of(s, "AU-03", "the scheme in any case", "200", |s| {
            s.all(&[&format!("bearer {KEY}"), &format!("BEARER {KEY}"), &format!("bEaReR {KEY}")])
        }),
        of(s, "AU-04", "two blanks; a tab", "200; 401 invalid_api_key", |s| {
            format!(
                "{}; {}",
                s.authorized(&format!("Bearer  {KEY}")),
                s.authorized(&format!("Bearer\t{KEY}"))
            )
        }),
        of(s, "AU-05", "a blank behind; a CR behind", "200; 400 invalid_request", |s| {
            let blank = s.authorized(&format!("Bearer {KEY}  "));
            format!("{blank}; {}", s.authorized(&format!("Bearer {KEY}\r")))
        }),
        of(s, "AU-06", "other schemes", UNKNOWN, |s| {
            s.all(&[&format!("Basic {KEY}"), &format!("Token {KEY}"), &format!("Digest {KEY}"), KEY])
        }),
        of(s, "AU-07", "two headers", UNKNOWN, |s| {
            let bearer = format!("Bearer {KEY}");
            told(&s.with(&[("Authorization", &bearer), ("Authorization", &bearer)]))
        }),
        of(s, "AU-08", "two keys with a comma", UNKNOWN, |s| {
            s.all(&[&format!("Bearer {KEY},{KEY}"), &format!("Bearer {KEY}, Bearer {KEY}")])
        }),
        of(s, "AU-09", "x-api-key, api-key", UNKNOWN, |s| {
            let mut seen = ["x-api-key", "api-key", "x-goog-api-key", "proxy-authorization"]
                .map(|name| told(&s.with(&[(name, KEY)])))
                .to_vec();
            seen.dedup();
            seen.join(", ")
        }),
        of(s, "AU-10", "a key in the query", "all of 3; 0 times in the log", |s| {
            let seen = each(["api_key", "key", "access_token"], |name| {
                let mut client = s.daemon.client();
                client.send(&request("GET", &format!("/v1/models?{name}={KEY}"), &[], b""));
                same(&told(&client.read()), UNKNOWN)
            });
            format!("{seen}; {} times in the log", s.daemon.stdout().matches(KEY).count())
        }),
        of(
            s,
            "AU-11",
            "a key in a cookie, the body, the path",
            "401 invalid_api_key, 401 invalid_api_key, 404 not_found",
            |s| {
                let cookie = told(&s.with(&[("Cookie", &format!("key={KEY}; Authorization=Bearer {KEY}"))]));
                let send = |target: &str, body: &str| {
                    let mut client = s.daemon.client();
                    client.send(&request("POST", target, &[], body.as_bytes()));
                    told(&client.read())
                };
                let body = send("/v1/chat/completions", &format!(r#"{{"key":"{KEY}","model":"general"}}"#));
                format!("{cookie}, {body}, {}", send(&format!("/{KEY}/v1/chat/completions"), "{}"))
            },
        ),
        of(s, "AU-12", "each bit of a key flipped", "all of 96", |s| {
            each((0..KEY.len()).flat_map(|at| (0..8).map(move |bit| (at, bit))), |(at, bit)| {
                let mut key = KEY.as_bytes().to_vec();
                key[at] ^= 1 << bit;
                let head = b"POST /v1/chat/completions HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: 2\r\n";
                let mut client = s.daemon.client();
                client.send(&[&head[..], b"Authorization: Bearer ", &key, b"\r\n\r\n{}"].concat());
                let seen = told(&client.read());
                // A control character is no header at all.
                if seen == UNKNOWN || seen == "400 invalid_request" && key[at].is_ascii_control() {
                    Ok(())
                } else {
                    Err(format!("{at}/{bit}: {seen}"))
                }
            })
        }),
        of(s, "AU-13", "a well-formed key that nobody has", UNKNOWN, |s| {
            let output = std::process::Command::new(env!("CARGO_BIN_EXE_byname")).arg("keygen").output();
            let words = String::from_utf8(output.expect("the binary can be started").stdout).expect("text");
            let key =
                words.lines().find_map(|line| line.strip_prefix("key:")).expect("a key").trim().to_owned();
            s.authorized(&format!("Bearer {key}"))
        })
        .note("keys have no id and no checksum: the whole key is hashed and looked up"),
        of(s, "AU-14", "a part of a key; its digest", UNKNOWN, |s| {
            s.all(&[
                "Bearer bn-",
                &format!("Bearer {}", &KEY[..KEY.len() - 1]),
                &format!("Bearer {}", digest(KEY)),
            ])
        }),
        of(s, "AU-15", "keys of 16 KiB and 1 MiB", "401 invalid_api_key; 431 headers_too_large", |s| {
            let long = s.authorized(&format!("Bearer {}", "x".repeat(16 * 1024)));
            let mut client = s.daemon.client();
            let whole = format!(
                "GET /v1/models HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {}",
                "x".repeat(1 << 20)
            );
            // It may be refused before all of it is sent.
            let _ = client.try_send(whole.as_bytes());
            format!(
                "{long}; {}",
                client.try_read().map_or_else(|_| "431 headers_too_large".to_owned(), |answer| told(&answer))
            )
        })
        .note("a megabyte may be cut by a reset before its answer is read; that counts as refused here"),
        of(s, "AU-16", "metacharacters; NUL", "all of 8; 400 invalid_request; one line each", |s| {
            // The log's writer lets lines gather for a moment.
            std::thread::sleep(Duration::from_millis(300));
            let lines = s.daemon.stdout().lines().count();
            let strange =
                ["' OR '1'='1", "$(id)", "`id`", "%s%n%x", "{{7*7}}", "日本", "../../etc/passwd", "a\u{7f}b"];
            let seen = each(strange, |key| {
                let seen = s.authorized(&format!("Bearer {key}"));
                if seen == UNKNOWN || key.contains('\u{7f}') && seen.starts_with("400") {
                    Ok(())
                } else {
                    Err(format!("{key}: {seen}"))
                }
            });
            let nul = s.authorized("Bearer a\0b");
            let one = soon(Duration::from_secs(5), || s.daemon.stdout().lines().count() == lines + 9);
            format!("{seen}; {nul}; {}", if one { "one line each" } else { "other lines" })
        }),
        of(s, "AU-17", "a key of another kind", UNKNOWN, |s| {
            s.all(&[&format!("Bearer {}", KEY.replace("bn-test", "bn-live")), &format!("Bearer sk-{KEY}")])
        }),
    ]
}

fn lives(s: &Rc<Scene>) -> Vec<Row> {
    vec![
        of(s, "AU-18", "an expired key, and one that never was", "the same bytes", |s| {
            let bearer = |key: &str| plain(&s.with(&[("Authorization", &format!("Bearer {key}"))]));
            let (expired, unknown) = (bearer(KEY_EXPIRED), bearer(STRANGE));
            if expired == unknown && expired.contains("401") { "the same bytes".into() } else { format!("{expired} / {unknown}") }
        }),
        row("AU-19", "a key that ends while it is used", "200, then 401 invalid_api_key", || {
            let end = SystemTime::now() + Duration::from_secs(2);
            let end = humantime::format_rfc3339_seconds(end).to_string();
            let run = Run::start(&format!("soon: {{ sha256: \"{}\", expires: {end} }}", digest("bn-soon")));
            let first = run.chat("bn-soon");
            let over = soon(Duration::from_secs(8), || run.chat("bn-soon") != "200");
            format!("{first}, then {}", if over { run.chat("bn-soon") } else { "no end".into() })
        })
        .note("keys have no beginning: one that is not valid yet is one that is not written yet"),
        row("AU-20", "revoked by a reload", "200, then 401 invalid_api_key", || {
            let run = Run::start(&format!("gone: {{ sha256: \"{}\" }}", digest("bn-gone")));
            let before = run.chat("bn-gone");
            run.rewrite("");
            let began = Instant::now();
            run.daemon.signal("HUP");
            let over = soon(Duration::from_secs(8), || run.chat("bn-gone") != "200");
            let after = if over { run.chat("bn-gone") } else { "still good".into() };
            format!("{before}, then {after} | after {:.0} ms", began.elapsed().as_secs_f64() * 1e3)
        }),
        row("AU-21", "revoked while a stream runs", "goes on to its end; then 401 invalid_api_key", || {
            let run = Run::start(&format!("gone: {{ sha256: \"{}\" }}", digest("bn-gone")));
            let mut client = run.daemon.client();
            client.send(&chat_request("bn-gone", &ask_stream("slow")));
            let head = client.read_head();
            run.rewrite("");
            run.daemon.signal("HUP");
            assert!(soon(Duration::from_secs(8), || run.chat("bn-gone") != "200"), "still good");
            run.upstream.open("end");
            let rest = client.rest(head).expect("the stream");
            let ended = rest.text().ends_with("data: [DONE]\n\n");
            format!("{}; then {}", if ended { "goes on to its end" } else { "is cut" }, run.chat("bn-gone"))
        })
        .note("a request ends on the configuration that it began with; a client that is to be cut is cut with INT"),
        row("AU-22", "two keys for a time, then the new one", "0 failures; old 401 invalid_api_key, new 200", || {
            let key = |name: &str| format!("{name}: {{ sha256: \"{}\" }}", digest(&format!("bn-{name}")));
            let run = Run::start(&key("old"));
            let mut failures = 0;
            for (keys, used) in [(format!("{}, {}", key("old"), key("new")), "bn-old"), (key("new"), "bn-new")] {
                failures += usize::from(run.chat(used) != "200" && used == "bn-old");
                run.rewrite(&keys);
                let generation = run.daemon.metric("byname_config_generation");
                run.daemon.signal("HUP");
                for _ in 0..20 {
                    // The client has switched before the old key goes.
                    let key = if run.daemon.metric("byname_config_generation") == generation && used == "bn-old" { "bn-old" } else { "bn-new" };
                    failures += usize::from(run.chat(key) != "200");
                }
                assert!(soon(Duration::from_secs(8), || run.daemon.metric("byname_config_generation") > generation));
            }
            format!("{failures} failures; old {}, new {}", run.chat("bn-old"), run.chat("bn-new"))
        }),
        of(s, "AU-23", "a key that may not chat", "403 insufficient_scope", |s| s.authorized(&format!("Bearer {KEY_MODELS_ONLY}"))),
        of(s, "AU-24", "a key that may not list models", "403 insufficient_scope, 403 insufficient_scope", |s| {
            let get = |path| told(&s.daemon.client().get(KEY_CHAT_ONLY, path));
            format!("{}, {}", get("/v1/models"), get("/v1/models/general"))
        }),
        row("AU-25", "a tenant that is shut out", "200 200, then 401 invalid_api_key 401 invalid_api_key", || {
            let two = format!("a: {{ sha256: \"{}\" }}, b: {{ sha256: \"{}\" }}", digest("bn-a"), digest("bn-b"));
            let run = Run::start(&two);
            let both = || format!("{} {}", run.chat("bn-a"), run.chat("bn-b"));
            let before = both();
            run.rewrite("");
            run.daemon.signal("HUP");
            soon(Duration::from_secs(8), || run.chat("bn-a") != "200");
            format!("{before}, then {}", both())
        })
        .note("by taking its keys away; `disabled` is for another branch to bring"),
    ]
}

fn kept_out(s: &Rc<Scene>) -> Vec<Row> {
    vec![
        of(s, "AU-26", "the key comes before body, alias and limits", "all of 5; 0 counted for tenants, 0 asked", |s| {
            let asked = s.upstream.requests().len();
            let count = || s.daemon.metric_sum("byname_requests_total", &[("tenant", "acme")]);
            let before = count();
            let seen = each(["{", r#"{"model":"nobody"}"#, "", r#"{"model":"general","messages":[]}"#, "[1"], |body| {
                let mut client = s.daemon.client();
                let bearer = format!("Bearer {STRANGE}");
                client.send(&request("POST", "/v1/chat/completions", &[("Authorization", &bearer), ("Expect", "x")], body.as_bytes()));
                same(&told(&client.read()), UNKNOWN)
            });
            let (counted, asked) = (count() - before, s.upstream.requests().len() - asked);
            format!("{seen}; {counted} counted for tenants, {asked} asked")
        }),
        of(s, "AU-27", "time by how much of a key is right", "timed", |s| {
            let request = |key: &str| request("GET", "/v1/models", &[("Authorization", &format!("Bearer {key}"))], b"");
            let almost = format!("{}x", &KEY[..KEY.len() - 1]);
            compare(s.daemon.addr(), &request(&almost), &request(&"x".repeat(KEY.len())))
        })
        .note("printed, not asserted"),
        of(s, "AU-28", "time of an expired key and of none", "timed", |s| {
            let request = |key: &str| request("GET", "/v1/models", &[("Authorization", &format!("Bearer {key}"))], b"");
            compare(s.daemon.addr(), &request(KEY_EXPIRED), &request(&"y".repeat(KEY_EXPIRED.len())))
        })
        .note("printed, not asserted; a key has no id whose secret could be wrong, so the expired one is the nearest thing"),
        row("AU-29", "many wrong keys from one address", "20 are told 401, 30 are told 429; good ones 50 of 50", || {
            let upstream = good();
            let daemon = Gateway::new().backend(&upstream).server("unknown_keys_per_minute", "20").start();
            let mut seen = BTreeMap::<u16, usize>::new();
            let mut fine = 0;
            let mut client = daemon.client();
            for number in 0..50 {
                // What a client says of its address counts for nothing.
                let (bearer, from) = (format!("Bearer bn-wrong-{number}"), format!("192.0.2.{number}"));
                client.send(&request("GET", "/v1/models", &[("Authorization", &bearer), ("X-Forwarded-For", &from)], b""));
                *seen.entry(client.read().status).or_default() += 1;
                fine += usize::from(client.get(KEY, "/v1/models").status == 200);
            }
            let of = |status| seen.get(&status).copied().unwrap_or(0);
            format!("{} are told 401, {} are told 429; good ones {fine} of 50", of(401), of(429))
        }),
        of(s, "AU-30", "ten thousand different wrong keys", "10000 refused, no new series, no growth", |s| {
            let series = || s.daemon.ask_admin("/metrics").text().lines().count();
            let mut client = s.daemon.client();
            client.get(STRANGE, "/v1/models");
            let (before, resident) = (series(), memory(s.daemon.pid()));
            let mut refused = 0;
            for number in 0..10_000 {
                if number % 5_000 == 4_999 {
                    client = s.daemon.client();
                }
                refused += usize::from(client.get(&format!("bn-{number:032}"), "/v1/models").status == 401);
            }
            let grown = memory(s.daemon.pid()).saturating_sub(resident);
            let new = series().saturating_sub(before);
            let growth = if grown < 16 << 20 { "no growth".to_owned() } else { format!("{grown} bytes more") };
            format!("{refused} refused, {} series, {growth} | {grown} bytes", if new == 0 { "no new".to_owned() } else { format!("{new} new") })
        })
        .note("no growth is less than 16 MiB: the allocator's own"),
    ]
}

fn everything_else(s: &Rc<Scene>) -> Vec<Row> {
    vec![
        of(s, "AU-31", "a client's key goes to no backend", "all of 2, 0 times in what it got", |s| {
            let from = s.upstream.requests().len();
            let seen = each([KEY, KEY_GLOBEX], |key| {
                same(&told(&s.with(&[("Authorization", &format!("Bearer {key}"))])), "200")
            });
            let got = s.upstream.requests();
            let times = got[from..].iter().filter(|seen| {
                let all = [seen.head.raw.clone(), seen.body.clone()].concat();
                [KEY, KEY_GLOBEX].iter().any(|key| String::from_utf8_lossy(&all).contains(key))
            });
            format!("{seen}, {} times in what it got", times.count())
        }),
        of(
            s,
            "AU-32",
            "a client's headers for a backend",
            "200; none of them goes up; our own key does",
            |s| {
                let headers = [
                    "OpenAI-Organization",
                    "OpenAI-Project",
                    "api-key",
                    "x-api-key",
                    "x-goog-api-key",
                    "anthropic-version",
                    "Cookie",
                    "Proxy-Authorization",
                ];
                let bearer = format!("Bearer {KEY}");
                let mut all = vec![("Authorization", bearer.as_str())];
                all.extend(headers.map(|name| (name, "smuggled")));
                let answer = s.with(&all);
                let head =
                    String::from_utf8_lossy(&s.upstream.requests().last().expect("a request").head.raw)
                        .into_owned();
                let lower = head.to_ascii_lowercase();
                let up: Vec<_> = headers
                    .iter()
                    .filter(|name| lower.contains(&format!("{}:", name.to_ascii_lowercase())))
                    .collect();
                let ours = head.contains("Bearer the-gateway-s-own-key");
                format!(
                    "{}; {} goes up; our own key {}",
                    told(&answer),
                    if up.is_empty() && !lower.contains("smuggled") {
                        "none of them".to_owned()
                    } else {
                        format!("{up:?}")
                    },
                    if ours { "does" } else { "does not" }
                )
            },
        ),
        of(s, "AU-33", "headers that claim another path, method or host", "all of 6", |s| {
            let bearer = format!("Bearer {KEY}");
            let claims = [
                ("X-Original-URL", "/v1/models"),
                ("X-Rewrite-URL", "/metrics"),
                ("X-HTTP-Method-Override", "GET"),
                ("X-Forwarded-For", "127.0.0.1"),
                ("X-Forwarded-Host", "globex.example"),
                ("Forwarded", "for=127.0.0.1;host=admin"),
            ];
            each(claims, |claim| {
                let with = s.with(&[("Authorization", &bearer), claim]);
                same(
                    &format!("{} {}", told(&with), with.json()["choices"][0]["message"]["content"]),
                    "200 \"good\"",
                )?;
                same(&told(&s.with(&[claim])), UNKNOWN)
            })
        }),
        of(s, "AU-34", "the operator's paths at the public door", "all of 10", |s| {
            let paths = ["/metrics", "/healthz", "/readyz", "/status", "/"];
            each(paths.into_iter().flat_map(|path| [(path, KEY), (path, STRANGE)]), |(path, key)| {
                same(&told(&s.daemon.client().get(key, path)), "404 not_found")
            })
        }),
        of(s, "AU-35", "paths x methods x keys", "all of 162", matrix),
        of(s, "AU-36", "no key in any log, at any level", "0 of 7 keys", |s| {
            // Broken requests, too.
            for bytes in [
                format!(
                    "GET /v1/models HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {KEY}\r\nbad header {KEY}\r\n\r\n"
                ),
                format!("NONSENSE {KEY}\r\n\r\n"),
                format!("GET /{KEY} HTTP/9.9\r\nAuthorization: Bearer {KEY}\r\n\r\n"),
                format!(
                    "POST /v1/chat/completions HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {KEY}\r\nTransfer-Encoding: chunked\r\n\r\n{KEY}\r\n"
                ),
            ] {
                let mut client = s.daemon.client();
                client.send(bytes.as_bytes());
                let _ = client.try_read();
            }
            std::thread::sleep(Duration::from_millis(300));
            let all = s.daemon.stdout() + &s.daemon.stderr();
            let keys = [
                KEY,
                KEY_GLOBEX,
                KEY_CHAT_ONLY,
                KEY_MODELS_ONLY,
                KEY_EXPIRED,
                STRANGE,
                "the-gateway-s-own-key",
            ];
            format!("{} of {} keys", keys.iter().filter(|key| all.contains(**key)).count(), keys.len())
        }),
    ]
}

/// Every path, method and key, against what is written here.
fn matrix(s: &Scene) -> String {
    let paths =
        ["/v1/chat/completions", "/v1/models", "/v1/models/general", "/v1/models/private", "/metrics", "/v1"];
    let methods = ["GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "CONNECT"];
    let all = paths.into_iter().flat_map(|path| {
        methods
            .into_iter()
            .flat_map(move |method| [None, Some(STRANGE), Some(KEY)].map(move |key| (path, method, key)))
    });
    each(all, |(path, method, key)| {
        let models = path.starts_with("/v1/models");
        let expected = match (path, method, key) {
            (_, "CONNECT", _) => 405,
            ("/metrics" | "/v1", _, _) => 404,
            ("/v1/chat/completions", "POST", Some(KEY)) => 200,
            ("/v1/chat/completions", "POST", _) => 401,
            ("/v1/models/private", "GET" | "HEAD", Some(KEY)) => 404,
            (_, "GET" | "HEAD", Some(KEY)) if models => 200,
            (_, "GET" | "HEAD", _) if models => 401,
            (_, _, _) => 405,
        };
        let bearer = key.map(|key| format!("Bearer {key}"));
        let headers: Vec<_> = bearer.iter().map(|bearer| ("Authorization", bearer.as_str())).collect();
        let body = if method == "POST" { ask("general") } else { String::new() };
        let mut client: Client = s.daemon.client();
        let target = if method == "CONNECT" { "gateway:443" } else { path };
        client.send(&request(method, target, &headers, body.as_bytes()));
        let status = if method == "HEAD" { client.read_without_body().status } else { client.read().status };
        if status == expected {
            Ok(())
        } else {
            Err(format!("{method} {path} {key:?}: {status}, not {expected}"))
        }
    })
}

fn same(seen: &str, expected: &str) -> Result<(), String> {
    if seen == expected { Ok(()) } else { Err(seen.to_owned()) }
}

/// A gateway whose keys change.
struct Run {
    daemon: Daemon,
    upstream: Upstream,
}

impl Run {
    fn start(keys: &str) -> Self {
        let upstream = Upstream::start(|seen| {
            if !seen.wants_stream() {
                return json_answer("good");
            }
            let mut steps = sse_answer(&["one", "two"]);
            steps.insert(3, Step::Wait("end"));
            steps.insert(3, chunk(": a comment\n\n"));
            steps
        });
        Self { daemon: Self::gateway(&upstream, keys).start(), upstream }
    }

    fn gateway(upstream: &Upstream, keys: &str) -> Gateway {
        let url = upstream.url();
        let last = format!("last: {{ sha256: \"{}\" }}", digest(KEY));
        let keys = if keys.is_empty() { last } else { format!("{last}, {keys}") };
        Gateway::new().config_text(&format!(
            "server: {{ listen: \"{{listen}}\", admin: \"{{admin}}\", unknown_keys_per_minute: 1000000 }}\n\
             pools: {{ main: {{ backends: [ {{ url: \"{url}\" }} ] }} }}\n\
             tenants: {{ acme: {{ keys: {{ {keys} }}, models: {{ general: {{ routes: [ {{ pool: main, model: {MODEL} }} ] }}, \
             slow: {{ routes: [ {{ pool: main, model: {MODEL} }} ] }} }} }} }}\n"
        ))
    }

    fn rewrite(&self, keys: &str) {
        self.daemon.rewrite_config(&Self::gateway(&self.upstream, keys));
    }

    fn chat(&self, key: &str) -> String {
        told(&self.daemon.client().chat_as(key, &ask("general")))
    }
}
