//! What runs: all that a request may see of the configuration.

use std::sync::Arc;

use crate::config::plan::Caps;
use crate::metrics::AliasMetrics;
use crate::rules::auth::{KeyRing, Principal};
use crate::rules::catalog::Catalog;
use crate::rules::pools::Pool;
use crate::rules::tick::Origin;

/// One generation of the configuration, ready for requests. A request keeps the one it started with.
#[derive(Debug)]
pub struct Snapshot {
    pub caps: Caps,
    /// What ticks are counted from.
    pub origin: Origin,
    /// Every pool that a route leads to, and those that none does.
    pub pools: Vec<Arc<Pool>>,
    pub keys: KeyRing,
    /// Indexed by [`Principal::tenant_index`].
    pub tenants: Vec<Tenant>,
    /// Counts requests that belong to no tenant.
    pub nobody: AliasMetrics,
}

/// What one tenant's callers may see.
#[derive(Debug)]
pub struct Tenant {
    pub catalog: Catalog,
    /// Counts requests that named no alias of the tenant's.
    pub unnamed: AliasMetrics,
}

impl Snapshot {
    /// The caller's tenant. The only way to a catalogue is through a caller.
    pub fn tenant(&self, caller: &Principal) -> Option<&Tenant> {
        self.tenants.get(caller.tenant_index)
    }
}
