//! Why a backing model refused a request, as far as a client may know: that the conversation is too long.
//!
//! The answer is read and dropped; none of its words goes on. Codes and types are trusted first, phrases
//! only where the answer has a message, never in what it may echo of a prompt elsewhere.

use serde_json::value::RawValue;
use std::collections::HashMap;

/// What servers call it.
const CODES: &[&str] = &["context_length_exceeded", "exceed_context_size_error"];
/// What servers without a code say, in lower case.
const PHRASES: &[&str] = &[
    "maximum context length",
    "context length exceeded",
    "exceeds the context",
    "exceed context",
    "context window",
    "context size",
    "prompt is too long",
    "input is too long",
    "too many input tokens",
    "longer than the model's context",
    "longer than the maximum model length",
];

/// How deep an error is looked for: an array around an object around its `error`.
const LEVELS: usize = 3;

/// Whether the body of a refusal says that the conversation is too long. Any text may come; what cannot be
/// read says nothing.
pub fn is_context_overflow(body: &[u8]) -> bool {
    serde_json::from_slice(body).is_ok_and(|whole| is_overflow(whole, LEVELS))
}

/// Servers wrap their error in `error`, in an array, or in nothing; some say it in one string.
fn is_overflow(error: &RawValue, levels: usize) -> bool {
    let (Some(levels), text) = (levels.checked_sub(1), error.get()) else { return false };
    if let Ok(message) = serde_json::from_str::<String>(text) {
        return says_so(&message);
    }
    if let Ok(several) = serde_json::from_str::<Vec<&RawValue>>(text) {
        return several.iter().any(|one| is_overflow(one, levels));
    }
    let Ok(members) = serde_json::from_str::<HashMap<String, &RawValue>>(text) else { return false };
    let word = |name: &str| serde_json::from_str::<String>(members.get(name)?.get()).ok();
    let named = ["code", "type"].into_iter().filter_map(word).any(|name| CODES.contains(&name.as_str()));
    let said = ["message", "detail"].into_iter().filter_map(word).any(|message| says_so(&message));
    named || said || members.get("error").is_some_and(|inner| is_overflow(inner, levels))
}

fn says_so(message: &str) -> bool {
    let message = message.to_lowercase();
    PHRASES.iter().any(|phrase| message.contains(phrase))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_way_of_saying_it_is_understood() {
        for body in [
            r#"{"error":{"message":"x","type":"invalid_request_error","code":"context_length_exceeded"}}"#,
            r#"{"error":{"code":400,"message":"x","type":"exceed_context_size_error"}}"#,
            r#"{"error":{"message":"This model's maximum context length is 8192 tokens.","code":400}}"#,
            r#"{"object":"error","message":"The input is too long for this model","code":400}"#,
            r#"[{"error":{"code":400,"message":"The context window was exceeded","status":"INVALID"}}]"#,
            r#"{"error":"Prompt is too long"}"#,
            r#"{"detail":"exceeds the context of the model"}"#,
        ] {
            assert!(is_context_overflow(body.as_bytes()), "{body}");
        }
    }

    #[test]
    fn anything_else_is_not_it() {
        for body in [
            "",
            "null",
            "<html>context window</html>",
            r#"{"error":{"message":"string too long for `user`","code":"string_above_max_length"}}"#,
            r#"{"error":{"message":"unknown field","param":"maximum context length"}}"#,
            r#"{"prompt":"what is a context window?","error":{"message":"bad request"}}"#,
            r#"{"error":null}"#,
            r#"{"error":{"code":429}}"#,
            r#"[[[[["prompt is too long"]]]]]"#,
        ] {
            assert!(!is_context_overflow(body.as_bytes()), "{body}");
        }
    }
}
