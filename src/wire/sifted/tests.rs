use std::sync::Arc;

use super::super::ids::{Ids, Root};
use bytes::BytesMut;

use crate::error::UpstreamFault;
use crate::wire::completion::{Expose, rewrite};
use crate::wire::sieve::{Judge, Part, Sieve, Verdict, Writing};
use crate::wire::sse::{SseRewriter, UsageWanted};
use crate::wire::usage::{Delivered, Estimate};
use crate::wire::voice::Voice;

const ESTIMATE: Estimate = Estimate { prompt: 3, answer: |_| 4 };

const ALL: Expose = Expose { logprobs: true, reasoning: true, usage_details: true };

/// Keeps back from the last `<` on, and forbids `!`.
#[derive(Debug, Default)]
struct Strict(Vec<((u64, Part), String)>);

impl Judge for Strict {
    fn whole(&mut self, _: Writing, text: &str) -> Verdict {
        if text.contains('!') || text.contains("<end") { Verdict::Forbidden } else { Verdict::Clean }
    }
}

impl Sieve for Strict {
    fn piece(&mut self, choice: u64, part: Part, piece: &str, told: &mut String) -> Verdict {
        let at = self.0.iter().position(|(key, _)| *key == (choice, part)).unwrap_or_else(|| {
            self.0.push(((choice, part), String::new()));
            self.0.len() - 1
        });
        let kept = &mut self.0[at].1;
        kept.push_str(piece);
        if let Some(end) = kept.find('!') {
            told.push_str(&kept[..end]);
            return Verdict::Forbidden;
        }
        let end = kept.find('<').unwrap_or(kept.len());
        told.extend(kept.drain(..end));
        Verdict::Clean
    }

    fn settle(&mut self, choice: u64, part: Part, told: &mut String) {
        for (_, kept) in self.0.iter_mut().filter(|(key, _)| *key == (choice, part)) {
            told.push_str(&std::mem::take(kept));
        }
    }

    fn end(&mut self, choice: u64, told: &mut dyn FnMut(Part, &str)) -> Verdict {
        for ((_, part), rest) in self.0.extract_if(.., |((of, _), _)| *of == choice) {
            told(part, &rest);
            if rest.contains("<end") {
                return Verdict::Forbidden;
            }
        }
        Verdict::Clean
    }
}

fn voice() -> Voice {
    Voice::new("u", 7, "m", Arc::new(Ids::new(&Root::new(b"s"), "acme", "m")))
}

fn rewriter(usage: UsageWanted) -> SseRewriter {
    SseRewriter::new(voice(), usage, ALL, 1 << 16)
        .sifted(Some(Box::new(Strict::default())))
        .estimated(ESTIMATE)
}

fn event(choices: &str) -> String {
    format!("data: {{\"choices\":[{choices}]}}\n\n")
}

fn content(text: &str) -> String {
    event(&format!(r#"{{"index":0,"delta":{{"content":"{text}"}}}}"#))
}

const ROLE: &str = r#"{"index":0,"delta":{"role":"assistant","content":""}}"#;
const STOP: &str = r#"{"index":0,"delta":{},"finish_reason":"stop"}"#;
const DONE: &str = "data: [DONE]\n\n";

/// What is told of each event, without what is the same in all, and how it ends.
fn told(rewriter: &mut SseRewriter, events: &[String]) -> (Vec<String>, Result<(), UpstreamFault>) {
    let mut all = Vec::new();
    for event in events {
        let mut out = BytesMut::new();
        let result = rewriter.push(event.as_bytes(), &mut out);
        all.push(plain(&out));
        if result.is_err() {
            return (all, result);
        }
    }
    (all, Ok(()))
}

fn plain(out: &[u8]) -> String {
    let text = std::str::from_utf8(out).unwrap();
    let same =
        r#"data: {"id":"chatcmpl-u","object":"chat.completion.chunk","created":7,"model":"m","choices":["#;
    text.replace(same, "").replace("]}\n\n", "\n").replace(DONE, "[DONE]\n")
}

#[test]
fn a_role_waits_for_the_first_text_and_is_told_with_it() {
    let mut stream = rewriter(UsageWanted::No);
    let events = [event(ROLE), content("<"), content("b>"), content("c"), event(STOP), DONE.to_owned()];
    let (all, result) = told(&mut stream, &events);
    assert_eq!(result, Ok(()));
    let chunk = |delta: &str, finish: &str| {
        format!("{{\"index\":0,\"delta\":{{{delta}}},\"finish_reason\":{finish}}}\n")
    };
    assert_eq!(
        all,
        [
            String::new(),
            String::new(),
            String::new(),
            String::new(),
            // What was kept back is told before the end.
            chunk(r#""role":"assistant","content":"""#, "null")
                + &chunk(r#""content":"<b>c""#, "null")
                + &chunk("", r#""stop""#),
            "[DONE]\n".to_owned(),
        ]
    );
    assert_eq!((stream.events(), stream.delivered()), (5, Delivered { bytes: 4, chars: 4 }));
}

#[test]
fn nothing_is_told_of_an_answer_that_begins_with_what_is_forbidden() {
    let mut stream = rewriter(UsageWanted::No);
    let call = r#"{"index":0,"delta":{"tool_calls":[{"index":0,"id":"x","type":"function","function":{"name":"f","arguments":""}}]}}"#;
    let (all, result) = told(&mut stream, &[event(ROLE), event(call), content("!a")]);
    assert_eq!((all.concat().as_str(), result), ("", Err(UpstreamFault::AnswerForbidden)));
    assert!(!stream.useful() && stream.delivered().chars == 3);
}

#[test]
fn an_answer_that_becomes_forbidden_ends_because_of_its_content() {
    for usage in [UsageWanted::No, UsageWanted::Yes] {
        let mut stream = rewriter(usage);
        let two = event(r#"{"index":0,"delta":{"content":"a"}},{"index":1,"delta":{"content":"b"}}"#);
        let (all, result) = told(&mut stream, &[event(ROLE), two, content("c!d")]);
        assert_eq!(result, Err(UpstreamFault::AnswerForbidden));
        assert!(all[2].contains(r#""content":"c""#) && !all[2].contains("c!") && stream.useful(), "{all:?}");
        let mut out = BytesMut::new();
        stream.close(&mut out);
        let end = plain(&out);
        let mut lines = end.lines().filter(|line| !line.is_empty());
        for index in [0, 1] {
            let ends = format!(r#"{{"index":{index},"delta":{{}},"finish_reason":"content_filter"}}"#);
            assert!(lines.next().is_some_and(|line| line.starts_with(&ends)), "{end}");
        }
        assert!(end.ends_with("[DONE]\n"), "{end}");
        let counts = r#""usage":{"prompt_tokens":3,"completion_tokens":4,"total_tokens":7}"#;
        assert_eq!(end.contains(counts), usage == UsageWanted::Yes, "{end}");
        assert_eq!(end.contains(r#""usage":null"#), usage == UsageWanted::Yes, "{end}");
        assert!(stream.done());
        // A stream is ended once.
        let before = out.len();
        stream.close(&mut out);
        assert_eq!(out.len(), before);
    }
}

#[test]
fn a_stream_without_a_count_of_tokens_is_told_an_estimate() {
    let last = r#"],"usage":{"prompt_tokens":3,"completion_tokens":4,"total_tokens":7}}"#;
    for (usage, sieve) in [(UsageWanted::Yes, true), (UsageWanted::Yes, false), (UsageWanted::No, true)] {
        let sieve: Option<Box<dyn Sieve>> = if sieve { Some(Box::new(Strict::default())) } else { None };
        let mut stream = SseRewriter::new(voice(), usage, ALL, 1 << 16).sifted(sieve).estimated(ESTIMATE);
        let (all, result) = told(&mut stream, &[content("a"), event(STOP), DONE.to_owned()]);
        assert_eq!(result, Ok(()));
        assert_eq!(all[2].contains(last), usage == UsageWanted::Yes, "{all:?}");
        assert_eq!(stream.usage(), None);
    }
}

#[test]
fn what_completes_at_the_end_is_found_there() {
    let mut stream = rewriter(UsageWanted::No);
    let (all, result) = told(&mut stream, &[content("a"), content("<end"), event(STOP)]);
    assert_eq!(result, Err(UpstreamFault::AnswerForbidden));
    assert!(!all[2].contains("stop"), "{all:?}");
    let mut stream = rewriter(UsageWanted::No);
    let one = event(r#"{"index":1,"delta":{"content":"<end"}}"#);
    let (all, result) = told(&mut stream, &[content("a"), one, event(STOP), DONE.to_owned()]);
    assert_eq!(result, Err(UpstreamFault::AnswerForbidden));
    assert!(!all.concat().contains("DONE"), "{all:?}");
}

#[test]
fn every_text_of_a_choice_is_kept_back_on_its_own() {
    let mut stream = rewriter(UsageWanted::No);
    let calls = |text: &str| event(&format!(r#"{{"index":0,"delta":{{"tool_calls":[{text}]}}}}"#));
    let events = [
        event(r#"{"index":0,"delta":{"content":"a<1","refusal":"b<2","reasoning":"c<3"}}"#),
        calls(
            r#"{"id":"x","type":"function","function":{"name":"f","arguments":"d<4"}},{"id":"y","type":"custom","custom":{"name":"g","input":"e<5"}}"#,
        ),
        calls(r#"{"custom":{"input":"6"}}"#),
        event(r#"{"index":0,"delta":{"function_call":{"name":"h","arguments":"f<7"}}}"#),
        event(STOP),
    ];
    let (all, result) = told(&mut stream, &events);
    assert_eq!(result, Ok(()));
    // What is kept back of a text is told before another one goes on, and that of the last before the end.
    let deltas = |told: &str| -> Vec<String> {
        let deltas = told.lines().filter_map(|line| line.split("\"delta\":{").nth(1));
        deltas.map(|rest| rest.split("},\"finish_reason").next().unwrap().to_owned()).collect()
    };
    assert_eq!(
        deltas(&all[0])[1..],
        [
            r#""reasoning_content":"c""#,
            r#""reasoning_content":"<3""#,
            r#""content":"a""#,
            r#""content":"<1""#,
            r#""refusal":"b""#
        ]
    );
    let calls = deltas(&all[1]);
    assert_eq!(calls[0], r#""refusal":"<2""#);
    assert!(calls[1].contains(r#""name":"f","arguments":"d""#), "{calls:?}");
    assert_eq!(calls[2], r#""tool_calls":[{"index":0,"function":{"arguments":"<4"}}]"#);
    assert!(calls[3].contains(r#""name":"g","input":"e""#), "{calls:?}");
    assert_eq!(all[2], "");
    assert_eq!(
        deltas(&all[3]),
        [
            r#""tool_calls":[{"index":1,"custom":{"input":"<56"}}]"#,
            r#""function_call":{"name":"h","arguments":"f"}"#
        ]
    );
    assert_eq!(deltas(&all[4]), [r#""function_call":{"arguments":"<7"}"#, ""]);
    for line in all.concat().lines() {
        assert!(serde_json::from_str::<serde_json::Value>(line).is_ok(), "{line}");
    }
}

#[test]
fn names_and_log_probabilities_tell_nothing_forbidden() {
    for delta in [
        r#""tool_calls":[{"id":"x","function":{"name":"a!b","arguments":""}}]"#,
        r#""tool_calls":[{"id":"x","custom":{"name":"a!b","input":"c"}}]"#,
        r#""function_call":{"name":"a!b"}"#,
    ] {
        let mut stream = rewriter(UsageWanted::No);
        let (all, result) =
            told(&mut stream, &[content("ok"), event(&format!(r#"{{"index":0,"delta":{{{delta}}}}}"#))]);
        assert_eq!(result, Err(UpstreamFault::AnswerForbidden), "{delta}");
        assert!(!all[1].contains("a!"), "{all:?}");
    }
    let mut stream = rewriter(UsageWanted::No);
    let logprobs =
        r#"{"index":0,"delta":{"content":"a<b"},"logprobs":{"content":[{"token":"<b","logprob":-1}]}}"#;
    assert!(!told(&mut stream, &[event(logprobs)]).0.concat().contains("<b"));
}

#[test]
fn a_name_that_comes_in_pieces_is_looked_at_as_one() {
    let calls = |text: &str| event(&format!(r#"{{"index":0,"delta":{{"tool_calls":[{text}]}}}}"#));
    let older = |text: &str| event(&format!(r#"{{"index":0,"delta":{{"function_call":{{{text}}}}}}}"#));
    let one = |index: u64, kind: &str, name: &str| {
        calls(&format!(r#"{{"index":{index},"{kind}":{{"name":"{name}"}}}}"#))
    };
    for (events, verdict) in [
        (vec![one(0, "function", "a<"), one(0, "function", "end")], Err(UpstreamFault::AnswerForbidden)),
        (vec![one(0, "custom", "a<"), one(0, "custom", "end")], Err(UpstreamFault::AnswerForbidden)),
        (vec![older(r#""name":"a<""#), older(r#""name":"end""#)], Err(UpstreamFault::AnswerForbidden)),
        // Another call, and the same name once more.
        (vec![one(0, "function", "a<"), one(1, "function", "end")], Ok(())),
        (vec![one(0, "function", "<e"), one(0, "function", "<e"), one(0, "function", "<e")], Ok(())),
    ] {
        let mut stream = rewriter(UsageWanted::No);
        let (all, result) = told(&mut stream, &[vec![content("x")], events].concat());
        assert_eq!(result, verdict, "{all:?}");
        assert!(verdict.is_ok() || !all.concat().contains("end"), "{all:?}");
    }
    let long = one(0, "function", &"n".repeat(3000));
    let mut stream = rewriter(UsageWanted::No);
    let longer = one(0, "function", &"m".repeat(3000));
    assert_eq!(told(&mut stream, &[content("x"), long, longer]).1, Err(UpstreamFault::AnswerForbidden));
}

#[test]
fn a_choice_that_has_ended_says_no_more() {
    let both =
        r#"{"index":0,"delta":{"content":"a"},"finish_reason":"stop"},{"index":0,"delta":{"content":"b"}}"#;
    for events in [
        vec![event(both), content("c"), event(STOP), DONE.to_owned()],
        vec![content("a"), event(STOP), content("b!"), DONE.to_owned()],
    ] {
        let mut stream = rewriter(UsageWanted::No);
        let (all, result) = told(&mut stream, &events);
        let all = all.concat();
        assert_eq!(result, Ok(()));
        assert!(!all.contains(r#""content":"b"#) && !all.contains(r#""content":"c"#), "{all}");
        assert_eq!((all.matches("stop").count(), stream.delivered().chars), (1, 1), "{all}");
    }
}

#[test]
fn a_choice_that_never_ends_waits_no_longer_than_the_stream() {
    let mut stream = rewriter(UsageWanted::No);
    let events =
        [content("a"), event(r#"{"index":1,"delta":{"content":"b<c"}}"#), event(STOP), DONE.to_owned()];
    let (all, result) = told(&mut stream, &events);
    assert_eq!(result, Ok(()));
    assert!(
        all[3].starts_with(r#"{"index":1,"delta":{"content":"<c"}"#) && all[3].ends_with("[DONE]\n"),
        "{all:?}"
    );
    // Without any end it is cut, and what was kept back is lost with it.
    let mut stream = rewriter(UsageWanted::No);
    assert_eq!(told(&mut stream, &[content("a<b"), DONE.to_owned()]).1, Err(UpstreamFault::Truncated));
}

#[test]
fn calls_without_end_are_no_way_to_fill_the_memory() {
    let mut stream = rewriter(UsageWanted::No);
    let call = |n| {
        format!(
            r#"{{"index":0,"delta":{{"tool_calls":[{{"index":{n},"id":"{n}","function":{{"name":"f"}}}}]}}}}"#
        )
    };
    let calls: Vec<_> = (0..1000).map(|n| event(&call(n))).collect();
    let (all, result) = told(&mut stream, &calls);
    assert_eq!(result, Ok(()));
    assert!(all[10].is_empty() && !all[999].is_empty());
}

#[test]
fn whole_answers_are_judged_by_all_that_is_shown_of_them() {
    let verdict = |message: &str, expose: Expose| {
        let body = format!(r#"{{"choices":[{{"message":{{"content":"a"}}}},{{"message":{message}}}]}}"#);
        rewrite(body.as_bytes(), &voice(), expose, Some(&mut Strict::default()), || ESTIMATE).unwrap().verdict
    };
    for message in [
        r#"{"content":"b!"}"#,
        r#"{"content":[{"type":"text","text":"b!"}]}"#,
        r#"{"refusal":"b!"}"#,
        r#"{"reasoning_content":"b!"}"#,
        r#"{"tool_calls":[{"function":{"name":"b!","arguments":"{}"}}]}"#,
        r#"{"tool_calls":[{"function":{"name":"b","arguments":"!"}}]}"#,
        r#"{"tool_calls":[{"function":{"name":"b","arguments":{"a":"!"}}}]}"#,
        r#"{"tool_calls":[{"custom":{"name":"b","input":"!"}}]}"#,
        r#"{"function_call":{"name":"b","arguments":"!"}}"#,
    ] {
        assert_eq!(verdict(message, ALL), Verdict::Forbidden, "{message}");
    }
    assert_eq!(verdict(r#"{"content":"b","refusal":"c"}"#, ALL), Verdict::Clean);
    // Log probabilities, in which nobody looks for anything, are not told.
    let logprobs = r#"{"choices":[{"message":{"content":"a"},"logprobs":{"content":[{"token":"a","logprob":-1,
        "top_logprobs":[{"token":"!","logprob":-2}]}]}}]}"#;
    let body = |judge: Option<&mut dyn Judge>| {
        let whole = rewrite(logprobs.as_bytes(), &voice(), ALL, judge, || ESTIMATE).unwrap();
        String::from_utf8(whole.body.to_vec()).unwrap()
    };
    assert!(body(None).contains(r#""token":"!""#));
    let judged = body(Some(&mut Strict::default()));
    assert!(!judged.contains("logprobs") && !judged.contains('!'), "{judged}");
    // Who does not see it need not be kept from it.
    assert_eq!(verdict(r#"{"reasoning_content":"b!"}"#, Expose::default()), Verdict::Clean);
}
