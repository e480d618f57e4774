//! The operator's listener: `/metrics`, `/healthz`, `/readyz`. Never reachable through a client's listener.

use std::sync::Arc;

use async_trait::async_trait;
use http::{Method, Response, StatusCode, header};
use pingora_core::apps::http_app::ServeHttp;
use pingora_core::protocols::http::ServerSession;

use super::observe;
use super::stop::Running;
use crate::config::live::Live;
use crate::config::snapshot::Snapshot;
use crate::metrics::Metrics;
use crate::proxy::buffered::Buffered;
use crate::proxy::door::seats::Seats;

/// Serves the operator's pages.
pub struct Admin {
    pub live: Arc<Live<Snapshot>>,
    pub metrics: Arc<Metrics>,
    pub running: Running,
    pub seats: Arc<Seats>,
    pub buffered: Buffered,
}

#[async_trait]
impl ServeHttp for Admin {
    async fn response(&self, session: &mut ServerSession) -> Response<Vec<u8>> {
        let head = session.req_header();
        if !matches!(head.method, Method::GET | Method::HEAD) {
            let mut refusal = page(StatusCode::METHOD_NOT_ALLOWED, TEXT, b"GET or HEAD\n".to_vec());
            refusal.headers_mut().insert(header::ALLOW, header::HeaderValue::from_static("GET, HEAD"));
            return refusal;
        }
        match head.uri.path() {
            "/healthz" => page(StatusCode::OK, TEXT, b"ok\n".to_vec()),
            "/readyz" if self.running.is_ready() => page(StatusCode::OK, TEXT, b"ready\n".to_vec()),
            "/readyz" => page(StatusCode::SERVICE_UNAVAILABLE, TEXT, b"not ready\n".to_vec()),
            "/metrics" => {
                observe::now(&self.live.load(), &self.metrics);
                observe::clients(&self.seats, &self.buffered, &self.metrics);
                page(StatusCode::OK, PROMETHEUS, self.metrics.render())
            }
            _ => page(StatusCode::NOT_FOUND, TEXT, b"/metrics /healthz /readyz\n".to_vec()),
        }
    }
}

const TEXT: &str = "text/plain; charset=utf-8";
const PROMETHEUS: &str = "text/plain; version=0.0.4; charset=utf-8";

fn page(status: StatusCode, kind: &'static str, body: Vec<u8>) -> Response<Vec<u8>> {
    let length = body.len();
    let mut page = Response::new(body);
    *page.status_mut() = status;
    page.headers_mut().insert(header::CONTENT_TYPE, header::HeaderValue::from_static(kind));
    page.headers_mut().insert(header::CONTENT_LENGTH, header::HeaderValue::from(length));
    page
}
