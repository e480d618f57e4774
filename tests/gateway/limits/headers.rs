//! What is left, as clients are told: on every answer to them, in the head, and nowhere else.

use super::setup::Setup;
use super::{assert_limited, quick};
use crate::kit::client::{Response, ask, ask_stream};
use crate::kit::{KEY, sse};

const NAMES: [&str; 6] = [
    "x-ratelimit-limit-requests",
    "x-ratelimit-remaining-requests",
    "x-ratelimit-reset-requests",
    "x-ratelimit-limit-tokens",
    "x-ratelimit-remaining-tokens",
    "x-ratelimit-reset-tokens",
];

/// The numbers in order, with the resets checked for their form.
#[track_caller]
fn told(answer: &Response) -> [u64; 4] {
    let header = |name: &str| {
        answer.header(name).unwrap_or_else(|| panic!("{name} is missing:\n{}", answer.everything()))
    };
    for name in [NAMES[2], NAMES[5]] {
        let reset = header(name);
        let seconds = duration(reset).unwrap_or_else(|| panic!("{name}: {reset}"));
        assert!(seconds <= 121.0, "{name}: {reset}");
    }
    [NAMES[0], NAMES[1], NAMES[3], NAMES[4]].map(|name| header(name).parse().expect("a number"))
}

/// The seconds of `120ms`, `7.5s`, `1m30.25s`; nothing for anything else.
fn duration(text: &str) -> Option<f64> {
    if let Some(millis) = text.strip_suffix("ms") {
        let millis: u32 = millis.parse().ok().filter(|millis| *millis < 1000)?;
        return Some(f64::from(millis) / 1000.0);
    }
    let (minutes, seconds) =
        text.split_once('m').map_or((Some(0), text), |(m, s)| (m.parse::<u32>().ok(), s));
    let seconds: f64 = seconds.strip_suffix('s')?.parse().ok()?;
    Some(f64::from(minutes?) * 60.0 + seconds).filter(|_| seconds < 60.0)
}

#[track_caller]
fn says_nothing(answer: &Response) {
    let raw = String::from_utf8_lossy(&answer.head.raw).to_lowercase();
    assert!(!raw.contains("ratelimit"), "{raw}");
}

#[test]
fn every_answer_says_what_is_left() {
    let upstream = quick();
    let daemon = Setup::alias_limits(&upstream, "requests_per_minute: 3, tokens_per_minute: 90000")
        .tenant("requests_per_minute: 10, tokens_per_minute: 80000")
        .start();
    let mut client = daemon.client();
    let whole = client.chat(&ask("general"));
    let [limit, remaining, of_tokens, tokens] = told(&whole);
    // The tightest of each kind.
    assert_eq!((whole.status, limit, remaining, of_tokens), (200, 3, 2, 80_000));
    assert!((79_000..80_000).contains(&tokens), "{tokens}");
    let stream = client.chat(&ask_stream("general"));
    assert_eq!((stream.status, sse::text(&stream.body).as_str()), (200, "ok"));
    let [limit, remaining, ..] = told(&stream);
    assert_eq!((limit, remaining), (3, 1));
    assert_eq!(client.chat(&ask("general")).status, 200);
    for body in [ask("general"), ask_stream("general")] {
        let refused = client.chat(&body);
        assert_limited(&refused, "general");
        let [limit, remaining, ..] = told(&refused);
        assert_eq!((limit, remaining), (3, 0));
    }
    // The list belongs to the tenant, a model's page to the alias as well.
    let list = client.get(KEY, "/v1/models");
    let [limit, remaining, ..] = told(&list);
    assert_eq!((list.status, limit, remaining), (200, 10, 7));
    let [limit, remaining, ..] = told(&client.get(KEY, "/v1/models/general"));
    assert_eq!((limit, remaining), (3, 0));
}

#[test]
fn an_answer_that_took_nothing_says_that_all_is_left() {
    let upstream = quick();
    let daemon = Setup::alias_limits(&upstream, "requests_per_minute: 3, tokens_per_minute: 50").start();
    let page = daemon.client().get(KEY, "/v1/models/general");
    assert_eq!(told(&page), [3, 3, 50, 50]);
    assert_eq!((page.header(NAMES[2]), page.header(NAMES[5])), (Some("0s"), Some("0s")));
}

#[test]
fn only_the_kinds_that_are_limited_are_told() {
    let upstream = quick();
    let daemon = Setup::alias_limits(&upstream, "requests_per_minute: 3, concurrent: 5").start();
    let answer = daemon.client().chat(&ask("general"));
    assert_eq!(answer.header(NAMES[1]), Some("2"));
    assert_eq!(answer.header(NAMES[4]), None);
}

#[test]
fn without_limits_or_when_it_is_turned_off_nothing_is_told() {
    let upstream = quick();
    let limits = "requests_per_minute: 2, tokens_per_minute: 80000";
    let off = Setup::alias_limits(&upstream, limits).tenant(limits).server("rate_limit_headers: false");
    for setup in [Setup::alias_limits(&upstream, ""), Setup::alias_limits(&upstream, "concurrent: 9"), off] {
        let daemon = setup.start();
        let mut client = daemon.client();
        for body in [ask("general"), ask_stream("general"), ask("general")] {
            says_nothing(&client.chat(&body));
        }
        says_nothing(&client.get(KEY, "/v1/models"));
        says_nothing(&client.get(KEY, "/v1/models/general"));
    }
}

#[test]
fn a_pool_s_limits_are_nobody_s_business() {
    let upstream = quick();
    let daemon = Setup::new()
        .pool("main", &[&upstream], "requests_per_minute: 2, tokens_per_minute: 90000")
        .alias("general", &["main"], "")
        .start();
    for _ in 0..3 {
        says_nothing(&daemon.client().chat(&ask("general")));
    }
}
