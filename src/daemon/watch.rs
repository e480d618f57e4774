//! Looks after one pool between requests: looks its names up again, checks its backends, compares their speed.

use std::collections::{BTreeSet, HashMap};
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use async_trait::async_trait;
use pingora_core::protocols::l4::socket::SocketAddr as PeerAddress;
use pingora_http::RequestHeader;
use pingora_load_balancing::discovery::ServiceDiscovery;
use pingora_load_balancing::{Backend as Target, Backends};

use super::fleet::{Checked, Fleet, Identity, Kept};
use super::probe::{HealthKey, Probe, jittered};
use super::resolver::{Local, NotFound};
use crate::config::plan::HealthPlan;
use crate::names::PoolName;
use crate::proxy::peer::{self, Connection};
use crate::rules::balance::Dice;
use crate::rules::pools::{Place, Pool};

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
    pool: Weak<Pool>,
    views: Vec<View>,
    /// Held while addresses are settled, which two names may do at once.
    settling: Mutex<()>,
    generation: u64,
    dice: Dice,
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
        let view = |_: &Side| {
            let targets = Arc::<ArcSwap<BTreeSet<Target>>>::default();
            let discovery = Box::new(Latest(targets.clone()));
            let backends = Backends::new_with_health_registry(discovery, care.kept.registry.clone());
            View { backends, targets }
        };
        let views = care.sides.iter().map(view).collect();
        let generation = care.kept.take_over();
        let dice = Dice::new(generation);
        Self { care, pool: Arc::downgrade(pool), views, settling: Mutex::default(), generation, dice }
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
        let last = self.care.kept.addresses(side.identity);
        if !last.is_empty() {
            self.lead(index, &last).await;
            // What was good a moment ago is good enough to begin with.
            first.take().map(|first| first.send(()));
        }
        loop {
            let found = fleet.resolver.addresses(&side.host, self.care.local).await;
            let Some(pool) = self.pool() else { return };
            let Some(backend) = pool.backends.get(index) else { return };
            let again = match found {
                Ok(found) => {
                    backend.metrics.looked_up("ok");
                    let addresses: Vec<_> =
                        found.addresses.iter().map(|ip| SocketAddr::new(*ip, side.port)).collect();
                    self.care.kept.remember(side.identity, &addresses);
                    self.lead(index, &addresses).await;
                    if trouble.take().is_some() {
                        log::info!(
                            "backend {} of pool {} has an address again",
                            backend.name,
                            self.care.pool
                        );
                    }
                    found.good_for.min(self.care.resolve)
                }
                Err(why) => {
                    backend.metrics.looked_up(why.label());
                    if trouble.replace(why) != Some(why) {
                        self.complain(&pool, index, why);
                    }
                    LOOK_AGAIN.min(self.care.resolve)
                }
            };
            drop(pool);
            first.take().map(|first| first.send(()));
            if side.host.parse::<IpAddr>().is_ok() {
                return;
            }
            tokio::time::sleep(jittered(again, self.dice.roll())).await;
        }
    }

    /// What is known goes on being used: a name server that fails says nothing of the backend.
    fn complain(&self, pool: &Pool, index: usize, why: NotFound) {
        let Some(backend) = pool.backends.get(index) else { return };
        let kept = self.views.get(index).is_some_and(|view| !view.targets.load().is_empty());
        let then = if kept { "its last addresses are used on" } else { "it is not asked until it has one" };
        log::warn!("backend {} of pool {} has no address: {why}; {then}", backend.name, self.care.pool);
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
        let vitals = self.care.kept.vitals(side.identity, address);
        let mut ext = http::Extensions::new();
        ext.insert(Arc::new(Checked {
            pool: self.care.pool.clone(),
            name: backend.name.clone(),
            vitals,
            metrics: backend.metrics.clone(),
        }));
        if let Some(health) = &self.care.health {
            let peer = peer::peer(address, &backend.reach, health.timeout, health.timeout, Connection::Any);
            ext.insert(Arc::new(Probe { peer, request: side.check.clone(), timeout: health.timeout }));
        }
        ext.insert(HealthKey(key(side, address, self.care.health.as_ref())));
        Some(Target { addr: PeerAddress::Inet(address), weight: usize::from(backend.weight), ext })
    }

    /// Tells the pool what all its backends' addresses are now.
    fn settle(&self, pool: &Pool) {
        let _one_at_a_time = self.settling.lock().unwrap_or_else(PoisonError::into_inner);
        let mut places = Vec::new();
        for (index, view) in self.views.iter().enumerate() {
            for target in view.backends.get_backend().iter() {
                let (Some(checked), Some(address)) =
                    (target.ext.get::<Arc<Checked>>(), target.addr.as_inet())
                else {
                    continue;
                };
                checked.vitals.set_up(view.backends.ready(target));
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
            if self.pool().is_none() {
                return;
            }
            let began = Instant::now();
            self.care.kept.registry.run_health_check(true).await;
            let rest = jittered(health.interval, self.dice.roll()).saturating_sub(began.elapsed());
            tokio::time::sleep(rest).await;
        }
    }
}

/// By which Pingora's load balancing knows an address again: all that a check's outcome rests on.
fn key(side: &Side, address: SocketAddr, health: Option<&HealthPlan>) -> u64 {
    use std::hash::{DefaultHasher, Hash, Hasher};
    let mut hasher = DefaultHasher::new();
    (side.identity, side.credential, address, health.map(|health| &health.path)).hash(&mut hasher);
    hasher.finish()
}
