//! Clients that do not take what they are sent.

use std::time::{Duration, Instant};

use super::parts::{AT_LATEST, PATIENCE, flood, many, settled, strict};
use crate::faults::parts::{Mode, describe, good};
use crate::faults::runner::{Case, Line, line};
use crate::kit::KEY;
use crate::kit::answers::{json_answer, sse_answer};
use crate::kit::client::{Client, End, ask, ask_stream, chat_request, request};
use crate::kit::daemon::Daemon;
use crate::kit::h2::{H2Client, StreamEnd};
use crate::kit::process::{memory, soon};
use crate::kit::upstream::Upstream;

const MIB: usize = 1024 * 1024;
/// More than any socket's buffers, and less than `max_response`.
const LARGE: usize = 24 * MIB;
const JSON: (&str, &str) = ("content-type", "application/json");
const BEARER: (&str, &str) = ("authorization", "Bearer bn-test-acme");

pub fn cases() -> Vec<Case> {
    vec![
        Case::own("DN-05", "reads nothing of a large answer", || vec![large_http1(), large_http2()]),
        Case::own("DN-07", "never reads a stream", || vec![never(), never_by_window(), never_by_socket()]),
        Case::own("DN-08", "reads a stream at 100 bytes a second", || vec![slowly(), slowly_http2()]),
        Case::own("DN-09", "a crowd of stalled readers", crowd),
        Case::own("DN-28", "a large answer, then our end", || vec![large_and_close(), refused_and_close()]),
    ]
}

/// How often we gave up on a client that took nothing.
fn given_up(daemon: &Daemon, times: f64) -> String {
    let metric = || daemon.metric_sum("byname_connections_cut_total", &[("reason", "slow_reader")]);
    if soon(AT_LATEST, || metric() == times) {
        "given up".to_owned()
    } else {
        format!("given up {} times", metric())
    }
}

/// What the log says of the only request.
fn logged(daemon: &Daemon) -> String {
    format!("log {}", daemon.log_lines(1)[0]["status"])
}

/// A connection whose end is as small as can be.
fn narrow(daemon: &Daemon) -> Client {
    let client = daemon.client();
    client.narrow();
    client
}

fn large_http1() -> Line {
    let upstream = Upstream::always(json_answer(&"x".repeat(4 * MIB)));
    let daemon = strict(&upstream).start();
    let mut client = narrow(&daemon);
    client.send(&chat_request(KEY, &ask("general")));
    let log = logged(&daemon);
    let seen = match client.read().end {
        End::Cut => "cut",
        End::Clean => "whole",
    };
    line("h1", "log 499, cut; nothing left", format!("{log}, {seen}; {}", settled(&daemon)))
}

fn large_http2() -> Line {
    let upstream = Upstream::always(json_answer(&"x".repeat(4 * MIB)));
    let daemon = strict(&upstream).h2c().start();
    let client = H2Client::connect(daemon.addr());
    let body = ask("general");
    let mut stream = client.open("POST", "/v1/chat/completions", &[BEARER, JSON], &[body.as_bytes()]);
    let status = stream.head().map_or(0, |(status, _)| status);
    let log = logged(&daemon);
    // The window was opened for nothing; the stream has been given up meanwhile.
    let end = loop {
        match stream.piece() {
            Ok(_) => {}
            Err(end) => break end,
        }
    };
    let end = if end == StreamEnd::Clean { "whole" } else { "cut" };
    let other = client.request("GET", "/v1/models", &[BEARER], &[]).status;
    let seen = format!("{status}, {log}, {end}; another stream {other}; {}", settled(&daemon));
    line("h2", "200, log 499, cut; another stream 200; nothing left", seen)
}

/// Many clients at once, for the sake of their memory: what a process takes by the megabyte is no single one's.
fn never() -> Line {
    const CLIENTS: usize = 32;
    let upstream =
        Upstream::start(|seen| if seen.text().contains("Hello") { flood() } else { sse_answer(&["warm"]) });
    let daemon = strict(&upstream).start();
    // What a process takes once and for all is nobody's share.
    let warm = ask_stream("general").replace("Hello", "warm");
    // Each asks at once: a connection whose first head is late is closed.
    let mut friends: Vec<_> = (0..CLIENTS)
        .map(|_| {
            let mut friend = daemon.client();
            friend.chat(&warm);
            friend
        })
        .collect();
    (0..4).for_each(|_| friends.iter_mut().for_each(|client| drop(client.chat(&warm))));
    let first = upstream.requests().len();
    let before = memory(daemon.pid());
    let since = Instant::now();
    let _all: Vec<_> = (0..CLIENTS)
        .map(|_| {
            let mut client = narrow(&daemon);
            client.send(&chat_request(KEY, &ask_stream("general")));
            client
        })
        .collect();
    upstream.wait_requests(first + CLIENTS);
    std::thread::sleep(PATIENCE / 2);
    let each = memory(daemon.pid()).saturating_sub(before) / CLIENTS;
    let each =
        if each <= MIB / 4 { "at most 256 KiB each".to_owned() } else { format!("{} KiB each", each / 1024) };
    let left = (first..first + CLIENTS).filter(|request| upstream.wait_closed(*request, AT_LATEST)).count();
    let time = if since.elapsed() < AT_LATEST { "in time" } else { "late" };
    let seen = format!("{each}; backend left {left} times {time}; {}", settled(&daemon));
    line("h1", "at most 256 KiB each; backend left 32 times in time; nothing left", seen)
}

/// Over HTTP/2 it is the window that closes.
fn never_by_window() -> Line {
    let upstream = Upstream::always(flood());
    let daemon = strict(&upstream).h2c().start();
    let client = H2Client::connect(daemon.addr());
    let body = ask_stream("general");
    let mut stream = client.open("POST", "/v1/chat/completions", &[BEARER, JSON], &[body.as_bytes()]);
    let status = stream.head().map_or(0, |(status, _)| status);
    upstream.wait_requests(1);
    let left = if upstream.wait_closed(0, AT_LATEST) { "backend left" } else { "backend kept" };
    let other = client.request("GET", "/v1/models", &[BEARER], &[]).status;
    let seen = format!("{status}, {left}; another stream {other}; {}", settled(&daemon));
    line("h2", "200, backend left; another stream 200; nothing left", seen)
}

/// Or, when the windows are wide, the socket.
fn never_by_socket() -> Line {
    let upstream = Upstream::always(flood());
    let daemon = strict(&upstream).h2c().start();
    let client = H2Client::connect_wide(daemon.addr());
    let body = ask_stream("general");
    let _stream = client.open("POST", "/v1/chat/completions", &[BEARER, JSON], &[body.as_bytes()]);
    upstream.wait_requests(1);
    let left = if upstream.wait_closed(0, AT_LATEST) { "backend left" } else { "backend kept" };
    let seen = format!("{left}; {}; {}", given_up(&daemon, 1.0), settled(&daemon));
    line("socket", "backend left; given up; nothing left", seen)
}

fn slowly() -> Line {
    let upstream = Upstream::always(flood());
    let daemon = strict(&upstream).start();
    let mut client = narrow(&daemon);
    client.send(&chat_request(KEY, &ask_stream("general")));
    upstream.wait_requests(1);
    let since = Instant::now();
    while since.elapsed() < AT_LATEST + PATIENCE && !upstream.wait_closed(0, Duration::from_millis(100)) {
        use std::io::Read;
        let _ = client.stream().read(&mut [0; 10]);
    }
    let left = if since.elapsed() < AT_LATEST { "backend left in time" } else { "backend kept" };
    line("h1", "backend left in time; nothing left", format!("{left}; {}", settled(&daemon)))
}

/// The window is opened by 100 bytes a second.
fn slowly_http2() -> Line {
    let upstream = Upstream::always(flood());
    let daemon = strict(&upstream).h2c().start();
    let client = H2Client::connect(daemon.addr());
    let body = ask_stream("general");
    let mut stream = client.open("POST", "/v1/chat/completions", &[BEARER, JSON], &[body.as_bytes()]);
    let status = stream.head().map_or(0, |(status, _)| status);
    let since = Instant::now();
    while since.elapsed() < AT_LATEST + PATIENCE && !upstream.wait_closed(0, Duration::from_millis(100)) {
        stream.widen(10);
    }
    let left = if since.elapsed() < AT_LATEST { "backend left in time" } else { "backend kept" };
    line("h2", "200; backend left in time; nothing left", format!("{status}; {left}; {}", settled(&daemon)))
}

/// Many who read nothing, and some who do.
fn crowd() -> Vec<Line> {
    let upstream =
        Upstream::start(|seen| if seen.text().contains("Hello") { sse_answer(&["fine"]) } else { flood() });
    let clients = many(100).min(500);
    let daemon = strict(&upstream).start();
    let flooding = ask_stream("general").replace("Hello", "flood");
    let mut crowd: Vec<_> = (0..clients).map(|_| narrow(&daemon)).collect();
    crowd.iter_mut().for_each(|client| client.send(&chat_request(KEY, &flooding)));
    upstream.wait_requests(clients);
    let fine = |_: &usize| {
        describe(&daemon.client().chat(&ask_stream("general")), Mode::Stream, "general") == "200 fine"
    };
    let served = (0..50).filter(fine).count();
    let left = soon(AT_LATEST, || daemon.metric_sum("byname_in_flight", &[]) == 0.0);
    let left = if left { "crowd cut" } else { "crowd kept" };
    vec![line(
        "stream",
        "50 of 50 served, crowd cut; nothing left",
        format!("{served} of 50 served, {left}; {}", settled(&daemon)),
    )]
}

/// The answer is larger than all buffers, and the connection ends with it.
fn large_and_close() -> Line {
    let upstream = Upstream::always(json_answer(&"x".repeat(LARGE)));
    let daemon = strict(&upstream).start();
    let mut client = daemon.client();
    let body = ask("general");
    let headers = [("Authorization", format!("Bearer {KEY}")), ("Connection", "close".to_owned())];
    let headers = headers.each_ref().map(|(name, value)| (*name, value.as_str()));
    client.send(&request("POST", "/v1/chat/completions", &headers, body.as_bytes()));
    std::thread::sleep(PATIENCE / 4);
    let answer = client.read();
    let length = answer.json()["choices"][0]["message"]["content"].as_str().map_or(0, str::len);
    let whole = if length == LARGE { "whole" } else { "cut" };
    let closed = if client.is_closed() { "closed" } else { "open" };
    line("large", "200 whole, closed", format!("{} {whole}, {closed}", answer.status))
}

/// A refusal while a megabyte of the request is unread: closing must not destroy it on its way.
fn refused_and_close() -> Line {
    let upstream = good("ok");
    let daemon = strict(&upstream).max_body("64KiB").start();
    let mut whole = 0;
    for _ in 0..20 {
        let mut client = daemon.client();
        let body = vec![b' '; MIB];
        let _ = client.try_send(&request(
            "POST",
            "/v1/chat/completions",
            &[("Authorization", &format!("Bearer {KEY}"))],
            &body,
        ));
        std::thread::sleep(Duration::from_millis(20));
        whole += usize::from(
            client.try_read().is_ok_and(|answer| super::parts::told(&answer) == "413 request_too_large"),
        );
    }
    line("refused", "20 of 20 were told 413", format!("{whole} of 20 were told 413"))
}

#[test]
fn an_answer_that_is_taken_slowly_but_steadily_arrives_whole() {
    // Longer than the deadline for a part of it, and never nearly as long for one.
    let upstream = Upstream::always(json_answer(&"x".repeat(2 * MIB)));
    for h2c in [false, true] {
        let gateway = strict(&upstream).server("write_timeout", "2s");
        let daemon = if h2c { gateway.h2c() } else { gateway }.start();
        let since = Instant::now();
        let length = if h2c {
            let client = H2Client::connect(daemon.addr());
            let body = ask("general");
            let mut stream = client.open("POST", "/v1/chat/completions", &[BEARER, JSON], &[body.as_bytes()]);
            assert_eq!(stream.head().expect("a head").0, 200);
            let mut length = 0;
            let end = loop {
                match stream.piece() {
                    Ok(piece) => length += piece.len(),
                    Err(end) => break end,
                }
                client.live(Duration::from_millis(10));
            };
            assert_eq!(end, StreamEnd::Clean, "after {length} bytes and {:?}", since.elapsed());
            length
        } else {
            let mut client = daemon.client();
            client.narrow_to(64 * 1024);
            client.send(&chat_request(KEY, &ask("general")));
            let head = client.read_head();
            assert_eq!(head.word(1), "200");
            let mut length = 0;
            while let Ok(Some(piece)) = client.piece() {
                length += piece.len();
                std::thread::sleep(Duration::from_millis(25));
            }
            length
        };
        assert!(length > 2 * MIB, "{h2c}: {length} bytes");
        assert!(since.elapsed() > 2 * PATIENCE, "{h2c}: it was too fast to show anything");
    }
}
