//! What a tenant's requests do one after the other, so that tenants take turns at what there is little of.

use std::sync::Arc;

use tokio::sync::Semaphore;

/// A tenant's turns: one for each thing, which lasts as long as the process. Clones share them.
#[derive(Debug, Clone)]
pub struct Turns {
    /// At having a long prompt looked through.
    pub long: Arc<Semaphore>,
    /// At having one looked through that takes long.
    pub hard: Arc<Semaphore>,
}

impl Default for Turns {
    fn default() -> Self {
        let [long, hard] = [(); 2].map(|()| Arc::new(Semaphore::new(1)));
        Self { long, hard }
    }
}
