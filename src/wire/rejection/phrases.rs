//! What servers say where they have no code for it.
//!
//! A message may quote the request. So a phrase that blames the backend or our account, which others would
//! suffer from, only counts in front of the first quotation; one that blames the request counts anywhere.

use crate::error::Reason;

/// How much of a message is looked at, in bytes.
const MOST: usize = 16 * 1024;

/// From here on a validator prints what it was given.
const ECHOES: &[&str] = &["input_value=", "'input':", "\"input\":"];

/// About the backend or our account: phrases in lower case, first hit wins.
const OURS: &[(Reason, &[&str])] = &[
    (
        Reason::BadCredential,
        &[
            "api key not valid",
            "api key not found",
            "api key expired",
            "invalid api key",
            "incorrect api key",
            "invalid x-api-key",
            "invalid subscription key",
            "invalid bearer token",
            "no auth credentials",
            "authentication failed",
            "authentication fails",
            "not authorized to perform",
            "security token included in the request",
        ],
    ),
    (
        Reason::Quota,
        &[
            "credit balance",
            "insufficient credit",
            "insufficient balance",
            "insufficient quota",
            "out of credits",
            "requires more credits",
            "exceeded your current quota",
            "service quota",
            "plan and billing",
            "billing details",
            "billing hard limit",
            "spending limit",
            "api usage limits",
            "payment required",
        ],
    ),
];

/// About the request.
const THEIRS: &[(Reason, &[&str])] = &[
    (
        Reason::ContentPolicy,
        &[
            "content management policy",
            "content filtering policy",
            "content policy",
            "content filter",
            "content exists risk",
            "usage policy",
            "usage policies",
            "safety system",
            "blocked by guardrail",
            "blocked by the guardrail",
            "guardrail intervened",
            "prompt was blocked",
            "inappropriate content",
            "was flagged",
        ],
    ),
    (
        Reason::ContextOverflow,
        &[
            "maximum context length",
            "maximum prompt length",
            "context length exceeded",
            "context_length_exceeded",
            "exceeds the context",
            "exceed context",
            "context window",
            "context size",
            "prompt is too long",
            "input is too long",
            "too many input tokens",
            "exceeds the maximum number of tokens",
            "longer than the model's context",
            "longer than the maximum model length",
            "reduce the length of the messages",
            "range of input length",
            "`max_new_tokens` must be <=",
            "`inputs` must have less than",
        ],
    ),
];

/// About the backend's moment. Behind the others, since a limit on tokens may be named as a reason to wait.
const MOMENTS: &[(Reason, &[&str])] = &[
    (
        Reason::Capacity,
        &[
            "overloaded",
            "over capacity",
            "at capacity",
            "capacity exceeded",
            "capacity_exceeded",
            "no capacity",
            "insufficient capacity",
            "server busy",
            "server is busy",
            "queue is full",
            "model is not ready",
        ],
    ),
    (
        Reason::RateLimited,
        &[
            "rate limit",
            "rate-limit",
            "too many requests",
            "too many tokens, please wait",
            "requests per minute",
            "tokens per minute",
        ],
    ),
];

/// About what we asked it for.
const ASKED: &[(Reason, &[&str])] = &[
    (
        Reason::NoSuchModel,
        &["is not a valid model", "model identifier is invalid", "no endpoints found for", "try pulling it"],
    ),
    (
        Reason::Unsupported,
        &[
            "unsupported parameter",
            "unsupported value",
            "unknown parameter",
            "unrecognized request argument",
            "extra inputs are not permitted",
            "not supported with this model",
            "not supported by this model",
            "does not support tools",
        ],
    ),
];

/// What a message says, if it is one of the well-known things.
pub(super) fn reason(message: &str) -> Option<Reason> {
    let message = head(message, MOST).to_ascii_lowercase();
    let echo = ECHOES.iter().filter_map(|mark| message.find(mark)).min();
    let message = head(&message, echo.unwrap_or(message.len()));
    let unquoted = head(message, quotation(message));
    first(OURS, unquoted)
        .or_else(|| first(THEIRS, message))
        .or_else(|| first(MOMENTS, unquoted))
        .or_else(|| names_no_model(message).then_some(Reason::NoSuchModel))
        .or_else(|| first(ASKED, message))
}

fn first(table: &[(Reason, &[&str])], text: &str) -> Option<Reason> {
    let says = |phrases: &[&str]| phrases.iter().any(|phrase| text.contains(phrase));
    table.iter().find(|(_, phrases)| says(phrases)).map(|(reason, _)| *reason)
}

/// Its name stands in the midst of the phrase.
fn names_no_model(message: &str) -> bool {
    let about_it = ["the model ", "model ", "models/"].iter().any(|start| message.starts_with(start));
    about_it && ["does not exist", "not found"].iter().any(|end| message.contains(end))
}

/// Where the first quotation begins. An apostrophe within a word or behind one begins none.
fn quotation(text: &str) -> usize {
    let mut before = ' ';
    for (at, c) in text.char_indices() {
        match c {
            '"' | '`' | '“' | '‘' | '«' | '「' => return at,
            '\'' if !before.is_alphanumeric() => return at,
            _ => before = c,
        }
    }
    text.len()
}

/// The first bytes of a text, as far as they are whole characters.
pub(super) fn head(text: &str, bytes: usize) -> &str {
    text.get(..text.floor_char_boundary(bytes)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn phrases_are_in_lower_case() {
        for (_, phrases) in [OURS, THEIRS, MOMENTS, ASKED].into_iter().flatten() {
            assert!(phrases.iter().all(|phrase| *phrase == phrase.to_ascii_lowercase()));
        }
    }

    #[test]
    fn a_quotation_cannot_blame_the_backend() {
        for message in [
            "role must not be 'Invalid API key'",
            "unexpected \"credit balance is too low\" in messages",
            "`rate limit` is no role",
            "could not parse “overloaded”",
            "the server's choice: 'too many requests'",
            "1 error: [type=string_type, input_value=prompt is too long, input_type=str]",
        ] {
            assert_eq!(reason(message), None, "{message}");
        }
        assert_eq!(reason("Rate limit reached for `m` in 'org'"), Some(Reason::RateLimited));
        assert_eq!(reason("your organization's rate limit"), Some(Reason::RateLimited));
    }

    #[test]
    fn only_the_beginning_of_a_long_message_is_read() {
        let long = |size: usize| format!("{}prompt is too long", "é".repeat(size / 2));
        assert_eq!(reason(&long(MOST - 100)), Some(Reason::ContextOverflow));
        assert_eq!(reason(&long(MOST)), None);
    }
}
