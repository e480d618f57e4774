//! Every configuration of the repository loads, and every broken one is told so in fixed words.
//!
//! `tests/data/conf/bad/NAME.yaml` complains exactly as `NAME.complaints` says; files in a directory
//! `NAME.d` are included. `UPDATE=1 cargo test --test conf` writes the complaints anew.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that cannot read its own data has failed"
)]

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use byname::config::plan::{
    Access, Allowed, Answers, Balance, Dialect, HealthPlan, LimitRules, OnFailure, Plan, QueueRules,
    SecretRef, TenantPlan, TlsPlan,
};
use byname::config::{Complaints, Source, includes, read};
use proptest::prelude::*;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The YAML files of a directory, in order.
fn files(directory: &Path) -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> = fs::read_dir(directory)
        .unwrap_or_else(|error| panic!("{}: {error}", directory.display()))
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "yaml"))
        .collect();
    files.sort();
    files
}

/// A file, called by its name below `directory`.
fn source(directory: &Path, path: &Path) -> Source {
    let name = path.strip_prefix(directory).unwrap().to_str().unwrap().to_owned();
    Source { name, text: fs::read_to_string(path).unwrap() }
}

fn load(path: &Path) -> Result<Plan, Complaints> {
    let directory = path.parent().unwrap();
    let more = path.with_extension("d");
    let included: Vec<Source> = if more.is_dir() { files(&more) } else { Vec::new() }
        .iter()
        .map(|path| source(directory, path))
        .collect();
    read(&source(directory, path), &included)
}

fn good() -> Vec<PathBuf> {
    let ours = files(&root().join("conf")).into_iter();
    let ours = ours.filter(|path| !path.to_string_lossy().contains("prometheus-"));
    ours.chain(files(&root().join("tests/data/conf/good"))).collect()
}

#[test]
fn every_good_file_loads() {
    for path in good() {
        if let Err(complaints) = load(&path) {
            panic!("{}\n{complaints}", path.display());
        }
    }
}

#[test]
fn every_bad_file_complains_in_its_words() {
    let files = files(&root().join("tests/data/conf/bad"));
    assert!(files.len() >= 70, "only {} files", files.len());
    let mut wrong = Vec::new();
    for path in files {
        let complaints = match load(&path) {
            Ok(_) => panic!("{} loads", path.display()),
            Err(complaints) => format!("{complaints}\n"),
        };
        let twin = path.with_extension("complaints");
        if std::env::var_os("UPDATE").is_some() {
            fs::write(&twin, &complaints).unwrap();
        } else if fs::read_to_string(&twin).unwrap_or_default() != complaints {
            wrong.push(format!("{}\n{complaints}", path.display()));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn no_complaint_shows_a_secret() {
    for path in files(&root().join("tests/data/conf/bad")) {
        let complaints = load(&path).unwrap_err().to_string();
        assert!(!complaints.contains("hunter2"), "{}\n{complaints}", path.display());
    }
}

#[test]
fn the_full_file_shows_the_defaults() {
    let full = load(&root().join("conf/full.yaml")).unwrap();
    let minimal = load(&root().join("tests/data/conf/good/minimal.yaml")).unwrap();
    let (one, other) = (&full.boot, &minimal.boot);
    assert_eq!((&one.listen[0], one.threads, full.drain), (&other.listen[0], other.threads, minimal.drain));
    assert_eq!((full.caps, full.openai_models), (minimal.caps, minimal.openai_models));
    assert_eq!(full.clients, minimal.clients);
    let unwritten = load(&root().join("tests/data/conf/good/listeners.yaml")).unwrap();
    assert_eq!(one.listen[1..3], unwritten.boot.listen[1..3]);
    assert_eq!(full.certificates.get(&1), unwritten.certificates.get(&1));
    assert_eq!(one.resolvers, other.resolvers);
    assert_eq!(full.rate_limit_headers, minimal.rate_limit_headers);
    assert_eq!(full.unknown_keys_per_minute, minimal.unknown_keys_per_minute);
    let limits = load(&root().join("tests/data/conf/good/limits.yaml")).unwrap();
    let (one, other) = (full.store.as_ref().unwrap(), limits.store.as_ref().unwrap());
    assert_eq!((one.port, one.db), (other.port, other.db));
    assert_eq!((one.timeout, one.instances, &one.prefix), (other.timeout, other.instances, &other.prefix));
    for (one, other) in full.pools.iter().zip(&minimal.pools) {
        let mut one = one.clone();
        // Without these there would be none at all.
        one.backends[0].key = None;
        one.limits = LimitRules::default();
        let health = one.health.take().unwrap();
        assert_eq!(&one, other);
        let forms = load(&root().join("tests/data/conf/good/every-form.yaml")).unwrap();
        let empty = forms.pools.iter().find(|pool| pool.name.as_str() == "42").unwrap();
        assert_eq!(Some(HealthPlan { path: None, ..health }), empty.health);
    }
    for (one, other) in full.tenants.iter().zip(&minimal.tenants) {
        let mut models = one.models.clone();
        let queue = models[0].queue.take();
        models[0].policy = None;
        assert_eq!(queue, limits.tenants[0].models[0].queue);
        models[0].limits = LimitRules::default();
        assert_eq!(models, other.models);
        assert!(one.keys.iter().map(|key| &key.scopes).eq(other.keys.iter().map(|key| &key.scopes)));
        let access = |of: &TenantPlan| (of.access, of.keys.iter().map(|key| key.access).collect::<Vec<_>>());
        assert_eq!(access(one), access(other));
    }
}

#[test]
fn the_minimal_file_means_what_the_manual_says() {
    let plan = load(&root().join("tests/data/conf/good/minimal.yaml")).unwrap();
    assert_eq!(
        plan.boot.listen.iter().map(|l| l.address.to_string()).collect::<Vec<_>>(),
        ["127.0.0.1:8080"]
    );
    assert_eq!((plan.boot.admin, plan.boot.demo_model, plan.boot.threads), (None, None, 2));
    assert_eq!(plan.drain, Duration::from_secs(60));
    assert_eq!((plan.caps.max_body, plan.caps.max_head), (8 << 20, 32 << 10));
    assert_eq!((plan.caps.max_event, plan.caps.max_response), (1 << 20, 32 << 20));
    assert_eq!(plan.caps.body_timeout, Duration::from_secs(60));
    let clients = plan.clients;
    assert_eq!((clients.header_timeout.as_secs(), clients.keep_alive.as_secs()), (10, 60));
    assert_eq!((clients.max_requests, clients.max_buffered), (10_000, 1 << 30));
    assert_eq!((clients.max_connections, clients.max_connections_per_address), (20_000, 5_000));
    let pool = plan.pools.first().unwrap();
    let timeouts = [pool.timeouts.connect, pool.timeouts.first_byte, pool.timeouts.idle, pool.timeouts.total];
    assert_eq!(timeouts.map(|timeout| timeout.as_secs()), [2, 60, 60, 600]);
    assert_eq!((pool.retry.attempts, pool.retry.resend, pool.retry.budget), (3, 1, 20));
    assert!(pool.retry.on_timeout && !pool.local_addresses && pool.health.is_none());
    assert_eq!((&pool.dialect, pool.balance), (&Dialect::OpenAi, Balance::LeastInflight));
    assert_eq!((pool.breaker.failures, pool.breaker.error_rate), (5, 50));
    let times = [pool.breaker.open, pool.breaker.max_open, pool.breaker.slow_start, pool.resolve];
    assert_eq!(times.map(|time| time.as_secs()), [1, 8, 10, 30]);
    let backend = pool.backends.first().unwrap();
    assert_eq!((backend.weight, backend.h2, &backend.tls), (1, false, &TlsPlan::default()));
    assert_eq!((plan.rate_limit_headers, plan.unknown_keys_per_minute), (true, 600));
    assert_eq!((&plan.boot.state_dir, &plan.store), (&None, &None));
    let tenant = plan.tenants.first().unwrap();
    let limits = [pool.limits, tenant.limits, tenant.keys[0].limits, tenant.models[0].limits];
    assert_eq!(limits, [LimitRules::default(); 4]);
    assert_eq!(tenant.models[0].queue, None);
    assert_eq!((tenant.access, tenant.keys[0].access, &plan.id_secret), (Access::Open, Access::Open, &None));
    let forms = load(&root().join("tests/data/conf/good/every-form.yaml")).unwrap();
    assert_eq!(forms.id_secret, Some(SecretRef::Credential("ids".to_owned())));
    assert_eq!(forms.tenants[0].keys[0].access, Access::Disabled);
}

#[test]
fn limits_belong_to_whom_they_are_written_for() {
    let plan = load(&root().join("conf/full.yaml")).unwrap();
    let rules = |requests, tokens, concurrent| LimitRules {
        requests_per_minute: Some(requests),
        tokens_per_minute: Some(tokens),
        concurrent: Some(concurrent),
        ..LimitRules::default()
    };
    let (pool, tenant) = (plan.pools.first().unwrap(), plan.tenants.first().unwrap());
    assert_eq!(pool.limits, rules(6_000, 2_000_000, 200));
    let lasting = LimitRules {
        tokens_per_day: Some(10_000_000),
        tokens_per_month: Some(200_000_000),
        ..rules(600, 200_000, 50)
    };
    assert_eq!(tenant.limits, lasting);
    assert_eq!(tenant.keys[0].limits, LimitRules { concurrent: Some(20), ..LimitRules::default() });
    assert_eq!(tenant.models[0].limits, rules(300, 100_000, 20));
    assert_eq!(tenant.models[0].queue, Some(QueueRules { wait: Duration::from_secs(2), depth: 100 }));
    assert_eq!(plan.boot.state_dir, Some("/var/lib/byname".into()));
}

#[test]
fn a_store_is_told_by_its_url_and_what_stands_next_to_it() {
    let full = load(&root().join("conf/full.yaml")).unwrap().store.unwrap();
    assert_eq!((full.host.as_str(), full.port, full.db, full.tls), ("store.example", 6379, 0, true));
    assert_eq!(full.ca, Some("/etc/byname/store-ca.crt".into()));
    assert_eq!(full.username.as_deref(), Some("byname"));
    assert_eq!(full.password, Some(SecretRef::Env("REDIS_PASSWORD".to_owned())));
    assert_eq!((full.timeout, full.instances), (Duration::from_millis(5), 1));
    assert_eq!(full.prefix, "byname");
    let other = load(&root().join("tests/data/conf/good/kept-by-the-store.yaml")).unwrap().store.unwrap();
    assert_eq!((other.host.as_str(), other.port, other.db, other.tls), ("::1", 6380, 65_535, true));
    assert_eq!((other.timeout, other.instances), (Duration::from_secs(1), 1000));
    assert_eq!((other.username, other.prefix.as_str()), (None, "a.B_c-9"));
}

#[test]
fn a_policy_is_what_is_written_of_it() {
    let full = load(&root().join("conf/full.yaml")).unwrap();
    let policies = load(&root().join("tests/data/conf/good/policies.yaml")).unwrap().policies;
    let named = |name: &str| policies.iter().find(|policy| policy.name.as_str() == name).unwrap();
    let strict = full.policies.first().unwrap();
    assert_eq!(full.tenants[0].models[0].policy.as_ref(), Some(&strict.name));
    assert_eq!(strict.deny.len(), 3);
    assert_eq!((strict.answers, strict.media), (named("words").answers, named("words").media));
    let (written, default) = (strict.moderator.as_ref().unwrap(), named("asked").moderator.as_ref().unwrap());
    assert_eq!((written.timeout, written.on_failure), (default.timeout, default.on_failure));
    assert_eq!((written.media, written.media.image), (default.media, false));
    assert_eq!((written.timeout, written.on_failure), (Duration::from_secs(1), OnFailure::Block));
    assert_eq!(named("expressions").answers, Answers::Screened);
    assert_eq!(named("plain").media, Allowed { image: false, audio: false, file: false });
    let asked = named("asked-politely").moderator.as_ref().unwrap();
    assert_eq!(
        (asked.host.as_str(), asked.port, asked.path.as_str()),
        ("moderator.example", 8443, "/v1/moderations")
    );
    assert_eq!(asked.on_failure, OnFailure::Allow);
}

#[test]
fn the_full_file_has_every_field() {
    let twin = root().join("tests/data/conf/bad/unknown-fields-everywhere.complaints");
    let complaints = fs::read_to_string(twin).unwrap();
    let full = fs::read_to_string(root().join("conf/full.yaml")).unwrap();
    let lists = complaints.lines().filter_map(|line| line.split_once("known here: "));
    let fields: Vec<&str> = lists.flat_map(|(_, fields)| fields.split(", ")).collect();
    assert!(fields.len() >= 100, "only {} fields", fields.len());
    for field in fields {
        let written =
            [format!(" {field}: "), format!("\n{field}: "), format!("{field}:\n"), format!("{field}:  ")];
        assert!(written.iter().any(|written| full.contains(written)), "{field} is missing");
    }
}

#[test]
fn what_a_backend_says_itself_wins() {
    let plan = load(&root().join("conf/full.yaml")).unwrap();
    let cloud = plan.pools.iter().find(|pool| pool.name.as_str() == "cloud").unwrap();
    assert_eq!(cloud.dialect, Dialect::Azure { api_version: "2024-10-21".to_owned() });
    let tls = &cloud.backends.first().unwrap().tls;
    assert_eq!(tls, &TlsPlan { ca: Some("/etc/byname/other.crt".into()), ..TlsPlan::default() });
}

#[test]
fn the_order_of_the_file_is_kept_and_includes_come_last() {
    let plan = load(&root().join("tests/data/conf/good/includes.yaml")).unwrap();
    let tenants: Vec<&str> = plan.tenants.iter().map(|tenant| tenant.id.as_str()).collect();
    assert_eq!(tenants, ["zulu", "alpha", "mike", "bravo"]);
    let pools: Vec<&str> = plan.pools.iter().map(|pool| pool.name.as_str()).collect();
    assert_eq!(pools, ["second", "first"]);
    let zulu = plan.tenants.first().unwrap();
    let aliases: Vec<&str> = zulu.models.iter().map(|model| model.alias.as_str()).collect();
    assert_eq!(aliases, ["z", "a", "m"]);
}

#[test]
fn the_patterns_of_includes_are_told_before_the_files_are_read() {
    let directory = root().join("tests/data/conf/good");
    let main = source(&directory, &directory.join("includes.yaml"));
    assert_eq!(includes(&main), ["includes.d/*.yaml"]);
    for text in ["", "include: x", "include: [../x]", "include: [", "pools: {}"] {
        assert!(includes(&Source { name: "x".to_owned(), text: text.to_owned() }).is_empty(), "{text}");
    }
}

#[test]
fn json_means_the_same_as_yaml() {
    let directory = root().join("tests/data/conf/good");
    assert_eq!(load(&directory.join("json.yaml")).unwrap(), load(&directory.join("minimal.yaml")).unwrap());
}

/// Compares with a file of the repository; `UPDATE=1` writes it anew.
fn as_written(path: &Path, text: &str) {
    if std::env::var_os("UPDATE").is_some() {
        fs::write(path, text).unwrap();
    }
    let written = fs::read_to_string(path).unwrap_or_default();
    assert!(written == text, "{} is not up to date (UPDATE=1 writes it):\n{text}", path.display());
}

/// What `byname -t` says of a file, and whether it takes it.
fn tried(path: &Path) -> (String, bool) {
    let path = path.strip_prefix(root()).unwrap();
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_byname"))
        .current_dir(root())
        .args(["-t", "-c"])
        .arg(path)
        .output()
        .unwrap();
    (String::from_utf8(output.stderr).unwrap(), output.status.success())
}

#[test]
fn a_newcomers_mistake_is_told_where_what_and_how_to_mend() {
    let newcomers = files(&root().join("tests/data/conf/newcomer"));
    assert!(newcomers.len() >= 10);
    for path in newcomers {
        let (said, taken) = tried(&path);
        assert!(!taken && said.lines().count() == 1 && said.contains("; "), "{}: {said}", path.display());
        assert!(!said.contains("hunter2"), "{said}");
        as_written(&path.with_extension("said"), &said);
    }
}

#[test]
fn what_is_unwise_is_told_and_taken() {
    let path = root().join("tests/data/conf/unwise.yaml");
    let (said, taken) = tried(&path);
    assert!(taken && said.lines().filter(|line| line.starts_with("warning: ")).count() == 9, "{said}");
    as_written(&path.with_extension("said"), &said);
    let (said, taken) = tried(&root().join("conf/byname.yaml"));
    assert!(taken && !said.contains("warning"), "{said}");
}

/// Valid, invalid and unread files, by the schema for editors.
fn judged(files: &[PathBuf]) -> [Vec<String>; 3] {
    let python = root().join("tests/clients/.venv/bin/python");
    assert!(python.exists(), "Python's packages are not installed: run tests/setup.sh first");
    let output = std::process::Command::new(python)
        .arg(root().join("tests/clients/schema.py"))
        .arg(root().join("conf/byname.schema.json"))
        .args(files)
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let said = String::from_utf8(output.stdout).unwrap();
    assert_eq!(said.lines().count(), files.len());
    ["valid ", "invalid ", "unread "].map(|verdict| {
        let of = said.lines().filter_map(|line| line.strip_prefix(verdict));
        of.map(|path| Path::new(path).file_stem().unwrap().to_str().unwrap().to_owned()).collect()
    })
}

#[test]
fn the_schema_is_up_to_date_and_takes_every_good_file() {
    as_written(&root().join("conf/byname.schema.json"), &byname::daemon::schema::text());
    let mut all = good();
    for included in ["includes.d", "includes-only.d", "kept-by-a-directory.d"] {
        all.extend(files(&root().join("tests/data/conf/good").join(included)));
    }
    let [_, invalid, unread] = judged(&all);
    assert!(invalid.is_empty() && unread.is_empty(), "{invalid:?} {unread:?}");
}

/// `only-by-meaning.txt` names the files whose faults no schema can tell: what names mean, and what two values make of
/// each other.
#[test]
fn the_schema_refuses_what_is_of_the_wrong_form() {
    let [valid, invalid, unread] = judged(&files(&root().join("tests/data/conf/bad")));
    as_written(&root().join("tests/data/conf/only-by-meaning.txt"), &format!("{}\n", valid.join("\n")));
    assert!(invalid.len() >= 60 && unread.len() <= 15, "{} {}", invalid.len(), unread.len());
}

/// One slip of a pen, at a place that is a share of the text.
#[derive(Debug, Clone)]
enum Slip {
    Delete(usize),
    Double(usize),
    Replace(u8),
}

fn slip() -> impl Strategy<Value = (f64, Slip)> {
    let kind = prop_oneof![
        (1..40_usize).prop_map(Slip::Delete),
        (1..40_usize).prop_map(Slip::Double),
        any::<u8>().prop_map(Slip::Replace),
        prop::sample::select(b"\t\n :-[]{}#&*!|>'\"%@`,?0~".to_vec()).prop_map(Slip::Replace),
    ];
    (0.0..1.0_f64, kind)
}

fn slipped(text: &str, slips: &[(f64, Slip)]) -> String {
    let mut bytes = text.as_bytes().to_vec();
    for (share, slip) in slips {
        let at = (bytes.len() as f64 * share) as usize;
        let size = bytes.len();
        let end = |length: usize| (at + length).min(size);
        match slip {
            Slip::Delete(length) => drop(bytes.drain(at..end(*length))),
            Slip::Double(length) => {
                let piece = bytes[at..end(*length)].to_vec();
                bytes.splice(at..at, piece);
            }
            Slip::Replace(byte) => bytes[at..end(1)].fill(*byte),
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_slip_of_the_pen_is_taken_or_told(
        path in prop::sample::select(good()),
        slips in prop::collection::vec(slip(), 1..5),
    ) {
        let text = slipped(&fs::read_to_string(path).unwrap(), &slips);
        let main = Source { name: "main".to_owned(), text };
        includes(&main);
        if let Err(complaints) = read(&main, &[]) {
            prop_assert!(!complaints.is_empty());
            prop_assert!(complaints.iter().all(|one| one.mark().line >= 1 && one.mark().column >= 1));
            prop_assert!(complaints.iter().all(|one| one.to_string().lines().count() == 1));
        }
    }
}
