//! The demo model's words on the wire: OpenAI's API as a provider would speak it, with everything that gives one away.
//!
//! Pure. The names here are made up to be seen in a direct request, and missed in one through Byname.

use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use serde::Deserialize;
use serde_json::{Value, json};

use super::speech::{Ending, Finish, Speech, tokens};

/// Headers on every answer, such as providers send.
pub(super) const HEADERS: &[(&str, &str)] = &[
    ("Server", "demo-inference/1.4.2"),
    ("X-Provider", "demo-provider"),
    ("X-Region", "demo-tokyo-1"),
    ("X-Organization", "org-demo-0042"),
    ("X-RateLimit-Remaining-Requests", "9999"),
];

const FINGERPRINT: &str = "fp_demo_5a1f";
const MODELS: [&str; 5] = [
    "demo-large-2026-01",
    "demo-secure-2026-01",
    "demo-slow-2026-01",
    "demo-fail-2026-01",
    "demo-cut-2026-01",
];
/// What a message costs beside its text, as tokenizers count it.
const MESSAGE_TOKENS: usize = 4;

/// A JSON answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) body: Bytes,
}

/// How the answer is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Delivery {
    /// As one JSON object.
    Whole,
    /// As events.
    Stream,
}

/// A chat request, as far as the demo model understands it.
#[derive(Debug, Deserialize)]
pub(super) struct Request {
    model: String,
    messages: Vec<Message>,
    stream: Option<bool>,
    stream_options: Option<StreamOptions>,
    max_tokens: Option<f64>,
    max_completion_tokens: Option<f64>,
}

#[derive(Debug, Deserialize)]
struct StreamOptions {
    include_usage: Option<bool>,
}

#[derive(Debug, Deserialize)]
struct Message {
    role: String,
    content: Option<Content>,
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Content {
    Text(String),
    Parts(Vec<Part>),
}

#[derive(Debug, Deserialize)]
struct Part {
    text: Option<String>,
}

impl Message {
    fn text(&self) -> String {
        match &self.content {
            None => String::new(),
            Some(Content::Text(text)) => text.clone(),
            Some(Content::Parts(parts)) => {
                parts.iter().filter_map(|part| part.text.as_deref()).collect::<Vec<_>>().join(" ")
            }
        }
    }
}

impl Request {
    /// Reads a body; `None` when it is no chat request.
    pub(super) fn read(body: &[u8]) -> Option<Self> {
        serde_json::from_slice(body).ok()
    }

    /// The model that is asked for.
    pub(super) fn model(&self) -> &str {
        &self.model
    }

    /// How the answer is wanted.
    pub(super) fn delivery(&self) -> Delivery {
        if self.stream == Some(true) { Delivery::Stream } else { Delivery::Whole }
    }

    /// Whether a stream is to tell its usage.
    pub(super) fn usage_asked(&self) -> bool {
        self.stream_options.as_ref().is_some_and(|options| options.include_usage == Some(true))
    }

    /// How many tokens the answer may have.
    pub(super) fn cap(&self) -> Option<usize> {
        // A float becomes the nearest whole number that there is; a negative one becomes 0.
        self.max_completion_tokens.or(self.max_tokens).map(|cap| cap as usize)
    }

    /// What the user said last.
    pub(super) fn last_words(&self) -> String {
        self.messages.iter().rfind(|message| message.role == "user").map(Message::text).unwrap_or_default()
    }

    /// The size of the prompt, roughly.
    pub(super) fn prompt_tokens(&self) -> usize {
        self.messages.iter().map(|message| MESSAGE_TOKENS + tokens(&message.text()).len()).sum()
    }
}

/// What all parts of one answer carry alike.
#[derive(Debug, Clone)]
pub(super) struct Stamp {
    id: String,
    created: u64,
    model: String,
}

impl Stamp {
    /// A new answer of this model at this time (seconds since 1970).
    pub(super) fn new(model: &str, created: u64) -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        let id = format!("gen-demo-{created:x}-{:04}", NEXT.fetch_add(1, Ordering::Relaxed));
        Self { id, created, model: model.to_owned() }
    }
}

/// The answer to a request that did not ask for a stream.
pub(super) fn completion(stamp: &Stamp, speech: &Speech, prompt_tokens: usize) -> Answer {
    let finish = match speech.ending {
        Ending::Finished(finish) => finish_reason(finish),
        Ending::Cut => Value::Null,
    };
    json_answer(
        200,
        &json!({
            "id": stamp.id,
            "object": "chat.completion",
            "created": stamp.created,
            "model": stamp.model,
            "provider": "demo-provider",
            "choices": [{
                "index": 0,
                "message": { "role": "assistant", "content": speech.text(), "refusal": null },
                "logprobs": null,
                "finish_reason": finish,
            }],
            "usage": usage(prompt_tokens, speech.pieces.len()),
            "service_tier": "demo",
            "system_fingerprint": FINGERPRINT,
        }),
    )
}

/// The event that opens a stream: a role and no text yet.
pub(super) fn first_event(stamp: &Stamp) -> Bytes {
    delta(stamp, &json!({ "role": "assistant", "content": "", "refusal": null }), &Value::Null).into()
}

/// An event with a piece of text.
pub(super) fn event(stamp: &Stamp, text: &str) -> Bytes {
    delta(stamp, &json!({ "content": text }), &Value::Null).into()
}

/// The events that close a stream; `usage` is the tokens of the prompt and of the answer, when they are asked for.
pub(super) fn last_events(stamp: &Stamp, finish: Finish, tokens: Option<(usize, usize)>) -> Bytes {
    let mut events = delta(stamp, &json!({}), &finish_reason(finish));
    if let Some((prompt, answer)) = tokens {
        events.push_str(&chunk(stamp, &json!([]), &usage(prompt, answer)));
    }
    events.push_str("data: [DONE]\n\n");
    events.into()
}

/// The answer to `GET /v1/models`.
pub(super) fn models() -> Answer {
    let models: Vec<Value> = MODELS
        .iter()
        .map(|id| json!({ "id": id, "object": "model", "created": 1_767_225_600, "owned_by": "demo-provider" }))
        .collect();
    json_answer(200, &json!({ "object": "list", "data": models }))
}

/// A provider's error.
pub(super) fn error(status: u16, message: &str) -> Answer {
    let told = format!("{message} (region demo-tokyo-1, organization org-demo-0042)");
    json_answer(
        status,
        &json!({ "error": { "message": told, "type": "demo_error", "param": null, "code": null } }),
    )
}

fn json_answer(status: u16, body: &Value) -> Answer {
    Answer { status, body: body.to_string().into() }
}

fn delta(stamp: &Stamp, delta: &Value, finish_reason: &Value) -> String {
    let choice = json!({ "index": 0, "delta": delta, "logprobs": null, "finish_reason": finish_reason });
    chunk(stamp, &json!([choice]), &Value::Null)
}

fn chunk(stamp: &Stamp, choices: &Value, usage: &Value) -> String {
    let chunk = json!({
        "id": stamp.id,
        "object": "chat.completion.chunk",
        "created": stamp.created,
        "model": stamp.model,
        "provider": "demo-provider",
        "system_fingerprint": FINGERPRINT,
        "choices": choices,
        "usage": usage,
    });
    format!("data: {chunk}\n\n")
}

fn usage(prompt: usize, answer: usize) -> Value {
    json!({
        "prompt_tokens": prompt,
        "completion_tokens": answer,
        "total_tokens": prompt + answer,
        "prompt_tokens_details": { "cached_tokens": 0 },
    })
}

fn finish_reason(finish: Finish) -> Value {
    match finish {
        Finish::Stop => "stop".into(),
        Finish::Length => "length".into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(body: Value) -> Request {
        Request::read(body.to_string().as_bytes()).unwrap()
    }

    fn events(bytes: &Bytes) -> Vec<String> {
        String::from_utf8(bytes.to_vec()).unwrap().split_terminator("\n\n").map(str::to_owned).collect()
    }

    #[test]
    fn the_last_words_are_the_users_whatever_their_form() {
        let messages = json!([
            { "role": "system", "content": "Be brief." },
            { "role": "user", "content": [{ "type": "text", "text": "Look:" }, { "type": "image_url" }] },
            { "role": "assistant", "content": null },
        ]);
        let request = request(json!({ "model": "demo-large-2026-01", "messages": messages, "stream": null }));
        assert_eq!(request.last_words(), "Look:");
        assert_eq!(request.delivery(), Delivery::Whole);
        assert_eq!(request.prompt_tokens(), 3 * MESSAGE_TOKENS + 3 + 2);
    }

    #[test]
    fn the_newer_cap_wins_and_a_whole_float_counts() {
        let capped = |caps: Value| {
            let mut body = json!({ "model": "m", "messages": [] });
            body.as_object_mut().unwrap().extend(caps.as_object().unwrap().clone());
            request(body).cap()
        };
        assert_eq!(capped(json!({})), None);
        assert_eq!(capped(json!({ "max_tokens": 5 })), Some(5));
        assert_eq!(capped(json!({ "max_tokens": 5, "max_completion_tokens": 7.0 })), Some(7));
    }

    #[test]
    fn a_whole_answer_counts_its_tokens() {
        let stamp = Stamp::new("demo-secure-2026-01", 7);
        let speech = Speech::to("demo-secure-2026-01", "Hi", None).unwrap();
        let answer: Value = serde_json::from_slice(&completion(&stamp, &speech, 9).body).unwrap();
        assert_eq!(answer["choices"][0]["message"]["content"], speech.text());
        assert_eq!(answer["choices"][0]["finish_reason"], "stop");
        assert_eq!(answer["usage"]["total_tokens"], 9 + speech.pieces.len());
        assert_eq!(answer["system_fingerprint"], FINGERPRINT);
    }

    #[test]
    fn a_stream_closes_with_its_reason_then_usage_when_asked_then_done() {
        let stamp = Stamp::new("demo-large-2026-01", 7);
        let closed = events(&last_events(&stamp, Finish::Length, Some((3, 4))));
        assert_eq!(closed.len(), 3);
        assert!(closed[0].contains("\"finish_reason\":\"length\""));
        assert!(closed[1].contains("\"choices\":[]") && closed[1].contains("\"total_tokens\":7"));
        assert_eq!(closed[2], "data: [DONE]");
        assert_eq!(events(&last_events(&stamp, Finish::Stop, None)).len(), 2);
    }

    #[test]
    fn two_answers_have_two_ids() {
        assert_ne!(Stamp::new("m", 1).id, Stamp::new("m", 1).id);
    }

    #[test]
    fn what_is_no_chat_request_is_refused() {
        for body in ["", "{", "[]", "{}", r#"{"model":1,"messages":[]}"#] {
            assert!(Request::read(body.as_bytes()).is_none(), "{body}");
        }
    }
}
