//! Waiting in line for a slot instead of being refused.

use std::thread;
use std::time::{Duration, Instant};

use super::setup::{KEY_APP, Setup};
use super::{assert_limited, body, gated, left, settled};
use crate::kit::KEY;
use crate::kit::answers::json_answer;
use crate::kit::client::{Client, ask, ask_stream, chat_request};
use crate::kit::daemon::Daemon;
use crate::kit::script::Step;
use crate::kit::upstream::Upstream;

/// Longer than any test here; who is served is served before.
const LONG: &str = "wait: 8s, depth: 100";

fn send(daemon: &Daemon, key: &str, body: &str) -> Client {
    let mut client = daemon.client();
    client.send(&chat_request(key, body));
    client
}

/// Waits until so many requests are being served, and those that must wait have got in line.
fn in_line(daemon: &Daemon, serving: usize) {
    daemon.wait_metric("byname_serving", serving as f64);
    // Between its head and its place in line a request reads its body; nobody tells when that is over.
    thread::sleep(Duration::from_millis(200));
}

#[test]
fn a_request_waits_for_a_slot_and_is_served() {
    for ask in [ask("general"), ask_stream("general")] {
        let upstream = gated();
        let daemon = Setup::new()
            .pool("main", &[&upstream], "")
            .queued("general", &["main"], "concurrent: 1, requests_per_minute: 100", LONG)
            .start();
        let mut first = send(&daemon, KEY, &ask);
        upstream.wait_requests(1);
        let mut second = send(&daemon, KEY, &ask);
        assert!(second.nothing_yet());
        assert_eq!(upstream.requests().len(), 1);
        upstream.open("go");
        assert_eq!((first.read().status, second.read().status), (200, 200));
        settled(&daemon);
        assert_eq!(left(&daemon, "acme", "general", "concurrent"), 1);
        assert_eq!(left(&daemon, "acme", "general", "requests_per_minute"), 98);
    }
}

#[test]
fn who_has_waited_long_enough_is_refused() {
    let upstream = gated();
    let daemon = Setup::new()
        .pool("main", &[&upstream], "")
        .queued("general", &["main"], "concurrent: 1, requests_per_minute: 100", "wait: 1s, depth: 100")
        .start();
    let mut first = send(&daemon, KEY, &ask("general"));
    upstream.wait_requests(1);
    let since = Instant::now();
    assert_eq!(assert_limited(&daemon.client().chat(&ask("general")), "general"), 1);
    assert!(since.elapsed() > Duration::from_millis(900), "{:?}", since.elapsed());
    assert_eq!(left(&daemon, "acme", "general", "requests_per_minute"), 99);
    upstream.open("go");
    assert_eq!(first.read().status, 200);
}

#[test]
fn a_full_queue_refuses_at_once() {
    let upstream = gated();
    let daemon = Setup::new()
        .pool("main", &[&upstream], "")
        .queued("general", &["main"], "concurrent: 1", "wait: 9s, depth: 2")
        .start();
    let mut running = vec![send(&daemon, KEY, &ask("general"))];
    upstream.wait_requests(1);
    running.push(send(&daemon, KEY, &ask("general")));
    running.push(send(&daemon, KEY_APP, &ask("general")));
    in_line(&daemon, 3);
    let since = Instant::now();
    for key in [KEY, KEY_APP] {
        assert_limited(&daemon.client().chat_as(key, &ask("general")), "general");
    }
    assert!(since.elapsed() < Duration::from_secs(4), "{:?}", since.elapsed());
    upstream.open("go");
    for client in &mut running {
        assert_eq!(client.read().status, 200);
    }
}

#[test]
fn two_keys_take_turns() {
    let upstream = gated();
    let daemon = Setup::new()
        .pool("main", &[&upstream], "")
        .queued("general", &["main"], "concurrent: 1", LONG)
        .start();
    let named = |who: &str| body("general", who, serde_json::json!({}));
    let mut running = vec![send(&daemon, KEY, &named("first"))];
    upstream.wait_requests(1);
    running.extend((0..4).map(|_| send(&daemon, KEY, &named("web"))));
    in_line(&daemon, 5);
    running.extend((0..2).map(|_| send(&daemon, KEY_APP, &named("app"))));
    in_line(&daemon, 7);
    upstream.open("go");
    for client in &mut running {
        assert_eq!(client.read().status, 200);
    }
    let order: Vec<_> = upstream
        .requests()
        .iter()
        .map(|seen| seen.json()["messages"][0]["content"].as_str().unwrap_or_default().to_owned())
        .collect();
    assert_eq!(order, ["first", "web", "app", "web", "app", "web", "web"]);
}

#[test]
fn who_leaves_the_line_takes_no_slot_along() {
    let upstream = gated();
    let daemon = Setup::new()
        .pool("main", &[&upstream], "")
        .queued("general", &["main"], "concurrent: 1, requests_per_minute: 100", "wait: 8s, depth: 2")
        .start();
    let mut first = send(&daemon, KEY, &ask("general"));
    upstream.wait_requests(1);
    for round in 0..3 {
        let (one, other) = (send(&daemon, KEY, &ask("general")), send(&daemon, KEY, &ask("general")));
        in_line(&daemon, 3);
        if round == 0 {
            one.reset();
            other.reset();
        } else {
            drop((one, other));
        }
        // Their places are free again.
        daemon.wait_metric("byname_serving", 1.0);
    }
    let mut last = send(&daemon, KEY, &ask("general"));
    in_line(&daemon, 2);
    upstream.open("go");
    assert_eq!((first.read().status, last.read().status), (200, 200));
    settled(&daemon);
    assert_eq!(upstream.requests().len(), 2);
    assert_eq!(left(&daemon, "acme", "general", "concurrent"), 1);
    assert_eq!(left(&daemon, "acme", "general", "requests_per_minute"), 98);
    assert_eq!(daemon.client().chat(&ask("general")).status, 200);
}

#[test]
fn slots_of_a_pool_are_waited_for_too() {
    // Each request takes a little while, so that one slot goes from hand to hand.
    let upstream = Upstream::start(|_| {
        let mut steps = vec![Step::Wait("go"), Step::Pause(Duration::from_millis(20))];
        steps.extend(json_answer("ok"));
        steps
    });
    let daemon = Setup::new()
        .pool("main", &[&upstream], "concurrent: 1")
        .queued("general", &["main"], "", LONG)
        .queued("limited", &["main"], "concurrent: 50", LONG)
        .start();
    let mut running = vec![send(&daemon, KEY, &ask("general"))];
    upstream.wait_requests(1);
    for number in 0..16 {
        let alias = if number % 2 == 0 { "general" } else { "limited" };
        running.push(send(&daemon, KEY, &ask(alias)));
    }
    in_line(&daemon, 17);
    assert_eq!(upstream.requests().len(), 1);
    upstream.open("go");
    let statuses: Vec<_> = running.iter_mut().map(|client| client.read().status).collect();
    assert_eq!(statuses, [200; 17]);
    settled(&daemon);
    assert_eq!(left(&daemon, "", "", "main/concurrent"), 1);
    assert_eq!(left(&daemon, "acme", "limited", "concurrent"), 50);
}

#[test]
fn the_line_of_a_full_pool_ends_with_its_wait_or_its_client() {
    let upstream = gated();
    let daemon = Setup::new()
        .pool("main", &[&upstream], "concurrent: 1")
        .queued("brief", &["main"], "", "wait: 1s, depth: 100")
        .queued("general", &["main"], "", LONG)
        .start();
    let mut first = send(&daemon, KEY, &ask("general"));
    upstream.wait_requests(1);
    let leaving = send(&daemon, KEY, &ask("general"));
    in_line(&daemon, 2);
    let since = Instant::now();
    assert_limited(&daemon.client().chat(&ask("brief")), "brief");
    assert!(since.elapsed() > Duration::from_millis(900), "{:?}", since.elapsed());
    drop(leaving);
    daemon.wait_metric("byname_serving", 1.0);
    upstream.open("go");
    assert_eq!(first.read().status, 200);
    settled(&daemon);
    assert_eq!(upstream.requests().len(), 1);
    assert_eq!(left(&daemon, "", "", "main/concurrent"), 1);
}

#[test]
fn the_depth_holds_for_a_pool_s_slots_too() {
    let upstream = gated();
    let daemon = Setup::new()
        .pool("main", &[&upstream], "concurrent: 1")
        .queued("general", &["main"], "", "wait: 8s, depth: 2")
        .start();
    let mut running = vec![send(&daemon, KEY, &ask("general"))];
    upstream.wait_requests(1);
    running.extend((0..2).map(|_| send(&daemon, KEY, &ask("general"))));
    in_line(&daemon, 3);
    let since = Instant::now();
    assert_limited(&daemon.client().chat(&ask("general")), "general");
    assert!(since.elapsed() < Duration::from_secs(4), "{:?}", since.elapsed());
    upstream.open("go");
    for client in &mut running {
        assert_eq!(client.read().status, 200);
    }
}
