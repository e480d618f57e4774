//! Who has no key: what it learns, and what it costs. AU-26 to AU-30.

use std::collections::BTreeMap;
use std::rc::Rc;

use super::{STRANGE, Scene, UNKNOWN, of, same};
use crate::faults::parts::good;
use crate::guard::timing::compare;
use crate::guard::{Case, each, row, told};
use crate::kit::client::request;
use crate::kit::config::Gateway;
use crate::kit::process::memory;
use crate::kit::{KEY, KEY_EXPIRED};

pub fn cases(s: &Rc<Scene>) -> Vec<Case> {
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
            let upstream = good("good");
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
