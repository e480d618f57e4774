//! What needs somebody is said first, and goes when it is mended.

use std::time::{Duration, SystemTime};

use super::{chat, html, json};
use crate::kit::answers::json_answer;
use crate::kit::config::{Gateway, digest};
use crate::kit::daemon::Daemon;
use crate::kit::process::soon;
use crate::kit::script::whole;
use crate::kit::upstream::Upstream;
use crate::kit::{DEADLINE, KEY};

/// Waits until a notice has all these words.
fn wait_notice(daemon: &Daemon, words: &[&str]) {
    let told = || daemon.notices().iter().any(|notice| words.iter().all(|word| notice.contains(word)));
    assert!(soon(DEADLINE, told), "{words:?} is not in {:#?}", daemon.notices());
}

#[test]
fn all_is_well_until_something_is_not() {
    let upstream = Upstream::always(json_answer("ok"));
    let daemon = Gateway::new().backend(&upstream).tenant_limits("requests_per_minute: 100000").start();
    assert_eq!(daemon.notices(), Vec::<String>::new());
    assert_eq!(json(&daemon, "/status").get("limits_store"), None);
    assert_eq!(daemon.metric("byname_limits_store_up"), None);
    assert!(html(&daemon, "/status").contains("nothing needs attention"));
    let good = std::fs::read_to_string(daemon.config()).expect("our own file");
    std::fs::write(daemon.config(), format!("{good}\nserver_: <script>\n")).expect("our own file");
    daemon.signal("HUP");
    wait_notice(&daemon, &["act last reload refused", "server_"]);
    let page = html(&daemon, "/status");
    assert!(page.contains("Needs attention") && page.contains("<title>(1) Byname</title>"), "{page}");
    assert!(page.find("server_") < page.find("id=\"pools\""), "it comes first");
    assert!(!page.contains("<script>"));
    std::fs::write(daemon.config(), good).expect("our own file");
    daemon.signal("HUP");
    assert!(soon(DEADLINE, || daemon.notices().is_empty()), "{:?}", daemon.notices());
}

#[test]
fn backends_limits_and_keys_are_told_of() {
    let refusing_us = Upstream::always(whole(401, &[("Content-Type", "application/json")], "{}"));
    let (good, dead) = (Upstream::always(json_answer("ok")), Upstream::refusing());
    let day = Duration::from_secs(24 * 60 * 60);
    let at = |time: SystemTime| humantime::format_rfc3339_seconds(time).to_string();
    let now = SystemTime::now();
    let (ends, over) = (at(now + 3 * day + day / 2), at(now - day / 2));
    let text = format!(
        "server: {{ listen: \"{{listen}}\", admin: \"{{admin}}\" }}\n\
         pools:\n  house:\n    breaker: {{ failures: 1, open: 60s, max_open: 60s }}\n    backends:\n      \
         - {{ url: \"{}\" }}\n      - {{ url: \"{}\" }}\n      - {{ url: \"{}\" }}\n  \
         lost:\n    health: {{ interval: 500ms, timeout: 500ms, failures: 1 }}\n    backends: [ {{ url: \"{}\" }} ]\n\
         tenants:\n  acme:\n    limits: {{ requests_per_minute: 10 }}\n    keys:\n      \
         web: {{ sha256: \"{}\", expires: {ends} }}\n      old: {{ sha256: \"{}\", expires: {over} }}\n      \
         far: {{ sha256: \"{}\", expires: 2099-01-01T00:00:00Z }}\n    \
         models: {{ general: {{ routes: [ {{ pool: house, model: m }} ] }} }}\n",
        good.url(),
        dead.url(),
        refusing_us.url(),
        Upstream::refusing().url(),
        digest(KEY),
        digest("old"),
        digest("far"),
    );
    let daemon = Gateway::new().config_text(&text).start();
    for _ in 0..9 {
        assert_eq!(daemon.client().chat(&chat("general")).status, 200);
    }
    wait_notice(&daemon, &["act", &dead.addr().to_string(), "pool house", "breaker is open"]);
    wait_notice(&daemon, &["act", &refusing_us.addr().to_string(), "refuses our credential"]);
    wait_notice(&daemon, &["act pool lost has no backend that can be asked"]);
    wait_notice(&daemon, &["pool lost", "health checks fail"]);
    wait_notice(&daemon, &["watch tenant acme requests per minute: 90 % used, 1 of 10 left"]);
    wait_notice(&daemon, &["watch key web of tenant acme expires in 3 d 1"]);
    wait_notice(&daemon, &["act key old of tenant acme expired"]);
    let told = daemon.notices();
    assert!(!told.iter().any(|notice| notice.contains("key far")), "{told:#?}");
    let first_watch = told.iter().position(|notice| notice.starts_with("watch")).expect("some");
    assert!(told.iter().skip(first_watch).all(|notice| notice.starts_with("watch")), "{told:#?}");
    let page = html(&daemon, "/status");
    for words in
        ["✕ act", "! watch", "breaker open", "credential refused", "checks fail", "0 of 1 can be asked"]
    {
        assert!(
            page.contains(words) || page.replace("</span> ", "").contains(words),
            "{words} is not in\n{page}"
        );
    }
}

#[test]
fn what_is_lost_is_told_of() {
    let (upstream, nobody) = (Upstream::always(json_answer("ok")), Upstream::refusing());
    let tracing = format!("tracing: {{ endpoint: \"http://{}/v1/traces\", sample: 100% }}", nobody.addr());
    let daemon = Gateway::new()
        .backend(&upstream)
        .tenant_limits("requests_per_minute: 100000")
        .section(&tracing)
        .section("log: { access: { file: /dev/full } }")
        .start();
    assert_eq!(daemon.notices(), Vec::<String>::new());
    for _ in 0..3 {
        assert_eq!(daemon.client().chat(&chat("general")).status, 200);
    }
    wait_notice(&daemon, &["act access log some 3 lines were lost in the last two minutes: its reader"]);
    wait_notice(&daemon, &["watch tracing some 3 traces were lost in the last two minutes: the collector"]);
    assert!(!daemon.notices().iter().any(|notice| notice.contains("events")), "{:?}", daemon.notices());
}
