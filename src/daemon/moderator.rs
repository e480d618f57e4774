//! Asks a moderation service over HTTP, with Pingora's own connector.
//!
//! Every question has a connection of its own. On a kept one a service that is an answer behind would judge one request
//! with the verdict on another, and nothing on the wire would tell.

mod cause;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::{Mutex, Weak};
use std::time::Duration;

use async_trait::async_trait;
use http::header::{CONNECTION, HeaderValue};
use pingora_core::connectors::http::v1::Connector;
use pingora_core::protocols::http::v1::client::HttpSession;
use pingora_core::upstreams::peer::{ALPN, HttpPeer};
use tokio::io::AsyncReadExt;
use tokio::sync::OnceCell;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};

use self::cause::Cause;
use super::fleet::Fleet;
use super::held;
use super::resolver::Local;
use crate::config::plan::{ModeratorPlan, Scheme};
use crate::metrics::Moderated;
use crate::names::Secret;
use crate::proxy::peer::{self, Connection};
use crate::rules::content::{Moderator, NoWord};
use crate::rules::headers::{self, Door, UpwardHead};
use crate::rules::reach::{Reach, ServerName, Tls};
use crate::wire::moderation::Question;
use crate::wire::sieve::Verdict;

/// The largest answer that is read, in bytes: this, and so much for each result, but never more than the last.
const ANSWER: usize = 256 * 1024;
const RESULT: usize = 4 * 1024;
const MAX_ANSWER: usize = 8 * 1024 * 1024;
/// So many questions about one request are asked at the same time.
const AT_ONCE: usize = 4;
/// How many of its addresses are tried.
const MOST_ADDRESSES: usize = 3;
/// How long it has to close a connection after its answer. Whoever closes first keeps the port for a minute, and of
/// ours there are few.
const LINGER: Duration = Duration::from_secs(1);

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

impl HttpModerator {
    /// `None` when the key cannot stand in a header.
    pub fn new(plan: &ModeratorPlan, key: Option<&Secret>, fleet: &Arc<Fleet>) -> Option<Self> {
        let (tls, usual) = match plan.scheme {
            Scheme::Http => (None, 80),
            Scheme::Https => (Some(Tls { server_name: ServerName::new(&plan.host)?, material: None }), 443),
        };
        let host = headers::host(&plan.host, plan.port, usual);
        Some(Self(Arc::new(Service {
            host: plan.host.clone(),
            port: plan.port,
            reach: Reach { tls, h2: false, group: 0 },
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
    async fn judge(&self, questions: Vec<Question>) -> Result<Verdict, NoWord> {
        let failed = |cause: Cause| NoWord { outcome: Moderated::Failed, why: cause.to_string() };
        let Some(fleet) = self.0.fleet.upgrade() else { return Err(failed(Cause::Ours)) };
        let (service, patience) = (self.0.clone(), self.0.timeout);
        // Its connections live where names are looked up, whichever thread a request is served by.
        // And they end there when nobody waits here any more.
        let mut asked = JoinSet::new();
        asked.spawn_on(timeout(patience, service.ask_all(questions)), fleet.runtime.handle());
        drop(fleet);
        match asked.join_next().await {
            Some(Ok(Ok(word))) => word.map_err(failed),
            Some(Ok(Err(_))) => {
                Err(NoWord { outcome: Moderated::TimedOut, why: Cause::Silent(patience).to_string() })
            }
            Some(Err(broken)) => Err(failed(broken.into())),
            None => Err(failed(Cause::Ours)),
        }
    }
}

impl Service {
    /// What is flagged is flagged, even if another question has no answer.
    async fn ask_all(self: Arc<Self>, questions: Vec<Question>) -> Result<Verdict, Cause> {
        let (mut questions, mut asked) = (questions.into_iter(), JoinSet::new());
        let mut verdict = Ok(Verdict::Clean);
        loop {
            while asked.len() < AT_ONCE
                && let Some(question) = questions.next()
            {
                let service = self.clone();
                asked.spawn(async move { service.ask(&question).await });
            }
            match asked.join_next().await {
                None => return verdict,
                Some(Ok(Ok(Verdict::Clean))) => {}
                Some(Ok(Ok(Verdict::Forbidden))) => return Ok(Verdict::Forbidden),
                Some(Ok(Err(failed))) => verdict = Err(failed),
                Some(Err(broken)) => verdict = Err(broken.into()),
            }
        }
    }

    async fn ask(&self, question: &Question) -> Result<Verdict, Cause> {
        let body = question.body(self.model.as_deref());
        let mut cause = Cause::Ours;
        let (addresses, connector) = (self.addresses().await?, self.connector().await?);
        let patience = patience(self.timeout, addresses.len());
        for address in addresses.into_iter().take(MOST_ADDRESSES) {
            match connector.get_http_session(&self.peer(address, patience)).await {
                Ok((mut session, _)) => {
                    self.prefer(address);
                    self.put(&mut session, &body).await?;
                    return self.hear(session, question).await;
                }
                Err(error) => cause = Cause::connecting(&error),
            }
        }
        Err(cause)
    }

    /// Sends the question and waits for the head of an answer.
    async fn put(&self, session: &mut HttpSession, body: &[u8]) -> Result<(), Cause> {
        let mut head = self.head.question(body.len())?;
        head.insert_header(CONNECTION, HeaderValue::from_static("close"))?;
        session.write_request_header(Box::new(head)).await?;
        session.write_body(body).await?;
        session.finish_body().await?;
        session.read_response().await?;
        while session.get_status().is_some_and(|status| status.is_informational()) {
            session.read_response().await?;
        }
        Ok(())
    }

    /// Reads the answer.
    async fn hear(&self, mut session: HttpSession, question: &Question) -> Result<Verdict, Cause> {
        let most = question.results().saturating_mul(RESULT).saturating_add(ANSWER).min(MAX_ANSWER);
        match session.get_status().map(|status| status.as_u16()) {
            Some(200) => {}
            Some(status) => return Err(Cause::Status(status)),
            None => return Err(Cause::Ours),
        }
        let mut said = Vec::new();
        while let Some(piece) = session.read_body_ref().await? {
            if said.len() + piece.len() > most {
                return Err(Cause::TooLong(most));
            }
            said.extend_from_slice(piece);
        }
        tokio::spawn(async move {
            // Its end, or anything else: we are done with it.
            let mut stream = session.into_inner();
            let _ = timeout(LINGER, stream.read_u8()).await;
        });
        question.verdict(&said).map_err(Cause::Answer)
    }

    /// Begins with this one the next time: the others may be silent.
    fn prefer(&self, address: SocketAddr) {
        let mut known = held(&self.addresses);
        if let Some(at) = known.addresses.iter().position(|known| *known == address) {
            known.addresses.rotate_left(at);
        }
    }

    fn peer(&self, address: SocketAddr, connect: Duration) -> HttpPeer {
        let mut peer = peer::peer(address, &self.reach, connect, self.timeout, Connection::Fresh);
        // Protocols of our own making are for connectors of our own making.
        peer.options.alpn = ALPN::H1;
        peer
    }

    /// Where its name leads, looked up when what is known is too old; that is used on while nobody answers.
    async fn addresses(&self) -> Result<Vec<SocketAddr>, Cause> {
        let last = {
            let known = held(&self.addresses);
            if known.until.is_some_and(|until| Instant::now() < until) {
                return Ok(known.addresses.clone());
            }
            known.addresses.clone()
        };
        let fleet = self.fleet.upgrade().ok_or(Cause::Ours)?;
        match fleet.resolver.addresses(&self.host, Local::Denied).await {
            Ok(found) => {
                let found_now = found.addresses.iter().map(|ip| SocketAddr::new(*ip, self.port));
                let mut addresses: Vec<_> = found_now.collect();
                // The one that was used last stays the first.
                addresses.sort_by_key(|address| last.first() != Some(address));
                let until = Instant::now().checked_add(found.good_for);
                *held(&self.addresses) = Known { addresses: addresses.clone(), until };
                Ok(addresses)
            }
            Err(why) if last.is_empty() => Err(Cause::Name(why)),
            Err(_) => Ok(last),
        }
    }

    /// Made when first needed, away from the runtime's threads: it reads the system's certificates.
    async fn connector(&self) -> Result<&Connector, Cause> {
        let make = || tokio::task::spawn_blocking(|| Connector::new(None));
        Ok(self.connector.get_or_try_init(make).await?)
    }
}

/// How long connecting to one of so many addresses may take, so that there is time for the others, and for an answer.
fn patience(all: Duration, addresses: usize) -> Duration {
    let tried = addresses.clamp(1, MOST_ADDRESSES);
    all / u32::try_from(tried + 1).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests;
