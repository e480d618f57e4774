//! The held session: nothing is shown before it is worth showing, a failure before that is invisible,
//! one after it is told, and whoever leaves is not waited for. These tests pin what we rest on in
//! Pingora's doc-hidden session trait; run them on every change of its version.

use std::time::Duration;

use crate::kit::answers::{error_answer, json_answer, sse, sse_answer, sse_events, sse_head};
use crate::kit::client::{End, ask, ask_stream, chat_request};
use crate::kit::config::Gateway;
use crate::kit::h2::{H2Client, StreamEnd};
use crate::kit::script::{Step, bytes, chunk, head, last_chunk, whole};
use crate::kit::upstream::Upstream;
use crate::kit::{DEADLINE, KEY, sse as split};

const LAST_WORDS: &str = "data: {\"error\":{\"type\":\"upstream_unavailable\",\
    \"message\":\"The requested model alias 'general' is temporarily unavailable.\",\
    \"code\":\"upstream_unavailable\"}}\n\n";

fn good() -> Upstream {
    Upstream::start(|seen| if seen.wants_stream() { sse_answer(&["o", "k"]) } else { json_answer("ok") })
}

/// The events before the failure, then whatever the failure is.
fn after_two_events(failure: Vec<Step>) -> Vec<Step> {
    let mut steps = vec![sse_head()];
    steps.extend(sse_events(&["one"]).iter().take(2).map(chunk));
    steps.extend(failure);
    steps
}

#[test]
fn ten_requests_share_one_connection_on_both_sides() {
    let upstream = good();
    let daemon = Gateway::new().backend(&upstream).start();
    let mut client = daemon.client();
    for round in 0..10 {
        let answer = client.chat(&if round % 2 == 0 { ask("general") } else { ask_stream("general") });
        assert_eq!((answer.status, answer.end), (200, End::Clean), "round {round}");
        assert_eq!(answer.header("connection"), Some("keep-alive"));
    }
    assert_eq!(upstream.connections(), 1);
}

#[test]
fn a_whole_answer_comes_with_its_length_and_in_one_segment() {
    let upstream = Upstream::always(json_answer("ok"));
    let daemon = Gateway::new().backend(&upstream).start();
    let answer = daemon.client().chat(&ask("general"));
    assert_eq!(answer.header("content-length"), Some(answer.body.len().to_string().as_str()));
    assert_eq!(answer.header("transfer-encoding"), None);
}

#[test]
fn nothing_is_sent_before_the_first_useful_event() {
    let events = sse_events(&["hello"]);
    let upstream = Upstream::start(move |_| {
        let mut steps = vec![sse_head(), chunk(": comment\n\n"), Step::Wait("go")];
        steps.extend(events.iter().map(chunk));
        steps.push(last_chunk());
        steps
    });
    let daemon = Gateway::new().backend(&upstream).start();
    let mut client = daemon.client();
    client.send(&chat_request(KEY, &ask_stream("general")));
    upstream.wait_requests(1);
    assert!(client.nothing_yet(), "a head was sent although nothing useful had come");
    upstream.open("go");
    let answer = client.read();
    assert_eq!((answer.status, split::text(&answer.body).as_str()), (200, "hello"));
}

/// Every way in which a backend can fail before its first useful word.
fn early_failures() -> Vec<(&'static str, Vec<Step>)> {
    let events = [("Content-Type", "text/event-stream"), ("Transfer-Encoding", "chunked")];
    let json = [("Content-Type", "application/json")];
    let error = "data: {\"error\":{\"message\":\"canary\"}}\n\n";
    vec![
        ("500", error_answer(500)),
        ("401", error_answer(401)),
        ("429", error_answer(429)),
        ("close before the head", vec![Step::Close]),
        ("reset before the head", vec![Step::Reset]),
        ("garbage for a head", vec![bytes("HELO canary\r\n\r\n"), Step::Close]),
        ("error as first event", vec![head(200, &events), chunk(error), last_chunk()]),
        ("error after pings", vec![head(200, &events), chunk(": ping\n\n"), chunk(error), last_chunk()]),
        ("clean end without an event", vec![head(200, &events), last_chunk()]),
        ("close before an event", vec![head(200, &events), Step::Close]),
        ("close inside the first event", vec![head(200, &events), chunk("data: {\"id\""), Step::Close]),
        ("wrong type", whole(200, &[("Content-Type", "text/html")], "<p>canary</p>")),
        (
            "JSON that is cut",
            vec![head(200, &[json[0], ("Content-Length", "99")]), bytes("{\"id"), Step::Close],
        ),
        ("JSON that is none", whole(200, &json, "{nonsense")),
        ("an error in a 200", whole(200, &json, "{\"error\":{\"message\":\"canary\"}}")),
        ("no choices", whole(200, &json, "{\"choices\":[]}")),
        ("empty body", whole(200, &json, "")),
        ("unsolicited 101", vec![head(101, &[("Upgrade", "canary")]), Step::Close]),
        ("204", whole(204, &[], "")),
        ("compressed", whole(200, &[json[0], ("Content-Encoding", "gzip")], "canary")),
    ]
}

#[test]
fn a_failure_before_the_first_useful_event_is_invisible() {
    for (name, script) in early_failures() {
        let (bad, good) = (Upstream::always(script), good());
        let daemon = Gateway::new().backend(&bad).backend(&good).start();
        // Round robin: each request meets the bad backend first, or only the good one.
        for ask in [ask("general"), ask_stream("general"), ask("general"), ask_stream("general")] {
            let mut client = daemon.client();
            let first = client.chat(&ask);
            assert_eq!((first.status, first.end), (200, End::Clean), "{name}");
            assert!(!first.everything().to_lowercase().contains("canary"), "{name}: {}", first.everything());
            let second = client.chat(&ask);
            assert_eq!(second.status, 200, "{name}: the connection was not kept");
        }
    }
}

#[test]
fn when_all_fail_the_client_gets_one_502_in_json() {
    for (name, script) in early_failures().into_iter().filter(|(name, _)| *name != "429") {
        let (one, two) = (Upstream::always(script.clone()), Upstream::always(script));
        let daemon = Gateway::new().backend(&one).backend(&two).start();
        for ask in [ask("general"), ask_stream("general")] {
            let answer = daemon.client().chat(&ask);
            assert_eq!(answer.status, 502, "{name}");
            assert_eq!(answer.json()["error"]["code"], "upstream_unavailable", "{name}");
            assert_eq!(answer.header("content-type"), Some("application/json"), "{name}");
            assert!(!answer.everything().to_lowercase().contains("canary"), "{name}");
        }
    }
}

#[test]
fn a_request_that_the_backend_refuses_is_not_taken_elsewhere() {
    for status in [400, 413, 422] {
        let (bad, good) = (Upstream::always(error_answer(status)), good());
        let daemon = Gateway::new().backend(&bad).backend(&good).start();
        let answer = daemon.client().chat(&ask("general"));
        assert_eq!(answer.status, 400, "{status}");
        assert_eq!(answer.json()["error"]["code"], "invalid_request");
        assert_eq!(good.requests().len(), 0);
    }
}

/// Every way in which a stream can break after its first useful event.
fn late_failures() -> Vec<(&'static str, Vec<Step>)> {
    vec![
        ("close", vec![Step::Close]),
        ("reset", vec![Step::Wait("seen"), Step::Reset]),
        ("close inside an event", vec![chunk("data: {\"choices\":[{\"del"), Step::Close]),
        ("end without a finish reason", vec![last_chunk()]),
        ("[DONE] without a finish reason", vec![chunk("data: [DONE]\n\n"), last_chunk()]),
        ("error event", vec![chunk("data: {\"error\":{\"message\":\"canary\"}}\n\n"), last_chunk()]),
        ("nonsense", vec![chunk("data: canary\n\n"), last_chunk()]),
        ("bad chunk", vec![bytes("zz\r\ncanary"), Step::Close]),
        (
            "invalid UTF-8",
            vec![chunk(b"data: {\"choices\":[{\"delta\":{\"content\":\"\xff\"}}]}\n\n"), last_chunk()],
        ),
        ("then silence", vec![Step::Stall]),
        ("error, then silence", vec![chunk("data: {\"error\":\"canary\"}\n\n"), Step::Stall]),
    ]
}

#[test]
fn a_failure_after_the_first_useful_event_is_one_error_event_and_a_clean_end() {
    for (name, failure) in late_failures() {
        let upstream = Upstream::always(after_two_events(failure));
        let other = good();
        let daemon = Gateway::new().backend(&upstream).idle("500ms").start();
        let mut client = daemon.client();
        client.send(&chat_request(KEY, &ask_stream("general")));
        let head = client.read_head();
        let first = client.event();
        upstream.open("seen");
        let answer = client.rest(head).expect("an answer");
        assert!(first.is_some_and(|event| event.contains("\"delta\"")), "{name}");
        assert_eq!(answer.end, End::Clean, "{name}");
        let events = split::events(&[client.unread_text(), answer.body.clone()].concat());
        assert_eq!(events.last().map(String::as_str), Some(LAST_WORDS), "{name}: {events:?}");
        assert_eq!(events.iter().filter(|event| event.contains("\"error\"")).count(), 1, "{name}");
        assert!(!events.concat().contains("[DONE]"), "{name}");
        assert!(!events.concat().contains("canary"), "{name}");
        assert_eq!(other.requests().len(), 0, "{name}: asked elsewhere after the first useful event");
        let lines = daemon.log_lines(1);
        let reason = lines[0]["reason"].as_str().unwrap_or_else(|| panic!("{name}: no reason in the log"));
        daemon.wait_metric(
            &format!(
                "byname_upstream_attempts_total{{backend=\"{}\",outcome=\"{reason}\",pool=\"main\"}}",
                upstream.addr()
            ),
            1.0,
        );
        if name.ends_with("silence") {
            assert!(upstream.wait_closed(0, DEADLINE), "{name}: the backend was kept");
        }
    }
}

#[test]
fn after_a_broken_stream_that_upstream_ended_the_connection_serves_the_next_request() {
    let upstream = Upstream::in_turn(vec![after_two_events(vec![Step::Close]), sse_answer(&["ok"])]);
    let daemon = Gateway::new().backend(&upstream).start();
    let mut client = daemon.client();
    let broken = client.chat(&ask_stream("general"));
    assert!(split::events(&broken.body).last().is_some_and(|event| event == LAST_WORDS));
    let whole = client.chat(&ask_stream("general"));
    assert_eq!(split::text(&whole.body), "ok");
}

#[test]
fn the_same_holds_over_http2() {
    let upstream = Upstream::in_turn(vec![
        after_two_events(vec![Step::Close]),
        sse_answer(&["o", "k"]),
        json_answer("ok"),
        error_answer(500),
    ]);
    let daemon = Gateway::new().backend(&upstream).h2c().start();
    let client = H2Client::connect(daemon.addr());
    let authorization = format!("Bearer {KEY}");
    let headers = [("authorization", authorization.as_str()), ("content-type", "application/json")];
    let ask = |body: String| client.request("POST", "/v1/chat/completions", &headers, &[body.as_bytes()]);
    let broken = ask(ask_stream("general"));
    assert_eq!((broken.status, &broken.end), (200, &StreamEnd::Clean));
    assert!(broken.text().ends_with(LAST_WORDS));
    let stream = ask(ask_stream("general"));
    assert_eq!((split::text(&stream.body()).as_str(), &stream.end), ("ok", &StreamEnd::Clean));
    assert_eq!(stream.header("transfer-encoding"), None);
    let json = ask(self::ask("general"));
    assert_eq!((json.status, &json.end), (200, &StreamEnd::Clean));
    let failed = ask(self::ask("general"));
    assert_eq!((failed.status, &failed.end), (502, &StreamEnd::Clean));
}

#[test]
fn a_client_that_leaves_while_it_is_held_ends_the_upstream_request() {
    for first in
        [vec![Step::Stall], vec![sse_head(), Step::Stall], vec![sse_head(), chunk(": ping\n\n"), Step::Stall]]
    {
        let upstream = Upstream::always(first);
        let daemon = Gateway::new().backend(&upstream).start();
        let mut client = daemon.client();
        client.send(&chat_request(KEY, &ask_stream("general")));
        upstream.wait_requests(1);
        drop(client);
        assert!(upstream.wait_closed(0, DEADLINE));
        let line = &daemon.log_lines(1)[0];
        assert_eq!(line["status"], 499);
        daemon.wait_metric("byname_client_disconnects_total", 1.0);
        daemon.wait_metric("byname_serving", 0.0);
        assert_eq!(upstream.requests().len(), 1, "asked again for a client that had left");
    }
}

#[test]
fn a_client_that_leaves_in_mid_stream_ends_the_upstream_request() {
    let upstream = Upstream::always(after_two_events(vec![Step::Stall]));
    let daemon = Gateway::new().backend(&upstream).h2c().start();
    let mut client = daemon.client();
    client.send(&chat_request(KEY, &ask_stream("general")));
    client.read_head();
    assert!(client.event().is_some());
    client.reset();
    assert!(upstream.wait_closed(0, DEADLINE));

    let h2 = H2Client::connect(daemon.addr());
    let authorization = format!("Bearer {KEY}");
    let headers = [("authorization", authorization.as_str()), ("content-type", "application/json")];
    let body = ask_stream("general");
    let mut stream = h2.open("POST", "/v1/chat/completions", &headers, &[body.as_bytes()]);
    assert_eq!(stream.head().expect("a head").0, 200);
    stream.cancel();
    assert!(upstream.wait_closed(1, DEADLINE));
    assert!(daemon.log_lines(2).iter().all(|line| line["status"] == 499));
    daemon.wait_metric("byname_serving", 0.0);
}

#[test]
fn a_backend_that_says_nothing_useful_in_time_is_left_for_another() {
    let pings = || {
        let mut steps = vec![sse_head()];
        steps.extend([chunk(": ping\n\n"), Step::Stall]);
        steps
    };
    for silent in [vec![Step::Stall], vec![sse_head(), Step::Stall], pings()] {
        let (bad, good) = (Upstream::always(silent), good());
        let daemon = Gateway::new().backend(&bad).backend(&good).first_byte("1s").start();
        let answer = daemon.client().chat(&ask_stream("general"));
        assert_eq!(split::text(&answer.body), "ok");
        assert!(bad.wait_closed(0, DEADLINE));
        let attempts = format!(
            "byname_upstream_attempts_total{{backend=\"{}\",outcome=\"first_byte_timeout\",pool=\"main\"}}",
            bad.addr()
        );
        assert_eq!(daemon.metric(&attempts), Some(1.0));
    }
}

#[test]
fn when_no_backend_answers_in_time_the_client_gets_a_502() {
    let (one, two) = (Upstream::always(vec![Step::Stall]), Upstream::always(vec![Step::Stall]));
    let daemon = Gateway::new().backend(&one).backend(&two).first_byte("300ms").start();
    for ask in [ask("general"), ask_stream("general")] {
        assert_eq!(daemon.client().chat(&ask).status, 502);
    }
    let line = &daemon.log_lines(1)[0];
    assert_eq!((&line["reason"], &line["attempts"]), (&"first_byte_timeout".into(), &2.into()));
}

#[test]
fn the_end_of_the_whole_request_is_shared_by_its_attempts() {
    let (one, two) = (Upstream::always(vec![Step::Stall]), Upstream::always(vec![Step::Stall]));
    let daemon = Gateway::new()
        .backend(&one)
        .backend(&two)
        .connect("300ms")
        .first_byte("300ms")
        .idle("300ms")
        .total("400ms")
        .start();
    assert_eq!(daemon.client().chat(&ask("general")).status, 502);
    assert_eq!(daemon.log_lines(1)[0]["reason"], "total_timeout");
}

#[test]
fn comments_do_not_count_as_signs_of_life() {
    let upstream = Upstream::start(|_| {
        let mut steps = after_two_events(Vec::new());
        for _ in 0..200 {
            steps.extend([chunk(": ping\n\n"), Step::Pause(Duration::from_millis(20))]);
        }
        steps
    });
    let daemon = Gateway::new().backend(&upstream).idle("300ms").start();
    let answer = daemon.client().chat(&ask_stream("general"));
    assert!(split::events(&answer.body).last().is_some_and(|event| event == LAST_WORDS));
    assert_eq!(daemon.log_lines(1)[0]["reason"], "idle_timeout");
}

#[test]
fn a_backend_that_goes_on_after_done_costs_the_client_nothing() {
    // The end must reach the client at once, the next request must not be lost, and the request
    // must end: said "done" too early, Pingora would wait for this backend for ever.
    let events = sse_events(&["ok"]);
    let upstream = Upstream::start(move |seen| {
        if !seen.wants_stream() {
            return json_answer("next");
        }
        let mut steps = vec![sse_head()];
        steps.extend(events.iter().map(chunk));
        steps.push(Step::Stall);
        steps
    });
    let daemon = Gateway::new().backend(&upstream).start();
    let mut client = daemon.client();
    let answer = client.chat(&ask_stream("general"));
    assert_eq!(
        (answer.end, split::data(&answer.body).last().map(String::as_str)),
        (End::Clean, Some("[DONE]"))
    );
    assert!(upstream.wait_closed(0, DEADLINE), "the silent backend was kept");
    let line = &daemon.log_lines(1)[0];
    assert_eq!((&line["status"], line.get("reason")), (&200.into(), None));
    daemon.wait_metric("byname_serving", 0.0);
    // Asked when the backend has been left, and asked at once.
    assert_eq!(client.chat(&ask("general")).status, 200);
    assert_eq!(client.chat(&ask_stream("general")).end, End::Clean);
    assert_eq!(client.chat(&ask("general")).status, 200);
    assert_eq!(daemon.metric_sum("byname_connections", &[]), 1.0);
}

/// A stream that is ended for its backend's silence is an answer like any other to its connection.
#[test]
fn a_stream_that_ends_with_an_error_leaves_its_connection_to_the_next_request() {
    let upstream = Upstream::start(|seen| {
        if seen.wants_stream() { after_two_events(vec![Step::Stall]) } else { json_answer("next") }
    });
    for h2c in [false, true] {
        let gateway = Gateway::new().backend(&upstream).idle("500ms");
        let daemon = if h2c { gateway.h2c() } else { gateway }.start();
        let mut client = daemon.client();
        for _ in 0..2 {
            let answer = client.chat(&ask_stream("general"));
            assert_eq!(answer.end, End::Clean);
            assert!(split::events(&answer.body).last().is_some_and(|event| event == LAST_WORDS));
            assert_eq!(client.chat(&ask("general")).status, 200);
        }
    }
}

#[test]
fn a_client_that_reads_slowly_gets_every_byte_and_one_that_never_reads_is_cut() {
    let piece = "x".repeat(8 * 1024);
    let pieces: Vec<&str> = std::iter::repeat_n(piece.as_str(), 20).collect();
    let upstream = Upstream::always(sse_answer(&pieces));
    let daemon = Gateway::new().backend(&upstream).start();
    let mut client = daemon.client();
    client.narrow();
    client.send(&chat_request(KEY, &ask_stream("general")));
    let head = client.read_head();
    let mut read = 0;
    for _ in 0..5 {
        read += client.piece().expect("a piece").map_or(0, |piece| piece.len());
    }
    let rest = client.rest(head).expect("the rest");
    assert_eq!(rest.end, End::Clean);
    let text = String::from_utf8_lossy(&rest.body);
    assert!(read > 0 && text.ends_with("data: [DONE]\n\n"));

    // More than the system's socket buffers take.
    let pieces: Vec<&str> = std::iter::repeat_n(piece.as_str(), 3000).collect();
    let stalled = Upstream::always(sse_answer(&pieces));
    let daemon = Gateway::new().backend(&stalled).server("write_timeout", "500ms").start();
    let mut client = daemon.client();
    client.narrow();
    client.send(&chat_request(KEY, &ask_stream("general")));
    stalled.wait_requests(1);
    assert!(stalled.wait_closed(0, DEADLINE), "a client that never reads is waited for");
}

#[test]
fn term_lets_a_held_request_and_a_stream_end() {
    let events = sse_events(&["ok"]);
    let upstream = Upstream::start(move |_| {
        let mut steps = vec![Step::Wait("go"), sse_head()];
        steps.extend(events.iter().map(chunk));
        steps.push(last_chunk());
        steps
    });
    let mut daemon = Gateway::new().backend(&upstream).start();
    let mut client = daemon.client();
    client.send(&chat_request(KEY, &ask_stream("general")));
    upstream.wait_requests(1);
    daemon.terminate();
    daemon.wait_unready();
    upstream.open("go");
    let answer = client.read();
    assert_eq!((answer.end, split::text(&answer.body).as_str()), (End::Clean, "ok"));
    assert_eq!(daemon.wait().code(), Some(0));
    assert_eq!(daemon.log_lines(1).len(), 1, "the last line of the log was lost");
}

#[test]
fn a_kept_connection_that_the_backend_has_closed_costs_the_client_nothing() {
    // The backend closes after each answer without having said so.
    let upstream = Upstream::start(|_| [json_answer("ok"), vec![Step::Close]].concat());
    let daemon = Gateway::new().backend(&upstream).start();
    let mut client = daemon.client();
    for _ in 0..20 {
        assert_eq!(client.chat(&ask("general")).status, 200);
    }
    assert_eq!(upstream.requests().len(), 20, "a request was executed twice");
}

#[test]
fn a_1xx_from_the_backend_is_dropped() {
    let mut steps = vec![head(103, &[("Link", "canary")]), head(100, &[])];
    steps.extend(json_answer("ok"));
    let upstream = Upstream::always(steps);
    let daemon = Gateway::new().backend(&upstream).start();
    let answer = daemon.client().chat(&ask("general"));
    assert_eq!(answer.status, 200);
    assert!(!answer.everything().contains("canary"));
}

#[test]
fn an_http10_client_gets_a_stream_that_ends_with_its_connection() {
    let upstream = good();
    let daemon = Gateway::new().backend(&upstream).start();
    for (ask, last) in [(ask_stream("general"), "data: [DONE]\n\n"), (ask("general"), "}")] {
        let mut client = daemon.client();
        let request = String::from_utf8(chat_request(KEY, &ask)).unwrap().replace("HTTP/1.1", "HTTP/1.0");
        client.send(request.as_bytes());
        let answer = client.read();
        assert_eq!((answer.status, answer.header("transfer-encoding")), (200, None));
        assert!(answer.text().ends_with(last));
        assert!(client.is_closed());
    }
}

#[test]
fn every_cut_of_the_network_gives_the_same_answer() {
    let expected = |steps: Vec<Step>, ask: &str| {
        let upstream = Upstream::always(steps);
        let daemon = Gateway::new().backend(&upstream).start();
        let body = daemon.client().chat(ask).text();
        let mut lines: Vec<_> = body.split("\n\n").map(str::to_owned).collect();
        lines
            .iter_mut()
            .for_each(|line| *line = line.split("\"choices\"").last().unwrap_or_default().to_owned());
        lines
    };
    let stream = || sse(&sse_events(&["日本語", "🙂", "end"]));
    let whole = expected(stream(), &ask_stream("general"));
    for size in [1, 2, 3, 7, 50] {
        let cut = crate::kit::script::in_pieces(stream(), size);
        assert_eq!(expected(cut, &ask_stream("general")), whole, "pieces of {size}");
    }
    let whole = expected(json_answer("日本語"), &ask("general"));
    assert_eq!(expected(crate::kit::script::in_pieces(json_answer("日本語"), 1), &ask("general")), whole);
}

#[test]
fn a_context_overflow_is_told_as_one_and_any_other_refusal_is_not() {
    let refusal = |message: &str, code: &str| {
        let body = format!(r#"{{"error":{{"message":"canary {message}","type":"canary","code":"{code}"}}}}"#);
        whole(400, &[("Content-Type", "application/json")], &body)
    };
    for (message, code, told) in [
        ("", "context_length_exceeded", true),
        ("This model's maximum context length is 9 tokens", "400", true),
        ("No such field", "unsupported_parameter", false),
    ] {
        let upstream = Upstream::always(refusal(message, code));
        let daemon = Gateway::new().backend(&upstream).start();
        for ask in [ask("general"), ask_stream("general")] {
            let answer = daemon.client().chat(&ask);
            assert_eq!((answer.status, &answer.json()["error"]["code"]), (400, &"invalid_request".into()));
            assert_eq!(answer.text().contains("context_length_exceeded"), told, "{message} {code}");
            assert!(!answer.everything().contains("canary"));
        }
        assert_eq!(upstream.requests().len(), 2, "asked again for a request that is at fault itself");
    }
}

#[test]
fn one_attempt_survives_a_kept_connection_that_was_closed() {
    // The first answer keeps the connection; the second request on it is read and answered by a close.
    let upstream = Upstream::start(|seen| match seen.index {
        1 => vec![Step::Close],
        _ => json_answer("ok"),
    });
    let daemon = Gateway::new().backend(&upstream).attempts(1).start();
    let mut client = daemon.client();
    for _ in 0..3 {
        assert_eq!(client.chat(&ask("general")).status, 200);
    }
    assert_eq!(daemon.metric("byname_retries_total"), Some(1.0));
    let lines = daemon.log_lines(3);
    assert_eq!(
        (&lines[1]["attempts"], &lines[1]["backend"]),
        (&2.into(), &upstream.addr().to_string().into())
    );
}

/// What breaks after a while may have been worked on: no dead connection, and an attempt like any other.
#[test]
fn one_attempt_is_all_when_a_kept_connection_breaks_later() {
    let upstream = Upstream::start(|seen| match seen.index {
        1 => vec![Step::Pause(Duration::from_millis(1500)), Step::Close],
        _ => json_answer("ok"),
    });
    let daemon = Gateway::new().backend(&upstream).attempts(1).start();
    let mut client = daemon.client();
    assert_eq!([200, 502, 200], [(); 3].map(|()| client.chat(&ask("general")).status));
    assert_eq!(daemon.metric("byname_retries_total"), Some(0.0));
    assert_eq!(daemon.log_lines(3)[1]["attempts"], 1);
}

#[test]
fn a_backend_alone_is_not_said_to_be_tried_again() {
    let upstream = Upstream::always(error_answer(500));
    let daemon = Gateway::new().backend(&upstream).start();
    assert_eq!(daemon.client().chat(&ask("general")).status, 502);
    assert_eq!(daemon.metric("byname_retries_total"), Some(0.0));
}

#[test]
fn a_client_that_is_slower_than_the_idle_time_still_gets_every_byte() {
    let piece = "x".repeat(8 * 1024);
    let pieces: Vec<&str> = std::iter::repeat_n(piece.as_str(), 1500).collect();
    for _ in 0..3 {
        let upstream = Upstream::always(sse_answer(&pieces));
        let daemon = Gateway::new().backend(&upstream).idle("500ms").start();
        let mut client = daemon.client();
        client.send(&chat_request(KEY, &ask_stream("general")));
        let head = client.read_head();
        // Longer than `idle`, with more to read than the system's buffers take.
        std::thread::sleep(Duration::from_millis(1200));
        let answer = client.rest(head).expect("an answer");
        assert!(answer.text().ends_with("data: [DONE]\n\n"), "cut after {} bytes", answer.body.len());
    }
}

#[test]
fn a_stream_without_usage_is_estimated_and_told_so() {
    let events: Vec<String> =
        sse_events(&["月次レポート"]).into_iter().filter(|event| !event.contains("\"usage\":{")).collect();
    let upstream = Upstream::always(sse(&events));
    let daemon = Gateway::new().backend(&upstream).start();
    for request in 1..=2 {
        assert_eq!(daemon.client().chat(&ask_stream("general")).status, 200);
        daemon.log_lines(request);
    }
    let lines = daemon.log_lines(2);
    for line in &lines {
        assert_eq!((&line["completion_tokens"], &line["token_source"]), (&6.into(), &"estimated".into()));
    }
    // Nobody had to weigh the first prompt before it was known that the model counts nothing.
    assert!(lines[0].get("prompt_tokens").is_none());
    let prompt = lines[1]["prompt_tokens"].as_f64().expect("an estimate");
    assert!(prompt > 0.0);
    let labels = [("kind", "prompt"), ("source", "estimated")];
    assert_eq!(daemon.metric_sum("byname_tokens_total", &labels), prompt);
}

#[test]
fn a_whole_answer_without_usage_is_estimated_with_its_prompt() {
    let body =
        r#"{"choices":[{"index":0,"message":{"role":"assistant","content":"ok"},"finish_reason":"stop"}]}"#;
    let upstream = Upstream::always(whole(200, &[("Content-Type", "application/json")], body));
    let daemon = Gateway::new().backend(&upstream).start();
    let told = daemon.client().chat(&ask("general")).json()["usage"]["prompt_tokens"].clone();
    let line = &daemon.log_lines(1)[0];
    assert_eq!((&line["prompt_tokens"], &line["token_source"]), (&told, &"estimated".into()));
    let labels = [("kind", "prompt"), ("source", "estimated")];
    assert_eq!(told.as_f64(), Some(daemon.metric_sum("byname_tokens_total", &labels)));
}
