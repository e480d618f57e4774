//! What answers may not say: what leaves before, how it ends, what it costs, and who is to blame.

use std::time::Duration;

use serde_json::{Value, json};

use super::setup::Setup;
use super::{ask, assert_blocked, finishes, parrot, say};
use crate::kit::answers::{
    CANARIES, json_answer, sse, sse_answer, sse_events, sse_head, sse_tool_answer, tool_answer,
};
use crate::kit::client::{End, chat_request};
use crate::kit::script::{Step, chunk, last_chunk, whole};
use crate::kit::upstream::Upstream;
use crate::kit::{DEADLINE, KEY, sse as split};

const POLICY: &str = "on_response: true, deny: [ { words: [ bomb ] }, 'secret.{0,30}plan' ]";

fn stream(more: &str) -> String {
    format!(r#"{{"model":"general","messages":[{{"role":"user","content":"Hello"}}],"stream":true{more}}}"#)
}

#[test]
fn a_whole_answer_that_is_forbidden_leaves_nothing_and_costs_what_it_cost() {
    let (bad, good) = (Upstream::always(json_answer("a bomb")), Upstream::always(json_answer("fine")));
    let setup = Setup::new(&[&bad, &good], POLICY).tenant("limits: { tokens_per_minute: 100000 }");
    let daemon = setup.start();
    let answers: Vec<_> = (0..2).map(|_| daemon.client().chat(&ask("hello"))).collect();
    let blocked: Vec<_> = answers.iter().filter(|answer| answer.status == 403).collect();
    assert_eq!(blocked.len(), 1, "one of the two backends is asked first");
    assert_blocked(blocked[0], "a bomb");
    assert!(!blocked[0].everything().contains("bomb"));
    // Nobody else is asked, and the backend has done its work.
    assert_eq!((bad.requests().len(), good.requests().len()), (1, 1));
    let lines = daemon.log_lines(2);
    let line = lines.iter().find(|line| line["status"] == 403).expect("a line");
    assert_eq!((&line["reason"], &line["charged_tokens"]), (&json!("blocked_answer"), &json!(170)));
    assert_eq!((&line["attempts"], &line["completion_tokens"]), (&json!(1), &json!(128)));
    assert_eq!(daemon.metric_sum("byname_upstream_attempts_total", &[("outcome", "ok")]), 2.0);
    assert_eq!(
        daemon.metric_sum("byname_refusals_total", &[("reason", "blocked_answer"), ("fault", "policy")]),
        1.0
    );
    // The client's connection is kept.
    let mut client = daemon.client();
    assert_blocked_or_fine(client.chat(&ask("hello")).status);
    assert_blocked_or_fine(client.chat(&ask("hello")).status);
}

#[track_caller]
fn assert_blocked_or_fine(status: u16) {
    assert!(status == 403 || status == 200, "{status}");
}

#[test]
fn without_on_response_answers_say_what_they_like() {
    let upstream = parrot();
    let daemon = Setup::new(&[&upstream], "deny: [ { words: [ bomb ] } ]").start();
    let answer = daemon.client().chat(&say(&["a ", "bomb"], false));
    assert_eq!(answer.json()["choices"][0]["message"]["content"], "a bomb");
    let answer = daemon.client().chat(&say(&["a ", "bomb"], true));
    assert_eq!(split::text(&answer.body), "a bomb");
}

#[test]
fn a_stream_that_becomes_forbidden_ends_cleanly_and_its_backend_is_left_at_once() {
    let events = sse_events(&["Take ", "a bo", "mb", " and more", "never"]);
    let upstream = Upstream::start(move |_| {
        let mut steps = vec![sse_head()];
        steps.extend(events.iter().take(5).map(chunk));
        steps.push(Step::Stall);
        steps
    });
    let daemon = Setup::new(&[&upstream], POLICY).start();
    // The connection is as good as any, also when the next request comes before the backend has been left.
    let mut client = daemon.client();
    for usage in [false, true] {
        let more = if usage { r#","stream_options":{"include_usage":true}"# } else { "" };
        let answer = client.chat(&stream(more));
        assert_eq!((answer.status, answer.end), (200, End::Clean), "{}", answer.everything());
        assert_eq!(split::text(&answer.body), "Take a ");
        let chunks = split::chunks(&answer.body);
        assert_eq!(finishes(&chunks), [(0, "content_filter".to_owned())]);
        assert!(answer.text().ends_with("data: [DONE]\n\n"));
        assert!(chunks.iter().all(|chunk| chunk.get("usage").is_some() == usage), "{chunks:?}");
        if usage {
            let last = chunks.last().expect("a chunk");
            let [prompt, completion] =
                ["prompt_tokens", "completion_tokens"].map(|name| last["usage"][name].as_u64());
            assert!(prompt > Some(0) && completion > Some(0), "{last}");
            assert_eq!(last["choices"], json!([]));
        }
        assert!(!CANARIES.iter().any(|canary| answer.everything().contains(canary)));
    }
    for request in 0..2 {
        assert!(upstream.wait_closed(request, DEADLINE), "the backend was not left");
    }
    let lines = daemon.log_lines(2);
    assert_eq!((&lines[0]["status"], &lines[0]["reason"]), (&json!(200), &json!("blocked_answer")));
    assert_eq!(
        (&lines[0]["code"], &lines[0]["token_source"]),
        (&json!("content_blocked"), &json!("estimated"))
    );
    assert_eq!(daemon.metric_sum("byname_upstream_attempts_total", &[("outcome", "ok")]), 2.0);
    assert_eq!(daemon.metric_sum("byname_upstream_attempts_total", &[]), 2.0);
}

#[test]
fn a_stream_that_begins_with_what_is_forbidden_is_a_403_and_asked_nowhere_else() {
    let (bad, other) =
        (Upstream::always(sse_answer(&["bo", "mb", "s"])), Upstream::always(sse_answer(&["bo", "mb", "!"])));
    let daemon = Setup::new(&[&bad, &other], POLICY).tenant("limits: { tokens_per_minute: 100000 }").start();
    let statuses: Vec<u16> = (0..4)
        .map(|_| {
            let answer = daemon.client().chat(&stream(""));
            match answer.status {
                403 => assert_blocked(&answer, "bomb!"),
                _ => assert_eq!(split::text(&answer.body), "bombs"),
            }
            answer.status
        })
        .collect();
    assert_eq!(statuses.iter().filter(|status| **status == 403).count(), 2, "{statuses:?}");
    assert_eq!(bad.requests().len() + other.requests().len(), 4);
    let lines = daemon.log_lines(4);
    let refused: Vec<&Value> = lines.iter().filter(|line| line["status"] == 403).collect();
    // What the model has said is paid for, although nobody has heard it.
    assert!(refused.iter().all(|line| line["charged_tokens"].as_u64() > Some(0)), "{refused:?}");
}

#[test]
fn text_leaves_as_soon_as_nothing_forbidden_can_begin_with_it() {
    let events = sse_events(&["Hello, ", "my bo", "ok is ", "secret ", "and long"]);
    let upstream = Upstream::start(move |_| {
        let mut steps =
            vec![sse_head(), chunk(&events[0]), chunk(&events[1]), Step::Wait("two"), chunk(&events[2])];
        steps.extend([
            Step::Wait("three"),
            chunk(&events[3]),
            Step::Wait("four"),
            chunk(&events[4]),
            Step::Wait("five"),
        ]);
        steps.extend(events[5..].iter().map(chunk).chain([last_chunk()]));
        steps
    });
    let daemon = Setup::new(&[&upstream], POLICY).start();
    let mut client = daemon.client();
    client.send(&chat_request(KEY, &stream("")));
    assert_eq!(client.read_head().word(1), "200");
    let mut next = || {
        let event = client.event().expect("an event");
        let json: Value = serde_json::from_str(event.trim_start_matches("data: ").trim()).expect("JSON");
        json["choices"][0]["delta"]["content"].as_str().map(str::to_owned)
    };
    assert_eq!(next().as_deref(), Some(""), "the role");
    assert_eq!(next().as_deref(), Some("Hello, "));
    upstream.open("two");
    assert_eq!(next().as_deref(), Some("my "), "what may become a bomb is kept back");
    upstream.open("three");
    assert_eq!(next().as_deref(), Some("book is "));
    upstream.open("four");
    upstream.open("five");
    // `secret` may be followed by a plan for thirty more characters, or until the end.
    assert_eq!(next().as_deref(), Some("secret and long"));
    assert_eq!(next(), None, "the end");
}

#[test]
fn what_is_kept_back_is_told_before_the_end_and_the_usage() {
    let upstream = Upstream::always(sse_answer(&["it is a secret"]));
    let daemon = Setup::new(&[&upstream], POLICY).start();
    let answer = daemon.client().chat(&stream(r#","stream_options":{"include_usage":true}"#));
    let chunks = split::chunks(&answer.body);
    assert_eq!(split::text(&answer.body), "it is a secret");
    let kinds: Vec<&str> = chunks
        .iter()
        .map(|chunk| match (&chunk["choices"][0]["finish_reason"], chunk["usage"].is_object()) {
            (_, true) => "usage",
            (Value::String(_), _) => "end",
            (_, _) => "text",
        })
        .collect();
    assert_eq!(kinds, ["text", "text", "text", "end", "usage"]);
    assert_eq!(chunks[4]["usage"]["total_tokens"], 170);
}

#[test]
fn arguments_of_calls_are_looked_at_too() {
    let cases: &[(&[&str], &str)] = &[
        (&[r#"{"q":"a"#, r#" bomb"}"#], r#"{"q":"a "#),
        (&[r#"{"q":"a \u0062"#, r#"om"#, r#"b"}"#], r#"{"q":"a "#),
        (&[r#"{"q":"a \u00"#, r#"62omb"}"#], r#"{"q":"a "#),
    ];
    for (pieces, told) in cases {
        let pieces: Vec<&'static str> = pieces.to_vec();
        let whole = pieces.concat();
        let upstream = Upstream::start(move |seen| {
            if seen.wants_stream() {
                sse_tool_answer("search", &pieces)
            } else {
                tool_answer("search", &whole)
            }
        });
        let daemon = Setup::new(&[&upstream], POLICY).start();
        assert_blocked(&daemon.client().chat(&ask("hello")), told);
        let answer = daemon.client().chat(&stream(""));
        let chunks = split::chunks(&answer.body);
        let calls = chunks.iter().filter_map(|chunk| {
            chunk["choices"][0]["delta"]["tool_calls"][0]["function"]["arguments"].as_str()
        });
        assert_eq!(calls.collect::<String>(), *told);
        assert_eq!(finishes(&chunks), [(0, "content_filter".to_owned())]);
    }
    let upstream = Upstream::always(sse_tool_answer("bomb", &["{}"]));
    let daemon = Setup::new(&[&upstream], POLICY).start();
    assert_blocked(&daemon.client().chat(&stream("")), "the tool's name");
    let upstream = Upstream::always(sse_tool_answer("search", &["{\"q\":", "\"bo", "ok\"}"]));
    let daemon = Setup::new(&[&upstream], POLICY).start();
    let answer = daemon.client().chat(&stream(""));
    let chunks = split::chunks(&answer.body);
    let calls = chunks
        .iter()
        .filter_map(|chunk| chunk["choices"][0]["delta"]["tool_calls"][0]["function"]["arguments"].as_str());
    assert_eq!(calls.collect::<String>(), r#"{"q":"book"}"#);
    assert_eq!(finishes(&chunks), [(0, "tool_calls".to_owned())]);
}

#[test]
fn one_forbidden_choice_ends_them_all() {
    let event = |index: u64, text: &str| {
        format!(
            "data: {}\n\n",
            json!({"choices": [{"index": index, "delta": {"content": text}, "finish_reason": null}]})
        )
    };
    let upstream =
        Upstream::always(sse(&[event(0, "one "), event(1, "two "), event(0, "bomb "), event(1, "three")]));
    let daemon = Setup::new(&[&upstream], POLICY).start();
    let answer = daemon.client().chat(&stream(r#","n":2"#));
    let chunks = split::chunks(&answer.body);
    let filtered = |index| (index, "content_filter".to_owned());
    assert_eq!(finishes(&chunks), [filtered(0), filtered(1)]);
    assert!(!answer.text().contains("three") && !answer.text().contains("bomb"), "{}", answer.text());
}

#[test]
fn thoughts_that_are_shown_are_looked_at_and_others_are_not() {
    let event = |delta: Value, finish: Option<&str>| {
        format!("data: {}\n\n", json!({"choices": [{"index": 0, "delta": delta, "finish_reason": finish}]}))
    };
    let events = [
        event(json!({"role": "assistant"}), None),
        event(json!({"reasoning_content": "no bomb here"}), None),
        event(json!({"content": "fine"}), None),
        event(json!({}), Some("stop")),
        "data: [DONE]\n\n".to_owned(),
    ];
    let upstream = Upstream::always(sse(&events));
    let daemon = Setup::new(&[&upstream], POLICY).start();
    assert_eq!(split::text(&daemon.client().chat(&stream("")).body), "fine");
    let daemon = Setup::new(&[&upstream], POLICY).alias("expose: [ reasoning ]").start();
    let answer = daemon.client().chat(&stream(""));
    assert_eq!(finishes(&split::chunks(&answer.body)), [(0, "content_filter".to_owned())]);
    assert!(!answer.text().contains("bomb") && answer.text().contains("\"no \""), "{}", answer.text());
}

#[test]
fn a_stream_that_is_kept_back_is_not_silent() {
    // All of it is kept back for longer than the backend may be silent.
    let upstream = Upstream::start(|_| {
        let mut steps = vec![sse_head()];
        let words = [["secret", " "].as_slice(), &["-"; 12]].concat();
        for event in sse_events(&words) {
            steps.extend([chunk(event), Step::Pause(Duration::from_millis(250))]);
        }
        steps.push(last_chunk());
        steps
    });
    let daemon = Setup::new(&[&upstream], POLICY).silence("3s").start();
    let answer = daemon.client().chat(&stream(""));
    assert_eq!(
        (answer.status, split::text(&answer.body).as_str()),
        (200, "secret ------------"),
        "{}",
        answer.everything()
    );
}

/// An answer of one text, with tokens that it was made of, or not.
fn with_tokens(text: &str, tokens: &[&str]) -> Upstream {
    let tokens: Vec<Value> =
        tokens.iter().map(|token| json!({"token": token, "logprob": -1, "top_logprobs": []})).collect();
    let logprobs = json!({"content": tokens, "refusal": null});
    let choice = |said: &str, why: Value| json!({"index": 0, said: {"content": text}, "finish_reason": why, "logprobs": logprobs});
    let answer = json!({ "choices": [choice("message", json!("stop"))] }).to_string();
    let events = [
        format!("data: {}\n\n", json!({ "choices": [choice("delta", json!("stop"))] })),
        "data: [DONE]\n\n".to_owned(),
    ];
    Upstream::start(move |seen| {
        if seen.wants_stream() {
            return sse(&events);
        }
        whole(200, &[("Content-Type", "application/json")], &answer)
    })
}

#[test]
fn log_probabilities_spell_out_nothing_that_is_not_told() {
    let ask = |alias: &str, stream: bool| {
        json!({"model": alias, "stream": stream, "logprobs": true, "messages": [{"role": "user", "content": "x"}]})
            .to_string()
    };
    // Nobody looks at tokens, so that under a policy none are told.
    let upstream = with_tokens("fine", &["make", " a bomb"]);
    let daemon = Setup::new(&[&upstream], POLICY).alias("expose: [ logprobs, reasoning ]").start();
    for stream in [false, true] {
        let answer = daemon.client().chat(&ask("general", stream));
        assert_eq!(answer.status, 200);
        assert!(!answer.text().contains("logprobs") && answer.text().contains("fine"), "{}", answer.text());
    }
    // Without one, only those of the text, where what is thought is not shown.
    let upstream = with_tokens("fine", &["I think of you", ".", "fi", "ne"]);
    let setup = Setup::new(&[&upstream], "max_prompt_tokens: 1000");
    for (expose, thought) in [("logprobs", false), ("logprobs, reasoning", true)] {
        let daemon = setup.clone().alias(&format!("expose: [ {expose} ]")).start();
        for stream in [false, true] {
            let answer = daemon.client().chat(&ask("general", stream));
            assert_eq!(answer.text().contains("I think of you"), thought, "{}", answer.text());
            assert!(answer.text().contains(r#""token":"ne""#), "{}", answer.text());
        }
    }
}
