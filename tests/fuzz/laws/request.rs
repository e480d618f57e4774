//! Reading a request: for any bytes, our reading and serde_json's do not contradict each other.

use byname::wire::request::{Delivery, check};
use serde_json::Value;

const MAGIC: &[u8] = b"$serde_json::private";

/// Panics where a body is read in two ways.
pub(crate) fn holds(body: &[u8]) {
    // serde_json gives a member of this name a meaning of its own, which is not JSON's.
    if body.windows(MAGIC.len()).any(|window| window == MAGIC) {
        return;
    }
    let theirs = serde_json::from_slice::<Value>(body);
    match (check(body), theirs) {
        (Ok(request), Ok(value)) => {
            let at = |path| value.pointer(path);
            assert_eq!(at("/model").and_then(Value::as_str), Some(request.alias()));
            assert_eq!(at("/messages").and_then(Value::as_array).map(Vec::len), Some(request.messages()));
            assert_eq!(is_true(at("/stream")), request.delivery() == Delivery::Stream);
            assert_eq!(is_true(at("/stream_options/include_usage")), request.usage_asked());
            assert_eq!(at("/n").and_then(Value::as_f64).unwrap_or(1.0), f64::from(request.choices()));
            let cap =
                ["/max_completion_tokens", "/max_tokens"].into_iter().find_map(|path| at(path)?.as_f64());
            let choices = f64::from(request.choices());
            assert_eq!(cap.map(|cap| cap * choices), request.answer_cap().map(|cap| cap as f64));
            // What is whole is not so any more when it is cut: at its end, and in its middle.
            let used = body.trim_ascii_end().len();
            for end in [used.saturating_sub(1), used / 2] {
                assert!(check(body.get(..end).unwrap_or_default()).is_err());
            }
        }
        // The one thing that we accept and serde_json does not: a huge number that nobody here reads.
        (Ok(_), Err(why)) => assert!(why.to_string().contains("out of range"), "{why}"),
        // The other way round, whatever we call broken JSON has to be.
        (Err(why), Ok(_)) if why.field.is_empty() => {
            assert!(why.wrong.contains("JSON object") || why.wrong.contains("twice"), "{why}");
        }
        (Err(why), Ok(_) | Err(_)) => {
            // A path is made of our words, dots and indices alone.
            let ours = |letter: char| {
                letter.is_ascii_lowercase() || letter.is_ascii_digit() || "_.[]".contains(letter)
            };
            assert!(why.field.chars().all(ours), "{why}");
        }
    }
}

fn is_true(value: Option<&Value>) -> bool {
    value == Some(&Value::Bool(true))
}
