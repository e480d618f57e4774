//! What a configuration means: values only, comparable, complete.
//!
//! Nothing here is optional that is not optional in life, and nothing needs checking again.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use crate::error::Scope;
use crate::names::{Alias, BackendName, KeyDigest, KeyId, ModelName, PoolName, TenantId};
pub use crate::rules::timeouts::Timeouts;
use crate::wire::completion::Expose;

/// A whole configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// What only a start can change.
    pub boot: Boot,
    /// How much a request may cost.
    pub caps: Caps,
    /// Whether `/v1/models` also carries `created` and `owned_by`.
    pub openai_models: bool,
    /// In the order of the file.
    pub pools: Vec<PoolPlan>,
    /// In the order of the file.
    pub tenants: Vec<TenantPlan>,
}

/// What only a start can change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Boot {
    /// At least one.
    pub listen: Vec<Listener>,
    /// `/metrics`, `/healthz`, `/readyz`.
    pub admin: Option<SocketAddr>,
    /// The built-in demo model; loopback.
    pub demo_model: Option<SocketAddr>,
    /// Threads that serve clients; at least 1.
    pub threads: usize,
    /// How long running streams may go on after SIGTERM.
    pub drain: Duration,
}

/// One address that clients come to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listener {
    pub address: SocketAddr,
    /// Whether HTTP/2 is accepted without TLS, by prior knowledge (RFC 9113, 3.3).
    pub h2c: bool,
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

/// Backends that can answer for each other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PoolPlan {
    pub name: PoolName,
    /// At least one.
    pub backends: Vec<BackendPlan>,
    pub timeouts: Timeouts,
    /// How many backends are asked at most for one request; at least 1.
    pub attempts: usize,
    /// Request fields that we do not know and that this pool gets all the same.
    pub forward_fields: Vec<String>,
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
    /// The path of the base URL, without its last slash: `/v1`, or empty.
    pub base_path: String,
    /// What we authenticate with.
    pub key: Option<SecretRef>,
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

/// A tenant: its keys and what its aliases mean.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TenantPlan {
    pub id: TenantId,
    pub keys: Vec<KeyPlan>,
    /// In the order in which `/v1/models` lists them.
    pub models: Vec<ModelPlan>,
}

/// A client key, of which we know no more than its digest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyPlan {
    pub id: KeyId,
    pub digest: KeyDigest,
    /// Not empty, no duplicates.
    pub scopes: Vec<Scope>,
    /// From when on the key is refused.
    pub expires: Option<SystemTime>,
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
}

/// A pool, and the model it is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RoutePlan {
    pub pool: PoolName,
    pub model: ModelName,
}
