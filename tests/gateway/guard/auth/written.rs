//! How a key is written: AU-01 to AU-17.

use std::rc::Rc;
use std::time::Duration;

use super::{Scene, UNKNOWN, of, same};
use crate::guard::{Case, each, told};
use crate::kit::KEY;
use crate::kit::client::request;
use crate::kit::config::digest;
use crate::kit::process::soon;

pub fn cases(s: &Rc<Scene>) -> Vec<Case> {
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
