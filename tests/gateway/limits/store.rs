//! Two gateways, one Redis: the limit is one, and the Redis is nobody's single point of failure.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use super::setup::Setup;
use super::{ask_with_cap, assert_limited, gated, left, quick, settled};
use crate::kit::KEY;
use crate::kit::client::{ask, chat_request};
use crate::kit::daemon::Daemon;
use crate::kit::redis::Redis;
use crate::kit::upstream::Upstream;

/// Waits until this takes place within one minute of the clock, by which the store counts.
pub fn within_a_minute(room: Duration) {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_millis();
    let left = Duration::from_millis(60_000 - u64::try_from(now % 60_000).expect("below 60,000"));
    if left < room {
        thread::sleep(left + Duration::from_millis(20));
    }
}

fn setup(upstream: &Upstream, redis: &Redis, timeout: &str) -> Setup {
    Setup::new()
        .pool("main", &[upstream], "")
        .store(&format!("redis: \"{}\", timeout: {timeout}, instances: 2", redis.url()))
}

fn is_up(daemon: &Daemon) {
    daemon.wait_metric("byname_limits_store_up", 1.0);
}

fn is_down(daemon: &Daemon) {
    daemon.wait_metric("byname_limits_store_up", 0.0);
}

/// Waits until the store has these counts: what requests come to is told a moment after they have ended.
fn wait_for(redis: &Redis, counts: &[(String, &str)]) {
    let since = Instant::now();
    while counts.iter().any(|(key, expected)| redis.ask(&["GET", key]) != *expected) {
        let now: Vec<_> = counts.iter().map(|(key, _)| (key, redis.ask(&["GET", key]))).collect();
        assert!(since.elapsed() < Duration::from_secs(5), "{now:?}");
        thread::sleep(Duration::from_millis(20));
    }
}

/// Asks so often, one after the other; how many passed. All others are refused by the limit.
fn passed(daemon: &Daemon, alias: &str, times: usize) -> usize {
    let mut client = daemon.client();
    let mut served = 0;
    for _ in 0..times {
        let answer = client.chat(&ask(alias));
        if answer.status == 200 {
            served += 1;
        } else {
            assert_limited(&answer, alias);
        }
    }
    served
}

#[test]
fn two_gateways_let_a_hundred_through_in_sum() {
    let (upstream, redis) = (quick(), Redis::start());
    let setup = setup(&upstream, &redis, "1s").alias("general", &["main"], "requests_per_minute: 100");
    let daemons = [setup.start(), setup.start()];
    daemons.iter().for_each(is_up);
    within_a_minute(Duration::from_secs(8));
    let served: usize = thread::scope(|scope| {
        let asking: Vec<_> = (0..32)
            .map(|number| {
                scope.spawn({
                    let daemon = &daemons[number % 2];
                    move || passed(daemon, "general", 8)
                })
            })
            .collect();
        asking.into_iter().map(|one| one.join().expect("only 200 and 429")).sum()
    });
    assert_eq!(served, 100);
    assert_eq!(upstream.requests().len(), 100);
    for daemon in &daemons {
        assert_eq!(daemon.metric_sum("byname_limits_store_seconds_count", &[("outcome", "error")]), 0.0);
    }
}

#[test]
fn a_good_store_is_told_of_once_and_a_bad_one_is_told_why() {
    let (upstream, redis) = (quick(), Redis::start());
    let daemon = setup(&upstream, &redis, "1s").alias("general", &["main"], "").start();
    is_up(&daemon);
    // The metric comes after the words, but those are written by another thread.
    thread::sleep(Duration::from_millis(300));
    assert_eq!(daemon.events("store"), ["info the limits store is up"]);

    let nobody = Upstream::refusing();
    let daemon = Setup::new()
        .pool("main", &[&upstream], "")
        .store(&format!("redis: \"redis://{}\", timeout: 1s, instances: 2", nobody.addr()))
        .alias("general", &["main"], "")
        .start();
    thread::sleep(Duration::from_millis(800));
    let told = daemon.events("store");
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(told[0].starts_with("warn the limits store cannot be used: "), "{told:?}");
    assert!(told[0].ends_with("; this gateway goes on by its share"), "{told:?}");
    assert_eq!(daemon.metric("byname_limits_store_up"), Some(0.0));
}

#[test]
fn what_is_left_is_left_for_all_as_far_as_the_store_has_told() {
    let (upstream, redis) = (quick(), Redis::start());
    let setup = setup(&upstream, &redis, "1s")
        .alias("general", &["main"], "")
        .tenant("requests_per_minute: 100, tokens_per_day: 100000");
    let daemons = [setup.start(), setup.start()];
    daemons.iter().for_each(is_up);
    within_a_minute(Duration::from_secs(8));
    assert_eq!(passed(&daemons[0], "general", 8), 8);
    settled(&daemons[0]);
    let day = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs() / (24 * 60 * 60);
    wait_for(&redis, &[(format!("byname:t/acme:tokens_per_day:d{day}"), "1360")]);
    let answer = daemons[1].client().chat(&ask("general"));
    settled(&daemons[1]);
    assert_eq!(answer.header("x-ratelimit-remaining-requests"), Some("91"));
    assert_eq!(left(&daemons[1], "acme", "", "requests_per_minute"), 91);
    assert_eq!(left(&daemons[1], "acme", "", "tokens_per_day"), 100_000 - 9 * 170);
    // The first has not asked since.
    assert_eq!(left(&daemons[0], "acme", "", "requests_per_minute"), 92);
}

#[test]
fn what_is_shared_is_settled_and_given_back() {
    let redis = Redis::start();
    let (upstream, failing) = (quick(), Upstream::always(crate::kit::answers::error_answer(500)));
    let setup = setup(&upstream, &redis, "1s")
        .pool("failing", &[&failing], "")
        .alias("general", &["main"], "")
        .alias("failing", &["failing"], "")
        .tenant("requests_per_minute: 10, tokens_per_minute: 10000, tokens_per_day: 50000");
    let daemons = [setup.start(), setup.start()];
    daemons.iter().for_each(is_up);
    within_a_minute(Duration::from_secs(8));
    for daemon in &daemons {
        for (alias, status) in [("general", 200), ("failing", 502)] {
            assert_eq!(daemon.client().chat(&ask(alias)).status, status);
            // A young store takes what this gateway alone has counted for at least as much as it has.
            settled(daemon);
        }
    }
    let minute = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs() / 60;
    let day = minute / (24 * 60);
    let keys = [
        (format!("byname:t/acme:requests_per_minute:{minute}"), "2"),
        (format!("byname:t/acme:tokens_per_minute:{minute}"), "340"),
        (format!("byname:t/acme:tokens_per_day:d{day}"), "340"),
    ];
    wait_for(&redis, &keys);
}

#[test]
fn a_pool_that_fails_is_charged_a_request_and_no_tokens_in_the_store() {
    let redis = Redis::start();
    let (upstream, failing) = (quick(), Upstream::always(crate::kit::answers::error_answer(503)));
    let limits = "requests_per_minute: 100, tokens_per_minute: 10000";
    let daemon = Setup::new()
        .pool("first", &[&failing], limits)
        .pool("second", &[&upstream], limits)
        .alias("general", &["first", "second"], "")
        .store(&format!("redis: \"{}\", timeout: 1s, instances: 2", redis.url()))
        .start();
    is_up(&daemon);
    within_a_minute(Duration::from_secs(8));
    assert_eq!(daemon.client().chat(&ask("general")).status, 200);
    let minute = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs() / 60;
    let keys = [
        (format!("byname:p/first:requests_per_minute:{minute}"), "1"),
        (format!("byname:p/first:tokens_per_minute:{minute}"), "0"),
        (format!("byname:p/second:requests_per_minute:{minute}"), "1"),
        (format!("byname:p/second:tokens_per_minute:{minute}"), "170"),
    ];
    wait_for(&redis, &keys);
}

#[test]
fn more_than_a_minute_has_passes_once_and_then_blocks_everywhere() {
    let (upstream, redis) = (quick(), Redis::start());
    let setup = setup(&upstream, &redis, "1s").alias("general", &["main"], "tokens_per_minute: 100");
    let daemons = [setup.start(), setup.start()];
    daemons.iter().for_each(is_up);
    within_a_minute(Duration::from_secs(8));
    assert_eq!(daemons[0].client().chat(&ask_with_cap("general", 5000)).status, 200);
    settled(&daemons[0]);
    let minute = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs() / 60;
    wait_for(&redis, &[(format!("byname:a/acme/general:tokens_per_minute:{minute}"), "170")]);
    for daemon in &daemons {
        assert_limited(&daemon.client().chat(&ask_with_cap("general", 5000)), "general");
        assert_limited(&daemon.client().chat(&ask_with_cap("general", 1)), "general");
    }
}

#[test]
fn each_gateway_has_its_part_of_the_slots() {
    let (upstream, redis) = (gated(), Redis::start());
    let setup = setup(&upstream, &redis, "1s").alias("general", &["main"], "concurrent: 4");
    let daemons = [setup.start(), setup.start()];
    let mut running = Vec::new();
    for daemon in &daemons {
        is_up(daemon);
        for _ in 0..2 {
            let mut client = daemon.client();
            client.send(&chat_request(KEY, &ask("general")));
            running.push(client);
        }
    }
    upstream.wait_requests(4);
    for daemon in &daemons {
        assert_limited(&daemon.client().chat(&ask("general")), "general");
    }
    upstream.open("go");
    for client in &mut running {
        assert_eq!(client.read().status, 200);
    }
}

#[test]
fn what_passed_while_the_store_was_away_counts_when_it_is_back() {
    for empty in [false, true] {
        let (upstream, mut redis) = (quick(), Redis::start());
        let setup = setup(&upstream, &redis, "20ms").alias("general", &["main"], "requests_per_minute: 100");
        let daemons = [setup.start(), setup.start()];
        daemons.iter().for_each(is_up);
        within_a_minute(Duration::from_secs(25));
        if !empty {
            // Old enough to be believed.
            redis.ask(&["SET", "byname:born", "1"]);
        }
        let [one, other] = &daemons;
        let mut served = passed(one, "general", 40);
        assert_eq!(served, 40);
        if empty {
            redis.kill()
        } else {
            redis.hold()
        }
        daemons.iter().for_each(is_down);
        // Half of the limit each, of which one gateway has used 40.
        let (more_of_one, of_other) = (passed(one, "general", 60), passed(other, "general", 60));
        assert_eq!((more_of_one, of_other), (10, 50), "empty: {empty}");
        served += more_of_one + of_other;
        if empty {
            redis.restart()
        } else {
            redis.go_on()
        }
        daemons.iter().for_each(is_up);
        served += passed(one, "general", 60) + passed(other, "general", 60);
        assert!(served <= 150, "empty: {empty}: the limit and one share are 150, {served} passed");
    }
}

#[test]
fn a_store_that_comes_back_empty_does_not_give_the_minute_away_again() {
    let (upstream, mut redis) = (quick(), Redis::start());
    let setup = setup(&upstream, &redis, "1s").alias("general", &["main"], "requests_per_minute: 100");
    let daemons = [setup.start(), setup.start()];
    daemons.iter().for_each(is_up);
    // Old enough to be believed.
    redis.ask(&["SET", "byname:born", "1"]);
    within_a_minute(Duration::from_secs(20));
    let [one, other] = &daemons;
    assert_eq!(passed(one, "general", 110), 100);
    redis.kill();
    daemons.iter().for_each(is_down);
    assert_eq!(passed(other, "general", 60), 50);
    redis.restart();
    daemons.iter().for_each(is_up);
    // The one that has used less asks first.
    assert_eq!((passed(other, "general", 20), passed(one, "general", 20)), (0, 0));
    redis.ask(&["SET", "byname:born", "1"]);
    assert_eq!((passed(other, "general", 20), passed(one, "general", 20)), (0, 0));
}

#[test]
fn no_request_fails_or_waits_for_a_store_that_is_held_killed_and_restarted() {
    const LIMIT: usize = 100;
    let (upstream, mut redis) = (quick(), Redis::start());
    let setup = setup(&upstream, &redis, "5ms").alias("narrow", &["main"], "requests_per_minute: 100").alias(
        "wide",
        &["main"],
        "requests_per_minute: 1000000, tokens_per_minute: 1000000000",
    );
    let daemons = [setup.start(), setup.start()];
    daemons.iter().for_each(is_up);
    within_a_minute(Duration::from_secs(20));
    let over = AtomicBool::new(false);
    let (narrow, wide) = (AtomicUsize::new(0), AtomicUsize::new(0));
    thread::scope(|scope| {
        for number in 0..8 {
            let daemon = &daemons[number % 2];
            let (over, narrow, wide) = (&over, &narrow, &wide);
            scope.spawn(move || {
                let mut client = daemon.client();
                while !over.load(Ordering::Relaxed) {
                    for (alias, served) in [("narrow", narrow), ("wide", wide)] {
                        let since = Instant::now();
                        let answer = client.chat(&ask(alias));
                        assert!(since.elapsed() < Duration::from_secs(5), "{alias}: {:?}", since.elapsed());
                        match answer.status {
                            200 => _ = served.fetch_add(1, Ordering::Relaxed),
                            _ => _ = assert_limited(&answer, alias),
                        }
                        assert!(alias == "narrow" || answer.status == 200, "{}", answer.everything());
                    }
                    thread::sleep(Duration::from_millis(2));
                }
            });
        }
        // Whatever happens here, the others stop.
        let story = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            let all = |is: fn(&Daemon)| daemons.iter().for_each(is);
            thread::sleep(Duration::from_millis(300));
            redis.hold();
            all(is_down);
            thread::sleep(Duration::from_secs(1));
            redis.go_on();
            all(is_up);
            thread::sleep(Duration::from_millis(500));
            redis.kill();
            all(is_down);
            thread::sleep(Duration::from_secs(1));
            redis.restart();
            all(is_up);
            thread::sleep(Duration::from_secs(1));
        }));
        over.store(true, Ordering::Relaxed);
        if let Err(panic) = story {
            std::panic::resume_unwind(panic);
        }
    });
    let narrow = narrow.into_inner();
    assert!((LIMIT / 2..=LIMIT + LIMIT / 2).contains(&narrow), "{narrow}");
    assert!(wide.into_inner() > 100);
}

#[test]
fn a_store_that_was_never_there_stops_nobody() {
    let (upstream, mut redis) = (quick(), Redis::start());
    redis.kill();
    let daemon =
        setup(&upstream, &redis, "5ms").alias("general", &["main"], "requests_per_minute: 10").start();
    assert_eq!(daemon.metric("byname_limits_store_up"), Some(0.0));
    let status = || daemon.ask_admin("/status.json").json()["limits_store"].clone();
    let down = || daemon.notices().iter().filter(|notice| notice.starts_with("act limits store ")).count();
    assert_eq!((status(), down()), ("down".into(), 1), "{:?}", daemon.notices());
    assert_eq!(passed(&daemon, "general", 8), 5);
    redis.restart();
    is_up(&daemon);
    assert_eq!((status(), down()), ("up".into(), 0), "{:?}", daemon.notices());
    assert_eq!(left(&daemon, "acme", "general", "requests_per_minute"), 5);
}
