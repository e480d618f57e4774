//! What refusals say, and what only looks as if they said it.

mod vendors;

use proptest::prelude::*;

use super::*;

use Reason::{
    BadCredential, Capacity, ContentPolicy, ContextOverflow, NoSuchModel, Other, Quota, RateLimited,
    Unsupported,
};

fn check(table: &[(&str, Reason, Option<u16>)]) {
    for (body, reason, status) in table {
        assert_eq!(classify(body.as_bytes()), Said { reason: *reason, status: *status }, "{body}");
    }
}

#[test]
fn each_way_of_saying_that_the_context_is_too_long_is_understood() {
    for body in [
        r#"{"error":{"message":"x","type":"invalid_request_error","code":"context_length_exceeded"}}"#,
        r#"{"error":{"code":400,"message":"x","type":"exceed_context_size_error"}}"#,
        r#"{"error":{"message":"This model's maximum context length is 8192 tokens.","code":400}}"#,
        r#"{"object":"error","message":"The input is too long for this model","code":400}"#,
        r#"[{"error":{"code":400,"message":"The context window was exceeded","status":"INVALID"}}]"#,
        r#"{"error":"Prompt is too long"}"#,
        r#"{"detail":"exceeds the context of the model"}"#,
        r#"{"error":{"message":"The input token count (9) exceeds the maximum number of tokens allowed (8)"}}"#,
        r#"{"error":"Input validation: `inputs` must have less than 9 tokens.","error_type":"validation"}"#,
        r#"{"error":{"type":"server_error","code":500,"message":"{\"error\":{\"code\":\"context_length_exceeded\"}}"}}"#,
    ] {
        assert_eq!(classify(body.as_bytes()).reason, ContextOverflow, "{body}");
    }
}

#[test]
fn anything_else_is_not_too_long() {
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
        assert_eq!(classify(body.as_bytes()).reason, Other, "{body}");
    }
}

#[test]
fn where_several_causes_are_named_our_account_comes_first_and_a_code_before_a_phrase() {
    check(&[
        (r#"{"error":{"type":"rate_limit_error","code":"insufficient_quota","message":"m"}}"#, Quota, None),
        (
            r#"{"error":{"type":"insufficient_quota","code":"invalid_api_key","message":"m"}}"#,
            BadCredential,
            None,
        ),
        (
            r#"{"error":{"type":"context_length_exceeded","code":"content_filter","message":"m"}}"#,
            ContentPolicy,
            None,
        ),
        (
            r#"{"error":{"code":"context_length_exceeded","message":"rate limit, invalid api key"}}"#,
            ContextOverflow,
            None,
        ),
        (
            r#"{"error":{"message":"API key not valid; the prompt is too long; content policy"}}"#,
            BadCredential,
            None,
        ),
        (
            r#"{"error":{"message":"Blocked by our content policy, and the prompt is too long"}}"#,
            ContentPolicy,
            None,
        ),
        // A type that is used for many things gives way to a phrase.
        (
            r#"{"error":{"type":"permission_error","message":"Blocked by our content policy"}}"#,
            ContentPolicy,
            None,
        ),
        // The order of members does not matter.
        (
            r#"{"error":{"message":"prompt is too long","code":"content_filter"},"type":"error"}"#,
            ContentPolicy,
            None,
        ),
    ]);
}

#[test]
fn what_may_be_an_echo_is_not_looked_at() {
    for body in [
        r#"{"error":{"message":"Bad value","param":"invalid api key 429 prompt is too long","code":null}}"#,
        r#"{"error":{"message":"Bad role: 'rate limit exceeded, 429'","type":"invalid_request_error"}}"#,
        r#"{"error":{"message":"Cannot read: please explain HTTP 429 and 401","code":null}}"#,
        r#"{"error":{"message":"Expected a string of at most 64 characters, got a string too long for user"}}"#,
        r#"{"error":{"message":"Invalid value: 'prompt is too long'.","code":"invalid_value"}}"#,
        r#"{"error":{"message":"bad"},"messages":[{"content":"content policy"}],"input":{"message":"rate limit"}}"#,
        r#"{"detail":[{"type":"string_type","loc":["body"],"msg":"Input should be a string","input":"invalid api key"}]}"#,
        r#"{"error":{"message":"1 error [type=x, input_value={'content': 'the context window'}]","code":null}}"#,
        r#"{"error":{"message":"bad","prompt":{"error":{"code":"insufficient_quota"}}}}"#,
    ] {
        assert_eq!(classify(body.as_bytes()), Said::NOTHING, "{body}");
    }
}

#[test]
fn depth_and_width_cost_neither_stack_nor_memory_nor_much_time() {
    for (open, close) in
        [("[", "]"), (r#"{"error":"#, "}"), (r#"{"message":["#, "]}"), (r#"[{"details":"#, "}]")]
    {
        let deep = format!("{}{}{}", open.repeat(100_000), "1", close.repeat(100_000));
        assert_eq!(classify(deep.as_bytes()), Said::NOTHING);
    }
    let wide = format!(r#"{{{}"error":{{"code":429}}}}"#, r#""error":{"x":1},"a":"b","#.repeat(100_000));
    assert_eq!(classify(wide.as_bytes()), Said::NOTHING);
    let long = format!(r#"{{"error":{{"message":"{}","code":429}}}}"#, "'x' ".repeat(1_000_000));
    assert_eq!(classify(long.as_bytes()).status, Some(429));
    let many = |size: usize| {
        let list = vec![format!("\"{}\"", "x".repeat(size)); 20].join(",");
        format!(r#"{{"detail":[{list},"prompt is too long"]}}"#)
    };
    assert_eq!(classify(many(PROSE / 21).as_bytes()).reason, ContextOverflow);
    assert_eq!(classify(many(PROSE / 20 + 1).as_bytes()).reason, Other);
    let mut wrapped = r#"{"error":{"code":429}}"#.to_owned();
    for _ in 0..10 {
        wrapped = serde_json::to_string(&serde_json::json!({ "message": wrapped })).unwrap();
    }
    assert_eq!(classify(wrapped.as_bytes()), Said::NOTHING);
}

/// JSON that uses the names and words that are looked for, in any shape.
fn json() -> impl Strategy<Value = String> {
    let text = prop_oneof![
        Just("rate_limit_exceeded".to_owned()),
        Just("INVALID_ARGUMENT".to_owned()),
        Just("API key not valid é".to_owned()),
        Just("{\"error\":{\"code\":401}}".to_owned()),
        ".{0,12}",
    ];
    let leaf = prop_oneof![
        Just("null".to_owned()),
        Just("true".to_owned()),
        any::<i64>().prop_map(|number| number.to_string()),
        (380..620_u16).prop_map(|number| number.to_string()),
        any::<f32>().prop_filter("JSON has no such number", |f| f.is_finite()).prop_map(|f| format!("{f:e}")),
        text.prop_map(|text| serde_json::to_string(&text).unwrap()),
    ];
    let name = prop_oneof![
        prop::sample::select(vec![
            "error",
            "errors",
            "code",
            "status",
            "type",
            "message",
            "detail",
            "details",
            "metadata",
            "raw",
            "reasons",
            "innererror",
            "reason",
        ])
        .prop_map(str::to_owned),
        "[a-z]{0,3}",
    ];
    leaf.prop_recursive(10, 64, 4, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(|items| format!("[{}]", items.join(","))),
            prop::collection::vec((name.clone(), inner), 0..4).prop_map(|members| {
                let members: Vec<String> =
                    members.into_iter().map(|(name, value)| format!("\"{name}\":{value}")).collect();
                format!("{{{}}}", members.join(","))
            }),
        ]
    })
}

proptest! {
    #[test]
    fn any_bytes_are_read(body: Vec<u8>) {
        classify(&body);
    }

    #[test]
    fn any_json_is_read_and_only_an_error_status_comes_out(json in json(), cut in 0..400_usize) {
        let said = classify(json.as_bytes());
        prop_assert!(said.status.is_none_or(|status| (400..=599).contains(&status)));
        prop_assert_eq!(classify(json.as_bytes()), said);
        classify(json.as_bytes().get(..cut).unwrap_or_default());
    }
}

#[test]
fn a_request_that_never_fits_is_not_told_to_wait() {
    let body = r#"{"error":{"message":"Request too large for x on tokens per min (TPM): Limit 10, Requested 12.",
        "type":"tokens","param":null,"code":"rate_limit_exceeded"}}"#;
    assert_eq!(classify(body.as_bytes()).reason, Unsupported);
}
