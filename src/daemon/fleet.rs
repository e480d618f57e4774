//! What is known of backends, whatever the configuration of the day: their health, how busy they are, what
//! their names lead to. A backend that a new configuration leaves as it was goes on as it is.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Instant;

use pingora_load_balancing::{Backend as Target, HealthRegistry};
use tokio::runtime::{Builder, Runtime};

use super::probe::{self, Checks};
use super::resolver::Resolver;
use crate::config::plan::HealthPlan;
use crate::metrics::BackendMetrics;
use crate::names::{BackendName, PoolName, Secret};
use crate::rules::credential::Credential;
use crate::rules::tick::Origin;
use crate::rules::vitals::Vitals;

/// All backends of all generations, and the runtime on which they are looked after.
pub struct Fleet {
    /// What ticks are counted from.
    pub origin: Origin,
    pub resolver: Resolver,
    pub runtime: Runtime,
    pools: Mutex<HashMap<PoolName, Arc<Kept>>>,
}

/// By which a backend is known again: a hash of all that makes it what it is, but for its weight.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Identity(pub u64);

/// What outlives a configuration of one pool.
pub struct Kept {
    thresholds: Option<(usize, usize)>,
    pub registry: Arc<HealthRegistry>,
    vitals: Mutex<HashMap<(Identity, SocketAddr), Weak<Vitals>>>,
    credentials: Mutex<HashMap<Identity, Presented>>,
    /// Where names last led to.
    addresses: Mutex<HashMap<Identity, Vec<SocketAddr>>>,
    /// Which configuration looks after it now.
    generation: AtomicU64,
}

/// A credential as it was when it was last configured, and what became of it.
type Presented = (Option<Secret>, Weak<Credential>);

/// What a check's outcome is told to; in the target's `ext`.
pub struct Checked {
    pub pool: PoolName,
    pub name: BackendName,
    pub vitals: Arc<Vitals>,
    pub metrics: Arc<BackendMetrics>,
}

impl Fleet {
    /// With these name servers, or the system's if there are none.
    ///
    /// # Errors
    /// When the system's configuration cannot be read, or no thread can be started.
    pub fn new(servers: &[SocketAddr]) -> Result<Self, String> {
        let runtime = Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("fleet")
            .enable_all()
            .build()
            .map_err(|why| format!("no thread can be started to look after backends: {why}"))?;
        let resolver = Resolver::new(servers)?;
        Ok(Self { origin: Origin::new(Instant::now()), resolver, runtime, pools: Mutex::default() })
    }

    /// What is kept for a pool. Checks with other thresholds start from nothing.
    pub fn kept(&self, pool: &PoolName, health: Option<&HealthPlan>) -> Arc<Kept> {
        let thresholds = health.map(|health| (health.failures, health.successes));
        let mut pools = held(&self.pools);
        let fits = pools.get(pool).filter(|kept| kept.thresholds == thresholds);
        if let Some(kept) = fits {
            return kept.clone();
        }
        let kept = Arc::new(Kept::new(thresholds));
        if let Some(old) = pools.insert(pool.clone(), kept.clone()) {
            old.generation.fetch_add(1, Ordering::AcqRel);
            // Only active health depends on the thresholds.
            std::mem::swap(&mut *held(&kept.addresses), &mut *held(&old.addresses));
            std::mem::swap(&mut *held(&kept.credentials), &mut *held(&old.credentials));
        }
        kept
    }
}

impl Kept {
    fn new(thresholds: Option<(usize, usize)>) -> Self {
        let (failures, successes) = thresholds.unwrap_or((1, 1));
        let registry = probe::registry(Checks {
            failures,
            successes,
            on_change: Box::new(changed),
            on_result: Box::new(|target, result| {
                if let Some(checked) = target.ext.get::<Arc<Checked>>() {
                    checked.metrics.checked(result.err().unwrap_or("ok"));
                }
            }),
        });
        Self {
            thresholds,
            registry,
            vitals: Mutex::default(),
            credentials: Mutex::default(),
            addresses: Mutex::default(),
            generation: AtomicU64::new(0),
        }
    }

    /// What is known of one address.
    pub fn vitals(&self, backend: Identity, address: SocketAddr) -> Arc<Vitals> {
        let mut all = held(&self.vitals);
        if let Some(known) = all.get(&(backend, address)).and_then(Weak::upgrade) {
            return known;
        }
        all.retain(|_, vitals| vitals.strong_count() > 0);
        let vitals = Arc::<Vitals>::default();
        all.insert((backend, address), Arc::downgrade(&vitals));
        vitals
    }

    /// Whether a backend takes its credential; a new one gets a new chance.
    pub fn credential(&self, backend: Identity, key: Option<&Secret>) -> Arc<Credential> {
        let mut all = held(&self.credentials);
        if let Some((known, credential)) = all.get(&backend)
            && known.as_ref() == key
            && let Some(credential) = credential.upgrade()
        {
            return credential;
        }
        let credential = Arc::<Credential>::default();
        all.retain(|_, (_, credential)| credential.strong_count() > 0);
        all.insert(backend, (key.cloned(), Arc::downgrade(&credential)));
        credential
    }

    /// Where a backend's name last led to; nothing when it never did.
    pub fn addresses(&self, backend: Identity) -> Vec<SocketAddr> {
        held(&self.addresses).get(&backend).cloned().unwrap_or_default()
    }

    /// Remembers where a backend's name leads to.
    pub fn remember(&self, backend: Identity, addresses: &[SocketAddr]) {
        held(&self.addresses).insert(backend, addresses.to_vec());
    }

    /// A new configuration begins to look after the pool; those before it stop.
    pub fn take_over(&self) -> u64 {
        self.generation.fetch_add(1, Ordering::AcqRel) + 1
    }

    /// Whether the configuration that got this number still looks after the pool.
    pub fn is_current(&self, generation: u64) -> bool {
        self.generation.load(Ordering::Acquire) == generation
    }
}

fn changed(target: &Target, healthy: bool) {
    let Some(checked) = target.ext.get::<Arc<Checked>>() else { return };
    checked.vitals.set_up(healthy);
    let (pool, name) = (&checked.pool, &checked.name);
    if healthy {
        log::info!("backend {name} of pool {pool} is up again at {}", target.addr);
    } else {
        log::warn!("backend {name} of pool {pool} is down at {}: its checks fail", target.addr);
    }
}

fn held<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
