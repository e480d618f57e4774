//! Thousands of requests whose clients leave at any moment: in the end nothing is taken, and exactly what the
//! log says was charged has been charged.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};

use super::budgets::well_before_midnight;
use super::setup::{KEY_APP, Setup};
use super::{body, left, settled, words_then};
use crate::kit::KEY;
use crate::kit::answers::{error_answer, json_answer, sse_answer};
use crate::kit::client::{Client, chat_request};
use crate::kit::daemon::Daemon;
use crate::kit::folder::Folder;
use crate::kit::redis::Redis;
use crate::kit::script::Step;
use crate::kit::upstream::{Seen, Upstream};

/// How many requests; more with `LIMITS_MANY`.
const MANY: usize = 2000;
const THREADS: usize = 32;
const TOKENS: u64 = 1_000_000_000;
const REQUESTS: u64 = 1_000_000;

/// What a client does with one request.
#[derive(Debug, Clone, Copy)]
enum Way {
    /// Reads its answer.
    Stay,
    /// Leaves before its request is whole.
    HalfARequest,
    /// Leaves after so many milliseconds: in line, before or during the answer.
    After(u64),
    /// Leaves after so many events of a stream.
    MidStream(usize),
}

/// Numbers that look random and are the same in every run.
struct Dice(u64);

impl Dice {
    fn below(&mut self, most: u64) -> u64 {
        // Marsaglia's xorshift64.
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % most
    }

    fn way(&mut self) -> Way {
        match self.below(8) {
            0..=2 => Way::Stay,
            3 => Way::HalfARequest,
            4 | 5 => Way::After(self.below(40)),
            _ => Way::MidStream(1 + usize::try_from(self.below(4)).expect("below 4")),
        }
    }
}

fn model(seen: &Seen) -> Vec<Step> {
    let pause = |millis: usize| Step::Pause(Duration::from_millis(millis as u64));
    let mut steps = vec![pause(seen.index % 7)];
    steps.extend(match (seen.index % 10, seen.wants_stream()) {
        (3, _) => error_answer(500),
        (6, true) => words_then(&["two ", "words "], vec![Step::Close]),
        (_, true) => {
            let mut steps = words_then(&["some ", "words "], vec![pause(5)]);
            // The same events again, and what ends them.
            steps.extend(sse_answer(&["more ", "words"]).into_iter().skip(2));
            steps
        }
        (_, false) => json_answer("ok"),
    });
    steps
}

/// What a run came to.
struct Outcome {
    /// Requests that were charged, by the log.
    requests: u64,
    /// Tokens that were charged, by the log.
    tokens: u64,
    took: Duration,
}

#[test]
fn whoever_leaves_whenever_the_counts_are_exact_in_the_end() {
    well_before_midnight();
    let (upstream, other, folder) = (Upstream::start(model), Upstream::start(model), Folder::new("state"));
    let daemon = setup(&upstream, &other).server(&format!("state_dir: \"{}\"", folder.display())).start();
    let Outcome { requests, tokens, took } = run(&daemon);
    assert_eq!(TOKENS - left(&daemon, "acme", "", "tokens_per_day"), tokens);
    // Longer than that, and a part of it has faded.
    if took < Duration::from_secs(45) {
        assert_eq!(TOKENS - left(&daemon, "acme", "", "tokens_per_minute"), tokens);
        assert_eq!(REQUESTS - left(&daemon, "acme", "", "requests_per_minute"), requests);
    }
}

#[test]
fn and_so_they_are_in_the_store() {
    well_before_midnight();
    let (upstream, other, redis) = (Upstream::start(model), Upstream::start(model), Redis::start());
    let daemon = setup(&upstream, &other).store(&format!("redis: \"{}\", timeout: 1s", redis.url())).start();
    daemon.wait_metric("byname_limits_store_up", 1.0);
    // A store that is ten seconds old goes by nothing but what it is told.
    redis.ask(&["SET", "byname:born", "1"]);
    let Outcome { requests, tokens, took } = run(&daemon);
    let minute = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs() / 60;
    let count = |key: &str| redis.ask(&["GET", key]).parse::<u64>().unwrap_or(0);
    // It may have begun in the minute before.
    let of_minutes = |kind: &str| -> u64 {
        (minute - 2..=minute).map(|minute| count(&format!("byname:t/acme:{kind}:{minute}"))).sum()
    };
    let now = || {
        let day = count(&format!("byname:t/acme:tokens_per_day:d{}", minute / (24 * 60)));
        (day, of_minutes("tokens_per_minute"), of_minutes("requests_per_minute"))
    };
    let is_right = |(day, of_tokens, of_requests)| {
        day == tokens && (took > Duration::from_secs(45) || (of_tokens, of_requests) == (tokens, requests))
    };
    let since = Instant::now();
    while !is_right(now()) {
        assert!(since.elapsed() < Duration::from_secs(5), "{:?} and not {tokens}, {requests}", now());
        thread::sleep(Duration::from_millis(20));
    }
}

/// Lets clients come and go, sees that nothing is held in the end, and says what was charged.
fn run(daemon: &Daemon) -> Outcome {
    let many = std::env::var("LIMITS_MANY").ok().and_then(|many| many.parse().ok()).unwrap_or(MANY);
    let (next, began) = (AtomicUsize::new(0), Instant::now());
    thread::scope(|scope| {
        for seed in 1..=THREADS as u64 {
            let next = &next;
            scope.spawn(move || {
                let mut dice = Dice(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15));
                while next.fetch_add(1, Ordering::Relaxed) < many {
                    one(daemon, &mut dice);
                }
            });
        }
    });
    settled(daemon);
    let took = began.elapsed();
    assert_eq!(daemon.metric_sum("byname_in_flight", &[]), 0.0);
    assert_eq!(daemon.metric_sum("byname_log_lines_dropped_total", &[]), 0.0);
    let slots = [
        ("acme", "general", "concurrent", 8),
        ("acme", "", "concurrent", 24),
        ("acme", "", "web/concurrent", 20),
        ("acme", "", "app/concurrent", 20),
        ("", "", "main/concurrent", 12),
        ("", "", "other/concurrent", 12),
    ];
    for (tenant, alias, limit, most) in slots {
        assert_eq!(left(daemon, tenant, alias, limit), most, "{limit} of {tenant} {alias}");
    }
    let log = whole_log(daemon);
    let (requests, tokens) = charged(&log);
    let [good, limited, gone, failed] = [200, 429, 499, 502]
        .map(|status: u64| log.iter().filter(|line| line["status"].as_u64() == Some(status)).count());
    println!(
        "{} requests in {took:?}: 200 {good}, 429 {limited}, 499 {gone}, 502 {failed}; \
         {requests} charged, {tokens} tokens",
        log.len()
    );
    assert!([good, limited, gone].iter().all(|count| *count > 0), "too few ways to end");
    Outcome { requests, tokens, took }
}

/// Everything at once: slots on every level, a line, two pools that fail now and then.
fn setup(upstream: &Upstream, other: &Upstream) -> Setup {
    Setup::new()
        .pool("main", &[upstream], "concurrent: 12")
        .pool("other", &[other], "concurrent: 12")
        .queued("general", &["main", "other"], "concurrent: 8", "wait: 50ms, depth: 12")
        .queued("loose", &["main", "other"], "", "wait: 50ms, depth: 6")
        .tenant(&format!(
            "concurrent: 24, requests_per_minute: {REQUESTS}, tokens_per_minute: {TOKENS}, tokens_per_day: {TOKENS}"
        ))
        .web("concurrent: 20")
        .app("concurrent: 20")
}

/// The log when nothing more is written.
fn whole_log(daemon: &Daemon) -> Vec<Value> {
    loop {
        let lines = daemon.log_lines(1);
        thread::sleep(Duration::from_millis(200));
        if daemon.log_lines(1).len() == lines.len() {
            return lines;
        }
    }
}

/// The requests and tokens that were charged by the log.
fn charged(log: &[Value]) -> (u64, u64) {
    let paid = log.iter().filter_map(|line| line["charged_tokens"].as_u64().map(|tokens| (line, tokens)));
    paid.fold((0, 0), |(requests, sum), (line, tokens)| {
        // A failure of ours costs nothing, and what the model says it used is what is paid.
        assert!(matches!(line["status"].as_u64(), Some(200 | 499)), "{line}");
        if line["token_source"] == "upstream" {
            let said = |name: &str| line[name].as_u64().unwrap_or(0);
            assert_eq!(tokens, said("prompt_tokens") + said("completion_tokens"), "{line}");
        }
        (requests + 1, sum + tokens)
    })
}

fn one(daemon: &Daemon, dice: &mut Dice) {
    let way = dice.way();
    let (key, alias) = ([KEY, KEY_APP][dice.below(2) as usize], ["general", "loose"][dice.below(2) as usize]);
    let stream = matches!(way, Way::MidStream(_)) || dice.below(2) == 0;
    let request = chat_request(key, &body(alias, "Hello", json!({"stream": stream})));
    let Ok(mut client) = Client::try_connect(daemon.addr()) else { return };
    match way {
        Way::Stay => {
            client.send(&request);
            let answer = client.read();
            assert!(matches!(answer.status, 200 | 429 | 502), "{}", answer.everything());
            return;
        }
        Way::HalfARequest => client.send(&request[..request.len() - 20]),
        Way::After(millis) => {
            client.send(&request);
            thread::sleep(Duration::from_millis(millis));
        }
        Way::MidStream(events) => {
            client.send(&request);
            let head = client.read_head();
            if head.word(1) == "200" {
                for _ in 0..events {
                    client.event();
                }
            }
        }
    }
    if dice.below(2) == 0 { client.reset() } else { drop(client) }
}
