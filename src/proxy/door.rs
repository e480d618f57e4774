//! The door: reads a request's head before Pingora's proxy does, so that a head that is no HTTP, or
//! too large, is refused in our words too. Pingora answers it with an empty body and its own name.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use pingora_core::apps::{
    HttpPersistentSettings, HttpServerApp, HttpServerOptions, ReusedHttpStream, ServerApp,
};
use pingora_core::connectors::ConnectorOptions;
use pingora_core::protocols::Stream;
use pingora_core::protocols::http::ServerSession as HttpSession;
use pingora_core::protocols::http::v2::server::{H2Options, default_h2_options};
use pingora_core::server::ShutdownWatch;
use pingora_core::server::configuration::ServerConf;
use pingora_core::services::listening::Service;
use pingora_core::{Error, ErrorType};
use pingora_proxy::{HttpProxy, ProxyHttp, ProxyServiceBuilder};
use pingora_timeout::fast_timeout::fast_timeout;

use super::corked::Corking;
use super::exchange::{Exchange, Stage};
use super::held::WayBack;
use super::{Gateway, access_log, held, reply};
use crate::error::GatewayError;

/// How long a connection waits for its next request, in seconds. Pingora's own value.
const KEEP_ALIVE: u64 = 60;
/// The largest HTTP/2 head that is decoded, in bytes. With 100 streams a connection it bounds memory.
const MAX_H2_HEAD: u32 = 256 * 1024;
/// What of an HTTP/2 answer may wait for its client outside of its request, in bytes. The rest is written under
/// the write deadline, so that a client that does not read keeps its requests, and these their places under limits.
const MAX_H2_UNSENT: usize = 64 * 1024;
/// How long a connection without a request is listened to when the daemon stops, as long as other requests
/// keep it alive.
const LAST_HEAD: Duration = Duration::from_secs(1);

/// Pingora's proxy behind a door of ours.
pub struct Door {
    proxy: Arc<Proxy>,
    gateway: Arc<Gateway>,
    options: Arc<HttpServerOptions>,
}

/// Pingora's proxy with our filters and our connections to backends.
pub type Proxy = HttpProxy<Gateway, Corking>;

/// The life of one client connection.
type Connection = Pin<Box<dyn Future<Output = Option<Stream>> + Send>>;

/// A service whose every connection comes through the door. `h2c` says whether HTTP/2 is spoken without TLS.
///
/// Pingora lets an application take over a connection under a protocol of its own; that is how ours get
/// here, and from here back into Pingora's ordinary handling of HTTP connections.
pub fn service(conf: &Arc<ServerConf>, gateway: Gateway, name: &str, h2c: bool) -> Service<Proxy> {
    let mut options = HttpServerOptions::default();
    // CONNECT is refused by our routes, in our words.
    options.allow_connect_method_proxying = true;
    let mut inside = options.clone();
    inside.h2c = h2c;
    let inside = Arc::new(inside);
    options.force_custom = true;
    let connections = Corking::new(ConnectorOptions::from_server_conf(conf));
    let doorkeeper = Arc::new(gateway.clone());
    let enter = move |proxy: Arc<Proxy>, stream: Stream, shutdown: &ShutdownWatch| -> Connection {
        let door = Door { proxy, gateway: doorkeeper.clone(), options: inside.clone() };
        let shutdown = shutdown.clone();
        if h2c {
            Box::pin(async move { Arc::new(door).process_new(stream, &shutdown).await })
        } else {
            Box::pin(async move { door.http1(stream, &shutdown).await })
        }
    };
    ProxyServiceBuilder::new(conf, gateway)
        .name(name)
        .server_options(options)
        .custom(connections, Arc::new(enter))
        .build()
}

impl Door {
    /// Serves the requests of an HTTP/1.1 connection, one after the other.
    ///
    /// Pingora's own loop does the same, in a future that also has room for all of HTTP/2.
    async fn http1(&self, stream: Stream, shutdown: &ShutdownWatch) -> Option<Stream> {
        let mut session = HttpSession::new_http1(stream);
        session.set_keepalive((!*shutdown.borrow()).then_some(KEEP_ALIVE));
        while let Some(reused) = self.request(session, shutdown).await {
            let (stream, settings) = reused.consume();
            session = HttpSession::new_http1(stream);
            if let Some(settings) = settings {
                settings.apply_to_session(&mut session);
            }
        }
        None
    }

    /// Serves one request, and tells the connection if it is kept.
    ///
    /// The rare ways are boxed: every open connection carries the memory of this future, and every request
    /// copies it.
    async fn request(&self, mut session: HttpSession, shutdown: &ShutdownWatch) -> Option<ReusedHttpStream> {
        let read = self.read_head(&mut session, shutdown).await;
        match read {
            Some(Ok(true)) => {}
            Some(Ok(false)) | None => return None,
            Some(Err(error)) => {
                Box::pin(self.turn_away(&mut session, &error)).await;
                return None;
            }
        }
        if *shutdown.borrow() {
            Box::pin(self.draining(&mut session)).await;
            return None;
        }
        let way_back = WayBack::default();
        let carried = held::carry(Box::new(session), way_back.clone());
        let reused = self.proxy.process_new_http(carried, shutdown).await;
        match way_back.take() {
            Some(left) => Box::pin(keep(*left)).await,
            None => reused,
        }
    }

    /// Reads the next head. `None` when the daemon stops before there is one.
    async fn read_head(
        &self,
        session: &mut HttpSession,
        shutdown: &ShutdownWatch,
    ) -> Option<Result<bool, Box<Error>>> {
        let mut stopping = shutdown.clone();
        let mut read = std::pin::pin!(session.read_request());
        let stop = async { drop(stopping.wait_for(|stop| *stop).await) };
        tokio::select! {
            biased;
            read = &mut read => Some(read),
            // Half a head may be there already, or a request on its way: it is to be answered, not dropped.
            () = stop => fast_timeout(LAST_HEAD, read).await.ok(),
        }
    }

    /// Refuses a head that could not be read.
    async fn turn_away(&self, session: &mut HttpSession, error: &Error) {
        if *error.etype() != ErrorType::InvalidHTTPHeader {
            // The connection broke or fell silent: there is nobody to tell.
            return;
        }
        let mut exchange = self.gateway.new_ctx();
        if reply::turn_away(session, &mut exchange, misread(error)).await.is_err() {
            exchange.stage = Stage::Arrived;
        }
        access_log::remember(&self.gateway.log, &self.gateway.metrics, &mut exchange);
        session.shutdown().await;
    }

    /// Answers everything with 503 once the daemon has been told to stop.
    async fn draining(&self, session: &mut HttpSession) {
        let mut exchange: Exchange = self.gateway.new_ctx();
        if reply::refuse(session, &mut exchange, GatewayError::Draining).await.is_err() {
            exchange.stage = Stage::Arrived;
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

/// Pingora has one error type for both; its texts are pinned by tests with its version.
fn misread(error: &Error) -> GatewayError {
    let text = error.to_string();
    if text.contains("header larger than") || text.contains("too many headers") {
        GatewayError::HeadTooLarge
    } else {
        GatewayError::BadHead
    }
}

#[async_trait]
impl HttpServerApp for Door {
    async fn process_new_http(
        self: &Arc<Self>,
        session: HttpSession,
        shutdown: &ShutdownWatch,
    ) -> Option<ReusedHttpStream> {
        self.request(session, shutdown).await
    }

    async fn http_cleanup(&self) {
        self.proxy.http_cleanup().await;
    }

    fn server_options(&self) -> Option<&HttpServerOptions> {
        Some(&self.options)
    }

    fn h2_options(&self) -> Option<H2Options> {
        let mut options = default_h2_options();
        // Larger heads come as far as our own check, which answers them in our words.
        options.max_header_list_size(MAX_H2_HEAD);
        options.max_send_buffer_size(MAX_H2_UNSENT);
        Some(options)
    }
}
