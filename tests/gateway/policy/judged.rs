//! What of a request a moderator is asked about, and what becomes of what it cannot judge.

use serde_json::{Value, json};

use super::moderator::{asked, model, outcomes, strict};
use super::setup::Setup;
use super::{ask, assert_blocked};
use crate::kit::client::chat_request;
use crate::kit::process::soon;
use crate::kit::script::Step;
use crate::kit::upstream::Upstream;
use crate::kit::{DEADLINE, KEY};

/// A request with these messages.
fn messages(messages: &Value) -> String {
    json!({"model": "general", "messages": messages}).to_string()
}

/// One whose last message is a call, and what came of it.
fn call(call: &Value, result: &str) -> String {
    messages(&json!([
        {"role": "assistant", "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "c", "content": result},
    ]))
}

fn with_parts(parts: &Value) -> String {
    messages(&json!([{"role": "user", "content": parts}]))
}

fn picture(url: &str) -> Value {
    json!({"type": "image_url", "image_url": {"url": url}})
}

#[test]
fn it_is_asked_about_all_that_a_model_reads() {
    let (model, moderator) = (model(), strict());
    let daemon = Setup::new(&[&model], &asked(&moderator, ", timeout: 8s")).start();
    let user = json!([{"role": "user", "content": "x"}]);
    let tools = |tool: Value| json!({"model": "general", "messages": user, "tools": [tool]}).to_string();
    let answered = |more: Value| {
        let mut answer = json!({"role": "assistant"});
        answer.as_object_mut().expect("a map").extend(more.as_object().expect("a map").clone());
        messages(&json!([{"role": "user", "content": "x"}, answer]))
    };
    let schema = json!({"type": "object", "properties": {"a": {"description": "bad"}}});
    let escaped = json!({"id": "c", "type": "function", "function": {"name": "f", "arguments": "{\"q\":\"b\\u0061d\"}"}});
    for (name, body) in [
        ("content", ask("bad")),
        ("a tool's name", tools(json!({"type": "function", "function": {"name": "bad"}}))),
        ("a tool's description", tools(json!({"type": "function", "function": {"name": "f", "description": "bad"}}))),
        ("a tool's schema", tools(json!({"type": "function", "function": {"name": "f", "parameters": schema}}))),
        ("arguments", call(&json!({"id": "c", "type": "function", "function": {"name": "f", "arguments": "bad"}}), "")),
        ("escapes in arguments", call(&escaped, "")),
        ("free input", call(&json!({"id": "c", "type": "custom", "custom": {"name": "f", "input": "bad"}}), "z")),
        ("a tool's result", call(&json!({"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}), "bad")),
        ("a refusal", answered(json!({"refusal": "bad"}))),
        ("reasoning", answered(json!({"content": "y", "reasoning_content": "bad"}))),
        ("a name", messages(&json!([{"role": "user", "name": "bad", "content": "x"}]))),
        ("a prediction", json!({"model": "general", "messages": user, "prediction": {"type": "content", "content": "bad"}}).to_string()),
    ] {
        let before = moderator.requests().len();
        assert_blocked(&daemon.client().chat(&body), name);
        assert_eq!(moderator.requests().len() - before, 1, "{name}");
        assert_eq!(daemon.client().chat(&body.replace("bad", "good").replace("b\\\\u0061d", "good")).status, 200, "{name}");
    }
    assert_eq!((outcomes(&daemon, "flagged"), outcomes(&daemon, "clean")), (12.0, 12.0));
}

#[test]
fn pictures_are_shown_one_by_one_to_whom_can_judge_them() {
    let (model, moderator) = (model(), strict());
    let more = ", timeout: 8s, modalities: [ text, image ], model: omni";
    let daemon = Setup::new(&[&model], &asked(&moderator, more)).start();
    let (good, bad) = (picture("https://x/good"), picture("data:image/png;base64,bad"));
    let body = with_parts(&json!([good, {"type": "text", "text": "look"}, good]));
    assert_eq!(daemon.client().chat(&body).status, 200);
    let mut seen: Vec<String> =
        moderator.wait_requests(3).iter().map(|seen| seen.json()["input"].to_string()).collect();
    seen.sort();
    let picture = json!([good]).to_string();
    assert_eq!(seen, [r#"["look"]"#.to_owned(), picture.clone(), picture]);
    assert!(moderator.requests().iter().all(|seen| seen.json()["model"] == "omni"));
    assert_blocked(&daemon.client().chat(&with_parts(&json!([bad]))), "alone");
    assert_blocked(
        &daemon.client().chat(&with_parts(&json!([good, good, good, good, good, good, bad]))),
        "the last",
    );
    assert_eq!((outcomes(&daemon, "clean"), outcomes(&daemon, "flagged")), (1.0, 2.0));
}

#[test]
fn what_it_cannot_judge_is_refused_or_passes_as_configured() {
    let sound = json!({"type": "input_audio", "input_audio": {"data": "AAAA", "format": "wav"}});
    let file = json!({"type": "file", "file": {"filename": "good", "file_data": "data:,x"}});
    let text = json!({"type": "text", "text": "bad"});
    for (name, more, part) in [
        ("a picture", "", picture("https://x/good")),
        ("a sound", ", modalities: [ text, image ]", sound),
        ("a file", ", modalities: [ text, image ]", file),
    ] {
        let (model, moderator) = (model(), strict());
        let more = format!(", timeout: 8s{more}");
        let daemon = Setup::new(&[&model], &asked(&moderator, &more)).start();
        assert_blocked(&daemon.client().chat(&with_parts(&json!([part]))), name);
        assert_eq!((moderator.requests().len(), model.requests().len()), (0, 0), "{name}");
        let line = &daemon.log_lines(1)[0];
        assert_eq!(line["reason"], "blocked_unjudged", "{name}");
        assert_eq!(outcomes(&daemon, "unjudged"), 1.0, "{name}");

        let daemon = Setup::new(&[&model], &asked(&moderator, &format!("{more}, on_failure: allow"))).start();
        assert_eq!(daemon.client().chat(&with_parts(&json!([part]))).status, 200, "{name}");
        assert_blocked(&daemon.client().chat(&with_parts(&json!([part, text]))), name);
        assert_eq!((outcomes(&daemon, "unjudged"), outcomes(&daemon, "flagged")), (2.0, 1.0), "{name}");
    }
}

#[test]
fn what_it_is_asked_about_counts_as_memory_until_nobody_waits() {
    let (model, moderator) = (model(), Upstream::always(vec![Step::Stall]));
    let daemon = Setup::new(&[&model], &asked(&moderator, ", timeout: 60s"))
        .server("max_body: 64KiB")
        .server("max_buffered: 128KiB")
        .start();
    // Itself, and twice itself for the moderator.
    let long = ask(&"a".repeat(60 * 1024));
    let mut client = daemon.client();
    client.send(&chat_request(KEY, &ask(&"a".repeat(30 * 1024))));
    moderator.wait_requests(1);
    let mut taken = None;
    // Once more while it is written; what was written is let go.
    let settled = soon(DEADLINE, || {
        taken = daemon.metric("byname_body_bytes");
        taken.is_some_and(|taken| (60.0 * 1024.0..68.0 * 1024.0).contains(&taken))
    });
    assert!(settled, "{taken:?}");
    let mut other = daemon.client();
    let answer = other.chat(&long);
    assert_eq!((answer.status, &answer.json()["error"]["code"]), (503, &json!("service_unavailable")));
    assert_eq!(daemon.metric("byname_cap_exceeded_total{cap=\"max_buffered\"}"), Some(1.0));
    assert_eq!(other.chat(&long.replace("general", "free")).status, 200);
    // Answered, and counted.
    daemon.log_lines(2);
    drop(client);
    assert!(moderator.wait_closed(0, DEADLINE), "it was not left");
    daemon.wait_metric("byname_body_bytes", 0.0);
    let lines = daemon.log_lines(3);
    assert_eq!((&lines[0]["reason"], &lines[2]["status"]), (&json!("max_buffered"), &json!(499)));
    assert_eq!(outcomes(&daemon, "timeout") + outcomes(&daemon, "error"), 0.0);
}
