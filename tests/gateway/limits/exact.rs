//! As many as allowed pass, not one more, and who is refused takes nothing.

use std::sync::Barrier;
use std::thread;

use super::setup::Setup;
use super::{assert_limited, gated, left, quick, settled};
use crate::kit::KEY;
use crate::kit::client::{Response, ask, chat_request};
use crate::kit::daemon::Daemon;

/// How often the race is run; more with `LIMITS_RUNS`.
const RUNS: usize = 20;

/// So many clients, each with a connection of its own, ask so often at the same time.
pub fn all_at_once(daemon: &Daemon, clients: usize, each: usize, body: &str) -> Vec<Response> {
    let start = Barrier::new(clients);
    thread::scope(|scope| {
        let asking: Vec<_> = (0..clients)
            .map(|_| {
                scope.spawn(|| {
                    let mut client = daemon.client();
                    start.wait();
                    (0..each).map(|_| client.chat(body)).collect::<Vec<_>>()
                })
            })
            .collect();
        asking.into_iter().flat_map(|one| one.join().expect("a client that reads its answers")).collect()
    })
}

#[test]
fn fifty_a_minute_lets_fifty_through_whoever_asks_first() {
    let runs = std::env::var("LIMITS_RUNS").ok().and_then(|runs| runs.parse().ok()).unwrap_or(RUNS);
    let upstream = quick();
    // Each run has an alias, and so counters, that nobody has used.
    let name = |run: usize| format!("alias-{run}");
    let setup = (0..runs).fold(Setup::new().pool("main", &[&upstream], ""), |setup, run| {
        setup.alias(&name(run), &["main"], "requests_per_minute: 50")
    });
    let daemon = setup.start();
    for run in 0..runs {
        let alias = name(run);
        let answers = all_at_once(&daemon, 64, 2, &ask(&alias));
        let passed = answers.iter().filter(|answer| answer.status == 200).count();
        assert_eq!(passed, 50, "run {run}");
        for answer in answers.iter().filter(|answer| answer.status != 200) {
            let wait = assert_limited(answer, &alias);
            // The whole of this minute, and as much of the next as one in fifty takes to fade.
            assert!(wait <= 62, "run {run}: {wait}");
        }
        assert_eq!(left(&daemon, "acme", &alias, "requests_per_minute"), 0);
    }
    assert_eq!(upstream.requests().len(), 50 * runs);
}

#[test]
fn four_at_a_time_lets_four_in_and_the_refused_take_nothing_else() {
    let upstream = gated();
    let daemon = Setup::alias_limits(&upstream, "concurrent: 4, requests_per_minute: 100")
        .tenant("requests_per_minute: 1000, tokens_per_minute: 100000")
        .web("requests_per_minute: 500, concurrent: 50")
        .start();
    let left = |alias, limit| left(&daemon, "acme", alias, limit);
    let mut running: Vec<_> = (0..4).map(|_| daemon.client()).collect();
    for client in &mut running {
        client.send(&chat_request(KEY, &ask("general")));
    }
    upstream.wait_requests(4);
    let tokens = left("", "tokens_per_minute");
    for answer in all_at_once(&daemon, 12, 2, &ask("general")) {
        assert_eq!(assert_limited(&answer, "general"), 1);
    }
    assert_eq!(left("general", "concurrent"), 0);
    assert_eq!(left("", "web/concurrent"), 46);
    assert_eq!(left("general", "requests_per_minute"), 96);
    assert_eq!(left("", "requests_per_minute"), 996);
    assert_eq!(left("", "web/requests_per_minute"), 496);
    assert_eq!(left("", "tokens_per_minute"), tokens);
    upstream.open("go");
    for client in &mut running {
        assert_eq!(client.read().status, 200);
    }
    settled(&daemon);
    assert_eq!((left("general", "concurrent"), left("", "web/concurrent")), (4, 50));
    assert_eq!(upstream.requests().len(), 4);
    assert_eq!(daemon.client().chat(&ask("general")).status, 200);
}

#[test]
fn who_is_refused_by_the_last_limit_has_taken_nothing_from_the_first() {
    let upstream = quick();
    let daemon = Setup::alias_limits(&upstream, "requests_per_minute: 5")
        .tenant("requests_per_minute: 100, tokens_per_minute: 100000, concurrent: 100")
        .web("requests_per_minute: 50, tokens_per_minute: 90000")
        .start();
    let answers = all_at_once(&daemon, 16, 4, &ask("general"));
    assert_eq!(answers.iter().filter(|answer| answer.status == 200).count(), 5);
    settled(&daemon);
    let left = |alias, limit| left(&daemon, "acme", alias, limit);
    assert_eq!(left("", "requests_per_minute"), 95);
    assert_eq!(left("", "web/requests_per_minute"), 45);
    assert_eq!(left("", "concurrent"), 100);
    assert_eq!(left("", "tokens_per_minute"), 100_000 - 5 * super::USED);
    assert_eq!(left("", "web/tokens_per_minute"), 90_000 - 5 * super::USED);
}
