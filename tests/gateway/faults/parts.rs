//! What rows are made of: backends that are good or bad, pieces of answers, and an answer in one line.

use std::any::Any;

use serde_json::{Value, json};

use crate::kit::MODEL;
use crate::kit::answers::{CANARIES, json_answer, sse_answer};
use crate::kit::client::{self, End, Response};
use crate::kit::config::{Gateway, backend};
use crate::kit::daemon::Daemon;
use crate::kit::h2_upstream::{H2Step, H2Upstream};
use crate::kit::script::{Step, bytes, chunk, head, whole};
use crate::kit::upstream::Upstream;

/// Stands in everything that a bad backend says. No client may ever read it.
pub const SECRET: &str = "PROVIDER-SECRET-xyz";

pub const JSON: (&str, &str) = ("Content-Type", "application/json");
pub const EVENTS: [(&str, &str); 2] =
    [("Content-Type", "text/event-stream"), ("Transfer-Encoding", "chunked")];
/// Bytes.
pub const A_MIB: usize = 1024 * 1024;
pub const DONE: &str = "data: [DONE]\n\n";

/// How a client wants its answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    Whole,
    Stream,
}

impl Mode {
    pub const BOTH: [Self; 2] = [Self::Whole, Self::Stream];

    pub fn label(self) -> &'static str {
        match self {
            Self::Whole => "whole",
            Self::Stream => "stream",
        }
    }

    /// A request's body.
    pub fn ask(self, alias: &str) -> String {
        match self {
            Self::Whole => client::ask(alias),
            Self::Stream => client::ask_stream(alias),
        }
    }

    /// A good answer.
    pub fn answer(self, text: &str) -> Vec<Step> {
        match self {
            Self::Whole => json_answer(text),
            Self::Stream => sse_answer(&[text]),
        }
    }

    /// The type of a good answer.
    pub fn kind(self) -> (&'static str, &'static str) {
        match self {
            Self::Whole => JSON,
            Self::Stream => EVENTS[0],
        }
    }

    /// The body of a good answer without its framing.
    pub fn body(self, text: &str) -> String {
        match self {
            Self::Whole => completion(text),
            Self::Stream => format!("{}{}{DONE}", delta(text), finish()),
        }
    }
}

/// A backend that fails, as the configuration names it.
pub struct Bad {
    pub yaml: String,
    /// What the test has to say about it at the end, when that is not as it must be.
    pub check: Box<dyn Fn() -> Option<String> + Send>,
    _kept: Box<dyn Any + Send>,
}

impl Bad {
    /// An HTTP/1.1 backend.
    pub fn scripted(upstream: Upstream) -> Self {
        Self::new(backend(&upstream.url()), upstream)
    }

    /// An HTTP/2 backend by prior knowledge.
    pub fn http2(upstream: H2Upstream) -> Self {
        Self::new(upstream.backend(), upstream)
    }

    /// Any backend; `kept` lives as long as the row.
    pub fn new(yaml: String, kept: impl Any + Send) -> Self {
        Self { yaml, check: Box::new(|| None), _kept: Box::new(kept) }
    }

    /// Adds something that must be so at the end; the text tells what was not.
    pub fn check(mut self, check: impl Fn() -> Option<String> + Send + 'static) -> Self {
        self.check = Box::new(check);
        self
    }
}

/// A backend that always answers with this text.
pub fn good(text: &'static str) -> Upstream {
    Upstream::start(move |seen| if seen.wants_stream() { sse_answer(&[text]) } else { json_answer(text) })
}

/// A gateway with one pool `alone`, and the pool `spare` that every row's requests are followed by.
pub struct Alone {
    pub daemon: Daemon,
    _spare: Upstream,
}

impl Alone {
    /// Starts it with these backends behind the alias `alone`.
    pub fn start(gateway: Gateway, backends: &[String]) -> Self {
        let spare = good("spare");
        let daemon = gateway
            .pool_of("alone", backends)
            .pool("spare", &[&spare])
            .alias("alone", &[("alone", MODEL)])
            .alias("spare", &[("spare", MODEL)])
            .start();
        Self { daemon, _spare: spare }
    }

    /// One request, and then a good one.
    pub fn ask(&self, mode: Mode) -> String {
        super::runner::ask(&self.daemon, mode, "alone")
    }
}

/// A whole answer.
pub fn completion(text: &str) -> String {
    json!({
        "id": SECRET, "object": "chat.completion", "created": 1, "model": SECRET,
        "choices": [{"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 42, "completion_tokens": 128, "total_tokens": 170}
    })
    .to_string()
}

/// The data of an event with a piece of text.
pub fn delta_data(text: &str) -> String {
    json!({"id": SECRET, "object": "chat.completion.chunk", "created": 1, "model": SECRET,
        "choices": [{"index": 0, "delta": {"content": text}, "finish_reason": null}]})
    .to_string()
}

/// An event with a piece of text.
pub fn delta(text: &str) -> String {
    format!("data: {}\n\n", delta_data(text))
}

/// The event that says why the answer ends.
pub fn finish() -> String {
    let data = json!({"id": SECRET, "object": "chat.completion.chunk", "created": 1, "model": SECRET,
        "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]});
    format!("data: {data}\n\n")
}

/// An event with an error.
pub fn error_event() -> String {
    format!("data: {{\"error\":{{\"message\":\"{SECRET}\",\"code\":\"{SECRET}\"}}}}\n\n")
}

/// A stream whose first event with text has gone out when the failure comes.
pub fn after_one(failure: Vec<Step>) -> Vec<Step> {
    let mut steps = vec![head(200, &EVENTS), chunk(delta("one")), Step::Pause(super::runner::A_MOMENT)];
    steps.extend(failure);
    steps
}

/// A stream of these chunks.
pub fn stream_of(chunks: &[&str]) -> Vec<Step> {
    let mut steps = vec![head(200, &EVENTS)];
    steps.extend(chunks.iter().map(chunk));
    steps.push(bytes("0\r\n\r\n"));
    steps
}

/// A provider's error with this code and message.
pub fn error(status: u16, code: &str, message: &str) -> Vec<Step> {
    error_with(status, &[], code, message)
}

/// The same with more headers.
pub fn error_with(status: u16, headers: &[(&str, &str)], code: &str, message: &str) -> Vec<Step> {
    let body = json!({"error": {"message": format!("{message} {SECRET}"), "type": SECRET, "param": null,
        "code": code}});
    whole(status, &[&[JSON], headers].concat(), &body.to_string())
}

/// The steps of an HTTP/2 answer up to its first text.
pub fn h2_start(mode: Mode, text: &str) -> Vec<H2Step> {
    let body = match mode {
        Mode::Whole => completion(text)[..20].to_owned(),
        Mode::Stream => delta(text),
    };
    vec![H2Step::Head(200, vec![("content-type", mode.kind().1.to_owned())]), H2Step::Data(body.into())]
}

/// A whole HTTP/2 answer.
pub fn h2_answer(mode: Mode, text: &str) -> Vec<H2Step> {
    let kind = vec![("content-type", mode.kind().1.to_owned())];
    vec![H2Step::Head(200, kind), H2Step::Data(mode.body(text).into()), H2Step::End]
}

/// A good HTTP/2 backend.
pub fn h2_good(text: &'static str) -> H2Upstream {
    H2Upstream::start(move |seen| {
        h2_answer(if seen.wants_stream() { Mode::Stream } else { Mode::Whole }, text)
    })
}

/// An answer in one line: its status, its text or its code, and whatever is odd about it.
pub fn describe(answer: &Response, mode: Mode, alias: &str) -> String {
    let mut words = match (answer.status, mode) {
        (200, Mode::Whole) => whole_text(&answer.json(), alias),
        (200, Mode::Stream) => stream_text(answer, alias),
        (status, _) => refusal(answer, status),
    };
    if answer.end == End::Cut {
        words += " CUT";
    }
    let everything = answer.everything();
    for leak in CANARIES.iter().chain(&[SECRET]) {
        if everything.contains(leak) {
            words += &format!(" LEAK of {leak}");
        }
    }
    words
}

fn refusal(answer: &Response, status: u16) -> String {
    let Ok(body) = serde_json::from_slice::<Value>(&answer.body) else {
        return format!("{status} without JSON");
    };
    let code = body["error"]["code"].as_str().unwrap_or("without a code");
    let number = |name: &str| answer.header(name).and_then(|value| value.parse::<u64>().ok());
    match (status, number("retry-after"), number("retry-after-ms")) {
        (429, Some(1..=60), Some(1..=60_000)) => format!("429 {code} after 1..60 s"),
        (429, seconds, millis) => format!("429 {code} after {seconds:?} s {millis:?} ms"),
        (_, None, None) => format!("{status} {code}"),
        (_, _, _) => format!("{status} {code} with Retry-After"),
    }
}

fn whole_text(body: &Value, alias: &str) -> String {
    let text = body["choices"][0]["message"]["content"].as_str().unwrap_or("without text");
    if body["model"] == alias { format!("200 {text}") } else { format!("200 {text} from {}", body["model"]) }
}

fn stream_text(answer: &Response, alias: &str) -> String {
    let (mut text, mut ends, mut ids) = (String::new(), Vec::new(), Vec::new());
    let all = String::from_utf8_lossy(&answer.body);
    for event in all.split_inclusive("\n\n") {
        let data = event.strip_prefix("data: ").and_then(|rest| rest.strip_suffix("\n\n"));
        let parsed = data.map(serde_json::from_str::<Value>);
        match (data, parsed) {
            (Some("[DONE]"), _) => ends.push("done".to_owned()),
            (_, Some(Ok(json))) if json.get("error").is_some() => {
                let good = json["error"]["code"] == "upstream_unavailable";
                ends.push(if good { "error".to_owned() } else { format!("error {json}") });
            }
            (_, Some(Ok(json))) => {
                if !ends.is_empty() {
                    ends.push("more".to_owned());
                }
                text += json["choices"][0]["delta"]["content"].as_str().unwrap_or_default();
                ids.push((json["id"].clone(), json["created"].clone(), json["model"].clone()));
            }
            (_, Some(Err(_)) | None) => ends.push(format!("nonsense {event:?}")),
        }
    }
    ids.dedup();
    let mut words = match ends.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["done"] => format!("200 {text}"),
        ["error"] => format!("200 {text} + error"),
        ref ends => format!("200 {text} + {ends:?}"),
    };
    if ids.len() != 1 || ids[0].2 != alias {
        words += &format!(" as {ids:?}");
    }
    words
}
