//! Spans at a collector: what they tell, which requests have them, and who learns of a trace.

use std::time::Duration;

use crate::kit::answers::{error_answer, json_answer, sse_answer, sse_events, sse_head};
use crate::kit::client::{ask, ask_stream};
use crate::kit::collector::{Collector, attribute, hex, printed};
use crate::kit::config::{Gateway, digest};
use crate::kit::script::{Step, chunk, last_chunk};
use crate::kit::upstream::Upstream;
use crate::kit::{CANARY_PROMPT, KEY, MODEL};

const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const SPAN: &str = "b7ad6b7169203331";

/// A chat request with more headers.
fn asked(body: &str, headers: &str) -> Vec<u8> {
    let length = body.len();
    format!(
        "POST /v1/chat/completions HTTP/1.1\r\nHost: g\r\nAuthorization: Bearer {KEY}\r\n\
         Content-Type: application/json\r\n{headers}Content-Length: {length}\r\n\r\n{body}"
    )
    .into_bytes()
}

fn traceparent(flags: &str) -> String {
    format!("traceparent: 00-{TRACE}-{SPAN}-{flags}\r\ntracestate: vendor=state\r\n")
}

/// A stream that takes its time before each event.
fn slow_stream() -> Vec<Step> {
    let mut steps = vec![sse_head()];
    for event in sse_events(&["secret ", "words"]) {
        steps.extend([Step::Pause(Duration::from_millis(30)), chunk(event)]);
    }
    steps.push(last_chunk());
    steps
}

#[test]
fn a_streamed_request_that_failed_over_is_told_span_by_span() {
    let (bad, good) = (Upstream::always(error_answer(503)), Upstream::always(slow_stream()));
    let collector = Collector::start(&[200]);
    let daemon = Gateway::new()
        .pool("first", &[&bad])
        .pool("second", &[&good])
        .alias("general", &[("first", MODEL), ("second", "other-model")])
        .pool_line("trace_context: true")
        .section(&collector.section("sample: 100%, headers: { X-Key: { env: COLLECTOR_KEY } }"))
        .env("COLLECTOR_KEY", "collector-secret")
        .start();
    let mut client = daemon.client();
    client.send(&asked(&ask_stream("general").replace("Hello", CANARY_PROMPT), &traceparent("01")));
    let answer = client.read();
    assert_eq!(answer.status, 200);
    assert!(answer.text().ends_with("data: [DONE]\n\n"));
    assert!(answer.header("traceparent").is_none() && !answer.text().contains(TRACE));

    let spans = collector.wait_spans(3);
    let [request, first, second] = spans.as_slice() else { panic!("three spans: {spans:?}") };
    let zero = request.start_time_unix_nano;
    for span in &spans {
        print!("{}", printed(span, zero));
        assert_eq!(hex(&span.trace_id), TRACE);
        assert!(span.start_time_unix_nano >= zero && span.end_time_unix_nano >= span.start_time_unix_nano);
        assert!(span.end_time_unix_nano <= request.end_time_unix_nano);
    }
    assert_eq!(hex(&request.parent_span_id), SPAN);
    assert_eq!((&first.parent_span_id, &second.parent_span_id), (&request.span_id, &request.span_id));
    assert!(first.end_time_unix_nano <= second.start_time_unix_nano, "one after the other");
    assert_eq!((request.kind, first.kind, second.kind), (2, 3, 3), "server, client, client");
    let id = answer.header("x-request-id").expect("an id");
    for (span, name, expected) in [
        (
            request,
            "chat general",
            vec![
                ("gen_ai.operation.name", "chat"),
                ("gen_ai.request.model", "general"),
                ("gen_ai.request.stream", "true"),
                ("gen_ai.response.finish_reasons", "[stop]"),
                ("gen_ai.usage.input_tokens", "42"),
                ("gen_ai.usage.output_tokens", "128"),
                ("http.route", "/v1/chat/completions"),
                ("http.response.status_code", "200"),
                ("byname.tenant", "acme"),
                ("byname.key", "web"),
                ("byname.attempts", "2"),
                ("byname.request_id", id),
            ],
        ),
        (
            first,
            &*format!("chat {MODEL}"),
            vec![
                ("gen_ai.provider.name", "openai"),
                ("gen_ai.request.model", MODEL),
                ("error.type", "status_5xx"),
                ("http.response.status_code", "503"),
                ("server.address", "127.0.0.1"),
                ("server.port", &bad.addr().port().to_string()),
                ("byname.pool", "first"),
            ],
        ),
        (
            second,
            "chat other-model",
            vec![
                ("gen_ai.request.model", "other-model"),
                ("http.response.status_code", "200"),
                ("gen_ai.usage.output_tokens", "128"),
                ("byname.pool", "second"),
                ("byname.backend", &good.addr().to_string()),
            ],
        ),
    ] {
        assert_eq!(span.name, name);
        for (key, value) in expected {
            assert_eq!(attribute(span, key).as_deref(), Some(value), "{name}: {key}");
        }
    }
    assert_eq!(first.status.as_ref().map(|status| status.code), Some(2));
    assert!(request.status.as_ref().is_none_or(|status| status.code == 0));
    let wait: f64 = attribute(request, "gen_ai.response.time_to_first_chunk").unwrap().parse().unwrap();
    assert!((0.03..5.0).contains(&wait), "{wait}");

    // Each backend learns of its own span, because the pools say so.
    for (upstream, span) in [(&bad, first), (&good, second)] {
        let seen = upstream.requests().remove(0);
        let expected = format!("00-{TRACE}-{}-01", hex(&span.span_id));
        assert_eq!(seen.header("traceparent"), Some(&*expected));
        assert_eq!(seen.header("tracestate"), Some("vendor=state"));
    }
    let line = daemon.log_lines(1).remove(0);
    assert_eq!((line["trace_id"].as_str(), line["request_id"].as_str()), (Some(TRACE), Some(id)));
    let post = collector.posts().remove(0);
    assert_eq!(post.head.first, "POST /v1/traces HTTP/1.1");
    assert_eq!(post.head.header("content-type"), Some("application/x-protobuf"));
    assert_eq!(post.head.header("x-key"), Some("collector-secret"));
    let said = String::from_utf8_lossy(&post.body).into_owned() + &daemon.stdout() + &daemon.stderr();
    for secret in [CANARY_PROMPT, "secret words", "secret ", KEY, "collector-secret"] {
        assert!(!said.contains(secret), "{secret}");
    }
    daemon.wait_metric("byname_traces_total{outcome=\"sent\"}", 1.0);
}

#[test]
fn backends_learn_of_no_trace_unless_their_pool_says_so() {
    let (silent, told) = (Upstream::always(json_answer("ok")), Upstream::always(json_answer("ok")));
    let collector = Collector::start(&[200]);
    let traced = Gateway::new().backend(&silent).section(&collector.section("sample: 100%")).start();
    // A pool passes on what comes, whether we take part or not.
    let untraced = Gateway::new().backend(&told).pool_line("trace_context: true").start();
    for (daemon, headers) in
        [(&traced, traceparent("01")), (&untraced, traceparent("01")), (&untraced, String::new())]
    {
        let mut client = daemon.client();
        client.send(&asked(&ask("general"), &headers));
        assert_eq!(client.read().status, 200);
    }
    assert_eq!(silent.requests()[0].header("traceparent"), None);
    assert_eq!(silent.requests()[0].header("tracestate"), None);
    let came = format!("00-{TRACE}-{SPAN}-01");
    assert_eq!(told.requests()[0].header("traceparent"), Some(&*came));
    assert_eq!(told.requests()[1].header("traceparent"), None);
    assert_eq!(collector.wait_spans(2).len(), 2);
    assert!(untraced.log_lines(1)[0].get("trace_id").is_none());
}

#[test]
fn a_client_can_ask_for_less_and_a_malformed_context_is_none() {
    let upstream = Upstream::always(json_answer("ok"));
    let collector = Collector::start(&[200]);
    let daemon = Gateway::new().backend(&upstream).section(&collector.section("sample: 100%")).start();
    let mut client = daemon.client();
    for headers in [
        // Its client does not keep its own part.
        traceparent("00"),
        // Twice is no context, nor is one that is malformed: a trace of our own begins.
        traceparent("01").repeat(2),
        "traceparent: 00-XYZ\r\n".to_owned(),
    ] {
        client.send(&asked(&ask("general"), &headers));
        assert_eq!(client.read().status, 200);
    }
    client.send(&asked(&ask("nobody"), ""));
    assert_eq!(client.read().status, 404);
    let spans = collector.wait_spans(5);
    let lines = daemon.log_lines(4);
    assert!(lines[0].get("trace_id").is_none());
    for line in &lines[1..] {
        let id = line["request_id"].as_str().unwrap().replace('-', "");
        assert_eq!(line["trace_id"], id.as_str(), "a trace that begins here has the request's id");
        assert!(spans.iter().any(|span| hex(&span.trace_id) == id && span.parent_span_id.is_empty()));
    }
    let refused = spans.iter().find(|span| attribute(span, "error.type").is_some()).expect("the 404");
    assert_eq!(attribute(refused, "http.response.status_code").as_deref(), Some("404"));
    assert!(refused.status.as_ref().is_none_or(|status| status.code == 0), "no failure of ours");
    assert!(!refused.name.contains("nobody"), "an alias that does not exist is the client's text");
}

#[test]
fn an_answer_that_a_policy_ends_is_no_failure_of_its_backend() {
    let upstream = Upstream::start(|seen| {
        if seen.wants_stream() { sse_answer(&["Take ", "a ", "bomb"]) } else { json_answer("a bomb") }
    });
    let collector = Collector::start(&[200]);
    let daemon = Gateway::new()
        .config_text(&format!(
            "server: {{ listen: \"{{listen}}\", admin: \"{{admin}}\" }}\n{}\n\
             pools: {{ main: {{ backends: [ {{ url: \"{}\" }} ] }} }}\n\
             policies: {{ p: {{ on_response: true, deny: [ {{ words: [ bomb ] }} ] }} }}\n\
             tenants: {{ acme: {{ keys: {{ web: {{ sha256: \"{}\" }} }}, models: {{ general: {{ policy: p, \
             routes: [ {{ pool: main, model: {MODEL} }} ] }} }} }} }}",
            collector.section("sample: 100%"),
            upstream.url(),
            digest(KEY)
        ))
        .start();
    assert_eq!(daemon.client().chat(&ask_stream("general")).status, 200);
    assert_eq!(daemon.client().chat(&ask("general")).status, 403);
    let spans = collector.wait_spans(4);
    let ends: Vec<_> = spans
        .iter()
        .map(|span| attribute(span, "gen_ai.response.finish_reasons").unwrap_or_default())
        .collect();
    assert_eq!(ends, ["[content_filter]", "[content_filter]", "", ""]);
    for (span, status) in spans.iter().zip(["200", "200", "403", "200"]) {
        let error = (span.kind == 2).then(|| "blocked_answer".to_owned());
        assert_eq!(attribute(span, "error.type"), error);
        assert_eq!(attribute(span, "http.response.status_code").as_deref(), Some(status));
        assert!(span.status.is_none(), "{span:?}");
        // A whole answer has no chunks.
        let streamed = attribute(span, "gen_ai.request.stream").as_deref() == Some("true");
        assert_eq!(attribute(span, "gen_ai.response.time_to_first_chunk").is_some(), streamed);
    }
}

#[test]
fn a_collector_that_fails_is_asked_once_more_and_never_in_a_requests_way() {
    let upstream = Upstream::always(json_answer("ok"));
    let collector = Collector::start(&[503, 200, 503]);
    let mut daemon = Gateway::new().backend(&upstream).section(&collector.section("sample: 100%")).start();
    assert_eq!(daemon.client().chat(&ask("general")).status, 200);
    daemon.wait_metric("byname_traces_total{outcome=\"sent\"}", 1.0);
    assert_eq!(collector.posts().len(), 2);
    assert_eq!(daemon.client().chat(&ask("general")).status, 200);
    daemon.wait_metric("byname_traces_total{outcome=\"failed\"}", 1.0);
    daemon.wait_for("1 traces are lost");
    // The last ones are posted before the process ends, although they have not gathered for long.
    assert_eq!(daemon.client().chat(&ask("general")).status, 200);
    daemon.terminate();
    assert!(daemon.wait().success());
    assert!(collector.posts().len() >= 5, "{}", collector.posts().len());
}
