//! A reader of our own streams that forgives nothing, for tests and for the fuzzer.

use std::sync::Arc;

use byname::wire::completion::Expose;
use byname::wire::ids::{Ids, Root};
use byname::wire::sse::UsageWanted;
use serde_json::{Map, Value};

pub(crate) const UUID: &str = "2f8c0b9e-6a1d-4c2e-9b3a-7d5e1f0a2b3c";
pub(crate) const CREATED: u64 = 1_718_841_600;
pub(crate) const ALIAS: &str = "general";

/// The keys of the alias.
pub(crate) fn ids() -> Arc<Ids> {
    Arc::new(Ids::new(&Root::new(b"secret"), "acme", ALIAS))
}

/// Reads a stream: whole events, each `data: {json}` or a last `data: [DONE]`, with members from the
/// allow-list and our own values where they are ours. Gives the chunks.
pub(crate) fn read(output: &str, usage: UsageWanted, expose: Expose) -> Result<Vec<Value>, String> {
    let mut chunks = Vec::new();
    let mut rest = output;
    while !rest.is_empty() {
        let (event, after) = rest.split_once("\n\n").ok_or("an event is not closed")?;
        rest = after;
        let data = event.strip_prefix("data: ").ok_or("an event is not data")?;
        if data.contains(['\n', '\r']) {
            return Err("an event has several lines".to_owned());
        }
        if data == "[DONE]" {
            return if rest.is_empty() { Ok(chunks) } else { Err("something follows [DONE]".to_owned()) };
        }
        let chunk: Value = serde_json::from_str(data).map_err(|why| why.to_string())?;
        check_chunk(&chunk, usage, expose)?;
        check_order(&chunks, &chunk)?;
        chunks.push(chunk);
    }
    Ok(chunks)
}

fn check_chunk(chunk: &Value, usage: UsageWanted, expose: Expose) -> Result<(), String> {
    let chunk = only(chunk, &["id", "object", "created", "model", "choices", "usage"])?;
    is(chunk, "id", &format!("chatcmpl-{UUID}").into())?;
    is(chunk, "object", &"chat.completion.chunk".into())?;
    is(chunk, "created", &CREATED.into())?;
    is(chunk, "model", &ALIAS.into())?;
    let choices = list(chunk.get("choices"))?;
    match (chunk.get("usage"), usage) {
        (Some(Value::Null), UsageWanted::Yes) if !choices.is_empty() => {}
        (Some(counts), UsageWanted::Yes) if choices.is_empty() => check_usage(counts, expose)?,
        (None, UsageWanted::No) if !choices.is_empty() => {}
        (usage, _) => return Err(format!("usage is {usage:?} beside {} choices", choices.len())),
    }
    choices.iter().try_for_each(|choice| check_choice(choice, expose))
}

/// One structure for all: a choice at a time, a role and an empty text first, one thing in each delta, the ending by
/// itself, the usage last, and each call named once.
fn check_order(before: &[Value], chunk: &Value) -> Result<(), String> {
    let of = |chunk: &Value, pointer: &str| chunk.pointer(pointer).cloned().unwrap_or_default();
    let index = of(chunk, "/choices/0/index");
    if before.iter().any(|chunk| chunk["choices"] == Value::Array(Vec::new())) {
        return Err("something follows the usage".to_owned());
    }
    let choices = list(chunk.get("choices"))?;
    if choices.is_empty() {
        return Ok(());
    }
    let delta = of(chunk, "/choices/0/delta");
    let first = !before.iter().any(|chunk| of(chunk, "/choices/0/index") == index);
    let role = serde_json::json!({"role": "assistant", "content": ""});
    let ended = !of(chunk, "/choices/0/finish_reason").is_null();
    let members = delta.as_object().map_or(0, Map::len);
    if choices.len() != 1 || first != (delta == role) || !(first || members == usize::from(!ended)) {
        return Err(format!("not one thing at its time: {chunk}"));
    }
    let call = of(chunk, "/choices/0/delta/tool_calls/0/index");
    let known = before.iter().any(|chunk| {
        of(chunk, "/choices/0/index") == index && of(chunk, "/choices/0/delta/tool_calls/0/index") == call
    });
    let named = !of(chunk, "/choices/0/delta/tool_calls/0/id").is_null();
    if !call.is_null() && named == known {
        return Err(format!("a call is not named once: {chunk}"));
    }
    Ok(())
}

fn check_usage(usage: &Value, expose: Expose) -> Result<(), String> {
    let three = ["prompt_tokens", "completion_tokens", "total_tokens"];
    let details = ["prompt_tokens_details", "completion_tokens_details"];
    let usage = only(usage, &[three.as_slice(), if expose.usage_details { &details } else { &[] }].concat())?;
    if !three.iter().all(|key| usage.get(*key).is_some_and(Value::is_u64)) {
        return Err("a count is missing".to_owned());
    }
    for group in details.iter().filter_map(|key| usage.get(*key)) {
        let group = only(
            group,
            &[
                "cached_tokens",
                "audio_tokens",
                "reasoning_tokens",
                "accepted_prediction_tokens",
                "rejected_prediction_tokens",
            ],
        )?;
        if !group.values().all(Value::is_u64) {
            return Err("a detail is no count".to_owned());
        }
    }
    Ok(())
}

fn check_choice(choice: &Value, expose: Expose) -> Result<(), String> {
    let mut keys = vec!["index", "delta", "finish_reason"];
    keys.extend(expose.logprobs.then_some("logprobs"));
    let choice = only(choice, &keys)?;
    choice.get("index").and_then(Value::as_u64).ok_or("a choice has no index")?;
    let reasons = ["stop", "length", "tool_calls", "content_filter", "function_call"].map(Value::from);
    match choice.get("finish_reason") {
        Some(reason) if reason.is_null() || reasons.contains(reason) => {}
        reason => return Err(format!("finish_reason is {reason:?}")),
    }
    if let Some(logprobs) = choice.get("logprobs") {
        let logprobs = only(logprobs, &["content", "refusal"])?;
        for token in logprobs.values().filter(|tokens| !tokens.is_null()).map(|tokens| list(Some(tokens))) {
            for token in token? {
                let token = only(token, &["token", "logprob", "bytes", "top_logprobs"])?;
                for rival in list(token.get("top_logprobs"))? {
                    only(rival, &["token", "logprob", "bytes"])?;
                }
            }
        }
    }
    check_delta(choice.get("delta").ok_or("a choice has no delta")?, expose)
}

fn check_delta(delta: &Value, expose: Expose) -> Result<(), String> {
    let mut keys = vec!["role", "content", "tool_calls", "function_call", "refusal"];
    keys.extend(expose.reasoning.then_some("reasoning_content"));
    let delta = only(delta, &keys)?;
    if delta.get("role").is_some_and(|role| role != "assistant") {
        return Err("another role".to_owned());
    }
    texts(delta, &["refusal", "reasoning_content"])?;
    if !delta.get("content").is_none_or(|content| content.is_string() || content.is_null()) {
        return Err("content is no text".to_owned());
    }
    if let Some(function) = delta.get("function_call") {
        texts(only(function, &["name", "arguments"])?, &["name", "arguments"])?;
    }
    let Some(calls) = delta.get("tool_calls") else { return Ok(()) };
    if list(Some(calls))?.len() != 1 {
        return Err("several calls in one delta".to_owned());
    }
    for call in list(Some(calls))? {
        let call = only(call, &["index", "id", "type", "function", "custom"])?;
        call.get("index").and_then(Value::as_u64).ok_or("a call has no index")?;
        if call.get("id").is_some_and(|id| !id.as_str().is_some_and(is_ours)) {
            return Err("a call's id is not ours".to_owned());
        }
        if call.get("type").is_some_and(|kind| kind != "function" && kind != "custom") {
            return Err("a call of another type".to_owned());
        }
        for (member, keys) in [("function", ["name", "arguments"]), ("custom", ["name", "input"])] {
            if let Some(member) = call.get(member) {
                texts(only(member, &keys)?, &keys)?;
            }
        }
    }
    Ok(())
}

/// Whether an id of a call is one that leads back: what does not becomes short on its way up.
fn is_ours(id: &str) -> bool {
    let short = |back: &str| back.len() == 29 && back.starts_with("call_");
    id.len() >= 101 && id.starts_with("call_") && !short(&ids().upward(id))
}

fn only<'a>(value: &'a Value, keys: &[&str]) -> Result<&'a Map<String, Value>, String> {
    let object = value.as_object().ok_or_else(|| format!("no object: {value}"))?;
    match object.keys().find(|key| !keys.contains(&key.as_str())) {
        None => Ok(object),
        Some(key) => Err(format!("{key} is not on the list")),
    }
}

fn texts(object: &Map<String, Value>, keys: &[&str]) -> Result<(), String> {
    match keys.iter().find(|key| object.get(**key).is_some_and(|value| !value.is_string())) {
        None => Ok(()),
        Some(key) => Err(format!("{key} is no text")),
    }
}

fn is(object: &Map<String, Value>, key: &str, value: &Value) -> Result<(), String> {
    if object.get(key) == Some(value) { Ok(()) } else { Err(format!("{key} is not ours")) }
}

fn list(value: Option<&Value>) -> Result<&Vec<Value>, String> {
    value.and_then(Value::as_array).ok_or_else(|| "no list".to_owned())
}
