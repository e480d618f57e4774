//! Choosing, by the numbers.

use std::collections::HashMap;
use std::time::Duration;

use super::*;
use crate::names::BackendName;
use crate::rules::attempt::{Attempt, Nobody, Tried, choose};
use crate::rules::catalog::Route;
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
        metrics: Arc::new(metrics.backend("p", "b")),
    });
    let pool = Arc::new(Pool::new(PoolParts {
        name: PoolName::new(name),
        backends: backends.collect(),
        balance,
        breaker: RULES,
        timeouts: Timeouts { connect: second, first_byte: second, idle: second, total: second },
        retry: RetryRules { attempts: 3, resend: 1, budget: 20, on_timeout: true },
        forward: Forward::default(),
    }));
    let places: Vec<_> = (0..weights.len()).map(|backend| place(backend, backend)).collect();
    pool.settle(&places);
    pool
}

fn place(backend: usize, host: usize) -> Place {
    let address = ([127, 0, 0, 1], u16::try_from(host + 1).unwrap()).into();
    Place { backend, address, vitals: Arc::default() }
}

fn ask(pool: &Arc<Pool>, now: Tick) -> Option<usize> {
    pool.pick(now, |_| false).map(|attempt| attempt.member().backend)
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
    let held: Vec<Attempt> = (0..40).filter_map(|_| pool.pick(at(0), |_| false)).collect();
    let members = pool.members();
    assert_eq!((members[0].vitals.in_flight(), members[1].vitals.in_flight()), (10, 30));
    drop(held);
    assert_eq!((members[0].vitals.in_flight(), members[1].vitals.in_flight()), (0, 0));
}

fn teach(pool: &Arc<Pool>, times: &[u64]) {
    for (member, millis) in pool.members().iter().zip(times) {
        (0..50).for_each(|_| member.vitals.latency.observe(Duration::from_millis(*millis), at(0)));
    }
    pool.survey();
}

#[test]
fn a_slow_backend_is_the_last_resort_of_least_inflight_and_is_tried_again() {
    let pool = pool("a", Balance::LeastInflight, &[1, 1, 1]);
    let vitals = pool.members()[2].vitals.clone();
    let first = pool.pick(at(0), |tried| tried.backend != 2);
    drop(first);
    teach(&pool, &[20, 25, 200]);
    assert!(vitals.is_slow());
    let held: Vec<_> = (0..100).filter_map(|_| pool.pick(at(100), |_| false)).collect();
    assert!(held.iter().all(|attempt| attempt.member().backend != 2));
    // After a while, one sees whether it has recovered.
    let held: Vec<_> = (0..100).filter_map(|_| pool.pick(at(6000), |_| false)).collect();
    assert_eq!(held.iter().filter(|attempt| attempt.member().backend == 2).count(), 1);
    drop(held);
    assert_eq!(pool.pick(at(6001), |tried| tried.backend != 2).map(|a| a.member().backend), Some(2));
    (0..50).for_each(|_| vitals.latency.observe(Duration::from_millis(20), at(7000)));
    pool.survey();
    assert!(!vitals.is_slow());
}

#[test]
fn at_most_half_of_a_pool_is_slow() {
    for times in [&[20, 900][..], &[20, 900, 900], &[900, 900, 20, 20], &[20, 20, 900, 900, 900]] {
        let pool = pool("a", Balance::LeastInflight, &vec![1; times.len()]);
        teach(&pool, times);
        let slow = pool.members().iter().filter(|member| member.vitals.is_slow()).count();
        assert!(slow <= times.len() / 2, "{times:?}");
    }
    let alone = pool("a", Balance::LeastInflight, &[1]);
    teach(&alone, &[900]);
    assert!(!alone.members()[0].vitals.is_slow());
}

#[test]
fn two_choices_prefer_the_sooner_first_byte() {
    let pool = pool("a", Balance::P2cEwma, &[1, 1, 1]);
    teach(&pool, &[20, 20, 200]);
    let shares = shares(&pool, 1000);
    assert_eq!(shares.get(&2), None, "{shares:?}");
    // Unless the others are that much busier.
    let held: Vec<_> = (0..300).filter_map(|_| pool.pick(at(0), |_| false)).collect();
    let slow = held.iter().filter(|attempt| attempt.member().backend == 2).count();
    assert!((5..40).contains(&slow), "{slow}");
}

fn fail(pool: &Arc<Pool>, backend: usize, now: Tick) -> bool {
    let mut attempt = pool.pick(now, |member| member.backend != backend).expect("it can be asked");
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
            if pool.pick(at(0), |member| member.backend != backend).is_some() {
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
                if pool.pick(at(0), |member| member.backend != backend).is_some() {
                    fail(&pool, backend, at(0));
                }
            }
        }
        assert_eq!(out(&pool, at(0)), size);
        assert_eq!(ask(&pool, at(0)), None);
        // One probe each, and no more.
        let probes: Vec<_> = (0..20).map_while(|_| pool.pick(at(9000), |_| false)).collect();
        assert_eq!(probes.len(), size);
    }
}

#[test]
fn a_dropped_attempt_gives_its_probe_back() {
    let pool = pool("a", Balance::RoundRobin, &[1]);
    (0..5).for_each(|_| {
        fail(&pool, 0, at(0));
    });
    drop(pool.pick(at(1000), |_| false).expect("a probe"));
    let mut probe = pool.pick(at(1000), |_| false).expect("another probe");
    assert!(pool.pick(at(1000), |_| false).is_none());
    probe.answered(at(1010));
    assert!(pool.pick(at(1010), |_| false).is_some());
}

fn route(pool: Arc<Pool>) -> Route {
    Route { pool, model: JsonText::new("m"), heads: Arc::default() }
}

fn order(routes: &[Route]) -> Vec<String> {
    let mut tried = Vec::new();
    while let Ok(choice) = choose(routes, &tried, 0, at(0)) {
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
    members.iter().zip([7000, 3000]).for_each(|(member, until)| member.vitals.cool_down(at(until)));
    let nobody = |tried: &[Tried]| choose(&routes, tried, 0, at(0)).err();
    assert_eq!(nobody(&[]), Some(Nobody::Cooling(Duration::from_secs(3))));
    let tried = [Tried { route: 0, member: members[1].clone() }];
    assert_eq!(nobody(&tried), Some(Nobody::Cooling(Duration::from_secs(7))));
    members[0].vitals.set_up(false);
    assert_eq!(
        nobody(&tried),
        Some(Nobody::Cooling(Duration::from_secs(7))),
        "that it is down is not the news"
    );
    assert_eq!(choose(&routes, &tried, 1, at(0)).err(), Some(Nobody::Exhausted));
    assert_eq!(choose(&routes, &[], 1, at(0)).err(), Some(Nobody::Down));
    one.backends[0].credential.refused(at(7000));
    assert_eq!(choose(&routes, &tried, 0, at(7000)).err(), Some(Nobody::Down));
}

#[test]
fn addresses_that_stay_keep_their_state_and_share_their_backends_weight() {
    let pool = pool("a", Balance::RoundRobin, &[2, 1]);
    let kept = pool.members()[1].clone();
    pool.settle(&[place(0, 10), place(0, 11), Place { vitals: kept.vitals.clone(), ..place(1, 1) }]);
    assert!(Arc::ptr_eq(&pool.members()[2], &kept));
    let shares =
        (0..300).filter_map(|_| pool.pick(at(0), |_| false)).fold(HashMap::new(), |mut all, attempt| {
            *all.entry(attempt.member().address.port()).or_insert(0) += 1;
            all
        });
    assert_eq!(shares, HashMap::from([(11, 100), (12, 100), (2, 100)]));
    pool.settle(&[]);
    assert!(pool.pick(at(0), |_| false).is_none());
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
        assert!(total[0].abs_diff(5000) < 1000, "{balance:?}: {total:?}");
        assert!(pool.members().iter().all(|member| member.vitals.in_flight() == 0));
    }
}
