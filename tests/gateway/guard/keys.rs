//! Keys that do not work any more: one answer for all, from one reload to the next.

use super::plain;
use crate::kit::answers::json_answer;
use crate::kit::client::ask;
use crate::kit::config::{Gateway, digest};
use crate::kit::daemon::Daemon;
use crate::kit::upstream::Upstream;

fn gateway(upstream: &Upstream, acme: &str, keys: &[(&str, &str)]) -> Gateway {
    let keys: Vec<_> =
        keys.iter().map(|(key, more)| format!("{key}: {{ sha256: \"{}\"{more} }}", digest(key))).collect();
    let text = format!(
        "server:\n  listen: \"{{listen}}\"\n  admin: \"{{admin}}\"\npools:\n  main:\n    backends: [ {{ url: \"{}\" }} ]\n\
         tenants:\n  acme:\n    keys: {{ {} }}\n    {acme}\n    models: {{ general: {{ routes: [ {{ pool: main, model: m }} ] }} }}\n",
        upstream.url(),
        keys.join(", ")
    );
    Gateway::new().config_text(&text)
}

/// Status and all bytes of an answer, but for the request's id and the time.
fn answer(daemon: &Daemon, key: &str) -> (u16, String) {
    let answer = daemon.client().chat_as(key, &ask("general"));
    (answer.status, plain(&answer))
}

#[test]
fn a_disabled_key_and_a_disabled_tenant_are_refused_as_a_key_that_never_was() {
    let upstream = Upstream::always(json_answer("ok"));
    let keys = [("good", ""), ("off", ", disabled: true"), ("over", ", expires: 2020-01-01T00:00:00Z")];
    let daemon = gateway(&upstream, "disabled: false", &keys).start();
    assert_eq!(answer(&daemon, "good").0, 200);
    let unknown = answer(&daemon, "unknown");
    assert_eq!(unknown.0, 401);
    for key in ["off", "over"] {
        assert_eq!(answer(&daemon, key), unknown, "{key}");
    }
    daemon.reload_to(&gateway(&upstream, "disabled: true", &keys));
    for key in ["good", "off", "over"] {
        assert_eq!(answer(&daemon, key), unknown, "{key}");
    }
    daemon.reload_to(&gateway(&upstream, "disabled: false", &keys));
    assert_eq!(answer(&daemon, "good").0, 200);
}

#[test]
fn a_key_is_changed_for_another_without_a_moment_when_neither_works() {
    let upstream = Upstream::always(json_answer("ok"));
    let daemon = gateway(&upstream, "", &[("old", "")]).start();
    let status = |key| answer(&daemon, key).0;
    assert_eq!((status("old"), status("new")), (200, 401));
    daemon.reload_to(&gateway(&upstream, "", &[("old", ""), ("new", "")]));
    assert_eq!((status("old"), status("new")), (200, 200));
    daemon.reload_to(&gateway(&upstream, "", &[("old", ", disabled: true"), ("new", "")]));
    assert_eq!((status("old"), status("new")), (401, 200));
    daemon.reload_to(&gateway(&upstream, "", &[("new", "")]));
    assert_eq!((status("old"), status("new")), (401, 200));
}

#[test]
fn the_process_leaves_no_core_dump() {
    let upstream = Upstream::always(json_answer("ok"));
    let daemon = gateway(&upstream, "", &[("good", "")]).start();
    let limits = std::fs::read_to_string(format!("/proc/{}/limits", daemon.pid())).unwrap();
    let core = limits.lines().find(|line| line.starts_with("Max core file size")).unwrap();
    assert_eq!(core.split_whitespace().skip(4).take(2).collect::<Vec<_>>(), ["0", "0"], "{core}");
}
