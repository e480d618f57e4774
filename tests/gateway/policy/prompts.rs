//! What a request is refused for, how, and before what.

use serde_json::{Value, json};

use super::setup::Setup;
use super::{NEARLY, ask, assert_blocked, nearly, parrot};
use crate::kit::answers::json_answer;
use crate::kit::client::Response;
use crate::kit::script::{Step, whole};
use crate::kit::upstream::Upstream;

#[track_caller]
fn assert_wrong(answer: &Response, why: &str) {
    assert_eq!(answer.status, 400, "{}", answer.everything());
    let error = &answer.json()["error"];
    assert_eq!(
        (&error["code"], &error["type"]),
        (&json!("invalid_request"), &json!("invalid_request_error"))
    );
    assert_eq!(error["message"], format!("Invalid chat completion request. {why}"));
}

#[test]
fn a_refusal_names_the_policy_in_the_log_and_the_metrics_and_nowhere_else() {
    let upstream = parrot();
    let daemon = Setup::new(&[&upstream], "deny: [ { words: [ bomb ] } ]").start();
    let mut client = daemon.client();
    let refused = client.chat(&ask("a bomb for the-prompt-that-nobody-logs"));
    assert_blocked(&refused, "a bomb");
    // The connection is kept, and another alias has no policy.
    assert_eq!(client.chat(&ask("a bomb").replace("general", "free")).status, 200);
    assert_eq!(client.chat(&ask("a book")).status, 200);
    let lines = daemon.log_lines(3);
    assert_eq!((&lines[0]["status"], &lines[0]["reason"]), (&json!(403), &json!("blocked_prompt")));
    assert_eq!((&lines[0]["code"], &lines[0]["attempts"]), (&json!("content_blocked"), &json!(0)));
    assert_eq!(lines[1]["reason"], Value::Null);
    let labels =
        [("model", "general"), ("reason", "blocked_prompt"), ("fault", "policy"), ("tenant", "acme")];
    assert_eq!(daemon.metric_sum("byname_refusals_total", &labels), 1.0);
    assert_eq!(upstream.requests().len(), 2);
    for written in [daemon.stdout(), daemon.stderr()] {
        assert!(!written.contains("bomb") && !written.contains("nobody-logs"), "{written}");
    }
}

#[test]
fn a_policy_comes_before_limits_and_behind_the_alias() {
    let upstream = parrot();
    let setup =
        Setup::new(&[&upstream], "deny: [ { words: [ bomb ] } ]").alias("limits: { requests_per_minute: 1 }");
    let daemon = setup.start();
    for _ in 0..3 {
        assert_blocked(&daemon.client().chat(&ask("bomb")), "bomb");
    }
    assert_eq!(daemon.client().chat(&ask("one")).status, 200);
    assert_eq!(daemon.client().chat(&ask("two")).status, 429);
    assert_blocked(&daemon.client().chat(&ask("bomb")), "bomb");
    assert_eq!(daemon.client().chat(&ask("bomb").replace("general", "nobody")).status, 404);
}

#[test]
fn a_long_prompt_is_read_to_its_end() {
    let upstream = parrot();
    let daemon = Setup::new(&[&upstream], "deny: [ { words: [ bomb ] }, 'make.{0,50}a plan' ]").start();
    let long = "make it long, ".repeat(100_000);
    for end in ["a bomb", "make just a plan"] {
        assert_blocked(&daemon.client().chat(&ask(&format!("{long}{end}"))), end);
    }
    assert_eq!(daemon.client().chat(&ask(&format!("{long}a book"))).status, 200);
}

/// Texts that lead the automaton to ever new states take more work than is done beside everything else.
#[test]
fn a_short_prompt_that_nearly_matches_all_the_time_is_read_to_its_end() {
    let upstream = parrot();
    let daemon = Setup::new(&[&upstream], NEARLY).start();
    let text = nearly(20_000);
    assert_eq!(daemon.client().chat(&ask(&text)).status, 200);
    assert_blocked(&daemon.client().chat(&ask(&format!("{text}aaxz"))), "aaxz");
}

#[test]
fn a_prompt_that_is_too_long_is_told_so() {
    let upstream = parrot();
    let daemon = Setup::new(&[&upstream], "max_prompt_tokens: 200").start();
    let mut client = daemon.client();
    assert_eq!(client.chat(&ask(&"word ".repeat(100))).status, 200);
    let answer = client.chat(&ask(&"word ".repeat(400)));
    assert_wrong(&answer, "`messages` are longer than this model may be asked.");
    let answer = client.chat(&ask(&"長い文章".repeat(100)));
    assert_wrong(&answer, "`messages` are longer than this model may be asked.");
    assert_eq!(daemon.log_lines(3)[1]["reason"], "invalid_request");
    assert_eq!(upstream.requests().len(), 1);
}

#[test]
fn only_allowed_modalities_pass() {
    let upstream = parrot();
    let part = |part: Value| {
        let parts = json!([{"type": "text", "text": "look"}, part]);
        json!({"model": "general", "messages": [{"role": "system", "content": "x"}, {"role": "user", "content": parts}]}).to_string()
    };
    let image = part(json!({"type": "image_url", "image_url": {"url": "https://pictures.example/a.png"}}));
    let sound = part(json!({"type": "input_audio", "input_audio": {"data": "AA==", "format": "wav"}}));
    let file = part(json!({"type": "file", "file": {"file_data": "AA=="}}));
    let text = part(json!({"type": "text", "text": "more"}));
    let why = "`messages[1].content[1].type` is a kind of content that this model may not be given.";
    for (allowed, passes) in [
        ("[ text ]", [false, false, false]),
        ("[ text, image ]", [true, false, false]),
        ("[ file, text, audio ]", [false, true, true]),
        ("[ text, image, audio, file ]", [true, true, true]),
    ] {
        let daemon = Setup::new(&[&upstream], &format!("modalities: {allowed}")).start();
        assert_eq!(daemon.client().chat(&text).status, 200);
        for (body, passes) in [&image, &sound, &file].into_iter().zip(passes) {
            let answer = daemon.client().chat(body);
            if passes {
                assert_eq!(answer.status, 200, "{allowed}: {body}")
            } else {
                assert_wrong(&answer, why)
            }
        }
    }
}

#[test]
fn what_a_backends_own_policy_forbids_is_forbidden_by_the_same_words() {
    let json = [("Content-Type", "application/json")];
    let refusals: [(&str, Vec<Step>); 4] = [
        (
            "a code",
            whole(
                400,
                &json,
                r#"{"error":{"message":"canary","type":"invalid_request_error","code":"content_policy_violation"}}"#,
            ),
        ),
        (
            "an inner error",
            whole(
                400,
                &json,
                r#"{"error":{"message":"canary","type":null,"param":"prompt","code":"content_filter","status":400,
                    "innererror":{"code":"ResponsibleAIPolicyViolation","content_filter_result":{"hate":{"filtered":true}}}}}"#,
            ),
        ),
        ("inside of a 200", whole(200, &json, r#"{"error":{"code":"content_filter","message":"canary"}}"#)),
        (
            "wrapped by a proxy",
            whole(500, &json, r#"{"error":{"code":"content_filter","message":"canary"}}"#),
        ),
    ];
    for (name, script) in refusals {
        let (bad, good) = (Upstream::always(script), Upstream::always(json_answer("ok")));
        let daemon = Setup::new(&[&bad, &good], "deny: [ { words: [ bomb ] } ]").start();
        let answers: Vec<Response> = (0..2).map(|_| daemon.client().chat(&ask("hello"))).collect();
        let (blocked, passed): (Vec<_>, Vec<_>) =
            answers.into_iter().partition(|answer| answer.status == 403);
        assert_eq!((blocked.len(), passed.len()), (1, 1), "{name}");
        assert_blocked(&blocked[0], name);
        assert!(!blocked[0].everything().contains("canary"), "{name}");
        let lines = daemon.log_lines(2);
        let line = lines.iter().find(|line| line["status"] == 403).expect("a line");
        // It is not asked elsewhere: what one policy forbids, nobody may be asked.
        assert_eq!((&line["reason"], &line["attempts"]), (&json!("blocked_upstream"), &json!(1)), "{name}");
        assert_eq!(bad.requests().len() + good.requests().len(), 2, "{name}");
    }
}

#[test]
fn an_answer_that_a_backend_ends_for_its_content_passes() {
    let body = r#"{"choices":[{"index":0,"message":{"role":"assistant","content":"half"},"finish_reason":"content_filter"}]}"#;
    let upstream = Upstream::always(whole(200, &[("Content-Type", "application/json")], body));
    let daemon = Setup::new(&[&upstream], "on_response: true, deny: [ { words: [ bomb ] } ]").start();
    let answer = daemon.client().chat(&ask("hello"));
    assert_eq!(
        (answer.status, &answer.json()["choices"][0]["finish_reason"]),
        (200, &json!("content_filter"))
    );
}
