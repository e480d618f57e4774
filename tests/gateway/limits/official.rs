//! The official clients keep what a 429 tells them, and are served on their next try.
//!
//! A minute would be long to wait for, so two limits free soon: a slot, for which clients are told to wait a
//! second, and a window that the test fills through the store that it shares with the gateway, just so far
//! that it has room again after two seconds and a half.

use std::net::SocketAddr;
use std::thread;
use std::time::Duration;

use super::budgets::well_before_midnight;
use super::quick;
use super::setup::{KEY_APP, Setup};
use crate::kit::KEY;
use crate::kit::answers::json_answer;
use crate::kit::redis::{self, Redis};
use crate::kit::script::Step;
use crate::kit::scripts::{self, Language};
use crate::kit::upstream::Upstream;

/// Of the alias `window`.
const A_MINUTE: u64 = 1000;

#[test]
fn the_official_python_client_waits_and_succeeds() {
    run(Language::Python);
}

#[test]
fn the_official_node_client_waits_and_succeeds() {
    run(Language::Node);
}

fn run(language: Language) {
    well_before_midnight();
    let (redis, good) = (Redis::start(), quick());
    let store = redis.addr();
    let planting = Upstream::start(move |_| {
        fill(store, Duration::from_millis(2500));
        json_answer("ok")
    });
    let slow = Upstream::start(|_| {
        let mut steps = vec![Step::Pause(Duration::from_millis(700))];
        steps.extend(json_answer("ok"));
        steps
    });
    let daemon = Setup::new()
        .pool("main", &[&good], "")
        .pool("slow", &[&slow], "")
        .pool("planting", &[&planting], "")
        .alias("general", &["main"], "")
        .alias("window", &["main"], &format!("requests_per_minute: {A_MINUTE}"))
        .alias("slot", &["slow"], "concurrent: 1")
        .alias("plant", &["planting"], "")
        .app("tokens_per_day: 100")
        .store(&format!("redis: \"{}\", timeout: 1s", redis.url()))
        .start();
    daemon.wait_metric("byname_limits_store_up", 1.0);
    scripts::run(language, "limits", &daemon, &[("BYNAME_KEY", KEY), ("BYNAME_KEY_APP", KEY_APP)]);
    let log = daemon.log_lines(12);
    let of = |alias: &str| -> Vec<u64> {
        let lines = log.iter().filter(|line| line["alias"] == *alias);
        lines.filter_map(|line| line["status"].as_u64()).collect()
    };
    assert_eq!(of("window"), [429, 429, 200, 429, 200], "the first try after the wait succeeds");
    assert_eq!(of("slot"), [429, 200, 200]);
    assert_eq!(of("general"), [200, 429], "nobody tries again before tomorrow");
    assert!(log.iter().all(|line| line["status"] != 502));
}

/// Counts so much in the clock minute before that the alias `window` is full for so long.
fn fill(store: SocketAddr, time: Duration) {
    let full = u64::try_from(time.as_millis()).expect("seconds");
    loop {
        let now = redis::ask(
            store,
            &["EVAL", "local t = redis.call('TIME'); return t[1] * 1000 + math.floor(t[2] / 1000)", "0"],
        );
        let now: u64 = now.parse().expect("milliseconds");
        let (minute, into) = (now / 60_000, now % 60_000);
        let left = 60_000 - into;
        if left < full * 3 {
            // Too close to the next minute, in which nothing of the one before that counts.
            thread::sleep(Duration::from_millis(left + 10));
            continue;
        }
        // When that time is over there is room for one: a millisecond later, what counts is one less than all.
        let before = ((A_MINUTE - 1) * 60_000).div_ceil(left - full);
        let name = |minute: u64| format!("byname:a/acme/window:requests_per_minute:{minute}");
        redis::ask(store, &["SET", &name(minute - 1), &before.to_string(), "PX", "130000"]);
        redis::ask(store, &["SET", &name(minute), "0", "PX", "130000"]);
        return;
    }
}
