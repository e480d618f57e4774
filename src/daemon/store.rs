//! Limits that several gateways share, in a Redis or a Valkey.
//!
//! One server, with replicas or without; no cluster, because a request takes from counters that have nothing
//! in common in one step, and a cluster would put them on many nodes. Minutes are told by the server's clock,
//! so the gateways' clocks do not matter to them; days and months by the gateways'. The scripts ask for the
//! time before they write, which a server older than 5.0 does not allow; they are tested with 7.0.
//!
//! A minute slides: what was taken in the clock minute before counts for the part of it that the last sixty
//! seconds still cover. Keys are `{prefix}:{counter}:{minute}`, `{prefix}:{counter}:d{day}` and `:m{month}`, all
//! of which expire, `{prefix}:probe:{minute}`, and `{prefix}:born`, which tells how long the store has known
//! what it knows. A server that is restarted empty takes the largest of the gateways' own counts in its first
//! ten seconds, in which none gets more than its share; one that is restarted with an old dump is believed.
//! What passed while it was away is told before the first request goes to it again.
//!
//! No request waits longer than the configured time, and none waits for a connection: the first failure
//! takes the store out, and a task of its own brings it back.

mod link;
mod returns;
mod script;

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant, SystemTime};

use async_trait::async_trait;
use redis::RedisResult;
use tokio::runtime::Handle;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use crate::names::Secret;
use crate::rules::store::{Ask, Change, Gone, State, Store, Verdict};
use link::Link;

/// How many lists of changes wait to be looked at. The task that does it hardly ever waits itself.
const QUEUE: usize = 4096;
/// How long an answer that came too late, or that nobody waits for any more, is waited for, to give back what
/// it took.
const LATE: Duration = Duration::from_secs(5);

/// Where the store is and how it is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RedisPlan {
    /// A name or an address, without brackets.
    pub host: String,
    pub port: u16,
    /// The number of the database; 0 unless the server is shared with others.
    pub db: u32,
    pub tls: bool,
    /// PEM of the authorities that the server's certificate may come from; the system's if there are none.
    pub ca: Option<Vec<u8>>,
    /// Only looked at when there is a password.
    pub username: Option<String>,
    pub password: Option<Secret>,
    /// The longest that a request waits.
    pub timeout: Duration,
    /// Begins every key, so that two fleets can share a server.
    pub prefix: String,
}

/// Whom the store tells what happens. They are called on the request path: they must not wait.
pub struct Hooks {
    /// One call, and how long it took. Calls that found the store down are not told.
    pub took: Box<dyn Fn(Outcome, Duration) + Send + Sync>,
    /// The store came or went, or could not be reached at first.
    pub state: Box<dyn Fn(State) + Send + Sync>,
    /// So many changes were lost.
    pub dropped: Box<dyn Fn(u64) + Send + Sync>,
}

impl Default for Hooks {
    /// Nobody is told.
    fn default() -> Self {
        Self { took: Box::new(|_, _| ()), state: Box::new(|_| ()), dropped: Box::new(|_| ()) }
    }
}

/// How a call ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    Taken,
    Full,
    Timeout,
    Error,
}

impl Outcome {
    /// For metrics; the set is closed.
    pub fn label(self) -> &'static str {
        match self {
            Self::Taken => "ok",
            Self::Full => "full",
            Self::Timeout => "timeout",
            Self::Error => "error",
        }
    }
}

/// Counters in a Redis. Dropping it closes the connection; changes that are still under way are lost.
pub struct RedisStore {
    link: Arc<Link>,
    changes: mpsc::Sender<Vec<Change>>,
    handle: Handle,
    tasks: [JoinHandle<()>; 2],
}

impl RedisStore {
    /// Begins to reach for the store on `handle`, where its connection lives from then on; requests may run on
    /// any other runtime. The store is down until it was reached.
    ///
    /// # Errors
    /// The plan cannot work: what its `ca` holds is no certificate, or the client refuses the address.
    pub fn new(plan: &RedisPlan, hooks: Hooks, handle: Handle) -> Result<Self, String> {
        let link = Arc::new(Link::new(plan, hooks)?);
        let (changes, queue) = mpsc::channel(QUEUE);
        let tasks =
            [handle.spawn(link::keep(link.clone())), handle.spawn(returns::carry(link.clone(), queue))];
        Ok(Self { link, changes, handle, tasks })
    }
}

#[async_trait]
impl Store for RedisStore {
    async fn take(&self, asks: &[Ask], now: SystemTime) -> Result<Verdict, Gone> {
        let Some(live) = self.link.live() else { return Err(Gone) };
        let started = Instant::now();
        let call = self.link.take.call(live.connection.clone(), script::taking(&self.link.prefix, asks, now));
        let mut pending = Pending { call: Some(Box::pin(call)), asks, store: self };
        let answer = tokio::time::timeout(self.link.timeout, &mut pending).await;
        if answer.is_ok() {
            pending.call = None;
        }
        drop(pending);
        let (outcome, result) = match answer {
            Ok(Ok(answer)) => match script::verdict(&answer, asks.len()) {
                Some(verdict @ Verdict::Taken { .. }) => (Outcome::Taken, Ok(verdict)),
                Some(verdict @ Verdict::Full { .. }) => (Outcome::Full, Ok(verdict)),
                None => (Outcome::Error, Err("it answered something else".to_owned())),
            },
            Ok(Err(error)) => (Outcome::Error, Err(error.to_string())),
            Err(_) => (Outcome::Timeout, Err(format!("no answer within {:?}", self.link.timeout))),
        };
        (self.link.hooks.took)(outcome, started.elapsed());
        result.map_err(|why| {
            self.link.fail(&live, &why);
            Gone
        })
    }

    fn give(&self, changes: Vec<Change>) {
        give(&self.changes, &self.link, changes);
    }

    fn state(&self) -> State {
        if self.link.live().is_some() { State::Up } else { State::Down }
    }
}

impl Drop for RedisStore {
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

impl fmt::Debug for RedisStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisStore").field("state", &self.state()).finish_non_exhaustive()
    }
}

fn give(queue: &mpsc::Sender<Vec<Change>>, link: &Link, changes: Vec<Change>) {
    if let Err(lost) = queue.try_send(changes) {
        (link.hooks.dropped)(lost.into_inner().len() as u64);
    }
}

type Call = Pin<Box<dyn Future<Output = RedisResult<script::Answer>> + Send>>;

/// A call under way. When it is dropped before its end, what it takes after all is given back.
struct Pending<'a> {
    call: Option<Call>,
    asks: &'a [Ask],
    store: &'a RedisStore,
}

impl Future for Pending<'_> {
    type Output = RedisResult<script::Answer>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        match &mut self.call {
            Some(call) => call.as_mut().poll(context),
            None => Poll::Pending,
        }
    }
}

impl Drop for Pending<'_> {
    fn drop(&mut self) {
        let Some(call) = self.call.take() else { return };
        let asked = self.asks.len();
        let taken_at = SystemTime::now();
        let back = |ask: &Ask| Change {
            key: ask.key.clone(),
            window: ask.window,
            taken_at,
            amount: i64::try_from(ask.amount.min(ask.limit)).map_or(i64::MIN, |amount| -amount),
        };
        let changes = self.asks.iter().map(back).collect();
        let (queue, link) = (self.store.changes.clone(), self.store.link.clone());
        self.store.handle.spawn(async move {
            if let Ok(Ok(answer)) = tokio::time::timeout(LATE, call).await
                && let Some(Verdict::Taken { .. }) = script::verdict(&answer, asked)
            {
                give(&queue, &link, changes);
            }
        });
    }
}

#[cfg(test)]
mod tests;
