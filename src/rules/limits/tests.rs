//! All or nothing, exactly, whoever comes at once and however they leave.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use proptest::prelude::*;

use super::book::*;
use super::period::{Spent, Today};
use super::ticket::{Queueing, Ticket};
use super::*;
use crate::rules::tick::Tick;

const LOCAL: Windows = Windows::Ours { instances: 1 };

fn when(millis: u64) -> When {
    let now = Tick::ZERO.plus(Duration::from_secs(6000) + Duration::from_millis(millis));
    let today =
        Today { day: 7, month: 1, day_left: Duration::from_secs(9), month_left: Duration::from_secs(99) };
    When { now, today }
}

fn rules(requests: Option<u64>, tokens: Option<u64>, concurrent: Option<u64>) -> LimitRules {
    LimitRules {
        requests_per_minute: requests,
        tokens_per_minute: tokens,
        concurrent,
        ..LimitRules::default()
    }
}

struct Bench {
    book: Arc<Book>,
    limits: Vec<Limit>,
}

impl Bench {
    fn new(all: &[LimitRules]) -> Self {
        let book = Arc::new(Book::default());
        let limits =
            all.iter().enumerate().map(|(n, rules)| book.limit(&format!("limit {n}"), *rules)).collect();
        Self { book, limits }
    }

    fn ask(&self, tokens: u64) -> Result<Reservation, Full> {
        self.book.reserve(self.limits.clone(), tokens, when(0), LOCAL, 1)
    }

    fn used(&self, limit: usize, kind: LimitKind) -> u64 {
        self.book.used(&self.limits[limit], kind, when(0))
    }
}

#[test]
fn fifty_a_minute_lets_fifty_through_whoever_comes_at_once() {
    for _ in 0..100 {
        let bench = Bench::new(&[rules(Some(50), None, None)]);
        let passed = AtomicUsize::new(0);
        std::thread::scope(|scope| {
            for _ in 0..16 {
                scope.spawn(|| {
                    for _ in 0..8 {
                        if let Ok(mut taken) = bench.ask(1) {
                            taken.settle(Charge::Tokens(1), when(0));
                            passed.fetch_add(1, Ordering::Relaxed);
                        }
                    }
                });
            }
        });
        assert_eq!(passed.into_inner(), 50);
    }
}

#[test]
fn four_at_a_time_lets_four() {
    let bench = Bench::new(&[rules(None, None, Some(4))]);
    let held: Vec<_> = (0..10).filter_map(|_| bench.ask(1).ok()).collect();
    assert_eq!(held.len(), 4);
    assert_eq!(bench.ask(1).err().map(|full| full.kind), Some(LimitKind::Concurrent));
    drop(held);
    assert_eq!(bench.used(0, LimitKind::Concurrent), 0);
    assert!(bench.ask(1).is_ok());
}

#[test]
fn a_refused_request_takes_nothing_from_any_limit() {
    let bench = Bench::new(&[
        rules(Some(10), Some(1000), Some(10)),
        rules(Some(10), None, Some(10)),
        rules(None, Some(100), None),
    ]);
    assert!(bench.ask(100).map(|mut taken| taken.settle(Charge::Tokens(100), when(0))).is_ok());
    for _ in 0..5 {
        let full = bench.ask(1).expect_err("it is full");
        assert_eq!((full.which, full.kind), (2, LimitKind::TokensPerMinute));
    }
    assert_eq!(bench.used(0, LimitKind::RequestsPerMinute), 1);
    assert_eq!(bench.used(1, LimitKind::RequestsPerMinute), 1);
    assert_eq!(bench.used(0, LimitKind::TokensPerMinute), 100);
    assert_eq!(bench.used(0, LimitKind::Concurrent), 0);
}

#[test]
fn what_was_estimated_is_replaced_by_what_it_was() {
    let bench = Bench::new(&[rules(Some(10), Some(1000), None)]);
    let settle = |reserve, charge| {
        let mut taken = bench.ask(reserve).map_err(|full| full.kind).expect("room");
        taken.settle(charge, when(0));
        taken.settle(Charge::Tokens(999_999), when(0));
        drop(taken);
        (bench.used(0, LimitKind::RequestsPerMinute), bench.used(0, LimitKind::TokensPerMinute))
    };
    assert_eq!(settle(500, Charge::Tokens(120)), (1, 120));
    assert_eq!(settle(500, Charge::Nothing), (1, 120));
    assert_eq!(settle(100, Charge::Tokens(980)), (2, 1100));
    // In debt: even one token waits.
    let full = bench.ask(1).expect_err("it is full");
    assert!(full.wait > Duration::from_secs(60) && full.wait < Duration::from_secs(120), "{:?}", full.wait);
}

#[test]
fn one_that_asks_for_more_than_its_whole_limit_waits_for_all_of_it() {
    let bench = Bench::new(&[rules(None, Some(1000), None)]);
    let mut taken = bench.ask(5000).expect("an empty window takes it");
    taken.settle(Charge::Tokens(5000), when(0));
    assert!(bench.ask(1).is_err());
}

#[test]
fn days_and_months_end_at_their_end() {
    let limits =
        LimitRules { tokens_per_day: Some(100), tokens_per_month: Some(150), ..LimitRules::default() };
    let bench = Bench::new(&[limits]);
    bench.ask(100).expect("room").settle(Charge::Tokens(100), when(0));
    let full = bench.ask(1).expect_err("the day is full");
    assert_eq!((full.kind, full.wait), (LimitKind::TokensPerDay, Duration::from_secs(9)));
    let mut tomorrow = when(1000);
    tomorrow.today.day = 8;
    let ask = |tokens| bench.book.reserve(bench.limits.clone(), tokens, tomorrow, LOCAL, 1);
    assert_eq!(ask(60).err().map(|full| full.kind), Some(LimitKind::TokensPerMonth));
    ask(50).expect("room").settle(Charge::Tokens(50), tomorrow);
    let spent = bench.book.spent();
    assert_eq!(spent, [("limit 0".into(), Spent { number: 8, used: 50 }, Spent { number: 1, used: 150 })]);
    let other = Bench::new(&[limits]);
    spent.iter().for_each(|(name, day, month)| other.book.restore(name, *day, *month));
    assert_eq!(other.ask(1).err().map(|full| full.kind), Some(LimitKind::TokensPerMonth));
}

#[test]
fn a_limit_keeps_its_counts_under_its_name() {
    let bench = Bench::new(&[rules(Some(2), None, None)]);
    bench.ask(1).expect("room").settle(Charge::Tokens(1), when(0));
    let again = bench.book.limit("limit 0", rules(Some(1), None, None));
    assert!(bench.book.reserve(vec![again], 1, when(0), LOCAL, 1).is_err());
}

#[test]
fn gateways_that_share_slots_and_lost_windows_have_a_part_each() {
    let bench = Bench::new(&[rules(Some(100), None, Some(5))]);
    let ask = |windows| bench.book.reserve(bench.limits.clone(), 1, when(0), windows, 2);
    let held: Vec<_> = (0..9).filter_map(|_| ask(Windows::Theirs).ok()).collect();
    assert_eq!(held.len(), 2, "five slots for two gateways");
    drop(held);
    assert_eq!(bench.used(0, LimitKind::RequestsPerMinute), 0, "their windows are not ours");
    let passed = (0..99).filter(|_| {
        let mut taken = ask(Windows::Theirs).expect("a slot");
        let decided = taken.decide(2).is_ok();
        taken.settle(Charge::Tokens(1), when(0));
        decided
    });
    assert_eq!(passed.count(), 50);
    assert_eq!(bench.used(0, LimitKind::Concurrent), 0);
    let mut noted = ask(Windows::Theirs).expect("a slot");
    noted.note();
    noted.settle(Charge::Nothing, when(0));
    assert_eq!(bench.used(0, LimitKind::RequestsPerMinute), 50);
}

fn queue(who: &str) -> Queueing {
    Queueing { group: "general".into(), depth: 3, who: who.into() }
}

fn line_up(bench: &Bench, who: &str) -> Ticket {
    bench.book.line_up(bench.limits.clone(), 1, when(0), 1, queue(who)).expect("a place in line")
}

#[test]
fn slots_are_handed_on_in_turns_between_keys() {
    let bench = Bench::new(&[rules(None, None, Some(1))]);
    let mut held = bench.ask(1).ok();
    let line = [("a", line_up(&bench, "a")), ("a", line_up(&bench, "a")), ("b", line_up(&bench, "b"))];
    assert!(bench.book.line_up(bench.limits.clone(), 1, when(0), 1, queue("c")).is_err(), "it is full");
    let mut order = Vec::new();
    for _ in 0..3 {
        drop(held.take());
        let called = line.iter().find_map(|(who, ticket)| Some((*who, ticket.redeem(when(0))?)));
        let (who, reservation) = called.expect("one is called");
        order.push(who);
        held = Some(reservation);
        assert!(bench.ask(1).is_err(), "nobody gets in between");
    }
    assert_eq!(order, ["a", "b", "a"]);
    drop(held);
    drop(line);
    assert_eq!(bench.used(0, LimitKind::Concurrent), 0);
    assert!(bench.book.pages().line.is_empty());
}

#[test]
fn who_leaves_the_line_passes_its_slot_on() {
    let bench = Bench::new(&[rules(None, None, Some(1))]);
    let held = bench.ask(1).ok();
    let (first, second, third) = (line_up(&bench, "a"), line_up(&bench, "b"), line_up(&bench, "c"));
    drop(second);
    drop(held);
    // The first has been called, and leaves without a word.
    drop(first);
    assert!(third.redeem(when(0)).is_some());
    drop(third);
    assert_eq!(bench.used(0, LimitKind::Concurrent), 0);
}

#[test]
fn one_that_comes_when_a_slot_has_just_become_free_is_called_at_once() {
    let bench = Bench::new(&[rules(None, None, Some(1))]);
    assert!(line_up(&bench, "a").redeem(when(0)).is_some());
}

/// Something that happens to one of a few requests.
#[derive(Debug, Clone, Copy)]
enum Event {
    Ask(u64),
    Wait,
    Redeem(usize),
    Settle(usize, u64),
    Fail(usize),
    Leave(usize),
    GiveUp(usize),
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        (1..50_u64).prop_map(Event::Ask),
        Just(Event::Wait),
        (0..8_usize).prop_map(Event::Redeem),
        (0..8_usize, 0..80_u64).prop_map(|(at, used)| Event::Settle(at, used)),
        (0..8_usize).prop_map(Event::Fail),
        (0..8_usize).prop_map(Event::Leave),
        (0..8_usize).prop_map(Event::GiveUp),
    ]
}

proptest! {
    #[test]
    fn whatever_happens_the_counts_are_those_of_what_was_settled(events in prop::collection::vec(event(), 0..60)) {
        let bench = Bench::new(&[rules(Some(1000), Some(100_000), Some(3)), rules(None, None, Some(4))]);
        let (mut held, mut tickets): (Vec<Reservation>, Vec<Ticket>) = (Vec::new(), Vec::new());
        let (mut requests, mut tokens) = (0, 0);
        for event in events {
            match event {
                Event::Ask(tokens) => held.extend(bench.ask(tokens).ok()),
                Event::Wait => {
                    let ticket = bench.book.line_up(bench.limits.clone(), 5, when(0), 1, queue("a"));
                    tickets.extend(ticket.ok());
                }
                Event::Redeem(at) => {
                    if let Some(mut taken) = tickets.get(at).and_then(|ticket| ticket.redeem(when(0))) {
                        taken.decide(1).expect("the windows are wide");
                        held.push(taken);
                    }
                }
                Event::Settle(at, used) if at < held.len() => {
                    held.remove(at).settle(Charge::Tokens(used), when(0));
                    (requests, tokens) = (requests + 1, tokens + used);
                }
                Event::Fail(at) if at < held.len() => held.remove(at).settle(Charge::Nothing, when(0)),
                Event::Leave(at) if at < held.len() => drop(held.remove(at)),
                Event::GiveUp(at) if at < tickets.len() => drop(tickets.remove(at)),
                Event::Settle(..) | Event::Fail(_) | Event::Leave(_) | Event::GiveUp(_) => {}
            }
            prop_assert!(bench.used(0, LimitKind::Concurrent) <= 3);
            prop_assert!(bench.used(0, LimitKind::Concurrent) >= held.len() as u64);
        }
        drop((held, tickets));
        prop_assert_eq!(bench.used(0, LimitKind::Concurrent), 0);
        prop_assert_eq!(bench.used(1, LimitKind::Concurrent), 0);
        prop_assert_eq!(bench.used(0, LimitKind::RequestsPerMinute), requests);
        prop_assert_eq!(bench.used(0, LimitKind::TokensPerMinute), tokens);
    }
}

#[test]
fn the_limit_that_has_to_wait_longest_is_told() {
    let day = LimitRules { tokens_per_day: Some(10), ..rules(Some(1), None, Some(1)) };
    let bench = Bench::new(&[rules(Some(1), None, Some(1)), day]);
    let mut held = bench.ask(10).expect("room");
    let full = bench.ask(1).expect_err("it is full");
    assert_eq!((full.which, full.kind), (0, LimitKind::RequestsPerMinute), "the day ends sooner here");
    held.settle(Charge::Tokens(10), when(0));
    let slots = Bench::new(&[rules(None, None, Some(1)), rules(Some(1), None, None)]);
    let _held = slots.ask(1).expect("room");
    let full = slots.ask(1).expect_err("it is full");
    assert_eq!(full.kind, LimitKind::RequestsPerMinute, "a slot would not help");
}
