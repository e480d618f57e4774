use std::sync::Arc;

use super::super::ids::{Ids, Root};
use super::*;
use crate::error::{Reason, Said};

const PLAIN: Expose = Expose { logprobs: false, reasoning: false, usage_details: false };

fn voice() -> Voice {
    Voice::new("u", 7, "m", Arc::new(Ids::new(&Root::new(b"s"), "acme", "m")))
}

fn rewriter(usage: UsageWanted) -> SseRewriter {
    SseRewriter::new(voice(), usage, PLAIN, 1 << 16)
}

fn push(rewriter: &mut SseRewriter, stream: &str) -> Result<String, UpstreamFault> {
    let mut out = BytesMut::new();
    rewriter.push(stream.as_bytes(), &mut out)?;
    Ok(String::from_utf8(out.to_vec()).unwrap())
}

fn ours(rest: &str) -> String {
    format!(
        "data: {{\"id\":\"chatcmpl-u\",\"object\":\"chat.completion.chunk\",\"created\":7,\"model\":\"m\",{rest}}}\n\n"
    )
}

/// What a choice begins with.
fn role() -> String {
    ours(r#""choices":[{"index":0,"delta":{"role":"assistant","content":""},"finish_reason":null}]"#)
}

const TEXT: &str = "data: {\"choices\":[{\"delta\":{\"content\":\"要点\"}}]}\n\n";
const STOP: &str = "data: {\"choices\":[{\"delta\":{},\"finish_reason\":\"stop\"}]}\n\n";
const DONE: &str = "data: [DONE]\n\n";

#[test]
fn each_chunk_goes_out_with_the_piece_that_completes_it() {
    let mut rewriter = rewriter(UsageWanted::No);
    let (head, tail) = TEXT.split_at(TEXT.len() - 1);
    assert_eq!(push(&mut rewriter, head).unwrap(), "");
    assert!(!rewriter.useful());
    let chunk = ours(r#""choices":[{"index":0,"delta":{"content":"要点"},"finish_reason":null}]"#);
    assert_eq!(push(&mut rewriter, tail).unwrap(), role() + &chunk);
    assert!(rewriter.useful());
    let chunk = ours(r#""choices":[{"index":0,"delta":{},"finish_reason":"stop"}]"#);
    assert_eq!(push(&mut rewriter, STOP).unwrap(), chunk);
    assert!(!rewriter.done());
    assert_eq!(push(&mut rewriter, DONE).unwrap(), DONE);
    assert!(rewriter.done());
    assert_eq!(rewriter.events(), 2);
    assert_eq!(rewriter.delivered(), Delivered { bytes: 6, chars: 2 });
}

#[test]
fn comments_pings_and_chunks_that_tell_nothing_are_not_useful() {
    for nothing in [
        ": ping\n\n",
        "event: ping\n\n",
        "event: ping\ndata: {\"type\":\"ping\"}\n\n",
        "data:\n\n",
        "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":1}}\n\n",
        "data: {\"choices\":null}\n\n",
        "data: {\"choices\":[{\"delta\":{}}]}\n\n",
        "data: {\"choices\":[{\"delta\":null,\"finish_reason\":\"\"}]}\n\n",
        "data: {\"choices\":[{\"delta\":{\"content\":\"\"}}]}\n\n",
        "data: {\"choices\":[{\"delta\":{\"content\":null,\"refusal\":null}}]}\n\n",
        "data: {\"choices\":[{\"delta\":{\"content\":\"\",\"reasoning_content\":\"hm\"}}]}\n\n",
        "data: {\"choices\":[{\"delta\":{\"tool_calls\":[]}}]}\n\n",
    ] {
        let mut rewriter = rewriter(UsageWanted::Yes);
        assert_eq!(push(&mut rewriter, nothing).unwrap(), "", "{nothing}");
        assert!(!rewriter.useful(), "{nothing}");
        assert_eq!(rewriter.events(), 0);
    }
}

#[test]
fn a_role_a_refusal_a_call_and_an_ending_are_useful() {
    for (delta, written) in [
        (r#"{"role":"assistant"}"#, None),
        (r#"{"role":"model","content":""}"#, None),
        (r#"{"role":"assistant","content":null,"refusal":"no"}"#, Some(r#"{"refusal":"no"}"#)),
        (r#"{"function_call":{"name":"f"}}"#, Some(r#"{"function_call":{"name":"f"}}"#)),
    ] {
        let mut rewriter = rewriter(UsageWanted::No);
        let chunk = push(&mut rewriter, &format!("data: {{\"choices\":[{{\"delta\":{delta}}}]}}\n\n"));
        let told =
            |delta| ours(&format!(r#""choices":[{{"index":0,"delta":{delta},"finish_reason":null}}]"#));
        assert_eq!(chunk.unwrap(), role() + &written.map_or(String::new(), told));
        assert!(rewriter.useful());
    }
}

#[test]
fn each_chunk_tells_one_thing_and_each_choice_begins_and_ends_once() {
    let stream = concat!(
        r#"data: {"choices":[{"index":1,"delta":{"role":"assistant","content":"a","reasoning":"t"},"finish_reason":"stop"},"#,
        r#"{"index":0,"delta":{"role":"assistant","content":"","tool_calls":[{"index":0,"id":"x","function":{"name":"f","arguments":"1"}},"#,
        r#"{"index":0,"id":"x","function":{"name":"f","arguments":""}}]}}]}"#,
        "\n\n",
        r#"data: {"choices":[{"index":1,"delta":{"role":"assistant"},"finish_reason":"stop"},{"index":0,"finish_reason":"length"}]}"#,
        "\n\n"
    );
    let told = push(&mut rewriter(UsageWanted::No), stream).unwrap();
    let call = told.split_once(r#""id":"call_"#).unwrap().1.split('"').next().unwrap();
    let call = format!(
        r#"{{"tool_calls":[{{"index":0,"id":"call_{call}","type":"function","function":{{"name":"f","arguments":"1"}}}}]}}"#
    );
    let role = r#"{"role":"assistant","content":""}"#;
    let due = [
        (1, role, "null"),
        (1, r#"{"content":"a"}"#, "null"),
        (1, "{}", r#""stop""#),
        (0, role, "null"),
        (0, &call, "null"),
        (0, "{}", r#""length""#),
    ];
    let one = |(index, delta, finish)| {
        ours(&format!(r#""choices":[{{"index":{index},"delta":{delta},"finish_reason":{finish}}}]"#))
    };
    assert_eq!(told, due.map(one).concat());
}

#[test]
fn the_last_report_of_usage_is_the_one_that_counts() {
    let running = "data: {\"choices\":[{\"delta\":{\"content\":\"a\"}}],\"usage\":{\"prompt_tokens\":1,\"completion_tokens\":1}}\n\n";
    let last = "data: {\"choices\":[],\"x_groq\":{\"usage\":{\"prompt_tokens\":1,\"completion_tokens\":5,\"total_tokens\":6}}}\n\ndata: {\"choices\":[],\"usage\":null}\n\n";
    let counts = r#""choices":[],"usage":{"prompt_tokens":1,"completion_tokens":5,"total_tokens":6}"#;
    for (wanted, before_done) in [(UsageWanted::Yes, ours(counts)), (UsageWanted::No, String::new())] {
        let mut rewriter = rewriter(wanted);
        push(&mut rewriter, &format!("{running}{STOP}{last}")).unwrap();
        assert_eq!(
            rewriter.usage().map(|usage| (usage.prompt, usage.completion, usage.total)),
            Some((1, 5, 6))
        );
        assert_eq!(push(&mut rewriter, DONE).unwrap(), format!("{before_done}{DONE}"));
    }
}

#[test]
fn usage_that_was_never_sent_is_not_made_up() {
    let mut rewriter = rewriter(UsageWanted::Yes);
    push(&mut rewriter, STOP).unwrap();
    assert_eq!(push(&mut rewriter, DONE).unwrap(), DONE);
    assert_eq!(rewriter.usage(), None);
}

#[test]
fn an_end_without_done_is_complete_only_after_an_ending() {
    let mut complete = rewriter(UsageWanted::No);
    push(&mut complete, STOP).unwrap();
    let mut out = BytesMut::new();
    assert_eq!(complete.finish(&mut out), Ok(()));
    assert_eq!(out, DONE);
    assert_eq!(complete.finish(&mut out), Ok(()));
    assert_eq!(out, DONE);

    for stream in ["", TEXT, ": x\n\n", "data: {\"choices\":[{\"delta\":{},\"finish_reason\":\"stop\"}]}\n"] {
        let mut cut = rewriter(UsageWanted::No);
        push(&mut cut, stream).unwrap();
        let mut out = BytesMut::new();
        assert_eq!(cut.finish(&mut out), Err(UpstreamFault::Truncated), "{stream}");
        assert!(out.is_empty() && !cut.done());
    }
    assert_eq!(push(&mut rewriter(UsageWanted::No), DONE), Err(UpstreamFault::Truncated));
}

#[test]
fn what_came_before_a_failure_stays_and_the_failure_stays_too() {
    let mut rewriter = rewriter(UsageWanted::No);
    let mut out = BytesMut::new();
    let stream = format!("{TEXT}data: oops\n\n{STOP}{DONE}");
    assert_eq!(rewriter.push(stream.as_bytes(), &mut out), Err(UpstreamFault::BadJson));
    let written = out.clone();
    let chunk = ours(r#""choices":[{"index":0,"delta":{"content":"要点"},"finish_reason":null}]"#);
    assert_eq!(out, role() + &chunk);
    assert_eq!(rewriter.push(STOP.as_bytes(), &mut out), Err(UpstreamFault::BadJson));
    assert_eq!(rewriter.finish(&mut out), Err(UpstreamFault::BadJson));
    assert_eq!(out, written);
}

#[test]
fn a_chunk_that_fails_in_its_second_choice_leaves_nothing() {
    let mut rewriter = rewriter(UsageWanted::No);
    let mut out = BytesMut::new();
    let stream = "data: {\"choices\":[{\"delta\":{\"content\":\"a\"}},{\"delta\":{},\"finish_reason\":\"abort\"}]}\n\n";
    assert_eq!(rewriter.push(stream.as_bytes(), &mut out), Err(UpstreamFault::ErrorInAnswer(Said::NOTHING)));
    assert!(out.is_empty() && !rewriter.useful());
}

#[test]
fn nothing_after_done_is_looked_at() {
    let mut rewriter = SseRewriter::new(voice(), UsageWanted::No, PLAIN, 100);
    push(&mut rewriter, &format!("{STOP}{DONE}data: oops\n\n")).unwrap();
    assert_eq!(push(&mut rewriter, &"x".repeat(1000)).unwrap(), "");
    assert_eq!(push(&mut rewriter, "\n\nevent: error\ndata: x\n\n").unwrap(), "");
    assert!(rewriter.done());
}

#[test]
fn an_event_too_large_ends_the_stream_even_if_it_is_a_comment() {
    let mut rewriter = SseRewriter::new(voice(), UsageWanted::No, PLAIN, 100);
    for _ in 0..3 {
        // Each comment event fits on its own.
        assert_eq!(push(&mut rewriter, &format!(":{}\n\n", "x".repeat(98))).unwrap(), "");
    }
    assert_eq!(
        push(&mut rewriter, ":").and(push(&mut rewriter, &"x".repeat(100))),
        Err(UpstreamFault::EventTooLarge)
    );
    assert_eq!(push(&mut rewriter, ""), Err(UpstreamFault::EventTooLarge));
}

#[test]
fn invalid_utf8_is_bad_json_and_harmless_in_a_comment() {
    let mut out = BytesMut::new();
    assert_eq!(rewriter(UsageWanted::No).push(b": \xff\n\n", &mut out), Ok(()));
    assert_eq!(
        rewriter(UsageWanted::No).push(b"data: {\"a\":\"\xff\"}\n\n", &mut out),
        Err(UpstreamFault::BadJson)
    );
}

#[test]
fn an_error_in_a_stream_says_why_before_anything_was_told_and_after() {
    for (event, reason, status) in [
        (
            "data: {\"error\":{\"code\":\"content_filter\",\"status\":400}}\n\n",
            Reason::ContentPolicy,
            Some(400),
        ),
        ("data: {\"error\":{\"message\":\"m\",\"code\":500}}\n\n", Reason::Other, Some(500)),
        ("data: {\"error\":\"oops\"}\n\n", Reason::Other, None),
        (
            "event: error\ndata: {\"type\":\"error\",\"error\":{\"type\":\"overloaded_error\",\"message\":\"m\"}}\n\n",
            Reason::Capacity,
            None,
        ),
        ("event: error\ndata: {\"message\":\"Too many requests\"}\n\n", Reason::RateLimited, None),
        ("event: error\ndata: <html>\n\n", Reason::Other, None),
        ("event: error\ndata: \n\n", Reason::Other, None),
        (
            "data: {\"error\":{\"code\":429,\"message\":\"m\"},\"choices\":[{\"delta\":{\"content\":\"\"},\"finish_reason\":\"error\"}]}\n\n",
            Reason::Other,
            Some(429),
        ),
        (
            "data: {\"choices\":[{\"delta\":{},\"finish_reason\":\"error\",\"error\":{\"code\":\"insufficient_quota\"}}]}\n\n",
            Reason::Quota,
            None,
        ),
        ("data: {\"object\":\"error\",\"message\":\"m\",\"code\":400}\n\n", Reason::Other, Some(400)),
        ("data: [{\"error\":{\"code\":503,\"status\":\"UNAVAILABLE\"}}]\n\n", Reason::Other, Some(503)),
    ] {
        let fault = Err(UpstreamFault::ErrorInAnswer(Said { reason, status }));
        for before in ["", TEXT] {
            let mut rewriter = rewriter(UsageWanted::No);
            push(&mut rewriter, before).unwrap();
            let mut out = BytesMut::new();
            assert_eq!(rewriter.push(event.as_bytes(), &mut out), fault, "{event}");
            assert_eq!(rewriter.finish(&mut out), fault, "{event}");
            assert!(out.is_empty() && !rewriter.done());
            assert_eq!(rewriter.useful(), !before.is_empty());
        }
    }
}
