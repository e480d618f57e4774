//! Looks after one pool between requests: looks its names up again, checks its backends, compares their speed.

use std::collections::{BTreeSet, HashMap};
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, Weak};
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use async_trait::async_trait;
use pingora_core::protocols::l4::socket::SocketAddr as PeerAddress;
use pingora_http::RequestHeader;
use pingora_load_balancing::discovery::ServiceDiscovery;
use pingora_load_balancing::{Backend as Target, Backends};

use super::fleet::{Checked, Checking, Fleet, Identity, Kept};
use super::held;
use super::probe::{HealthKey, Probe, jittered};
use super::resolver::{Family, Found, Local, NotFound};
use crate::config::plan::HealthPlan;
use crate::names::PoolName;
use crate::proxy::peer::{self, Connection};
use crate::rules::balance::Dice;
use crate::rules::pools::{Backend, Place, Pool};

/// How often the backends' speeds are compared.
const SURVEY: Duration = Duration::from_millis(500);
/// How soon a name is looked up again that could not be.
const LOOK_AGAIN: Duration = Duration::from_secs(2);
/// How long a start waits for names; without an answer it goes on without them.
const FIRST_ANSWERS: Duration = Duration::from_secs(6);

/// What is to be known of a backend to look after it.
pub struct Side {
    pub identity: Identity,
    pub host: String,
    pub port: u16,
    /// The head of its checks; `None` for a mere connection.
    pub check: Option<RequestHeader>,
    /// Differs when what we authenticate with does.
    pub credential: u64,
}

/// How a pool is looked after.
pub struct Care {
    pub pool: PoolName,
    pub kept: Arc<Kept>,
    /// In the order of [`Pool::backends`].
    pub sides: Vec<Side>,
    pub health: Option<HealthPlan>,
    /// How long an answer of a name server is used at most.
    pub resolve: Duration,
    pub local: Local,
}

/// A pool that is looked after.
struct Watch {
    care: Care,
    checking: Arc<Checking>,
    pool: Weak<Pool>,
    views: Vec<View>,
    /// Held while addresses are settled, which two names may do at once.
    settling: Mutex<()>,
    generation: u64,
    dice: Dice,
}

/// What is wrong with where a name leads.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Trouble {
    /// Nothing can be found.
    All(NotFound),
    /// One family cannot be asked for.
    Half(Family),
}

/// A backend's addresses as Pingora's load balancing sees them.
struct View {
    backends: Backends,
    targets: Arc<ArcSwap<BTreeSet<Target>>>,
}

/// Hands the latest addresses over.
struct Latest(Arc<ArcSwap<BTreeSet<Target>>>);

#[async_trait]
impl ServiceDiscovery for Latest {
    async fn discover(&self) -> pingora_error::Result<(BTreeSet<Target>, HashMap<u64, bool>)> {
        Ok((BTreeSet::clone(&self.0.load()), HashMap::new()))
    }
}

/// Looks after these pools from now on. Names are looked up before this returns, if somebody answers.
pub fn begin(fleet: &Arc<Fleet>, pools: Vec<(Arc<Pool>, Care)>) {
    let watches: Vec<_> = pools.into_iter().map(|(pool, care)| Arc::new(Watch::new(&pool, care))).collect();
    let seen: Vec<_> = watches
        .iter()
        .flat_map(|watch| (0..watch.care.sides.len()).map(move |side| (watch.clone(), side)))
        .map(|(watch, side)| {
            let (done, seen) = tokio::sync::oneshot::channel();
            fleet.runtime.spawn(watch.follow(side, fleet.clone(), done));
            seen
        })
        .collect();
    fleet.runtime.block_on(async {
        let all = async {
            for one in seen {
                // A task that ended has nothing to say.
                let _ = one.await;
            }
        };
        if tokio::time::timeout(FIRST_ANSWERS, all).await.is_err() {
            log::warn!("some names have not been looked up yet; their backends are not asked until then");
        }
    });
    for watch in watches {
        fleet.runtime.spawn(watch.clone().survey(fleet.clone()));
        if watch.care.health.is_some() {
            fleet.runtime.spawn(watch.check());
        }
    }
}

impl Watch {
    fn new(pool: &Arc<Pool>, care: Care) -> Self {
        let (generation, checking) = care.kept.take_over(care.health.as_ref());
        let view = |_: &Side| {
            let targets = Arc::<ArcSwap<BTreeSet<Target>>>::default();
            let discovery = Box::new(Latest(targets.clone()));
            let backends = Backends::new_with_health_registry(discovery, checking.registry.clone());
            View { backends, targets }
        };
        let views = care.sides.iter().map(view).collect();
        let dice = Dice::new(generation);
        let (pool, settling) = (Arc::downgrade(pool), Mutex::default());
        Self { care, checking, pool, views, settling, generation, dice }
    }

    /// The pool, as long as it is ours to look after.
    fn pool(&self) -> Option<Arc<Pool>> {
        self.pool.upgrade().filter(|_| self.care.kept.is_current(self.generation))
    }

    /// Follows where a backend's name leads, for ever; an address leads nowhere else. Says when it has
    /// been looked up for the first time.
    async fn follow(
        self: Arc<Self>,
        index: usize,
        fleet: Arc<Fleet>,
        first: tokio::sync::oneshot::Sender<()>,
    ) {
        let mut first = Some(first);
        let mut trouble = None;
        let Some(side) = self.care.sides.get(index) else { return };
        let last = self.last(side);
        if !last.is_empty() {
            self.lead(index, &last).await;
            // What was good a moment ago is good enough to begin with.
            first.take().map(|first| first.send(()));
        }
        loop {
            let found = fleet.resolver.addresses(&side.host, self.care.local).await;
            let Some(pool) = self.pool() else { return };
            let Some(backend) = pool.backends.get(index) else { return };
            let (outcome, now, again) = match &found {
                Ok(Found { missing: None, good_for, .. }) => ("ok", None, *good_for),
                Ok(Found { missing: Some(family), good_for, .. }) => {
                    ("partial", Some(Trouble::Half(*family)), *good_for)
                }
                Err(why) => (why.label(), Some(Trouble::All(*why)), LOOK_AGAIN),
            };
            backend.metrics.looked_up(outcome);
            if let Ok(found) = &found {
                let addresses = self.addresses(side, found);
                self.care.kept.remember(side.identity, &addresses);
                self.lead(index, &addresses).await;
            }
            let news = trouble != now;
            trouble = now;
            if news {
                self.tell(backend, side, trouble);
            }
            // What may last is asked for as usual, once that is clear.
            let again = if news && trouble.is_some() { again.min(LOOK_AGAIN) } else { again };
            drop(pool);
            first.take().map(|first| first.send(()));
            if side.host.parse::<IpAddr>().is_ok() {
                return;
            }
            tokio::time::sleep(jittered(again.min(self.care.resolve), self.dice.roll())).await;
        }
    }

    /// Where a backend's name led last, as far as it may lead there today.
    fn last(&self, side: &Side) -> Vec<SocketAddr> {
        let mut last = self.care.kept.addresses(side.identity);
        last.retain(|address| self.care.local.permits(&side.host, address.ip()));
        last
    }

    /// What was found, and for a family that could not be asked for, what it was last.
    fn addresses(&self, side: &Side, found: &Found) -> Vec<SocketAddr> {
        let last = || self.last(side).into_iter();
        let missing = |family: Family| last().filter(move |address| family.has(address.ip()));
        let found_now = found.addresses.iter().map(|ip| SocketAddr::new(*ip, side.port));
        found_now.chain(found.missing.into_iter().flat_map(missing)).collect()
    }

    /// Tells of a trouble that has begun, or of its end. What is known goes on being used: a name server that
    /// fails says nothing of the backend.
    fn tell(&self, backend: &Backend, side: &Side, trouble: Option<Trouble>) {
        let (name, pool, last) = (&backend.name, &self.care.pool, self.last(side));
        match trouble {
            None => {
                log::info!("all addresses of backend {name} of pool {pool} are known again");
            }
            Some(Trouble::All(why)) => {
                let then = if last.is_empty() {
                    "it is not asked until it has one"
                } else {
                    "its last addresses are used on"
                };
                log::warn!("backend {name} of pool {pool} has no address: {why}; {then}");
            }
            Some(Trouble::Half(family)) => {
                let then = if last.iter().any(|address| family.has(address.ip())) {
                    "the last ones are used on"
                } else {
                    "it is asked at the others alone"
                };
                log::warn!("{family} addresses of backend {name} of pool {pool} cannot be looked up; {then}");
            }
        }
    }

    /// Takes these for a backend's addresses.
    async fn lead(&self, index: usize, addresses: &[SocketAddr]) {
        let (Some(pool), Some(view), Some(side)) =
            (self.pool(), self.views.get(index), self.care.sides.get(index))
        else {
            return;
        };
        let targets =
            addresses.iter().filter_map(|address| self.target(&pool, index, side, *address)).collect();
        view.targets.store(Arc::new(targets));
        // The discovery above never fails, and there is one task for each view.
        let _ = view.backends.update(|_| {}).await;
        self.settle(&pool);
    }

    fn target(&self, pool: &Pool, index: usize, side: &Side, address: SocketAddr) -> Option<Target> {
        let backend = pool.backends.get(index)?;
        let key = key(side, address, self.care.health.as_ref(), self.checking.since);
        let (vitals, word) = self.care.kept.vitals(side.identity, address, self.generation, key);
        let mut ext = http::Extensions::new();
        ext.insert(Arc::new(Checked {
            pool: self.care.pool.clone(),
            name: backend.name.clone(),
            vitals,
            word,
            metrics: backend.metrics.clone(),
        }));
        if let Some(health) = &self.care.health {
            let peer = peer::peer(address, &backend.reach, health.timeout, health.timeout, Connection::Any);
            ext.insert(Arc::new(Probe { peer, request: side.check.clone(), timeout: health.timeout }));
        }
        ext.insert(HealthKey(key));
        Some(Target { addr: PeerAddress::Inet(address), weight: usize::from(backend.weight), ext })
    }

    /// Tells the pool what all its backends' addresses are now.
    fn settle(&self, pool: &Pool) {
        let _one_at_a_time = held(&self.settling);
        let mut places = Vec::new();
        for (index, view) in self.views.iter().enumerate() {
            for target in view.backends.get_backend().iter() {
                let (Some(checked), Some(address)) =
                    (target.ext.get::<Arc<Checked>>(), target.addr.as_inet())
                else {
                    continue;
                };
                checked.word.say(&checked.vitals, || view.backends.ready(target));
                places.push(Place { backend: index, address: *address, vitals: checked.vitals.clone() });
            }
        }
        pool.settle(&places);
    }

    async fn survey(self: Arc<Self>, fleet: Arc<Fleet>) {
        loop {
            tokio::time::sleep(SURVEY).await;
            let Some(pool) = self.pool() else { return };
            pool.survey(fleet.origin.tick(Instant::now()));
        }
    }

    async fn check(self: Arc<Self>) {
        let Some(health) = &self.care.health else { return };
        loop {
            let began = Instant::now();
            let round = self.checking.round.lock().await;
            if self.pool().is_none() {
                return;
            }
            self.checking.registry.run_health_check(true).await;
            drop(round);
            let rest = jittered(health.interval, self.dice.roll()).saturating_sub(began.elapsed());
            tokio::time::sleep(rest).await;
        }
    }
}

/// By which Pingora's load balancing knows an address again: all that a check's outcome rests on, and
/// since when its outcomes are counted.
fn key(side: &Side, address: SocketAddr, health: Option<&HealthPlan>, since: u64) -> u64 {
    use std::hash::{DefaultHasher, Hash, Hasher};
    let mut hasher = DefaultHasher::new();
    (side.identity, side.credential, address, health.map(|health| &health.path), since).hash(&mut hasher);
    hasher.finish()
}
