//! Every place of a request that a model may read is looked at, whatever it is called.

use serde_json::{Value, json};

use super::setup::Setup;
use super::{assert_blocked, parrot, with};

const POLICY: &str = "deny: [ { words: [ bomb, object, string, auto, image, base64, wav ] } ]";

fn body(more: Value) -> String {
    with(json!({"role": "user", "content": "x"}), more)
}

fn said(message: Value) -> String {
    with(message, json!({}))
}

fn parameters(parameters: Value) -> String {
    body(json!({"tools": [{"type": "function", "function": {"name": "f", "parameters": parameters}}]}))
}

#[test]
fn a_name_that_gives_things_their_form_hides_nothing() {
    let upstream = parrot();
    let daemon = Setup::new(&[&upstream], POLICY).start();
    let bad = "make a bomb";
    let grammar =
        json!({"type": "grammar", "grammar": {"syntax": "lark", "definition": "start: \"make a bomb\""}});
    for (place, body) in [
        (
            "a grammar",
            body(json!({"tools": [{"type": "custom", "custom": {"name": "f", "format": grammar}}]})),
        ),
        ("format", parameters(json!({"type": "object", "format": bad}))),
        ("a property's format", parameters(json!({"properties": {"a": {"type": "string", "format": bad}}}))),
        ("a property's type", parameters(json!({"properties": {"a": {"type": bad}}}))),
        ("$id", parameters(json!({ "$id": bad }))),
        ("$ref", parameters(json!({ "$ref": bad }))),
        ("an object called id", parameters(json!({"type": "object", "id": {"description": bad}}))),
        ("an array called mode", parameters(json!({ "mode": [bad] }))),
        ("a default's type", parameters(json!({"properties": {"a": {"default": {"type": bad}}}}))),
        ("an id of no call", parameters(json!({ "tool_call_id": bad }))),
        ("a tool's id", body(json!({"tools": [{"type": "function", "id": bad, "function": {"name": "f"}}]}))),
        (
            "the mode of a choice",
            body(
                json!({"tool_choice": {"type": "allowed_tools", "allowed_tools": {"mode": bad, "tools": []}}}),
            ),
        ),
        (
            "the format of an answer",
            body(
                json!({"response_format": {"type": "json_schema", "json_schema": {"name": "n", "schema": {"format": bad}}}}),
            ),
        ),
        ("a prediction", body(json!({"prediction": {"type": "content", "content": "x", "format": bad}}))),
        ("a key of logit_bias", body(json!({"logit_bias": {bad: 100}}))),
        ("a message's member", said(json!({"role": "user", "content": "x", "thinking": {"type": bad}}))),
        (
            "a part that is something else, too",
            said(
                json!({"role": "user", "content": [{"type": "text", "text": "x", "file": {"file_data": bad}}]}),
            ),
        ),
        (
            "no picture",
            said(json!({"role": "user", "content": [{"type": "image_url", "image_url": {"url": bad}}]})),
        ),
        (
            "a file that is text",
            said(
                json!({"role": "user", "content": [{"type": "file", "file": {"file_data": "data:text/plain,make a bomb"}}]}),
            ),
        ),
    ] {
        assert_blocked(&daemon.client().chat(&body), place);
    }
    assert!(upstream.requests().is_empty());
}

#[test]
fn what_gives_an_ordinary_request_its_form_is_no_text() {
    let upstream = parrot();
    let daemon = Setup::new(&[&upstream], POLICY).start();
    let city = json!({"type": ["string", "null"], "format": "date"});
    let picture =
        json!({"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA", "detail": "auto"}});
    let sound = json!({"type": "input_audio", "input_audio": {"data": "AAAA", "format": "wav"}});
    for body in [
        parameters(json!({"type": "object", "properties": {"city": city}, "additionalProperties": false})),
        body(json!({"tool_choice": "auto"})),
        said(json!({"role": "user", "content": [{"type": "text", "text": "x"}, picture, sound]})),
        body(json!({"logit_bias": {"50256": -100}})),
    ] {
        assert_eq!(daemon.client().chat(&body).status, 200, "{body}");
    }
}

#[test]
fn options_have_no_room_for_texts() {
    let upstream = parrot();
    let daemon = Setup::new(&[&upstream], POLICY).start();
    for (field, value) in [
        ("reasoning_effort", json!("make a bomb")),
        ("verbosity", json!("make a bomb")),
        ("modalities", json!(["make a bomb"])),
        ("prompt_cache_retention", json!("make a bomb")),
        ("prompt_cache_options", json!({"key": "make a bomb"})),
    ] {
        // With a policy and without one.
        for alias in ["general", "free"] {
            let answer = daemon
                .client()
                .chat(&body(json!({ field: value })).replace("\"general\"", &format!("{alias:?}")));
            assert_eq!(answer.status, 400, "{field}: {}", answer.everything());
            assert!(answer.text().contains(&format!("`{field}")), "{}", answer.text());
        }
    }
    for option in [json!({"reasoning_effort": "bomb"}), json!({"prompt_cache_options": {"mode": "bomb"}})] {
        assert_blocked(&daemon.client().chat(&body(option)), "a word is looked at, too");
    }
    assert!(upstream.requests().is_empty());
    let usual = json!({"reasoning_effort": "xhigh", "verbosity": "low", "modalities": ["text"],
        "prompt_cache_retention": "24h", "prompt_cache_options": {"mode": "explicit", "ttl": "30m"}});
    assert_eq!(daemon.client().chat(&body(usual.clone())).status, 200);
    let up = upstream.requests()[0].json();
    for (name, value) in usual.as_object().expect("an object") {
        assert_eq!(&up[name], value, "{name}");
    }
}

#[test]
fn nothing_that_a_provider_keeps_can_be_named() {
    let upstream = parrot();
    let daemon = Setup::new(&[&upstream], POLICY).start();
    for (message, field) in [
        (json!({"role": "assistant", "content": "x", "audio": {"id": "audio-of-b"}}), "`messages[0].audio`"),
        (
            json!({"role": "user", "content": [{"type": "file", "file": {"file_id": "file-of-b"}}]}),
            "`messages[0].content[0].file.file_id`",
        ),
    ] {
        for alias in ["general", "free"] {
            let body = said(message.clone()).replace("\"general\"", &format!("{alias:?}"));
            let answer = daemon.client().chat(&body);
            assert_eq!(answer.status, 400, "{}", answer.everything());
            assert!(answer.text().contains(field) && !answer.text().contains("of-b"), "{}", answer.text());
        }
    }
    assert!(upstream.requests().is_empty());
}
