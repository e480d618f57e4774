//! All that the status says, as data. The names of members are a contract with those who read the JSON.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use serde::Serialize;

use super::attention::Notice;
use super::history::Pace;
use crate::rules::content::OnFailure;
use crate::rules::pools::condition::Condition;

/// `/status.json`.
#[derive(Debug, Serialize)]
pub struct Facts {
    pub version: &'static str,
    pub process: u32,
    pub uptime_seconds: u64,
    /// Resident; absent where the system does not tell.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory_bytes: Option<u64>,
    pub stage: &'static str,
    /// Why it is not ready; absent when it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub not_ready: Option<&'static str>,
    /// Requests of all tenants that are being served now.
    pub serving: i64,
    pub requests_per_second: Option<f32>,
    pub connections: Connections,
    pub configuration: Configuration,
    /// Whether the store of shared limits answers: `up` or `down`; absent where there is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limits_store: Option<&'static str>,
    /// What somebody should look at, the most pressing first.
    pub attention: Vec<Notice>,
    pub pools: Vec<PoolFacts>,
    pub tenants: Vec<TenantFacts>,
    /// Requests that no tenant could be found for.
    pub strangers: Strangers,
    /// Moderators that fail.
    #[serde(skip)]
    pub moderators: Vec<ModeratorFacts>,
    /// What is lost, or would be.
    #[serde(skip)]
    pub losses: Vec<Notice>,
    #[serde(skip)]
    pub pace: Pace,
    #[serde(skip)]
    pub now: SystemTime,
}

/// A moderator that fails.
#[derive(Debug)]
pub struct ModeratorFacts {
    pub policy: String,
    pub on_failure: OnFailure,
    /// Since when, and how long ago the last time was.
    pub since: Duration,
    pub last: Duration,
    pub why: String,
}

/// Connections of clients.
#[derive(Debug, Serialize)]
pub struct Connections {
    pub idle: usize,
    pub busy: usize,
}

/// What runs, and how the last reload ended.
#[derive(Debug, Serialize)]
pub struct Configuration {
    pub file: String,
    pub generation: i64,
    /// How many configurations are in use: the one that runs, and those that running requests began with.
    pub in_use: usize,
    /// When it was last looked at.
    pub at: String,
    /// How that ended: `taken` or `refused`.
    pub last_reload: &'static str,
    pub complaints: Vec<String>,
    pub warnings: Vec<String>,
}

/// One pool.
#[derive(Debug, Serialize)]
pub struct PoolFacts {
    pub name: String,
    pub balance: &'static str,
    /// How many of its backends can be asked now.
    pub usable: usize,
    pub attempts_per_second: Option<f32>,
    pub limits: Vec<LimitFacts>,
    pub backends: Vec<BackendFacts>,
    #[serde(skip)]
    pub pace: Pace,
}

/// One backend: the best of its addresses, and the sums of all.
#[derive(Debug, Serialize)]
pub struct BackendFacts {
    pub name: String,
    pub addresses: Vec<AddressFacts>,
    /// Whether it can be asked now.
    pub up: bool,
    /// Why it is not asked, or not gladly: `good`, `slow`, `on_trial`, `left_alone`, `credential_refused`,
    /// `breaker_open`, `checks_fail`, `no_address`.
    pub state: &'static str,
    /// `closed`, `half_open` or `open`.
    pub breaker: &'static str,
    /// Whether our credential is taken, as far as is known: `good` or `refused`.
    pub credential: &'static str,
    pub in_flight: u32,
    pub latency_ms: Latency,
    pub attempts: u64,
    pub attempts_per_second: Option<f32>,
    /// Attempts that say something against the backend.
    pub failures: u64,
    /// Others that were no success: clients that left or asked for what it does not take, connections that had
    /// grown old, what a policy forbids.
    pub other_ends: u64,
    /// Attempts by how they ended.
    pub outcomes: BTreeMap<String, u64>,
    pub weight: u16,
    /// `None` when no address is known.
    #[serde(skip)]
    pub condition: Option<Condition>,
    #[serde(skip)]
    pub pace: Pace,
}

/// One address of a backend.
#[derive(Debug, Serialize)]
pub struct AddressFacts {
    pub address: String,
    pub up: bool,
    pub state: &'static str,
    pub breaker: &'static str,
    pub in_flight: u32,
    pub latency_ms: Latency,
}

/// The usual time to the first useful byte, in milliseconds, as balancing sees it.
#[derive(Debug, Clone, Copy, Default, Serialize)]
pub struct Latency {
    /// Of streams.
    pub stream: Option<f64>,
    /// Of whole answers.
    pub whole: Option<f64>,
}

/// One tenant. What it used is the sum of its aliases and of requests that named none of them.
#[derive(Debug, Serialize)]
pub struct TenantFacts {
    pub name: String,
    #[serde(flatten)]
    pub traffic: Traffic,
    pub limits: Vec<LimitFacts>,
    pub aliases: Vec<AliasFacts>,
    pub keys: Vec<KeyFacts>,
}

/// One alias.
#[derive(Debug, Serialize)]
pub struct AliasFacts {
    pub name: String,
    #[serde(flatten)]
    pub traffic: Traffic,
    /// The mean time to the first useful byte over the last two minutes, in milliseconds; nothing if there was none.
    pub first_token_ms: Option<f64>,
    pub limits: Vec<LimitFacts>,
    pub routes: Vec<RouteFacts>,
}

/// Requests of a tenant or for an alias, and what they came to.
#[derive(Debug, Serialize)]
pub struct Traffic {
    pub requests: u64,
    pub requests_per_second: Option<f32>,
    pub refusals: u64,
    pub reasons: BTreeMap<String, u64>,
    pub tokens: Tokens,
    pub in_flight: i64,
    #[serde(skip)]
    pub pace: Pace,
}

/// Whom an alias asks, and for what.
#[derive(Debug, Serialize)]
pub struct RouteFacts {
    pub pool: String,
    pub model: String,
}

/// A client key by its name.
#[derive(Debug, Serialize)]
pub struct KeyFacts {
    pub name: String,
    pub expires: Option<String>,
    pub limits: Vec<LimitFacts>,
    #[serde(skip)]
    pub ends: Option<SystemTime>,
}

/// Used tokens.
#[derive(Debug, Clone, Copy, Default, Serialize)]
pub struct Tokens {
    pub prompt: u64,
    pub completion: u64,
}

/// A limit, and what is left of it now: for all gateways that share it, as far as their store has told this one.
#[derive(Debug, Serialize)]
pub struct LimitFacts {
    pub limit: &'static str,
    pub most: u64,
    pub left: u64,
}

/// Requests that no tenant could be found for.
#[derive(Debug, Serialize)]
pub struct Strangers {
    pub requests: u64,
    pub reasons: BTreeMap<String, u64>,
}

impl LimitFacts {
    /// How much of it is used, in percent; a limit of nothing is used up.
    pub fn percent(&self) -> u64 {
        let used = self.most.saturating_sub(self.left);
        used.saturating_mul(100).checked_div(self.most).unwrap_or(100)
    }
}

impl Traffic {
    /// Counts that of somebody else, too; the pace stays its own.
    pub fn add(&mut self, more: &Self) {
        self.requests += more.requests;
        self.refusals += more.refusals;
        for (reason, count) in &more.reasons {
            *self.reasons.entry(reason.clone()).or_default() += count;
        }
        self.tokens.prompt += more.tokens.prompt;
        self.tokens.completion += more.tokens.completion;
        self.in_flight += more.in_flight;
    }
}

/// A condition's name; nothing is for a backend without an address.
pub fn state(condition: Option<Condition>) -> &'static str {
    match condition {
        Some(Condition::Good) => "good",
        Some(Condition::Slow) => "slow",
        Some(Condition::OnTrial) => "on_trial",
        Some(Condition::LeftAlone(_)) => "left_alone",
        Some(Condition::CredentialRefused) => "credential_refused",
        Some(Condition::BreakerOpen) => "breaker_open",
        Some(Condition::Down) => "checks_fail",
        None => "no_address",
    }
}
