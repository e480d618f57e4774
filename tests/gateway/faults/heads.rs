//! Status lines and headers that are none, or too many.

use std::sync::Arc;
use std::time::Duration;

use super::parts::{Alone, Bad, EVENTS, JSON, Mode, SECRET, good};
use super::runner::{Case, Expect, Line, line};
use crate::kit::config::{Gateway, backend};
use crate::kit::h2_upstream::{H2Step, H2Upstream};
use crate::kit::script::{Step, bytes, head, whole};
use crate::kit::upstream::Upstream;

pub fn cases() -> Vec<Case> {
    let soon = |gateway: Gateway| gateway.first_byte("1500ms");
    let with_lengths = |lengths: &'static [&'static str]| {
        move |mode: Mode| {
            let mut headers = vec![mode.kind()];
            headers.extend(lengths.iter().map(|length| ("Content-Length", *length)));
            vec![head(200, &headers), bytes(mode.body("ok")), Step::Close]
        }
    };
    let status = |status: u16| move |mode: Mode| whole(status, &[mode.kind()], &mode.body("ok"));
    vec![
        Case::script("UP-16", "silence", |_| vec![Step::Stall])
            .labelled("first_byte_timeout")
            .both(Expect::Once)
            .with(soon),
        Case::script("UP-16", "silence, and no second try for it", |_| vec![Step::Stall])
            .both(Expect::Refused(502, "upstream_unavailable"))
            .with(move |gateway| soon(gateway).pool_line("retry: { on_timeout: false }")),
        Case::bad("UP-16", "silence over HTTP/2", |_| Bad::http2(H2Upstream::always(vec![H2Step::Stall])))
            .both(Expect::Once)
            .with(soon),
        Case::script("UP-17", "a head that drips", |mode| {
            let text =
                format!("HTTP/1.1 200 OK\r\nContent-Type: {}\r\nX-Long: {}", mode.kind().1, "x".repeat(900));
            vec![Step::Drip(text.into_bytes(), 1, Duration::from_millis(50)), Step::Stall]
        })
        .labelled("first_byte_timeout")
        .both(Expect::Once)
        .with(soon),
        Case::script("UP-18", "garbage for a status line", |_| {
            vec![bytes(format!("HELO {SECRET}\r\n\r\n")), Step::Close]
        })
        .labelled("bad_response")
        .both(Expect::Once),
        Case::script("UP-19", "a body without a head", |mode| vec![bytes(mode.body("ok")), Step::Close])
            .both(Expect::Once),
        Case::script("UP-20", "a head of 2 MiB", |mode| {
            let start = format!("HTTP/1.1 200 OK\r\nContent-Type: {}\r\nX-Large: ", mode.kind().1);
            vec![bytes(start), Step::Repeat(SECRET.into(), 110_000), bytes("\r\n\r\n"), Step::Close]
        })
        .both(Expect::Once),
        Case::script("UP-20", "5000 headers", |mode| {
            let start = format!("HTTP/1.1 200 OK\r\nContent-Type: {}\r\n", mode.kind().1);
            vec![bytes(start), Step::Repeat(b"X-A: b\r\n".to_vec(), 5000), bytes("\r\n"), Step::Close]
        })
        .both(Expect::Once),
        Case::own("UP-21", "a length and chunks", both_framings),
        Case::script("UP-22", "two lengths", with_lengths(&["10", "400"])).both(Expect::Once),
        Case::script("UP-23", "a negative length", with_lengths(&["-1"])).both(Expect::Once),
        Case::script("UP-23", "a length beyond all numbers", with_lengths(&["99999999999999999999999"]))
            .both(Expect::Once),
        Case::script("UP-24", "line feeds alone", |mode| {
            let body = mode.body("bare");
            vec![bytes(format!(
                "HTTP/1.1 200 OK\nContent-Type: {}\nContent-Length: {}\n\n{body}",
                mode.kind().1,
                body.len()
            ))]
        })
        .both(Expect::Fine("bare")),
        Case::script("UP-25", "100,000 interim answers", |mode| {
            let flood = Step::Repeat(b"HTTP/1.1 102 Processing\r\n\r\n".to_vec(), 100_000);
            [vec![flood], mode.answer("too late")].concat()
        })
        .both(Expect::Once),
        Case::script("UP-26", "103 with a link", |mode| {
            let hints = format!("HTTP/1.1 103 Early Hints\r\nLink: <https://{SECRET}/>; rel=preload\r\n\r\n");
            [vec![bytes(hints)], mode.answer("hinted")].concat()
        })
        .both(Expect::Fine("hinted")),
        Case::script("UP-27", "101 that nobody asked for", |_| {
            vec![head(101, &[("Upgrade", SECRET), ("Connection", "Upgrade")]), bytes(SECRET), Step::Stall]
        })
        .both(Expect::Once)
        .with(soon),
        Case::script("UP-28", "204 with a body", |mode| whole(204, &[mode.kind()], &mode.body("ok")))
            .both(Expect::Once),
        Case::script("UP-28", "304 with a body", |mode| whole(304, &[mode.kind()], &mode.body("ok")))
            .both(Expect::Refused(502, "upstream_unavailable")),
        Case::own("UP-28", "what is left of a 204 is nobody's answer", leftover),
        Case::bad("UP-29", "302 to another host", |_| {
            let target = Arc::new(good("redirected"));
            let location = target.url();
            let upstream = Upstream::start(move |_| {
                whole(302, &[JSON, ("Location", &location)], &format!("{{\"{SECRET}\":1}}"))
            });
            Bad::new(backend(&upstream.url()), upstream)
                .check(move || (target.connections() > 0).then(|| "the redirect was followed".to_owned()))
        })
        .both(Expect::Refused(502, "upstream_unavailable")),
        Case::script("UP-30", "status 99", |mode| {
            vec![
                bytes(format!("HTTP/1.1 99 {SECRET}\r\nContent-Type: {}\r\n\r\n", mode.kind().1)),
                Step::Close,
            ]
        })
        .both(Expect::Once),
        Case::script("UP-30", "status 600", status(600)).both(Expect::Once),
        Case::script("UP-30", "status 999", status(999)).both(Expect::Once),
    ]
}

/// One reading, always the same, and a connection that serves nobody after it.
fn both_framings() -> Vec<Line> {
    let line_of = |mode: Mode| {
        let upstream = Upstream::start(move |_| {
            let body = mode.body("both");
            let length = body.len().to_string();
            let head = head(200, &[mode.kind(), EVENTS[1], ("Content-Length", &length)]);
            vec![head, bytes(format!("{:x}\r\n{body}\r\n0\r\n\r\n", body.len()))]
        });
        let alone = Alone::start(Gateway::new().first_byte("1s"), &[backend(&upstream.url())]);
        let (first, second) = (alone.ask(mode), alone.ask(mode));
        let same = if first == second { "the same twice" } else { "different" };
        let known = matches!(first.as_str(), "200 both" | "502 upstream_unavailable");
        let seen = if known { same.to_owned() } else { first };
        // Chunks win (RFC 9112, 6.3). The framework drops the length before we see it, so the connection is
        // kept; what a length would have left over is found on the idle connection, as in UP-92.
        line(mode.label(), "the same twice", seen)
    };
    Mode::BOTH.map(line_of).into()
}

fn leftover() -> Vec<Line> {
    let line_of = |mode: Mode| {
        let upstream = Upstream::start(move |seen| {
            if seen.index == 0 {
                let body = format!("HTTP/1.1 200 OK\r\n{}: {}\r\n\r\n{}", JSON.0, JSON.1, mode.body(SECRET));
                whole(204, &[mode.kind()], &body)
            } else {
                mode.answer("fresh")
            }
        });
        let alone = Alone::start(Gateway::new(), &[backend(&upstream.url())]);
        let (first, second) = (alone.ask(mode), alone.ask(mode));
        let seen = format!("{first}, then {second}, {} connections", upstream.connections());
        line(mode.label(), "502 upstream_unavailable, then 200 fresh, 2 connections", seen)
    };
    Mode::BOTH.map(line_of).into()
}
