//! What is done: the only room that knows Pingora's session.
//!
//! [`Gateway`] answers Pingora's hooks in the order in which they are called; each asks one question
//! and leaves the answer to the file that is named for it.

pub mod about;
pub mod access_log;
mod admit;
mod answer;
mod corked;
pub mod door;
mod exchange;
mod gathered;
mod guard;
mod held;
mod intake;
pub mod life;
pub mod lines;
mod moderation;
mod network;
mod next;
pub mod peer;
mod quota;
mod reply;
pub mod shield;
mod stopwatch;
mod timer;
mod trace;
mod verdict;

use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use bytes::Bytes;
use http::{HeaderValue, Version, header};
use pingora_core::upstreams::peer::HttpPeer;
use pingora_core::{Error, ErrorType, Result};
use pingora_http::{RequestHeader, ResponseHeader};
use pingora_proxy::{FailToProxy, ProxyHttp, Session};

use self::admit::Admitted;
use self::door::seats::Seats;
use self::exchange::{Client, Exchange, Stage};
use self::intake::NoBody;
use self::life::Life;
use self::lines::Lines;
use self::shield::Shield;
use crate::config::live::Live;
use crate::config::snapshot::Snapshot;
use crate::error::{GatewayError, UpstreamFault};
use crate::metrics::Metrics;
use crate::rules::buffered::Buffered;

/// The type of the error that a refusal of ours travels through Pingora as.
const REFUSED: ErrorType = ErrorType::Custom("byname: refused");

/// Interim answers (1xx) that an attempt may have.
const MAX_INTERIM: usize = 16;

/// The gateway: what outlives a configuration, and the configuration.
#[derive(Clone)]
pub struct Gateway {
    pub live: Arc<Live<Snapshot>>,
    pub metrics: Arc<Metrics>,
    /// The lines of requests.
    pub log: Lines,
    pub shield: Arc<Shield>,
    pub life: Arc<Life>,
    pub seats: Arc<Seats>,
    pub buffered: Buffered,
}

#[async_trait]
impl ProxyHttp for Gateway {
    type CTX = Exchange;

    fn new_ctx(&self) -> Exchange {
        Exchange::arrive(self.live.load(), &self.metrics)
    }

    /// Compression and the like would see answers that are never sent; there are no modules here.
    fn init_downstream_modules(&self, _modules: &mut pingora_core::modules::http::HttpModules) {}

    // 1. Who asks, for what, and may they?
    async fn request_filter(&self, session: &mut Session, exchange: &mut Exchange) -> Result<bool> {
        let real = &mut session.downstream_session;
        exchange.way_back = held::give_back(real);
        real.set_write_timeout(Some(exchange.snapshot.caps.write_timeout));
        if let Some(tracing) = &exchange.snapshot.tracing {
            exchange.following = trace::follow(tracing, real.req_header(), &exchange.id);
        }
        let Self { shield, life, buffered, metrics, .. } = self;
        match admit::admit(real, exchange, shield, life, buffered, metrics).await {
            Ok(Admitted::Page(body)) => {
                if let Err(gone) = reply::page(real, exchange, body).await {
                    exchange.stage = Stage::Arrived;
                    return Err(gone.into_down());
                }
                Ok(true)
            }
            Ok(Admitted::Relay(mut relay, permit)) => {
                relay.legs = exchange.following.as_ref().and_then(|following| following.legs());
                let last_words = exchange.entry.as_ref().map(|entry| entry.last_words.clone());
                let control = relay.control.clone();
                held::hold(real, peer::blank_head()?, control, last_words.unwrap_or_default(), permit);
                exchange.stage = Stage::Relaying(relay);
                Ok(false)
            }
            Err(NoBody::Refused(error)) => {
                reply::refuse(real, exchange, error).await?;
                Ok(true)
            }
            Err(NoBody::Gone(error)) => Err(error.into_down()),
        }
    }

    // 2. Who answers?
    async fn upstream_peer(&self, session: &mut Session, exchange: &mut Exchange) -> Result<Box<HttpPeer>> {
        let peer = next::peer(&mut session.downstream_session, exchange, &self.metrics).await?;
        Ok(Box::new(peer))
    }

    // 3. Which head goes up?
    async fn upstream_request_filter(
        &self,
        _session: &mut Session,
        head: &mut RequestHeader,
        exchange: &mut Exchange,
    ) -> Result<()> {
        let id = exchange.id.header();
        let context = trace::upward(exchange);
        let (relay, entry, _) = exchange.relay().map_err(refused)?;
        // A connection has been found, or made.
        relay.own.start(Instant::now());
        let (_, _, ours) = relay.asked(entry).ok_or_else(|| refused(GatewayError::Internal("no_route")))?;
        let version = head.version;
        *head = ours.for_body(relay.outgoing.len(), id)?;
        // Pingora has entered what the connection speaks, and asks for it again.
        head.set_version(version);
        for (name, value) in context {
            head.insert_header(name, value)?;
        }
        Ok(())
    }

    // 4. Which body goes up? Called once an attempt, with the held session's stand-in for the body.
    async fn request_body_filter(
        &self,
        _session: &mut Session,
        body: &mut Option<Bytes>,
        _end: bool,
        exchange: &mut Exchange,
    ) -> Result<()> {
        let (relay, _, _) = exchange.relay().map_err(refused)?;
        *body = Some(relay.outgoing.clone());
        relay.own.stop(Instant::now());
        Ok(())
    }

    // 5. Is that answer good enough?
    async fn upstream_response_filter(
        &self,
        _session: &mut Session,
        head: &mut ResponseHeader,
        exchange: &mut Exchange,
    ) -> Result<()> {
        if head.status.is_informational() {
            return interim(exchange);
        }
        let (now, wall) = (Instant::now(), exchange.wall);
        let (relay, entry, snapshot) = exchange.relay().map_err(refused)?;
        relay.control.pick_up(now);
        if let Some((_, backend, _)) = relay.asked(entry) {
            backend.metrics.latency.observe((now - relay.attempt_began).as_secs_f64());
        }
        answer::begin(relay, entry, &snapshot.caps, head, now, wall).map_err(|fault| {
            relay.control.blame(fault);
            useless(fault)
        })
    }

    // 6. Which head comes down? Ours.
    async fn response_filter(
        &self,
        _session: &mut Session,
        head: &mut ResponseHeader,
        exchange: &mut Exchange,
    ) -> Result<()> {
        if head.status.is_informational() {
            return Ok(());
        }
        let (id, standing) = (exchange.id.clone(), exchange.standing);
        let (relay, _, _) = exchange.relay().map_err(refused)?;
        let kind = answer::downward(relay);
        *head = reply::head(200, kind, &id)?;
        reply::tell(head, &standing)?;
        // A JSON answer gets its length when it is let go. HTTP/2 has frames of its own, and an
        // HTTP/1.0 client knows the end of a stream by the connection's.
        if kind == crate::rules::headers::Downward::Events && relay.version == Version::HTTP_11 {
            head.insert_header(header::TRANSFER_ENCODING, HeaderValue::from_static("chunked"))?;
        }
        // Its body may be long in coming.
        relay.control.put_down(Instant::now());
        Ok(())
    }

    // 7. Which bytes come down?
    fn response_body_filter(
        &self,
        _session: &mut Session,
        body: &mut Option<Bytes>,
        end: bool,
        exchange: &mut Exchange,
    ) -> Result<Option<Duration>> {
        let (relay, entry, snapshot) = exchange.relay().map_err(refused)?;
        answer::feed(relay, entry, snapshot, &self.metrics, body, end).map_err(useless)?;
        Ok(None)
    }

    // 8. It broke; once more?
    fn fail_to_connect(
        &self,
        _session: &mut Session,
        _peer: &HttpPeer,
        exchange: &mut Exchange,
        mut error: Box<Error>,
    ) -> Box<Error> {
        after_failure(&mut error, exchange, &self.metrics, false);
        error
    }

    fn error_while_proxy(
        &self,
        _peer: &HttpPeer,
        _session: &mut Session,
        mut error: Box<Error>,
        exchange: &mut Exchange,
        reused: bool,
    ) -> Box<Error> {
        after_failure(&mut error, exchange, &self.metrics, reused);
        error
    }

    // 9. The last word.
    async fn fail_to_proxy(
        &self,
        session: &mut Session,
        error: &Error,
        exchange: &mut Exchange,
    ) -> FailToProxy {
        let real = &mut session.downstream_session;
        held::give_back(real);
        let (refusal, words, control) = match (&exchange.stage, &exchange.entry) {
            (Stage::Relaying(relay), _) if relay.client == Client::Left => return nothing_to_say(),
            (Stage::Relaying(relay), Some(entry)) => {
                let refusal = verdict::refusal(relay.control.fault(), relay.failures, &entry.alias);
                (refusal, entry.last_words.clone(), relay.control.clone())
            }
            // The client left while it sent its request, or we could not write to it.
            (Stage::Arrived | Stage::Answered { .. } | Stage::Relaying(_), _) => return nothing_to_say(),
        };
        // A write that failed may have stopped in the middle of a chunk: nothing can follow it.
        let torn = verdict::is_of_client(error);
        let written = match real.response_written().map(|head| head.status.is_informational()) {
            _ if control.is_over() => Ok(()),
            Some(false) if torn => return nothing_to_say(),
            Some(false) => reply::last_words(real, words).await.inspect(|()| control.delivered()),
            Some(true) | None => reply::refuse(real, exchange, refusal).await,
        };
        if let Err(unwritten) = written {
            // No more than their kinds: their words may repeat a head.
            let (error, unwritten) = (error.etype().as_str(), unwritten.etype().as_str());
            let id = exchange.id.as_str();
            log::debug!("{id}: the client left before it was told of {error}: {unwritten}");
        }
        nothing_to_say()
    }

    // 10. What shall we remember?
    async fn logging(&self, session: &mut Session, error: Option<&Error>, exchange: &mut Exchange) {
        held::give_back(&mut session.downstream_session);
        let keep = match &exchange.stage {
            // It was told in full that no backend answers; that is no reason to lose the connection.
            Stage::Answered { relay, .. } => relay.is_some(),
            // So is not what went wrong behind the end of its answer: its next request may be on its way.
            Stage::Relaying(relay) => error.is_some() && relay.control.is_delivered(),
            Stage::Arrived => false,
        };
        if let Some(way_back) = exchange.way_back.as_ref().filter(|_| keep) {
            way_back.leave(&mut session.downstream_session);
        }
        about::request(&exchange.id.clone(), || access_log::remember(&self.log, &self.metrics, exchange));
    }

    /// Every request has its line in the access log; Pingora's own lines would name paths and addresses.
    fn suppress_error_log(&self, _session: &Session, _exchange: &Exchange, _error: &Error) -> bool {
        true
    }

    fn suppress_proxy_warn_log(
        &self,
        _session: &Session,
        _exchange: &Exchange,
        _error: &Error,
        _context: pingora_proxy::ProxyWarnLogContext,
    ) -> bool {
        true
    }
}

/// Enters a failed attempt, and says whether Pingora is to go on with another one.
fn after_failure(error: &mut Error, exchange: &mut Exchange, metrics: &Metrics, reused: bool) {
    let id = exchange.id.clone();
    match exchange.relay() {
        Ok((relay, entry, snapshot)) => {
            let now = relay.failed();
            let now = snapshot.origin.tick(now);
            about::request(&id, || verdict::after_failure(error, relay, entry, metrics, now, reused));
        }
        Err(_) => error.set_retry(false),
    }
}

/// Counts an interim answer. One is usual; a backend that sends them without end is not answering.
fn interim(exchange: &mut Exchange) -> Result<()> {
    let (relay, _, _) = exchange.relay().map_err(refused)?;
    relay.interim += 1;
    if relay.interim <= MAX_INTERIM {
        return Ok(());
    }
    relay.control.blame(UpstreamFault::BadResponse);
    Err(useless(UpstreamFault::BadResponse))
}

fn refused(error: GatewayError) -> Box<Error> {
    Error::explain(REFUSED, error.reason())
}

fn useless(fault: UpstreamFault) -> Box<Error> {
    Error::explain(held::USELESS, fault.label()).into_up()
}

/// The connection is not reused, and no status is left to tell.
fn nothing_to_say() -> FailToProxy {
    FailToProxy { error_code: 0, can_reuse_downstream: false }
}
