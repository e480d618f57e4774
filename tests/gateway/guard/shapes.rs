//! Two stacks behind one alias, byte for byte: what a client gets differs in content and token counts alone.
//!
//! What is taken out before comparing: the request's id, the time, token counts (of the same number of digits), the
//! letters of tool call ids (not their length), and the part of a wait that is random.

use super::stacks::{Case, hosted, own, uncounted};
use crate::kit::client::Response;
use crate::kit::config::Gateway;
use crate::kit::script::Step;
use crate::kit::upstream::Upstream;

/// What the client gets from a gateway of its own, with what may differ taken out.
fn answer(stack: fn(Case, bool) -> Vec<Step>, case: Case, stream: bool, more: &str) -> String {
    let upstream = Upstream::start(move |_| stack(case, stream));
    let daemon = Gateway::new().backend(&upstream).expose("reasoning, logprobs").start();
    let tools = r#""tools":[{"type":"function","function":{"name":"weather"}}]"#;
    let body = format!(
        r#"{{"model":"general","messages":[{{"role":"user","content":"Hi"}}],{tools},"stream":{stream}{more}}}"#
    );
    plain(&daemon.client().chat(&body))
}

fn plain(response: &Response) -> String {
    let id = response.header("x-request-id").expect("every answer has one");
    let mut text = response.everything().replace(id, "ID");
    for name in ["\"created\":", "_tokens\":", "retry-after-ms: ", "Retry-After-Ms: "] {
        text = masked(&text, name, |letter| letter.is_ascii_digit());
    }
    text = masked(&text, "ate: ", |letter| letter != '\r');
    let ids = text.matches("\"call_").count();
    text = masked(&text, "\"call_", |letter| letter != '"');
    if ids > 0 {
        text += &format!("\n{ids} ids");
    }
    text
}

/// The text with a 0 for each letter behind `name` that is to be taken out.
fn masked(text: &str, name: &str, out: fn(char) -> bool) -> String {
    let mut parts = text.split(name);
    let mut masked = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let rest = part.trim_start_matches(out);
        masked += name;
        masked += &"0".repeat(part.len() - rest.len());
        masked += rest;
    }
    masked
}

#[test]
fn who_answers_does_not_show() {
    let mut different = Vec::new();
    for (case, ways) in Case::ALL {
        for stream in ways {
            let more: &[&str] =
                if *stream { &["", r#","stream_options":{"include_usage":true}"#] } else { &[""] };
            for more in more {
                let (one, other) = (answer(hosted, case, *stream, more), answer(own, case, *stream, more));
                if one != other {
                    different.push(format!("{case:?}, stream {stream}{more}\n{one}\n----\n{other}\n"));
                }
            }
        }
    }
    assert!(different.is_empty(), "{}", different.join("\n"));
}

#[test]
fn whether_somebody_counts_tokens_does_not_show() {
    // What we estimate has another number of digits.
    let short = |text: String| {
        let mut text = masked(&text, "ength: ", |letter| letter.is_ascii_digit());
        while text.contains("00") {
            text = text.replace("00", "0");
        }
        text
    };
    for (case, ways) in Case::ALL {
        for stream in ways {
            for more in ["", r#","stream_options":{"include_usage":true}"#] {
                let counted = short(answer(hosted, case, *stream, more));
                let other = short(answer(uncounted, case, *stream, more));
                assert_eq!(counted, other, "{case:?}, stream {stream}{more}");
                let told = case as usize <= Case::Refusal as usize;
                let due = told && (!stream || !more.is_empty());
                assert_eq!(
                    other.contains(r#""usage":{"prompt_tokens":0,"completion_tokens":0"#),
                    due,
                    "{other}"
                );
            }
        }
    }
}

#[test]
fn a_stream_has_one_structure() {
    let told = answer(own, Case::Tools, true, r#","stream_options":{"include_usage":true}"#);
    let (_, body) = told.split_once("\r\n\r\n").expect("a head");
    let deltas: Vec<_> = body
        .split("data: ")
        .filter_map(|event| Some(event.split_once("\"choices\":[")?.1.trim_end()))
        .collect();
    let call = |rest: &str| {
        format!(r#"{{"index":0,"delta":{{"tool_calls":[{rest}]}},"finish_reason":null}}],"usage":null}}"#)
    };
    let id = "0".repeat(96);
    let due = [
        r#"{"index":0,"delta":{"role":"assistant","content":""},"finish_reason":null}],"usage":null}"#
            .to_owned(),
        call(&format!(
            r#"{{"index":0,"id":"call_{id}","type":"function","function":{{"name":"weather","arguments":""}}}}"#
        )),
        call(r#"{"index":0,"function":{"arguments":"{\"city\":"}}"#),
        call(r#"{"index":0,"function":{"arguments":"\"東京\"}"}}"#),
        call(&format!(
            r#"{{"index":1,"id":"call_{id}","type":"function","function":{{"name":"clock","arguments":""}}}}"#
        )),
        call(r#"{"index":1,"function":{"arguments":"{}"}}"#),
        r#"{"index":0,"delta":{},"finish_reason":"tool_calls"}],"usage":null}"#.to_owned(),
        r#"],"usage":{"prompt_tokens":00,"completion_tokens":00,"total_tokens":00}}"#.to_owned(),
    ];
    assert_eq!(deltas, due);
    assert!(
        body.trim_end().strip_suffix("2 ids").is_some_and(|body| body.ends_with("data: [DONE]\n\n\n")),
        "{body}"
    );
}
