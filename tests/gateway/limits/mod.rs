//! Limits from outside: what passes, what is refused, what it costs, and what is told of it.
//!
//! A minute is never waited for. Where a test must tell that somebody waited from that nobody did, the bounds
//! are seconds apart.

mod budgets; // days and months, and what outlives the process
mod exact; // as many as allowed and not one more
mod headers; // what is left, as clients are told
mod levels; // tenant, key, alias and pool
mod many; // thousands of requests that end in every way
mod official; // the official clients wait and succeed
mod queue; // waiting in line for a slot
mod setup; // the configurations of these tests
mod store; // several gateways, one Redis
mod strangers; // requests without a good key
mod tokens; // reserved, settled, given back

use serde_json::{Value, json};

use crate::kit::answers::{json_answer, sse_answer, sse_events, sse_head};
use crate::kit::client::Response;
use crate::kit::daemon::Daemon;
use crate::kit::script::{Step, chunk, whole};
use crate::kit::upstream::Upstream;

/// What the kit's ordinary answers say they used, in tokens: prompt and answer together.
const USED: u64 = 170;

/// A model that answers at once, in both modes.
fn quick() -> Upstream {
    Upstream::start(|seen| if seen.wants_stream() { sse_answer(&["o", "k"]) } else { json_answer("ok") })
}

/// A model that answers when the test opens the gate `go`.
fn gated() -> Upstream {
    Upstream::start(|seen| {
        let mut steps = vec![Step::Wait("go")];
        steps.extend(if seen.wants_stream() { sse_answer(&["o", "k"]) } else { json_answer("ok") });
        steps
    })
}

/// A whole answer that says it used so many tokens.
fn using(prompt: u64, completion: u64) -> Vec<Step> {
    let body = json!({
        "id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": "m",
        "choices": [{"index": 0, "message": {"role": "assistant", "content": "ok"}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion}
    });
    whole(200, &[("Content-Type", "application/json")], &body.to_string())
}

/// A stream of these words that goes on as `then` says.
fn words_then(words: &[&str], then: Vec<Step>) -> Vec<Step> {
    let mut steps = vec![sse_head()];
    // The role, then the words; the end, the usage and `[DONE]` are left out.
    steps.extend(sse_events(words).iter().take(1 + words.len()).map(chunk));
    steps.extend(then);
    steps
}

/// A request whose answer may have so many tokens.
fn ask_with_cap(alias: &str, cap: u64) -> String {
    body(alias, "Hello", json!({ "max_tokens": cap }))
}

/// A request with this prompt and these members more.
fn body(alias: &str, prompt: &str, more: Value) -> String {
    let mut body = json!({"model": alias, "messages": [{"role": "user", "content": prompt}]});
    let (Value::Object(all), Value::Object(more)) = (&mut body, more) else { panic!("two objects") };
    all.extend(more);
    body.to_string()
}

/// Checks that this is the 429 of the API document, with a promise that can be kept, and gives `Retry-After`.
#[track_caller]
fn assert_limited(answer: &Response, alias: &str) -> u64 {
    assert_eq!(answer.status, 429, "{}", answer.everything());
    let expected = json!({"error": {
        "type": "rate_limited",
        "message": format!("The requested model alias '{alias}' is temporarily unavailable."),
        "code": "rate_limited",
    }});
    assert_eq!(answer.json(), expected);
    let number = |name| answer.header(name).map(|value| value.parse::<u64>().expect("a number"));
    let seconds = number("retry-after").expect("a Retry-After");
    assert!(seconds >= 1, "{}", answer.everything());
    match number("retry-after-ms") {
        Some(millis) => {
            assert_eq!(answer.header("x-should-retry"), None);
            assert!(seconds <= 60 && millis >= 1000, "{}", answer.everything());
            // Retry-After is rounded up, so the exact wait lies within the second before it; a fifth may be added.
            let exact = (seconds - 1) * 1000..=seconds * 1200;
            assert!(exact.contains(&millis), "{}", answer.everything());
        }
        None => {
            assert!(seconds > 60, "{}", answer.everything());
            assert_eq!(answer.header("x-should-retry"), Some("false"), "{}", answer.everything());
        }
    }
    seconds
}

/// What is left of a limit, as the metrics have it. `limit` is `kind` or `key/kind` or `pool/kind`.
#[track_caller]
fn left(daemon: &Daemon, tenant: &str, alias: &str, limit: &str) -> u64 {
    let name = format!("byname_limit_remaining{{limit=\"{limit}\",model=\"{alias}\",tenant=\"{tenant}\"}}");
    let value = daemon.metric(&name).unwrap_or_else(|| panic!("{name} is not there"));
    assert!(value >= 0.0 && value.fract() == 0.0, "{name} is {value}");
    value as u64
}

/// Waits until no request is being served, so that all have been settled.
fn settled(daemon: &Daemon) {
    daemon.wait_metric("byname_serving", 0.0);
}
