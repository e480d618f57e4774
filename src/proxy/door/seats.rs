//! Who is in: every connection of a client has a seat, and there are only so many.
//!
//! When all are taken, those who have been idle for longest leave to make room. Taking a seat and leaving it
//! takes a lock; requests do not.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Context;
use std::time::{Duration, Instant};

use atomic_waker::AtomicWaker;
use crossbeam_utils::atomic::AtomicCell;

use crate::config::plan::Clients;
use crate::proxy::network::Network;

/// One in so many of all seats is cleared at once when there is no more room, so that those who come next need
/// not look for one again.
const CLEARED: usize = 256;
/// No more than this are cleared at once: whoever is idle may come back.
const MOST_CLEARED: usize = 64;
/// How long nobody is looked for again after everybody was found to be busy.
const ALL_BUSY: Duration = Duration::from_millis(10);

/// What [`Place::since`] says of a connection that serves a request.
const BUSY: u64 = 0;
/// What it says of one that was asked to leave.
const LEAVING: u64 = u64::MAX;

/// The seats of all clients. One for the process.
pub struct Seats {
    /// Milliseconds are counted from a little before here, so that none of them is [`BUSY`].
    began: Instant,
    room: Mutex<Room>,
}

#[derive(Default)]
struct Room {
    next: u64,
    places: HashMap<u64, Arc<Place>>,
    networks: HashMap<Network, usize>,
    /// How many of `places` were asked to leave and have not yet done so.
    leaving: usize,
    /// Everybody was busy a moment ago, until when.
    busy_until: u64,
}

/// Why somebody is turned away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NoSeat {
    /// All seats are taken, and nobody is idle.
    Anywhere,
    /// This address has as many as it may have.
    ForAddress,
}

/// A connection's seat. Dropping it gives it back.
pub struct Seat {
    id: u64,
    network: Option<Network>,
    place: Arc<Place>,
    seats: Arc<Seats>,
}

/// What is known of a connection. Its own task writes here; whoever needs its seat asks it to leave.
pub struct Place {
    /// Since when it is idle, in milliseconds; or [`BUSY`], or [`LEAVING`].
    since: AtomicU64,
    heard: AtomicCell<Heard>,
    /// Requests that run on it at the same time, if it can have several.
    streams: AtomicUsize,
    parting: AtomicCell<Parting>,
    waker: AtomicWaker,
}

/// How a connection is closed when the daemon leaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Parting {
    /// As it is.
    Silent,
    /// Its client is told first, and answers.
    Told,
}

/// Whether the client has begun to say something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Heard {
    Nothing,
    Something,
}

/// How many connections there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Census {
    pub idle: usize,
    pub busy: usize,
}

impl Default for Seats {
    fn default() -> Self {
        Self { began: Instant::now(), room: Mutex::default() }
    }
}

impl Seats {
    /// How many connections are open.
    pub fn count(&self) -> usize {
        self.room().places.len()
    }

    /// How many are to be told that it is over before they are closed: [`Parting::Told`].
    pub fn farewells(&self) -> usize {
        self.room().places.values().filter(|place| place.parting.load() == Parting::Told).count()
    }

    /// How many are idle, and how many are not.
    pub fn census(&self) -> Census {
        let room = self.room();
        let busy = room.places.values().filter(|place| place.since.load(Ordering::Relaxed) == BUSY).count();
        Census { idle: room.places.len() - busy, busy }
    }

    /// A seat for a connection that has just come. Whoever comes through a Unix socket has no network and is not
    /// counted with others.
    ///
    /// # Errors
    /// Why there is none.
    pub fn take(
        self: &Arc<Self>,
        network: Option<Network>,
        clients: &Clients,
        now: Instant,
    ) -> Result<Seat, NoSeat> {
        let now = self.millis(now);
        let mut room = self.room();
        let alike = network.and_then(|network| room.networks.get(&network)).copied().unwrap_or(0);
        if alike >= clients.max_connections_per_address {
            return Err(NoSeat::ForAddress);
        }
        let taken = room.places.len().saturating_sub(room.leaving);
        if taken >= clients.max_connections && room.clear(clients.max_connections, now) == 0 {
            return Err(NoSeat::Anywhere);
        }
        let place = Arc::new(Place {
            since: AtomicU64::new(now),
            heard: AtomicCell::new(Heard::Nothing),
            streams: AtomicUsize::new(0),
            parting: AtomicCell::new(Parting::Silent),
            waker: AtomicWaker::new(),
        });
        let id = room.next;
        room.next += 1;
        room.places.insert(id, place.clone());
        if let Some(network) = network {
            *room.networks.entry(network).or_insert(0) += 1;
        }
        Ok(Seat { id, network, place, seats: self.clone() })
    }

    fn room(&self) -> MutexGuard<'_, Room> {
        self.room.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn millis(&self, now: Instant) -> u64 {
        let since = now.saturating_duration_since(self.began).as_millis();
        u64::try_from(since).unwrap_or(u64::MAX).saturating_add(1).min(LEAVING - 1)
    }
}

impl Room {
    /// Asks those who have been idle for longest to leave, and says how many.
    fn clear(&mut self, seats: usize, now: u64) -> usize {
        if now < self.busy_until {
            return 0;
        }
        let idle = |place: &Place| Some(place.since.load(Ordering::Relaxed)).filter(|at| is_idle(*at));
        let mut all: Vec<(u64, u64)> =
            self.places.iter().filter_map(|(id, place)| Some((idle(place)?, *id))).collect();
        let enough = (seats / CLEARED).clamp(1, MOST_CLEARED);
        if let Some(last) = enough.checked_sub(1).filter(|last| *last < all.len()) {
            all.select_nth_unstable(last);
            all.truncate(enough);
        }
        let leave = |(since, id): &(u64, u64)| self.places.get(id).is_some_and(|place| place.leave(*since));
        let cleared = all.iter().filter(|one| leave(one)).count();
        self.leaving += cleared;
        if cleared == 0 {
            self.busy_until = now.saturating_add(u64::try_from(ALL_BUSY.as_millis()).unwrap_or(u64::MAX));
        }
        cleared
    }
}

fn is_idle(since: u64) -> bool {
    since != BUSY && since != LEAVING
}

impl Seat {
    /// What is known of the connection, for its own task.
    pub fn place(&self) -> &Arc<Place> {
        &self.place
    }

    /// The connection serves no request from now on. Who was asked to leave meanwhile is still to leave.
    pub fn rest(&self, now: Instant) {
        let now = self.seats.millis(now);
        let idle = |since| (since != LEAVING).then_some(now);
        // An error says that it is leaving.
        let _ = self.place.since.fetch_update(Ordering::Relaxed, Ordering::Relaxed, idle);
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut room = self.seats.room();
        room.places.remove(&self.id);
        if self.place.is_leaving() {
            room.leaving = room.leaving.saturating_sub(1);
        }
        if let Some(network) = self.network
            && let Some(alike) = room.networks.get_mut(&network)
        {
            *alike = alike.saturating_sub(1);
            if *alike == 0 {
                room.networks.remove(&network);
            }
        }
    }
}

impl Place {
    /// A request has come. `false` when the connection was asked to leave before.
    pub fn rouse(&self) -> bool {
        let since = self.since.load(Ordering::Relaxed);
        since != LEAVING
            && self.since.compare_exchange(since, BUSY, Ordering::Relaxed, Ordering::Relaxed).is_ok()
    }

    /// Whether it was asked to leave. Whoever waits is woken by that, if [`Place::attend`] was told before.
    pub fn is_leaving(&self) -> bool {
        self.since.load(Ordering::Acquire) == LEAVING
    }

    /// Asks it to leave if it has been idle since then.
    fn leave(&self, since: u64) -> bool {
        let left = self.since.compare_exchange(since, LEAVING, Ordering::Release, Ordering::Relaxed).is_ok();
        if left {
            self.waker.wake();
        }
        left
    }

    /// Who is to be woken when the connection is to leave, or has no streams any more.
    pub fn attend(&self, cx: &Context<'_>) {
        self.waker.register(cx.waker());
    }

    /// The client will have to be told before the connection is closed.
    pub fn will_be_told(&self) {
        self.parting.store(Parting::Told);
    }

    /// The client has said something.
    pub fn hear(&self) {
        if self.heard.load() == Heard::Nothing {
            self.heard.store(Heard::Something);
        }
    }

    /// Whether the client has said something since [`Place::hush`].
    pub fn heard(&self) -> Heard {
        self.heard.load()
    }

    /// What was said so far does not count.
    pub fn hush(&self) {
        self.heard.store(Heard::Nothing);
    }

    /// Requests that run on the connection, as [`Place::stream`] counts them.
    pub fn streams(&self) -> usize {
        self.streams.load(Ordering::Acquire)
    }

    /// One more request, until what this gives is dropped.
    pub fn stream(self: &Arc<Self>) -> StreamOn {
        self.streams.fetch_add(1, Ordering::Relaxed);
        StreamOn(self.clone())
    }
}

/// A request on a connection that can have several.
pub struct StreamOn(Arc<Place>);

impl Drop for StreamOn {
    fn drop(&mut self) {
        if self.0.streams.fetch_sub(1, Ordering::Release) == 1 {
            self.0.waker.wake();
        }
    }
}

#[cfg(test)]
mod tests;
