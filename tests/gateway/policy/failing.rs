//! A moderator that fails is heard of: in the events, in the access log, on the status page.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::ask;
use super::moderator::{asked, model, verdict};
use super::setup::Setup;
use crate::kit::DEADLINE;
use crate::kit::daemon::Daemon;
use crate::kit::process::soon;
use crate::kit::script::{Step, whole};
use crate::kit::tls::{Cert, TlsFront};
use crate::kit::upstream::Upstream;

/// The events about moderators.
fn events(daemon: &Daemon) -> Vec<String> {
    daemon.events("the moderator of")
}

fn notices(daemon: &Daemon) -> Vec<String> {
    daemon.notices().into_iter().filter(|notice| notice.contains("moderator of policy p")).collect()
}

fn wait_event(daemon: &Daemon, words: &str) {
    let told = || events(daemon).iter().any(|event| event.contains(words));
    assert!(soon(DEADLINE, told), "{words} is not in {:?}", events(daemon));
}

#[test]
fn why_it_fails_is_told_once_and_where_requests_go_on_without_it() {
    let json = [("Content-Type", "application/json")];
    let silent = "no answer within 300ms";
    for (why, patience, moderator) in [
        ("connections are refused", "8s", Upstream::refusing()),
        ("it answered with 401", "8s", Upstream::always(whole(401, &json, "{}"))),
        ("its answer is not that of a moderation API", "8s", Upstream::always(whole(200, &json, "{}"))),
        ("it gave 0 results for 1 texts", "8s", Upstream::always(whole(200, &json, r#"{"results":[]}"#))),
        ("the connection broke: ConnectionClosed", "8s", Upstream::always(vec![Step::Close])),
        (silent, "300ms", Upstream::always(vec![Step::Stall])),
    ] {
        for (on_failure, status, word, then) in [
            ("block", 403, None, "requests are refused"),
            ("allow", 200, Some("skipped"), "requests go on without its word"),
        ] {
            let model = model();
            let more = format!(", timeout: {patience}, on_failure: {on_failure}");
            let daemon = Setup::new(&[&model], &asked(&moderator, &more)).start();
            assert_eq!(notices(&daemon), Vec::<String>::new());
            for _ in 0..3 {
                assert_eq!(daemon.client().chat(&ask("hello")).status, status, "{why}");
            }
            let line = &daemon.log_lines(3)[2];
            assert_eq!(line.get("moderation").and_then(Value::as_str), word, "{line}");
            wait_event(&daemon, why);
            let event = format!("warn the moderator of policy p fails: {why}; {then}");
            assert_eq!(events(&daemon), [event]);
            let told = notices(&daemon);
            assert_eq!(told.len(), 1, "{told:?}");
            let fits = |words: &str| told.iter().all(|notice| notice.contains(words));
            assert!(
                fits("act moderator of policy p has failed since") && fits(why) && fits(then),
                "{told:?}"
            );
            // The other alias has no moderator.
            assert_eq!(daemon.client().chat(&ask("hello").replace("general", "free")).status, 200);
            assert_eq!(daemon.log_lines(4)[3].get("moderation"), None);
        }
    }
}

#[test]
fn the_event_has_the_id_of_the_request_that_met_it_first() {
    let (model, moderator) = (model(), Upstream::refusing());
    let daemon = Setup::new(&[&model], &asked(&moderator, ", timeout: 8s")).start();
    let mut client = daemon.client();
    for _ in 0..2 {
        assert_eq!(client.chat(&ask("hello")).status, 403);
    }
    wait_event(&daemon, "fails: ");
    let text = daemon.stderr();
    let event = text.lines().find(|line| line.contains("the moderator of policy")).expect("it came");
    let event: Value = serde_json::from_str(event).expect("JSON");
    assert!(event["request_id"].is_string(), "{event}");
    assert_eq!(event["request_id"], daemon.log_lines(2)[0]["request_id"]);
    let others = text.lines().filter(|line| !line.contains("the moderator of policy"));
    assert!(others.clone().count() > 0 && others.clone().all(|line| !line.contains("request_id")), "{text}");
}

#[test]
fn a_name_that_leads_nowhere_is_told() {
    let model = model();
    let policy = "moderator: { url: \"http://moderator.invalid/v1/moderations\", timeout: 8s }";
    let daemon = Setup::new(&[&model], policy).start();
    assert_eq!(daemon.client().chat(&ask("hello")).status, 403);
    wait_event(&daemon, "fails: its name leads nowhere: ");
}

#[test]
fn a_certificate_that_nobody_knows_is_told() {
    let (model, moderator) = (model(), super::moderator::strict());
    let front = TlsFront::start(moderator.addr(), Cert::Good, &["http/1.1"]);
    let policy = format!("moderator: {{ url: \"https://{}/v1/moderations\", timeout: 8s }}", front.addr());
    let daemon = Setup::new(&[&model], &policy).start();
    assert_eq!(daemon.client().chat(&ask("hello")).status, 403);
    wait_event(&daemon, "fails: no TLS connection can be made: ");
    assert!(moderator.requests().is_empty());
}

#[test]
fn it_is_told_when_it_answers_again() {
    let model = model();
    let moderator =
        Upstream::start(|seen| if seen.index < 2 { vec![Step::Close] } else { verdict(seen, false) });
    let daemon = Setup::new(&[&model], &asked(&moderator, ", timeout: 8s, on_failure: allow")).start();
    let since = Instant::now();
    let mut client = daemon.client();
    loop {
        assert_eq!(client.chat(&ask("hello")).status, 200);
        if events(&daemon).len() > 1 {
            break;
        }
        assert!(since.elapsed() < Duration::from_secs(60), "{:?}", events(&daemon));
        std::thread::sleep(Duration::from_millis(100));
    }
    // It has to last for some seconds, so that a request now and then that it cannot take does not make many events.
    assert!(since.elapsed() > Duration::from_secs(4));
    assert_eq!(
        events(&daemon).last().map(String::as_str),
        Some("info the moderator of policy p answers again")
    );
    assert_eq!(notices(&daemon), Vec::<String>::new());
    let lines = daemon.log_lines(3);
    assert_eq!((&lines[1]["moderation"], lines[2].get("moderation")), (&json!("skipped"), None));
}

#[test]
fn a_reload_does_not_make_it_well() {
    let (model, moderator) = (model(), Upstream::refusing());
    let daemon = Setup::new(&[&model], &asked(&moderator, ", timeout: 8s")).start();
    assert_eq!(daemon.client().chat(&ask("hello")).status, 403);
    wait_event(&daemon, "connections are refused");
    // But for how long ago that was.
    let told = || {
        let timeless = |notice: String| notice.replace(|c: char| c.is_ascii_digit(), "");
        notices(&daemon).into_iter().map(timeless).collect::<Vec<_>>()
    };
    let before = told();
    daemon.reload();
    assert_eq!((before.len(), told()), (1, before));
    assert_eq!(daemon.client().chat(&ask("hello")).status, 403);
    // What is told behind the failure is there, and the failure once.
    daemon.reload();
    assert_eq!(events(&daemon).len(), 1, "{:?}", events(&daemon));
}

#[test]
fn a_part_that_it_cannot_judge_is_told_of_each_request() {
    let (model, moderator) = (model(), super::moderator::strict());
    let daemon = Setup::new(&[&model], &asked(&moderator, ", timeout: 8s, on_failure: allow")).start();
    let picture = json!({"type": "image_url", "image_url": {"url": "https://x/y"}});
    let text = json!({"type": "text", "text": "look"});
    let mut client = daemon.client();
    for parts in [json!([picture, text]), json!([picture])] {
        let body = json!({"model": "general", "messages": [{"role": "user", "content": parts}]}).to_string();
        assert_eq!(client.chat(&body).status, 200);
    }
    let lines = daemon.log_lines(2);
    assert_eq!((&lines[0]["moderation"], &lines[1]["moderation"]), (&json!("partial"), &json!("skipped")));
    // That is the request's doing: the moderator is well.
    assert_eq!((events(&daemon), notices(&daemon)), (Vec::new(), Vec::new()));
}
