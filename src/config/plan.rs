//! What a configuration means: values only, comparable, complete.
//!
//! Nothing here is optional that is not optional in life, and nothing needs checking again.

use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use log::LevelFilter;

use crate::error::Scope;
use crate::names::{Alias, BackendName, KeyDigest, KeyId, ModelName, PolicyName, PoolName, TenantId};
pub use crate::rules::balance::Balance;
pub use crate::rules::breaker::BreakerRules;
pub use crate::rules::content::{Allowed, Answers, OnFailure};
pub use crate::rules::limits::{LimitRules, QueueRules};
pub use crate::rules::retry::RetryRules;
pub use crate::rules::timeouts::Timeouts;
pub use crate::rules::trace::Passing;
use crate::wire::completion::Expose;

/// A whole configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// What only a start can change.
    pub boot: Boot,
    /// What the listeners of `boot.listen` that speak TLS show, by their place there. It may change while
    /// the sockets stay.
    pub certificates: BTreeMap<usize, TlsListen>,
    /// How much a request may cost.
    pub caps: Caps,
    /// How long running streams may go on when the daemon stops.
    pub drain: Duration,
    /// How much clients may take of us.
    pub clients: Clients,
    /// Whether `/v1/models` also carries `created` and `owned_by`.
    pub openai_models: bool,
    /// Whether answers tell clients what is left of their limits.
    pub rate_limit_headers: bool,
    /// How many requests without a good key one client address may make in a minute; at least 1.
    pub unknown_keys_per_minute: u64,
    /// What ids of tool calls and identifiers of customers are made with; `None` is what the backends' keys give.
    pub id_secret: Option<SecretRef>,
    /// What several gateways count together in; `None` is each for itself.
    pub store: Option<StorePlan>,
    pub log: LogPlan,
    /// Who is told what requests went through; `None` is nobody.
    pub tracing: Option<TracingPlan>,
    /// In the order of the file.
    pub pools: Vec<PoolPlan>,
    /// In the order of the file.
    pub policies: Vec<PolicyPlan>,
    /// In the order of the file.
    pub tenants: Vec<TenantPlan>,
}

/// What only a start can change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Boot {
    /// At least one.
    pub listen: Vec<Listener>,
    /// `/metrics`, `/healthz`, `/readyz`, `/status`.
    pub admin: Option<SocketAddr>,
    /// The built-in demo model; loopback.
    pub demo_model: Option<SocketAddr>,
    /// Threads that serve clients; at least 1.
    pub threads: usize,
    /// Who is asked for the addresses of names, in this order; none is whoever the system asks.
    pub resolvers: Vec<SocketAddr>,
    /// The directory of what must outlive the process.
    pub state_dir: Option<PathBuf>,
    /// The directory of the control socket and the process id; `None` is one that fits the system.
    pub run_dir: Option<PathBuf>,
}

/// One address that clients come to. Two are equal when the same socket can serve both.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listener {
    pub address: ListenAddress,
    pub speaks: Speaks,
}

/// Where clients come to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ListenAddress {
    Tcp(SocketAddr),
    /// A Unix socket: an absolute path of at most 107 bytes, and the permissions of its file.
    Unix {
        path: PathBuf,
        mode: u32,
    },
}

impl fmt::Display for ListenAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(f),
            Self::Unix { path, .. } => write!(f, "unix:{}", path.display()),
        }
    }
}

/// What a listener speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Speaks {
    /// HTTP/1.1.
    Http1,
    /// HTTP/1.1, and HTTP/2 by prior knowledge (RFC 9113, 3.3).
    H2c,
    /// TLS, and in it HTTP/2 or HTTP/1.1, as the client prefers (RFC 7301).
    Tls,
}

/// What a listener that speaks TLS shows, and what it asks its clients to show: PEM files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsListen {
    pub identity: Identity,
    pub clients: ClientCerts,
}

/// Whether clients show a certificate, and the file of the authorities that it must come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ClientCerts {
    NotAsked,
    /// Whoever shows one must show a good one.
    Optional(PathBuf),
    Required(PathBuf),
}

/// How much clients may take of us.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Clients {
    /// How long a whole head may take: from connecting, a TLS handshake included, or from the first byte of a
    /// later request.
    pub header_timeout: Duration,
    /// How long a connection may be open without a request.
    pub keep_alive: Duration,
    /// Requests on one HTTP/1.1 connection; at least 1.
    pub max_requests: u32,
    /// Connections of all clients together; at least 1.
    pub max_connections: usize,
    /// Connections of one IPv4 address or one IPv6 network of 64 bits; at least 1.
    pub max_connections_per_address: usize,
    /// Request bodies of all clients together that are in memory, in bytes; at least `max_body`.
    pub max_buffered: usize,
}

/// Caps on what one request may take; sizes in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Caps {
    /// The request body.
    pub max_body: usize,
    /// The request head.
    pub max_head: usize,
    /// One event of a stream, as received.
    pub max_event: usize,
    /// A whole JSON answer, as received.
    pub max_response: usize,
    /// How long a request body may take to arrive.
    pub body_timeout: Duration,
    /// How long one write to a client may wait for it to read.
    pub write_timeout: Duration,
}

/// A Redis in which several gateways count together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StorePlan {
    /// Host name or address, without brackets.
    pub host: String,
    pub port: u16,
    /// The number of the database; at most 65535.
    pub db: u32,
    /// Whether TLS is spoken to it.
    pub tls: bool,
    /// The authorities that are trusted instead of the usual ones: a PEM file. Only with `tls`.
    pub ca: Option<PathBuf>,
    /// As whom we authenticate; `None` is the store's default user.
    pub username: Option<String>,
    pub password: Option<SecretRef>,
    /// How long one answer may take.
    pub timeout: Duration,
    /// How many gateways share it; at least 1.
    pub instances: usize,
    /// What every key in the store starts with: 1 to 64 of `A-Z a-z 0-9 . _ -`.
    pub prefix: String,
}

/// What is told of requests and of the daemon's life, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogPlan {
    /// How much is told of the daemon's life; `None` is what the environment says.
    pub level: Option<LevelFilter>,
    pub form: LogForm,
    /// Where the events of the daemon's life go.
    pub events: LogTarget,
    /// Where the line of each request goes; `None` is nowhere.
    pub access: Option<LogTarget>,
}

/// What a line of a log looks like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogForm {
    /// A JSON object.
    Json,
    /// Words for people: a time, and what there is to say.
    Text,
}

/// Where lines go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LogTarget {
    Stdout,
    Stderr,
    /// Is appended to.
    File(PathBuf),
}

/// A collector of traces that speaks OTLP over HTTP.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TracingPlan {
    pub scheme: Scheme,
    /// Host name or address, without brackets.
    pub host: String,
    pub port: u16,
    /// With its first slash.
    pub path: String,
    /// How many requests of a hundred are traced at most.
    pub sample: u8,
    /// What every post says besides: names in small letters.
    pub headers: Vec<(String, SecretRef)>,
    /// How long one post may take, connecting included.
    pub timeout: Duration,
}

/// Backends that can answer for each other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PoolPlan {
    pub name: PoolName,
    pub dialect: Dialect,
    pub balance: Balance,
    /// At least one.
    pub backends: Vec<BackendPlan>,
    /// How backends are looked after between requests; `None` is not at all.
    pub health: Option<HealthPlan>,
    pub breaker: BreakerRules,
    /// How long the addresses of a name are used at most before they are looked up again.
    pub resolve: Duration,
    /// Whether a name may lead to loopback or link-local addresses.
    pub local_addresses: bool,
    pub timeouts: Timeouts,
    pub retry: RetryRules,
    /// Request fields that we do not know and that this pool gets all the same.
    pub forward_fields: Vec<String>,
    /// Whether its backends learn of a request's trace.
    pub passing: Passing,
    /// Of all tenants together; nothing by day or month.
    pub limits: LimitRules,
}

/// What a pool's backends speak.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Dialect {
    /// The model stands in the body.
    OpenAi,
    /// The model stands in the path.
    Azure {
        /// Which version of the API every request asks for.
        api_version: String,
    },
}

/// One backend.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BackendPlan {
    /// `host:port`, as logs and metrics show it.
    pub name: BackendName,
    pub scheme: Scheme,
    /// Host name or address, without brackets.
    pub host: String,
    pub port: u16,
    /// The path of the base URL, without its last slash: `/v1`, or empty. Azure's ends before `/openai`.
    pub base_path: String,
    /// Its share of the pool's requests, next to the others' weights; at least 1.
    pub weight: u16,
    /// What we authenticate with.
    pub key: Option<SecretRef>,
    /// Whether HTTP/2 is spoken to it.
    pub h2: bool,
    /// Only for [`Scheme::Https`]; otherwise the default.
    pub tls: TlsPlan,
}

/// How a backend's certificate is checked and which one we show. The default checks it against
/// the usual authorities and the host's name, and shows none. Nothing turns the check off.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TlsPlan {
    /// The authorities that are trusted instead of the usual ones: a PEM file.
    pub ca: Option<PathBuf>,
    /// Who we say that we are.
    pub identity: Option<Identity>,
    /// The name that the certificate must be for, instead of the host's; a name or an address.
    pub server_name: Option<String>,
}

/// A certificate and its private key: PEM files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    pub cert: PathBuf,
    pub key: PathBuf,
}

/// How backends are looked after between requests.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HealthPlan {
    /// What is asked for with `GET`, from its slash on; `None` only connects.
    pub path: Option<String>,
    /// From one check to the next.
    pub interval: Duration,
    /// How long a check may take; no longer than the interval.
    pub timeout: Duration,
    /// So many failures in a row, at least 1, and a backend is down.
    pub failures: usize,
    /// So many successes in a row, at least 1, and it is up again.
    pub successes: usize,
}

/// How a backend is spoken to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scheme {
    Http,
    Https,
}

/// Where a secret is to be found. Never the secret itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SecretRef {
    /// An environment variable.
    Env(String),
    /// A file; one line break at its end does not count.
    File(PathBuf),
    /// A systemd credential: a file in `$CREDENTIALS_DIRECTORY`.
    Credential(String),
}

/// Whether a key or a tenant may be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    Open,
    /// As if it were not there, but for its name and place.
    Disabled,
}

/// What may be said to an alias, and by it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PolicyPlan {
    pub name: PolicyName,
    /// What is forbidden; each has been read once and can be used, but for what stands in other files.
    pub deny: Vec<DenyPlan>,
    pub answers: Answers,
    /// The longest prompt, in tokens by our estimate.
    pub max_prompt_tokens: Option<u64>,
    /// What messages may hold besides text.
    pub media: Allowed,
    pub moderator: Option<ModeratorPlan>,
}

/// Something that is forbidden.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DenyPlan {
    /// A regular expression.
    Regex(String),
    /// Words and phrases.
    Words(Vec<String>),
    /// A file of them, one a line.
    WordsFile(PathBuf),
}

/// A service that is asked whether a request may go on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModeratorPlan {
    pub scheme: Scheme,
    /// Host name or address, without brackets.
    pub host: String,
    pub port: u16,
    /// From its slash on.
    pub path: String,
    pub key: Option<SecretRef>,
    /// The model that it is asked for, if it has several.
    pub model: Option<ModelName>,
    /// What it can judge besides text: pictures or nothing.
    pub media: Allowed,
    /// For everything up to its answer's end.
    pub timeout: Duration,
    pub on_failure: OnFailure,
}

/// A tenant: its keys and what its aliases mean.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TenantPlan {
    pub id: TenantId,
    /// Of all its keys together.
    pub access: Access,
    pub keys: Vec<KeyPlan>,
    /// In the order in which `/v1/models` lists them.
    pub models: Vec<ModelPlan>,
    /// Of all its keys together.
    pub limits: LimitRules,
}

/// A client key, of which we know no more than its digest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyPlan {
    pub id: KeyId,
    pub access: Access,
    pub digest: KeyDigest,
    /// Not empty, no duplicates.
    pub scopes: Vec<Scope>,
    /// From when on the key is refused.
    pub expires: Option<SystemTime>,
    pub limits: LimitRules,
}

/// An alias and who answers to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModelPlan {
    pub alias: Alias,
    pub display_name: String,
    pub description: String,
    /// In order of priority; at least one, and each pool is one of [`Plan::pools`].
    pub routes: Vec<RoutePlan>,
    /// What a backing model may say beyond the plain answer.
    pub expose: Expose,
    /// Nothing by day or month.
    pub limits: LimitRules,
    /// One of [`Plan::policies`].
    pub policy: Option<PolicyName>,
    /// Where requests wait for one of `concurrent` to end; `None` refuses them at once.
    pub queue: Option<QueueRules>,
}

/// A pool, and the model it is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RoutePlan {
    pub pool: PoolName,
    pub model: ModelName,
}
