//! What HTTP/2 adds: streams and connections that end, and windows that fill.

use std::time::Duration;

use h2::Reason;

use super::parts::{Alone, Bad, Mode, delta, finish, h2_answer, h2_good, h2_start};
use super::runner::{Case, Expect, Line, line};
use crate::kit::KEY;
use crate::kit::client::{chat_request, request};
use crate::kit::config::Gateway;
use crate::kit::h2_upstream::{H2Step, H2Upstream};

pub fn cases() -> Vec<Case> {
    vec![
        Case::bad("UP-86", "GOAWAY that covers the stream", |mode| {
            let body = mode.body("to the end");
            let (first, rest) = body.split_at(body.len() / 2);
            let kind = vec![("content-type", mode.kind().1.to_owned())];
            Bad::http2(H2Upstream::always(vec![
                H2Step::Head(200, kind),
                H2Step::Data(first.into()),
                H2Step::GoAway,
                H2Step::Pause(Duration::from_millis(100)),
                H2Step::Data(rest.into()),
                H2Step::End,
            ]))
        })
        .both(Expect::Fine("to the end")),
        Case::own("UP-87", "GOAWAY that does not cover the stream", not_covered),
        Case::bad("UP-87", "a refused stream", |_| {
            Bad::http2(H2Upstream::always(vec![H2Step::Reset(Reason::REFUSED_STREAM)]))
        })
        .both(Expect::Safe),
        reset("UP-88", "RST_STREAM in the answer", H2Step::Reset(Reason::INTERNAL_ERROR)),
        reset("UP-88", "GOAWAY in the answer", H2Step::Abort(Reason::ENHANCE_YOUR_CALM)),
        Case::own("UP-89", "small frames that nobody reads", || stalled(1, 100, 30_000)),
        Case::own("UP-90", "a window that nobody opens", || stalled(4, 1000, 9_000)),
    ]
}

fn reset(id: &'static str, what: &'static str, step: H2Step) -> Case {
    Case::bad(id, what, move |mode| {
        let mut steps = h2_start(mode, "one");
        steps.extend([H2Step::Pause(Duration::from_millis(60)), step.clone()]);
        Bad::http2(H2Upstream::always(steps))
    })
    .whole(Expect::Once)
    .stream(Expect::Cut("one"))
}

/// Another connection to the same backend, or another backend; with neither, the table's 502.
fn not_covered() -> Vec<Line> {
    let answer = |text: &'static str| {
        move |seen: &crate::kit::h2_upstream::H2Seen| {
            h2_answer(if seen.wants_stream() { Mode::Stream } else { Mode::Whole }, text)
        }
    };
    let line_of = |mode: Mode| {
        let always = H2Upstream::leaving(usize::MAX, answer("never"));
        let (leaving, other) = (H2Upstream::leaving(usize::MAX, answer("never")), h2_good("elsewhere"));
        let alone = Alone::start(Gateway::new(), &[always.backend()]).ask(mode);
        let pair = Alone::start(Gateway::new(), &[leaving.backend(), other.backend()]).ask(mode);
        let expected = "alone 502 upstream_unavailable; pair 200 elsewhere";
        line(mode.label(), expected, format!("alone {alone}; pair {pair}"))
    };
    Mode::BOTH.map(line_of).into()
}

/// Clients that do not read, and one that does.
fn stalled(clients: usize, frame: usize, frames: usize) -> Vec<Line> {
    let upstream = H2Upstream::start(move |seen| {
        if seen.json()["messages"][0]["content"] != "flood" {
            return h2_answer(if seen.wants_stream() { Mode::Stream } else { Mode::Whole }, "calm");
        }
        let mut steps = h2_start(Mode::Stream, "flood");
        let text = "x".repeat(frame);
        steps.extend([
            H2Step::Repeat(delta(&text).into(), frames),
            H2Step::Data(finish().into()),
            H2Step::End,
        ]);
        steps
    });
    let alone = Alone::start(Gateway::new(), &[upstream.backend()]);
    let body = Mode::Stream.ask("alone").replace("Hello", "flood");
    let stuck: Vec<_> = (0..clients)
        .map(|_| {
            let mut client = alone.daemon.client();
            client.narrow();
            client.send(&chat_request(KEY, &body));
            client
        })
        .collect();
    let mut good = 0;
    for _ in 0..10 {
        std::thread::sleep(Duration::from_millis(100));
        good += usize::from(alone.ask(Mode::Stream) == "200 calm");
    }
    drop(stuck);
    // The gateway itself has come through.
    let mut client = alone.daemon.client();
    client.send(&request("GET", "/v1/models", &[("Authorization", &format!("Bearer {KEY}"))], b""));
    let after = client.read().status;
    vec![line("stream", "10 of 10 calm, then 200", format!("{good} of 10 calm, then {after}"))]
}
