//! What runs: all that a request may see of the configuration.

use std::sync::Arc;
use std::time::Duration;

use crate::config::plan::{Caps, Clients, LogForm};
use crate::metrics::AliasMetrics;
use crate::names::TenantId;
use crate::rules::auth::{KeyRing, Principal};
use crate::rules::buffered::Buffered;
use crate::rules::catalog::Catalog;
use crate::rules::limits::book::{Book, Limit};
use crate::rules::pools::Pool;
use crate::rules::store::Store;
use crate::rules::tick::Origin;
use crate::rules::trace::Tracing;
use crate::rules::turns::Turns;

/// One generation of the configuration, ready for requests. A request keeps the one it started with.
#[derive(Debug)]
pub struct Snapshot {
    pub caps: Caps,
    /// How long running streams may go on when the daemon stops.
    pub drain: Duration,
    pub clients: Clients,
    /// What ticks are counted from.
    pub origin: Origin,
    pub limiting: Limiting,
    /// What the line of a request looks like; `None` writes none.
    pub access: Option<LogForm>,
    /// Which requests are traced; `None` looks at no trace at all.
    pub tracing: Option<Tracing>,
    /// Every pool that a route leads to, and those that none does.
    pub pools: Vec<Arc<Pool>>,
    pub keys: KeyRing,
    /// Indexed by [`Principal::tenant_index`].
    pub tenants: Vec<Tenant>,
    /// Counts requests that belong to no tenant.
    pub nobody: Arc<AliasMetrics>,
}

/// How limits are kept and told.
pub struct Limiting {
    /// Whether answers say what is left of them.
    pub headers: bool,
    /// Requests without a good key that one address may make in a minute.
    pub unknown_keys: u64,
    /// How many gateways share them; at least 1.
    pub instances: u64,
    /// Where several gateways keep them together.
    pub store: Option<Arc<dyn Store>>,
}

impl std::fmt::Debug for Limiting {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let shared = self.store.is_some();
        write!(f, "Limiting {{ headers: {}, instances: {}, store: {shared} }}", self.headers, self.instances)
    }
}

/// What one tenant's callers may see.
#[derive(Debug)]
pub struct Tenant {
    pub id: TenantId,
    pub catalog: Catalog,
    /// Where the tenant, its keys and its aliases are counted.
    pub book: Arc<Book>,
    /// What all of them together may use.
    pub limit: Option<Limit>,
    /// What its request bodies take of the memory for all.
    pub buffered: Buffered,
    /// How they take turns with those of others.
    pub turns: Turns,
    /// Counts requests that named no alias of the tenant's.
    pub unnamed: Arc<AliasMetrics>,
}

impl Snapshot {
    /// The caller's tenant. The only way to a catalogue is through a caller.
    pub fn tenant(&self, caller: &Principal) -> Option<&Tenant> {
        self.tenants.get(caller.tenant_index)
    }
}
