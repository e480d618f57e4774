//! Two backing stacks with different habits that say the same.

use serde_json::{Value, json};

use crate::kit::script::{Step, bytes, chunk, head, last_chunk, whole};

/// What happens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Case {
    Text,
    Thinking,
    Tools,
    Refusal,
    Failed,
    Broken,
    Busy,
    NoModel,
    TooLong,
}

impl Case {
    /// Whether it is told as a stream alone, or whole alone, or either way.
    pub const ALL: [(Self, &'static [bool]); 9] = [
        (Self::Text, &[false, true]),
        (Self::Thinking, &[false, true]),
        (Self::Tools, &[false, true]),
        (Self::Refusal, &[false, true]),
        (Self::Failed, &[false, true]),
        (Self::Broken, &[true]),
        (Self::Busy, &[false, true]),
        (Self::NoModel, &[false, true]),
        (Self::TooLong, &[false, true]),
    ];
}

/// A hosted service: pretty JSON, nulls for what is not there, one thing in each event, many headers.
pub fn hosted(case: Case, stream: bool) -> Vec<Step> {
    const MORE: &[(&str, &str)] = &[
        ("openai-organization", "org-a"),
        ("x-ratelimit-remaining-requests", "99"),
        ("x-request-id", "req_a"),
        ("cf-ray", "a-NRT"),
        ("set-cookie", "__cf_bm=a; path=/"),
    ];
    let json = [&[("Content-Type", "application/json")], MORE].concat();
    let pretty = |status, value: Value| {
        let text = serde_json::to_string_pretty(&value).expect("a value");
        whole(status, &json, &text)
    };
    let error = |status, code: &str, message: &str| {
        let error = json!({"message": message, "type": "invalid_request_error", "param": null, "code": code});
        pretty(status, json!({ "error": error }))
    };
    let call = |n: u64, name: &str, arguments: &str| {
        json!({"id": format!("call_AbCdEfGhIjKlMnOpQrStUv{n:02}"), "type": "function",
            "function": {"name": name, "arguments": arguments}})
    };
    let message = |message: Value, why: &str| {
        json!({"id": "chatcmpl-A1", "object": "chat.completion", "created": 1_700_000_000, "model": "gpt-a-2026",
            "choices": [{"index": 0, "message": message, "logprobs": null, "finish_reason": why}],
            "usage": {"prompt_tokens": 31, "completion_tokens": 42, "total_tokens": 73,
                "completion_tokens_details": {"reasoning_tokens": 0}},
            "service_tier": "default", "system_fingerprint": "fp_a"})
    };
    let event = |delta: Value, why: Value| {
        let chunk = json!({"id": "chatcmpl-A1", "object": "chat.completion.chunk", "created": 1_700_000_000,
            "model": "gpt-a-2026", "system_fingerprint": "fp_a", "usage": null, "obfuscation": "xY",
            "choices": [{"index": 0, "delta": delta, "logprobs": null, "finish_reason": why}]});
        chunk_of(&format!("data: {chunk}\n\n"))
    };
    let begun = || {
        let stream =
            [&[("Content-Type", "text/event-stream"), ("Transfer-Encoding", "chunked")], MORE].concat();
        let role = json!({"role": "assistant", "content": "", "refusal": null});
        vec![head(200, &stream), event(role, Value::Null)]
    };
    let ended = |mut steps: Vec<Step>, why: &str| {
        let usage = json!({"id": "chatcmpl-A1", "choices": [],
            "usage": {"prompt_tokens": 31, "completion_tokens": 42, "total_tokens": 73}});
        let rest = [
            event(json!({}), why.into()),
            chunk_of(&format!("data: {usage}\n\n")),
            chunk_of("data: [DONE]\n\n"),
            last_chunk(),
        ];
        steps.extend(rest);
        steps
    };
    let said = |deltas: &[Value]| {
        let mut steps = begun();
        steps.extend(deltas.iter().map(|delta| event(delta.clone(), Value::Null)));
        steps
    };
    match (case, stream) {
        (Case::Text, false) => {
            let text =
                json!({"role": "assistant", "content": "要点は3つ", "refusal": null, "annotations": []});
            pretty(200, message(text, "stop"))
        }
        (Case::Text, true) => ended(said(&[json!({"content": "要点は"}), json!({"content": "3つ"})]), "stop"),
        (Case::Thinking, false) => {
            let thought =
                json!({"role": "assistant", "content": "3つ", "reasoning_content": "Hm.", "refusal": null});
            pretty(200, message(thought, "stop"))
        }
        (Case::Thinking, true) => {
            ended(said(&[json!({"reasoning_content": "Hm."}), json!({"content": "3つ"})]), "stop")
        }
        (Case::Tools, false) => {
            let calls = [call(1, "weather", "{\"city\":\"東京\"}"), call(2, "clock", "{}")];
            pretty(
                200,
                message(json!({"role": "assistant", "content": null, "tool_calls": calls}), "tool_calls"),
            )
        }
        (Case::Tools, true) => {
            let begins = |n: u64, name: &str| {
                let mut call = call(n, name, "");
                call["index"] = (n - 1).into();
                json!({"tool_calls": [call]})
            };
            let piece = |n: u64, arguments: &str| json!({"tool_calls": [{"index": n - 1, "function": {"arguments": arguments}}]});
            let deltas = [
                begins(1, "weather"),
                piece(1, "{\"city\":"),
                piece(1, "\"東京\"}"),
                begins(2, "clock"),
                piece(2, "{}"),
            ];
            ended(said(&deltas), "tool_calls")
        }
        (Case::Refusal, false) => pretty(
            200,
            message(json!({"role": "assistant", "content": null, "refusal": "I cannot."}), "stop"),
        ),
        (Case::Refusal, true) => {
            ended(said(&[json!({"refusal": "I "}), json!({"refusal": "cannot."})]), "stop")
        }
        (Case::Failed, _) => error(500, "server_error", "The server had an error"),
        (Case::Broken, _) => {
            let mut steps = said(&[json!({"content": "要点は"})]);
            steps.push(Step::Close);
            steps
        }
        (Case::Busy, _) => {
            let limited = json!({"error": {"message": "Rate limit reached for gpt-a in organization org-a",
                "type": "requests", "param": null, "code": "rate_limit_exceeded"}});
            let headers = [&json[..], &[("Retry-After", "7")]].concat();
            whole(429, &headers, &limited.to_string())
        }
        (Case::NoModel, _) => error(404, "model_not_found", "The model `gpt-a` does not exist"),
        (Case::TooLong, _) => error(
            400,
            "context_length_exceeded",
            "This model's maximum context length is 128000 tokens. However, your messages resulted in 130000 tokens.",
        ),
    }
}

/// The hosted service, when it counts no tokens.
pub fn uncounted(case: Case, stream: bool) -> Vec<Step> {
    let hidden = |step| match step {
        // As long as before, so that lengths are true.
        Step::Bytes(bytes) => Step::Bytes(
            String::from_utf8(bytes).expect("a text").replace("\"usage\"", "\"egasu\"").into_bytes(),
        ),
        other => other,
    };
    hosted(case, stream).into_iter().map(hidden).collect()
}

/// A server of one's own: compact JSON in another order, absent members, an empty first event, ids and roles in
/// each, several things at once, few headers.
pub fn own(case: Case, stream: bool) -> Vec<Step> {
    const MORE: &[(&str, &str)] = &[("server", "uvicorn"), ("x-ms-region", "B Central")];
    let json = [MORE, &[("content-type", "application/json; charset=utf-8")]].concat();
    let error = |status: u16, message: &str| {
        let error = json!({"object": "error", "message": message, "type": "BadRequestError", "param": "x", "code": status});
        whole(status, &json, &error.to_string())
    };
    let call = |n: u64, name: &str, arguments: &str| json!({"function": {"arguments": arguments, "name": name}, "type": "function", "id": format!("functions.{name}:{n}")});
    let message = |message: Value, why: &str| {
        let text = json!({"usage": {"total_tokens": 88, "completion_tokens": 66, "prompt_tokens": 22, "queue_time": 0.1},
            "choices": [{"finish_reason": why, "message": message, "index": 0, "stop_reason": 128_009}],
            "prompt_logprobs": null, "model": "/models/b.gguf", "created": 1_600_000_000, "id": "cmpl-b"});
        whole(200, &json, &text.to_string())
    };
    let event = |delta: Value, why: Option<&str>| {
        let mut choice = json!({"delta": delta, "index": 0});
        if let Some(why) = why {
            choice["finish_reason"] = why.into();
        }
        let chunk = json!({"choices": [choice], "model": "b", "id": "b-7",
            "usage": {"prompt_tokens": 22, "completion_tokens": 10, "total_tokens": 32}});
        chunk_of(&format!(": keep-alive\r\n\r\nevent: message\r\ndata:{chunk}\r\n\r\n"))
    };
    let streamed = |deltas: &[(Value, Option<&str>)]| {
        let headers =
            [MORE, &[("content-type", "text/event-stream; charset=utf-8"), ("transfer-encoding", "chunked")]];
        let filters =
            json!({"choices": [], "created": 0, "id": "", "model": "", "prompt_filter_results": [{"x": 1}]});
        let mut steps = vec![head(200, &headers.concat()), chunk_of(&format!("data: {filters}\n\n"))];
        steps.extend(deltas.iter().map(|(delta, why)| event(delta.clone(), *why)));
        let usage = json!({"usage": {"completion_tokens": 66, "prompt_tokens": 22, "total_tokens": 88}, "choices": []});
        steps.extend([chunk_of(&format!("data: {usage}\n\ndata: [DONE]\n\n")), last_chunk()]);
        steps
    };
    let said = |mut delta: Value| {
        delta["role"] = "assistant".into();
        (delta, None)
    };
    match (case, stream) {
        (Case::Text, false) => {
            message(json!({"content": "要点は3つ", "role": "assistant", "tool_calls": []}), "stop")
        }
        (Case::Text, true) => streamed(&[
            said(json!({"content": "要点は", "tool_calls": []})),
            said(json!({"content": ""})),
            (json!({"role": "assistant", "content": "3つ"}), Some("end_turn")),
        ]),
        (Case::Thinking, false) => {
            let parts = json!([{"type": "thinking", "thinking": [{"type": "text", "text": "Hm."}]}, {"type": "text", "text": "3つ"}]);
            message(json!({"content": parts, "role": "assistant"}), "stop")
        }
        (Case::Thinking, true) => streamed(&[
            said(json!({"reasoning": "Hm.", "content": ""})),
            said(json!({"reasoning": "", "content": "3つ"})),
            (json!({"content": ""}), Some("eos")),
        ]),
        (Case::Tools, false) => {
            let calls = [call(0, "weather", "{\"city\":\"東京\"}"), call(1, "clock", "{}")];
            message(
                json!({"tool_calls": calls, "content": "", "role": "assistant", "refusal": null}),
                "tool_use",
            )
        }
        (Case::Tools, true) => {
            let piece = |n: u64, name: &str, arguments: &str| {
                let mut call = call(n, name, arguments);
                call["index"] = (n + 1).into();
                call
            };
            let mut begins = piece(0, "weather", "");
            begins["function"] = json!({"name": "weather"});
            streamed(&[
                said(json!({"content": null, "tool_calls": [begins]})),
                said(json!({"content": "", "tool_calls": [piece(0, "weather", "{\"city\":")]})),
                said(
                    json!({"tool_calls": [piece(0, "weather", "\"東京\"}"), {"index": 2, "id": "functions.clock:1",
                    "type": "function", "function": {"name": "clock", "arguments": ""}}]}),
                ),
                (json!({"tool_calls": [piece(1, "clock", "{}"), piece(1, "clock", "")]}), Some("tool_use")),
                (json!({}), Some("tool_use")),
            ])
        }
        (Case::Refusal, false) => {
            message(json!({"refusal": "I cannot.", "content": "", "role": "assistant"}), "stop")
        }
        (Case::Refusal, true) => streamed(&[
            said(json!({"refusal": "I ", "content": ""})),
            (json!({"refusal": "cannot.", "content": null}), Some("stop")),
        ]),
        (Case::Failed, _) => vec![Step::Close],
        (Case::Broken, _) => {
            let mut steps = streamed(&[said(json!({"content": "要点は"}))]);
            steps.truncate(3);
            steps.extend([
                chunk_of("event: error\ndata: {\"message\":\"CUDA out of memory on b-7\"}\n\n"),
                last_chunk(),
            ]);
            steps
        }
        (Case::Busy, _) => {
            let headers = [MORE, &[("retry-after", "7"), ("content-type", "text/plain")]].concat();
            whole(429, &headers, "Too many requests to b")
        }
        (Case::NoModel, _) => error(404, "The model `b` does not exist."),
        (Case::TooLong, _) => error(
            400,
            "This model's maximum context length is 8192 tokens. However, you requested \
            9000 tokens in the messages, Please reduce the length of the messages.",
        ),
    }
}

fn chunk_of(text: &str) -> Step {
    let Step::Bytes(bytes) = chunk(text) else { return bytes(text) };
    Step::Bytes(bytes)
}
