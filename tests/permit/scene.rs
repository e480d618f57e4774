//! What all trials share: a tenant with two keys, requests that come and go, and who is inside.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use byname::rules::limits::period::Today;
use byname::rules::limits::{LimitKind, LimitRules};
use byname::rules::tick::Tick;
use shuttle::scheduler::{DfsScheduler, PctScheduler, RandomScheduler};
use shuttle::{Config, Runner, thread};

use crate::rules::limits::book::{Book, Charge, Full, Limit, Reservation, When, Windows};
use crate::rules::limits::ticket::{Queueing, Ticket};

/// Runs a scene in so many orders drawn at random: half of them fully so, half of them with few changes
/// between threads, at the worst moments.
pub fn in_many_orders(orders: usize, scene: fn()) {
    let seed = seed();
    println!("seed {seed}");
    Runner::new(RandomScheduler::new_from_seed(seed, orders / 2), config()).run(scene);
    Runner::new(PctScheduler::new_from_seed(seed, 3, orders / 2), config()).run(scene);
}

/// Runs a small scene in every order there is.
pub fn in_every_order(scene: fn()) {
    let orders = Runner::new(DfsScheduler::new(None, false), config()).run(scene);
    println!("{orders} orders");
    assert!(orders > 10, "there is nothing to be tried: {orders}");
}

fn seed() -> u64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since.map_or(0, |since| u64::from(since.subsec_nanos()))
}

fn config() -> Config {
    let mut config = Config::new();
    // Without optimisation a panic's text takes more than what threads get here by default.
    config.stack_size = 0x4_0000;
    config
}

/// Who is inside of one limit. The scheduler does not see these counts, so that they change nothing.
#[derive(Default)]
struct Inside(AtomicU64);

pub struct Scene {
    pub book: Arc<Book>,
    tenant: Limit,
    keys: [Limit; 2],
    inside: [Inside; 3],
    most: [u64; 3],
    requests: AtomicU64,
    tokens: AtomicU64,
}

/// How a request ends.
#[derive(Debug, Clone, Copy)]
pub enum End {
    /// It used so many tokens.
    Settled(u64),
    /// No backend answered it.
    Failed,
    /// It was cancelled before anyone knew what it cost.
    Cancelled,
}

/// What every request is taken to use.
pub const ESTIMATE: u64 = 10;

pub const LOCAL: Windows = Windows::Ours { instances: 1 };

pub fn now() -> When {
    let day_left = Duration::from_secs(9);
    let today = Today { day: 7, month: 1, day_left, month_left: day_left };
    When { now: Tick::ZERO.plus(Duration::from_secs(6000)), today }
}

impl Scene {
    /// A tenant that lets so many in at a time, and two keys that let so many in each.
    pub fn new(tenant: u64, key: u64, requests_per_minute: u64) -> Arc<Scene> {
        let book = Arc::new(Book::default());
        let counts = LimitRules {
            requests_per_minute: Some(requests_per_minute),
            tokens_per_minute: Some(100_000),
            tokens_per_day: Some(100_000),
            ..LimitRules::default()
        };
        let limit = |name, concurrent| {
            let rules = LimitRules { concurrent: Some(concurrent), ..counts };
            book.limit(name, rules)
        };
        let (tenant_limit, keys) = (limit("tenant", tenant), [limit("a", key), limit("b", key)]);
        Arc::new(Scene {
            book,
            tenant: tenant_limit,
            keys,
            inside: Default::default(),
            most: [tenant, key, key],
            requests: AtomicU64::default(),
            tokens: AtomicU64::default(),
        })
    }

    pub fn limits(&self, key: usize) -> Vec<Limit> {
        vec![self.tenant.clone(), self.keys[key].clone()]
    }

    pub fn ask(&self, key: usize, windows: Windows) -> Result<Reservation, Full> {
        self.book.reserve(self.limits(key), ESTIMATE, now(), windows, 1)
    }

    /// A place in line for a request of this key.
    pub fn line_up(&self, key: usize, depth: usize) -> Option<Ticket> {
        let place = Queueing { group: "general".into(), depth, who: ["a", "b"][key].into() };
        self.book.line_up(self.limits(key), ESTIMATE, now(), 1, place).ok()
    }

    /// Is inside for a while, and goes.
    pub fn serve(&self, key: usize, mut taken: Reservation, end: End) {
        let whose = [0, key + 1];
        for limit in whose {
            let inside = self.inside[limit].0.fetch_add(1, Relaxed) + 1;
            assert!(inside <= self.most[limit], "{inside} are inside where {} may be", self.most[limit]);
        }
        thread::yield_now();
        match end {
            End::Settled(tokens) => {
                self.requests.fetch_add(1, Relaxed);
                self.tokens.fetch_add(tokens, Relaxed);
                taken.settle(Charge::Tokens(tokens), now());
                // Settled it may linger; its slot is still its own.
                thread::yield_now();
            }
            End::Failed => taken.settle(Charge::Nothing, now()),
            End::Cancelled => {}
        }
        for limit in whose {
            self.inside[limit].0.fetch_sub(1, Relaxed);
        }
        drop(taken);
    }

    /// Waits until it is called, as the gateway does, and takes from the windows then.
    pub fn wait(&self, ticket: &Ticket) -> Reservation {
        let mut redeemed = ticket.redeem(now());
        while redeemed.is_none() {
            shuttle::future::block_on(ticket.called());
            redeemed = ticket.redeem(now());
        }
        let mut taken = redeemed.unwrap();
        taken.decide(1).expect("the windows are wide");
        taken
    }

    /// How many were settled so far.
    pub fn settled(&self) -> u64 {
        self.requests.load(Relaxed)
    }

    /// When all have gone: nobody is inside or in line, and the windows hold what was settled.
    pub fn check_empty(&self) {
        let used = |limit, kind| self.book.used(limit, kind, now());
        for limit in [&self.tenant, &self.keys[0], &self.keys[1]] {
            assert_eq!(used(limit, LimitKind::Concurrent), 0, "{}: slots are left", limit.name);
        }
        for (kind, settled) in [
            (LimitKind::RequestsPerMinute, &self.requests),
            (LimitKind::TokensPerMinute, &self.tokens),
            (LimitKind::TokensPerDay, &self.tokens),
        ] {
            let of_keys: u64 = self.keys.iter().map(|key| used(key, kind)).sum();
            assert_eq!(used(&self.tenant, kind), settled.load(Relaxed), "{}", kind.label());
            assert_eq!(of_keys, settled.load(Relaxed), "{} of keys", kind.label());
        }
        assert!(self.line_up(0, 1).is_some(), "somebody is left in line");
    }
}

/// What one thread does.
pub type Client = Box<dyn FnOnce(&Scene) + Send>;

/// Runs these at the same time, and then looks at what they left.
pub fn together(scene: &Arc<Scene>, clients: Vec<Client>) {
    let threads: Vec<_> = clients
        .into_iter()
        .map(|client| {
            let scene = Arc::clone(scene);
            thread::spawn(move || client(&scene))
        })
        .collect();
    threads.into_iter().for_each(|thread| thread.join().unwrap());
    scene.check_empty();
}
