//! The door: reads a request's head before Pingora's proxy does, so that a head that is no HTTP, or
//! too large, is refused in our words too. Pingora answers it with an empty body and its own name.

use std::sync::Arc;

use async_trait::async_trait;
use pingora_core::apps::{HttpServerApp, HttpServerOptions, ReusedHttpStream};
use pingora_core::protocols::http::ServerSession as HttpSession;
use pingora_core::protocols::http::v2::server::H2Options;
use pingora_core::server::ShutdownWatch;
use pingora_core::server::configuration::ServerConf;
use pingora_core::{Error, ErrorType};
use pingora_proxy::{HttpProxy, ProxyHttp, http_proxy};

use super::exchange::{Exchange, Stage};
use super::{Gateway, access_log, held, reply};
use crate::error::GatewayError;

/// Pingora's proxy behind a door of ours.
pub struct Door {
    proxy: Arc<HttpProxy<Gateway>>,
    gateway: Arc<Gateway>,
    options: HttpServerOptions,
}

impl Door {
    /// `h2c` says whether HTTP/2 is spoken without TLS.
    pub fn new(conf: &Arc<ServerConf>, gateway: Arc<Gateway>, h2c: bool) -> Self {
        let mut proxy = http_proxy(conf, gateway.as_ref().clone());
        let mut options = HttpServerOptions::default();
        // CONNECT is refused by our routes, in our words.
        options.allow_connect_method_proxying = true;
        options.h2c = h2c;
        proxy.server_options = Some(options.clone());
        Self { proxy: Arc::new(proxy), gateway, options }
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
        access_log::remember(&self.gateway.log, &self.gateway.metrics, &exchange);
        session.shutdown().await;
    }

    /// Answers everything with 503 once the daemon has been told to stop.
    async fn draining(&self, session: &mut HttpSession) {
        let mut exchange: Exchange = self.gateway.new_ctx();
        if reply::refuse(session, &mut exchange, GatewayError::Draining).await.is_err() {
            exchange.stage = Stage::Arrived;
        }
        access_log::remember(&self.gateway.log, &self.gateway.metrics, &exchange);
    }
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
        mut session: HttpSession,
        shutdown: &ShutdownWatch,
    ) -> Option<ReusedHttpStream> {
        let mut stopping = shutdown.clone();
        let read = tokio::select! {
            biased;
            read = session.read_request() => read,
            // A kept connection without a request is closed when the daemon stops.
            _ = stopping.wait_for(|stop| *stop) => return None,
        };
        match read {
            Ok(true) => {}
            Ok(false) => return None,
            Err(error) => {
                self.turn_away(&mut session, &error).await;
                return None;
            }
        }
        if *shutdown.borrow() {
            self.draining(&mut session).await;
            return None;
        }
        self.proxy.process_new_http(held::carry(Box::new(session)), shutdown).await
    }

    async fn http_cleanup(&self) {
        self.proxy.http_cleanup().await;
    }

    fn server_options(&self) -> Option<&HttpServerOptions> {
        Some(&self.options)
    }

    fn h2_options(&self) -> Option<H2Options> {
        self.proxy.h2_options()
    }
}
