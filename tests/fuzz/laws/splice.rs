//! Rewriting a request: for any accepted body, the result means what parsing, editing and printing would
//! mean, values that stay are the same bytes in the same order, and rewriting it again changes nothing.

use std::collections::BTreeMap;

use byname::wire::ids::{Ids, Root};
use byname::wire::request::check;
use byname::wire::splice::{Edits, Forward, JsonText, Logprobs, patches, splice};
use serde_json::value::RawValue;
use serde_json::{Map, Value, json};

/// The fields that go on whatever they hold.
const KEPT: &[&str] = &[
    "messages",
    "stream",
    "max_completion_tokens",
    "temperature",
    "top_p",
    "presence_penalty",
    "frequency_penalty",
    "n",
    "seed",
    "logit_bias",
    "response_format",
    "tool_choice",
    "parallel_tool_calls",
    "function_call",
    "prompt_cache_retention",
    "prompt_cache_options",
    "reasoning_effort",
    "verbosity",
    "modalities",
    "prediction",
];

/// Panics where the law is broken.
pub(crate) fn holds(body: &[u8]) {
    let Ok(request) = check(body) else { return };
    let ids = Ids::new(&Root::new(b"secret"), "acme", "general");
    for (logprobs, forward) in [(Logprobs::Hidden, &[][..]), (Logprobs::Exposed, &["x", "top_k", "user"])] {
        let model = JsonText::new("backing \"model\"\n");
        let names = Forward::new(forward.iter().copied());
        let edits = Edits { model: &model, forward: &names, logprobs, patches: &[] };
        let result = splice(body, &request, &edits);

        // A number beyond f64 is the one thing that the reference cannot read.
        if let Ok(Value::Object(sent)) = serde_json::from_slice(body) {
            let got: Value = serde_json::from_slice(&result).expect("the result is JSON");
            assert_eq!(got, Value::Object(edited(sent, logprobs, forward)));
        }
        let mut kept = members(&result);
        kept.retain(|(name, _)| name != "model" && name != "stream_options");
        let mut sent = members(body);
        sent.retain(|(name, _)| kept.iter().any(|(other, _)| name == other));
        assert_eq!(kept, sent);

        // With names in another form it is JSON all the same, and of the same members.
        let patches = patches(body, &request, &ids);
        let named = splice(body, &request, &Edits { patches: &patches, ..edits });
        assert_eq!(called(&named, &PEOPLE), called(&result, &PEOPLE));
        assert!(
            !String::from_utf8_lossy(&named).contains("\"tool_call_id\":\"\""),
            "an id was left as it came"
        );

        // The name we wrote holds an escaped newline, which no alias may have.
        let again = again(&result, &edits);
        assert_eq!(again, result);
    }
}

/// Names of customers: they go on where there is a key for them.
const PEOPLE: [&str; 3] = ["user", "safety_identifier", "prompt_cache_key"];

/// The names of the members in their order, without `other`.
fn called(text: &[u8], other: &[&str]) -> Vec<String> {
    let names = members(text).into_iter().map(|(name, _)| name);
    names.filter(|name| !other.contains(&name.as_str())).collect()
}

/// The members of an object in their order, with their values as they are written.
fn members(text: &[u8]) -> Vec<(String, &str)> {
    let map: BTreeMap<String, &RawValue> = serde_json::from_slice(text).expect("an object");
    let mut members: Vec<_> = map.into_iter().map(|(name, value)| (name, value.get())).collect();
    members.sort_by_key(|(_, value)| value.as_ptr());
    members
}

/// The result with an ordinary model name, rewritten once more.
fn again(result: &[u8], edits: &Edits<'_>) -> bytes::Bytes {
    let text = std::str::from_utf8(result).expect("what was UTF-8 stays UTF-8");
    let tame = text.replacen(edits.model.as_str(), "\"general\"", 1);
    match check(tame.as_bytes()) {
        Ok(request) => splice(tame.as_bytes(), &request, edits),
        Err(why) => panic!("{why} {tame}"),
    }
}

fn edited(sent: Map<String, Value>, logprobs: Logprobs, forward: &[&str]) -> Map<String, Value> {
    let newer = sent.get("max_completion_tokens").is_some_and(|cap| !cap.is_null());
    let stream = sent.get("stream") == Some(&Value::Bool(true));
    let empty = |value: &Value| value.as_array().is_some_and(Vec::is_empty);
    let mut due: Map<String, Value> = sent
        .into_iter()
        .filter(|(name, value)| match name.as_str() {
            "max_tokens" => !newer,
            "stop" | "tools" | "functions" => !empty(value),
            "logprobs" | "top_logprobs" => logprobs == Logprobs::Exposed,
            "model" => true,
            "user" => false,
            name => KEPT.contains(&name) || forward.contains(&name),
        })
        .collect();
    due.insert("model".to_owned(), json!("backing \"model\"\n"));
    if stream {
        due.insert("stream_options".to_owned(), json!({ "include_usage": true }));
    }
    due
}
