//! What a shared store hears when a reservation ends, and what stands in our own book by then.

use async_trait::async_trait;

use super::*;
use crate::rules::limits::LimitRules;
use crate::rules::limits::book::Book;
use crate::rules::store::{Ask, Change, Gone, State, Verdict};
use crate::rules::tick::Tick;

/// A store that notes what it is told: the amounts, and what the book has counted meanwhile, tokens and slots.
struct Listener {
    book: Arc<Book>,
    limit: Limit,
    heard: Mutex<Vec<(Vec<i64>, u64, u64)>>,
}

#[async_trait]
impl Store for Listener {
    async fn take(&self, _asks: &[Ask], _now: SystemTime) -> Result<Verdict, Gone> {
        Err(Gone)
    }

    fn give(&self, changes: Vec<Change>) {
        let used = |kind| self.book.used(&self.limit, kind, when());
        let amounts = changes.iter().map(|change| change.amount).collect();
        let heard = (amounts, used(LimitKind::TokensPerMinute), used(LimitKind::Concurrent));
        self.heard.lock().unwrap().push(heard);
    }

    fn state(&self) -> State {
        State::Up
    }
}

fn when() -> When {
    let today = Today::at(SystemTime::UNIX_EPOCH);
    When { now: Tick::ZERO.plus(Duration::from_secs(6000)), today }
}

/// What the store hears when so many tokens were taken from a limit of each of these, and `end` ends it.
fn heard(limits: &[u64], tokens: u64, end: impl FnOnce(Quota)) -> Vec<(Vec<i64>, u64, u64)> {
    let book = Arc::new(Book::default());
    let limits: Vec<Limit> = limits
        .iter()
        .map(|most| {
            let rules = LimitRules {
                requests_per_minute: Some(10),
                tokens_per_minute: Some(*most),
                concurrent: Some(1),
                ..LimitRules::default()
            };
            book.limit(&format!("of {most}"), rules)
        })
        .collect();
    let listener =
        Arc::new(Listener { book: book.clone(), limit: limits[0].clone(), heard: Mutex::default() });
    let own = book.reserve(limits, tokens, when(), Windows::Ours { instances: 1 }, 1).expect("room");
    let store: Arc<dyn Store> = listener.clone();
    let mut quota = Quota::default();
    (quota.own, quota.store) = (Some(own), Some((store, SystemTime::now())));
    end(quota);
    assert_eq!(book.used(&listener.limit, LimitKind::Concurrent, when()), 0, "the slot is free");
    let heard = listener.heard.lock().unwrap();
    heard.clone()
}

fn settled(tokens: u64) -> impl FnOnce(Quota) {
    move |mut quota| quota.close(Charge::Tokens(tokens), true, Some(when()))
}

#[test]
fn what_is_given_back_has_left_our_own_count_and_the_slot_is_still_taken() {
    assert_eq!(heard(&[10_000], 500, settled(170)), [(vec![-330], 170, 1)]);
}

#[test]
fn a_debt_is_not_yet_in_our_own_count() {
    assert_eq!(heard(&[10_000], 100, settled(170)), [(vec![70], 100, 1)]);
}

#[test]
fn what_is_a_debt_of_one_limit_and_given_back_to_another_is_told_apart() {
    assert_eq!(heard(&[10_000, 100], 5000, settled(170)), [(vec![70], 5000, 1), (vec![-4830], 170, 1)]);
}

#[test]
fn a_request_that_was_cancelled_gives_everything_back() {
    assert_eq!(heard(&[10_000], 500, drop), [(vec![-1, -500], 0, 1)]);
}

#[test]
fn nothing_is_told_where_nothing_changes() {
    assert_eq!(heard(&[10_000], 500, settled(500)), []);
}
