//! A real headless Chromium looks at the page, wide and narrow, light and dark, under load and with a dead backend.
//!
//! Its pictures go to `BYNAME_SCREENSHOTS` when that is set, so that somebody can look at them, too.

use std::net::{IpAddr, Ipv4Addr};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime};

use serde_json::{Value, json};

use super::chat;
use crate::kit::answers::{json_answer, sse_answer};
use crate::kit::config::{Gateway, digest};
use crate::kit::daemon::Daemon;
use crate::kit::dns::{Dns, Record};
use crate::kit::folder::Folder;
use crate::kit::script::Step;
use crate::kit::upstream::Upstream;

const TENANTS: [(&str, &str); 3] =
    [("acme", "bn-test-see-acme"), ("globex", "bn-test-see-globex"), ("initech", "bn-test-see-initech")];

/// A model that takes its time.
fn model(pause: u64) -> Upstream {
    Upstream::start(move |seen| {
        let mut steps = vec![Step::Pause(Duration::from_millis(pause + (seen.index as u64 * 7) % 40))];
        steps.extend(if seen.wants_stream() { sse_answer(&["o", "k"]) } else { json_answer("ok") });
        steps
    })
}

/// Two pools with names as they are in life, one backend of which is dead.
fn text(dns: &Dns, models: &[&Upstream], dead: &Upstream) -> String {
    let home = Record::Addresses(vec![IpAddr::V4(Ipv4Addr::LOCALHOST)], 60);
    let url = |name: &str, upstream: &Upstream| {
        dns.set(name, home.clone());
        format!("\"http://{name}:{}/v1\"", upstream.addr().port())
    };
    let soon = SystemTime::now() + Duration::from_secs(5 * 24 * 60 * 60 + 3600);
    let soon = humantime::format_rfc3339_seconds(soon);
    let [acme, globex, initech] = TENANTS.map(|(_, key)| digest(key));
    format!(
        "server:\n  listen: \"{{listen}}\"\n  admin: \"{{admin}}\"\n  dns: [ \"{}\" ]\npools:\n  \
         house:\n    local_addresses: true\n    health: {{ interval: 1s, timeout: 1s, failures: 2 }}\n    backends:\n      \
         - {{ url: {}, weight: 2 }}\n      - {{ url: {} }}\n      - {{ url: {} }}\n  \
         overflow:\n    local_addresses: true\n    balance: p2c_ewma\n    limits: {{ requests_per_minute: 9000 }}\n    \
         backends: [ {{ url: {} }} ]\n\
         tenants:\n  acme:\n    keys: {{ web: {{ sha256: \"{acme}\", expires: {soon} }} }}\n    \
         limits: {{ requests_per_minute: 6000, tokens_per_minute: 2000000, concurrent: 50 }}\n    models:\n      \
         general: {{ routes: [ {{ pool: house, model: large-2 }}, {{ pool: overflow, model: large }} ] }}\n      \
         secure: {{ limits: {{ requests_per_minute: 20 }}, routes: [ {{ pool: house, model: secure-1 }} ] }}\n  \
         globex:\n    keys: {{ web: {{ sha256: \"{globex}\" }} }}\n    models:\n      \
         general: {{ routes: [ {{ pool: overflow, model: large }} ] }}\n      \
         長い日本語の名前を持つ業務向けアシスタントのエイリアス: {{ routes: [ {{ pool: house, model: large-2 }} ] }}\n  \
         initech:\n    keys: {{ web: {{ sha256: \"{initech}\" }} }}\n    limits: {{ tokens_per_minute: 50000000 }}\n    models:\n      \
         an-alias-of-a-length-that-nobody-would-choose-but-somebody-did: {{ routes: [ {{ pool: house, model: m }} ] }}\n",
        dns.addr(),
        url("gpu-1.house.example", models[0]),
        url("gpu-2.house.example", models[1]),
        url("gpu-3.house.example", dead),
        url("models.overflow.example", models[2]),
    )
}

#[test]
fn a_browser_shows_it() {
    let (dns, models, dead) = (Dns::start(), [model(40), model(90), model(150)], Upstream::refusing());
    let models = [&models[0], &models[1], &models[2]];
    let daemon = Gateway::new().config_text(&text(&dns, &models, &dead)).start();
    let good = std::fs::read_to_string(daemon.config()).expect("our own file");
    let over = AtomicBool::new(false);
    let found = std::thread::scope(|scope| {
        let work = |key: &'static str, model: &'static str, pause: u64| {
            let (daemon, over) = (&daemon, &over);
            scope.spawn(move || load(daemon, over, key, model, pause));
        };
        for _ in 0..3 {
            work(TENANTS[0].1, "general", 30);
        }
        work(TENANTS[0].1, "secure", 200);
        work(TENANTS[1].1, "general", 60);
        work(TENANTS[2].1, "an-alias-of-a-length-that-nobody-would-choose-but-somebody-did", 300);
        // Somebody has made a mistake in the file meanwhile.
        std::fs::write(daemon.config(), good.replace("balance: p2c_ewma", "balance: random"))
            .expect("our own file");
        daemon.signal("HUP");
        // Long enough for a line of rates that can be seen.
        std::thread::sleep(Duration::from_secs(history()));
        let found = look(&daemon);
        over.store(true, Ordering::Relaxed);
        found
    });
    for (name, looked) in found["looks"].as_object().expect("four looks") {
        assert_eq!(looked, &json!({"overflow": 0, "clipped": [], "pale": []}), "{name}");
    }
    assert_eq!(found["looks"].as_object().map(serde_json::Map::len), Some(4));
    assert_eq!(found["live"], json!({"kept": true, "paused": true}));
    assert_eq!(found["troubles"], json!([]), "its policy lets everything of its own pass");
    let asked = json!([format!("http://{}/status", daemon.admin())]);
    assert_eq!(found["asked"], asked, "it asks nobody but us");
    let plain = &found["without_script"];
    assert!(plain["rows"].as_u64() >= Some(12) && plain["lines"].as_u64() >= Some(8), "{plain}");
    assert_eq!(plain["pause_hidden"], true);
}

/// How many seconds of load come before the pictures.
fn history() -> u64 {
    if std::env::var_os("BYNAME_SCREENSHOTS").is_some() { 125 } else { 6 }
}

/// One request after another until it is over.
fn load(daemon: &Daemon, over: &AtomicBool, key: &str, model: &str, pause: u64) {
    let mut client = daemon.client();
    let body = chat(model);
    for round in 0_u64.. {
        if over.load(Ordering::Relaxed) {
            return;
        }
        let status = client.chat_as(key, &body).status;
        assert!(matches!(status, 200 | 429), "{status}");
        std::thread::sleep(Duration::from_millis(pause * (1 + (round / 60) % 3)));
    }
}

/// What `tests/browser/look.py` finds.
fn look(daemon: &Daemon) -> Value {
    let own = Folder::new("browser");
    let folder = std::env::var_os("BYNAME_SCREENSHOTS").map_or_else(|| own.to_path_buf(), PathBuf::from);
    std::fs::create_dir_all(&folder).expect("a folder for pictures");
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/browser/look.py");
    let output = Command::new("python3")
        .arg(script)
        .arg(format!("http://{}/status", daemon.admin()))
        .arg(&folder)
        .output()
        .expect("Python can be started; run tests/setup.sh");
    assert!(output.status.success(), "{}; run tests/setup.sh", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).expect("JSON")
}
