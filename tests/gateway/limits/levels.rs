//! A limit of a tenant, a key, an alias or a pool refuses those it is for, and nobody else.

use super::setup::{KEY_APP, Setup};
use super::{assert_limited, gated, left, quick, settled};
use crate::kit::client::{ask, chat_request, request};
use crate::kit::{KEY, KEY_GLOBEX, KEY_MODELS_ONLY};

const THREE: &str = "requests_per_minute: 3";

/// Who has a limit of three, and who may go on when it is used up.
struct Row {
    what: &'static str,
    setup: fn(Setup) -> Setup,
    refused: &'static [(&'static str, &'static str)],
    served: &'static [(&'static str, &'static str)],
}

const ROWS: &[Row] = &[
    Row {
        what: "tenant",
        setup: |setup| setup.tenant(THREE),
        refused: &[(KEY, "general"), (KEY, "secure"), (KEY_APP, "general")],
        served: &[(KEY_GLOBEX, "general")],
    },
    Row {
        what: "key",
        setup: |setup| setup.web(THREE),
        refused: &[(KEY, "general"), (KEY, "secure")],
        served: &[(KEY_APP, "general"), (KEY_GLOBEX, "general")],
    },
    Row {
        what: "alias",
        setup: |setup| setup.alias("narrow", &["main"], THREE),
        refused: &[(KEY, "narrow"), (KEY_APP, "narrow")],
        served: &[(KEY, "general"), (KEY_GLOBEX, "general")],
    },
    Row {
        what: "pool",
        setup: |setup| setup.alias("shared", &["small"], "").globex("shared", &["small"], ""),
        refused: &[(KEY, "shared"), (KEY_APP, "shared"), (KEY_GLOBEX, "shared")],
        served: &[(KEY, "general"), (KEY_GLOBEX, "general")],
    },
];

#[test]
fn a_limit_is_for_its_own_and_for_nobody_else() {
    for row in ROWS {
        let upstream = quick();
        let setup = Setup::new()
            .pool("main", &[&upstream], "")
            .pool("small", &[&upstream], THREE)
            .alias("general", &["main"], "")
            .alias("secure", &["main"], "")
            .globex("general", &["main"], "");
        let daemon = (row.setup)(setup).start();
        let mut client = daemon.client();
        let (key, alias) = row.refused[0];
        for _ in 0..3 {
            assert_eq!(client.chat_as(key, &ask(alias)).status, 200, "{}", row.what);
        }
        for (key, alias) in row.refused {
            assert_limited(&client.chat_as(key, &ask(alias)), alias);
        }
        for (key, alias) in row.served {
            assert_eq!(client.chat_as(key, &ask(alias)).status, 200, "{}", row.what);
        }
    }
}

#[test]
fn what_a_full_pool_cannot_take_goes_to_the_next_route() {
    let (first, second) = (quick(), quick());
    let daemon = Setup::new()
        .pool("first", &[&first], THREE)
        .pool("second", &[&second], "requests_per_minute: 2")
        .alias("general", &["first", "second"], "")
        .start();
    let mut client = daemon.client();
    for _ in 0..5 {
        assert_eq!(client.chat(&ask("general")).status, 200);
    }
    assert_limited(&client.chat(&ask("general")), "general");
    assert_eq!((first.requests().len(), second.requests().len()), (3, 2));
}

#[test]
fn slots_of_a_full_pool_spill_over_too_and_are_given_back() {
    let (first, second) = (gated(), gated());
    let daemon = Setup::new()
        .pool("first", &[&first], "concurrent: 2")
        .pool("second", &[&second], "concurrent: 1")
        .alias("general", &["first", "second"], "")
        .start();
    let mut running: Vec<_> = (0..3).map(|_| daemon.client()).collect();
    for client in &mut running {
        client.send(&chat_request(KEY, &ask("general")));
    }
    first.wait_requests(2);
    second.wait_requests(1);
    assert_eq!(assert_limited(&daemon.client().chat(&ask("general")), "general"), 1);
    first.open("go");
    second.open("go");
    for client in &mut running {
        assert_eq!(client.read().status, 200);
    }
    settled(&daemon);
    assert_eq!(left(&daemon, "", "", "first/concurrent"), 2);
    assert_eq!(left(&daemon, "", "", "second/concurrent"), 1);
}

#[test]
fn a_pool_that_fails_gives_back_all_but_the_request_that_was_sent_to_it() {
    let (failing, good) =
        (crate::kit::upstream::Upstream::always(crate::kit::answers::error_answer(503)), quick());
    let daemon = Setup::new()
        .pool("first", &[&failing], "requests_per_minute: 100, tokens_per_minute: 10000, concurrent: 5")
        .pool("second", &[&good], "requests_per_minute: 100, tokens_per_minute: 10000, concurrent: 5")
        .alias("general", &["first", "second"], "")
        .start();
    assert_eq!(daemon.client().chat(&ask("general")).status, 200);
    settled(&daemon);
    let left = |limit| left(&daemon, "", "", limit);
    assert_eq!(
        (left("first/requests_per_minute"), left("first/tokens_per_minute"), left("first/concurrent")),
        (99, 10_000, 5)
    );
    assert_eq!(
        (left("second/requests_per_minute"), left("second/tokens_per_minute"), left("second/concurrent")),
        (99, 10_000 - super::USED, 5)
    );
}

#[test]
fn what_never_gets_as_far_as_the_limits_costs_nothing() {
    let upstream = quick();
    let daemon =
        Setup::alias_limits(&upstream, "requests_per_minute: 9, tokens_per_minute: 9000, concurrent: 9")
            .tenant("requests_per_minute: 9, tokens_per_minute: 9000, concurrent: 9")
            .web("requests_per_minute: 9, tokens_per_minute: 9000, concurrent: 9")
            .start();
    let post = |key: &str, body: &str| daemon.client().chat_as(key, body).status;
    assert_eq!(post(KEY, &ask("nobody")), 404);
    assert_eq!(post(KEY, "{"), 400);
    assert_eq!(post(KEY, r#"{"model":"general","messages":[]}"#), 400);
    assert_eq!(post(KEY_MODELS_ONLY, &ask("general")), 401);
    let mut client = daemon.client();
    client.send(&request("GET", "/v1/chat/completions", &[("Authorization", &format!("Bearer {KEY}"))], b""));
    assert_eq!(client.read().status, 405);
    assert_eq!(daemon.client().get(KEY, "/v1/models").status, 200);
    assert_eq!(daemon.client().get(KEY, "/v1/models/general").status, 200);
    settled(&daemon);
    for (alias, whose) in [("", ""), ("", "web/"), ("general", "")] {
        for (kind, most) in [("requests_per_minute", 9), ("tokens_per_minute", 9000), ("concurrent", 9)] {
            assert_eq!(left(&daemon, "acme", alias, &format!("{whose}{kind}")), most, "{whose}{kind}");
        }
    }
}
