//! What is known of backends, whatever the configuration of the day: their health, how busy they are, what
//! their names lead to. A backend that a new configuration leaves as it was goes on as it is.

mod checking;

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, Weak};
use std::time::Instant;

use tokio::runtime::{Builder, Runtime};

use self::checking::Floor;
pub use self::checking::{Checked, Checking, Word};
use super::held;
use super::resolver::Resolver;
use crate::config::plan::HealthPlan;
use crate::names::{PoolName, Secret};
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
#[derive(Default)]
pub struct Kept {
    vitals: Mutex<HashMap<(Identity, SocketAddr), Known>>,
    credentials: Mutex<HashMap<Identity, Vec<Presented>>>,
    /// Where names last led to.
    addresses: Mutex<HashMap<Identity, Vec<SocketAddr>>>,
    /// The checks of the configuration that looks after it now; none before the first.
    checking: Mutex<Option<Arc<Checking>>>,
    /// Which configuration looks after it now.
    generation: AtomicU64,
}

/// What is known of an address, and where its checks speak.
type Known = (Weak<Vitals>, Floor);

/// A credential as it was configured, and what became of it.
type Presented = (Option<Secret>, Weak<Credential>);

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

    /// What is kept for a pool. Nothing of the configuration that runs is changed by asking.
    pub fn kept(&self, pool: &PoolName) -> Arc<Kept> {
        held(&self.pools).entry(pool.clone()).or_default().clone()
    }
}

impl Kept {
    /// What is known of one address. Whether it is up, a `generation` says from now on by the checks of this
    /// `key`, unless a later one has spoken.
    pub fn vitals(
        &self,
        backend: Identity,
        address: SocketAddr,
        generation: u64,
        key: u64,
    ) -> (Arc<Vitals>, Word) {
        let mut all = held(&self.vitals);
        if let Some((vitals, floor)) = all.get(&(backend, address))
            && let Some(vitals) = vitals.upgrade()
        {
            return (vitals, floor.word(generation, key));
        }
        all.retain(|_, (vitals, _)| vitals.strong_count() > 0);
        let (vitals, floor) = (Arc::<Vitals>::default(), Floor::default());
        let word = floor.word(generation, key);
        all.insert((backend, address), (Arc::downgrade(&vitals), floor));
        (vitals, word)
    }

    /// Whether a backend takes this credential; a new one gets a new chance. Those of other configurations
    /// that still run are not forgotten.
    pub fn credential(&self, backend: Identity, key: Option<&Secret>) -> Arc<Credential> {
        let mut all = held(&self.credentials);
        all.retain(|_, presented| {
            presented.retain(|(_, credential)| credential.strong_count() > 0);
            !presented.is_empty()
        });
        let presented = all.entry(backend).or_default();
        let known = presented.iter().find(|(known, _)| known.as_ref() == key);
        if let Some(credential) = known.and_then(|(_, credential)| credential.upgrade()) {
            return credential;
        }
        let credential = Arc::<Credential>::default();
        presented.push((key.cloned(), Arc::downgrade(&credential)));
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

    /// A new configuration begins to look after the pool; those before it stop. Gives its number and its
    /// checks: those with other thresholds start from nothing.
    pub fn take_over(&self, health: Option<&HealthPlan>) -> (u64, Arc<Checking>) {
        let thresholds = health.map(|health| (health.failures, health.successes));
        let mut now = held(&self.checking);
        let generation = self.generation.fetch_add(1, Ordering::AcqRel) + 1;
        let fits = now.take().filter(|checking| checking.thresholds == thresholds);
        let checking = fits.unwrap_or_else(|| Arc::new(Checking::new(thresholds, generation)));
        *now = Some(checking.clone());
        (generation, checking)
    }

    /// Whether the configuration that got this number still looks after the pool.
    pub fn is_current(&self, generation: u64) -> bool {
        self.generation.load(Ordering::Acquire) == generation
    }
}

#[cfg(test)]
mod tests;
