//! Bodies that end too early, are no JSON, are no answer, or are too much.

use super::parts::{
    A_MIB, Alone, EVENTS, JSON, Mode, SECRET, after_one, completion, delta, finish, stream_of,
};
use super::runner::{A_MOMENT, Case, Expect, Line, line};
use crate::kit::config::{Gateway, backend};
use crate::kit::script::{Step, bytes, chunk, head, last_chunk, whole};
use crate::kit::upstream::Upstream;

pub fn cases() -> Vec<Case> {
    let json = |id, what, body: fn() -> String| {
        Case::script(id, what, move |_| whole(200, &[JSON], &body())).whole(Expect::Once)
    };
    vec![
        Case::script("UP-45", "a length larger than the body", |mode| {
            let head = head(200, &[mode.kind(), ("Content-Length", "9999")]);
            match mode {
                Mode::Whole => vec![head, bytes(completion("ok")), Step::Close],
                Mode::Stream => vec![head, bytes(delta("one")), Step::Pause(A_MOMENT), Step::Close],
            }
        })
        .whole(Expect::Once)
        .stream(Expect::Cut("one")),
        Case::own("UP-46", "bytes behind the body", extra_bytes),
        broken("UP-47", "a bad chunk size", || vec![bytes(format!("zz\r\n{SECRET}\r\n")), Step::Close]),
        broken("UP-47", "a chunk size beyond all numbers", || {
            vec![bytes(format!("fffffffffffffffff\r\n{SECRET}\r\n")), Step::Close]
        }),
        broken("UP-48", "close without a last chunk", || vec![Step::Close]),
        broken("UP-49", "reset in the body", || vec![Step::Pause(A_MOMENT), Step::Reset]),
        json("UP-50", "invalid JSON", || format!("{{\"choices\":[{SECRET}}}")),
        json("UP-50", "an empty body", String::new),
        json("UP-51", "an array", || format!("[{{\"{SECRET}\":1}}]")),
        json("UP-51", "no choices", || format!("{{\"id\":\"{SECRET}\"}}")),
        json("UP-51", "choices are null", || format!("{{\"id\":\"{SECRET}\",\"choices\":null}}")),
        json("UP-51", "a choice is a number", || "{\"choices\":[7]}".to_owned()),
        Case::script("UP-52", "invalid UTF-8", |_| {
            let body: Vec<u8> =
                completion("bad@text").bytes().map(|b| if b == b'@' { 0xff } else { b }).collect();
            vec![head(200, &[JSON, ("Content-Length", &body.len().to_string())]), bytes(body)]
        })
        .labelled("bad_json")
        .whole(Expect::Once),
        Case::script("UP-53", "two models", |_| {
            let body = completion("twice").replacen('{', &format!("{{\"model\":\"{SECRET}-2\","), 1);
            whole(200, &[JSON], &body)
        })
        .whole(Expect::Fine("twice")),
        Case::script("UP-54", "a body without end", |_| {
            let start = "{\"choices\":[{\"message\":{\"content\":\"";
            let length = (1024 * A_MIB).to_string();
            vec![
                head(200, &[JSON, ("Content-Length", &length)]),
                bytes(start),
                Step::Repeat(SECRET.into(), 1024 * A_MIB / SECRET.len()),
                Step::Close,
            ]
        })
        .labelled("too_large")
        .whole(Expect::Once)
        .with(|gateway| gateway.max_response("1MiB")),
        Case::script("UP-55", "gzip that nobody asked for", |mode| {
            whole(200, &[mode.kind(), ("Content-Encoding", "gzip")], SECRET)
        })
        .labelled("bad_encoding")
        .both(Expect::Once),
        Case::script("UP-56", "a gzip bomb", |mode| {
            // The head of a gzip file, and much that would unfold.
            let start = head(200, &[mode.kind(), ("Content-Encoding", "gzip"), EVENTS[1]]);
            let chunk = [&b"10000\r\n"[..], &[0; 0x10000], b"\r\n"].concat();
            vec![
                start,
                bytes(b"a\r\n\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\x03\r\n"),
                Step::Repeat(chunk, 200),
                last_chunk(),
            ]
        })
        .both(Expect::Once),
        // Read without recursion and dropped: it costs nothing and says nothing.
        Case::script("UP-57", "1,000 levels where they are ignored", |_| {
            let deep = format!("{{\"x\":{}{},", "[".repeat(1000), "]".repeat(1000));
            whole(200, &[JSON], &completion("deep").replacen('{', &deep, 1))
        })
        .whole(Expect::Fine("deep")),
        json("UP-57", "1,000 levels for a text", || {
            completion("deep").replacen("\"deep\"", &format!("{}{}", "[".repeat(1000), "]".repeat(1000)), 1)
        }),
        json("UP-57", "100,000 levels and no end", || "[".repeat(100_000)),
    ]
}

/// A chunked body that goes wrong after its first part.
fn broken(id: &'static str, what: &'static str, failure: fn() -> Vec<Step>) -> Case {
    Case::script(id, what, move |mode| match mode {
        Mode::Whole => {
            [vec![head(200, &[JSON, EVENTS[1]]), chunk(&completion("ok")[..40])], failure()].concat()
        }
        Mode::Stream => after_one(failure()),
    })
    .whole(Expect::Once)
    .stream(Expect::Cut("one"))
}

/// What comes behind a body is nobody's answer.
fn extra_bytes() -> Vec<Line> {
    let poison = || bytes(format!("HTTP/1.1 200 OK\r\nContent-Length: 19\r\n\r\n{SECRET}"));
    let line_of = |mode: Mode| {
        let upstream = Upstream::start(move |_| {
            let mut steps = match mode {
                Mode::Whole => whole(200, &[JSON], &completion("clean")),
                Mode::Stream => stream_of(&[&delta("clean"), &finish(), super::parts::DONE]),
            };
            let mut text = Vec::new();
            for step in steps.drain(..).chain([poison()]) {
                if let Step::Bytes(bytes) = step {
                    text.extend(bytes);
                }
            }
            vec![bytes(text)]
        });
        let alone = Alone::start(Gateway::new(), &[backend(&upstream.url())]);
        let seen: Vec<String> = (0..3).map(|_| alone.ask(mode)).collect();
        let seen = format!("{}, {} connections", seen.join(", "), upstream.connections());
        line(mode.label(), "200 clean, 200 clean, 200 clean, 3 connections", seen)
    };
    Mode::BOTH.map(line_of).into()
}
