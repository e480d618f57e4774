//! Asks a moderation service over HTTP, with Pingora's own connector.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::{Mutex, Weak};
use std::time::Duration;

use async_trait::async_trait;
use pingora_core::connectors::http::v1::Connector;
use pingora_core::protocols::http::v1::client::HttpSession;
use pingora_core::upstreams::peer::{ALPN, HttpPeer};
use tokio::sync::OnceCell;
use tokio::time::{Instant, timeout};

use super::fleet::Fleet;
use super::held;
use super::resolver::Local;
use crate::config::plan::{ModeratorPlan, Scheme};
use crate::metrics::Moderated;
use crate::names::Secret;
use crate::proxy::peer::{self, Connection};
use crate::rules::content::Moderator;
use crate::rules::headers::{self, Door, UpwardHead};
use crate::rules::reach::{Reach, ServerName, Tls};
use crate::wire::moderation::{answer, question};
use crate::wire::sieve::Verdict;

/// The largest answer that is read, in bytes.
const MAX_ANSWER: usize = 256 * 1024;
/// How many of its addresses are tried.
const MOST_ADDRESSES: usize = 3;
/// How long a connection that nobody uses is kept.
const IDLE: Duration = Duration::from_secs(45);

/// A moderation service.
#[derive(Clone)]
pub struct HttpModerator(Arc<Service>);

struct Service {
    host: String,
    port: u16,
    reach: Reach,
    head: UpwardHead,
    model: Option<String>,
    timeout: Duration,
    /// Where names are looked up and everything is done. It outlives every configuration.
    fleet: Weak<Fleet>,
    connector: OnceCell<Connector>,
    addresses: Mutex<Known>,
}

/// Where its name leads.
#[derive(Default)]
struct Known {
    addresses: Vec<SocketAddr>,
    /// Until when that is believed.
    until: Option<Instant>,
}

/// It cannot be asked, or says nothing that could be understood.
struct Failed;

impl<E: std::error::Error> From<E> for Failed {
    fn from(_: E) -> Self {
        Self
    }
}

impl HttpModerator {
    /// `group` keeps its connections apart from all others. `None` when the key cannot stand in a header.
    pub fn new(plan: &ModeratorPlan, key: Option<&Secret>, group: u64, fleet: &Arc<Fleet>) -> Option<Self> {
        let (tls, usual) = match plan.scheme {
            Scheme::Http => (None, 80),
            Scheme::Https => (Some(Tls { server_name: ServerName::new(&plan.host)?, material: None }), 443),
        };
        let host = headers::host(&plan.host, plan.port, usual);
        Some(Self(Arc::new(Service {
            host: plan.host.clone(),
            port: plan.port,
            reach: Reach { tls, h2: false, group },
            head: UpwardHead::new(&host, &Door::of(&plan.path, key)?)?,
            model: plan.model.as_ref().map(|model| model.as_str().to_owned()),
            timeout: plan.timeout,
            fleet: Arc::downgrade(fleet),
            connector: OnceCell::new(),
            addresses: Mutex::default(),
        })))
    }
}

#[async_trait]
impl Moderator for HttpModerator {
    async fn judge(&self, texts: Vec<String>) -> Moderated {
        let Some(fleet) = self.0.fleet.upgrade() else { return Moderated::Failed };
        let service = self.0.clone();
        // Its connections live where names are looked up, whichever thread a request is served by.
        let asked = fleet.runtime.spawn(async move {
            match timeout(service.timeout, service.ask(&texts)).await {
                Ok(Ok(Verdict::Clean)) => Moderated::Clean,
                Ok(Ok(Verdict::Forbidden)) => Moderated::Flagged,
                Ok(Err(Failed)) => Moderated::Failed,
                Err(_) => Moderated::TimedOut,
            }
        });
        drop(fleet);
        asked.await.unwrap_or(Moderated::Failed)
    }
}

impl Service {
    async fn ask(&self, texts: &[String]) -> Result<Verdict, Failed> {
        let body = question(self.model.as_deref(), texts);
        for address in self.addresses().await?.into_iter().take(MOST_ADDRESSES) {
            let peer = self.peer(address);
            while let Ok((mut session, reused)) = self.connector().await?.get_http_session(&peer).await {
                match self.put(&mut session, &body).await {
                    Ok(()) => return self.hear(session, &peer).await,
                    // A kept connection may turn out to be dead, and says nothing of its server then.
                    Err(Failed) if reused => {}
                    Err(Failed) => return Err(Failed),
                }
            }
        }
        Err(Failed)
    }

    /// Sends the question and waits for the head of an answer.
    async fn put(&self, session: &mut HttpSession, body: &[u8]) -> Result<(), Failed> {
        session.write_request_header(Box::new(self.head.question(body.len())?)).await?;
        session.write_body(body).await?;
        session.finish_body().await?;
        session.read_response().await?;
        while session.get_status().is_some_and(|status| status.is_informational()) {
            session.read_response().await?;
        }
        Ok(())
    }

    /// Reads the answer, and keeps the connection.
    async fn hear(&self, mut session: HttpSession, peer: &HttpPeer) -> Result<Verdict, Failed> {
        if session.get_status().is_none_or(|status| status.as_u16() != 200) {
            return Err(Failed);
        }
        let mut said = Vec::new();
        while let Some(piece) = session.read_body_ref().await? {
            if said.len() + piece.len() > MAX_ANSWER {
                return Err(Failed);
            }
            said.extend_from_slice(piece);
        }
        self.connector().await?.release_http_session(session, peer, Some(IDLE)).await;
        answer(&said).ok_or(Failed)
    }

    fn peer(&self, address: SocketAddr) -> HttpPeer {
        let mut peer = peer::peer(address, &self.reach, self.timeout, self.timeout, Connection::Any);
        // Protocols of our own making are for connectors of our own making.
        peer.options.alpn = ALPN::H1;
        peer
    }

    /// Where its name leads, looked up when what is known is too old; that is used on while nobody answers.
    async fn addresses(&self) -> Result<Vec<SocketAddr>, Failed> {
        let last = {
            let known = held(&self.addresses);
            if known.until.is_some_and(|until| Instant::now() < until) {
                return Ok(known.addresses.clone());
            }
            known.addresses.clone()
        };
        let fleet = self.fleet.upgrade().ok_or(Failed)?;
        match fleet.resolver.addresses(&self.host, Local::Denied).await {
            Ok(found) => {
                let found_now = found.addresses.iter().map(|ip| SocketAddr::new(*ip, self.port));
                let addresses: Vec<_> = found_now.collect();
                let until = Instant::now().checked_add(found.good_for);
                *held(&self.addresses) = Known { addresses: addresses.clone(), until };
                Ok(addresses)
            }
            Err(_) if last.is_empty() => Err(Failed),
            Err(_) => Ok(last),
        }
    }

    /// Made when first needed, away from the runtime's threads: it reads the system's certificates.
    async fn connector(&self) -> Result<&Connector, Failed> {
        let make = || tokio::task::spawn_blocking(|| Connector::new(None));
        Ok(self.connector.get_or_try_init(make).await?)
    }
}
