//! Ordinary answers of a backing model, with canaries in every place that a client must never see.

use serde_json::{Value, json};

use super::MODEL;
use super::script::{Step, chunk, head, last_chunk, whole};

/// Words that a backing model says and that no client may read. `MODEL` is the first of them.
pub const CANARIES: &[&str] = &[MODEL, "canary", "Canary", "CANARY", "127.0.0.1"];

const ID: &str = "chatcmpl-CANARYxYzAbCdEfGhIjKlMnOpQrS";
const CREATED: u64 = 1_600_000_001;

/// Headers that tell of a provider.
const HEADERS: &[(&str, &str)] = &[
    ("Server", "canary-inference/2.1"),
    ("Via", "1.1 canary-cdn"),
    ("X-Request-Id", "req_canary_0001"),
    ("OpenAI-Organization", "org-canary"),
    ("OpenAI-Processing-Ms", "1234"),
    ("X-MS-Region", "Canary Central"),
    ("X-RateLimit-Remaining-Requests", "canary-9999"),
    ("CF-Ray", "canary0-NRT"),
    ("Set-Cookie", "__cf_bm=canary; path=/; HttpOnly"),
    ("Alt-Svc", "h3=\":443\"; canary"),
    ("X-LiteLLM-Model-Api-Base", "https://canary.example.invalid"),
    ("Access-Control-Expose-Headers", "X-Canary"),
];

/// A whole answer with this text.
pub fn json_answer(text: &str) -> Vec<Step> {
    json_message(json!({"role": "assistant", "content": text, "refusal": null, "annotations": []}), "stop")
}

/// A whole answer that calls a function with these arguments (JSON text).
pub fn tool_answer(name: &str, arguments: &str) -> Vec<Step> {
    let call = json!({"id": "toolu_CANARY01", "type": "function",
        "function": {"name": name, "arguments": arguments, "provider": "canary"}});
    json_message(
        json!({"role": "assistant", "content": null, "refusal": null, "tool_calls": [call]}),
        "tool_calls",
    )
}

/// The pieces of text, each in an event of its own, then the end, then `[DONE]`.
///
/// Usage is told at the end, as a gateway is expected to ask for it.
pub fn sse_answer(deltas: &[&str]) -> Vec<Step> {
    sse(&sse_events(deltas))
}

/// A streamed call of a function, its arguments in pieces.
pub fn sse_tool_answer(name: &str, pieces: &[&str]) -> Vec<Step> {
    let call = |call: Value| json!({"tool_calls": [call]});
    let mut events = vec![
        event(json!({"role": "assistant", "content": null}), None),
        event(
            call(json!({"index": 0, "id": "toolu_CANARY01", "type": "function",
                "function": {"name": name, "arguments": ""}})),
            None,
        ),
    ];
    events.extend(
        pieces.iter().map(|piece| event(call(json!({"index": 0, "function": {"arguments": piece}})), None)),
    );
    events.extend([event(json!({}), Some("tool_calls")), usage_event(), done()]);
    sse(&events)
}

/// The events of [`sse_answer`], for tests that stop in the middle or mix in their own.
pub fn sse_events(deltas: &[&str]) -> Vec<String> {
    let mut events = vec![event(json!({"role": "assistant", "content": "", "refusal": null}), None)];
    events.extend(deltas.iter().map(|delta| event(json!({"content": delta}), None)));
    events.extend([event(json!({}), Some("stop")), usage_event(), done()]);
    events
}

/// A response of these events, each in a chunk of its own.
pub fn sse(events: &[String]) -> Vec<Step> {
    let mut steps = vec![sse_head()];
    steps.extend(events.iter().map(chunk));
    steps.push(last_chunk());
    steps
}

/// The head of a streamed response; chunks follow.
pub fn sse_head() -> Step {
    head(
        200,
        &[&[("Content-Type", "text/event-stream; charset=utf-8"), ("Transfer-Encoding", "chunked")], HEADERS]
            .concat(),
    )
}

/// A provider's error, with names in its text that must stay unsaid.
pub fn error_answer(status: u16) -> Vec<Step> {
    let body = json!({"error": {
        "message": format!("The model `{MODEL}` is overloaded in region canary-east (org-canary)."),
        "type": "canary_error", "param": null, "code": "canary_overloaded"}});
    whole(status, &json_headers(), &pretty(&body))
}

fn json_message(message: Value, finish_reason: &str) -> Vec<Step> {
    let body = json!({
        "id": ID,
        "object": "chat.completion",
        "created": CREATED,
        "model": MODEL,
        "provider": "canary",
        "choices": [{"index": 0, "message": message, "logprobs": null, "finish_reason": finish_reason,
            "content_filter_results": {"canary": {"filtered": false}}, "native_finish_reason": "canary_end"}],
        "usage": usage(),
        "service_tier": "canary-tier",
        "system_fingerprint": "fp_canary",
        "x_canary": {"region": "canary-east"}
    });
    whole(200, &json_headers(), &pretty(&body))
}

fn json_headers() -> Vec<(&'static str, &'static str)> {
    [&[("Content-Type", "application/json; charset=utf-8")], HEADERS].concat()
}

fn event(delta: Value, finish_reason: Option<&str>) -> String {
    let choice = json!({"index": 0, "delta": delta, "logprobs": null, "finish_reason": finish_reason});
    data(&chunk_body(json!([choice]), Value::Null))
}

fn usage_event() -> String {
    data(&chunk_body(json!([]), usage()))
}

fn done() -> String {
    "data: [DONE]\n\n".to_owned()
}

fn data(chunk: &Value) -> String {
    format!(": canary keep-alive\n\nid: canary\ndata: {chunk}\n\n")
}

fn chunk_body(choices: Value, usage: Value) -> Value {
    json!({
        "id": ID,
        "object": "chat.completion.chunk",
        "created": CREATED,
        "model": MODEL,
        "service_tier": "canary-tier",
        "system_fingerprint": "fp_canary",
        "choices": choices,
        "usage": usage,
        "obfuscation": "canaryXXXX"
    })
}

fn usage() -> Value {
    json!({
        "prompt_tokens": 42,
        "completion_tokens": 128,
        "total_tokens": 170,
        "prompt_tokens_details": {"cached_tokens": 7, "canary_tokens": 0},
        "completion_tokens_details": {"reasoning_tokens": 3, "canary_tokens": 0},
        "cost": "canary"
    })
}

fn pretty(value: &Value) -> String {
    serde_json::to_string_pretty(value).expect("a value can always be printed")
}
