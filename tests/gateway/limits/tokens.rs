//! Tokens: reserved by estimate, settled by what was used, given back where nothing was.

use serde_json::json;

use super::setup::Setup;
use super::{USED, ask_with_cap, assert_limited, body, gated, left, quick, settled, using, words_then};
use crate::kit::KEY;
use crate::kit::answers::{error_answer, json_answer, sse_head};
use crate::kit::client::{ask, chat_request};
use crate::kit::daemon::Daemon;
use crate::kit::script::{Step, chunk, last_chunk, whole};
use crate::kit::upstream::Upstream;

const MOST: u64 = 10_000;
const LIMITS: &str = "requests_per_minute: 100, tokens_per_minute: 10000, concurrent: 5";

/// One alias on these backends, and a tenant with [`LIMITS`].
fn tenant(upstreams: &[&Upstream]) -> Daemon {
    Setup::new().pool("main", upstreams, "").alias("general", &["main"], "").tenant(LIMITS).start()
}

/// What the tenant has used of its requests, its tokens and its slots.
fn used(daemon: &Daemon) -> (u64, u64, u64) {
    let left = |limit| left(daemon, "acme", "", limit);
    (100 - left("requests_per_minute"), MOST - left("tokens_per_minute"), 5 - left("concurrent"))
}

#[test]
fn an_estimate_and_the_cap_are_reserved_and_usage_settles_it() {
    for stream in [false, true] {
        let upstream = gated();
        let daemon = tenant(&[&upstream]);
        let mut client = daemon.client();
        client.send(&chat_request(
            KEY,
            &body("general", "Hello", json!({"max_tokens": 1000, "stream": stream})),
        ));
        upstream.wait_requests(1);
        let (requests, tokens, slots) = used(&daemon);
        assert_eq!((requests, slots), (1, 1));
        assert!((1005..=1060).contains(&tokens), "a short prompt and the cap: {tokens}");
        upstream.open("go");
        let answer = client.read();
        assert_eq!(answer.status, 200);
        assert_eq!(answer.header("x-ratelimit-remaining-tokens"), Some((MOST - tokens).to_string().as_str()));
        settled(&daemon);
        assert_eq!(used(&daemon), (1, USED, 0));
        let models = daemon.client().get(KEY, "/v1/models");
        assert_eq!(models.header("x-ratelimit-remaining-tokens"), Some("9830"));
        assert_eq!(models.header("x-ratelimit-remaining-requests"), Some("99"));
    }
}

#[test]
fn what_was_used_beyond_the_estimate_is_owed() {
    let upstream = Upstream::always(using(3000, 4000));
    let daemon = tenant(&[&upstream]);
    let mut client = daemon.client();
    assert_eq!(client.chat(&ask_with_cap("general", 100)).status, 200);
    settled(&daemon);
    assert_eq!(used(&daemon), (1, 7000, 0));
    assert_limited(&client.chat(&ask_with_cap("general", 4000)), "general");
    assert_eq!(client.chat(&ask_with_cap("general", 10)).status, 200);
    settled(&daemon);
    // More than there is: the debt has to fade first.
    assert_eq!(left(&daemon, "acme", "", "tokens_per_minute"), 0);
    assert_limited(&client.chat(&ask_with_cap("general", 1)), "general");
}

#[test]
fn a_request_that_nobody_could_answer_costs_nothing() {
    let nonsense = whole(200, &[("Content-Type", "application/json")], "{\"usage\":{\"total_tokens\":900}}");
    let early = vec![sse_head(), chunk("data: {\"error\":{\"message\":\"no\"}}\n\n"), last_chunk()];
    for (what, script) in
        [("500", error_answer(500)), ("429", error_answer(429)), ("nonsense", nonsense), ("error", early)]
    {
        let upstream = Upstream::always(script);
        let daemon = tenant(&[&upstream]);
        for stream in [false, true] {
            let answer = daemon.client().chat(&body("general", "Hello", json!({"stream": stream})));
            assert!(matches!(answer.status, 502 | 429), "{what}: {}", answer.everything());
        }
        settled(&daemon);
        assert_eq!(used(&daemon), (0, 0, 0), "{what}");
    }
}

#[test]
fn a_request_that_the_model_refuses_is_one_request_without_tokens() {
    let upstream = Upstream::always(error_answer(400));
    let daemon = tenant(&[&upstream]);
    assert_eq!(daemon.client().chat(&ask("general")).status, 400);
    settled(&daemon);
    assert_eq!(used(&daemon), (1, 0, 0));
}

#[test]
fn only_the_attempt_that_answered_is_paid_for() {
    // It used 5,000 tokens for an answer without choices, or broke before anything useful came.
    let empty = whole(
        200,
        &[("Content-Type", "application/json")],
        &json!({"id": "x", "object": "chat.completion", "choices": [],
            "usage": {"prompt_tokens": 2000, "completion_tokens": 3000, "total_tokens": 5000}})
        .to_string(),
    );
    let broken = vec![sse_head(), chunk(": nothing useful\n\n"), Step::Close];
    for (what, stream, failing) in [("no choices", false, empty), ("broken stream", true, broken)] {
        let (failing, good) = (Upstream::always(failing), quick());
        let daemon = tenant(&[&failing, &good]);
        let answer = daemon.client().chat(&body("general", "Hello", json!({"stream": stream})));
        assert_eq!(answer.status, 200, "{what}");
        settled(&daemon);
        assert_eq!((failing.requests().len(), good.requests().len()), (1, 1), "{what}");
        assert_eq!(used(&daemon), (1, USED, 0), "{what}");
    }
}

#[test]
fn a_stream_that_breaks_costs_its_prompt_and_what_was_delivered() {
    // 40 words of 4 letters and a space: 50 tokens by our own count.
    let words = ["word "; 40];
    let upstream = Upstream::always(words_then(&words, vec![Step::Close]));
    let daemon = tenant(&[&upstream]);
    let answer = daemon.client().chat(&body("general", "Hello", json!({"stream": true, "max_tokens": 2000})));
    assert!(answer.text().contains("upstream_unavailable"), "{}", answer.text());
    settled(&daemon);
    let (requests, tokens, slots) = used(&daemon);
    assert_eq!((requests, slots), (1, 0));
    // The prompt with its JSON is some 40 more.
    assert!((55..=110).contains(&tokens), "{tokens}");
}

#[test]
fn a_client_that_leaves_pays_for_what_it_was_sent() {
    let words = ["word "; 40];
    let upstream = Upstream::always(words_then(&words, vec![Step::Stall]));
    let daemon = tenant(&[&upstream]);
    let mut client = daemon.client();
    client.send(&chat_request(KEY, &body("general", "Hello", json!({"stream": true, "max_tokens": 2000}))));
    client.read_head();
    // The role and the words.
    for _ in 0..41 {
        client.event().expect("an event");
    }
    drop(client);
    settled(&daemon);
    let (requests, tokens, slots) = used(&daemon);
    assert_eq!((requests, slots), (1, 0));
    // The prompt with its JSON is some 40 more.
    assert!((55..=110).contains(&tokens), "{tokens}");
}

#[test]
fn more_than_a_minute_has_passes_once_and_then_blocks() {
    let upstream = Upstream::always(json_answer("ok"));
    let daemon = Setup::alias_limits(&upstream, "tokens_per_minute: 100").start();
    let mut client = daemon.client();
    assert_eq!(client.chat(&ask_with_cap("general", 5000)).status, 200);
    settled(&daemon);
    assert_limited(&client.chat(&ask_with_cap("general", 5000)), "general");
    assert_limited(&client.chat(&ask_with_cap("general", 1)), "general");
    assert_eq!(upstream.requests().len(), 1);
}

#[test]
fn japanese_is_not_taken_for_a_quarter_of_what_it_is() {
    let upstream = gated();
    let daemon = tenant(&[&upstream]);
    let mut client = daemon.client();
    // 300 characters, which tokenizers take for 200 to 300 tokens; a fourth of them would be 75.
    let prompt =
        "月次レポートの要点を三つにまとめてください。".repeat(15).chars().take(300).collect::<String>();
    client.send(&chat_request(KEY, &body("general", &prompt, json!({"max_tokens": 1}))));
    upstream.wait_requests(1);
    let (_, tokens, _) = used(&daemon);
    assert!((200..=350).contains(&tokens), "{tokens}");
    upstream.open("go");
    assert_eq!(client.read().status, 200);
}

#[test]
fn reserved_and_settled_tokens_are_counted() {
    let upstream = quick();
    let daemon = tenant(&[&upstream]);
    for _ in 0..3 {
        assert_eq!(daemon.client().chat(&ask_with_cap("general", 100)).status, 200);
    }
    settled(&daemon);
    let labels = [("tenant", "acme"), ("model", "general")];
    let reserved = daemon.metric_sum("byname_tokens_reserved_total", &labels);
    assert!((315.0..=450.0).contains(&reserved), "{reserved}");
    assert_eq!(daemon.metric_sum("byname_tokens_settled_total", &labels), 3.0 * USED as f64);
}
