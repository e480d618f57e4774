//! Request bodies of every size and framing reach the backing model whole and rewritten, and again on a
//! second attempt. Pingora by itself replays 64 KiB at most; these sizes stand around its edges.

use std::io::Write;

use serde_json::Value;

use crate::kit::answers::{error_answer, json_answer};
use crate::kit::client::{Client, Response, request};
use crate::kit::config::Gateway;
use crate::kit::daemon::Daemon;
use crate::kit::h2::{H2Client, StreamEnd};
use crate::kit::upstream::{Seen, Upstream};
use crate::kit::{KEY, MODEL};

const LIMIT: usize = 2 * 1024 * 1024;
const SIZES: &[usize] = &[1024, 65535, 65536, 65537, 70000, 131_072, 1 << 20, LIMIT];

/// A chat request's body of exactly this many bytes.
fn body(size: usize) -> String {
    let (start, end) = (r#"{"model":"general","messages":[{"role":"user","content":""#, r#""}]}"#);
    let filler = size - start.len() - end.len();
    // Not all the same byte, so that a lost or doubled piece shows.
    let text: String = (0..filler).map(|n| char::from(b'a' + (n % 23) as u8)).collect();
    format!("{start}{text}{end}")
}

fn check(seen: &Seen, sent: &str) {
    let expected = sent.replacen("\"general\"", &format!("\"{MODEL}\""), 1);
    assert_eq!(seen.body.len(), expected.len(), "of {} bytes", sent.len());
    assert!(seen.body == expected.as_bytes(), "the body of {} bytes was changed", sent.len());
    assert_eq!(seen.header("content-length"), Some(expected.len().to_string().as_str()));
    assert_eq!(seen.header("transfer-encoding"), None);
    assert_eq!(seen.header("expect"), None);
}

#[derive(Debug, Clone, Copy)]
enum Sent {
    Length,
    Chunked(usize),
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Expect {
    No,
    Continue,
}

fn post(client: &mut Client, body: &str, how: Sent, expect: Expect) -> Response {
    let authorization = format!("Bearer {KEY}");
    let mut headers = vec![("Authorization", authorization.as_str()), ("Content-Type", "application/json")];
    if expect == Expect::Continue {
        headers.push(("Expect", "100-continue"));
    }
    let length = body.len().to_string();
    match how {
        Sent::Length => headers.push(("Content-Length", &length)),
        Sent::Chunked(_) => headers.push(("Transfer-Encoding", "chunked")),
    }
    client.send(&request("POST", "/v1/chat/completions", &headers, b""));
    if expect == Expect::Continue {
        assert!(client.read_head().first.starts_with("HTTP/1.1 100"), "no 100 Continue");
    }
    match how {
        Sent::Length => client.send(body.as_bytes()),
        Sent::Chunked(size) => {
            let mut framed = Vec::new();
            for piece in body.as_bytes().chunks(size) {
                write!(framed, "{:x}\r\n", piece.len()).unwrap();
                framed.extend_from_slice(piece);
                framed.extend_from_slice(b"\r\n");
            }
            framed.extend_from_slice(b"0\r\n\r\n");
            client.send(&framed);
        }
    }
    client.read()
}

fn gateway(upstream: &Upstream) -> Daemon {
    Gateway::new().backend(upstream).max_body("2MiB").h2c().start()
}

#[test]
fn every_size_and_framing_arrives_whole_on_one_connection() {
    let upstream = Upstream::always(json_answer("ok"));
    let daemon = gateway(&upstream);
    let mut client = daemon.client();
    let mut asked = 0;
    for &size in SIZES {
        let body = body(size);
        for how in [Sent::Length, Sent::Chunked(size), Sent::Chunked(10_000)] {
            for expect in [Expect::No, Expect::Continue] {
                let answer = post(&mut client, &body, how, expect);
                assert_eq!(answer.status, 200, "{size} {how:?} {expect:?}: {}", answer.text());
                assert_eq!(answer.header("connection"), Some("keep-alive"), "{size} {how:?} {expect:?}");
                check(&upstream.wait_requests(asked + 1)[asked], &body);
                asked += 1;
            }
        }
    }
    assert_eq!(upstream.connections(), 1);
    daemon.wait_metric("byname_body_bytes", 0.0);
}

#[test]
fn every_size_arrives_whole_over_http2() {
    let upstream = Upstream::always(json_answer("ok"));
    let daemon = gateway(&upstream);
    let client = H2Client::connect(daemon.addr());
    let authorization = format!("Bearer {KEY}");
    for (n, &size) in SIZES.iter().enumerate() {
        let body = body(size);
        let length = body.len().to_string();
        let pieces: Vec<&[u8]> = body.as_bytes().chunks(16_000).collect();
        let mut headers =
            vec![("authorization", authorization.as_str()), ("content-type", "application/json")];
        if n % 2 == 0 {
            headers.push(("content-length", &length));
        }
        let answer = client.request("POST", "/v1/chat/completions", &headers, &pieces);
        assert_eq!((answer.status, &answer.end), (200, &StreamEnd::Clean), "{size}: {}", answer.text());
        check(&upstream.wait_requests(n + 1)[n], &body);
    }
}

#[test]
fn every_size_arrives_whole_again_on_a_second_attempt() {
    for &size in SIZES {
        let (bad, good) = (Upstream::always(error_answer(503)), Upstream::always(json_answer("ok")));
        let daemon = Gateway::new().backend(&bad).backend(&good).max_body("2MiB").start();
        for how in [Sent::Length, Sent::Chunked(30_000)] {
            let body = body(size);
            // Twice, so that one of the two meets the bad backend first.
            for _ in 0..2 {
                assert_eq!(post(&mut daemon.client(), &body, how, Expect::No).status, 200, "{size}");
            }
            check(bad.requests().last().expect("the bad backend was asked"), &body);
            check(good.requests().last().expect("the good backend was asked"), &body);
        }
    }
}

#[test]
fn one_byte_more_than_the_limit_is_refused_by_either_framing() {
    let upstream = Upstream::always(json_answer("ok"));
    let daemon = gateway(&upstream);
    let over = body(LIMIT + 1);
    for how in [Sent::Length, Sent::Chunked(50_000)] {
        let answer = post(&mut daemon.client(), &over, how, Expect::No);
        assert_eq!(answer.status, 413, "{how:?}");
        assert_eq!(answer.json()["error"]["code"], "request_too_large");
    }
    let h2 = H2Client::connect(daemon.addr());
    let authorization = format!("Bearer {KEY}");
    let headers = [("authorization", authorization.as_str()), ("content-type", "application/json")];
    let pieces: Vec<&[u8]> = over.as_bytes().chunks(16_000).collect();
    assert_eq!(h2.request("POST", "/v1/chat/completions", &headers, &pieces).status, 413);
    assert_eq!(upstream.requests().len(), 0);
    assert_eq!(daemon.metric("byname_cap_exceeded_total{cap=\"max_body\"}"), Some(3.0));
    assert_eq!(post(&mut daemon.client(), &body(LIMIT - 1), Sent::Length, Expect::No).status, 200);
}

#[test]
fn a_declared_length_over_the_limit_is_refused_before_the_body_is_read() {
    let upstream = Upstream::always(json_answer("ok"));
    let daemon = gateway(&upstream);
    for expect in ["", "Expect: 100-continue\r\n"] {
        let mut client = daemon.client();
        let head = format!(
            "POST /v1/chat/completions HTTP/1.1\r\nHost: g\r\nAuthorization: Bearer {KEY}\r\n\
             Content-Type: application/json\r\nContent-Length: 18446744073709551615\r\n{expect}\r\n"
        );
        client.send(head.as_bytes());
        let answer = client.read();
        assert_eq!(answer.status, 413);
        assert!(client.is_closed());
    }
}

#[test]
fn a_client_without_a_key_is_not_asked_for_its_body() {
    let upstream = Upstream::always(json_answer("ok"));
    let daemon = gateway(&upstream);
    let mut client = daemon.client();
    client.send(
        b"POST /v1/chat/completions HTTP/1.1\r\nHost: g\r\nAuthorization: Bearer wrong\r\n\
          Content-Type: application/json\r\nContent-Length: 1000\r\nExpect: 100-continue\r\n\r\n",
    );
    let answer = client.read();
    assert_eq!((answer.status, answer.header("connection")), (401, Some("close")));
}

#[test]
fn an_empty_body_is_refused_and_the_connection_kept() {
    let upstream = Upstream::always(json_answer("ok"));
    let daemon = gateway(&upstream);
    let mut client = daemon.client();
    for how in [Sent::Length, Sent::Chunked(1)] {
        let answer = post(&mut client, "", how, Expect::No);
        assert_eq!((answer.status, answer.header("connection")), (400, Some("keep-alive")), "{how:?}");
    }
    let refused = post(&mut client, "[]", Sent::Length, Expect::No);
    assert_eq!(refused.json()["error"]["type"], Value::from("invalid_request_error"));
    assert_eq!(post(&mut client, &body(1024), Sent::Length, Expect::No).status, 200);
}

#[test]
fn a_body_that_does_not_arrive_in_time_is_a_408_and_one_that_never_ends_leaves_no_trace() {
    let upstream = Upstream::always(json_answer("ok"));
    let daemon = Gateway::new().backend(&upstream).body_timeout("300ms").start();
    let authorization = format!("Bearer {KEY}");
    let headers = [
        ("Authorization", authorization.as_str()),
        ("Content-Type", "application/json"),
        ("Content-Length", "1000"),
    ];
    let mut client = daemon.client();
    client.send(&request("POST", "/v1/chat/completions", &headers, b""));
    client.send(b"{");
    assert_eq!(client.read().status, 408);
    assert!(client.is_closed());

    let mut client = daemon.client();
    client.send(&request("POST", "/v1/chat/completions", &headers, b""));
    client.send(b"{");
    client.half_close();
    assert!(client.try_read().is_err(), "half a request was answered");
    assert_eq!(upstream.requests().len(), 0);
}
