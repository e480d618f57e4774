//! Tool loops of the official clients against a model that takes no ids but its own.

use serde_json::{Value, json};

use crate::kit::KEY;
use crate::kit::config::Gateway;
use crate::kit::script::{Step, chunk, head, last_chunk, whole};
use crate::kit::scripts::{self, Language};
use crate::kit::upstream::{Seen, Upstream};

/// The calls of both rounds: ids that count, and more than 40 characters of one.
const FIRST: [(&str, &str, &str); 2] = [
    ("functions.weather:0", "weather", "{\"city\":\"東京\"}"),
    ("chatcmpl-tool-0123456789abcdef0123456789abcdef", "weather", "{\"city\":\"大阪\"}"),
];
const SECOND: [(&str, &str, &str); 1] = [("toolu_03", "clock", "{}")];

#[test]
fn the_python_client_loops_through_two_rounds_of_calls() {
    run(Language::Python);
}

#[test]
fn the_node_client_loops_through_two_rounds_of_calls() {
    run(Language::Node);
}

fn run(language: Language) {
    let upstream = Upstream::start(model);
    let daemon = Gateway::new().backend(&upstream).start();
    scripts::run(language, "tools", &daemon, &[("BYNAME_KEY", KEY)]);
    assert_eq!(upstream.requests().len(), 6);
}

/// The ids that a message names: those of its calls, or that of its result.
fn ids(message: &Value) -> Vec<&str> {
    let calls = message["tool_calls"].as_array().into_iter().flatten().map(|call| &call["id"]);
    calls.chain(message.get("tool_call_id")).filter_map(Value::as_str).collect()
}

fn model(seen: &Seen) -> Vec<Step> {
    let request = seen.json();
    let stream = seen.wants_stream();
    let named: Vec<_> = request["messages"].as_array().expect("messages").iter().flat_map(ids).collect();
    let rounds = |calls: &[(&'static str, &str, &str)]| {
        let there = calls.iter().map(|call| call.0);
        there.clone().chain(there.rev()).collect::<Vec<_>>()
    };
    match named {
        none if none.is_empty() => calls(&FIRST, stream),
        one if one == rounds(&FIRST) => calls(&SECOND, stream),
        both if both == [rounds(&FIRST), rounds(&SECOND)].concat() => {
            answer(json!({"content": "要点"}), "stop", stream)
        }
        other => {
            let error = json!({"error": {"message": format!("no such call: {other:?}"), "type": "invalid_request_error"}});
            whole(400, &[("Content-Type", "application/json")], &error.to_string())
        }
    }
}

fn calls(calls: &[(&str, &str, &str)], stream: bool) -> Vec<Step> {
    let call = |(index, (id, name, arguments)): (usize, &(&str, &str, &str))| json!({"index": index, "id": id, "type": "function", "function": {"name": name, "arguments": arguments}});
    let calls: Vec<_> = calls.iter().enumerate().map(call).collect();
    answer(json!({"content": null, "tool_calls": calls}), "tool_calls", stream)
}

fn answer(message: Value, why: &str, stream: bool) -> Vec<Step> {
    if !stream {
        let body = json!({"choices": [{"index": 0, "message": message, "finish_reason": why}]});
        return whole(200, &[("Content-Type", "application/json")], &body.to_string());
    }
    let begin = head(200, &[("Content-Type", "text/event-stream"), ("Transfer-Encoding", "chunked")]);
    let body = json!({"choices": [{"index": 0, "delta": message, "finish_reason": why}]});
    vec![begin, chunk(format!("data: {body}\n\n")), chunk("data: [DONE]\n\n"), last_chunk()]
}
