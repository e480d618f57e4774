use std::sync::Arc;

use super::super::ids::{Ids, Root};
use super::*;
use crate::error::{Reason, Said};

fn estimate() -> Estimate {
    Estimate { prompt: 3, answer: |delivered| delivered.chars }
}

const ALL: Expose = Expose { logprobs: true, reasoning: true, usage_details: true };

fn ids() -> Arc<Ids> {
    Arc::new(Ids::new(&Root::new(b"s"), "acme", "general"))
}

fn voice() -> Voice {
    Voice::new("2f8c0b9e-6a1d-4c2e-9b3a-7d5e1f0a2b3c", 1_718_841_600, "general", ids())
}

fn seen(body: &str, expose: Expose) -> Result<String, UpstreamFault> {
    rewrite(body.as_bytes(), &voice(), expose, None, estimate)
        .map(|answer| String::from_utf8(answer.body.to_vec()).unwrap())
}

/// What is seen of one choice.
fn choice(json: &str, expose: Expose) -> Result<String, UpstreamFault> {
    let body = seen(&format!(r#"{{"choices":[{json}]}}"#), expose)?;
    let (_, choices) = body.split_once(r#""choices":["#).unwrap();
    Ok(choices.split_once(r#"],"usage":{"#).unwrap().0.to_owned())
}

/// What is seen of one message.
fn message(json: &str, expose: Expose) -> Result<String, UpstreamFault> {
    let choice = choice(&format!(r#"{{"message":{json}}}"#), expose)?;
    let message = choice.strip_prefix(r#"{"index":0,"message":{"role":"assistant","content":"#).unwrap();
    Ok(message.strip_suffix(r#"},"finish_reason":null}"#).unwrap().to_owned())
}

#[test]
fn an_answer_becomes_the_apis_example_byte_for_byte() {
    let theirs = r#"{
        "usage": {"total_tokens": 170, "completion_tokens": 128, "prompt_tokens": 42, "completion_tokens_details": {"reasoning_tokens": 0}},
        "model": "vendor-large-2026-01", "mod\u0065l": "again", "system_fingerprint": "fp_1", "service_tier": "default",
        "choices": [{"finish_reason": "stop", "logprobs": null, "index": 0, "content_filter_results": {},
            "message": {"content": "\u8981\u70b9は次の3つです。…", "annotations": [], "refusal": null, "audio": null, "role": "assistant"}}],
        "id": "chatcmpl-upstream", "created": 1.5, "object": "whatever"
    }"#;
    let ours = concat!(
        r#"{"id":"chatcmpl-2f8c0b9e-6a1d-4c2e-9b3a-7d5e1f0a2b3c","object":"chat.completion","created":1718841600,"model":"general","#,
        r#""choices":[{"index":0,"message":{"role":"assistant","content":"要点は次の3つです。…"},"finish_reason":"stop"}],"#,
        r#""usage":{"prompt_tokens":42,"completion_tokens":128,"total_tokens":170}}"#
    );
    let answer = rewrite(theirs.as_bytes(), &voice(), Expose::default(), None, estimate).unwrap();
    assert_eq!(answer.body, ours);
    assert_eq!(answer.usage.map(|usage| (usage.prompt, usage.completion, usage.total)), Some((42, 128, 170)));
    assert_eq!(answer.delivered, Delivered { bytes: 31, chars: 11 });
    // Our own answers are already what they should be.
    assert_eq!(seen(ours, ALL).unwrap(), ours);
}

#[test]
fn content_is_a_text_and_null_only_beside_a_call_or_a_refusal() {
    for (json, content) in [
        (r#"{"content":"a\/b\u00e9\ud83d\ude00\n"}"#, r#""a/bé😀\n""#),
        ("{\"content\":\"\u{7f}\u{2028}\"}", "\"\u{7f}\u{2028}\""),
        (r#"{"content":null}"#, r#""""#),
        ("{}", r#""""#),
        (r#"{"role":"model","content":""}"#, r#""""#),
        (r#"{"content":[{"type":"text","text":"a"},{"type":"text","text":"b\""}]}"#, r#""ab\"""#),
        (r#"{"content":[{"type":"thinking","thinking":"t"}]}"#, r#""""#),
        (r#"{"content":"","refusal":"no"}"#, r#"null,"refusal":"no""#),
        (r#"{"content":"a","refusal":""}"#, r#""a""#),
    ] {
        assert_eq!(message(json, Expose::default()).unwrap(), content, "{json}");
    }
}

#[test]
fn a_refusal_passes_only_as_a_text() {
    assert_eq!(message(r#"{"refusal":"no"}"#, Expose::default()).unwrap(), r#"null,"refusal":"no""#);
    assert_eq!(message(r#"{"refusal":null}"#, Expose::default()).unwrap(), r#""""#);
    assert_eq!(message(r#"{"refusal":{"a":1}}"#, Expose::default()).unwrap(), r#""""#);
}

#[test]
fn reasoning_passes_under_one_name_and_only_where_exposed() {
    for json in [
        r#"{"content":"a","reasoning_content":"t"}"#,
        r#"{"content":"a","reasoning":"t"}"#,
        r#"{"content":"a","reasoning":"t","reasoning_content":null}"#,
        r#"{"content":[{"type":"thinking","thinking":[{"type":"text","text":"t"}]},{"type":"text","text":"a"}]}"#,
    ] {
        assert_eq!(message(json, Expose::default()).unwrap(), r#""a""#, "{json}");
        assert_eq!(message(json, ALL).unwrap(), r#""a","reasoning_content":"t""#, "{json}");
    }
}

#[test]
fn calls_pass_with_our_ids() {
    assert_eq!(
        message(
            r#"{"tool_calls":[{"id":"x","function":{"name":"f","arguments":{"a": 1}}}],"content":null}"#,
            ALL
        )
        .unwrap(),
        format!(
            r#"null,"tool_calls":[{{"id":"{}","type":"function","function":{{"name":"f","arguments":"{{\"a\":1}}"}}}}]"#,
            ids().downward([0x2f, 0x8c, 0x0b, 0x9e, 0x6a, 0x1d], "x")
        )
    );
    assert_eq!(message(r#"{"tool_calls":[],"content":"a"}"#, ALL).unwrap(), r#""a""#);
    assert_eq!(
        message(r#"{"function_call":{"arguments":"{}","name":"f","x":1}}"#, ALL).unwrap(),
        r#"null,"function_call":{"name":"f","arguments":"{}"}"#
    );
}

#[test]
fn logprobs_pass_only_where_exposed_and_sent() {
    let json = r#"{"message":{"content":"a"},"finish_reason":"length","logprobs":{"content":[{"token":"a","logprob":-1.0,"bytes":[97],"top_logprobs":[]}]}}"#;
    let plain = r#"{"index":0,"message":{"role":"assistant","content":"a"},"finish_reason":"length"}"#;
    assert_eq!(choice(json, Expose::default()).unwrap(), plain);
    assert_eq!(
        choice(json, ALL).unwrap(),
        r#"{"index":0,"message":{"role":"assistant","content":"a"},"finish_reason":"length","logprobs":{"content":[{"token":"a","logprob":-1.0,"bytes":[97],"top_logprobs":[]}],"refusal":null}}"#
    );
    assert_eq!(choice(&json.replace("{\"content\":[{", "null,\"x\":{\"content\":[{"), ALL).unwrap(), plain);
}

#[test]
fn a_choice_without_an_index_is_known_by_its_place() {
    let body = seen(
        r#"{"choices":[{"message":{"content":"a"}},{"message":{"content":"b"}},{"index":7.0,"message":{}}]}"#,
        ALL,
    )
    .unwrap();
    for part in [
        r#""index":0,"message":{"role":"assistant","content":"a""#,
        r#""index":1,"message":{"role":"assistant","content":"b""#,
        r#""index":7"#,
    ] {
        assert!(body.contains(part), "{body}");
    }
}

#[test]
fn whether_the_model_counts_tokens_does_not_show_and_is_known_here() {
    for usage in ["", r#","usage":null"#, r#","usage":{}"#] {
        let body = format!(r#"{{"choices":[{{"message":{{"content":"要点"}}}}]{usage}}}"#);
        let answer = rewrite(body.as_bytes(), &voice(), ALL, None, estimate).unwrap();
        assert_eq!(answer.usage, None);
        let ours =
            r#""finish_reason":null}],"usage":{"prompt_tokens":3,"completion_tokens":2,"total_tokens":5}}"#;
        assert!(answer.body.ends_with(ours.as_bytes()), "{:?}", answer.body);
    }
}

#[test]
fn each_fault_has_its_name() {
    for (body, fault) in [
        ("", UpstreamFault::BadJson),
        ("data: {}\n\n", UpstreamFault::BadJson),
        ("<html>", UpstreamFault::BadJson),
        (r#"{"choices":[{"message":{"content":"a"}}]"#, UpstreamFault::BadJson),
        (r#"{"choices":[{"message":{"content":"\udead"}}]}"#, UpstreamFault::BadJson),
        ("[]", UpstreamFault::BadShape),
        ("{}", UpstreamFault::BadShape),
        (r#"{"choices":null}"#, UpstreamFault::BadShape),
        (r#"{"choices":[]}"#, UpstreamFault::BadShape),
        (r#"{"choices":[{}]}"#, UpstreamFault::BadShape),
        (r#"{"choices":[{"text":"a"}]}"#, UpstreamFault::BadShape),
        (r#"{"choices":[{"delta":{"content":"a"}}]}"#, UpstreamFault::BadShape),
        (r#"{"choices":[{"message":"a"}]}"#, UpstreamFault::BadShape),
        (r#"{"choices":[{"index":-1,"message":{}}]}"#, UpstreamFault::BadShape),
    ] {
        assert_eq!(seen(body, ALL), Err(fault), "{body}");
    }
    assert_eq!(rewrite(b"{\"a\":\"\xc3\"}", &voice(), ALL, None, estimate), Err(UpstreamFault::BadJson));
}

#[test]
fn an_error_behind_a_success_says_why() {
    for (body, reason, status) in [
        (r#"{"error":{"message":"m"}}"#, Reason::Other, None),
        (r#"{"error":"m"}"#, Reason::Other, None),
        (r#"{"error":{},"choices":[{"message":{"content":"a"}}]}"#, Reason::Other, None),
        (r#"{"choices":[{"message":{"content":"a"},"finish_reason":"error"}]}"#, Reason::Other, None),
        (r#"{"choices":[{"finish_reason":"error"}]}"#, Reason::Other, None),
        (
            r#"{"choices":[{"message":{"content":"a"},"finish_reason":"error","error":{"code":502}}]}"#,
            Reason::Other,
            Some(502),
        ),
        (r#"{"choices":[{"error":{"code":429,"message":"Rate limit"}}]}"#, Reason::RateLimited, Some(429)),
        (r#"{"error":{"code":"content_filter","innererror":{}}}"#, Reason::ContentPolicy, None),
        (
            r#"{"error":{"code":403,"message":"m","metadata":{"reasons":["x"],"flagged_input":"y"}}}"#,
            Reason::ContentPolicy,
            Some(403),
        ),
        (r#"{"error":{"code":402,"message":"Insufficient credits"}}"#, Reason::Quota, Some(402)),
    ] {
        assert_eq!(seen(body, ALL), Err(UpstreamFault::ErrorInAnswer(Said { reason, status })), "{body}");
    }
    assert!(seen(r#"{"choices":[{"message":{"content":"a"},"error":null}]}"#, ALL).is_ok());
}
