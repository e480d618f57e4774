//! A real Prometheus scrapes a real gateway under load: the dashboard's queries and the alert rules find what they ask
//! for, and `promtool` has nothing to say about page and rules.
//!
//! `PROMETHEUS_MINUTES=5 cargo test --test gateway prometheus::` is the full size; without it the load lasts 20 s.

use std::fs;
use std::io::Write;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::kit::config::{Gateway, digest};
use crate::kit::daemon::Daemon;
use crate::kit::folder::Folder;
use crate::kit::papers::Papers;
use crate::kit::ports;

const KEY: &str = "bn-acme-under-load";
const LIMITED: &str = "bn-globex-under-load";

fn conf(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("conf").join(name)
}

/// Aliases that answer, fail over, fail and are limited, so that every panel has something to show.
fn gateway(papers: &Papers) -> Daemon {
    let demo = ports::free().port();
    let (also, tls) = (ports::free(), papers.listener(""));
    let (acme, globex) = (digest(KEY), digest(LIMITED));
    let text = format!(
        "server: {{ listen: [ \"{{listen}}\", {{ address: \"{also}\", tls: {tls} }} ], admin: \"{{admin}}\", demo_model: 127.0.0.1:{demo} }}
pools:
  demo:
    backends: [ {{ url: \"http://127.0.0.1:{demo}/v1\" }}, {{ url: \"http://localhost:{demo}/v1\" }} ]
    health: {{ path: /v1/models, interval: 500ms }}
policies: {{ strict: {{ moderator: {{ url: \"http://127.0.0.1:9/moderations\" }} }} }}
tenants:
  acme:
    keys: {{ web: {{ sha256: {acme}, expires: 2099-01-01T00:00:00Z }} }}
    limits: {{ tokens_per_minute: 100000000 }}
    models:
      general: {{ routes: [ {{ pool: demo, model: demo-large-2026-01 }} ] }}
      flaky: {{ routes: [ {{ pool: demo, model: demo-fail-2026-01 }}, {{ pool: demo, model: demo-large-2026-01 }} ] }}
      broken: {{ routes: [ {{ pool: demo, model: demo-fail-2026-01 }} ] }}
      slow: {{ routes: [ {{ pool: demo, model: demo-slow-2026-01 }} ] }}
  globex:
    keys: {{ web: {{ sha256: {globex} }} }}
    limits: {{ requests_per_minute: 5 }}
    models: {{ general: {{ routes: [ {{ pool: demo, model: demo-large-2026-01 }} ] }} }}
"
    );
    Gateway::new().config_text(&text).start()
}

/// A Prometheus of its own, in a folder of its own. Dropping it ends it.
struct Prometheus {
    child: Child,
    address: SocketAddr,
    _folder: Folder,
}

impl Prometheus {
    fn start(scraped: SocketAddr) -> Self {
        let folder = Folder::new("prometheus");
        let text = format!(
            "global: {{ scrape_interval: 1s, evaluation_interval: 1s }}
rule_files: [ {} ]
scrape_configs: [ {{ job_name: byname, static_configs: [ {{ targets: [ \"{scraped}\" ] }} ] }} ]
",
            conf("prometheus-alerts.yaml").display()
        );
        fs::write(folder.join("prometheus.yml"), text).expect("a file");
        let address = ports::free();
        let child = Command::new("prometheus")
            .arg(format!("--config.file={}/prometheus.yml", folder.display()))
            .arg(format!("--storage.tsdb.path={}/data", folder.display()))
            .arg(format!("--web.listen-address={address}"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("prometheus is installed; run tests/setup.sh");
        let prometheus = Self { child, address, _folder: folder };
        let since = Instant::now();
        while prometheus.get("/-/ready", None).is_none_or(|(status, _)| status != "200") {
            assert!(since.elapsed() < Duration::from_secs(60), "Prometheus is not ready");
            std::thread::sleep(Duration::from_millis(100));
        }
        prometheus
    }

    /// Status and body of a page.
    fn get(&self, path: &str, query: Option<&str>) -> Option<(String, String)> {
        let mut curl = Command::new("curl");
        curl.args(["-s", "--max-time", "10", "-w", "\n%{http_code}"]);
        if let Some(query) = query {
            curl.args(["-G", "--data-urlencode", &format!("query={query}")]);
        }
        let output = curl.arg(format!("http://{}{path}", self.address)).output().ok()?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let (body, status) = text.rsplit_once('\n')?;
        Some((status.to_owned(), body.to_owned()))
    }

    fn json(&self, path: &str, query: Option<&str>) -> Value {
        let (status, body) = self.get(path, query).expect("an answer");
        assert_eq!(status, "200", "{query:?}: {body}");
        serde_json::from_str(&body).expect("JSON")
    }

    /// What a query finds now.
    fn ask(&self, query: &str) -> Vec<Value> {
        let answer = self.json("/api/v1/query", Some(query));
        answer["data"]["result"].as_array().cloned().unwrap_or_default()
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Titles and queries of all panels.
fn panels() -> Vec<(String, String)> {
    let text = fs::read_to_string(conf("grafana-dashboard.json")).expect("the dashboard");
    let dashboard: Value = serde_json::from_str(&text).expect("JSON");
    let panels = dashboard["panels"].as_array().expect("panels").iter();
    panels
        .flat_map(|panel| {
            let title = panel["title"].as_str().expect("a title").to_owned();
            let targets = panel["targets"].as_array().cloned().unwrap_or_default();
            targets.into_iter().map(move |t| (title.clone(), t["expr"].as_str().expect("a query").to_owned()))
        })
        .collect()
}

/// As Grafana would, with everything selected.
fn filled(query: &str) -> String {
    query.replace("$__rate_interval", "20s").replace("$tenant", ".*").replace("$job", ".*")
}

fn body(model: &str, stream: bool) -> String {
    format!(r#"{{"model":"{model}","stream":{stream},"messages":[{{"role":"user","content":"Hello"}}]}}"#)
}

/// Asks for everything there is until it is told to stop, and counts.
fn load(daemon: &Daemon, key: &str, over: &AtomicBool, asked: &AtomicUsize) {
    let kinds =
        [("general", false), ("general", true), ("flaky", true), ("broken", false), ("nobody", false)];
    for (model, stream) in kinds.iter().cycle() {
        if over.load(Ordering::Relaxed) {
            return;
        }
        daemon.client().chat_as(key, &body(model, *stream));
        asked.fetch_add(1, Ordering::Relaxed);
        std::thread::sleep(Duration::from_millis(10));
    }
}

fn promtool(arguments: &[&str], input: Option<&str>) -> String {
    let mut child = Command::new("promtool")
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("prometheus is installed; run tests/setup.sh");
    let mut stdin = child.stdin.take().expect("it is piped");
    stdin.write_all(input.unwrap_or_default().as_bytes()).expect("it reads");
    drop(stdin);
    let output = child.wait_with_output().expect("it ends");
    let said =
        format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "promtool {arguments:?}: {said}");
    said
}

#[test]
fn the_dashboards_queries_find_something_under_load() {
    let length = match std::env::var("PROMETHEUS_MINUTES") {
        Ok(minutes) => Duration::from_secs(60 * minutes.parse::<u64>().expect("a number of minutes")),
        Err(_) => Duration::from_secs(20),
    };
    let papers = Papers::new();
    let daemon = gateway(&papers);
    let prometheus = Prometheus::start(daemon.admin());
    let (over, asked) = (AtomicBool::new(false), AtomicUsize::new(0));
    let mut missing = Vec::new();
    let panels = panels();
    assert!(panels.len() >= 45, "only {} queries", panels.len());
    std::thread::scope(|scope| {
        for key in [KEY, KEY, LIMITED] {
            scope.spawn(|| load(&daemon, key, &over, &asked));
        }
        std::thread::sleep(length);
        for (title, query) in &panels {
            // There is no store here, and so nothing that tells whether it answers.
            let of_a_store = query.starts_with("byname_limits_store_up");
            if !of_a_store && prometheus.ask(&filled(query)).is_empty() {
                missing.push(format!("{title}: {query}"));
            }
        }
        over.store(true, Ordering::Relaxed);
    });
    assert!(missing.is_empty(), "without data: {missing:#?}");
    let page = daemon.ask_admin("/metrics").text();
    let said = promtool(&["check", "metrics"], Some(&page));
    assert!(said.is_empty(), "{said}");
    assert_eq!(prometheus.ask("min_over_time(up{job=\"byname\"}[15s]) == 1").len(), 1, "a scrape failed");
    // Rules are loaded and evaluated without a fault, and nothing is down.
    let groups = prometheus.json("/api/v1/rules", None);
    let rules = groups["data"]["groups"][0]["rules"].as_array().cloned().expect("rules");
    assert!(rules.len() >= 15 && rules.iter().all(|rule| rule["health"] == "ok"), "{rules:#?}");
    let asked = asked.load(Ordering::Relaxed);
    println!("{asked} requests in {length:?}, {} queries, {} rules", panels.len(), rules.len());
}

#[test]
fn the_alert_rules_are_heard_when_they_should_be() {
    let rules = conf("prometheus-alerts.yaml").display().to_string();
    promtool(&["check", "rules", &rules], None);
    let said = promtool(&["test", "rules", &conf("prometheus-alerts.test.yaml").display().to_string()], None);
    assert!(said.contains("SUCCESS"), "{said}");
    // None of them is without a test.
    let (rules, tests) = (fs::read_to_string(rules), fs::read_to_string(conf("prometheus-alerts.test.yaml")));
    let tests = tests.expect("the tests");
    for name in rules.expect("the rules").lines().filter_map(|line| line.trim().strip_prefix("- alert: ")) {
        assert!(tests.contains(&format!("alertname: {name}\n")), "{name} has no test");
    }
}

/// Whoever names a metric in the dashboard or in a rule names one that there is.
#[test]
fn dashboard_and_rules_name_metrics_of_the_readme() {
    let readme =
        fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md")).expect("a README");
    for file in ["grafana-dashboard.json", "prometheus-alerts.yaml"] {
        let text = fs::read_to_string(conf(file)).expect(file);
        let words = text.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_'));
        for word in words.filter(|word| word.starts_with("byname_") || word.starts_with("process_")) {
            let name = ["_bucket", "_count"].iter().find_map(|end| word.strip_suffix(end)).unwrap_or(word);
            assert!(readme.contains(&format!("| `{name}` |")), "{file}: {word}");
        }
    }
}

/// Metrics that no panel needs to show.
const UNSHOWN: [&str; 2] = ["process_virtual_memory_bytes", "process_threads"];

#[test]
fn the_dashboard_shows_every_metric_of_the_jobs_that_are_chosen() {
    let readme =
        fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md")).expect("a README");
    let queries: Vec<String> = panels().into_iter().map(|(_, query)| query).collect();
    let named = |word: &str| word.starts_with("byname_") || word.starts_with("process_");
    // A metric's name, and what follows it.
    let mut shown = Vec::new();
    for query in &queries {
        let ends = |c: char| !(c.is_ascii_alphanumeric() || c == '_');
        let mut rest = query.as_str();
        while let Some(at) = rest.find(|c: char| !ends(c)) {
            let (_, from) = rest.split_at(at);
            let (word, after) = from.split_at(from.find(ends).unwrap_or(from.len()));
            if named(word) {
                assert!(after.starts_with("{job=~\"$job\""), "{word} is of all jobs: {query}");
                shown.push(word.strip_suffix("_bucket").unwrap_or(word));
            }
            rest = after;
        }
    }
    let all = readme.lines().filter_map(|line| Some(line.strip_prefix("| `")?.split_once("` |")?.0));
    let unshown: Vec<_> = all.filter(|name| named(name) && !shown.contains(name)).collect();
    assert_eq!(unshown, UNSHOWN);
}

#[test]
fn overhead_holds_no_wait_and_a_stream_shows_its_pace() {
    let papers = Papers::new();
    let daemon = gateway(&papers);
    daemon.client().chat_as(KEY, &body("slow", true));
    daemon.log_lines(1);
    let of = |name: &str| {
        let whole = format!("byname_{name}{{model=\"slow\",tenant=\"acme\"}}");
        daemon.metric(&whole).unwrap_or_else(|| panic!("{whole} is not there"))
    };
    // The demo model is silent for five seconds.
    assert!(of("request_duration_seconds_sum") >= 5.0);
    let own = of("overhead_seconds_sum");
    assert!(own > 0.0 && own < 2.0 && of("overhead_seconds_count") == 1.0, "{own}");
    assert!(of("inter_chunk_seconds_count") >= 1.0);
    assert!(daemon.metric("process_resident_memory_bytes").unwrap_or(0.0) > 1e6);
    assert!(daemon.metric("process_open_fds").unwrap_or(0.0) > 3.0);
}
