//! One post to a collector of traces, through the connector that health checks use.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Method, header};
use pingora_core::protocols::http::client::HttpSession;
use pingora_core::upstreams::peer::{ALPN, HttpPeer};
use pingora_http::RequestHeader;
use tokio::time::timeout;

use crate::config::plan::{Scheme, TracingPlan};
use crate::daemon::fleet::Fleet;
use crate::daemon::probe;
use crate::daemon::resolver::Local;
use crate::names::Secret;

const USER_AGENT: &str = concat!("byname/", env!("CARGO_PKG_VERSION"));

/// Where traces are posted to.
pub struct Collecting {
    host: String,
    port: u16,
    scheme: Scheme,
    timeout: Duration,
    head: RequestHeader,
    /// Which of its addresses is posted to. After a failure it is the next one.
    turn: AtomicUsize,
}

/// A header of a post; `None` when the value cannot stand in one.
pub fn header(name: &str, value: &Secret) -> Option<(HeaderName, HeaderValue)> {
    let mut value = HeaderValue::from_str(value.reveal()).ok()?;
    value.set_sensitive(true);
    Some((HeaderName::from_bytes(name.as_bytes()).ok()?, value))
}

impl Collecting {
    /// `None` when the plan's words cannot stand in a head.
    pub fn new(plan: &TracingPlan, headers: Vec<(HeaderName, HeaderValue)>) -> Option<Self> {
        let mut head = RequestHeader::build(Method::POST, plan.path.as_bytes(), Some(8)).ok()?;
        let host = if plan.host.contains(':') { format!("[{}]", plan.host) } else { plan.host.clone() };
        let host = HeaderValue::from_str(&format!("{host}:{}", plan.port)).ok()?;
        head.insert_header(header::HOST, host).ok()?;
        head.insert_header(header::USER_AGENT, HeaderValue::from_static(USER_AGENT)).ok()?;
        let kind = HeaderValue::from_static("application/x-protobuf");
        head.insert_header(header::CONTENT_TYPE, kind).ok()?;
        for (name, value) in headers {
            head.insert_header(name, value).ok()?;
        }
        let TracingPlan { host, port, scheme, timeout, .. } = plan;
        let turn = AtomicUsize::new(0);
        Some(Self { host: host.clone(), port: *port, scheme: *scheme, timeout: *timeout, head, turn })
    }

    /// For logs.
    pub fn name(&self) -> String {
        format!("{}:{}", self.host, self.port)
    }

    /// Posts one batch.
    ///
    /// # Errors
    /// Why the collector has not taken it, without a word of the collector's own.
    pub async fn post(&self, fleet: &Fleet, body: Bytes) -> Result<(), String> {
        let why = match timeout(self.timeout, self.ask(fleet, body)).await {
            Ok(Ok(200..=299)) => return Ok(()),
            Ok(Ok(status)) => return Err(format!("status {status}")),
            Ok(Err(why)) => why,
            Err(_) => "no answer in time".to_owned(),
        };
        self.turn.fetch_add(1, Ordering::Relaxed);
        Err(why)
    }

    async fn ask(&self, fleet: &Fleet, body: Bytes) -> Result<u16, String> {
        let found =
            fleet.resolver.addresses(&self.host, Local::Allowed).await.map_err(|why| why.to_string())?;
        let turn = self.turn.load(Ordering::Relaxed) % found.addresses.len().max(1);
        let address = *found.addresses.get(turn).ok_or("it has no address")?;
        let broken = |why: Box<pingora_error::Error>| why.etype().as_str().to_owned();
        let connector = probe::connector().await.map_err(|why| why.label().to_owned())?;
        let mut session: HttpSession = connector
            .new_http_session(&self.peer(SocketAddr::new(address, self.port)))
            .await
            .map_err(broken)?;
        let mut head = self.head.clone();
        head.insert_header(header::CONTENT_LENGTH, HeaderValue::from(body.len())).map_err(broken)?;
        session.write_request_header(Box::new(head)).await.map_err(broken)?;
        session.write_request_body(body, true).await.map_err(broken)?;
        session.finish_request_body().await.map_err(broken)?;
        loop {
            session.read_response_header().await.map_err(broken)?;
            match session.response_header() {
                Some(head) if head.status.is_informational() => {}
                Some(head) => return Ok(head.status.as_u16()),
                None => return Err("no answer".to_owned()),
            }
        }
    }

    fn peer(&self, address: SocketAddr) -> HttpPeer {
        let mut peer = HttpPeer::new(address, self.scheme == Scheme::Https, self.host.clone());
        peer.options.alpn = ALPN::H1;
        peer.options.total_connection_timeout = Some(self.timeout);
        peer
    }
}
