//! Content policies from outside: what is caught, what is not, what a client is told, and what leaves before that.

mod answers; // what answers may not say, whole and streamed
mod corpus; // evasions, one by one, as the README tells of them
mod failing; // a moderator that fails is heard of
mod judged; // what of a request a moderator is asked about
mod moderator; // a service that is asked besides
mod places; // every place of a request is looked at
mod prompts; // where in a request something is looked for
mod seats; // prompts that take long
mod setup; // the configurations of these tests
mod streams; // streams that say it in other ways than a text
mod words; // lists of words in files, and reloads

use serde_json::{Value, json};

use crate::kit::answers::{json_answer, sse_answer};
use crate::kit::client::Response;
use crate::kit::upstream::{Seen, Upstream};

/// A model that says what the last message tells it to: a list of pieces as JSON, in hexadecimal digits, so that
/// no policy finds anything in it.
fn parrot() -> Upstream {
    Upstream::start(|seen| {
        let pieces = told(seen);
        let pieces: Vec<&str> = pieces.iter().map(String::as_str).collect();
        if seen.wants_stream() { sse_answer(&pieces) } else { json_answer(&pieces.concat()) }
    })
}

fn told(seen: &Seen) -> Vec<String> {
    let json = seen.json();
    let hex = json["messages"].as_array().and_then(|all| all.last()?["content"].as_str()).unwrap_or_default();
    let bytes: Vec<u8> = hex
        .as_bytes()
        .chunks(2)
        .filter_map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok())
        .collect();
    serde_json::from_slice(&bytes).unwrap_or_default()
}

/// A request that has the parrot say these pieces.
fn say(pieces: &[&str], stream: bool) -> String {
    let text: String = json!(pieces).to_string().bytes().map(|byte| format!("{byte:02x}")).collect();
    json!({"model": "general", "stream": stream, "messages": [{"role": "user", "content": text}]}).to_string()
}

/// A request with this text.
fn ask(text: &str) -> String {
    json!({"model": "general", "messages": [{"role": "user", "content": text}]}).to_string()
}

/// A request with this message and more members.
fn with(message: Value, more: Value) -> String {
    let mut body = json!({"model": "general", "messages": [message]});
    if let (Value::Object(all), Value::Object(more)) = (&mut body, more) {
        all.extend(more);
    }
    body.to_string()
}

/// A policy that takes long over [`nearly`].
const NEARLY: &str = "deny: [ '[ab]{2}.{0,200}[xy]z' ]";

/// So many letters that nearly match it all the time, in ever new ways.
fn nearly(letters: usize) -> String {
    let mut random = 7_u64;
    let letters = (0..letters).map(|_| {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        ['a', 'b', 'c', ' '][(random >> 62) as usize]
    });
    letters.collect()
}

/// The 403 of the API document, and nothing else.
#[track_caller]
fn assert_blocked(answer: &Response, what: &str) {
    assert_eq!(answer.status, 403, "{what}: {}", answer.everything());
    let expected = json!({"error": {
        "type": "invalid_request_error",
        "message": "Your request was blocked by a content policy.",
        "code": "content_blocked",
    }});
    assert_eq!(answer.json(), expected, "{what}");
}

/// Why each choice of a stream ended, by its index.
fn finishes(chunks: &[Value]) -> Vec<(u64, String)> {
    let choices = chunks.iter().filter_map(|chunk| chunk["choices"].as_array()).flatten();
    choices
        .filter_map(|choice| Some((choice["index"].as_u64()?, choice["finish_reason"].as_str()?.to_owned())))
        .collect()
}
