//! The door: gives every connection a seat, finds out what its client speaks, and reads each head before
//! Pingora's proxy does, in time and so that what is no HTTP, or too large, is refused in our words too.
//! Pingora answers it with an empty body and its own name.

pub mod entrance;
mod http1;
mod http2;
mod line;
mod patience;
pub mod seats;

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use pingora_core::apps::{HttpPersistentSettings, HttpServerApp, HttpServerOptions, ReusedHttpStream};
use pingora_core::connectors::ConnectorOptions;
use pingora_core::protocols::http::ServerSession as HttpSession;
use pingora_core::protocols::{ALPN, Stream};
use pingora_core::server::ShutdownWatch;
use pingora_core::server::configuration::ServerConf;
use pingora_core::services::listening::Service;
use pingora_proxy::{HttpProxy, ProxyHttp, ProxyServiceBuilder};

use super::corked::Corking;
use super::exchange::{self, Exchange};
use super::held::WayBack;
use super::life::Stage;
use super::network::Network;
use super::{Gateway, access_log, held, reply};
use crate::error::GatewayError;
use entrance::{Entrance, Greeting, shake_hands};
use http2::Beginning;
use line::Line;
use patience::{Patience, Sign};
use seats::{NoSeat, Seat};

/// How long a connection without a request is listened to when the daemon stops, as long as other requests
/// keep it alive.
const LAST_HEAD: Duration = Duration::from_secs(1);

/// Pingora's proxy behind a door of ours.
struct Door {
    proxy: Arc<Proxy>,
    gateway: Arc<Gateway>,
    entrance: Arc<Entrance>,
}

/// What a client speaks.
enum Speech {
    Http1,
    Http2,
}

/// Pingora's proxy with our filters and our connections to backends.
pub type Proxy = HttpProxy<Gateway, Corking>;

/// The life of one client connection.
type Connection = Pin<Box<dyn Future<Output = Option<Stream>> + Send>>;

/// A service whose every connection comes through this entrance. Its listeners must be plain ones: TLS is taken
/// off at the door.
///
/// Pingora lets an application take over a connection under a protocol of its own; that is how ours get
/// here, and from here each request gets back into Pingora's ordinary handling.
pub fn service(conf: &Arc<ServerConf>, gateway: Gateway, entrance: Arc<Entrance>) -> Service<Proxy> {
    let mut options = HttpServerOptions::default();
    // CONNECT is refused by our routes, in our words.
    options.allow_connect_method_proxying = true;
    options.force_custom = true;
    let connections = Corking::new(ConnectorOptions::from_server_conf(conf));
    let doorkeeper = Arc::new(gateway.clone());
    let name = format!("clients on {}", entrance.name());
    let enter = move |proxy: Arc<Proxy>, stream: Stream, shutdown: &ShutdownWatch| -> Connection {
        let door = Door { proxy, gateway: doorkeeper.clone(), entrance: entrance.clone() };
        let shutdown = shutdown.clone();
        Box::pin(async move {
            door.enter(stream, &shutdown).await;
            None
        })
    };
    ProxyServiceBuilder::new(conf, gateway)
        .name(&name)
        .server_options(options)
        .custom(connections, Arc::new(enter))
        .build()
}

impl Door {
    /// Serves a connection that has just come, to its end.
    ///
    /// The rare ways are boxed: every open connection carries the memory of this future, and every request
    /// copies it.
    async fn enter(self, stream: Stream, shutdown: &ShutdownWatch) {
        self.entrance.count();
        let connected = Instant::now();
        let Some(seat) = self.seat(&stream, connected) else { return };
        let mut patience = Patience::new(seat.place().clone(), shutdown);
        let head_by = connected + self.gateway.live.look(|now| now.clients.header_timeout);
        let line = match self.entrance.greeting() {
            Greeting::Http1 => Line::new(stream, seat.clone(), self.gateway.clone()),
            Greeting::H2c | Greeting::Tls(_) => {
                match Box::pin(self.greet(stream, &seat, &mut patience, head_by)).await {
                    Some((line, Speech::Http1)) => line,
                    Some((line, Speech::Http2)) => {
                        let door = Arc::new(self);
                        return Box::pin(http2::serve(&door, line, &seat, &mut patience, shutdown)).await;
                    }
                    None => return,
                }
            }
        };
        self.http1(line, &seat, &mut patience, head_by, shutdown).await;
    }

    /// Takes TLS off a connection that has just come, and finds out what its client speaks. `None` when it does
    /// not come to that.
    async fn greet(
        &self,
        stream: Stream,
        seat: &Arc<Seat>,
        patience: &mut Patience,
        by: Instant,
    ) -> Option<(Line, Speech)> {
        let metrics = &self.gateway.metrics.connections;
        let line = |stream| Line::new(stream, seat.clone(), self.gateway.clone());
        let (mut line, other) = match self.entrance.greeting() {
            Greeting::Http1 => return Some((line(stream), Speech::Http1)),
            Greeting::H2c => (line(stream), Some(Speech::Http1)),
            Greeting::Tls(certificates) => {
                match patience.allow(by, shake_hands(stream, certificates.load())).await {
                    Ok(Some(stream)) if !matches!(stream.selected_alpn_proto(), Some(ALPN::H2)) => {
                        return Some((line(stream), Speech::Http1));
                    }
                    // Whoever has agreed on HTTP/2 and speaks something else is not listened to.
                    Ok(Some(stream)) => (line(stream), None),
                    Ok(None) | Err(Sign::Late | Sign::Stop) => {
                        metrics.cut_handshake.inc();
                        return None;
                    }
                    Err(Sign::Leave) => {
                        metrics.cut_for_room.inc();
                        return None;
                    }
                }
            }
        };
        match patience.allow(by, http2::beginning(&mut line)).await {
            Ok(Some(Beginning::Preface)) => return Some((line, Speech::Http2)),
            Ok(Some(Beginning::Other)) => return Some((line, other?)),
            Ok(None) => {}
            Err(Sign::Late | Sign::Stop) => metrics.cut_head.inc(),
            Err(Sign::Leave) => metrics.cut_for_room.inc(),
        }
        None
    }

    /// A seat for this connection, unless there is none.
    fn seat(&self, stream: &Stream, now: Instant) -> Option<Arc<Seat>> {
        let digest = stream.get_socket_digest();
        let address = digest.as_ref().and_then(|digest| digest.peer_addr()?.as_inet());
        let network = address.map(|address| Network::from(address.ip()));
        let clients = self.gateway.live.look(|now| now.clients);
        let metrics = &self.gateway.metrics.connections;
        match self.gateway.seats.take(network, &clients, now) {
            Ok(seat) => return Some(Arc::new(seat)),
            Err(NoSeat::Anywhere) => metrics.refused_all.inc(),
            Err(NoSeat::ForAddress) => metrics.refused_address.inc(),
        }
        None
    }

    /// Serves a request whose head has been read, and tells the connection if it is kept.
    async fn request(&self, mut session: HttpSession, shutdown: &ShutdownWatch) -> Option<ReusedHttpStream> {
        match self.gateway.life.stage() {
            Stage::Starting | Stage::Serving => {}
            // Another process serves, and the next request is to go there.
            Stage::HandedOver => session.set_keepalive_reuses_remaining(Some(0)),
            Stage::Stopping => {
                Box::pin(self.draining(&mut session)).await;
                return None;
            }
        }
        let way_back = WayBack::default();
        let carried = held::carry(Box::new(session), way_back.clone());
        let reused = self.proxy.process_new_http(carried, shutdown).await;
        match way_back.take() {
            Some(left) => Box::pin(keep(*left)).await,
            None => reused,
        }
    }

    /// Refuses a head that could not be read.
    async fn turn_away(&self, session: &mut HttpSession, refusal: GatewayError) {
        let mut exchange = self.gateway.new_ctx();
        if reply::turn_away(session, &mut exchange, refusal).await.is_err() {
            exchange.stage = exchange::Stage::Arrived;
        }
        access_log::remember(&self.gateway.log, &self.gateway.metrics, &mut exchange);
        session.shutdown().await;
    }

    /// Answers everything with 503 once the daemon has been told to stop.
    async fn draining(&self, session: &mut HttpSession) {
        let mut exchange: Exchange = self.gateway.new_ctx();
        if reply::refuse(session, &mut exchange, GatewayError::Draining).await.is_err() {
            exchange.stage = exchange::Stage::Arrived;
        }
        access_log::remember(&self.gateway.log, &self.gateway.metrics, &mut exchange);
    }
}

/// Ends an answered request and keeps its connection, as Pingora does after a success.
async fn keep(session: HttpSession) -> Option<ReusedHttpStream> {
    let settings = HttpPersistentSettings::for_session(&session);
    let stream = session.finish().await.ok().flatten()?;
    Some(ReusedHttpStream::from_reusable_stream(stream, settings))
}
