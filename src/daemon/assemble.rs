//! Plan to snapshot: secrets and certificates are read, handles are made. The impure half of configuring.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::time::{SystemTime, UNIX_EPOCH};

use bytes::Bytes;

use super::certificates::{self, material};
use super::fleet::{Fleet, Identity, Kept};
use super::ledger::{self, Ledger};
use super::policies::{Policies, policies};
use super::resolver::Local;
use super::root;
use super::secrets::{self, Unread, secret};
use super::tracing::{self, Posting};
use super::watch::{self, Care, Side};
use crate::config::place::{Fault, Way, Weight};
use crate::config::plan::{Access, BackendPlan, Dialect, ModelPlan, Plan, PoolPlan, Scheme, TenantPlan};
use crate::config::snapshot::{Limiting, Snapshot, Tenant};
use crate::config::unwise;
use crate::error::{GatewayError, UpstreamFault};
use crate::metrics::Metrics;
use crate::names::{Alias, ModelName, PoolName, Secret};
use crate::rules::auth::{KeyRing, Principal};
use crate::rules::balance::Dice;
use crate::rules::catalog::{AliasEntry, Catalog, Route};
use crate::rules::headers::{self, Door, UpwardHead};
use crate::rules::limits::LimitRules;
use crate::rules::limits::book::{Book, Limit};
use crate::rules::pools::{Backend, Gate, Pool, PoolParts};
use crate::rules::reach::{Reach, ServerName, Tls};
use crate::rules::retry::Budget;
use crate::rules::store::Store;
use crate::wire::ids::{Ids, Root};
use crate::wire::models::{self, ModelCard};
use crate::wire::refusal;
use crate::wire::splice::{Forward, JsonText};

/// A pool and what its requests are made of.
struct Built {
    pool: Arc<Pool>,
    dialect: Dialect,
    doors: Vec<DoorParts>,
}

struct DoorParts {
    host: String,
    base_path: String,
    key: Option<Secret>,
}

/// What can run, and does not yet.
pub struct Assembled {
    snapshot: Snapshot,
    cares: Vec<(Arc<Pool>, Care)>,
    posting: Option<Posting>,
    /// What is unwise about it.
    pub unwise: Vec<Fault>,
}

impl Assembled {
    /// Begins to look after its backends.
    pub fn begin(self, fleet: &Arc<Fleet>) -> Snapshot {
        watch::begin(fleet, self.cares);
        if let Some(posting) = self.posting {
            fleet.runtime.spawn(posting.run(fleet.clone()));
        }
        self.snapshot
    }
}

/// Builds what can run. Whether it fails or not, everything that runs is as it was.
///
/// # Errors
/// Every secret and every certificate that cannot be read.
pub fn assemble(plan: &Plan, metrics: &Metrics, lasting: &Lasting) -> Result<Assembled, Vec<Fault>> {
    let Lasting { fleet, ledger, store } = lasting;
    let (mut obstacles, mut unwise) = (Vec::new(), unwise::unwise(plan));
    let mut pools = HashMap::new();
    let mut cares = Vec::new();
    for pool in &plan.pools {
        unwise.extend(exposed_keys(pool));
        if let Some((built, care)) = self::pool(pool, metrics, lasting, &mut obstacles) {
            cares.push((built.pool.clone(), care));
            pools.insert(pool.name.clone(), built);
        }
    }
    unwise.extend(root::unwise(plan.id_secret.as_ref()));
    let built =
        plan.pools.iter().filter_map(|pool| pools.get(&pool.name).map(|built: &Built| (&pool.name, built)));
    let backend_keys =
        built.flat_map(|(name, built)| built.doors.iter().map(move |door| (name, door.key.as_ref())));
    let root = match root::root(plan.id_secret.as_ref(), backend_keys) {
        Ok(root) => root,
        Err(fault) => {
            obstacles.push(fault);
            return Err(obstacles);
        }
    };
    let policies = policies(plan, metrics, (fleet, ledger), &mut obstacles, &mut unwise);
    let mut routes = Routes { pools: &pools, known: HashMap::new() };
    let mut keys = KeyRing::default();
    let mut tenants = Vec::with_capacity(plan.tenants.len());
    for (tenant_index, tenant) in plan.tenants.iter().enumerate() {
        let book = ledger.tenant(&tenant.id);
        for key in
            tenant.keys.iter().filter(|key| (tenant.access, key.access) == (Access::Open, Access::Open))
        {
            // A disabled key is not among them, and so is refused as any that never was.
            let principal = Principal {
                tenant: tenant.id.clone(),
                key: key.id.clone(),
                tenant_index,
                scopes: key.scopes.clone(),
                expires: key.expires,
                limit: limit(&book, &ledger::key_name(&tenant.id, key.id.as_str()), key.limits),
            };
            keys.add(key.digest, principal);
        }
        tenants.push(Tenant {
            id: tenant.id.clone(),
            catalog: catalog(tenant, plan, &mut routes, &root, &policies, metrics, ledger),
            limit: limit(&book, &ledger::tenant_name(&tenant.id), tenant.limits),
            buffered: ledger.buffered(&tenant.id),
            turns: ledger.turns(&tenant.id),
            book,
            unnamed: metrics.alias(tenant.id.as_str(), ""),
        });
    }
    let traces = plan.tracing.as_ref().and_then(|of| tracing::prepare(of, metrics, &mut obstacles));
    if !obstacles.is_empty() {
        return Err(obstacles);
    }
    let pools = cares.iter().map(|(pool, _)| pool.clone()).collect();
    let nobody = metrics.alias("", "");
    let limiting = Limiting {
        headers: plan.rate_limit_headers,
        unknown_keys: plan.unknown_keys_per_minute,
        instances: plan.store.as_ref().map_or(1, |store| store.instances as u64),
        store: store.clone(),
    };
    let (tracing, posting) = tracing::of(plan, traces);
    let snapshot = Snapshot {
        caps: plan.caps,
        drain: plan.drain,
        clients: plan.clients,
        origin: fleet.origin,
        limiting,
        tracing,
        access: plan.log.access.as_ref().map(|_| plan.log.form),
        pools,
        keys,
        tenants,
        nobody,
    };
    Ok(Assembled { snapshot, cares, posting, unwise })
}

/// The keys of a pool's backends that others on this machine can read.
fn exposed_keys(pool: &PoolPlan) -> impl Iterator<Item = Fault> {
    pool.backends.iter().enumerate().filter_map(|(index, backend)| {
        secrets::unwise(backend.key.as_ref()?, backend_way(pool, index).field("key"))
    })
}

fn backend_way(pool: &PoolPlan, index: usize) -> Way {
    Way::to("pools").field(pool.name.as_str()).field("backends").item(index)
}

/// What one configuration hands on to the next.
pub struct Lasting {
    pub fleet: Arc<Fleet>,
    pub ledger: Arc<Ledger>,
    /// Where several gateways keep their limits together.
    pub store: Option<Arc<dyn Store>>,
}

/// The limit of an entity, if it has any.
fn limit(book: &Book, name: &str, rules: LimitRules) -> Option<Limit> {
    (!rules.is_empty()).then(|| book.limit(name, rules))
}

fn pool(
    plan: &PoolPlan,
    metrics: &Metrics,
    lasting: &Lasting,
    obstacles: &mut Vec<Fault>,
) -> Option<(Built, Care)> {
    let kept = lasting.fleet.kept(&plan.name);
    let before = obstacles.len();
    let (mut backends, mut doors, mut sides) = (Vec::new(), Vec::new(), Vec::new());
    for (index, of) in plan.backends.iter().enumerate() {
        match backend(of, plan, metrics, &kept) {
            Ok((backend, door, side)) => {
                backends.push(backend);
                doors.push(door);
                sides.push(side);
            }
            Err(obstacle) => obstacles.push(obstacle.at(backend_way(plan, index))),
        }
    }
    if obstacles.len() > before {
        return None;
    }
    let forward = Forward::new(plan.forward_fields.iter().map(String::as_str));
    let book = lasting.ledger.pool(&plan.name);
    let gate = limit(&book, &ledger::pool_name(&plan.name), plan.limits).map(|limit| Gate { book, limit });
    let pool = Arc::new(Pool::new(PoolParts {
        name: plan.name.clone(),
        backends,
        balance: plan.balance,
        breaker: plan.breaker,
        timeouts: plan.timeouts,
        retry: plan.retry,
        forward,
        gate,
        passing: plan.passing,
        provider: match plan.dialect {
            Dialect::OpenAi => "openai",
            Dialect::Azure { .. } => "azure.ai.openai",
        },
    }));
    let care = Care {
        pool: plan.name.clone(),
        kept,
        sides,
        health: plan.health.clone(),
        resolve: plan.resolve,
        local: if plan.local_addresses { Local::Allowed } else { Local::Denied },
    };
    Some((Built { pool, dialect: plan.dialect.clone(), doors }, care))
}

/// What keeps a backend from being asked.
enum Obstacle {
    Key(Unread),
    /// The field of `tls` that is wrong, and why: `.ca: …`.
    Tls(String),
}

impl Obstacle {
    fn at(self, backend: Way) -> Fault {
        match self {
            Self::Key(unread) => unread.at(backend.field("key")),
            Self::Tls(why) => certificates::fault(backend.field("tls"), &why),
        }
    }
}

fn backend(
    plan: &BackendPlan,
    pool: &PoolPlan,
    metrics: &Metrics,
    kept: &Kept,
) -> Result<(Backend, DoorParts, Side), Obstacle> {
    let key = plan.key.as_ref().map(secret).transpose().map_err(Obstacle::Key)?;
    let (tls, fingerprint, usual_port) = match plan.scheme {
        Scheme::Http => (None, 0, 80),
        Scheme::Https => {
            let material = material(&plan.tls).map_err(Obstacle::Tls)?;
            let name = plan.tls.server_name.as_deref().unwrap_or(&plan.host);
            let server_name =
                ServerName::new(name).ok_or_else(|| Obstacle::Tls(".server_name: is empty".to_owned()))?;
            (Some(Tls { server_name, material: material.prepared }), material.fingerprint, 443)
        }
    };
    let host = headers::host(&plan.host, plan.port, usual_port);
    let identity = identity(plan, pool, fingerprint);
    let door = DoorParts { host, base_path: plan.base_path.clone(), key: key.clone() };
    // Any model will do to see whether a head can be made.
    let sample =
        door.door(&pool.dialect, "m").and_then(|made| Some((UpwardHead::new(&door.host, &made)?, made)));
    let (_, made) = sample.ok_or_else(|| {
        let wrong = "has bytes that cannot stand in a header".to_owned();
        Obstacle::Key(Unread { wrong, mend: "put the plain key there", weight: Weight::Obstacle })
    })?;
    let path = pool.health.as_ref().and_then(|health| health.path.as_deref());
    let check = path.and_then(|path| UpwardHead::check(&door.host, path, &made));
    let backend = Backend {
        name: plan.name.clone(),
        weight: plan.weight,
        reach: Reach { tls, h2: plan.h2, group: identity.0 & !(1 << 63) },
        credential: kept.credential(identity, key.as_ref()),
        metrics: metrics.backend(pool.name.as_str(), plan.name.as_str()),
    };
    let credential = hash(&key.as_ref().map(Secret::reveal));
    let side = Side { identity, host: plan.host.clone(), port: plan.port, check, credential };
    Ok((backend, door, side))
}

/// All that makes a backend what it is. Another weight or another key does not make it another backend.
fn identity(plan: &BackendPlan, pool: &PoolPlan, fingerprint: u64) -> Identity {
    let https = plan.scheme == Scheme::Https;
    Identity(hash(&(
        &pool.name,
        &plan.name,
        https,
        &plan.base_path,
        plan.h2,
        &plan.tls.server_name,
        fingerprint,
    )))
}

fn hash(what: &impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    what.hash(&mut hasher);
    hasher.finish()
}

impl DoorParts {
    fn door(&self, dialect: &Dialect, model: &str) -> Option<Door> {
        match dialect {
            Dialect::OpenAi => Door::openai(&self.base_path, self.key.as_ref()),
            Dialect::Azure { api_version } => {
                Door::azure(&self.base_path, model, api_version, self.key.as_ref())
            }
        }
    }
}

/// The heads of each route's backends, made once for all aliases that share them.
struct Routes<'p> {
    pools: &'p HashMap<PoolName, Built>,
    known: HashMap<(PoolName, Option<ModelName>), Arc<[UpwardHead]>>,
}

impl Routes<'_> {
    fn route(&mut self, pool: &PoolName, model: &ModelName) -> Option<Route> {
        let built = self.pools.get(pool)?;
        let by_model = match built.dialect {
            Dialect::OpenAi => None,
            Dialect::Azure { .. } => Some(model.clone()),
        };
        let make = || -> Option<Arc<[UpwardHead]>> {
            let head =
                |door: &DoorParts| UpwardHead::new(&door.host, &door.door(&built.dialect, model.as_str())?);
            built.doors.iter().map(head).collect()
        };
        let key = (pool.clone(), by_model);
        let heads = match self.known.get(&key) {
            Some(heads) => heads.clone(),
            None => self.known.entry(key).or_insert(make()?).clone(),
        };
        Some(Route::new(built.pool.clone(), JsonText::new(model.as_str()), heads))
    }
}

fn catalog(
    tenant: &TenantPlan,
    plan: &Plan,
    routes: &mut Routes<'_>,
    root: &Root,
    policies: &Policies,
    metrics: &Metrics,
    ledger: &Ledger,
) -> Catalog {
    let book = ledger.tenant(&tenant.id);
    // The alias exists for a client since this configuration does.
    let created = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let owned = plan.openai_models.then(|| (created, tenant.id.as_str()));
    let card = |model| card(model, owned);
    let entries = tenant.models.iter().zip(1..).map(|(model, seed)| {
        let routes: Vec<_> =
            model.routes.iter().filter_map(|route| routes.route(&route.pool, &route.model)).collect();
        AliasEntry {
            alias: model.alias.clone(),
            budget: Budget::default(),
            dice: Dice::new(seed),
            limit: limit(&book, &ledger::alias_name(&tenant.id, &model.alias), model.limits),
            queue: model.queue,
            waiting: AtomicUsize::new(0),
            counts_tokens: routes
                .iter()
                .any(|route| route.pool.gate.as_ref().is_some_and(|gate| gate.limit.rules.counts_tokens())),
            learned: ledger.learned(&tenant.id, &model.alias),
            routes,
            expose: model.expose,
            ids: Arc::new(Ids::new(root, tenant.id.as_str(), model.alias.as_str())),
            policy: model.policy.as_ref().and_then(|name| policies.get(name)).cloned(),
            card: models::one(card(model)),
            last_words: last_words(&model.alias),
            metrics: metrics.alias(tenant.id.as_str(), model.alias.as_str()),
        }
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
