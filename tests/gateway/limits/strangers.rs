//! Requests without a good key: so many a minute are told so, and then they are told to stop.

use serde_json::json;

use super::quick;
use super::setup::Setup;
use crate::kit::KEY;
use crate::kit::client::{Response, ask, chat_request, request};

const FLOOD: &str = "Too many requests without a valid API key.";

#[track_caller]
fn assert_flood(answer: &Response) {
    assert_eq!(answer.status, 429, "{}", answer.everything());
    let expected = json!({"error": {"type": "rate_limited", "message": FLOOD, "code": "rate_limited"}});
    assert_eq!(answer.json(), expected);
    assert_eq!(answer.header("retry-after"), Some("60"));
}

#[test]
fn too_many_bad_keys_are_told_to_wait_and_a_good_one_is_served() {
    let upstream = quick();
    let daemon = Setup::alias_limits(&upstream, "").server("unknown_keys_per_minute: 20").start();
    let mut good = daemon.client();
    for number in 0..20 {
        let answer = daemon.client().chat_as(&format!("bn-wrong-{number}"), &ask("general"));
        assert_eq!((answer.status, answer.json()["error"]["code"].as_str()), (401, Some("invalid_api_key")));
        assert_eq!(good.chat(&ask("general")).status, 200);
    }
    // Any way of having no good key, on any route; those with one go on, also on the same connection.
    let mut client = daemon.client();
    for _ in 0..3 {
        assert_flood(&client.chat_as("bn-wrong", &ask("general")));
        assert_flood(&client.get("bn-wrong", "/v1/models"));
        client.send(&request("POST", "/v1/chat/completions", &[], ask("general").as_bytes()));
        assert_flood(&client.read());
        assert_eq!(client.chat(&ask("general")).status, 200);
        assert_eq!(client.get(KEY, "/v1/models").status, 200);
    }
    assert_eq!(upstream.requests().len(), 23);
}

#[test]
fn a_refused_stranger_s_body_is_not_waited_for() {
    let upstream = quick();
    let daemon = Setup::alias_limits(&upstream, "").server("unknown_keys_per_minute: 1").start();
    for round in 0..3 {
        let mut client = daemon.client();
        let whole = chat_request("bn-wrong", &"x".repeat(1_000_000));
        let head = whole.windows(4).position(|four| four == b"\r\n\r\n").expect("a head") + 4;
        client.send(&whole[..head]);
        let answer = client.read();
        match round {
            0 => assert_eq!(answer.status, 401),
            _ => assert_flood(&answer),
        }
        assert!(client.is_closed());
    }
    daemon.wait_metric("byname_body_bytes", 0.0);
}

#[test]
fn routes_that_do_not_exist_and_good_keys_count_for_nobody() {
    let upstream = quick();
    let daemon = Setup::alias_limits(&upstream, "").server("unknown_keys_per_minute: 2").start();
    let mut client = daemon.client();
    for _ in 0..5 {
        assert_eq!(client.get("bn-wrong", "/nowhere").status, 404);
        assert_eq!(client.chat(&ask("general")).status, 200);
        assert_eq!(client.chat(&ask("nobody")).status, 404);
    }
    assert_eq!(client.chat_as("bn-wrong", &ask("general")).status, 401);
    assert_eq!(client.chat_as("bn-wrong", &ask("general")).status, 401);
    assert_flood(&client.chat_as("bn-wrong", &ask("general")));
}
