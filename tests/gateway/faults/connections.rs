//! Which connection may be used again, and what happens when there is nobody left.

use std::collections::HashSet;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use super::parts::{Alone, Bad, JSON, Mode, SECRET, completion, describe, error, good};
use super::runner::{Case, Expect, Line, line};
use crate::kit::KEY;
use crate::kit::client::chat_request;
use crate::kit::config::{Gateway, backend};
use crate::kit::script::{Intake, Step, whole};
use crate::kit::upstream::Upstream;

pub fn cases() -> Vec<Case> {
    vec![
        Case::own("UP-91", "a kept connection that closes on reuse", || closing_on_reuse(Step::Close)),
        Case::own("UP-91", "a kept connection that is reset on reuse", || closing_on_reuse(Step::Reset)),
        Case::own("UP-92", "bytes on an idle connection", idle_bytes),
        Case::own("UP-93", "an answer after its client has left", late_answer),
        Case::own("UP-94", "every backend fails", all_down),
        Case::own("UP-95", "one of three is slow, one flaps", uneven),
        Case::bad("UP-96", "401 before the request was sent", |_| {
            let steps = error(401, "invalid_api_key", "No.");
            let intake = Intake::Part(1024);
            Bad::scripted(Upstream::with_intake(intake, move |_| [steps.clone(), vec![Step::Stall]].concat()))
        })
        .both(Expect::Safe),
        Case::own("UP-96", "401 before 5 MiB were sent", || early(error(401, "invalid_api_key", "No."))),
        Case::own("UP-96", "a backend that does not read 5 MiB", || early(Vec::new())),
    ]
}

/// Each connection serves one request and fails the second before a byte.
fn closing_on_reuse(how: Step) -> Vec<Line> {
    const REQUESTS: usize = 300;
    let line_of = |mode: Mode| {
        let (used, how) = (Mutex::new(HashSet::new()), how.clone());
        let upstream = Upstream::start(move |seen| {
            let fresh = used.lock().expect("no script panics").insert(seen.connection);
            if fresh { mode.answer("kept") } else { vec![how.clone()] }
        });
        // The second try is not an attempt: one must be enough.
        let alone = Alone::start(Gateway::new().attempts(1), &[backend(&upstream.url())]);
        let mut client = alone.daemon.client();
        let seen = (0..REQUESTS).map(|_| describe(&client.chat(&mode.ask("alone")), mode, "alone"));
        let errors = seen.filter(|seen| seen != "200 kept").count();
        let often =
            if upstream.requests().len() <= 2 * REQUESTS { "twice at most" } else { "more than twice" };
        line(mode.label(), "0 errors, sent twice at most", format!("{errors} errors, sent {often}"))
    };
    Mode::BOTH.map(line_of).into()
}

fn idle_bytes() -> Vec<Line> {
    let line_of = |mode: Mode| {
        let upstream = Upstream::start(move |seen| {
            let poison = whole(200, &[JSON], &completion(SECRET));
            let mut steps = mode.answer("mine");
            if seen.index == 0 {
                steps.push(Step::Pause(Duration::from_millis(100)));
                steps.extend(poison);
            }
            steps
        });
        let alone = Alone::start(Gateway::new(), &[backend(&upstream.url())]);
        let first = alone.ask(mode);
        thread::sleep(Duration::from_millis(300));
        let seen = format!("{first}, {}, {} connections", alone.ask(mode), upstream.connections());
        line(mode.label(), "200 mine, 200 mine, 2 connections", seen)
    };
    Mode::BOTH.map(line_of).into()
}

fn late_answer() -> Vec<Line> {
    let line_of = |mode: Mode| {
        let upstream = Upstream::start(move |seen| match seen.index {
            0 => [vec![Step::Wait("left")], mode.answer(SECRET)].concat(),
            _ => mode.answer("mine"),
        });
        let alone = Alone::start(Gateway::new(), &[backend(&upstream.url())]);
        let mut client = alone.daemon.client();
        client.send(&chat_request(KEY, &mode.ask("alone")));
        upstream.wait_requests(1);
        drop(client);
        thread::sleep(Duration::from_millis(100));
        upstream.open("left");
        let seen = alone.ask(mode);
        let requests = upstream.requests();
        let other = requests.last().is_some_and(|last| last.connection != requests[0].connection);
        let other = if other { "another" } else { "the same" };
        line(mode.label(), "200 mine on another connection", format!("{seen} on {other} connection"))
    };
    Mode::BOTH.map(line_of).into()
}

/// Told at once, and hardly more often sent than asked.
fn all_down() -> Vec<Line> {
    const REQUESTS: usize = 60;
    let down = || Upstream::always(error(500, "server_error", "Down."));
    let backends = [down(), down(), down()];
    let alone = Alone::start(Gateway::new(), &backends.each_ref().map(|upstream| backend(&upstream.url())));
    let mut client = alone.daemon.client();
    let (mut told, mut slowest) = (0, Duration::ZERO);
    for round in 0..REQUESTS {
        let began = Instant::now();
        let seen = describe(&client.chat(&Mode::Whole.ask("alone")), Mode::Whole, "alone");
        told += usize::from(seen == "502 upstream_unavailable");
        if round >= REQUESTS / 2 {
            slowest = slowest.max(began.elapsed());
        }
    }
    let sent: usize = backends.iter().map(|upstream| upstream.requests().len()).sum();
    // A fifth more, and a few that any budget grants.
    let load =
        if sent <= REQUESTS * 6 / 5 + 10 { "1.2 times at most".to_owned() } else { format!("{sent} times") };
    let speed =
        if slowest < Duration::from_secs(4) { "at once".to_owned() } else { format!("in {slowest:?}") };
    vec![line(
        "whole",
        "60 told, at once, sent 1.2 times at most",
        format!("{told} told, {speed}, sent {load}"),
    )]
}

/// Nobody sees an error, and the slow one gets less than its share.
fn uneven() -> Vec<Line> {
    const CLIENTS: usize = 4;
    const EACH: usize = 60;
    let after = |time: u64, text: &'static str| {
        Upstream::start(move |_| {
            [vec![Step::Pause(Duration::from_millis(time))], Mode::Whole.answer(text)].concat()
        })
    };
    let began = Instant::now();
    let flapping = Upstream::start(move |_| {
        let bad = (began.elapsed().as_millis() / 200) % 2 == 1;
        if bad {
            error(500, "server_error", "Flap.")
        } else {
            [vec![Step::Pause(Duration::from_millis(20))], Mode::Whole.answer("ok")].concat()
        }
    });
    let (fast, slow) = (after(20, "ok"), after(400, "ok"));
    let backends = [&fast, &slow, &flapping].map(|upstream| backend(&upstream.url()));
    let alone = Alone::start(Gateway::new().pool_line("balance: p2c_ewma"), &backends);
    let errors = AtomicUsize::new(0);
    let late_slow = AtomicUsize::new(0);
    thread::scope(|scope| {
        for _ in 0..CLIENTS {
            scope.spawn(|| {
                let mut client = alone.daemon.client();
                for round in 0..EACH {
                    if round == EACH / 2 {
                        late_slow.fetch_max(slow.requests().len(), Ordering::Relaxed);
                    }
                    let seen = describe(&client.chat(&Mode::Whole.ask("alone")), Mode::Whole, "alone");
                    errors.fetch_add(usize::from(seen != "200 ok"), Ordering::Relaxed);
                }
            });
        }
    });
    let late = slow.requests().len().saturating_sub(late_slow.into_inner());
    let share = if late * 5 < CLIENTS * EACH / 2 { "little".to_owned() } else { format!("{late}") };
    let seen = format!("{} errors, {share} for the slow one", errors.into_inner());
    vec![line("whole", "0 errors, little for the slow one", seen)]
}

/// A long request that the backend does not take in, answered early or not at all.
fn early(steps: Vec<Step>) -> Vec<Line> {
    let line_of = |mode: Mode| {
        let steps = steps.clone();
        let bad =
            Upstream::with_intake(Intake::Part(1024), move |_| [steps.clone(), vec![Step::Stall]].concat());
        let other = Arc::new(good("elsewhere"));
        let gateway = Gateway::new().first_byte("2s").idle("2s");
        let alone = Alone::start(gateway.clone(), &[backend(&bad.url())]);
        let pair = Alone::start(gateway, &[backend(&bad.url()), backend(&other.url())]);
        let ask = |at: &Alone| {
            let body = mode.ask("alone").replace("Hello", &"prompt ".repeat(5 * 1024 * 1024 / 7));
            let began = Instant::now();
            let mut client = at.daemon.client();
            // The gateway takes all of it; only the backend does not.
            client.send(&chat_request(KEY, &body));
            let seen = describe(&client.read(), mode, "alone");
            if began.elapsed() < Duration::from_secs(8) { seen } else { format!("{seen} late") }
        };
        let seen = format!("alone {}; pair {}", ask(&alone), ask(&pair));
        line(mode.label(), "alone 502 upstream_unavailable; pair 200 elsewhere", seen)
    };
    Mode::BOTH.map(line_of).into()
}
