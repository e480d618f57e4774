//! What a traced request remembers of itself, and the spans that are made of it when it is over.
//!
//! Names of attributes are those of OpenTelemetry's conventions for HTTP and for generative AI (`gen_ai.*`,
//! semantic conventions 1.41); `byname.*` are our own. Content has no attribute.

use std::time::{Duration, Instant, SystemTime};

use http::{HeaderMap, HeaderName, HeaderValue};
use pingora_http::RequestHeader;
use uuid::Uuid;

use super::exchange::{Answer, Exchange, Relay, RequestId, Stage};
use crate::error::{Fault, GatewayError};
use crate::rules::attempt::Tried;
use crate::rules::catalog::AliasEntry;
use crate::rules::route::{self, Route};
use crate::rules::trace::{Outcome, Parent, Passing, Side, Span, Trace, Tracing, Value};
use crate::wire::request::Delivery;
use crate::wire::trace_context::{Sampled, SpanId, TraceContext, TraceId};

const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
const TRACESTATE: HeaderName = HeaderName::from_static("tracestate");
/// The longest `tracestate` that is passed on; as much everybody must take (W3C Trace Context, 3.3.1.5).
const MAX_STATE: usize = 512;

type Attributes = Vec<(&'static str, Value)>;

/// Where a request stands in a trace.
pub struct Following {
    /// What its client said.
    theirs: Option<TraceContext>,
    state: Option<HeaderValue>,
    own: Option<Own>,
}

/// A trace of our own.
#[derive(Clone, Copy)]
struct Own {
    trace: TraceId,
    span: SpanId,
    method: &'static str,
    path: Option<&'static str>,
}

/// An attempt of a traced request.
pub struct Leg {
    span: SpanId,
    tried: Tried,
    began: Instant,
    end: Option<End>,
}

struct End {
    at: Instant,
    failure: Option<&'static str>,
    status: Option<u16>,
}

/// Reads what a client says of its trace, and decides whether the request has one of ours.
pub fn follow(tracing: &Tracing, head: &RequestHeader, id: &RequestId) -> Option<Box<Following>> {
    let theirs = one(&head.headers, &TRACEPARENT).and_then(|value| TraceContext::read(value.as_bytes()));
    let state = theirs.and_then(|_| one(&head.headers, &TRACESTATE));
    let state = state.filter(|state| state.len() <= MAX_STATE && state.to_str().is_ok()).cloned();
    let random = id.bits();
    let sampled = tracing.collector.is_some() && tracing.share.takes(random, theirs.as_ref());
    let own = sampled.then(|| own(theirs, random, head)).flatten();
    (theirs.is_some() || own.is_some()).then(|| Box::new(Following { theirs, state, own }))
}

/// A header that is there once.
fn one<'h>(headers: &'h HeaderMap, name: &HeaderName) -> Option<&'h HeaderValue> {
    let mut all = headers.get_all(name).iter();
    all.next().filter(|_| all.next().is_none())
}

fn own(theirs: Option<TraceContext>, random: u128, head: &RequestHeader) -> Option<Own> {
    // The id of a trace that begins here is the request's.
    let trace = theirs.map(|theirs| theirs.trace).or_else(|| TraceId::new(random.to_be_bytes()))?;
    let path = match route::route(&head.method, head.uri.path()) {
        Ok(Route::Chat) => Some("/v1/chat/completions"),
        Ok(Route::Models) => Some("/v1/models"),
        Ok(Route::Model(_)) => Some("/v1/models/{id}"),
        Err(_) => None,
    };
    let method = match head.method.as_str() {
        "GET" => "GET",
        "HEAD" => "HEAD",
        "POST" => "POST",
        // As the conventions have it: others are not repeated.
        _ => "_OTHER",
    };
    Some(Own { trace, span: fresh()?, method, path })
}

fn fresh() -> Option<SpanId> {
    let (bits, _) = Uuid::new_v4().as_u64_pair();
    SpanId::new(bits.to_be_bytes())
}

impl Following {
    /// The id of our trace, as text.
    pub fn trace_id(&self) -> Option<String> {
        self.own.map(|own| own.trace.hex())
    }

    /// Where the attempts of a relay are remembered.
    pub fn legs(&self) -> Option<Vec<Leg>> {
        self.own.map(|_| Vec::with_capacity(2))
    }
}

/// An attempt begins: the last that was tried.
pub fn leg_begins(relay: &mut Relay, now: Instant) {
    let Some(legs) = &mut relay.legs else { return };
    if let (Some(tried), Some(span)) = (relay.tried.last().cloned(), fresh()) {
        legs.push(Leg { span, tried, began: now, end: None });
    }
}

/// The attempt that runs has ended, with a label if it failed. Later words do not count.
pub fn leg_ends(relay: &mut Relay, failure: Option<&'static str>) {
    let Some(leg) = relay.legs.as_mut().and_then(|legs| legs.last_mut()).filter(|leg| leg.end.is_none())
    else {
        return;
    };
    let status = match &relay.answer {
        Answer::Asked => None,
        Answer::Whole(_) | Answer::Events(_) => Some(200),
        Answer::Refusal { status, .. } => Some(*status),
    };
    leg.end = Some(End { at: Instant::now(), failure, status });
}

/// What a backend is told of the trace: nothing, unless its pool says so.
pub fn upward(exchange: &Exchange) -> Vec<(HeaderName, HeaderValue)> {
    let (Some(following), Stage::Relaying(relay), Some(entry)) =
        (&exchange.following, &exchange.stage, &exchange.entry)
    else {
        return Vec::new();
    };
    if relay.asked(entry).is_none_or(|(route, _, _)| route.pool.passing == Passing::Kept) {
        return Vec::new();
    }
    let leg = relay.legs.as_ref().and_then(|legs| legs.last());
    let context = match (following.own, leg) {
        (Some(own), Some(leg)) => {
            Some(TraceContext { trace: own.trace, span: leg.span, sampled: Sampled::Yes })
        }
        // We take no part in it: it goes on as it came.
        (Some(_) | None, _) => following.theirs,
    };
    let parent = context.and_then(|context| HeaderValue::from_str(&context.written()).ok());
    let parent = parent.map(|parent| (TRACEPARENT, parent));
    parent.into_iter().chain(following.state.clone().map(|state| (TRACESTATE, state))).collect()
}

/// How a request ended, for its trace.
pub struct Ended<'a> {
    pub at: Instant,
    pub status: u16,
    pub error: Option<&'a GatewayError>,
    /// Of the prompt and of the answer.
    pub tokens: Option<(Option<u64>, u64)>,
    pub first: Option<Duration>,
}

/// Hands the trace of a request that is over to whoever collects it.
pub fn hand_over(exchange: &Exchange, relay: Option<&Relay>, ended: &Ended<'_>) {
    let (Some(following), Some(tracing)) = (&exchange.following, &exchange.snapshot.tracing) else { return };
    let (Some(own), Some(collector)) = (following.own, &tracing.collector) else { return };
    let wall = |at: Instant| -> SystemTime { exchange.wall + at.saturating_duration_since(exchange.arrived) };
    let legs = relay.and_then(|relay| relay.legs.as_deref()).unwrap_or_default();
    let mut spans = Vec::with_capacity(1 + legs.len());
    spans.push(Span {
        id: own.span,
        parent: following.theirs.map_or(Parent::Nobody, |theirs| Parent::Theirs(theirs.span)),
        side: Side::Server,
        name: name(exchange, own),
        start: exchange.wall,
        end: wall(ended.at),
        attributes: attributes(exchange, relay, own, ended),
        // What a client did wrong is no failure of a server's (conventions for HTTP spans).
        outcome: match ended.error.map(GatewayError::fault) {
            Some(Fault::Upstream | Fault::Gateway) => Outcome::Failed,
            Some(Fault::Caller | Fault::Policy) | None => Outcome::Fine,
        },
    });
    for (number, leg) in legs.iter().enumerate() {
        let used = relay.filter(|_| number + 1 == legs.len());
        let Some((name, attributes)) =
            exchange.entry.as_deref().and_then(|entry| attempt(leg, entry, used, ended))
        else {
            continue;
        };
        let end = leg.end.as_ref();
        spans.push(Span {
            id: leg.span,
            parent: Parent::Ours(own.span),
            side: Side::Client,
            name,
            start: wall(leg.began),
            end: wall(end.map_or(ended.at, |end| end.at)),
            attributes,
            outcome: match end.and_then(|end| end.failure) {
                Some(_) => Outcome::Failed,
                None => Outcome::Fine,
            },
        });
    }
    collector.take(Trace { id: own.trace, spans });
}

fn name(exchange: &Exchange, own: Own) -> String {
    match (&exchange.entry, own.path) {
        (Some(entry), Some("/v1/chat/completions")) => format!("chat {}", entry.alias),
        (Some(_) | None, Some(path)) => format!("{} {path}", own.method),
        (Some(_) | None, None) if own.method == "_OTHER" => "HTTP".to_owned(),
        (Some(_) | None, None) => own.method.to_owned(),
    }
}

fn text(value: impl Into<String>) -> Value {
    Value::Text(value.into())
}

fn attributes(exchange: &Exchange, relay: Option<&Relay>, own: Own, ended: &Ended<'_>) -> Attributes {
    let mut all = vec![
        ("http.request.method", Value::Word(own.method)),
        ("http.response.status_code", Value::Number(ended.status.into())),
        ("byname.request_id", text(exchange.id.as_str())),
    ];
    all.extend(own.path.map(|path| ("http.route", Value::Word(path))));
    if let Some(caller) = &exchange.caller {
        all.push(("byname.tenant", text(caller.tenant.as_str())));
        all.push(("byname.key", text(caller.key.as_str())));
    }
    if let Some(entry) = &exchange.entry {
        all.push(("gen_ai.request.model", text(entry.alias.as_str())));
    }
    all.extend(ended.error.map(|error| ("error.type", Value::Word(error.reason()))));
    if ended.status == 499 {
        all.push(("error.type", Value::Word("client_left")));
    }
    if let Some(relay) = relay {
        all.push(("byname.attempts", Value::Number(relay.attempts() as u64)));
        all.push(("gen_ai.response.id", text(format!("chatcmpl-{}", exchange.id.as_str()))));
        conversation(&mut all, relay);
        said(&mut all, relay, ended, ended.first);
    }
    all
}

/// What was asked.
fn conversation(all: &mut Attributes, relay: &Relay) {
    all.push(("gen_ai.operation.name", Value::Word("chat")));
    all.push(("gen_ai.request.stream", Value::Truth(relay.request.delivery() == Delivery::Stream)));
}

/// What came back, counted.
fn said(all: &mut Attributes, relay: &Relay, ended: &Ended<'_>, first: Option<Duration>) {
    if let Some((input, output)) = ended.tokens {
        all.extend(input.map(|input| ("gen_ai.usage.input_tokens", Value::Number(input))));
        all.push(("gen_ai.usage.output_tokens", Value::Number(output)));
    }
    // Those of an answer that was not to be sent in the end are nobody's.
    let reasons: Vec<_> = first.iter().flat_map(|_| relay.tally.ends.words()).collect();
    if !reasons.is_empty() {
        all.push(("gen_ai.response.finish_reasons", Value::Words(reasons)));
    }
    // A whole answer has no chunks.
    let first = first.filter(|_| relay.request.delivery() == Delivery::Stream);
    all.extend(
        first.map(|first| ("gen_ai.response.time_to_first_chunk", Value::Seconds(first.as_secs_f64()))),
    );
}

/// Name and attributes of an attempt; `used` is there for the last one.
fn attempt(
    leg: &Leg,
    entry: &AliasEntry,
    used: Option<&Relay>,
    ended: &Ended<'_>,
) -> Option<(String, Attributes)> {
    let route = entry.routes.get(leg.tried.route)?;
    let backend = route.pool.backends.get(leg.tried.member.backend)?;
    let model: String = serde_json::from_str(route.model.as_str()).ok()?;
    let name = format!("chat {model}");
    let address = leg.tried.member.address;
    let (host, port) = backend.name.as_str().rsplit_once(':').unwrap_or((backend.name.as_str(), ""));
    let mut all = vec![
        ("gen_ai.provider.name", Value::Word(route.pool.provider)),
        ("gen_ai.request.model", text(model)),
        ("server.address", text(host.trim_matches(['[', ']']))),
        ("network.peer.address", text(address.ip().to_string())),
        ("network.peer.port", Value::Number(address.port().into())),
        ("byname.pool", text(route.pool.name.as_str())),
        ("byname.backend", text(backend.name.as_str())),
    ];
    all.extend(port.parse().ok().map(|port| ("server.port", Value::Number(port))));
    if let Some(end) = &leg.end {
        all.extend(end.status.map(|status| ("http.response.status_code", Value::Number(status.into()))));
        all.extend(end.failure.map(|failure| ("error.type", Value::Word(failure))));
    }
    if let Some(relay) = used {
        conversation(&mut all, relay);
        let first = relay.tally.first_useful.map(|first| first.saturating_duration_since(leg.began));
        said(&mut all, relay, ended, first);
    } else {
        all.push(("gen_ai.operation.name", Value::Word("chat")));
    }
    Some((name, all))
}
