//! Prompts that take long: nobody is worked for who does not wait, and no tenant waits behind all of another's.

use std::time::Instant;

use serde_json::json;

use super::setup::Setup;
use super::{NEARLY, ask, assert_blocked, nearly};
use crate::kit::answers::json_answer;
use crate::kit::client::{Client, chat_request};
use crate::kit::daemon::Daemon;
use crate::kit::upstream::Upstream;
use crate::kit::{DEADLINE, KEY, KEY_GLOBEX};

/// So many letters take minutes.
const ENDLESS: usize = 6_000_000;

/// A prompt that nearly matches all the time, in ever new ways.
fn hard(letters: usize) -> String {
    ask(&nearly(letters))
}

/// A client that waits for longer than all prompts take.
fn patient(daemon: &Daemon) -> Client {
    let client = daemon.client();
    client.patience(6 * DEADLINE);
    client
}

/// Clients that have sent a prompt each and wait. All of it has been read.
fn waiting(daemon: &Daemon, count: usize, body: &str) -> Vec<Client> {
    let mut all: Vec<Client> = (0..count).map(|_| patient(daemon)).collect();
    for client in &mut all {
        client.send(&chat_request(KEY, body));
    }
    daemon.wait_metric("byname_body_bytes", (count * body.len()) as f64);
    all
}

#[test]
fn a_client_that_leaves_is_not_worked_for_and_its_memory_is_given_back() {
    let upstream = Upstream::always(json_answer("ok"));
    let daemon = Setup::new(&[&upstream], NEARLY).start();
    drop(waiting(&daemon, 3, &hard(ENDLESS)));
    daemon.wait_metric("byname_body_bytes", 0.0);
    let left = daemon.log_lines(3);
    // The seat is free.
    assert_eq!(daemon.client().chat(&hard(20_000)).status, 200);
    assert!(left.iter().all(|line| line["status"] == 499));
    assert_eq!(upstream.requests().len(), 1);
}

#[test]
fn a_prompt_that_takes_longer_than_a_request_may_is_given_up() {
    let upstream = Upstream::always(json_answer("ok"));
    let daemon = Setup::new(&[&upstream], NEARLY).silence("2s").total("2s").start();
    let mut clients = waiting(&daemon, 2, &hard(ENDLESS));
    for client in &mut clients {
        assert_eq!(client.read().status, 502);
    }
    daemon.wait_metric("byname_body_bytes", 0.0);
    // The client is told, so its connection goes on.
    assert_blocked(&clients[0].chat(&ask("aaxz")), "aaxz");
    assert!(upstream.requests().is_empty());
}

#[test]
fn a_daemon_that_leaves_does_not_wait_for_prompts() {
    let upstream = Upstream::always(json_answer("ok"));
    let mut daemon = Setup::new(&[&upstream], NEARLY).server("drain: 1s").start();
    let mut clients = waiting(&daemon, 2, &hard(ENDLESS));
    let began = Instant::now();
    daemon.terminate();
    for client in &mut clients {
        assert_eq!(client.read().status, 503);
    }
    assert!(daemon.wait().success());
    assert!(began.elapsed().as_secs() < 8);
}

/// A whole answer that takes long is held, and nobody else waits for it.
#[test]
fn answers_that_take_long_are_looked_at_apart() {
    let text = nearly(120_000);
    let (clean, bad) = (json_answer(&text), json_answer(&format!("{text}aaxz")));
    let upstream = Upstream::start(move |seen| match seen.text() {
        text if text.contains("clean") => clean.clone(),
        text if text.contains("bad") => bad.clone(),
        _ => json_answer("ok"),
    });
    let policy = format!("on_response: true, {NEARLY}");
    let daemon = Setup::new(&[&upstream], &policy).server("threads: 1").start();
    let mut slow = patient(&daemon);
    slow.send(&chat_request(KEY, &ask("clean")));
    upstream.wait_requests(1);
    assert_eq!(daemon.client().chat(&ask("quick")).status, 200);
    let answer = slow.read();
    assert_eq!((answer.status, answer.json()["choices"][0]["message"]["content"] == text), (200, true));
    assert_blocked(&slow.chat(&ask("bad")), "aaxz");
    let lines = daemon.log_lines(3);
    assert_eq!((&lines[2]["reason"], &lines[2]["bytes_down"]), (&json!("blocked_answer"), &json!(0)));
    assert!(lines[1]["bytes_down"].as_u64() > lines[0]["bytes_down"].as_u64(), "the quick one is first");
    assert_eq!(daemon.metric_sum("byname_upstream_attempts_total", &[("outcome", "ok")]), 3.0);
    assert_eq!(upstream.requests().len(), 3);
}

/// What waits takes room in memory; where there is none, nothing waits.
#[test]
fn an_answer_that_has_no_room_to_wait_in_is_looked_at_on_the_spot() {
    let text = "a book ".repeat(30_000);
    let (clean, bad) = (json_answer(&text), json_answer(&format!("{text}aaxz")));
    let upstream =
        Upstream::start(move |seen| if seen.text().contains("bad") { bad.clone() } else { clean.clone() });
    let policy = format!("on_response: true, {NEARLY}");
    for room in ["64KiB", "4MiB"] {
        let setup = Setup::new(&[&upstream], &policy).server("max_body: 16KiB");
        let daemon = setup.server(&format!("max_buffered: {room}")).start();
        let mut client = patient(&daemon);
        for _ in 0..2 {
            let answer = client.chat(&ask("clean"));
            assert_eq!(answer.json()["choices"][0]["message"]["content"], json!(text), "{room}");
            assert_blocked(&client.chat(&ask("bad")), "aaxz");
        }
        daemon.wait_metric("byname_body_bytes", 0.0);
        assert_eq!(daemon.metric_sum("byname_cap_exceeded_total", &[]), 0.0);
    }
}

/// One that nobody waits for any more, or may wait for, is not looked at to its end.
#[test]
fn an_answer_is_not_held_longer_than_its_request_may_take() {
    let text = nearly(ENDLESS);
    let answer = json_answer(&text);
    let upstream =
        Upstream::start(
            move |seen| if seen.text().contains("long") { answer.clone() } else { json_answer("ok") },
        );
    let policy = format!("on_response: true, {NEARLY}");
    let daemon = Setup::new(&[&upstream], &policy).silence("5s").total("5s").start();
    assert_eq!(daemon.client().chat(&ask("long")).status, 502);
    assert_eq!(daemon.log_lines(1)[0]["reason"], "total_timeout");
    // The seat is free.
    assert_eq!(daemon.client().chat(&hard(20_000)).status, 200);
}

#[test]
fn tenants_take_turns() {
    let upstream = Upstream::always(json_answer("ok"));
    let daemon = Setup::new(&[&upstream], NEARLY).globex().start();
    let body = hard(60_000);
    let mut clients = waiting(&daemon, 6, &body);
    let mut other = patient(&daemon);
    assert_eq!(other.chat_as(KEY_GLOBEX, &body).status, 200);
    for client in &mut clients {
        assert_eq!(client.read().status, 200);
    }
    let lines = daemon.log_lines(7);
    let place = lines.iter().position(|line| line["tenant"] == json!("globex"));
    assert!(place.is_some_and(|place| place <= 2), "{place:?}");
}
