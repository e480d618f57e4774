//! A moderator: asked while the model works, waited for before anything leaves, believed when it flags, and not
//! waited for for ever.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::setup::Setup;
use super::{ask, assert_blocked};
use crate::kit::answers::{json_answer, sse_answer};
use crate::kit::client::{ask_stream, chat_request};
use crate::kit::script::{Step, whole};
use crate::kit::upstream::{Seen, Upstream};
use crate::kit::{DEADLINE, KEY, sse};

pub(super) fn model() -> Upstream {
    Upstream::start(|seen| if seen.wants_stream() { sse_answer(&["o", "k"]) } else { json_answer("ok") })
}

/// A moderator that flags what has `bad` in it.
pub(super) fn strict() -> Upstream {
    Upstream::start(|seen| verdict(seen, seen.text().contains("bad")))
}

/// An answer with a result for each text, the last of which is flagged or not.
pub(super) fn verdict(seen: &Seen, flagged: bool) -> Vec<Step> {
    let texts = seen.json()["input"].as_array().map_or(0, Vec::len);
    let mut results = vec![json!({"flagged": false}); texts.saturating_sub(1)];
    results.push(json!({"flagged": flagged, "categories": {}}));
    let body = json!({"id": "modr-1", "model": "m", "results": results});
    whole(200, &[("Content-Type", "application/json")], &body.to_string())
}

pub(super) fn asked(moderator: &Upstream, more: &str) -> String {
    format!("moderator: {{ url: \"http://{}/v1/moderations\"{more} }}", moderator.addr())
}

pub(super) fn outcomes(daemon: &crate::kit::daemon::Daemon, outcome: &str) -> f64 {
    daemon.metric_sum("byname_moderations_total", &[("policy", "p"), ("outcome", outcome)])
}

#[test]
fn it_is_asked_what_messages_say_in_the_words_of_its_api() {
    let (model, moderator) = (model(), strict());
    let policy = asked(&moderator, ", key: { env: MODERATOR_KEY }, model: omni, timeout: 8s");
    let daemon = Setup::new(&[&model], &policy).env("MODERATOR_KEY", "s3cret").start();
    let body = json!({"model": "general", "messages": [
        {"role": "system", "content": "be kind"},
        {"role": "user", "name": "n", "content": [{"type": "text", "text": "one "}, {"type": "text", "text": "two"}]},
        {"role": "assistant", "content": null},
    ]});
    assert_eq!(daemon.client().chat(&body.to_string()).status, 200);
    let seen = &moderator.wait_requests(1)[0];
    assert_eq!(seen.head.first, "POST /v1/moderations HTTP/1.1");
    assert_eq!(seen.json(), json!({"model": "omni", "input": ["be kind", "one two", "n"]}));
    assert_eq!(seen.header("authorization"), Some("Bearer s3cret"));
    assert_eq!(seen.header("content-type"), Some("application/json"));
    assert_eq!(seen.header("host"), Some(moderator.addr().to_string().as_str()));
    assert!(!String::from_utf8_lossy(&seen.head.raw).contains(KEY));
    assert_eq!(daemon.client().chat(&ask("more")).status, 200);
    moderator.wait_requests(2);
    assert_eq!((outcomes(&daemon, "clean"), outcomes(&daemon, "flagged")), (2.0, 0.0));
    assert_eq!(daemon.metric_sum("byname_moderation_seconds_count", &[("policy", "p")]), 2.0);
    // The other alias asks nobody.
    assert_eq!(daemon.client().chat(&ask("bad").replace("general", "free")).status, 200);
    assert_eq!(moderator.requests().len(), 2);
}

#[test]
fn what_it_flags_is_refused_whole_and_streamed() {
    let (model, moderator) = (model(), strict());
    let daemon = Setup::new(&[&model], &asked(&moderator, ", timeout: 8s"))
        .tenant("limits: { tokens_per_minute: 100000 }")
        .start();
    let mut client = daemon.client();
    for body in [ask("a bad idea"), ask_stream("general").replace("Hello", "a bad idea")] {
        assert_blocked(&client.chat(&body), &body);
    }
    assert_eq!(client.chat(&ask("a good idea")).status, 200);
    assert_eq!(sse::text(&client.chat(&ask_stream("general")).body), "ok");
    let lines = daemon.log_lines(4);
    assert_eq!((&lines[0]["status"], &lines[0]["reason"]), (&json!(403), &json!("blocked_by_moderator")));
    assert_eq!((outcomes(&daemon, "flagged"), outcomes(&daemon, "clean")), (2.0, 2.0));
    let labels = [("reason", "blocked_by_moderator"), ("fault", "policy")];
    assert_eq!(daemon.metric_sum("byname_refusals_total", &labels), 2.0);
    // The model's breaker is closed: it has done nothing wrong.
    let breaker = format!("byname_upstream_breaker{{backend=\"{}\",pool=\"main\"}}", model.addr());
    assert_eq!(daemon.metric(&breaker), Some(0.0));
}

#[test]
fn nothing_leaves_before_it_has_answered_and_the_model_works_meanwhile() {
    let model = model();
    let moderator = Upstream::start(|seen| {
        let mut steps = vec![Step::Wait(if seen.index == 0 { "whole" } else { "stream" })];
        steps.extend(verdict(seen, false));
        steps
    });
    let daemon = Setup::new(&[&model], &asked(&moderator, ", timeout: 30s")).start();
    for (gate, body) in [("whole", ask("hello")), ("stream", ask_stream("general"))] {
        let mut client = daemon.client();
        let before = model.requests().len();
        client.send(&chat_request(KEY, &body));
        model.wait_requests(before + 1);
        moderator.wait_requests(before + 1);
        assert!(client.nothing_yet(), "{gate}: an answer was sent before the moderator's");
        moderator.open(gate);
        assert_eq!(client.read().status, 200);
    }
}

#[test]
fn the_first_token_is_the_clients_and_one_that_never_came_is_none() {
    let (model, wait) = (model(), Duration::from_millis(600));
    let moderator = Upstream::start(move |seen| {
        let mut steps = vec![Step::Pause(wait)];
        steps.extend(verdict(seen, seen.text().contains("bad")));
        steps
    });
    let daemon = Setup::new(&[&model], &asked(&moderator, ", timeout: 8s")).start();
    let mut client = daemon.client();
    for body in [ask("hello"), ask_stream("general"), ask("a bad idea")] {
        client.chat(&body);
    }
    let lines = daemon.log_lines(3);
    for line in &lines[..2] {
        assert!(line["first_token_ms"].as_f64() >= Some(600.0), "{line}");
    }
    assert_eq!((&lines[2]["status"], lines[2].get("first_token_ms")), (&json!(403), None));
    let first = |what: &str| daemon.metric_sum(&format!("byname_time_to_first_token_seconds_{what}"), &[]);
    assert_eq!(first("count"), 2.0);
    assert!(first("sum") >= 1.2, "{}", first("sum"));
}

#[test]
fn a_flag_ends_a_model_that_still_works() {
    let model = Upstream::always(vec![Step::Stall]);
    let moderator = strict();
    let daemon = Setup::new(&[&model], &asked(&moderator, ", timeout: 8s")).start();
    let began = Instant::now();
    for body in [ask("a bad idea"), ask_stream("general").replace("Hello", "a bad idea")] {
        assert_blocked(&daemon.client().chat(&body), &body);
    }
    assert!(began.elapsed() < Duration::from_secs(6), "the model was waited for");
    for request in 0..model.requests().len() {
        assert!(model.wait_closed(request, DEADLINE), "the model was not left");
    }
}

/// Every way in which a moderator can fail.
fn failures() -> Vec<(&'static str, &'static str, Upstream)> {
    let json = [("Content-Type", "application/json")];
    let two = json!({"results": [{"flagged": false}, {"flagged": false}]}).to_string();
    vec![
        ("refused", "error", Upstream::refusing()),
        ("500", "error", Upstream::always(whole(500, &json, "{}"))),
        ("429", "error", Upstream::always(whole(429, &json, "{}"))),
        ("no JSON", "error", Upstream::always(whole(200, &json, "{nonsense"))),
        ("no results", "error", Upstream::always(whole(200, &json, r#"{"results":[]}"#))),
        ("two results for one text", "error", Upstream::always(whole(200, &json, &two))),
        ("too much", "error", Upstream::always(whole(200, &json, &" ".repeat(300_000)))),
        ("closed", "error", Upstream::always(vec![Step::Close])),
        ("silent", "timeout", Upstream::always(vec![Step::Stall])),
    ]
}

#[test]
fn without_its_word_requests_are_refused_or_pass_as_configured() {
    for (name, outcome, moderator) in failures() {
        let model = model();
        // On a busy machine even a quick failure may take a while.
        let patience = if outcome == "timeout" { "300ms" } else { "8s" };
        let more = format!(", timeout: {patience}");
        let daemon = Setup::new(&[&model], &asked(&moderator, &more)).start();
        for body in [ask("hello"), ask_stream("general")] {
            assert_blocked(&daemon.client().chat(&body), name);
        }
        assert_eq!(daemon.log_lines(1)[0]["reason"], "moderator_failed", "{name}");
        assert_eq!(outcomes(&daemon, outcome), 2.0, "{name}");

        let daemon = Setup::new(&[&model], &asked(&moderator, &format!("{more}, on_failure: allow"))).start();
        assert_eq!(daemon.client().chat(&ask("hello")).status, 200, "{name}");
        assert_eq!(sse::text(&daemon.client().chat(&ask_stream("general")).body), "ok", "{name}");
        assert_eq!(outcomes(&daemon, outcome), 2.0, "{name}");
    }
}

#[test]
fn an_answer_too_many_is_nobodys() {
    let model = model();
    for (name, pause) in [("at once", 0), ("a moment later", 300)] {
        // The second answer to the first question is there before the second question has one.
        let moderator = Upstream::start(move |seen| {
            let mut steps = verdict(seen, seen.text().contains("bad"));
            if seen.index == 0 {
                steps.push(Step::Pause(Duration::from_millis(pause)));
                steps.extend(verdict(seen, false));
            }
            steps
        });
        let daemon = Setup::new(&[&model], &asked(&moderator, ", timeout: 8s")).start();
        let statuses: Vec<u16> =
            ["hello", "bad", "bad", "bad"].map(|text| daemon.client().chat(&ask(text)).status).to_vec();
        assert_eq!(statuses, [200, 403, 403, 403], "{name}");
        // Nor does a connection serve twice; it is closed, too, when the moderator does not.
        assert_eq!(moderator.connections(), 4, "{name}");
        let seen = &moderator.requests();
        assert!(seen.iter().all(|seen| seen.header("connection") == Some("close")), "{name}");
        assert!((0..4).all(|request| moderator.wait_closed(request, DEADLINE)), "{name}");
    }
}

#[test]
fn a_client_that_leaves_is_noticed_while_a_moderator_is_silent() {
    let (model, moderator) = (Upstream::always(vec![Step::Stall]), Upstream::always(vec![Step::Stall]));
    let daemon = Setup::new(&[&model], &asked(&moderator, ", timeout: 30s")).start();
    let mut client = daemon.client();
    client.send(&chat_request(KEY, &ask("hello")));
    model.wait_requests(1);
    drop(client);
    assert!(model.wait_closed(0, DEADLINE), "the model was not left");
    assert_eq!(daemon.log_lines(1)[0]["status"], 499);
}

#[test]
fn a_client_that_leaves_is_noticed_while_a_finished_answer_waits() {
    for body in [ask("hello"), ask_stream("general")] {
        let (model, moderator) = (model(), Upstream::always(vec![Step::Stall]));
        let more = ", timeout: 60s";
        let daemon =
            Setup::new(&[&model], &asked(&moderator, more)).alias("limits: { concurrent: 1 }").start();
        let mut client = daemon.client();
        client.send(&chat_request(KEY, &body));
        model.wait_requests(1);
        moderator.wait_requests(1);
        // The answer is there, and waits.
        std::thread::sleep(Duration::from_millis(300));
        assert!(client.nothing_yet());
        assert_eq!(daemon.client().chat(&ask("hello")).status, 429);
        daemon.log_lines(1);
        drop(client);
        let lines = daemon.log_lines(2);
        assert_eq!((&lines[1]["status"], lines[1].get("reason")), (&json!(499), None), "{body}");
        // Its slot is free again.
        let mut client = daemon.client();
        client.send(&chat_request(KEY, &body));
        moderator.wait_requests(2);
    }
}

#[test]
fn a_finished_answer_waits_no_longer_than_the_request_may_take() {
    for body in [ask("hello"), ask_stream("general")] {
        let (model, moderator) = (model(), Upstream::always(vec![Step::Stall]));
        let daemon =
            Setup::new(&[&model], &asked(&moderator, ", timeout: 60s")).silence("2s").total("2s").start();
        let answer = daemon.client().chat(&body);
        assert_eq!((answer.status, &answer.json()["error"]["code"]), (502, &json!("upstream_unavailable")));
        assert_eq!(daemon.log_lines(1)[0]["reason"], "total_timeout", "{body}");
    }
}

#[test]
fn a_failing_model_is_told_of_whatever_the_moderator_says() {
    let json = [("Content-Type", "application/json")];
    let model = Upstream::always(whole(500, &json, "{}"));
    let moderator = Upstream::start(|seen| {
        let mut steps = vec![Step::Wait("never")];
        steps.extend(verdict(seen, false));
        steps
    });
    let daemon = Setup::new(&[&model], &asked(&moderator, ", timeout: 30s")).start();
    let answer = daemon.client().chat(&ask("hello"));
    assert_eq!((answer.status, &answer.json()["error"]["code"]), (502, &Value::from("upstream_unavailable")));
}
