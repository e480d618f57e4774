//! Sixteen failures that an operator asks about first.

use std::time::{Duration, Instant};

use super::parts::{
    Alone, DONE, EVENTS, Mode, SECRET, after_one, completion, delta, describe, error, error_with, finish,
    good, stream_of,
};
use crate::kit::MODEL;
use crate::kit::config::{Gateway, backend};
use crate::kit::daemon::Daemon;
use crate::kit::script::{Step, bytes, chunk, head, last_chunk};
use crate::kit::table::{Row, in_order, judge};
use crate::kit::upstream::Upstream;

const DOWN: &str = "502 upstream_unavailable";
const LIMITED: &str = "429 rate_limited after 1..60 s";

/// Its number, what it is, and a test that panics when it is not as it must be.
type Failure = (&'static str, &'static str, fn());

const FAILURES: [Failure; 16] = [
    ("1", "429 with Retry-After", limited_once),
    ("2", "429 that lasts", limited_for_ever),
    ("3", "one 500", || hidden(error(500, "server_error", "Once."))),
    ("4", "one 503", || hidden(error(503, "unavailable", "Once."))),
    ("5", "reset", || hidden(vec![Step::Reset])),
    ("6", "silence", || hidden(vec![Step::Stall])),
    ("7", "a slow first token", || {
        hidden(vec![head(200, &EVENTS), Step::Pause(Duration::from_secs(3)), chunk(delta("late"))])
    }),
    ("8", "a stream cut at chunk 40 of 60", cut_at_40),
    ("9", "a stall in the stream", || broken(vec![Step::Stall])),
    ("10", "a malformed chunk in the stream", || broken(vec![bytes(format!("zz\r\n{SECRET}")), Step::Close])),
    ("11", "a missing [DONE]", missing_done),
    ("12", "400, the conversation is too long", || refused("context_length_exceeded", "400 invalid_request")),
    ("13", "400, a content filter", || refused("content_filter", "403 content_blocked")),
    ("14", "a fallback that refuses", fallback_refuses),
    ("15", "a flap", flap),
    ("16", "usage across attempts", usage),
];

#[test]
fn sixteen_failover_faults() {
    let rows = in_order(FAILURES.len(), &FAILURES, |(id, what, test)| {
        Row::of(id, what, || {
            test();
            "as it must be".to_owned()
        })
    });
    judge("Sixteen failures that an operator asks about first", "", &rows, &[]);
}

fn gateway() -> Gateway {
    Gateway::new().first_byte("1500ms").idle("1s")
}

fn ask(daemon: &Daemon, mode: Mode) -> String {
    describe(&daemon.client().chat(&mode.ask("alone")), mode, "alone")
}

/// The first request of a fresh pool meets the failure; nobody sees it.
fn hidden(steps: Vec<Step>) {
    for mode in Mode::BOTH {
        let (bad, other) = (Upstream::always(steps.clone()), good("elsewhere"));
        let alone = Alone::start(gateway(), &[backend(&bad.url()), backend(&other.url())]);
        assert_eq!(alone.ask(mode), "200 elsewhere");
        assert_eq!((bad.requests().len(), other.requests().len()), (1, 1));
    }
}

/// Seen and told, and asked nowhere else.
fn broken(steps: Vec<Step>) {
    let (bad, other) = (Upstream::always(after_one(steps)), good("elsewhere"));
    let alone = Alone::start(gateway(), &[backend(&bad.url()), backend(&other.url())]);
    assert_eq!(alone.ask(Mode::Stream), "200 one + error");
    assert_eq!(other.requests().len(), 0);
}

fn refused(code: &'static str, expected: &str) {
    for mode in Mode::BOTH {
        let (bad, other) = (Upstream::always(error(400, code, "No.")), good("elsewhere"));
        let alone = Alone::start(gateway(), &[backend(&bad.url()), backend(&other.url())]);
        assert_eq!(alone.ask(mode), expected);
        assert_eq!((bad.requests().len(), other.requests().len()), (1, 0));
    }
}

fn limit() -> Upstream {
    Upstream::always(error_with(429, &[("Retry-After", "2")], "rate_limit_exceeded", "Slow down."))
}

fn limited_once() {
    let (bad, other) = (limit(), good("elsewhere"));
    let alone = Alone::start(gateway(), &[backend(&bad.url()), backend(&other.url())]);
    let began = Instant::now();
    for _ in 0..6 {
        assert_eq!(alone.ask(Mode::Whole), "200 elsewhere");
    }
    if began.elapsed() < Duration::from_secs(2) {
        assert_eq!(bad.requests().len(), 1, "asked again before its time");
    }
    std::thread::sleep(Duration::from_millis(2500));
    for _ in 0..2 {
        assert_eq!(alone.ask(Mode::Whole), "200 elsewhere");
    }
    assert_eq!(bad.requests().len(), 2, "never asked again");
}

fn limited_for_ever() {
    let (one, two) = (limit(), limit());
    let alone = Alone::start(gateway(), &[backend(&one.url()), backend(&two.url())]);
    for mode in Mode::BOTH {
        assert_eq!(alone.ask(mode), LIMITED);
    }
}

fn cut_at_40() {
    let mut steps = vec![head(200, &EVENTS)];
    steps.extend((0..40).map(|_| chunk(delta("x"))));
    steps.extend([Step::Pause(Duration::from_millis(60)), Step::Close]);
    let (bad, other) = (Upstream::always(steps), good("elsewhere"));
    let alone = Alone::start(gateway(), &[backend(&bad.url()), backend(&other.url())]);
    assert_eq!(alone.ask(Mode::Stream), format!("200 {} + error", "x".repeat(40)));
    assert_eq!(other.requests().len(), 0);
}

fn missing_done() {
    for end in [vec![last_chunk()], vec![Step::Close]] {
        // Without a reason to end it is a failure, with one it is whole; we say [DONE] ourselves.
        broken(end);
    }
    let upstream = Upstream::always(stream_of(&[&delta("one"), &finish()]));
    assert_eq!(Alone::start(gateway(), &[backend(&upstream.url())]).ask(Mode::Stream), "200 one");
}

/// Two pools, one after the other.
fn routes(first: &Upstream, second: &Upstream) -> Daemon {
    gateway()
        .pool("first", &[first])
        .pool("second", &[second])
        .alias("alone", &[("first", MODEL), ("second", MODEL)])
        .start()
}

fn fallback_refuses() {
    for mode in Mode::BOTH {
        let down = Upstream::always(error(500, "server_error", "Down."));
        let refusing = Upstream::always(error(400, "some_code", "No."));
        assert_eq!(ask(&routes(&down, &refusing), mode), "400 invalid_request");
        let down = Upstream::always(error(500, "server_error", "Down."));
        assert_eq!(ask(&routes(&down, &limit()), mode), DOWN, "not all were limited");
    }
}

/// A minute of good and bad turns, in two seconds.
fn flap() {
    let began = Instant::now();
    let flapping = Upstream::start(move |seen| {
        let mode = if seen.wants_stream() { Mode::Stream } else { Mode::Whole };
        if (began.elapsed().as_millis() / 200) % 2 == 1 {
            error(500, "server_error", "Flap.")
        } else {
            mode.answer("flapping")
        }
    });
    let steady = good("steady");
    let alone = Alone::start(gateway(), &[backend(&flapping.url()), backend(&steady.url())]);
    let (began, mut asked) = (Instant::now(), 0);
    while began.elapsed() < Duration::from_secs(2) {
        let mode = Mode::BOTH[asked % 2];
        let seen = alone.ask(mode);
        assert!(matches!(seen.as_str(), "200 flapping" | "200 steady"), "request {asked}: {seen}");
        asked += 1;
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// What a failed attempt used is nobody's usage: it answered nothing.
fn usage() {
    let wasted = completion("wasted").replace("128", "900").replace("\"object\":\"chat.completion\",", "");
    let cut = wasted[..wasted.len() - 1].to_owned();
    let length = wasted.len().to_string();
    let bad = Upstream::start(move |seen| {
        if seen.wants_stream() {
            // Usage, and then no text before the end.
            let usage = "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":7,\"completion_tokens\":900,\
                         \"total_tokens\":907}}\n\n";
            vec![head(200, &EVENTS), chunk(usage), Step::Close]
        } else {
            let head =
                head(200, &[("Content-Type", "application/json"), ("Content-Length", length.as_str())]);
            vec![head, bytes(&cut), Step::Close]
        }
    });
    let good = Upstream::start(|seen| {
        if seen.wants_stream() {
            let usage = "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":42,\"completion_tokens\":128,\
                         \"total_tokens\":170}}\n\n";
            stream_of(&[&delta("good"), &finish(), usage, DONE])
        } else {
            Mode::Whole.answer("good")
        }
    });
    let daemon = routes(&bad, &good);
    for (rounds, mode) in [(1.0, Mode::Whole), (2.0, Mode::Stream)] {
        assert_eq!(ask(&daemon, mode), "200 good");
        daemon.wait_metric("byname_serving", 0.0);
        for (kind, each) in [("prompt", 42.0), ("completion", 128.0)] {
            let counted = daemon.metric_sum("byname_tokens_total", &[("model", "alone"), ("kind", kind)]);
            assert_eq!(counted, rounds * each, "{kind} tokens after {rounds} answers");
        }
    }
}
