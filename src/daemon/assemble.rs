//! Plan to snapshot: secrets are read, names are resolved, handles are made. The impure half of configuring.

use std::fmt;
use std::net::{SocketAddr, ToSocketAddrs};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use bytes::Bytes;

use crate::config::plan::{BackendPlan, ModelPlan, Plan, PoolPlan, Scheme, SecretRef, TenantPlan};
use crate::config::snapshot::{Snapshot, Tenant};
use crate::error::{GatewayError, UpstreamFault};
use crate::metrics::Metrics;
use crate::names::{Alias, PoolName, Secret};
use crate::rules::auth::{KeyRing, Principal};
use crate::rules::catalog::{AliasEntry, Catalog, Route};
use crate::rules::headers::UpwardHead;
use crate::rules::pools::{Backend, Pool};
use crate::wire::models::{self, ModelCard};
use crate::wire::refusal;
use crate::wire::splice::{Forward, JsonText};

/// The largest secret that is read, in bytes.
const MAX_SECRET: u64 = 64 * 1024;

/// Everything that keeps a good plan from running.
#[derive(Debug)]
pub struct Obstacles(Vec<String>);

impl fmt::Display for Obstacles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join("\n"))
    }
}

/// Builds what runs.
///
/// # Errors
/// Every secret that cannot be read and every name that cannot be resolved.
pub fn assemble(plan: &Plan, metrics: &Metrics) -> Result<Snapshot, Obstacles> {
    let mut obstacles = Vec::new();
    let pools: Vec<(PoolName, Arc<Pool>)> = plan
        .pools
        .iter()
        .map(|pool| (pool.name.clone(), Arc::new(self::pool(pool, metrics, &mut obstacles))))
        .collect();
    if !obstacles.is_empty() {
        return Err(Obstacles(obstacles));
    }
    let mut keys = KeyRing::default();
    let mut tenants = Vec::with_capacity(plan.tenants.len());
    for (tenant_index, tenant) in plan.tenants.iter().enumerate() {
        for key in &tenant.keys {
            let principal = Principal {
                tenant: tenant.id.clone(),
                key: key.id.clone(),
                tenant_index,
                scopes: key.scopes.clone(),
                expires: key.expires,
            };
            keys.add(key.digest, principal);
        }
        tenants.push(Tenant {
            catalog: catalog(tenant, plan, &pools, metrics),
            unnamed: metrics.alias(tenant.id.as_str(), ""),
        });
    }
    Ok(Snapshot { caps: plan.caps, keys, tenants, nobody: metrics.alias("", "") })
}

fn pool(plan: &PoolPlan, metrics: &Metrics, obstacles: &mut Vec<String>) -> Pool {
    let mut backends = Vec::with_capacity(plan.backends.len());
    for (index, backend) in plan.backends.iter().enumerate() {
        match self::backend(backend, &plan.name, metrics) {
            Ok(backend) => backends.push(backend),
            Err(why) => obstacles.push(format!("pools.{}.backends[{index}]{why}", plan.name)),
        }
    }
    let forward = Forward::new(plan.forward_fields.iter().map(String::as_str));
    Pool::new(plan.name.clone(), backends, plan.timeouts, plan.attempts, forward)
}

fn backend(plan: &BackendPlan, pool: &PoolName, metrics: &Metrics) -> Result<Backend, String> {
    let key = plan.key.as_ref().map(secret).transpose().map_err(|why| format!(".key: {why}"))?;
    let address = resolve(plan).map_err(|why| format!(".url: {why}"))?;
    let (tls_name, usual_port) = match plan.scheme {
        Scheme::Http => (None, 80),
        Scheme::Https => (Some(plan.host.clone()), 443),
    };
    let bracketed = if plan.host.contains(':') { format!("[{}]", plan.host) } else { plan.host.clone() };
    let host = if plan.port == usual_port { bracketed } else { format!("{bracketed}:{}", plan.port) };
    let head = UpwardHead::new(&host, &plan.base_path, key.as_ref())
        .ok_or(".key: has bytes that cannot stand in a header; put the plain key there")?;
    let metrics = metrics.backend(pool.as_str(), plan.name.as_str());
    Ok(Backend { name: plan.name.clone(), address, tls_name, head, metrics })
}

fn resolve(plan: &BackendPlan) -> Result<SocketAddr, String> {
    let found = (plan.host.as_str(), plan.port).to_socket_addrs();
    let mut addresses = found.map_err(|why| format!("'{}' cannot be resolved: {why}", plan.host))?;
    addresses.next().ok_or_else(|| format!("'{}' has no address", plan.host))
}

fn secret(reference: &SecretRef) -> Result<Secret, String> {
    let text = match reference {
        SecretRef::Env(name) => std::env::var(name)
            .map_err(|_| format!("the environment variable {name} is not set, or not UTF-8"))?,
        SecretRef::File(path) => read(path)?,
        SecretRef::Credential(name) => {
            let directory = std::env::var_os("CREDENTIALS_DIRECTORY").ok_or_else(|| {
                format!(
                    "credential {name}: there is no $CREDENTIALS_DIRECTORY; add LoadCredential= to the unit"
                )
            })?;
            read(&PathBuf::from(directory).join(name))?
        }
    };
    let text = text.strip_suffix('\n').unwrap_or(&text);
    let text = text.strip_suffix('\r').unwrap_or(text);
    if text.is_empty() { Err("the secret is empty".into()) } else { Ok(Secret::new(text)) }
}

fn read(path: &Path) -> Result<String, String> {
    let unreadable = |why: String| format!("{}: {why}", path.display());
    let size = std::fs::metadata(path).map_err(|e| unreadable(e.to_string()))?.len();
    if size > MAX_SECRET {
        return Err(unreadable(format!("is larger than {MAX_SECRET} bytes: is this the right file?")));
    }
    std::fs::read_to_string(path).map_err(|e| unreadable(e.to_string()))
}

fn catalog(tenant: &TenantPlan, plan: &Plan, pools: &[(PoolName, Arc<Pool>)], metrics: &Metrics) -> Catalog {
    // The alias exists for a client since this configuration does.
    let created = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let owned = plan.openai_models.then(|| (created, tenant.id.as_str()));
    let card = |model| card(model, owned);
    let entries = tenant.models.iter().map(|model| AliasEntry {
        alias: model.alias.clone(),
        routes: model
            .routes
            .iter()
            .filter_map(|route| {
                let (_, pool) = pools.iter().find(|(name, _)| *name == route.pool)?;
                Some(Route { pool: pool.clone(), model: JsonText::new(route.model.as_str()) })
            })
            .collect(),
        expose: model.expose,
        card: models::one(card(model)),
        last_words: last_words(&model.alias),
        metrics: metrics.alias(tenant.id.as_str(), model.alias.as_str()),
    });
    Catalog::new(entries.collect(), models::list(tenant.models.iter().map(card)))
}

fn last_words(alias: &Alias) -> Bytes {
    let broken = GatewayError::UpstreamDown { alias: alias.clone(), fault: UpstreamFault::Truncated };
    refusal::event(&broken.public())
}

fn card<'a>(model: &'a ModelPlan, created_owned: Option<(u64, &'a str)>) -> ModelCard<'a> {
    ModelCard {
        id: model.alias.as_str(),
        display_name: &model.display_name,
        description: &model.description,
        created_owned,
    }
}
