//! Configurations that change while requests run: RL-01 to RL-14.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use super::crowd::{self, Answer, Fate, Shorts, faults};
use super::daemons::{Process, Site, pause};
use super::farm::{Farm, Pace};
use crate::downstream::parts::paused;
use crate::kit::client::{Client, ask, ask_stream, chat_request};
use crate::kit::config::digest;
use crate::kit::process::memory;
use crate::kit::table::Table;
use crate::kit::upstream::Upstream;
use crate::kit::{KEY, KEY_GLOBEX};

/// A farm on a runtime of its own, as long as this lives.
pub struct Field {
    pub runtime: tokio::runtime::Runtime,
    pub farm: Farm,
}

impl Field {
    pub fn new(pieces: usize, pause: u64) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
        let runtime = runtime.expect("a runtime");
        let farm = runtime.block_on(Farm::start(Pace { pieces, pause: Duration::from_millis(pause) }));
        Self { runtime, farm }
    }
}

/// One site with one process that serves generation 0.
pub fn serving(field: &Field, server: &str) -> (Site, Process) {
    serving_from(&field.farm.url(), server)
}

fn serving_from(url: &str, server: &str) -> (Site, Process) {
    let site = Site::new();
    site.write(&site.generation(0, url, server));
    let process = site.start(&[]);
    (site, process)
}

/// The generation that an answer tells of, in its text and in its limits, which must be the same.
fn generation(answer: &Answer) -> Result<usize, String> {
    let model = answer.model()?;
    let of_text = model.strip_prefix("gen-").and_then(|number| number.parse::<usize>().ok());
    let limit = answer.header("x-ratelimit-limit-requests").and_then(|limit| limit.parse::<usize>().ok());
    match (of_text, limit.and_then(|limit| limit.checked_sub(1_000_000))) {
        (Some(text), Some(limit)) if text == limit => Ok(text),
        other => Err(format!("a mixture: text and limit {other:?}")),
    }
}

/// Asks the control socket to reload; the last line of its answer.
fn reload_by_socket(site: &Site) -> String {
    let mut stream = UnixStream::connect(site.folder.join("run/byname.sock")).expect("a control socket");
    stream.write_all(b"reload\n").expect("it listens");
    let mut said = String::new();
    stream.read_to_string(&mut said).expect("an answer");
    said.trim_end().rsplit('\n').next().unwrap_or_default().to_owned()
}

/// A configuration with whatever belongs below `tenants:`.
fn with_tenants(site: &Site, url: &str, tenants: &str) -> String {
    format!(
        "server:\n  listen: \"{}\"\n  admin: \"{}\"\npools:\n  main:\n    backends: [ {{ url: \"{url}\" }} ]\n\
         tenants:\n{tenants}",
        site.listen, site.admin
    )
}

fn acme(keys: &str, limits: &str, aliases: &[&str]) -> String {
    let models: Vec<_> = aliases
        .iter()
        .map(|alias| format!("{alias}: {{ routes: [ {{ pool: main, model: gen-0 }} ] }}"))
        .collect();
    format!(
        "  acme:\n    keys: {{ {keys} }}\n    limits: {{ {limits} }}\n    models: {{ {} }}\n",
        models.join(", ")
    )
}

fn key(name: &str, key: &str) -> String {
    format!("{name}: {{ sha256: \"{}\" }}", digest(key))
}

fn status(site: &Site, key: &str, alias: &str) -> u16 {
    Client::connect(site.listen).chat_as(key, &ask(alias)).status
}

/// Opens a stream and reads its first event.
pub fn open(site: &Site, alias: &str) -> Client {
    let mut client = Client::connect(site.listen);
    client.send(&chat_request(KEY, &ask_stream(alias)));
    assert!(client.read_head().first.contains(" 200 "), "the stream does not begin");
    assert!(client.event().is_some(), "the stream has no first event");
    client
}

/// Reads a stream to its end, which must be a proper one; how many events came.
pub fn finish(mut client: Client) -> usize {
    let (mut last, mut events) = (String::new(), 0);
    while let Some(event) = client.event() {
        last = event;
        events += 1;
    }
    assert_eq!(last, "data: [DONE]\n\n", "the stream was cut");
    events
}

pub fn cases(table: &mut Table) {
    table.case("RL-01", "100 reloads, 500 open streams, 200 requests/s", hundred_reloads);
    table.case("RL-02", "10 HUP within 10 ms", || {
        let field = Field::new(1, 1);
        let (site, process) = serving(&field, "");
        site.write(&site.generation(7, &field.farm.url(), ""));
        for _ in 0..10 {
            process.signal("HUP");
        }
        let since = Instant::now();
        while ask_generation(&field, &site) != Ok(7) {
            assert!(since.elapsed() < Duration::from_secs(10), "the new configuration does not come");
            pause();
        }
        let reloads = site.metric("byname_config_reloads_total{outcome=\"ok\"}");
        assert!((1.0..=10.0).contains(&reloads), "{reloads} reloads");
        format!("{reloads} reloads, the last file wins")
    });
    table.case("RL-03", "HUP while reloads run: queued, and the last file wins", || {
        let field = Field::new(1, 1);
        let (site, mut process) = serving(&field, "");
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| (0..10).for_each(|_| assert!(reload_by_socket(&site).starts_with("ok "))));
            }
            (1..=20).for_each(|number| {
                site.write(&site.generation(number, &field.farm.url(), ""));
                process.signal("HUP");
            });
        });
        let since = Instant::now();
        while ask_generation(&field, &site) != Ok(20) {
            assert!(since.elapsed() < Duration::from_secs(10), "the last configuration does not come");
            pause();
        }
        assert!(process.runs());
        format!("{} reloads of 40 asked for and 20 signals", site.metric("byname_config_reloads_total"))
    });
    table.case("RL-04", "HUP 2 to 500 ms after the start", || {
        let field = Field::new(1, 1);
        let site = Site::new();
        site.write(&site.generation(0, &field.farm.url(), ""));
        let delays = [2, 5, 10, 20, 30, 50, 75, 100, 200, 500];
        for delay in delays {
            let mut process = site.spawn(&[]);
            std::thread::sleep(Duration::from_millis(delay));
            // A busy machine may need longer for the kernel's part of a start, where a signal is the kernel's to answer.
            process.wait_for_main();
            process.signal("HUP");
            process.wait_for("configuration 2 is taken");
            assert_eq!(ask_generation(&field, &site), Ok(0));
        }
        format!("alive and reloaded, {} times", delays.len())
    });
    table.case("RL-05", "HUP during drain", || {
        let field = Field::new(10, 100);
        let (site, mut process) = serving(&field, "");
        let stream = open(&site, "general");
        process.signal("TERM");
        process.wait_for("TERM: stopping");
        process.signal("HUP");
        process.wait_for("HUP: not now");
        finish(stream);
        assert_eq!(process.wait(Duration::from_secs(5)).code(), Some(0));
        "logged, the stream ends whole, exit 0".to_owned()
    });
    table.case("RL-06", "good and bad files in turn, 100 times", || {
        let field = Field::new(1, 1);
        let (site, _process) = serving(&field, "");
        for number in 1..=50 {
            site.write(&site.generation(number, &field.farm.url(), ""));
            assert_eq!(reload_by_socket(&site), format!("ok {}", number + 1));
            site.write("pools: [");
            assert_eq!(reload_by_socket(&site), "no");
            assert_eq!(ask_generation(&field, &site), Ok(number));
        }
        let metric = |name: &str| site.metric(name);
        assert_eq!(metric("byname_config_reloads_total{outcome=\"refused\"}"), 50.0);
        assert_eq!(metric("byname_config_last_reload_successful"), 0.0);
        assert_eq!(metric("byname_config_generation"), 51.0);
        "50 taken, 50 refused, each with what runs as it was".to_owned()
    });
    table.case("RL-07", "an alias in use is removed", || {
        let field = Field::new(10, 50);
        let (site, _process) = serving(&field, "");
        let stream = open(&site, "general");
        let web = key("web", KEY);
        site.write(&with_tenants(&site, &field.farm.url(), &acme(&web, "", &["other"])));
        site.reload();
        assert_eq!((status(&site, KEY, "general"), status(&site, KEY, "other")), (404, 200));
        assert!(finish(stream) >= 10);
        "404 for new ones, the running stream ends whole".to_owned()
    });
    table.case("RL-08", "a key in use is revoked", || {
        let field = Field::new(10, 50);
        let (site, _process) = serving(&field, "");
        let stream = open(&site, "general");
        let other = key("other", KEY_GLOBEX);
        site.write(&with_tenants(&site, &field.farm.url(), &acme(&other, "", &["general"])));
        site.reload();
        assert_eq!((status(&site, KEY, "general"), status(&site, KEY_GLOBEX, "general")), (401, 200));
        assert!(finish(stream) >= 10);
        "401 at once, the running stream ends whole".to_owned()
    });
    table.case("RL-09", "a limit is lowered below its use", || {
        let field = Field::new(10, 100);
        let (site, _process) = serving(&field, "");
        let streams: Vec<_> = (0..3).map(|_| open(&site, "general")).collect();
        let web = key("web", KEY);
        site.write(&with_tenants(&site, &field.farm.url(), &acme(&web, "concurrent: 2", &["general"])));
        site.reload();
        let during = status(&site, KEY, "general");
        streams.into_iter().for_each(|stream| assert!(finish(stream) >= 10));
        // Those began without a limit, so they hold no slot of it; what counts is that nobody is cut.
        let after = status(&site, KEY, "general");
        assert!(matches!(during, 200 | 429) && after == 200, "{during} {after}");
        format!("nobody is cut; {during} meanwhile, {after} after")
    });
    table.case("RL-10", "a limit is raised", || {
        let field = Field::new(1, 1);
        let site = Site::new();
        let web = key("web", KEY);
        let of = |limit: usize| {
            let limits = format!("requests_per_minute: {limit}");
            with_tenants(&site, &field.farm.url(), &acme(&web, &limits, &["general"]))
        };
        site.write(&of(2));
        let _process = site.start(&[]);
        let asked: Vec<_> = (0..3).map(|_| status(&site, KEY, "general")).collect();
        site.write(&of(4));
        site.reload();
        let more: Vec<_> = (0..3).map(|_| status(&site, KEY, "general")).collect();
        assert_eq!((asked, more), (vec![200, 200, 429], vec![200, 200, 429]));
        "two of two, then two more of four: what was used counts on".to_owned()
    });
    table.case("RL-11", "windows and breakers outlive reloads", || {
        let field = Field::new(1, 1);
        let site = Site::new();
        let web = key("web", KEY);
        let (_closed, refusing) = (0, crate::kit::ports::free());
        let text = |limit: usize| {
            let limits = format!("requests_per_minute: {limit}");
            with_tenants(&site, &field.farm.url(), &acme(&web, &limits, &["general"])).replace(
                "tenants:",
                &format!("  gone:\n    backends: [ {{ url: \"http://{refusing}/v1\" }} ]\n    breaker: {{ open: 60s, max_open: 60s }}\ntenants:"),
            )
        };
        let with_gone = |limit: usize| {
            text(limit).replace("models: { ", "models: { dead: { routes: [ { pool: gone, model: m } ] }, ")
        };
        site.write(&with_gone(9));
        let _process = site.start(&[]);
        let asked: Vec<_> = (0..7).map(|_| status(&site, KEY, "dead")).collect();
        assert!(asked.iter().all(|status| *status == 502), "{asked:?}");
        let state = || site.metric("byname_upstream_breaker{backend=\"127.0.0.1:") ;
        let before = state();
        for _ in 0..5 {
            site.reload();
        }
        assert_eq!((before, state()), (2.0, 2.0), "the breaker");
        let left: Vec<_> = (0..10).map(|_| status(&site, KEY, "general")).collect();
        // What no backend could answer has cost nothing.
        assert_eq!(left.iter().filter(|status| **status == 200).count(), 9, "{left:?}");
        "breaker open before and after, 9 of 9 requests in the window".to_owned()
    });
    table.case("RL-12", "a reload with one backend down", || {
        let (up, down) = (Field::new(1, 1), crate::kit::ports::free());
        let site = Site::new();
        let text = |number: usize| {
            site.generation(number, &up.farm.url(), "").replace(
                "backends: [ ",
                &format!("health: {{ interval: 2s, timeout: 2s, failures: 1 }}\n    backends: [ {{ url: \"http://{down}/v1\" }}, "),
            )
        };
        site.write(&text(0));
        let _process = site.start(&[]);
        let name = format!("byname_upstream_up{{backend=\"{down}\"");
        let since = Instant::now();
        while site.metric(&name) != 0.0 {
            assert!(since.elapsed() < Duration::from_secs(10), "it is not found to be down");
            pause();
        }
        let attempts = || site.metric(&format!("byname_upstream_attempts_total{{backend=\"{down}\""));
        let before = attempts();
        for number in 1..=20 {
            site.write(&text(number));
            site.reload();
            assert_eq!(ask_generation(&up, &site), Ok(number));
        }
        assert_eq!(attempts(), before);
        "it gets no request in 20 reloads".to_owned()
    });
    table.case("RL-13", "3,000 reloads", || {
        let field = Field::new(1, 1);
        let (site, process) = serving(&field, "");
        let some =
            |times: usize| (0..times).for_each(|_| assert!(reload_by_socket(&site).starts_with("ok ")));
        // The allocator takes its time to settle.
        some(1500);
        let before = memory(process.pid()) / 1024;
        some(1500);
        let after = memory(process.pid()) / 1024;
        let per_reload = (after as f64 - before as f64) / 1500.0;
        assert_eq!(site.status()["configuration"]["in_use"], 1, "old configurations are kept");
        assert!(per_reload <= 4.0, "{before} KiB, then {after} KiB");
        format!("{before} KiB after 1500, {after} KiB after 3000: {per_reload:.2} KiB a reload; one in use")
    });
    table.case("RL-14", "a stream that outlives 30 reloads", || {
        let upstream = Upstream::always(paused("go"));
        let (site, _process) = serving_from(&upstream.url(), "");
        let stream = open(&site, "general");
        for number in 1..=30 {
            site.write(&site.generation(number, &upstream.url(), ""));
            site.reload();
        }
        let in_use = || site.status()["configuration"]["in_use"].as_u64().unwrap_or_default();
        assert_eq!(in_use(), 2, "its own and the latest");
        upstream.open("go");
        let events = finish(stream);
        let since = Instant::now();
        while in_use() != 1 {
            assert!(since.elapsed() < Duration::from_secs(5), "its configuration is kept");
            pause();
        }
        format!("whole, {events} events; its configuration is held until its end, and then let go of")
    });
}

fn ask_generation(field: &Field, site: &Site) -> Result<usize, String> {
    let fate: Fate = field.runtime.block_on(async {
        let mut line = crowd::Line::connect(site.listen).await.map_err(|why| why.to_string())?;
        line.ask(&chat_request(KEY, &ask("general"))).await.map_err(|why| why.to_string())
    });
    generation(&fate?)
}

fn hundred_reloads() -> String {
    let field = Field::new(120, 100);
    let (site, _process) = serving(&field, "");
    let (fates, shorts, acknowledged) = field.runtime.block_on(async {
        let shorts = Shorts::start(site.listen, 200);
        let streams: Vec<_> = (0..500).map(|_| tokio::spawn(crowd::stream(site.listen))).collect();
        let since = Instant::now();
        while site.metric("byname_in_flight") < 500.0 {
            assert!(since.elapsed() < Duration::from_secs(10), "the streams do not begin");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let mut acknowledged = Vec::new();
        for number in 1..=100 {
            site.write(&site.generation(number, &field.farm.url(), ""));
            tokio::task::block_in_place(|| site.reload());
            // What is asked after the word has come is answered by what the word was about.
            let mut line = crowd::Line::connect(site.listen).await.expect("it listens");
            let answer = line.ask(&chat_request(KEY, &ask("general"))).await.map_err(|why| why.to_string());
            acknowledged.push((number, answer.and_then(|answer| generation(&answer))));
            tokio::time::sleep(Duration::from_millis(40)).await;
        }
        let mut fates = Vec::new();
        for stream in streams {
            fates.push(stream.await.expect("no client panics"));
        }
        (fates, shorts.end().await, acknowledged)
    });
    let late: Vec<_> = acknowledged.iter().filter(|(number, seen)| *seen != Ok(*number)).collect();
    assert!(late.is_empty(), "answered by an older configuration: {late:?}");
    let mixed = |fates: &[Fate]| {
        fates.iter().filter_map(|fate| generation(fate.as_ref().ok()?).err()).collect::<Vec<_>>()
    };
    assert_eq!((faults(&fates), faults(&shorts)), (Vec::new(), Vec::new()));
    assert_eq!((mixed(&fates), mixed(&shorts)), (Vec::new(), Vec::new()));
    format!(
        "{} streams and {} requests: none failed, none mixed, none of an older configuration",
        fates.len(),
        shorts.len()
    )
}
