//! The official OpenAI clients for Python and Node, unchanged, against the real binary.
//!
//! The scripts in `tests/clients` choose the backing model's behaviour by the alias they ask for.

use crate::kit::answers::{
    error_answer, json_answer, sse_answer, sse_events, sse_head, sse_tool_answer, tool_answer,
};
use crate::kit::config::Gateway;
use crate::kit::daemon::Daemon;
use crate::kit::script::{Step, chunk};
use crate::kit::scripts::{self, Language};
use crate::kit::upstream::{Seen, Upstream};
use crate::kit::{KEY, KEY_CHAT_ONLY, KEY_EXPIRED, KEY_MODELS_ONLY, MODEL};

#[test]
fn the_official_python_client_is_served() {
    run(Language::Python, "python");
}

#[test]
fn the_official_node_client_is_served() {
    run(Language::Node, "node");
}

/// Runs a script against a gateway of its own.
fn run(language: Language, script: &str) {
    let (good, failing, cutting) =
        (Upstream::start(answer), Upstream::start(|_| error_answer(500)), cutting());
    let daemon = start(&good, &failing, &cutting);
    let keys = [
        ("BYNAME_KEY", KEY),
        ("BYNAME_KEY_CHAT_ONLY", KEY_CHAT_ONLY),
        ("BYNAME_KEY_MODELS_ONLY", KEY_MODELS_ONLY),
        ("BYNAME_KEY_EXPIRED", KEY_EXPIRED),
    ];
    scripts::run(language, script, &daemon, &keys);
    // Once with retries switched off, and three times when the client may try twice more.
    assert_eq!(failing.requests().len(), 4, "a 502 is retried by the client, and only when it may");
    assert!(
        good.requests().iter().all(|seen| seen.header("authorization").is_none()),
        "no client key goes up"
    );
}

fn start(good: &Upstream, failing: &Upstream, cutting: &Upstream) -> Daemon {
    Gateway::new()
        .backend(good)
        .pool("failing", &[failing])
        .pool("cutting", &[cutting])
        .alias("tools", &[("main", MODEL)])
        .alias("failing", &[("failing", MODEL)])
        .alias("cut", &[("cutting", MODEL)])
        .start()
}

/// A model that answers with text, and with a call of a function when it is given one and has no result yet.
fn answer(seen: &Seen) -> Vec<Step> {
    let request = seen.json();
    let has_result =
        request["messages"].as_array().is_some_and(|messages| messages.iter().any(|m| m["role"] == "tool"));
    match (request["tools"].is_array() && !has_result, seen.wants_stream()) {
        (true, true) => sse_tool_answer("get_weather", &["{\"city\":", "\"東京\"}"]),
        (true, false) => tool_answer("get_weather", "{\"city\":\"東京\"}"),
        (false, true) => sse_answer(&["要点は", "次の3つ", "です。"]),
        (false, false) => json_answer("要点は次の3つです。"),
    }
}

/// A model that dies in the middle of a stream.
fn cutting() -> Upstream {
    let mut steps = vec![sse_head()];
    steps.extend(sse_events(&["要点は"]).iter().take(2).map(chunk));
    steps.push(Step::Close);
    Upstream::always(steps)
}
