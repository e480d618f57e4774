use std::time::UNIX_EPOCH;

use super::*;

#[test]
fn a_script_goes_by_the_hash_that_the_server_gives_it() {
    // As `redis-cli script load "return 1"` says.
    assert_eq!(Script::new("return 1").name, "e0e1f9fabfc9d4800c877a703b823ac0578ff8db");
}

#[test]
fn what_the_script_says_becomes_a_verdict_or_nothing() {
    let wait = Duration::from_millis(7);
    assert_eq!(verdict(&[0, 0, 3, 4], 2), Some(Verdict::Taken { remaining: vec![3, 4] }));
    let full = Verdict::Full { which: 1, wait, remaining: vec![3, 0] };
    assert_eq!(verdict(&[2, 7, 3, -1], 2), Some(full));
    for nonsense in
        [&[][..], &[0], &[0, 0, 3], &[3, 7, 3, 4], &[-1, 7, 3, 4], &[1, -7, 3, 4], &[0, 0, 1, 2, 3]]
    {
        assert_eq!(verdict(nonsense, 2), None, "{nonsense:?}");
    }
}

#[test]
fn numbers_stay_where_the_server_counts_exactly() {
    let ask =
        Ask { key: "k".into(), window: Span::Minute, limit: u64::MAX, amount: u64::MAX, local: 5, share: 6 };
    let most = 1 << 53;
    assert_eq!(taking("p", &[ask], UNIX_EPOCH).numbers, [most, most, 5, 6, 0]);
    let change = |amount| Change { key: "k".into(), window: Span::Minute, taken_at: UNIX_EPOCH, amount };
    let now = UNIX_EPOCH + Duration::from_millis(1500);
    let extremes = [change(i64::MIN), change(i64::MAX)];
    assert_eq!(giving("p", extremes.iter(), now).numbers, [-most, 1500, 0, most, 1500, 0]);
}

#[test]
fn a_period_that_is_just_over_does_not_turn_into_a_minute() {
    let day = Span::Day { number: 0 };
    let end = day.end().unwrap();
    let ask = Ask { key: "k".into(), window: day, limit: 1, amount: 1, local: 0, share: 1 };
    for (now, left) in [(end, 1), (end - Duration::from_nanos(1), 1), (end - Duration::from_millis(2), 2)] {
        let arguments = taking("p", std::slice::from_ref(&ask), now);
        assert_eq!(arguments.keys, ["p:born", "p:k:d0"]);
        assert_eq!(arguments.numbers, [1, 1, 0, 1, left]);
    }
    let change = Change { key: "k".into(), window: day, taken_at: UNIX_EPOCH, amount: 1 };
    assert!(giving("p", std::iter::once(&change), end).is_empty());
}
