//! Streams of events: silence, floods, line ends, nonsense, and every way to end.

use std::time::{Duration, Instant};

use super::parts::{
    A_MIB, Alone, DONE, EVENTS, Mode, SECRET, after_one, delta, delta_data, error_event, finish, stream_of,
};
use super::runner::{A_MOMENT, Case, Expect, Line, line};
use crate::kit::config::{Gateway, backend};
use crate::kit::script::{Step, bytes, chunk, head, in_pieces, last_chunk};
use crate::kit::upstream::Upstream;

const PING: &[u8] = b"e\r\n: still here\n\n\r\n";

pub fn cases() -> Vec<Case> {
    silence().into_iter().chain(grammar()).chain(nonsense()).chain(ends()).collect()
}

fn stream(
    id: &'static str,
    what: &'static str,
    script: impl Fn() -> Vec<Step> + Send + Sync + 'static,
) -> Case {
    Case::script(id, what, move |_| script())
}

/// A stream of text whose chunks were changed on the way.
fn fine(id: &'static str, what: &'static str, change: fn(String) -> Vec<u8>) -> Case {
    let text = [delta("héllo "), delta("wörld 🙂"), finish(), DONE.to_owned()].concat();
    stream(id, what, move || vec![head(200, &EVENTS), chunk(change(text.clone())), last_chunk()])
        .stream(Expect::Fine("héllo wörld 🙂"))
}

/// One event with text, then this, then the proper end: too late.
fn cut(id: &'static str, what: &'static str, event: impl AsRef<[u8]>) -> Case {
    let event = event.as_ref().to_vec();
    stream(id, what, move || {
        after_one(vec![chunk(&event), chunk(delta("never")), chunk(finish()), chunk(DONE), last_chunk()])
    })
    .stream(Expect::Cut("one"))
}

fn silence() -> Vec<Case> {
    let soon = |gateway: Gateway| gateway.first_byte("1500ms").idle("1200ms");
    let flood = |gateway: Gateway| gateway.max_event("64KiB");
    let pings = || vec![Step::Drip(PING.repeat(100), PING.len(), Duration::from_millis(50)), Step::Stall];
    vec![
        stream("UP-58", "a head and no event", || vec![head(200, &EVENTS), Step::Stall])
            .labelled("first_byte_timeout")
            .stream(Expect::Once)
            .with(soon),
        stream("UP-59", "silence between events", || after_one(vec![Step::Stall]))
            .labelled("idle_timeout")
            .stream(Expect::Cut("one"))
            .with(soon),
        stream("UP-60", "an event that drips", || {
            let event = format!("ff\r\ndata: {}", delta_data(&"x".repeat(200)));
            after_one(vec![Step::Drip(event.into_bytes(), 1, Duration::from_millis(50)), Step::Stall])
        })
        .stream(Expect::Cut("one"))
        .with(soon),
        stream("UP-61", "a line without end", || {
            after_one(vec![
                bytes(format!("{:x}\r\ndata: ", 64 * A_MIB)),
                Step::Repeat(SECRET.into(), 3_000_000),
            ])
        })
        .labelled("event_too_large")
        .stream(Expect::Cut("one"))
        .with(flood),
        stream("UP-62", "an event of 64 MiB", || {
            let start = "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"";
            let times = 64 * A_MIB / SECRET.len();
            let size = start.len() + times * SECRET.len() + 5;
            after_one(vec![
                bytes(format!("{size:x}\r\n{start}")),
                Step::Repeat(SECRET.into(), times),
                bytes("\"}}]}\r\n"),
            ])
        })
        .stream(Expect::Cut("one"))
        .with(flood),
        stream("UP-63", "an event of 100,000 lines", || {
            let line = "data: x\n";
            let size = 100_000 * line.len();
            after_one(vec![bytes(format!("{size:x}\r\n")), Step::Repeat(line.into(), 100_000), bytes("\r\n")])
        })
        .stream(Expect::Cut("one"))
        .with(flood),
        stream("UP-68", "comments alone", move || [vec![head(200, &EVENTS)], pings()].concat())
            .labelled("first_byte_timeout")
            .stream(Expect::Once)
            .with(soon),
        stream("UP-68", "comments alone after text", move || after_one(pings()))
            .labelled("idle_timeout")
            .stream(Expect::Cut("one"))
            .with(soon),
    ]
}

fn grammar() -> Vec<Case> {
    let all = || [delta("héllo "), delta("wörld 🙂"), finish(), DONE.to_owned()].concat();
    vec![
        fine("UP-64", "CR for a line's end", |text| text.replace('\n', "\r").into()),
        fine("UP-64", "CRLF for a line's end", |text| text.replace('\n', "\r\n").into()),
        fine("UP-64", "mixed ends", |text| text.replacen("\n\n", "\r\n\n", 1).replacen("\n\n", "\r\r", 1).into()),
        stream("UP-65", "every byte its own segment", move || in_pieces(stream_of(&[&all()]), 1))
            .stream(Expect::Fine("héllo wörld 🙂")),
        stream("UP-65", "every byte its own chunk", move || {
            let mut steps = vec![head(200, &EVENTS)];
            steps.extend(all().as_bytes().chunks(1).map(chunk));
            steps.push(last_chunk());
            steps
        })
        .stream(Expect::Fine("héllo wörld 🙂")),
        stream("UP-66", "CRLF and characters cut in half", move || {
            let text = all().replace('\n', "\r\n");
            let mut steps = vec![head(200, &EVENTS)];
            for piece in text.as_bytes().split_inclusive(|&b| b == b'\r' || b == 0xc3 || b == 0xf0) {
                steps.extend([chunk(piece), Step::Pause(Duration::from_millis(3))]);
            }
            steps.push(last_chunk());
            steps
        })
        .stream(Expect::Fine("héllo wörld 🙂")),
        fine("UP-67", "a byte order mark", |text| format!("\u{feff}{text}").into()),
        fine("UP-69", "event, id and retry", |text| {
            text.replace("data:", &format!("event: {SECRET}\nid: {SECRET}\nretry: 1\n: {SECRET}\ndata:")).into()
        }),
        Case::script("UP-70", "line ends inside a text", |mode| mode.answer("a\r\ndata: b\n\nevent: c"))
            .both(Expect::Fine("a\r\ndata: b\n\nevent: c")),
        stream("UP-84", "ids and models that change", || {
            let other = |text: &str, n: u8| {
                delta(text).replace(SECRET, &format!("{SECRET}-{n}")).replace("\"created\":1", &format!("\"created\":{n}"))
            };
            stream_of(&[&other("a", 1), &other("b", 2), &other("c", 3), &finish(), DONE])
        })
        .stream(Expect::Fine("abc")),
        stream("UP-85", "usage without a choice, filters without a model", || {
            let filter = format!(
                "data: {{\"id\":\"\",\"object\":\"\",\"created\":0,\"model\":\"\",\"choices\":[],\
                 \"prompt_filter_results\":[{{\"{SECRET}\":1}}]}}\n\n"
            );
            let usage = format!(
                "data: {{\"id\":\"{SECRET}\",\"object\":\"chat.completion.chunk\",\"created\":1,\"model\":\"{SECRET}\",\
                 \"choices\":[],\"usage\":{{\"prompt_tokens\":42,\"completion_tokens\":128,\"total_tokens\":170}}}}\n\n"
            );
            stream_of(&[&filter, &delta("one"), &finish(), &usage, DONE])
        })
        .stream(Expect::Fine("one")),
    ]
}

fn nonsense() -> Vec<Case> {
    let data = |data: &str| format!("data: {data}\n\n");
    let escape = delta("x").replace("\"x\"", "\"\\ud83d\"");
    let invalid: Vec<u8> = delta("@").bytes().map(|b| if b == b'@' { 0xff } else { b }).collect();
    vec![
        cut("UP-71", "data that is no JSON", data(SECRET)),
        cut("UP-72", "an array", data(&format!("[\"{SECRET}\"]"))),
        cut("UP-72", "a number", data("42")),
        cut("UP-73", "two documents in an event", data(&format!("{0} {0}", delta_data("x")))),
        cut("UP-73", "two documents on two lines", format!("data: {0}\ndata: {0}\n\n", delta_data("x"))),
        cut("UP-74", "invalid UTF-8", invalid),
        cut("UP-75", "half of a surrogate pair", escape),
        cut("UP-81", "an error event", error_event()),
        cut("UP-81", "an error event with a name", format!("event: error\n{}", error_event())),
    ]
}

fn ends() -> Vec<Case> {
    vec![
        stream("UP-76", "a reason to end, and the end", || stream_of(&[&delta("one"), &finish()]))
            .stream(Expect::Fine("one")),
        stream("UP-77", "the end without a reason", || after_one(vec![last_chunk()]))
            .labelled("truncated")
            .stream(Expect::Cut("one")),
        stream("UP-77", "[DONE] without a reason", || after_one(vec![chunk(DONE), last_chunk()]))
            .stream(Expect::Cut("one")),
        Case::own("UP-78", "events after [DONE]", after_done),
        Case::own("UP-79", "[DONE], and the connection stays open", open_after_done),
        stream("UP-80", "[DONE] twice", || stream_of(&[&delta("one"), &finish(), DONE, DONE]))
            .stream(Expect::Fine("one")),
    ]
}

fn after_done() -> Vec<Line> {
    let upstream = Upstream::start(|_| {
        let mut steps = vec![head(200, &EVENTS), chunk(delta("one")), chunk(finish()), chunk(DONE)];
        steps.extend([Step::Pause(A_MOMENT), chunk(delta(SECRET)), chunk(DONE), Step::Stall]);
        steps
    });
    let alone = Alone::start(Gateway::new(), &[backend(&upstream.url())]);
    let seen: Vec<String> = (0..2).map(|_| alone.ask(Mode::Stream)).collect();
    let seen = format!("{}, {} connections", seen.join(", "), upstream.connections());
    vec![line("stream", "200 one, 200 one, 2 connections", seen)]
}

fn open_after_done() -> Vec<Line> {
    let upstream = Upstream::always(vec![
        head(200, &EVENTS),
        chunk(delta("one")),
        chunk(finish()),
        chunk(DONE),
        Step::Stall,
    ]);
    let alone = Alone::start(Gateway::new(), &[backend(&upstream.url())]);
    let began = Instant::now();
    let seen = alone.ask(Mode::Stream);
    let speed = if began.elapsed() < Duration::from_secs(6) { "at once" } else { "late" };
    vec![line("stream", "200 one at once", format!("{seen} {speed}"))]
}
