//! The members of the JSON, and that they say what happened.

use serde_json::{Value, json};

use super::{chat, html, named};
use crate::kit::answers::json_answer;
use crate::kit::config::{Gateway, digest};
use crate::kit::script::whole;
use crate::kit::upstream::Upstream;
use crate::kit::{DEADLINE, KEY};

const SECRET: &str = "sk-backend-secret-that-nobody-sees";

#[test]
fn what_happened_is_what_it_says() {
    let (good, dead) = (Upstream::always(json_answer("ok")), Upstream::refusing());
    let text = format!(
        "server: {{ listen: \"{{listen}}\", admin: \"{{admin}}\" }}\n\
         pools:\n  house:\n    balance: round_robin\n    limits: {{ requests_per_minute: 1000 }}\n    \
         breaker: {{ failures: 2, open: 60s, max_open: 60s }}\n    backends:\n      \
         - {{ url: \"{}\", weight: 3, key: {{ env: BYNAME_TEST_STATUS }} }}\n      - {{ url: \"{}\" }}\n\
         tenants:\n  acme:\n    limits: {{ requests_per_minute: 600, concurrent: 5 }}\n    keys:\n      \
         web: {{ sha256: \"{}\", expires: 2099-01-01T00:00:00Z, limits: {{ tokens_per_minute: 90000 }} }}\n    \
         models:\n      general: {{ routes: [ {{ pool: house, model: large }} ] }}\n      \
         tight: {{ limits: {{ requests_per_minute: 1 }}, routes: [ {{ pool: house, model: large }} ] }}\n",
        good.url(),
        dead.url(),
        digest(KEY)
    );
    let daemon = Gateway::new().config_text(&text).env("BYNAME_TEST_STATUS", SECRET).start();
    let mut client = daemon.client();
    for _ in 0..12 {
        assert_eq!(client.chat(&chat("general")).status, 200);
    }
    assert_eq!([client.chat(&chat("tight")).status, client.chat(&chat("tight")).status], [200, 429]);
    assert_eq!(daemon.client().chat_as("nobody", &chat("general")).status, 401);
    daemon.log_lines(15);
    let status = super::json(&daemon, "/status");

    assert_eq!(status["version"], env!("CARGO_PKG_VERSION"));
    assert_eq!((&status["process"], &status["stage"]), (&daemon.pid().into(), &"serving".into()));
    assert_eq!((&status["serving"], status.get("not_ready")), (&0.into(), None));
    assert!(status["uptime_seconds"].is_u64() && status["memory_bytes"].as_u64() > Some(1_000_000));
    assert!(status["connections"]["idle"].is_u64() && status["connections"]["busy"].is_u64());
    let configuration = &status["configuration"];
    assert_eq!((&configuration["generation"], &configuration["last_reload"]), (&1.into(), &"taken".into()));
    assert_eq!((&configuration["complaints"], &configuration["in_use"]), (&json!([]), &1.into()));

    let pool = named(&status["pools"], "house");
    assert_eq!((&pool["balance"], &pool["usable"]), (&"round_robin".into(), &1.into()));
    assert_eq!(pool["limits"][0]["most"], 1000);
    let backend = named(&pool["backends"], &good.addr().to_string());
    assert_eq!(
        (&backend["up"], &backend["state"], &backend["breaker"]),
        (&true.into(), &"good".into(), &"closed".into())
    );
    assert_eq!(
        (&backend["attempts"], &backend["failures"], &backend["weight"]),
        (&13.into(), &0.into(), &3.into())
    );
    assert_eq!((&backend["credential"], &backend["in_flight"]), (&"good".into(), &0.into()));
    assert!(backend["latency_ms"]["whole"].as_f64() > Some(0.0) && backend["latency_ms"]["stream"].is_null());
    assert_eq!(backend["addresses"][0]["address"], good.addr().to_string());
    let backend = named(&pool["backends"], &dead.addr().to_string());
    assert_eq!((&backend["up"], &backend["state"]), (&false.into(), &"breaker_open".into()));
    assert_eq!(
        (&backend["breaker"], &backend["attempts"], &backend["failures"]),
        (&"open".into(), &2.into(), &2.into())
    );
    assert_eq!(backend["outcomes"]["connect"], 2);

    let tenant = named(&status["tenants"], "acme");
    assert_eq!(
        (&tenant["requests"], &tenant["refusals"], &tenant["in_flight"]),
        (&14.into(), &1.into(), &0.into())
    );
    assert_eq!(
        tenant["tokens"],
        json!({"prompt": 13 * prompt(&tenant["tokens"]), "completion": tenant["tokens"]["completion"]})
    );
    let limits = json!([
        {"limit": "requests_per_minute", "most": 600, "left": 587}, {"limit": "concurrent", "most": 5, "left": 5}
    ]);
    assert_eq!(tenant["limits"], limits);
    let alias = named(&tenant["aliases"], "general");
    assert_eq!((&alias["requests"], &alias["refusals"]), (&12.into(), &0.into()));
    assert_eq!(alias["routes"], json!([{"pool": "house", "model": "large"}]));
    assert!(alias["first_token_ms"].as_f64() > Some(0.0));
    let alias = named(&tenant["aliases"], "tight");
    assert_eq!(
        (&alias["requests"], &alias["refusals"], &alias["limits"][0]["left"]),
        (&2.into(), &1.into(), &0.into())
    );
    assert_eq!(alias["reasons"].as_object().map(serde_json::Map::len), Some(1), "{alias}");
    let key = named(&tenant["keys"], "web");
    assert_eq!(
        (&key["expires"], &key["limits"][0]["limit"]),
        (&"2099-01-01T00:00:00Z".into(), &"tokens_per_minute".into())
    );
    assert_eq!(status["strangers"]["requests"], 1);

    for told in [status.to_string(), html(&daemon, "/status"), html(&daemon, "/status?tenant=acme")] {
        assert!(!told.contains(SECRET) && !told.contains(KEY) && !told.contains(&digest(KEY)), "{told}");
    }
}

/// What one prompt of this test took.
fn prompt(tokens: &Value) -> u64 {
    tokens["prompt"].as_u64().expect("a number") / 13
}

#[test]
fn what_a_caller_did_wrong_is_no_failure_of_a_backend() {
    let error = [("Content-Type", "application/json")];
    let upstream = Upstream::start(move |seen| whole(if seen.index == 0 { 400 } else { 500 }, &error, "{}"));
    let daemon = Gateway::new().backend(&upstream).start();
    assert_eq!(daemon.client().chat(&chat("general")).status, 400);
    assert_eq!(daemon.client().chat(&chat("general")).status, 502);
    daemon.log_lines(2);
    let status = super::json(&daemon, "/status");
    let backend = &status["pools"][0]["backends"][0];
    let counts = ["attempts", "failures", "other_ends"].map(|name| backend[name].as_u64());
    assert_eq!(counts, [Some(2), Some(1), Some(1)], "{backend}");
    assert!(html(&daemon, "/status").contains("no failures: rejected 1"));
}

#[test]
fn a_rate_is_known_without_anybody_looking() {
    let upstream = Upstream::always(json_answer("ok"));
    let daemon = Gateway::new().backend(&upstream).start();
    let since = std::time::Instant::now();
    loop {
        for _ in 0..5 {
            assert_eq!(daemon.client().chat(&chat("general")).status, 200);
        }
        let status = super::json(&daemon, "/status");
        let rates = [
            &status["requests_per_second"],
            &named(&status["tenants"], "acme")["requests_per_second"],
            &named(&named(&status["tenants"], "acme")["aliases"], "general")["requests_per_second"],
            &named(&status["pools"], "main")["attempts_per_second"],
            &status["pools"][0]["backends"][0]["attempts_per_second"],
        ];
        if rates.iter().all(|rate| rate.as_f64() > Some(0.0)) {
            break;
        }
        assert!(since.elapsed() < DEADLINE, "{rates:?}");
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
}
