//! The state of one request, from its head to its line in the log.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use bytes::Bytes;
use http::{HeaderValue, Version};
use prometheus::IntGauge;
use uuid::Uuid;
use uuid::fmt::Hyphenated;

use super::gathered::Gathered;
use super::guard::Aside;
use super::held::{Control, WayBack};
use super::moderation::Gap;
use super::quota::Quota;
use super::stopwatch::Stopwatch;
use super::trace::{Following, Leg};
use crate::config::snapshot::Snapshot;
use crate::error::{GatewayError, UpstreamFault};
use crate::metrics::{AliasMetrics, Metrics};
use crate::rules::attempt::{Attempt, Tried};
use crate::rules::auth::Principal;
use crate::rules::buffered::Part;
use crate::rules::catalog::{AliasEntry, Route};
use crate::rules::failover::{Sent, Spent};
use crate::rules::headers::UpwardHead;
use crate::rules::limits::standing::Standing;
use crate::rules::pools::Backend;
use crate::wire::finish::Ends;
use crate::wire::request::ChatRequest;
use crate::wire::splice::Patch;
use crate::wire::sse::SseRewriter;
use crate::wire::usage::{Delivered, Usage};
use crate::wire::voice::Voice;

/// One request and its answer.
pub struct Exchange {
    /// When its head had been read.
    pub arrived: Instant,
    pub wall: SystemTime,
    /// `x-request-id`, and the unique part of the answer's `id`.
    pub id: RequestId,
    /// What was configured when it arrived, and still is for this request.
    pub snapshot: Arc<Snapshot>,
    pub caller: Option<Arc<Principal>>,
    /// The alias, once it is known to be the caller's.
    pub entry: Option<Arc<AliasEntry>>,
    pub stage: Stage,
    /// What is left of the caller's limits, for the answer's head.
    pub standing: Standing,
    /// Where it stands in a trace, if it is traced or its client has told us of one.
    pub following: Option<Box<Following>>,
    /// How the session gets out of Pingora's hands.
    pub way_back: Option<WayBack>,
    _serving: Counted,
}

/// Where a request stands.
pub enum Stage {
    /// It has been read as far as its head.
    Arrived,
    /// A backing model answers it.
    Relaying(Box<Relay>),
    /// We answered it ourselves, after we had asked backends in vain if there is a relay.
    Answered { status: u16, error: Option<GatewayError>, relay: Option<Box<Relay>> },
}

/// A request on its way to a backing model.
pub struct Relay {
    pub request: ChatRequest,
    /// What it has taken from its limits.
    pub quota: Quota,
    /// As the client sent it.
    pub body: Bytes,
    /// The names in it that go up in another form.
    pub patches: Vec<Patch>,
    /// As this attempt sends it.
    pub outgoing: Bytes,
    pub control: Arc<Control>,
    /// The same in every chunk of this answer.
    pub voice: Voice,
    /// When it began, for all its attempts together.
    pub began: Instant,
    /// When the whole request is over, as the route of this attempt has it.
    pub end: Instant,
    /// Backends that have been asked, or are being asked; the last is the latest.
    pub tried: Vec<Tried>,
    /// All attempts of a request that is traced.
    pub legs: Option<Vec<Leg>>,
    /// The attempt that runs, until its end is known.
    pub attempt: Option<Attempt>,
    /// The first route that may be asked.
    pub from_route: usize,
    /// What failed attempts have cost.
    pub spent: Spent,
    /// The same backend is asked again once if its kept connection turned out to be dead.
    pub second_chance: SecondChance,
    pub attempt_began: Instant,
    pub answer: Answer,
    /// Interim answers (1xx) of this attempt.
    pub interim: usize,
    /// How long the backend of this attempt wants to be left alone, if it said so.
    pub retry_after: Option<Duration>,
    pub tally: Tally,
    /// What all failures so far come to.
    pub failures: Failures,
    pub client: Client,
    /// What the client speaks.
    pub version: Version,
    /// How long the body was that the client sent.
    pub bytes_up: usize,
    /// Our own share of the time until the request is on its way; that of the answer is with `control`.
    pub own: Stopwatch,
    /// Whether it goes on without a moderator's word.
    pub gap: Gap,
    /// What a look at a whole answer takes, until it is taken; `None` where nobody looks at answers.
    pub aside: Option<Aside>,
    _in_flight: Counted,
    /// The room in memory that the body takes.
    room: Option<Part>,
}

/// Whether a dead kept connection has been forgiven.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SecondChance {
    Left,
    /// The attempt that runs goes on with a fresh connection.
    Taken,
    Spent,
}

/// What the failed attempts of a request come to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Failures {
    None,
    /// All said no more than that they were busy; the first of them is free after this time.
    Busy(Duration),
    /// The last of them failed like this.
    Other(UpstreamFault),
}

/// Whether the client is still there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Client {
    Waiting,
    Left,
}

/// What has come back from the backend of this attempt.
pub enum Answer {
    /// No head yet.
    Asked,
    /// A JSON answer, as far as it has come.
    Whole(Gathered),
    /// A stream.
    Events(Box<SseRewriter>),
    /// A status of 400 or more, and its reasons as far as they have come.
    Refusal { status: u16, body: Gathered },
}

/// What the log and the counters want to know of an answer.
#[derive(Debug, Default)]
pub struct Tally {
    /// When a backend first said something useful. What the client waited for may have been more: see
    /// [`Control::first_sent`].
    pub first_useful: Option<Instant>,
    /// When the last piece of a stream came that told something.
    pub last_useful: Option<Instant>,
    pub usage: Option<Usage>,
    /// Bytes of the answer's body that were made for the client.
    pub bytes_down: usize,
    /// What the model said, as far as it was delivered.
    pub delivered: Delivered,
    /// Why its choices ended, as far as they did.
    pub ends: Ends,
}

impl Exchange {
    pub fn arrive(snapshot: Arc<Snapshot>, metrics: &Metrics) -> Self {
        Self {
            arrived: Instant::now(),
            wall: SystemTime::now(),
            id: RequestId::new(),
            snapshot,
            caller: None,
            entry: None,
            stage: Stage::Arrived,
            standing: Standing::default(),
            following: None,
            way_back: None,
            _serving: Counted::new(&metrics.serving),
        }
    }

    /// The counters of the alias, else of the tenant, else of nobody.
    pub fn metrics(&self) -> &AliasMetrics {
        match (&self.entry, &self.caller) {
            (Some(entry), _) => &entry.metrics,
            (None, Some(caller)) => {
                self.snapshot.tenant(caller).map_or(&self.snapshot.nobody, |tenant| &tenant.unnamed)
            }
            (None, None) => &self.snapshot.nobody,
        }
    }

    /// Notes that we answer it ourselves.
    pub fn answered(&mut self, status: u16, error: Option<GatewayError>) {
        let relay = match std::mem::replace(&mut self.stage, Stage::Arrived) {
            Stage::Relaying(relay) => Some(relay),
            Stage::Answered { relay, .. } => relay,
            Stage::Arrived => None,
        };
        self.stage = Stage::Answered { status, error, relay };
    }

    /// The relay and its alias.
    ///
    /// # Errors
    /// A fault of ours when this request is not being relayed: Pingora calls no upstream filter then.
    pub fn relay(&mut self) -> Result<(&mut Relay, &AliasEntry, &Snapshot), GatewayError> {
        match (&mut self.stage, &self.entry) {
            (Stage::Relaying(relay), Some(entry)) => Ok((relay, entry, &self.snapshot)),
            (Stage::Relaying(_) | Stage::Arrived | Stage::Answered { .. }, _) => {
                Err(GatewayError::Internal("not_relaying"))
            }
        }
    }
}

/// What a client has sent.
pub struct Incoming {
    pub request: ChatRequest,
    pub quota: Quota,
    pub body: Bytes,
    /// The names in it that go up in another form.
    pub patches: Vec<Patch>,
    /// The room in memory that the body takes.
    pub room: Part,
    pub version: Version,
    /// Runs since the last byte of the body was read.
    pub own: Stopwatch,
    pub gap: Gap,
    pub aside: Option<Aside>,
}

impl Relay {
    /// A relay that has asked nobody yet.
    pub fn new(
        incoming: Incoming,
        voice: Voice,
        control: Arc<Control>,
        began: Instant,
        entry: &AliasEntry,
    ) -> Self {
        let Incoming { request, quota, body, patches, room, version, own, gap, aside } = incoming;
        Self {
            request,
            quota,
            patches,
            outgoing: Bytes::new(),
            voice,
            control,
            began,
            end: began,
            tried: Vec::with_capacity(2),
            legs: None,
            attempt: None,
            from_route: 0,
            spent: Spent::default(),
            second_chance: SecondChance::Left,
            attempt_began: Instant::now(),
            answer: Answer::Asked,
            interim: 0,
            retry_after: None,
            tally: Tally::default(),
            failures: Failures::None,
            client: Client::Waiting,
            version,
            _in_flight: Counted::new(&entry.metrics.in_flight),
            bytes_up: body.len(),
            own,
            gap,
            aside,
            room: Some(room),
            body,
        }
    }

    /// Lets go of the request's body: the answer has been released, so there is no other attempt.
    pub fn forget_body(&mut self) {
        self.body = Bytes::new();
        self.outgoing = Bytes::new();
        self.patches = Vec::new();
        self.room = None;
    }

    /// The route and the backend that were asked last.
    pub fn asked<'e>(&self, entry: &'e AliasEntry) -> Option<(&'e Route, &'e Backend, &'e UpwardHead)> {
        let last = self.tried.last()?;
        let route = entry.routes.get(last.route)?;
        let at = last.member.backend;
        Some((route, route.pool.backends.get(at)?, route.heads.get(at)?))
    }

    /// Attempts begun, those included that a stale connection cost.
    pub fn attempts(&self) -> usize {
        match self.second_chance {
            SecondChance::Left | SecondChance::Taken => self.tried.len(),
            SecondChance::Spent => self.tried.len() + 1,
        }
    }

    /// The attempt has failed: from now on it is for us to find another one.
    pub fn failed(&mut self) -> Instant {
        let now = Instant::now();
        self.control.put_down(now);
        self.own.start(now);
        now
    }

    /// Our own share of the time so far, as far as it was measured.
    pub fn overhead(&self) -> Duration {
        self.own.total() + self.control.in_hand()
    }

    /// What the client has of the answer.
    pub fn sent(&self) -> Sent {
        if self.control.released().is_some() { Sent::Some } else { Sent::Nothing }
    }
}

/// A random UUID, as text and as a header.
#[derive(Debug, Clone)]
pub struct RequestId {
    text: [u8; Hyphenated::LENGTH],
}

impl RequestId {
    pub(super) fn new() -> Self {
        let mut text = [0; Hyphenated::LENGTH];
        Uuid::new_v4().hyphenated().encode_lower(&mut text);
        Self { text }
    }

    /// 36 characters.
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.text).unwrap_or_default()
    }

    /// Its 128 bits, of which six are the same in all.
    pub fn bits(&self) -> u128 {
        Uuid::try_parse_ascii(&self.text).map_or(0, |id| id.as_u128())
    }

    /// The same as a header value.
    pub fn header(&self) -> HeaderValue {
        HeaderValue::from_bytes(&self.text).unwrap_or_else(|_| HeaderValue::from_static(""))
    }
}

/// One more in a gauge, for as long as this lives.
pub struct Counted(IntGauge);

impl Counted {
    pub fn new(gauge: &IntGauge) -> Self {
        gauge.inc();
        Self(gauge.clone())
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.dec();
    }
}
