//! The breaker's life, told in seconds.

use super::*;

const RULES: BreakerRules = BreakerRules {
    failures: 5,
    error_rate: 50,
    open: Duration::from_secs(1),
    max_open: Duration::from_secs(8),
    slow_start: Duration::from_secs(10),
};

fn at(millis: u64) -> Tick {
    Tick::ZERO.plus(Duration::from_secs(1000) + Duration::from_millis(millis))
}

fn fail(breaker: &Breaker, now: Tick) -> bool {
    let permit = breaker.enter(&RULES, now).expect("a permit");
    breaker.bad(permit, &RULES, now, || Spare::Yes)
}

fn probe(millis: u64) -> Permit {
    Permit::Probe(at(millis).nanos())
}

fn opened() -> Breaker {
    let breaker = Breaker::default();
    for n in 1..=5 {
        assert_eq!(fail(&breaker, at(0)), n == 5);
    }
    breaker
}

#[test]
fn failures_in_a_row_open_it_and_a_success_starts_the_row_anew() {
    let breaker = Breaker::default();
    for _ in 0..4 {
        for _ in 0..4 {
            assert!(!fail(&breaker, at(0)));
        }
        (0..9).for_each(|_| breaker.good(at(0)));
    }
    assert_eq!(breaker.state(at(0)), State::Closed);
    assert_eq!(opened().state(at(999)), State::Open);
}

#[test]
fn half_of_twenty_attempts_in_ten_seconds_open_it() {
    let breaker = Breaker::default();
    for n in 0..9 {
        breaker.good(at(n));
        assert!(!fail(&breaker, at(n)));
    }
    breaker.good(at(10));
    assert!(fail(&breaker, at(10)), "the twentieth");
    // The same spread over a longer time is too few at once.
    let breaker = Breaker::default();
    for n in 0..40 {
        breaker.good(at(n * 1200));
        assert!(!fail(&breaker, at(n * 1200)));
    }
}

#[test]
fn one_probe_at_a_time_and_its_success_closes() {
    let breaker = opened();
    assert_eq!(breaker.enter(&RULES, at(999)), None);
    assert_eq!(breaker.state(at(1000)), State::HalfOpen);
    assert_eq!(breaker.enter(&RULES, at(1000)), Some(probe(1000)));
    assert_eq!(breaker.enter(&RULES, at(1999)), None);
    assert!(!breaker.admits(&RULES, at(1999)));
    assert!(breaker.answered(probe(1000), at(1999)));
    assert!(!breaker.answered(probe(1000), at(1999)));
    assert_eq!(breaker.state(at(1999)), State::Closed);
    assert_eq!(breaker.enter(&RULES, at(1999)), Some(Permit::Pass));
}

#[test]
fn a_probe_that_takes_long_does_not_keep_others_out() {
    let breaker = opened();
    assert_eq!(breaker.enter(&RULES, at(1000)), Some(probe(1000)));
    assert_eq!(breaker.enter(&RULES, at(2000)), Some(probe(2000)));
    assert_eq!(breaker.enter(&RULES, at(2000)), None);
    // The first one's failure is old news; the second one's answer counts.
    assert!(!breaker.bad(probe(1000), &RULES, at(2100), || Spare::Yes));
    assert!(breaker.answered(probe(2000), at(2200)));
    assert_eq!(breaker.state(at(2200)), State::Closed);
}

#[test]
fn failures_that_were_under_way_when_it_opened_do_not_lengthen_the_pause() {
    let breaker = Breaker::default();
    let permits: Vec<_> = (0..100).filter_map(|_| breaker.enter(&RULES, at(0))).collect();
    let opened = permits.into_iter().filter(|permit| breaker.bad(*permit, &RULES, at(0), || Spare::Yes));
    assert_eq!(opened.count(), 1);
    assert!(fail(&breaker, at(1000)));
    assert!(!breaker.admits(&RULES, at(2999)) && breaker.admits(&RULES, at(3000)));
}

#[test]
fn a_failed_probe_doubles_the_pause_up_to_its_bound() {
    let breaker = opened();
    let mut now = 1000;
    for pause in [2000, 4000, 8000, 8000, 8000] {
        assert!(fail(&breaker, at(now)));
        assert!(!breaker.admits(&RULES, at(now + pause - 1)), "{pause}");
        assert!(breaker.admits(&RULES, at(now + pause)), "{pause}");
        now += pause;
    }
}

#[test]
fn a_good_spell_makes_the_next_pause_short_again_and_a_short_one_does_not() {
    let breaker = opened();
    assert!(fail(&breaker, at(1000)));
    assert_eq!(breaker.enter(&RULES, at(3000)), Some(probe(3000)));
    breaker.answered(probe(3000), at(3000));
    (0..5).for_each(|_| {
        fail(&breaker, at(4000));
    });
    assert!(!breaker.admits(&RULES, at(4000 + 3999)) && breaker.admits(&RULES, at(4000 + 4000)));

    let breaker = opened();
    assert_eq!(breaker.enter(&RULES, at(1000)), Some(probe(1000)));
    breaker.answered(probe(1000), at(1000));
    (0..5).for_each(|_| {
        fail(&breaker, at(20_000));
    });
    assert!(!breaker.admits(&RULES, at(20_999)) && breaker.admits(&RULES, at(21_000)));
}

#[test]
fn a_probe_that_learnt_nothing_lets_the_next_one_try_at_once() {
    let breaker = opened();
    assert_eq!(breaker.enter(&RULES, at(1000)), Some(probe(1000)));
    breaker.withdraw(probe(1000), at(1001));
    assert_eq!(breaker.enter(&RULES, at(1001)), Some(probe(1001)));
    breaker.withdraw(Permit::Pass, at(1002));
    assert_eq!(breaker.enter(&RULES, at(1002)), None);
}

#[test]
fn the_share_grows_back_in_a_straight_line() {
    assert_eq!(Breaker::default().share(&RULES, at(0)), 1.0);
    let breaker = opened();
    assert_eq!(breaker.enter(&RULES, at(1000)), Some(probe(1000)));
    breaker.answered(probe(1000), at(1000));
    for (millis, share) in [(1000, 0.1), (6000, 0.55), (11_000, 1.0), (90_000, 1.0)] {
        assert!((breaker.share(&RULES, at(millis)) - share).abs() < 1e-3, "{millis}");
    }
    let at_once = BreakerRules { slow_start: Duration::ZERO, ..RULES };
    assert_eq!(breaker.share(&at_once, at(1000)), 1.0);
    (0..5).for_each(|_| {
        breaker.bad(Permit::Pass, &at_once, at(1000), || Spare::No);
    });
    assert!((breaker.share(&at_once, at(1000)) - FIRST_SHARE).abs() < 1e-3, "it cannot be spared");
}

#[test]
fn one_that_cannot_be_spared_stays_with_its_smallest_share() {
    let breaker = Breaker::default();
    for _ in 0..20 {
        let permit = breaker.enter(&RULES, at(0)).unwrap();
        assert!(!breaker.bad(permit, &RULES, at(0), || Spare::No));
    }
    assert_eq!(breaker.state(at(0)), State::Closed);
    assert!(breaker.is_failing(&RULES));
    assert!((breaker.share(&RULES, at(0)) - FIRST_SHARE).abs() < 1e-3);
    breaker.good(at(0));
    assert!(!breaker.is_failing(&RULES));
}

#[test]
fn threads_get_one_probe_between_them() {
    let breaker = opened();
    let probes = std::sync::atomic::AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                if breaker.enter(&RULES, at(1500)) == Some(probe(1500)) {
                    probes.fetch_add(1, Relaxed);
                }
            });
        }
    });
    assert_eq!(probes.into_inner(), 1);
}
