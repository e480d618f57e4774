//! Clients that leave: before, while and just when they are answered.

use std::time::Duration;

use super::parts::{cancelled, paused, settled, strict, told};
use crate::faults::parts::{Mode, delta, describe, finish, good};
use crate::faults::runner::{Case, Line, line};
use crate::kit::KEY;
use crate::kit::answers::sse_head;
use crate::kit::client::{Client, ask, ask_stream, chat_request};
use crate::kit::daemon::Daemon;
use crate::kit::h2::{H2Client, StreamEnd};
use crate::kit::process::soon;
use crate::kit::script::{Step, chunk, last_chunk};
use crate::kit::upstream::Upstream;

const JSON: (&str, &str) = ("content-type", "application/json");
const BEARER: (&str, &str) = ("authorization", "Bearer bn-test-acme");

pub fn cases() -> Vec<Case> {
    vec![
        Case::own("DN-10", "leaves before its request is there", early),
        Case::own("DN-11", "leaves before the first byte", waiting),
        Case::own("DN-12", "leaves in the middle of a stream", || streaming(drop)),
        Case::own("DN-13", "breaks off in the middle of a stream", || streaming(Client::reset)),
        // Pingora cannot tell a half-closed connection from one that was left, and neither do we try.
        Case::own(
            "DN-14",
            "closes its sending side after its request (counts as leaving: by decision)",
            half_closed,
        ),
        Case::own("DN-15", "closes its sending side in the middle of its request", half_sent),
        Case::own("DN-16", "resets one HTTP/2 stream of two", one_of_two),
        Case::own("DN-26", "sends a second request into a stream", into_a_stream),
        Case::own("DN-27", "a storm of streams cancelled at random", storm),
        Case::own("DN-30", "leaves at [DONE]", at_the_end),
    ]
}

/// The only line of the log: its status and how its tokens were counted.
fn logged(daemon: &Daemon) -> String {
    let line = &daemon.log_lines(1)[0];
    let tokens = line["completion_tokens"]
        .as_u64()
        .map_or("", |tokens| if tokens > 0 { ", some tokens" } else { ", no tokens" });
    format!("log {}{tokens}", line["status"])
}

fn early() -> Vec<Line> {
    let upstream = good("ok");
    let daemon = strict(&upstream).start();
    let request = chat_request(KEY, &ask("general"));
    for part in [10, request.len() - 5] {
        let mut client = daemon.client();
        client.send(&request[..part]);
        std::thread::sleep(Duration::from_millis(50));
    }
    std::thread::sleep(Duration::from_millis(200));
    let seen = format!("{} upstream; {}", upstream.requests().len(), settled(&daemon));
    vec![line("whole", "0 upstream; nothing left", seen)]
}

fn waiting() -> Vec<Line> {
    let line_of = |mode: Mode| {
        let upstream = Upstream::always(vec![Step::Stall]);
        let daemon = strict(&upstream).start();
        let mut client = daemon.client();
        client.send(&chat_request(KEY, &mode.ask("general")));
        upstream.wait_requests(1);
        drop(client);
        let seen = format!("{}; {}; {}", cancelled(&upstream, 0), logged(&daemon), settled(&daemon));
        line(mode.label(), "backend left; log 499; nothing left", seen)
    };
    Mode::BOTH.map(line_of).into()
}

fn streaming(leave: fn(Client)) -> Vec<Line> {
    let upstream = Upstream::always(paused("never"));
    let daemon = strict(&upstream).start();
    let mut client = daemon.client();
    client.send(&chat_request(KEY, &ask_stream("general")));
    client.read_head();
    // Behind the event that says who speaks.
    let first = client.event().and_then(|_| client.event()).is_some_and(|event| event.contains("one"));
    let begun = if first { "begun" } else { "not begun" };
    leave(client);
    let seen = format!("{begun}; {}; {}; {}", cancelled(&upstream, 0), logged(&daemon), settled(&daemon));
    vec![line("stream", "begun; backend left; log 499, some tokens; nothing left", seen)]
}

fn half_closed() -> Vec<Line> {
    let line_of = |mode: Mode| {
        let upstream = Upstream::always(vec![Step::Stall]);
        let daemon = strict(&upstream).start();
        let mut client = daemon.client();
        client.send(&chat_request(KEY, &mode.ask("general")));
        upstream.wait_requests(1);
        client.half_close();
        let seen = format!("{}; {}; {}", cancelled(&upstream, 0), logged(&daemon), settled(&daemon));
        line(mode.label(), "backend left; log 499; nothing left", seen)
    };
    Mode::BOTH.map(line_of).into()
}

fn half_sent() -> Vec<Line> {
    let upstream = good("ok");
    let daemon = strict(&upstream).start();
    let request = chat_request(KEY, &ask("general"));
    let mut client = daemon.client();
    client.send(&request[..request.len() - 5]);
    client.half_close();
    let answer = client.try_read().map_or("closed".to_owned(), |answer| told(&answer));
    let seen = format!("{answer}; {} upstream; {}", upstream.requests().len(), settled(&daemon));
    vec![line("whole", "closed; 0 upstream; nothing left", seen)]
}

fn one_of_two() -> Vec<Line> {
    let upstream = Upstream::always(paused("go"));
    let daemon = strict(&upstream).h2c().start();
    let client = H2Client::connect(daemon.addr());
    let (first, second) = (ask_stream("general").replace("Hello", "first"), ask_stream("general"));
    let open = |body: &str| {
        let mut stream = client.open("POST", "/v1/chat/completions", &[BEARER, JSON], &[body.as_bytes()]);
        assert_eq!(stream.head().expect("a head").0, 200);
        stream
    };
    let (left, mut stays) = (open(&first), open(&second));
    let place =
        upstream.wait_requests(2).iter().position(|seen| seen.text().contains("first")).expect("the first");
    left.cancel();
    let cancelled = cancelled(&upstream, place);
    let other = if upstream.wait_closed(1 - place, Duration::from_millis(200)) {
        "the other's left"
    } else {
        "the other's kept"
    };
    upstream.open("go");
    let mut text = Vec::new();
    let end = loop {
        match stays.piece() {
            Ok(piece) => text.extend(piece),
            Err(end) => break end,
        }
    };
    let whole = end == StreamEnd::Clean && String::from_utf8_lossy(&text).ends_with("data: [DONE]\n\n");
    let whole = if whole { "whole" } else { "cut" };
    let seen = format!("{cancelled}, {other} and {whole}; {}", settled(&daemon));
    vec![line("h2", "backend left, the other's kept and whole; nothing left", seen)]
}

/// What comes of it is not laid down, but that no answer is mixed with another.
fn into_a_stream() -> Vec<Line> {
    let upstream = Upstream::always(paused("go"));
    let daemon = strict(&upstream).start();
    let mut client = daemon.client();
    client.send(&chat_request(KEY, &ask_stream("general")));
    let head = client.read_head();
    client.event();
    let _ = client.try_send(&chat_request(KEY, &ask("general")));
    std::thread::sleep(Duration::from_millis(100));
    upstream.open("go");
    let rest = client.rest(head).map(|rest| rest.body).unwrap_or_default();
    let answers = 1 + String::from_utf8_lossy(&rest).matches("HTTP/1.1").count();
    let closed = if client.is_closed() { "closed" } else { "open" };
    let seen =
        format!("{answers} answer, {closed}; {} upstream; {}", upstream.requests().len(), settled(&daemon));
    vec![line("h1", "1 answer, closed; 1 upstream; nothing left", seen)]
}

/// Streams of several connections, each left at another moment, for a while; then everything must be as before.
fn storm() -> Vec<Line> {
    const STREAMS: usize = 20;
    let upstream = Upstream::start(|seen| {
        let wait = Duration::from_millis((seen.index % 7) as u64 * 5);
        let mut steps = vec![Step::Pause(wait), sse_head()];
        for _ in 0..10 {
            steps.extend([chunk(delta("x")), Step::Pause(Duration::from_millis(5))]);
        }
        steps.extend([chunk(finish()), chunk("data: [DONE]\n\n"), last_chunk()]);
        steps
    });
    let daemon = strict(&upstream).h2c().start();
    let slots = crate::kit::process::descriptors(daemon.pid());
    let rounds = super::parts::many(3).min(60);
    std::thread::scope(|scope| {
        for thread in 0..4_usize {
            let daemon = &daemon;
            scope.spawn(move || {
                let mut dice = thread * 7919 + 17;
                for _ in 0..rounds {
                    let client = H2Client::connect(daemon.addr());
                    let body = ask_stream("general");
                    let mut open: Vec<_> = (0..STREAMS)
                        .map(|_| {
                            client.open("POST", "/v1/chat/completions", &[BEARER, JSON], &[body.as_bytes()])
                        })
                        .collect();
                    while !open.is_empty() {
                        dice = dice.wrapping_mul(1_103_515_245).wrapping_add(12_345) % (1 << 31);
                        let mut one = open.swap_remove(dice % open.len());
                        if dice.is_multiple_of(3) {
                            let _ = one.head();
                        }
                        client.live(Duration::from_millis((dice % 10) as u64));
                        one.cancel();
                    }
                }
            });
        }
    });
    let left = settled(&daemon);
    // Connections to backends may be kept.
    let kept = upstream.connections();
    let back =
        soon(Duration::from_secs(5), || crate::kit::process::descriptors(daemon.pid()) <= slots + kept);
    let back = if back { "descriptors back" } else { "descriptors leaked" };
    let after = describe(&daemon.client().chat(&ask_stream("general")), Mode::Stream, "general");
    vec![line(
        "h2",
        "nothing left, descriptors back, then 200 xxxxxxxxxx",
        format!("{left}, {back}, then {after}"),
    )]
}

/// A client that has all it wanted has not left.
fn at_the_end() -> Vec<Line> {
    const TIMES: usize = 20;
    let upstream = good("ok");
    let daemon = strict(&upstream).start();
    for _ in 0..TIMES {
        let mut client = daemon.client();
        client.send(&chat_request(KEY, &ask_stream("general")));
        client.read_head();
        while client.event().is_some_and(|event| !event.contains("[DONE]")) {}
    }
    let lines = daemon.log_lines(TIMES);
    let good = lines.iter().filter(|line| line["status"] == 200).count();
    let gone = daemon.metric_sum("byname_client_disconnects_total", &[]);
    let seen = format!("{good} of {TIMES} are 200, {gone} left early; {}", settled(&daemon));
    vec![line("stream", "20 of 20 are 200, 0 left early; nothing left", seen)]
}
