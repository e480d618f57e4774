//! Active health checks: is a backend's address able to answer?
//!
//! When to check, whom, and what the answers add up to is Pingora's (`pingora-load-balancing`); here is
//! one check, made as the backend itself would be asked: its address, its TLS, its key.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use pingora_core::connectors::http::v2::Connector;
use pingora_core::protocols::http::client::HttpSession;
use pingora_core::upstreams::peer::{ALPN, HttpPeer};
use pingora_error::{Error, ErrorType};
use pingora_http::RequestHeader;
use pingora_load_balancing::health_check::HealthCheck;
use pingora_load_balancing::{Backend, HealthRegistry};
use tokio::sync::OnceCell;
use tokio::time::{Instant, timeout_at};

/// As much of an answer's body is read, out of politeness; it changes nothing.
const BODY_LIMIT: usize = 64 * 1024;
/// The furthest that an interval is lengthened or shortened, in thousandths.
const JITTER: u32 = 200;

/// How one address is checked. An `Arc` of it goes into the backend's `ext`.
///
/// It has no `Debug`: the request holds a key.
pub struct Probe {
    /// Whom to ask, complete: address, TLS name, authorities, protocols.
    pub peer: HttpPeer,
    /// What to ask, with `Host` and the backend's own key; any 2xx will do. Without, it is enough that a
    /// connection can be made, TLS included.
    pub request: Option<RequestHeader>,
    /// For everything up to the answer's head, together.
    pub timeout: Duration,
}

/// By which a backend is known again in the next generation of the configuration. It must not be shared
/// by backends that are asked differently: of those, one is asked and answers for all.
///
/// Goes into the backend's `ext`. Without it, a backend is known by its address and weight.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HealthKey(pub u64);

/// Is told of a backend that has become healthy (true) or unhealthy.
pub type OnChange = dyn Fn(&Backend, bool) + Send + Sync;
/// Is told of every check that has ended, with a label if it failed.
pub type OnResult = dyn Fn(&Backend, Result<(), &'static str>) + Send + Sync;

/// What becomes of checks.
pub struct Checks {
    /// This many failures in a row make a healthy backend unhealthy; 0 means 1.
    pub failures: usize,
    /// This many successes in a row make an unhealthy backend healthy; 0 means 1.
    pub successes: usize,
    /// Called after the check that turned a backend's health.
    pub on_change: Box<OnChange>,
    /// Called after every check; a failure is "connect", "timeout", "tls", "status" or "broken".
    pub on_result: Box<OnResult>,
}

/// Where the health of all backends is kept, whatever generation of the configuration they belong to.
///
/// Every generation registers a view of its backends. Health is forgotten when the last view that has
/// the key is dropped, so make the new one before the old one goes.
pub fn registry(checks: Checks) -> Arc<HealthRegistry> {
    let registry = HealthRegistry::with_equivalence(|backend| match backend.ext.get::<HealthKey>() {
        Some(key) => key.0,
        None => {
            let mut hasher = DefaultHasher::new();
            backend.hash(&mut hasher);
            hasher.finish()
        }
    });
    registry.set_health_check(Box::new(checks));
    Arc::new(registry)
}

/// `interval`, up to a fifth longer or shorter, so that the checks of many do not come all at once.
/// `random` is any number.
pub fn jittered(interval: Duration, random: u64) -> Duration {
    let swing = u64::from(2 * JITTER + 1);
    let thousandths = 1000 - JITTER + u32::try_from(random % swing).unwrap_or(JITTER);
    interval.saturating_mul(thousandths) / 1000
}

#[async_trait]
impl HealthCheck for Checks {
    async fn check(&self, target: &Backend) -> pingora_error::Result<()> {
        let outcome = match target.ext.get::<Arc<Probe>>() {
            Some(probe) => probe.run().await,
            None => Err(Failure::Broken("nobody said how to check it")),
        };
        (self.on_result)(target, outcome.as_ref().map(|_| ()).map_err(Failure::label));
        outcome.map_err(Failure::into_error)
    }

    async fn health_status_change(&self, target: &Backend, healthy: bool) {
        (self.on_change)(target, healthy);
    }

    fn backend_summary(&self, target: &Backend) -> String {
        format!("backend {}", target.addr)
    }

    fn health_threshold(&self, success: bool) -> usize {
        if success { self.successes } else { self.failures }
    }
}

/// Why a check has failed.
pub(super) enum Failure {
    Connect(Box<Error>),
    Timeout,
    Tls(Box<Error>),
    /// Answered, but with this.
    Status(u16),
    /// What came is no answer. Nothing of it is kept.
    Broken(&'static str),
}

impl Failure {
    pub(super) fn label(&self) -> &'static str {
        match self {
            Failure::Connect(_) => "connect",
            Failure::Timeout => "timeout",
            Failure::Tls(_) => "tls",
            Failure::Status(_) => "status",
            Failure::Broken(_) => "broken",
        }
    }

    fn into_error(self) -> Box<Error> {
        let label = ErrorType::new(self.label());
        match self {
            Failure::Connect(why) | Failure::Tls(why) => Error::because(label, "no connection", why),
            Failure::Timeout => Error::explain(label, "no answer in time"),
            Failure::Status(status) => Error::explain(label, format!("answered with status {status}")),
            Failure::Broken(why) => Error::explain(label, why),
        }
    }
}

impl From<Box<Error>> for Failure {
    fn from(why: Box<Error>) -> Self {
        use ErrorType::*;
        match why.etype() {
            ConnectTimedout | TLSHandshakeTimedout | ReadTimedout | WriteTimedout => Failure::Timeout,
            TLSHandshakeFailure | TLSWantX509Lookup | InvalidCert | HandshakeError => Failure::Tls(why),
            // A socket that cannot be made or bound is an internal error to Pingora.
            ConnectRefused | ConnectNoRoute | ConnectError | ConnectProxyFailure | BindError
            | SocketError | InternalError => Failure::Connect(why),
            _ => Failure::Broken("not an HTTP answer"),
        }
    }
}

impl Probe {
    async fn run(&self) -> Result<(), Failure> {
        let connector = connector().await?;
        let end = Instant::now() + self.timeout;
        let Ok(answer) = timeout_at(end, self.ask(connector)).await else { return Err(Failure::Timeout) };
        let Some((status, mut session)) = answer? else { return Ok(()) };
        if !(200..300).contains(&status) {
            return Err(Failure::Status(status));
        }
        // The head has decided; a server that is hung up on in the middle of its body may complain.
        let _ = timeout_at(end, drain(&mut session)).await;
        Ok(())
    }

    /// The status of the answer and what its body can be read from; nothing if there is no question.
    async fn ask(&self, connector: &Connector) -> Result<Option<(u16, HttpSession)>, Failure> {
        let peer = self.peer();
        let Some(request) = &self.request else {
            connector.transport().new_stream(&peer).await?;
            return Ok(None);
        };
        let mut session: HttpSession = connector.new_http_session(&peer).await?;
        session.write_request_header(Box::new(request.clone())).await?;
        session.finish_request_body().await?;
        loop {
            session.read_response_header().await?;
            let Some(head) = session.response_header() else { return Err(Failure::Broken("no answer")) };
            // A head that is read again is HTTP/1.1's alone.
            let interim = head.status.is_informational() && session.as_http1().is_some();
            if !interim || head.status.as_u16() == 101 {
                return Ok(Some((head.status.as_u16(), session)));
            }
        }
    }

    fn peer(&self) -> HttpPeer {
        let mut peer = self.peer.clone();
        // A connection with room for more streams would be kept for them.
        peer.options.max_h2_streams = 1;
        // Protocols of our own making are for connectors of our own making.
        if let ALPN::Custom(_) = peer.options.alpn {
            peer.options.alpn = ALPN::H1;
        }
        peer
    }
}

async fn drain(session: &mut HttpSession) -> pingora_error::Result<()> {
    let mut read = 0;
    while read < BODY_LIMIT
        && let Some(piece) = session.read_response_body().await?
    {
        read += piece.len();
    }
    Ok(())
}

/// Makes the connections of all checks, and those for posts of traces, and keeps none. Pingora's connector
/// for HTTP/2 speaks HTTP/1.1 where that is agreed on, and shows its transport; the one for both would bring
/// a second connector and a pool that is never used.
///
/// It is made when first needed, away from the runtime's threads: it reads the system's certificates.
pub(super) async fn connector() -> Result<&'static Connector, Failure> {
    static CONNECTOR: OnceCell<Connector> = OnceCell::const_new();
    let make = || tokio::task::spawn_blocking(|| Connector::new(None));
    CONNECTOR.get_or_try_init(make).await.map_err(|_| Failure::Broken("there are no usable certificates"))
}

#[cfg(test)]
mod tests;
