use super::*;

fn change(key: &str, window: Span, seconds: u64, amount: i64) -> Change {
    Change { key: key.into(), window, taken_at: UNIX_EPOCH + Duration::from_secs(seconds), amount }
}

#[test]
fn changes_of_one_counter_in_one_window_become_one() {
    let mut sums = Sums::default();
    let day = Span::Day { number: 0 };
    for (window, seconds, amount) in
        [(Span::Minute, 61, -3), (Span::Minute, 119, 1), (Span::Minute, 120, 5), (day, 61, 7), (day, 900, -7)]
    {
        assert!(sums.add(&change("k", window, seconds, amount)));
    }
    let (mut changes, made_of) = sums.batch();
    changes.sort_by_key(|change| change.taken_at);
    let merged = [change("k", Span::Minute, 119, -2), change("k", Span::Minute, 120, 5)];
    assert_eq!(changes, merged, "and what adds up to nothing is not worth a call");
    assert_eq!((made_of, sums.0.len()), (3, 0));
}

#[test]
fn there_is_room_for_so_many_counters_and_old_ones_make_room() {
    let mut sums = Sums::default();
    for n in 0..MOST {
        assert!(sums.add(&change(&n.to_string(), Span::Minute, 60, 1)));
    }
    assert!(!sums.add(&change("one more", Span::Minute, 60, 1)));
    assert!(sums.add(&change("7", Span::Minute, 60, 1)), "a known one needs none");
    sums.forget(UNIX_EPOCH + Duration::from_secs(100));
    assert_eq!(sums.0.len(), MOST);
    sums.forget(UNIX_EPOCH + Duration::from_secs(180));
    assert_eq!(sums.0.len(), 0);
    assert!(sums.add(&change("one more", Span::Minute, 180, 1)));
}

#[test]
fn a_batch_is_never_larger_than_one_call_may_be() {
    let mut sums = Sums::default();
    for n in 0..BATCH + 1 {
        assert!(sums.add(&change(&n.to_string(), Span::Minute, 60, 1)));
    }
    assert_eq!(sums.batch().0.len(), BATCH);
    assert_eq!(sums.batch().0.len(), 1);
}
