//! Choosing, by the numbers.

use std::collections::HashMap;
use std::time::Duration;

use super::*;
use crate::names::BackendName;
use crate::rules::attempt::{Attempt, Choice, Nobody, Tried, Turned, choose};
use crate::rules::balance::Turns;
use crate::rules::catalog::Route;
use crate::rules::credential::Sure;
use crate::rules::reach::Reach;
use crate::wire::splice::JsonText;

const RULES: BreakerRules = BreakerRules {
    failures: 5,
    error_rate: 50,
    open: Duration::from_secs(1),
    max_open: Duration::from_secs(8),
    slow_start: Duration::ZERO,
};

fn at(millis: u64) -> Tick {
    Tick::ZERO.plus(Duration::from_secs(1000) + Duration::from_millis(millis))
}

fn pool(name: &str, balance: Balance, weights: &[u16]) -> Arc<Pool> {
    let second = Duration::from_secs(1);
    let metrics = crate::metrics::Metrics::new().unwrap();
    let backends = weights.iter().enumerate().map(|(n, weight)| Backend {
        name: BackendName::new(format!("{name}{n}")),
        weight: *weight,
        reach: Reach { tls: None, h2: false, group: 0 },
        credential: Arc::default(),
        metrics: metrics.backend("p", "b"),
    });
    let pool = Arc::new(Pool::new(PoolParts {
        name: PoolName::new(name),
        backends: backends.collect(),
        balance,
        breaker: RULES,
        timeouts: Timeouts { connect: second, first_byte: second, idle: second, total: second },
        retry: RetryRules { attempts: 3, resend: 1, budget: 20, on_timeout: true },
        forward: Forward::default(),
        gate: None,
        passing: Passing::Kept,
        provider: "openai",
    }));
    let places: Vec<_> = (0..weights.len()).map(|backend| place(backend, backend)).collect();
    pool.settle(&places);
    pool
}

fn place(backend: usize, host: usize) -> Place {
    let address = ([127, 0, 0, 1], u16::try_from(host + 1).unwrap()).into();
    Place { backend, address, vitals: Arc::default() }
}

fn wish(now: Tick) -> Wish {
    Wish { now, kind: Kind::Stream, turns: Turns::Take }
}

fn pick(pool: &Arc<Pool>, now: Tick) -> Option<Attempt> {
    pool.pick(wish(now), Mood::Calm, |_| true)
}

fn pick_only(pool: &Arc<Pool>, backend: usize, now: Tick) -> Option<Attempt> {
    pool.pick(wish(now), Mood::Calm, |member| member.backend == backend)
}

fn ask(pool: &Arc<Pool>, now: Tick) -> Option<usize> {
    pick(pool, now).map(|attempt| attempt.member().backend)
}

fn shares(pool: &Arc<Pool>, rounds: usize) -> HashMap<usize, usize> {
    (0..rounds).filter_map(|_| ask(pool, at(0))).fold(HashMap::new(), |mut shares, backend| {
        *shares.entry(backend).or_default() += 1;
        shares
    })
}

const ALL: [Balance; 3] = [Balance::RoundRobin, Balance::LeastInflight, Balance::P2cEwma];

#[test]
fn turns_are_taken_by_weight_and_evenly_interleaved() {
    let pool = pool("a", Balance::RoundRobin, &[3, 1]);
    let order: Vec<_> = (0..8).filter_map(|_| ask(&pool, at(0))).collect();
    assert_eq!(order, [0, 1, 0, 0, 0, 1, 0, 0]);
    let equals = self::pool("b", Balance::RoundRobin, &[1, 1, 1]);
    assert_eq!((0..6).filter_map(|_| ask(&equals, at(0))).collect::<Vec<_>>(), [0, 1, 2, 0, 1, 2]);
}

#[test]
fn every_way_of_choosing_honours_weights_also_while_one_is_out() {
    for balance in ALL {
        let pool = pool("a", balance, &[1, 2, 5]);
        let full = shares(&pool, 8000);
        for (backend, weight) in [(0, 1), (1, 2), (2, 5)] {
            let share = full[&backend];
            assert!(share.abs_diff(weight * 1000) < 150, "{balance:?}: {full:?}");
        }
        pool.members()[1].vitals.set_up(false);
        let rest = shares(&pool, 6000);
        assert!(!rest.contains_key(&1), "{balance:?}");
        assert!(rest[&0].abs_diff(1000) < 150 && rest[&2].abs_diff(5000) < 150, "{balance:?}: {rest:?}");
    }
}

#[test]
fn one_that_returns_does_not_catch_up() {
    for balance in [Balance::RoundRobin, Balance::LeastInflight] {
        let pool = pool("a", balance, &[1, 1]);
        pool.members()[1].vitals.set_up(false);
        shares(&pool, 1000);
        pool.members()[1].vitals.set_up(true);
        let both = shares(&pool, 100);
        assert!(both[&0].abs_diff(50) <= 1, "{balance:?}: {both:?}");
    }
}

#[test]
fn least_inflight_goes_by_requests_for_the_weight() {
    let pool = pool("a", Balance::LeastInflight, &[1, 3]);
    let held: Vec<Attempt> = (0..40).filter_map(|_| pick(&pool, at(0))).collect();
    let members = pool.members();
    assert_eq!((members[0].vitals.in_flight(), members[1].vitals.in_flight()), (10, 30));
    drop(held);
    assert_eq!((members[0].vitals.in_flight(), members[1].vitals.in_flight()), (0, 0));
}

fn teach(pool: &Arc<Pool>, times: &[u64]) {
    for (member, millis) in pool.members().iter().zip(times) {
        (0..50).for_each(|_| {
            member.vitals.speed(Kind::Stream).latency.observe(Duration::from_millis(*millis), at(0))
        });
    }
    pool.survey(at(0));
}

#[test]
fn a_slow_backend_is_the_last_resort_of_least_inflight_and_is_tried_again() {
    let pool = pool("a", Balance::LeastInflight, &[1, 1, 1]);
    let vitals = pool.members()[2].vitals.clone();
    teach(&pool, &[20, 25, 200]);
    assert!(vitals.speed(Kind::Stream).is_slow());
    let held: Vec<_> = (0..100).filter_map(|_| pick(&pool, at(100))).collect();
    assert!(held.iter().all(|attempt| attempt.member().backend != 2));
    // After a while, one sees whether it has recovered.
    let held: Vec<_> = (0..100).filter_map(|_| pick(&pool, at(6000))).collect();
    assert_eq!(held.iter().filter(|attempt| attempt.member().backend == 2).count(), 1);
    drop(held);
    assert_eq!(pick_only(&pool, 2, at(6001)).map(|a| a.member().backend), Some(2));
    (0..50).for_each(|_| vitals.speed(Kind::Stream).latency.observe(Duration::from_millis(20), at(7000)));
    pool.survey(at(0));
    assert!(!vitals.speed(Kind::Stream).is_slow());
}

#[test]
fn at_most_half_of_a_pool_is_slow() {
    for times in [&[20, 900][..], &[20, 900, 900], &[900, 900, 20, 20], &[20, 20, 900, 900, 900]] {
        let pool = pool("a", Balance::LeastInflight, &vec![1; times.len()]);
        teach(&pool, times);
        let slow = pool.members().iter().filter(|member| member.vitals.speed(Kind::Stream).is_slow()).count();
        assert!(slow <= times.len() / 2, "{times:?}");
    }
    let alone = pool("a", Balance::LeastInflight, &[1]);
    teach(&alone, &[900]);
    assert!(!alone.members()[0].vitals.speed(Kind::Stream).is_slow());
}

#[test]
fn two_choices_prefer_the_sooner_first_byte() {
    let pool = pool("a", Balance::P2cEwma, &[1, 1, 1]);
    teach(&pool, &[20, 20, 200]);
    let shares = shares(&pool, 1000);
    assert_eq!(shares.get(&2), None, "{shares:?}");
    // Unless the others are that much busier.
    let held: Vec<_> = (0..300).filter_map(|_| pick(&pool, at(0))).collect();
    let slow = held.iter().filter(|attempt| attempt.member().backend == 2).count();
    assert!((5..40).contains(&slow), "{slow}");
}

fn fail(pool: &Arc<Pool>, backend: usize, now: Tick) -> Turned {
    let mut attempt = pick_only(pool, backend, now).expect("it can be asked");
    attempt.failed(now)
}

fn out(pool: &Arc<Pool>, now: Tick) -> usize {
    pool.members().iter().filter(|m| m.vitals.breaker.state(now) == State::Open).count()
}

#[test]
fn at_most_half_of_a_pool_is_let_go_of_while_anyone_answers() {
    let pool = pool("a", Balance::RoundRobin, &[1; 5]);
    for backend in 0..4 {
        (0..10).for_each(|_| {
            if pick_only(&pool, backend, at(0)).is_some() {
                fail(&pool, backend, at(0));
            }
        });
    }
    assert_eq!(out(&pool, at(0)), 2);
    // The third and the fourth keep their smallest share at most; here it grows back at once.
    assert!(ask(&pool, at(0)).is_some());
}

#[test]
fn when_nobody_answers_all_are_let_go_of() {
    for size in 1..6 {
        let pool = pool("a", Balance::RoundRobin, &vec![1; size]);
        for _ in 0..20 {
            for backend in 0..size {
                if pick_only(&pool, backend, at(0)).is_some() {
                    fail(&pool, backend, at(0));
                }
            }
        }
        assert_eq!(out(&pool, at(0)), size);
        assert_eq!(ask(&pool, at(0)), None);
        // One probe each, and no more.
        let probes: Vec<_> = (0..20).map_while(|_| pick(&pool, at(9000))).collect();
        assert_eq!(probes.len(), size);
    }
}

#[test]
fn a_dropped_attempt_gives_its_probe_back() {
    let pool = pool("a", Balance::RoundRobin, &[1]);
    (0..5).for_each(|_| {
        fail(&pool, 0, at(0));
    });
    drop(pick(&pool, at(1000)).expect("a probe"));
    let mut probe = pick(&pool, at(1000)).expect("another probe");
    assert!(pick(&pool, at(1000)).is_none());
    probe.answered(at(1010));
    assert!(pick(&pool, at(1010)).is_some());
}

fn route(pool: Arc<Pool>) -> Route {
    Route::new(pool, JsonText::new("m"), Arc::default())
}

fn choose_open(routes: &[Route], tried: &[Tried], from: usize, now: Tick) -> Result<Choice, Nobody> {
    choose(routes, tried, from, Kind::Stream, now, |_| Ok(()))
}

#[test]
fn a_pool_that_may_not_be_entered_is_left_for_the_next_route() {
    let routes = [route(pool("a", Balance::RoundRobin, &[1])), route(pool("b", Balance::RoundRobin, &[1]))];
    let shut = |pool: &Arc<Pool>| match pool.name.as_str() {
        "a" => Err(Duration::from_secs(4)),
        _ => Ok(()),
    };
    assert_eq!(choose(&routes, &[], 0, Kind::Stream, at(0), shut).ok().map(|choice| choice.route), Some(1));
    let shut = |_: &Arc<Pool>| Err(Duration::from_secs(4));
    assert_eq!(
        choose(&routes, &[], 0, Kind::Stream, at(0), shut).err(),
        Some(Nobody::Cooling(Duration::from_secs(4)))
    );
    assert_eq!(routes[0].pool.members()[0].vitals.in_flight(), 0);
}

fn order(routes: &[Route]) -> Vec<String> {
    let mut tried = Vec::new();
    while let Ok(choice) = choose_open(routes, &tried, 0, at(0)) {
        tried.push(Tried { route: choice.route, member: choice.attempt.member().clone() });
    }
    let name = |t: &Tried| routes[t.route].pool.backends[t.member.backend].name.to_string();
    tried.iter().map(name).collect()
}

#[test]
fn every_backend_is_asked_once_before_the_next_route() {
    let routes =
        [route(pool("a", Balance::LeastInflight, &[1; 3])), route(pool("b", Balance::RoundRobin, &[1; 2]))];
    assert_eq!(order(&routes), ["a0", "a1", "a2", "b0", "b1"]);
    let mut again = order(&routes);
    again.sort();
    assert_eq!(again, ["a0", "a1", "a2", "b0", "b1"]);
}

#[test]
fn why_nobody_can_be_asked_is_told() {
    let one = pool("a", Balance::RoundRobin, &[1, 1]);
    let routes = [route(one.clone())];
    let members = one.members();
    one.backends
        .iter()
        .zip([7000, 3000])
        .for_each(|(backend, until)| backend.credential.cool_down(at(until)));
    let nobody = |tried: &[Tried]| choose_open(&routes, tried, 0, at(0)).err();
    assert_eq!(nobody(&[]), Some(Nobody::Cooling(Duration::from_secs(3))));
    let tried = [Tried { route: 0, member: members[1].clone() }];
    assert_eq!(nobody(&tried), Some(Nobody::Cooling(Duration::from_secs(7))));
    members[0].vitals.set_up(false);
    assert_eq!(
        nobody(&tried),
        Some(Nobody::Cooling(Duration::from_secs(7))),
        "that it is down is not the news"
    );
    assert_eq!(choose_open(&routes, &tried, 1, at(0)).err(), Some(Nobody::Exhausted));
    assert_eq!(choose_open(&routes, &[], 1, at(0)).err(), Some(Nobody::Down));
    one.backends[0].credential.refused(Sure::Yes, at(7000));
    assert_eq!(choose_open(&routes, &tried, 0, at(7000)).err(), Some(Nobody::Down));
}

#[test]
fn addresses_that_stay_keep_their_state_and_share_their_backends_weight() {
    let pool = pool("a", Balance::RoundRobin, &[2, 1]);
    let kept = pool.members()[1].clone();
    pool.settle(&[place(0, 10), place(0, 11), Place { vitals: kept.vitals.clone(), ..place(1, 1) }]);
    assert!(Arc::ptr_eq(&pool.members()[2], &kept));
    let shares = (0..300).filter_map(|_| pick(&pool, at(0))).fold(HashMap::new(), |mut all, attempt| {
        *all.entry(attempt.member().address.port()).or_insert(0) += 1;
        all
    });
    assert_eq!(shares, HashMap::from([(11, 100), (12, 100), (2, 100)]));
    pool.settle(&[]);
    assert!(pick(&pool, at(0)).is_none());
}

#[test]
fn threads_lose_no_count_and_no_weight() {
    for balance in ALL {
        let pool = pool("a", balance, &[1, 3]);
        let total = std::sync::Mutex::new([0_usize; 2]);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    let mut mine = [0; 2];
                    for _ in 0..5000 {
                        mine[ask(&pool, at(0)).unwrap()] += 1;
                    }
                    total.lock().unwrap().iter_mut().zip(mine).for_each(|(all, mine)| *all += mine);
                });
            }
        });
        let total = total.into_inner().unwrap();
        assert_eq!(total.iter().sum::<usize>(), 20_000);
        // Threads that choose at once may choose the same one; on the whole, the weights stand. What is in
        // flight at the moment is another matter.
        let by_weight = balance == Balance::LeastInflight || (2000..8000).contains(&total[0]);
        assert!(by_weight, "{balance:?}: {total:?}");
        assert!(pool.members().iter().all(|member| member.vitals.in_flight() == 0));
    }
}

#[test]
fn who_helps_out_keeps_its_turn_so_that_the_failing_one_does_not_always_come_first() {
    for balance in [Balance::RoundRobin, Balance::LeastInflight] {
        let routes = [route(pool("a", balance, &[1, 1]))];
        let mut firsts = [0; 2];
        for _ in 0..100 {
            let first = choose_open(&routes, &[], 0, at(0)).expect("one");
            firsts[first.attempt.member().backend] += 1;
            if first.attempt.member().backend == 0 {
                let tried = [Tried { route: 0, member: first.attempt.member().clone() }];
                drop(first);
                drop(choose_open(&routes, &tried, 0, at(0)).expect("the other"));
            }
        }
        assert_eq!(firsts, [50, 50], "{balance:?}");
    }
}

#[test]
fn a_backend_without_the_model_of_a_route_is_asked_for_others_only() {
    let pool = pool("a", Balance::RoundRobin, &[1, 1]);
    let routes = [route(pool.clone()), route(pool)];
    assert!(routes[0].is_absent(0, at(0)));
    assert!(!routes[0].is_absent(0, at(1)), "no news");
    let of = |routes: &[Route], now| {
        let choice = choose_open(routes, &[], 0, now).expect("one");
        choice.attempt.member().backend
    };
    assert!((0..10).all(|_| of(&routes[..1], at(100)) == 1));
    assert!((0..10).any(|_| of(&routes[1..], at(100)) == 0));
    assert!((0..10).any(|_| of(&routes[..1], at(10_002)) == 0), "it is tried again after a while");
}

#[test]
fn when_checks_say_that_everyone_is_down_they_are_not_believed() {
    let pool = pool("a", Balance::RoundRobin, &[1, 1]);
    let routes = [route(pool.clone())];
    pool.members().iter().for_each(|member| member.vitals.set_up(false));
    assert!(choose_open(&routes, &[], 0, at(0)).is_ok());
    pool.members()[1].vitals.set_up(true);
    for _ in 0..10 {
        let choice = choose_open(&routes, &[], 0, at(0)).expect("one");
        assert_eq!(choice.attempt.member().backend, 1);
    }
}

#[test]
fn a_backend_that_has_gone_silent_gets_less_and_less() {
    let pool = pool("a", Balance::P2cEwma, &[1, 1]);
    teach(&pool, &[300, 300]);
    let mut silent = Vec::new();
    let mut late = 0;
    for second in 0..40 {
        pool.survey(at(second * 1000));
        for n in 0..20 {
            let now = at(second * 1000 + n * 50);
            let mut attempt = pick(&pool, now).expect("one");
            if attempt.member().backend == 0 {
                silent.push(attempt);
                late += u32::from(second >= 20);
            } else {
                attempt.answered(now.plus(Duration::from_millis(300)));
                attempt.done(now.plus(Duration::from_millis(300)));
            }
        }
    }
    assert!(late < 20, "{late} of 400");
}

#[test]
fn two_choices_honour_weights_whatever_their_unit() {
    for weights in [[9, 1], [900, 100]] {
        let pool = pool("a", Balance::P2cEwma, &weights);
        teach(&pool, &[20, 20]);
        let shares = shares(&pool, 10_000);
        assert!(shares[&0].abs_diff(9000) < 300, "{weights:?}: {shares:?}");
        let held: Vec<_> = (0..200).filter_map(|_| pick(&pool, at(0))).collect();
        let light = held.iter().filter(|attempt| attempt.member().backend == 1).count();
        assert!((10..35).contains(&light), "{weights:?}: {light} of 200 in flight");
    }
}

#[test]
fn refusals_say_nothing_and_broken_streams_count_once() {
    let pool = pool("a", Balance::RoundRobin, &[1]);
    // Bad requests between failures do not make the failures fewer.
    for n in 1..=5 {
        pick(&pool, at(0)).expect("one").refused(at(0));
        assert_eq!(fail(&pool, 0, at(0)) == Turned::Opened, n == 5);
    }
    let pool = self::pool("b", Balance::RoundRobin, &[1]);
    for n in 1..=5 {
        let mut broken = pick(&pool, at(0)).expect("one");
        broken.answered(at(0));
        assert_eq!(broken.failed(at(0)) == Turned::Opened, n == 5);
    }
}

#[test]
fn a_timeout_blames_a_backend_only_if_it_says_nothing_to_anybody() {
    let pool = pool("a", Balance::RoundRobin, &[1]);
    for _ in 0..20 {
        let mut long = pick(&pool, at(0)).expect("one");
        let mut short = pick(&pool, at(0)).expect("one");
        short.answered(at(1000));
        short.done(at(1000));
        assert_eq!(long.too_slow(at(2000)), Turned::Not);
    }
    for n in 1..=5 {
        let mut silent = pick(&pool, at(0)).expect("one");
        assert_eq!(silent.too_slow(at(2000)) == Turned::Opened, n == 5);
    }
}

#[test]
fn a_client_that_gives_up_after_very_long_has_learnt_something() {
    let pool = pool("a", Balance::RoundRobin, &[1, 1]);
    teach(&pool, &[300, 300]);
    let give_up = |after| pick_only(&pool, 0, at(0)).expect("one").given_up(at(after));
    assert!((0..20).all(|_| give_up(4000) == Turned::Not));
    assert!((1..=5).all(|n| (give_up(6000) == Turned::Opened) == (n == 5)));
}
