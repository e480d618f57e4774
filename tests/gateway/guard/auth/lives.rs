//! When a key begins and ends, and what it may: AU-18 to AU-25.

use std::rc::Rc;
use std::time::{Duration, Instant, SystemTime};

use super::{STRANGE, Scene, of};
use crate::guard::{Case, plain, row, told};
use crate::kit::answers::{json_answer, sse_answer};
use crate::kit::client::{ask, ask_stream, chat_request};
use crate::kit::config::{Gateway, digest};
use crate::kit::daemon::Daemon;
use crate::kit::process::soon;
use crate::kit::script::{Step, chunk};
use crate::kit::upstream::Upstream;
use crate::kit::{KEY, KEY_CHAT_ONLY, KEY_EXPIRED, KEY_MODELS_ONLY, MODEL};

pub fn cases(s: &Rc<Scene>) -> Vec<Case> {
    vec![
        of(s, "AU-18", "an expired key, and one that never was", "the same bytes", |s| {
            let bearer = |key: &str| plain(&s.with(&[("Authorization", &format!("Bearer {key}"))]));
            let (expired, unknown) = (bearer(KEY_EXPIRED), bearer(STRANGE));
            if expired == unknown && expired.contains("401") { "the same bytes".into() } else { format!("{expired} / {unknown}") }
        }),
        row("AU-19", "a key that ends while it is used", "200, then 401 invalid_api_key", || {
            let end = SystemTime::now() + Duration::from_secs(2);
            let end = humantime::format_rfc3339_seconds(end).to_string();
            let run = Run::start(&format!("soon: {{ sha256: \"{}\", expires: {end} }}", digest("bn-soon")));
            let first = run.chat("bn-soon");
            let over = soon(Duration::from_secs(8), || run.chat("bn-soon") != "200");
            format!("{first}, then {}", if over { run.chat("bn-soon") } else { "no end".into() })
        })
        .note("keys have no beginning: one that is not valid yet is one that is not written yet"),
        row("AU-20", "revoked by a reload", "200, then 401 invalid_api_key", || {
            let run = Run::start(&format!("gone: {{ sha256: \"{}\" }}", digest("bn-gone")));
            let before = run.chat("bn-gone");
            run.rewrite("");
            let began = Instant::now();
            run.daemon.signal("HUP");
            let over = soon(Duration::from_secs(8), || run.chat("bn-gone") != "200");
            let after = if over { run.chat("bn-gone") } else { "still good".into() };
            format!("{before}, then {after} | after {:.0} ms", began.elapsed().as_secs_f64() * 1e3)
        }),
        row("AU-21", "revoked while a stream runs", "goes on to its end; then 401 invalid_api_key", || {
            let run = Run::start(&format!("gone: {{ sha256: \"{}\" }}", digest("bn-gone")));
            let mut client = run.daemon.client();
            client.send(&chat_request("bn-gone", &ask_stream("slow")));
            let head = client.read_head();
            run.rewrite("");
            run.daemon.signal("HUP");
            assert!(soon(Duration::from_secs(8), || run.chat("bn-gone") != "200"), "still good");
            run.upstream.open("end");
            let rest = client.rest(head).expect("the stream");
            let ended = rest.text().ends_with("data: [DONE]\n\n");
            format!("{}; then {}", if ended { "goes on to its end" } else { "is cut" }, run.chat("bn-gone"))
        })
        .note("a request ends on the configuration that it began with; a client that is to be cut is cut with INT"),
        row("AU-22", "two keys for a time, then the new one", "0 failures; old 401 invalid_api_key, new 200", || {
            let key = |name: &str| format!("{name}: {{ sha256: \"{}\" }}", digest(&format!("bn-{name}")));
            let run = Run::start(&key("old"));
            let mut failures = 0;
            for (keys, used) in [(format!("{}, {}", key("old"), key("new")), "bn-old"), (key("new"), "bn-new")] {
                failures += usize::from(run.chat(used) != "200" && used == "bn-old");
                run.rewrite(&keys);
                let generation = run.daemon.metric("byname_config_generation");
                run.daemon.signal("HUP");
                for _ in 0..20 {
                    // The client has switched before the old key goes.
                    let key = if run.daemon.metric("byname_config_generation") == generation && used == "bn-old" { "bn-old" } else { "bn-new" };
                    failures += usize::from(run.chat(key) != "200");
                }
                assert!(soon(Duration::from_secs(8), || run.daemon.metric("byname_config_generation") > generation));
            }
            format!("{failures} failures; old {}, new {}", run.chat("bn-old"), run.chat("bn-new"))
        }),
        of(s, "AU-23", "a key that may not chat", "403 insufficient_scope", |s| s.authorized(&format!("Bearer {KEY_MODELS_ONLY}"))),
        of(s, "AU-24", "a key that may not list models", "403 insufficient_scope, 403 insufficient_scope", |s| {
            let get = |path| told(&s.daemon.client().get(KEY_CHAT_ONLY, path));
            format!("{}, {}", get("/v1/models"), get("/v1/models/general"))
        }),
        row("AU-25", "a tenant that is shut out", "200 200, then 401 invalid_api_key 401 invalid_api_key", || {
            let two = format!("a: {{ sha256: \"{}\" }}, b: {{ sha256: \"{}\" }}", digest("bn-a"), digest("bn-b"));
            let run = Run::start(&two);
            let both = || format!("{} {}", run.chat("bn-a"), run.chat("bn-b"));
            let before = both();
            run.daemon.reload_to(&Run::gateway(&run.upstream, &two, "disabled: true, "));
            format!("{before}, then {}", both())
        }),
    ]
}

/// A gateway whose keys change.
struct Run {
    daemon: Daemon,
    upstream: Upstream,
}

impl Run {
    fn start(keys: &str) -> Self {
        let upstream = Upstream::start(|seen| {
            if !seen.wants_stream() {
                return json_answer("good");
            }
            let mut steps = sse_answer(&["one", "two"]);
            steps.insert(3, Step::Wait("end"));
            steps.insert(3, chunk(": a comment\n\n"));
            steps
        });
        Self { daemon: Self::gateway(&upstream, keys, "").start(), upstream }
    }

    /// `tenant` is what the tenant has beside keys and models.
    fn gateway(upstream: &Upstream, keys: &str, tenant: &str) -> Gateway {
        let url = upstream.url();
        let last = format!("last: {{ sha256: \"{}\" }}", digest(KEY));
        let keys = if keys.is_empty() { last } else { format!("{last}, {keys}") };
        Gateway::new().config_text(&format!(
            "server: {{ listen: \"{{listen}}\", admin: \"{{admin}}\", unknown_keys_per_minute: 1000000 }}\n\
             pools: {{ main: {{ backends: [ {{ url: \"{url}\" }} ] }} }}\n\
             tenants: {{ acme: {{ {tenant}keys: {{ {keys} }}, models: {{ general: {{ routes: [ {{ pool: main, model: {MODEL} }} ] }}, \
             slow: {{ routes: [ {{ pool: main, model: {MODEL} }} ] }} }} }} }}\n"
        ))
    }

    fn rewrite(&self, keys: &str) {
        self.daemon.rewrite_config(&Self::gateway(&self.upstream, keys, ""));
    }

    fn chat(&self, key: &str) -> String {
        told(&self.daemon.client().chat_as(key, &ask("general")))
    }
}
