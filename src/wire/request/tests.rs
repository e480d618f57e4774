use super::*;

mod against_serde;
mod fields;
mod messages;

/// The sentence that a refused body gets.
fn complaint(body: &str) -> String {
    match check(body.as_bytes()) {
        Ok(_) => panic!("accepted: {body}"),
        Err(why) => why.to_string(),
    }
}

/// A legal body with more members at its end.
fn with(members: &str) -> String {
    format!(r#"{{"model":"general","messages":[{{"role":"user","content":"hi"}}],{members}}}"#)
}

/// A legal body with these messages.
fn talk(messages: &str) -> String {
    format!(r#"{{"model":"general","messages":{messages}}}"#)
}

fn accepted(body: &str) -> ChatRequest {
    check(body.as_bytes()).unwrap_or_else(|why| panic!("{why} {body}"))
}

const NOT_JSON: &str = "The body is not valid JSON.";

#[test]
fn the_smallest_request_is_read() {
    let request = accepted(
        r#"{
"model": "general",
"messages": [
{
"role": "user",
"content": "月次レポートの要点を3つにまとめてください。"
}
]
}"#,
    );
    assert_eq!(request.alias(), "general");
    assert_eq!(request.delivery(), Delivery::Whole);
    assert!(!request.usage_asked());
    assert_eq!(request.choices(), 1);
    assert_eq!(request.answer_cap(), None);
    assert_eq!(request.messages(), 1);
}

#[test]
fn what_a_request_asks_for_is_remembered() {
    let request = accepted(
        r#"{"stream":true,"stream_options":{"include_usage":true},"n":2.0,"max_tokens":5,
        "messages":[{"role":"system","content":"a"},{"role":"user","content":"b"}],
        "mod\u0065l":"\u6708\u6b21 \"x\"","max_completion_tokens":1e2}"#,
    );
    assert_eq!(request.alias(), "月次 \"x\"");
    assert_eq!(request.delivery(), Delivery::Stream);
    assert!(request.usage_asked());
    assert_eq!(request.choices(), 2);
    assert_eq!(request.answer_cap(), Some(200));
    assert_eq!(request.messages(), 2);
    assert_eq!(accepted(&with(r#""max_tokens":5"#)).answer_cap(), Some(5));
    assert_eq!(accepted(&with(r#""max_tokens":5,"max_completion_tokens":null"#)).answer_cap(), Some(5));
    assert_eq!(accepted(&with(r#""n":128,"max_tokens":2147483647"#)).answer_cap(), Some(128 * 2_147_483_647));
}

#[test]
fn a_body_that_is_no_json_object_is_refused() {
    for body in ["", " ", "\n\t", "{", "{]", "nul", "{\"model\"}", "{'model':'x'}"] {
        assert_eq!(complaint(body), NOT_JSON, "{body}");
    }
    for body in ["null", "[]", "\"x\"", "42", " true ", "[{\"model\":\"general\"}]"] {
        assert_eq!(complaint(body), "The body must be a JSON object.", "{body}");
    }
    assert_eq!(complaint("{}"), "`model` is required.");
    assert_eq!(complaint(r#"{"model":"general"}"#), "`messages` is required.");
}

#[test]
fn trailing_bytes_comments_and_commas_are_refused() {
    let body = with(r#""n":1"#);
    assert!(check(format!(" {body}\r\n").as_bytes()).is_ok());
    for (after, sentence) in [
        ("x", "The body has something behind its JSON value."),
        (",", "The body has something behind its JSON value."),
        ("{}", "The body has something behind its JSON value."),
        ("\0", "The body has something behind its JSON value."),
        ("// c", "The body has something behind its JSON value."),
    ] {
        assert_eq!(complaint(&format!("{body}{after}")), sentence);
    }
    for members in [r#""n":1,"#, r#"/**/"n":1"#, "'n':1", "n:1", r#","n":1"#, r#""n":1 "top_p":1"#] {
        assert_eq!(complaint(&with(members)), NOT_JSON, "{members}");
    }
}

#[test]
fn only_utf_8_without_a_mark_is_read() {
    let body = with(r#""n":1"#);
    let refused = |bytes: &[u8]| check(bytes).unwrap_err().to_string();
    assert_eq!(
        refused(format!("\u{feff}{body}").as_bytes()),
        "The body must not begin with a byte order mark."
    );
    let little: Vec<u8> = body.encode_utf16().flat_map(u16::to_le_bytes).collect();
    let big: Vec<u8> = body.encode_utf16().flat_map(u16::to_be_bytes).collect();
    assert_eq!(refused(&little), NOT_JSON);
    assert_eq!(refused(&big), NOT_JSON);
    assert_eq!(refused(&[b"\xff\xfe", &little[..]].concat()), "The body is not UTF-8.");
    assert_eq!(refused(&[b"\xfe\xff", &big[..]].concat()), "The body is not UTF-8.");
    for invalid in [&b"\x80"[..], b"\xc0\xaf", b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b"\xe6\x9c"] {
        for place in ["\"user\":\"", "\"unknown\":\"", "\"unknown\":[{\""] {
            let broken = [with(place).as_bytes(), invalid].concat();
            assert_eq!(refused(&broken), "The body is not UTF-8.");
        }
    }
}

#[test]
fn bad_strings_and_numbers_are_refused_in_members_we_know_and_in_those_we_do_not() {
    for name in ["user", "unknown"] {
        for (text, sentence) in [
            (r"\ud800", "The body has half of a surrogate pair in a string."),
            (r"x\udc00", "The body has half of a surrogate pair in a string."),
            (r"\ud83d\u0041", "The body has half of a surrogate pair in a string."),
            ("a\nb", "The body has a control character in a string; it must be escaped."),
            ("\0", "The body has a control character in a string; it must be escaped."),
            (r"\x", "The body has an unknown escape in a string."),
            (r"\u12", "The body has an unknown escape in a string."),
        ] {
            assert_eq!(complaint(&with(&format!("\"{name}\":\"{text}\""))), sentence, "{name} {text:?}");
        }
        assert!(check(with(&format!(r#""{name}":"\u0000\ud83d\ude00\u007f""#)).as_bytes()).is_ok());
    }
    for bad in ["NaN", "Infinity", "-Infinity", "+1", "01", "1.", ".5", "1e", "0x10", "1_000", "-"] {
        for value in [bad.to_owned(), format!("[{bad}]"), format!("{{\"a\":{bad}}}")] {
            assert!(check(with(&format!("\"unknown\":{value}")).as_bytes()).is_err(), "{value}");
        }
        assert!(check(with(&format!("\"temperature\":{bad}")).as_bytes()).is_err(), "{bad}");
    }
    assert!(complaint(&with(r#""temperature":1e999"#)).contains("between 0 and 2"));
    assert!(check(with(r#""unknown":[1e999,-1e999,1e-999]"#).as_bytes()).is_ok());
}

#[test]
fn nesting_is_counted_from_the_outermost_object() {
    let nested = |depth: usize| with(&format!("\"x\":{}{}", "[".repeat(depth - 1), "]".repeat(depth - 1)));
    assert!(check(nested(127).as_bytes()).is_ok());
    for depth in [128, 100_000] {
        assert_eq!(complaint(&nested(depth)), "The body is nested deeper than 127 levels.");
    }
    let schema = |depth: usize| {
        let inner = depth - 4;
        let parameters = format!("{}1{}", "{\"a\":".repeat(inner), "}".repeat(inner));
        with(&format!(
            r#""tools":[{{"type":"function","function":{{"name":"f","parameters":{parameters}}}}}]"#
        ))
    };
    assert!(check(schema(127).as_bytes()).is_ok());
    assert_eq!(complaint(&schema(128)), "The body is nested deeper than 127 levels.");
    for open in ["[", "{\"a\":"] {
        assert_eq!(complaint(&open.repeat(100_000)), "The body is nested deeper than 127 levels.");
    }
}

#[test]
fn no_member_comes_twice_at_the_top_however_it_is_spelled() {
    for (name, value) in [
        ("model", "\"other\""),
        ("messages", "[]"),
        ("stream", "true"),
        ("stream", "null"),
        ("temperature", "1"),
    ] {
        let last = name.chars().last().unwrap();
        let head = name.strip_suffix(last).unwrap();
        let escaped = format!("{head}\\u{:04x}", u32::from(last));
        for again in [name.to_owned(), escaped] {
            let body = with(&format!("\"stream\":false,\"temperature\":0,\"{again}\":{value}"));
            assert_eq!(complaint(&body), format!("`{name}` must not be given twice."), "{body}");
        }
    }
    let twice = "The body has the same member twice.";
    assert_eq!(complaint(&with(r#""x":1,"x":1"#)), twice);
    assert_eq!(complaint(&with(r#""x":1,"y":2,"\u0078":1"#)), twice);
    assert_eq!(complaint(&with(r#""":1,"":1"#)), twice);
    assert!(check(with(r#""x":{"a":1,"a":2},"y":{"a":1}"#).as_bytes()).is_ok());
    let models = r#""Model":1,"model\u0000":1," model":1"#;
    assert!(check(with(models).as_bytes()).is_ok());
    assert_eq!(complaint(&format!("{{{models}}}")), "`model` is required.");
}

#[test]
fn a_hundred_thousand_members_are_read_and_one_that_comes_again_is_found() {
    let many: Vec<String> = (0..100_000).map(|number| format!("\"k{number}\":0")).collect();
    let many = many.join(",");
    assert!(check(with(&many).as_bytes()).is_ok());
    assert_eq!(complaint(&with(&format!("{many},\"k77777\":0"))), "The body has the same member twice.");
    assert_eq!(
        complaint(&talk(&format!("[{{{many},\"k77777\":0}}]"))),
        "`messages[0]` must not have the same member twice."
    );
}

#[test]
fn a_complaint_never_repeats_what_the_client_wrote() {
    for body in [
        with(r#""canary":1,"canary":2"#),
        with(r#""metadata":{"canary":1}"#),
        with(r#""logit_bias":{"canary":"canary"}"#),
        with(r#""tool_choice":"canary""#),
        with(r#""unknown":canary"#),
        talk(r#"[{"role":"canary","content":"x"}]"#),
        talk(r#"[{"role":"user","content":[{"type":"canary"}]}]"#),
        talk(r#"[{"canary":1,"canary":2}]"#),
    ] {
        assert!(!complaint(&body).contains("canary"), "{body}");
    }
}

#[test]
fn an_accepted_body_is_refused_when_it_is_cut_anywhere() {
    let body = with(
        r#""tools":[{"type":"function","function":{"name":"f"}}],"x":[1.5e3,"\ud83d\ude00",{"a":null}],"seed":-12"#,
    );
    accepted(&body);
    for end in 0..body.len() {
        assert!(check(&body.as_bytes()[..end]).is_err(), "{}", &body[..end]);
    }
}
