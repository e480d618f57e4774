//! What a tenant's aliases mean. A [`Catalog`] is reached through a caller's tenant only, so another
//! tenant's alias cannot be named by mistake.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;

use super::balance::Dice;
use super::content::Policy;
use super::headers::UpwardHead;
use super::limits::QueueRules;
use super::limits::book::Limit;
use super::pools::Pool;
use super::retry::Budget;
use super::tick::Tick;
use super::tokens::Learned;
use crate::error::GatewayError;
use crate::metrics::AliasMetrics;
use crate::names::Alias;
use crate::wire::completion::Expose;
use crate::wire::ids::Ids;
use crate::wire::splice::JsonText;

/// One alias of one tenant, ready to be asked.
#[derive(Debug)]
pub struct AliasEntry {
    pub alias: Alias,
    /// In order of priority; at least one.
    pub routes: Vec<Route>,
    pub expose: Expose,
    /// Keys for what others named: tool calls, and customers of our customers.
    pub ids: Arc<Ids>,
    /// What may be said to it, and by it; `None` is anything.
    pub policy: Option<Arc<Policy>>,
    /// What it has spent on asking again.
    pub budget: Budget,
    /// For waits between attempts.
    pub dice: Dice,
    /// What the alias may use.
    pub limit: Option<Limit>,
    /// Whether requests wait for a slot.
    pub queue: Option<QueueRules>,
    /// How many requests wait for one now.
    pub waiting: AtomicUsize,
    /// Whether a pool of its routes counts tokens.
    pub counts_tokens: bool,
    /// What its requests have taught us of their tokens.
    pub learned: Arc<Learned>,
    /// The body of `GET /v1/models/{id}`.
    pub card: Bytes,
    /// The event that ends a stream that broke after it had begun.
    pub last_words: Bytes,
    pub metrics: Arc<AliasMetrics>,
}

/// Whom to ask, and for what.
#[derive(Debug)]
pub struct Route {
    pub pool: Arc<Pool>,
    /// The backing model's name, escaped for JSON once.
    pub model: JsonText,
    /// What each backend of the pool is sent, in their order.
    pub heads: Arc<[UpwardHead]>,
    /// Until when each backend is known not to have this model, in nanoseconds.
    absent: Box<[AtomicU64]>,
}

/// How long a backend that does not know a model is not asked for it.
const ABSENT: Duration = Duration::from_secs(10);

impl Route {
    /// A route that every backend of its pool is taken to know.
    pub fn new(pool: Arc<Pool>, model: JsonText, heads: Arc<[UpwardHead]>) -> Self {
        let absent = pool.backends.iter().map(|_| AtomicU64::new(0)).collect();
        Self { pool, model, heads, absent }
    }

    /// Whether a backend has the model, as far as is known.
    pub fn has_model(&self, backend: usize, now: Tick) -> bool {
        self.absent.get(backend).is_none_or(|until| until.load(Ordering::Relaxed) <= now.nanos())
    }

    /// A backend says that it does not have the model. Says whether that is news.
    pub fn is_absent(&self, backend: usize, now: Tick) -> bool {
        let Some(until) = self.absent.get(backend) else { return false };
        until.swap(now.plus(ABSENT).nanos(), Ordering::Relaxed) <= now.nanos()
    }
}

/// The aliases of one tenant.
#[derive(Debug, Default)]
pub struct Catalog {
    entries: HashMap<Alias, Arc<AliasEntry>>,
    list: Bytes,
}

impl Catalog {
    /// `list` is the body of `GET /v1/models`.
    pub fn new(entries: Vec<AliasEntry>, list: Bytes) -> Self {
        let entries = entries.into_iter().map(|e| (e.alias.clone(), Arc::new(e))).collect();
        Self { entries, list }
    }

    /// Compares byte for byte: no case folding, no Unicode normalisation.
    ///
    /// # Errors
    /// [`GatewayError::NoSuchModel`].
    pub fn resolve(&self, alias: &str) -> Result<&Arc<AliasEntry>, GatewayError> {
        self.entries.get(alias).ok_or(GatewayError::NoSuchModel)
    }

    /// All aliases.
    pub fn entries(&self) -> impl Iterator<Item = &AliasEntry> {
        self.entries.values().map(Arc::as_ref)
    }

    /// The body of `GET /v1/models`.
    pub fn list(&self) -> &Bytes {
        &self.list
    }
}
