//! The gate: route, method, key, scope, declared size and type, body, JSON, schema, alias, content policy,
//! limits; in this order, so that a stranger cannot make us read or remember anything.

use std::sync::Arc;
use std::time::{Instant, UNIX_EPOCH};

use bytes::Bytes;
use http::{Version, header};
use pingora_core::protocols::http::ServerSession as HttpSession;
use pingora_http::RequestHeader;

use super::exchange::{Exchange, Incoming, Relay};
use super::guard::{self, Aside, Waiting};
use super::held::{Control, Permit};
use super::intake::{self, NoBody};
use super::life::Life;
use super::moderation::Asking;
use super::quota::{self, Prompt};
use super::shield::Shield;
use super::stopwatch::Stopwatch;
use crate::config::plan::Caps;
use crate::error::{BadRequest, GatewayError, Scope};
use crate::metrics::Metrics;
use crate::rules::buffered::Buffered;
use crate::rules::catalog::AliasEntry;
use crate::rules::content::Answers;
use crate::rules::headers;
use crate::rules::route::{Route, route};
use crate::rules::tokens::Counted;
use crate::wire::request::{self, Delivery};
use crate::wire::splice::patches;
use crate::wire::voice::Voice;

/// Fields that a head may have. More make Pingora refuse one of HTTP/1.1; HTTP/2's library counts none.
const MAX_FIELDS: usize = 256;

/// What a request that passed the gate gets.
pub enum Admitted {
    /// An answer of ours.
    Page(Bytes),
    /// A backing model, and the word that its answer waits for.
    Relay(Box<Relay>, Option<Permit>),
}

/// Lets a request in, or says why not.
///
/// # Errors
/// The refusal, or that the client left.
pub async fn admit(
    session: &mut HttpSession,
    exchange: &mut Exchange,
    shield: &Shield,
    life: &Arc<Life>,
    buffered: &Buffered,
    metrics: &Arc<Metrics>,
) -> Result<Admitted, NoBody> {
    let snapshot = exchange.snapshot.clone();
    check_head(session, &snapshot.caps, metrics)?;
    let head = session.req_header();
    let asked = route(&head.method, head.uri.path())?;
    let keys = head.headers.get_all(header::AUTHORIZATION).iter().map(|value| value.as_bytes());
    let found = snapshot.keys.identify(keys, exchange.wall).cloned();
    let caller = exchange.caller.insert(found.map_err(|no_key| shield.refuse(session, &snapshot, no_key))?);
    let tenant = snapshot.tenant(caller).ok_or(GatewayError::Internal("tenant_without_catalog"))?;
    match asked {
        Route::Models => {
            caller.may(Scope::Models)?;
            exchange.standing = quota::standing(&snapshot, caller, None);
            Ok(Admitted::Page(tenant.catalog.list().clone()))
        }
        Route::Model(id) => {
            caller.may(Scope::Models)?;
            let entry = exchange.entry.insert(tenant.catalog.resolve(&id)?.clone());
            exchange.standing = quota::standing(&snapshot, caller, Some(entry));
            Ok(Admitted::Page(entry.card.clone()))
        }
        Route::Chat => {
            caller.may(Scope::Chat)?;
            exchange.standing = quota::standing(&snapshot, caller, None);
            check_declared(session, &snapshot.caps).inspect_err(|error| count(error, metrics))?;
            let mut room = buffered.part(&tenant.buffered);
            let counted = |no: &NoBody| match no {
                NoBody::Refused(error) => count(error, metrics),
                NoBody::Gone(_) => {}
            };
            let body = intake::read(session, &snapshot, &mut room, life).await.inspect_err(counted)?;
            let mut own = Stopwatch::started(Instant::now());
            let asked = request::check(&body).map_err(GatewayError::BadRequest)?;
            let entry = exchange.entry.insert(tenant.catalog.resolve(asked.alias())?.clone()).clone();
            let mut asking = Asking::default();
            if let Some(policy) = &entry.policy {
                let (turns, end) = (&tenant.turns, end(exchange, &entry));
                let waiting = Waiting { session, turns, life, alias: &entry.alias, end, own: &mut own };
                room = guard::check(policy, &entry, &asked, &body, room, waiting).await?;
                let take = |bytes| {
                    let mut room = buffered.part(&tenant.buffered);
                    room.grow(bytes, &intake::bounds(&snapshot)).map(|()| room)
                };
                asking = Asking::about(policy, &asked, &body, metrics, take).inspect_err(counted)?;
            }
            let mut quota = quota::take(session, exchange, &entry, &asked, &body, &mut own).await?;
            let gap = asking.gap.clone();
            // The body is gone when a stream ends. If nobody else has counted, we say then how long its prompt was: to
            // the client that asks, and to the counters of an alias whose models do not count.
            let uncounted = || asked.usage_asked() || entry.learned.counter() == Counted::Nobody;
            if quota.prompt.estimated == 0 && asked.delivery() == Delivery::Stream && uncounted() {
                quota.prompt = Prompt::weighed(&entry, &body);
            }
            let permit = entry.policy.as_ref().and_then(|policy| asking.ask(policy, metrics, &exchange.id));
            let version = session.req_header().version;
            let patches = patches(&body, &asked, &entry.ids);
            let screened = entry.policy.as_ref().is_some_and(|policy| policy.answers == Answers::Screened);
            let aside = screened
                .then(|| Aside { turns: tenant.turns.clone(), room: buffered.part(&tenant.buffered) });
            let incoming = Incoming { request: asked, quota, body, patches, room, version, own, gap, aside };
            Ok(Admitted::Relay(relay(exchange, incoming, &entry, life), permit))
        }
    }
}

/// When a request is over, until a route is chosen.
fn end(exchange: &Exchange, entry: &AliasEntry) -> Instant {
    let total = entry.routes.first().map(|route| route.pool.timeouts.total);
    exchange.arrived + total.unwrap_or_default()
}

fn relay(exchange: &Exchange, incoming: Incoming, entry: &AliasEntry, life: &Arc<Life>) -> Box<Relay> {
    let (now, end) = (exchange.arrived, end(exchange, entry));
    let created = exchange.wall.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let voice = Voice::new(exchange.id.as_str(), created, incoming.request.alias(), entry.ids.clone());
    let control = Arc::new(Control::new(now, end, life.clone()));
    Box::new(Relay::new(incoming, voice, control, now, entry))
}

/// The size of the head, the `Host` that HTTP/1.1 asks for (RFC 9112, 3.2), and framing that leaves no doubt.
fn check_head(session: &HttpSession, caps: &Caps, metrics: &Metrics) -> Result<(), GatewayError> {
    let head = session.req_header();
    let size = if session.is_http2() { h2_size(head) } else { session.to_h1_raw().len() };
    if size > caps.max_head || head.headers.len() > MAX_FIELDS {
        metrics.caps.max_head.inc();
        return Err(GatewayError::HeadTooLarge);
    }
    if head.version == Version::HTTP_11 && !head.headers.contains_key(header::HOST) {
        return Err(GatewayError::BadHead);
    }
    // Other codings and repetitions are read in more than one way between here and a front proxy.
    let mut codings = head.headers.get_all(header::TRANSFER_ENCODING).iter();
    if let Some(coding) = codings.next() {
        let plain = coding.as_bytes().eq_ignore_ascii_case(b"chunked");
        if !plain || codings.next().is_some() {
            return Err(GatewayError::BadHead);
        }
    }
    Ok(())
}

/// How long an HTTP/2 head would be in HTTP/1.1, so that one cap is the same for both.
fn h2_size(head: &RequestHeader) -> usize {
    let authority = head.uri.authority().map_or(0, |authority| authority.as_str().len());
    let first = head.method.as_str().len() + head.raw_path().len() + authority;
    let fields = head.headers.iter().map(|(name, value)| name.as_str().len() + value.len() + ": \r\n".len());
    first + fields.sum::<usize>()
}

/// What the head says of the body: its size and its type.
fn check_declared(session: &HttpSession, caps: &Caps) -> Result<(), GatewayError> {
    if intake::declared_length(session).is_some_and(|length| length > caps.max_body) {
        return Err(GatewayError::TooLarge);
    }
    let head = &session.req_header().headers;
    let mut types = head.get_all(header::CONTENT_TYPE).iter();
    let json = types.next().is_some_and(|value| headers::is_json(value.as_bytes()));
    if !json || types.next().is_some() {
        let wrong = "must be `application/json`";
        return Err(GatewayError::BadRequest(BadRequest::field("Content-Type", wrong)));
    }
    let plain =
        head.get_all(header::CONTENT_ENCODING).iter().all(|v| v.as_bytes().eq_ignore_ascii_case(b"identity"));
    if !plain {
        let wrong = "must be absent: compressed requests are not read";
        return Err(GatewayError::BadRequest(BadRequest::field("Content-Encoding", wrong)));
    }
    Ok(())
}

fn count(error: &GatewayError, metrics: &Metrics) {
    if *error == GatewayError::TooLarge {
        metrics.caps.max_body.inc();
    } else if *error == GatewayError::OutOfMemory {
        metrics.caps.max_buffered.inc();
    } else if *error == GatewayError::OutOfShare {
        metrics.caps.max_buffered_share.inc();
    }
}
