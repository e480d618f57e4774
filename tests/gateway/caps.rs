//! Every cap at its edge, one below and one above (`max_body` is in `big_bodies.rs`), and what a log may hold.

use crate::kit::answers::{json_answer, sse_answer};
use crate::kit::client::{ask, ask_stream, chat_request};
use crate::kit::config::Gateway;
use crate::kit::h2::H2Client;
use crate::kit::process::soon;
use crate::kit::script::{chunk, head, last_chunk, whole};
use crate::kit::upstream::Upstream;
use crate::kit::{CANARY_PROMPT, DEADLINE, KEY, KEY_GLOBEX, MODEL};

const JSON: (&str, &str) = ("Content-Type", "application/json");
const EVENTS: [(&str, &str); 2] = [("Content-Type", "text/event-stream"), ("Transfer-Encoding", "chunked")];

#[test]
fn a_backends_json_answer_may_be_as_long_as_max_response() {
    let answer = |size: usize| {
        let (start, end) = (r#"{"choices":[{"message":{"content":""#, r#""},"finish_reason":"stop"}]}"#);
        format!("{start}{}{end}", "x".repeat(size - start.len() - end.len()))
    };
    for (size, status) in [(4095, 200), (4096, 200), (4097, 502)] {
        for chunked in [false, true] {
            let body = answer(size);
            let upstream = Upstream::always(if chunked {
                vec![head(200, &[JSON, EVENTS[1]]), chunk(&body[..2000]), chunk(&body[2000..]), last_chunk()]
            } else {
                whole(200, &[JSON], &body)
            });
            let daemon = Gateway::new().backend(&upstream).max_response("4KiB").start();
            assert_eq!(daemon.client().chat(&ask("general")).status, status, "{size} {chunked}");
            let hits = if status == 502 { 1.0 } else { 0.0 };
            daemon.wait_metric("byname_cap_exceeded_total{cap=\"max_response\"}", hits);
        }
    }
}

#[test]
fn a_backends_event_may_be_as_long_as_max_event() {
    let event = |size: usize| {
        // The line's end counts, the empty line does not.
        let (start, end) =
            (r#"data: {"choices":[{"delta":{"content":""#, "\"},\"finish_reason\":\"stop\"}]}\n");
        format!("{start}{}{end}\n", "x".repeat(size - start.len() - end.len()))
    };
    for (size, status) in [(2047, 200), (2048, 200), (2049, 502)] {
        let text = event(size);
        let upstream = Upstream::always(vec![
            head(200, &EVENTS),
            chunk(&text[..1000]),
            chunk(&text[1000..]),
            chunk("data: [DONE]\n\n"),
            last_chunk(),
        ]);
        let daemon = Gateway::new().backend(&upstream).max_event("2KiB").start();
        let answer = daemon.client().chat(&ask_stream("general"));
        assert_eq!(answer.status, status, "{size}");
        let hits = if status == 502 { 1.0 } else { 0.0 };
        daemon.wait_metric("byname_cap_exceeded_total{cap=\"max_event\"}", hits);
    }
}

#[test]
fn a_clients_head_may_be_as_long_as_max_head() {
    let upstream = Upstream::always(json_answer("ok"));
    let daemon = Gateway::new().backend(&upstream).max_head("2KiB").start();
    let request = |size: usize| {
        let start =
            format!("GET /v1/models HTTP/1.1\r\nHost: g\r\nAuthorization: Bearer {KEY}\r\nX-Filler: ");
        format!("{start}{}\r\n\r\n", "x".repeat(size - start.len() - 4))
    };
    for (size, status) in [(2047, 200), (2048, 200), (2049, 431)] {
        let mut client = daemon.client();
        client.send(request(size).as_bytes());
        assert_eq!(client.read().status, status, "{size}");
    }
    assert_eq!(daemon.metric("byname_cap_exceeded_total{cap=\"max_head\"}"), Some(1.0));
}

#[test]
fn a_large_head_over_http2_is_refused_in_json_too() {
    let upstream = Upstream::always(json_answer("ok"));
    let daemon = Gateway::new().backend(&upstream).h2c().start();
    let client = H2Client::connect(daemon.addr());
    for size in [40_000, 100_000] {
        let filler = "x".repeat(size);
        let answer = client.request("GET", "/v1/models", &[("x-filler", &filler)], &[]);
        assert_eq!(answer.status, 431, "{size}");
        assert!(answer.text().contains("headers_too_large"));
        let path = format!("/v1/models?{}", &filler[..size.min(60_000)]);
        assert_eq!(client.request("GET", &path, &[], &[]).status, 431, "a path of {size}");
    }
    let fields: Vec<(String, String)> = (0..300).map(|n| (format!("x-{n}"), String::new())).collect();
    let fields: Vec<(&str, &str)> =
        fields.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    assert_eq!(client.request("GET", "/v1/models", &fields, &[]).status, 431);
    assert_eq!(client.request("GET", "/v1/models", &fields[..200], &[]).status, 401);
}

#[test]
fn bodies_of_all_clients_fit_into_max_buffered() {
    const ALL: usize = 64 * 1024;
    const HELD: usize = 40 * 1024;
    let upstream = Upstream::always(json_answer("ok"));
    let daemon = Gateway::new().backend(&upstream).max_body("64KiB").server("max_buffered", "64KiB").start();
    let sized = |size: usize| {
        let body = ask("general");
        format!("{body}{}", " ".repeat(size - body.len()))
    };
    // Somebody who is still sending; what has come of the body counts.
    let mut slow = daemon.client();
    let whole = chat_request(KEY, &sized(HELD + 10));
    let (most, rest) = whole.split_at(whole.len() - 10);
    slow.send(most);
    daemon.wait_metric("byname_body_bytes", HELD as f64);
    for (size, status) in [(ALL - HELD - 1, 200), (ALL - HELD, 200), (ALL - HELD + 1, 503)] {
        let chunked = format!(
            "POST /v1/chat/completions HTTP/1.1\r\nHost: g\r\nAuthorization: Bearer {KEY}\r\n\
             Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n{size:x}\r\n{}\r\n0\r\n\r\n",
            sized(size)
        );
        for request in [chat_request(KEY, &sized(size)), chunked.into_bytes()] {
            let mut client = daemon.client();
            client.send(&request);
            let answer = client.read();
            assert_eq!(answer.status, status, "{size}");
            if status == 503 {
                assert_eq!(answer.json()["error"]["code"], "service_unavailable");
                assert_eq!(answer.header("retry-after"), Some("1"));
            }
            daemon.wait_metric("byname_body_bytes", HELD as f64);
        }
    }
    assert_eq!(daemon.metric("byname_cap_exceeded_total{cap=\"max_buffered\"}"), Some(2.0));
    let refused = [("reason", "max_buffered"), ("fault", "gateway")];
    assert!(
        soon(DEADLINE, || daemon.metric_sum("byname_refusals_total", &refused) == 2.0),
        "counted with its line"
    );
    slow.send(rest);
    assert_eq!(slow.read().status, 200);
    daemon.wait_metric("byname_body_bytes", 0.0);
}

#[test]
fn a_tenant_has_its_share_of_max_buffered_and_a_reload_does_not_give_it_another() {
    const ALL: usize = 64 * 1024;
    const HELD: usize = 20 * 1024;
    let upstream = Upstream::always(json_answer("ok"));
    let gateway = Gateway::new().backend(&upstream).max_body("16KiB").server("max_buffered", "64KiB");
    let daemon = gateway.start();
    let sized = |size: usize| format!("{}{}", ask("general"), " ".repeat(size - ask("general").len()));
    let mut slow = [daemon.client(), daemon.client()];
    let whole = chat_request(KEY, &sized(HELD / 2 + 10));
    let (most, rest) = whole.split_at(whole.len() - 10);
    for client in &mut slow {
        client.send(most);
    }
    daemon.wait_metric("byname_body_bytes", HELD as f64);
    daemon.reload_to(&gateway.server("max_requests", "9999"));
    let ask_as = |key: &str, size: usize| daemon.client().chat_as(key, &sized(size));
    // Half of all is its share, as long as nobody else holds any.
    for (size, status) in [(ALL / 2 - HELD - 1, 200), (ALL / 2 - HELD, 200), (ALL / 2 - HELD + 1, 503)] {
        let answer = ask_as(KEY, size);
        assert_eq!(answer.status, status, "{size}");
        if status == 503 {
            assert_eq!(answer.json()["error"]["code"], "service_unavailable");
            assert_eq!(answer.header("retry-after"), Some("1"));
        }
        assert_eq!(ask_as(KEY_GLOBEX, 16 * 1024).status, 200, "{size}");
        daemon.wait_metric("byname_body_bytes", HELD as f64);
    }
    assert_eq!(daemon.metric("byname_cap_exceeded_total{cap=\"max_buffered\"}"), Some(0.0));
    assert_eq!(daemon.metric("byname_cap_exceeded_total{cap=\"max_buffered_share\"}"), Some(1.0));
    let refused = [("reason", "max_buffered_share"), ("tenant", "acme"), ("fault", "policy")];
    assert!(
        soon(DEADLINE, || daemon.metric_sum("byname_refusals_total", &refused) == 1.0),
        "counted with its line"
    );
    for client in &mut slow {
        client.send(rest);
        assert_eq!(client.read().status, 200);
    }
    daemon.wait_metric("byname_body_bytes", 0.0);
}

#[test]
fn framing_that_can_be_read_in_two_ways_is_refused() {
    let upstream = Upstream::always(json_answer("ok"));
    let daemon = Gateway::new().backend(&upstream).start();
    let body = ask("general");
    let chunked = format!("{:x}\r\n{body}\r\n0\r\n\r\n", body.len());
    for (codings, status) in [
        ("Transfer-Encoding: chunked", 200),
        ("Transfer-Encoding: gzip, chunked", 400),
        ("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked", 400),
        ("Transfer-Encoding: ,chunked", 400),
    ] {
        let mut client = daemon.client();
        let head = format!(
            "POST /v1/chat/completions HTTP/1.1\r\nHost: g\r\nAuthorization: Bearer {KEY}\r\n\
             Content-Type: application/json\r\n{codings}\r\n\r\n{chunked}"
        );
        client.send(head.as_bytes());
        let answer = client.read();
        assert_eq!(answer.status, status, "{codings}");
        assert!(status == 200 || client.is_closed(), "{codings}");
    }
    let mut client = daemon.client();
    client.send(
        format!(
            "POST /v1/chat/completions HTTP/1.1\r\nHost: g\r\nAuthorization: Bearer {KEY}\r\n\
             Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"
        )
        .as_bytes(),
    );
    let answer = client.read();
    assert_eq!((answer.status, &answer.json()["error"]["code"]), (400, &"invalid_request".into()));
}

#[test]
fn no_log_holds_a_key_a_prompt_or_an_answer() {
    let upstream = Upstream::start(|seen| {
        if seen.wants_stream() { sse_answer(&["secret", "words"]) } else { json_answer("secret words") }
    });
    let daemon =
        Gateway::new().backend_with_key(&upstream, "upstream-secret-key").env("BYNAME_LOG", "trace").start();
    let mut client = daemon.client();
    for body in [ask("general"), ask_stream("general"), ask("nobody"), "{".to_owned()] {
        client.chat(&body.replace("Hello", CANARY_PROMPT));
    }
    let mut stranger = daemon.client();
    stranger.send(&chat_request("bn-not-a-key", &ask("general").replace("Hello", CANARY_PROMPT)));
    stranger.read();
    let mut garbled = daemon.client();
    garbled.send(
        format!("POST /v1/chat completions HTTP/9.1\r\nAuthorization: Bearer {KEY}\r\n\r\n").as_bytes(),
    );
    garbled.read();
    daemon.log_lines(6);
    let logs = daemon.stdout() + &daemon.stderr();
    for secret in [KEY, "bn-not-a-key", "upstream-secret-key", CANARY_PROMPT, "secret words", MODEL] {
        assert!(!logs.contains(secret), "{secret} is in the log:\n{logs}");
    }
    assert_eq!(upstream.requests()[0].header("authorization"), Some("Bearer upstream-secret-key"));
}

#[test]
fn a_line_of_the_log_tells_what_happened() {
    let upstream = Upstream::always(json_answer("ok"));
    let daemon = Gateway::new().backend(&upstream).start();
    let mut client = daemon.client();
    let answer = client.chat(&ask("general"));
    client.chat(&ask("nobody"));
    let lines = daemon.log_lines(2);
    let (first, second) = (&lines[0], &lines[1]);
    assert_eq!(first["request_id"], answer.header("x-request-id").unwrap());
    assert_eq!(answer.json()["id"], format!("chatcmpl-{}", answer.header("x-request-id").unwrap()));
    for (field, value) in
        [("tenant", "acme"), ("key", "web"), ("alias", "general"), ("token_source", "upstream")]
    {
        assert_eq!(first[field], value);
    }
    assert_eq!(first["backend"], upstream.addr().to_string());
    for (field, value) in
        [("status", 200), ("attempts", 1), ("prompt_tokens", 42), ("completion_tokens", 128)]
    {
        assert_eq!(first[field], value);
    }
    assert_eq!(first["bytes_down"], answer.body.len());
    assert_eq!((&second["status"], &second["code"]), (&404.into(), &"model_not_found".into()));
    assert!(second.get("alias").is_none(), "an alias that does not exist is the client's text");
}
