//! Seats: taken, given back, cleared in order of idleness, and counted by address.

use std::net::IpAddr;
use std::task::{Wake, Waker};

use super::*;

const S: Duration = Duration::from_secs(1);

fn clients(all: usize, of_one: usize) -> Clients {
    Clients {
        header_timeout: S,
        keep_alive: S,
        max_requests: 1,
        max_connections: all,
        max_connections_per_address: of_one,
        max_buffered: 1,
    }
}

fn network(last: u8) -> Option<Network> {
    Some(Network::from(IpAddr::from([192, 0, 2, last])))
}

/// A seat for somebody who then makes a request.
fn busy(seats: &Arc<Seats>, rules: &Clients, now: Instant) -> Result<Seat, NoSeat> {
    seats.take(None, rules, now).inspect(|seat| assert!(seat.place().rouse()))
}

#[test]
fn a_seat_is_given_back_when_it_is_dropped() {
    let (seats, rules, now) = (Arc::<Seats>::default(), clients(2, 9), Instant::now());
    let (one, other) = (busy(&seats, &rules, now), busy(&seats, &rules, now));
    assert!(one.is_ok() && other.is_ok());
    assert_eq!(busy(&seats, &rules, now).err(), Some(NoSeat::Anywhere));
    assert_eq!((seats.count(), seats.census()), (2, Census { idle: 0, busy: 2 }));
    drop(one);
    assert!(busy(&seats, &rules, now).is_ok());
    assert_eq!(seats.count(), 1);
}

#[test]
fn one_address_has_only_so_many() {
    let (seats, rules, now) = (Arc::<Seats>::default(), clients(9, 2), Instant::now());
    let take = |last| seats.take(network(last), &rules, now);
    let (one, two) = (take(1), take(1));
    assert_eq!((take(1).err(), take(2).is_ok()), (Some(NoSeat::ForAddress), true));
    drop(one);
    let again = take(1);
    assert!(again.is_ok() && two.is_ok());
    assert_eq!(take(1).err(), Some(NoSeat::ForAddress));
    // Whoever comes through a Unix socket is nobody's neighbour.
    let unknown: Vec<_> = (0..5).map(|_| seats.take(None, &rules, now)).collect();
    assert!(unknown.iter().all(Result::is_ok));
    drop((two, again, unknown));
    assert!(seats.room().networks.is_empty() && seats.count() == 0);
}

#[test]
fn who_was_idle_for_longest_makes_room() {
    let (seats, rules, now) = (Arc::<Seats>::default(), clients(3, 9), Instant::now());
    let all: Vec<_> = (1..=3).map(|n| seats.take(None, &rules, now + n * S).unwrap()).collect();
    // The first works; the second has worked since.
    assert!(all[0].place().rouse() && all[1].place().rouse());
    all[1].rest(now + 9 * S);
    let new = seats.take(None, &rules, now + 10 * S).unwrap();
    let leaving = || all.iter().map(|seat| seat.place().is_leaving()).collect::<Vec<_>>();
    assert_eq!(leaving(), [false, false, true]);
    assert!(!all[2].place().rouse(), "it was asked to leave");
    // It has not left yet, but its seat is taken; the next one is that of the second.
    let newer = seats.take(None, &rules, now + 10 * S).unwrap();
    assert_eq!(leaving(), [false, true, true]);
    assert_eq!(seats.count(), 5);
    drop(all);
    assert_eq!(seats.count(), 2);
    assert!(new.place().rouse() && newer.place().rouse());
    let last = busy(&seats, &rules, now + 11 * S);
    assert!(last.is_ok() && busy(&seats, &rules, now + 11 * S).is_err());
}

#[test]
fn nobody_is_looked_for_again_at_once_after_all_were_busy() {
    let (seats, rules, now) = (Arc::<Seats>::default(), clients(1, 9), Instant::now());
    let one = busy(&seats, &rules, now).unwrap();
    assert!(seats.take(None, &rules, now).is_err());
    one.rest(now);
    assert!(seats.take(None, &rules, now).is_err(), "it was looked for again");
    assert!(seats.take(None, &rules, now + 2 * ALL_BUSY).is_ok());
}

#[test]
fn a_full_house_is_cleared_in_batches() {
    let (seats, rules, now) = (Arc::<Seats>::default(), clients(10 * CLEARED, usize::MAX), Instant::now());
    let all: Vec<_> = (0..10 * CLEARED).map(|_| seats.take(None, &rules, now).unwrap()).collect();
    let _new: Vec<_> = (0..10).map(|_| seats.take(None, &rules, now + S).unwrap()).collect();
    assert_eq!(all.iter().filter(|seat| seat.place().is_leaving()).count(), 10);
    let _more = seats.take(None, &rules, now + S).unwrap();
    assert_eq!(all.iter().filter(|seat| seat.place().is_leaving()).count(), 20);
}

struct Woken(AtomicUsize);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

#[test]
fn who_waits_is_woken_to_leave_and_after_its_last_stream() {
    let (seats, rules, now) = (Arc::<Seats>::default(), clients(1, 9), Instant::now());
    let seat = seats.take(None, &rules, now).unwrap();
    let woken = Arc::new(Woken(AtomicUsize::new(0)));
    let waker = Waker::from(woken.clone());
    let times = || woken.0.load(Ordering::Relaxed);
    let (one, other) = (seat.place().stream(), seat.place().stream());
    seat.place().attend(&Context::from_waker(&waker));
    drop(one);
    assert_eq!((times(), seat.place().streams()), (0, 1));
    drop(other);
    assert_eq!((times(), seat.place().streams()), (1, 0));
    seat.place().attend(&Context::from_waker(&waker));
    assert!(seats.take(None, &rules, now + S).is_ok());
    assert_eq!((times(), seat.place().is_leaving()), (2, true));
}

#[test]
fn what_was_heard_is_known_until_it_is_hushed() {
    let seats = Arc::<Seats>::default();
    let seat = seats.take(None, &clients(1, 1), Instant::now()).unwrap();
    assert_eq!(seat.place().heard(), Heard::Nothing);
    seat.place().hear();
    assert_eq!(seat.place().heard(), Heard::Something);
    seat.place().hush();
    assert_eq!(seat.place().heard(), Heard::Nothing);
}
