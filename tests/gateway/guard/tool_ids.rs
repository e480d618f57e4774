//! Ids of tool calls on their way down and back up, and names of customers on their way up.

use serde_json::{Value, json};

use super::stacks::{Case, hosted, own};
use crate::kit::KEY_GLOBEX;
use crate::kit::client::Client;
use crate::kit::config::Gateway;
use crate::kit::sse;
use crate::kit::upstream::Upstream;

const SECRET: &str = "a secret of more than sixteen bytes";
const TOOL: &str = r#"[{"type":"function","function":{"name":"weather"}}]"#;

fn gateway(upstream: &Upstream, secret: &str) -> Gateway {
    Gateway::new()
        .backend(upstream)
        .server("id_secret", "{ env: BYNAME_TEST_IDS }")
        .env("BYNAME_TEST_IDS", secret)
}

/// The ids that a client is given.
fn given(client: &mut Client, stream: bool) -> Vec<String> {
    let body = format!(
        r#"{{"model":"general","messages":[{{"role":"user","content":"Hi"}}],"tools":{TOOL},"stream":{stream}}}"#
    );
    let answer = client.chat(&body);
    let calls: Vec<Value> = if stream {
        let of = |chunk: &Value| chunk["choices"][0]["delta"]["tool_calls"].as_array().cloned();
        sse::chunks(&answer.body).iter().filter_map(of).flatten().collect()
    } else {
        answer.json()["choices"][0]["message"]["tool_calls"].as_array().cloned().unwrap_or_default()
    };
    calls.iter().filter_map(|call| call["id"].as_str().map(str::to_owned)).collect()
}

/// A second turn with these ids.
fn turn(ids: &[String]) -> String {
    let calls: Vec<_> = ids
        .iter()
        .map(|id| json!({"id": id, "type": "function", "function": {"name": "f", "arguments": "{}"}}))
        .collect();
    let mut messages = vec![
        json!({"role": "user", "content": "Hi"}),
        json!({"role": "assistant", "content": null, "tool_calls": calls}),
    ];
    messages.extend(ids.iter().rev().map(|id| json!({"role": "tool", "content": "ok", "tool_call_id": id})));
    json!({"model": "general", "messages": messages}).to_string()
}

/// The ids that the backing model last got, of calls and of results; those must be the same in reverse.
fn got(upstream: &Upstream) -> Vec<String> {
    let seen = upstream.requests().last().expect("a request").json();
    let text = |id: &Value| id.as_str().expect("an id").to_owned();
    let messages = seen["messages"].as_array().expect("messages");
    let calls: Vec<_> =
        messages[1]["tool_calls"].as_array().unwrap().iter().map(|call| text(&call["id"])).collect();
    let results: Vec<_> = messages[2..].iter().rev().map(|message| text(&message["tool_call_id"])).collect();
    assert_eq!(calls, results);
    calls
}

#[test]
fn a_backing_model_gets_its_own_ids_back_even_after_a_restart() {
    for (stack, theirs) in [
        (hosted as fn(_, _) -> _, ["call_AbCdEfGhIjKlMnOpQrStUv01", "call_AbCdEfGhIjKlMnOpQrStUv02"]),
        (own, ["functions.weather:0", "functions.clock:1"]),
    ] {
        for stream in [false, true] {
            let upstream = Upstream::start(move |seen| stack(Case::Tools, seen.wants_stream()));
            let daemon = gateway(&upstream, SECRET).start();
            let mut client = daemon.client();
            let ours = given(&mut client, stream);
            assert!(
                ours.len() == 2 && ours.iter().all(|id| id.len() == 101 && id.starts_with("call_")),
                "{ours:?}"
            );
            assert_eq!(client.chat(&turn(&ours)).status, 200);
            assert_eq!(got(&upstream), theirs);
            drop(daemon);
            let daemon = gateway(&upstream, SECRET).start();
            assert_eq!(daemon.client().chat(&turn(&ours)).status, 200);
            assert_eq!(got(&upstream), theirs, "after a restart");
        }
    }
}

#[test]
fn an_id_that_is_not_ours_goes_up_short_and_still_matches() {
    let upstream = Upstream::start(|seen| own(Case::Tools, seen.wants_stream()));
    let daemon = gateway(&upstream, SECRET).start();
    let mut ours = given(&mut daemon.client(), false);
    ours.push("toolu_of_another_gateway_with_quite_a_long_name_of_its_own".to_owned());
    let short = |ids: &[String]| ids.iter().all(|id| id.len() == 29 && id.starts_with("call_"));
    // Another tenant's.
    assert_eq!(daemon.client().chat_as(KEY_GLOBEX, &turn(&ours)).status, 200);
    assert!(short(&got(&upstream)), "{:?}", got(&upstream));
    // Another alias's.
    assert_eq!(daemon.client().chat(&turn(&ours).replace("\"general\"", "\"secure\"")).status, 200);
    assert!(short(&got(&upstream)));
    // Another key's.
    let other = gateway(&upstream, "another secret, as long as that one").start();
    assert_eq!(other.client().chat(&turn(&ours)).status, 200);
    assert!(short(&got(&upstream)));
    // And where two are ours and one is not.
    assert_eq!(daemon.client().chat(&turn(&ours)).status, 200);
    let got = got(&upstream);
    assert_eq!(&got[..2], ["functions.weather:0", "functions.clock:1"]);
    assert!(short(&got[2..]), "{got:?}");
}

#[test]
fn a_secret_takes_effect_at_a_reload() {
    let upstream = Upstream::start(|seen| own(Case::Tools, seen.wants_stream()));
    let daemon = gateway(&upstream, SECRET).env("BYNAME_TEST_NEXT", "the secret that comes after it").start();
    let ours = given(&mut daemon.client(), false);
    let next = gateway(&upstream, SECRET).server("id_secret", "{ env: BYNAME_TEST_NEXT }");
    daemon.reload_to(&next);
    assert_eq!(daemon.client().chat(&turn(&ours)).status, 200);
    assert!(got(&upstream).iter().all(|id| id.len() == 29));
    let ours = given(&mut daemon.client(), true);
    assert_eq!(daemon.client().chat(&turn(&ours)).status, 200);
    assert_eq!(got(&upstream), ["functions.weather:0", "functions.clock:1"]);
}

#[test]
fn customers_go_up_under_names_that_two_tenants_never_share() {
    let upstream = Upstream::start(|seen| own(Case::Text, seen.wants_stream()));
    let daemon = gateway(&upstream, SECRET).start();
    let body = r#"{"model":"general","user":"anna@acme","safety_identifier":"anna@acme","prompt_cache_key":"k",
        "metadata":{"customer":"anna@acme"},"store":true,"messages":[{"role":"user","content":"Hi"}]}"#;
    let mut names = Vec::new();
    for key in [crate::kit::KEY, KEY_GLOBEX, crate::kit::KEY] {
        assert_eq!(daemon.client().chat_as(key, body).status, 200);
        let seen = upstream.requests().last().expect("a request").clone();
        assert!(!seen.text().contains("anna"), "{}", seen.text());
        let seen = seen.json();
        assert!(seen.get("metadata").is_none() && seen.get("store").is_none());
        let user = seen["user"].as_str().expect("a name").to_owned();
        assert!(user.len() == 35 && user.starts_with("bn-"), "{user}");
        assert_eq!(seen["safety_identifier"], *user);
        assert!(seen["prompt_cache_key"].as_str().is_some_and(|key| key.len() == 35 && key != user));
        names.push(user);
    }
    assert_eq!(names[0], names[2]);
    assert_ne!(names[0], names[1]);
}
