//! Where a key does not go, and what does not stand for one: AU-31 to AU-36.

use std::rc::Rc;
use std::time::Duration;

use super::{STRANGE, Scene, UNKNOWN, of, same};
use crate::guard::{Case, each, told};
use crate::kit::client::{Client, ask, request};
use crate::kit::{KEY, KEY_CHAT_ONLY, KEY_EXPIRED, KEY_GLOBEX, KEY_MODELS_ONLY};

pub fn cases(s: &Rc<Scene>) -> Vec<Case> {
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
