//! Streams that say what is forbidden in other ways than a text that goes on: in names, behind an end, in turns.

use serde_json::{Value, json};

use super::setup::Setup;
use super::{assert_blocked, finishes};
use crate::kit::answers::sse;
use crate::kit::client::{End, Response};
use crate::kit::sse as split;
use crate::kit::upstream::Upstream;

const POLICY: &str = "on_response: true, deny: [ { words: [ bomb ] } ]";

fn event(delta: Value, finish: Value) -> String {
    format!("data: {}\n\n", json!({"choices": [{"index": 0, "delta": delta, "finish_reason": finish}]}))
}

fn more(delta: Value) -> String {
    event(delta, Value::Null)
}

fn stop() -> String {
    event(json!({}), json!("stop"))
}

/// A model that streams these events and `[DONE]`.
fn streaming(mut events: Vec<String>) -> Upstream {
    events.push("data: [DONE]\n\n".to_owned());
    Upstream::start(move |_| sse(&events))
}

fn body(alias: &str) -> String {
    json!({"model": alias, "stream": true, "messages": [{"role": "user", "content": "x"}]}).to_string()
}

fn answer(events: Vec<String>, alias: &str) -> Response {
    let upstream = streaming(events);
    Setup::new(&[&upstream], POLICY).alias(alias).start().client().chat(&body("general"))
}

/// What stands at a place of each delta of choice 0, put together.
fn told(answer: &Response, place: &str) -> String {
    let chunks = split::chunks(&answer.body);
    let first = chunks.iter().map(|chunk| &chunk["choices"][0]).filter(|choice| choice["index"] == 0);
    first.filter_map(|choice| choice["delta"].pointer(place)?.as_str()).collect()
}

#[test]
fn a_name_that_comes_in_pieces_is_looked_at_as_one() {
    let call = |call: Value| more(json!({ "tool_calls": [call] }));
    let begin = call(
        json!({"index": 0, "id": "c", "type": "function", "function": {"name": "a_bo", "arguments": ""}}),
    );
    let rest = call(json!({"index": 0, "function": {"name": "mb"}}));
    let end = call(json!({"index": 0, "function": {"arguments": "{}"}}));
    // Without a text before it there is nothing to tell, and then the client is refused.
    assert_blocked(
        &answer(vec![begin.clone(), rest.clone(), end.clone(), stop()], ""),
        "a name in two pieces",
    );
    let older = vec![
        more(json!({"function_call": {"name": "a_bo"}})),
        more(json!({"function_call": {"name": "mb", "arguments": "{}"}})),
        stop(),
    ];
    assert_blocked(&answer(older, ""), "the older form");
    let answer = answer(vec![more(json!({"content": "ok "})), begin, rest, end, stop()], "");
    assert_eq!(finishes(&split::chunks(&answer.body)), [(0, "content_filter".to_owned())]);
    assert_eq!(told(&answer, "/tool_calls/0/function/name"), "a_bo", "{}", answer.text());
}

#[test]
fn what_comes_behind_an_end_is_not_told() {
    for events in [
        vec![event(json!({"content": "a bo"}), json!("stop")), more(json!({"content": "mb"}))],
        vec![more(json!({"content": "a bo"})), stop(), more(json!({"content": "mb"})), stop()],
    ] {
        let answer = answer(events, "");
        assert_eq!(told(&answer, "/content"), "a bo", "{}", answer.text());
        assert_eq!(finishes(&split::chunks(&answer.body)), [(0, "stop".to_owned())]);
        assert!(answer.text().ends_with("data: [DONE]\n\n"));
    }
}

#[test]
fn what_a_backends_own_policy_ends_in_the_middle_is_no_outage() {
    let filtered =
        "data: {\"error\":{\"message\":\"canary\",\"code\":\"content_filter\",\"status\":400}}\n\n"
            .to_owned();
    let role = more(json!({"role": "assistant", "content": ""}));
    let second = format!("data: {}\n\n", json!({"choices": [{"index": 1, "delta": {"content": "hey"}}]}));
    let events = vec![role, more(json!({"content": "hello bo"})), second, filtered];
    let upstream = Upstream::start(move |_| sse(&events));
    let daemon = Setup::new(&[&upstream], POLICY).start();
    // With somebody who looks at it, and what he keeps back, and without.
    for alias in ["general", "free"] {
        for usage in [false, true] {
            let mut asked: Value = serde_json::from_str(&body(alias)).expect("JSON");
            asked["stream_options"] = json!({ "include_usage": usage });
            let answer = daemon.client().chat(&asked.to_string());
            assert_eq!((answer.status, answer.end), (200, End::Clean), "{}", answer.everything());
            assert_eq!(told(&answer, "/content"), "hello bo", "{}", answer.text());
            let chunks = split::chunks(&answer.body);
            let filter = "content_filter".to_owned();
            assert_eq!(finishes(&chunks), [(0, filter.clone()), (1, filter)], "{}", answer.text());
            assert!(answer.text().ends_with("data: [DONE]\n\n") && !answer.text().contains("canary"));
            assert_eq!(chunks.last().expect("a chunk")["usage"].is_object(), usage, "{}", answer.text());
        }
    }
    for line in daemon.log_lines(4) {
        assert_eq!((&line["code"], &line["reason"]), (&json!("content_blocked"), &json!("blocked_upstream")));
    }
    // An error that says nothing of content is one.
    let failed = "data: {\"error\":{\"message\":\"canary\",\"code\":500}}\n\n".to_owned();
    let failed = answer(vec![more(json!({"content": "hello "})), failed], "");
    assert!(failed.text().contains("upstream_unavailable") && !failed.text().contains("[DONE]"));
}

#[test]
fn what_is_kept_back_is_told_before_something_else_is() {
    let reasoning = |text: &str| more(json!({ "reasoning_content": text }));
    let content = |text: &str| more(json!({ "content": text }));
    let call = |call: Value| more(json!({ "tool_calls": [call] }));
    let begin = |n: u64, arguments: &str| {
        call(
            json!({"index": n, "id": format!("c{n}"), "type": "function", "function": {"name": "f", "arguments": arguments}}),
        )
    };
    let events = vec![
        reasoning("I think of a bo"),
        content("Hello "),
        content("there, bo"),
        begin(0, "{\"q\":\"bo"),
        begin(1, "{\"q\":\"x"),
        call(json!({"index": 0, "function": {"arguments": "at\"}"}})),
        stop(),
    ];
    let answer = answer(events, "expose: [ reasoning ]");
    let mut kinds = Vec::new();
    for chunk in split::chunks(&answer.body) {
        let delta = &chunk["choices"][0]["delta"];
        for (name, place) in
            [("thought", "/reasoning_content"), ("text", "/content"), ("call", "/tool_calls/0/index")]
        {
            let there = delta.pointer(place).filter(|value| *value != "");
            let kind = there
                .map(|value| format!("{name}{}", value.as_u64().map_or(String::new(), |n| n.to_string())));
            if kind.is_some() && kinds.last() != kind.as_ref() {
                kinds.extend(kind);
            }
        }
    }
    assert_eq!(kinds, ["thought", "text", "call0", "call1", "call0"], "{}", answer.text());
    assert_eq!(told(&answer, "/reasoning_content"), "I think of a bo");
    assert_eq!(told(&answer, "/content"), "Hello there, bo");
    // It is matched across all the same.
    let events =
        vec![reasoning("x"), content("a bo"), reasoning("y"), content("mb"), content(" and more"), stop()];
    let answer = self::answer(events, "expose: [ reasoning ]");
    assert_eq!(told(&answer, "/content"), "a bo", "{}", answer.text());
    assert_eq!(finishes(&split::chunks(&answer.body)), [(0, "content_filter".to_owned())]);
}
