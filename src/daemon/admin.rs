//! The operator's listener: `/metrics`, `/healthz`, `/readyz`, `/status`, `/status.json`. Never reachable through a
//! client's listener.

use std::sync::Arc;
use std::time::Instant;

use async_trait::async_trait;
use http::{Method, Response, StatusCode, header};
use pingora_core::apps::http_app::ServeHttp;
use pingora_core::protocols::http::ServerSession;

use super::reload::Reloader;
use super::status::StatusPage;
use super::status::look::Form;
use super::{observe, process};
use crate::config::snapshot::Snapshot;
use crate::proxy::door::seats::Seats;
use crate::proxy::life::{Life, Stage};
use crate::rules::buffered::Buffered;

/// Serves the operator's pages.
pub struct Admin {
    pub reloader: Arc<Reloader>,
    pub life: Arc<Life>,
    pub seats: Arc<Seats>,
    pub buffered: Buffered,
    pub status: StatusPage,
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
            "/readyz" => match unready(self.life.stage(), &self.reloader.live.load()) {
                None => page(StatusCode::OK, TEXT, b"ready\n".to_vec()),
                Some(why) => {
                    page(StatusCode::SERVICE_UNAVAILABLE, TEXT, format!("not ready: {why}\n").into())
                }
            },
            "/status" => {
                let form = Form::preferred(&head.headers);
                self.status.answer(form, head.uri.query().unwrap_or_default()).await
            }
            "/status.json" => self.status.answer(Form::Json, head.uri.query().unwrap_or_default()).await,
            "/metrics" => {
                observe::now(&self.reloader.live.load(), &self.reloader.metrics);
                observe::clients(&self.seats, &self.buffered, &self.reloader.metrics);
                process::now(&self.reloader.metrics.process);
                page(StatusCode::OK, PROMETHEUS, self.reloader.metrics.render())
            }
            _ => page(
                StatusCode::NOT_FOUND,
                TEXT,
                b"/metrics /healthz /readyz /status /status.json\n".to_vec(),
            ),
        }
    }
}

/// Why no requests should be sent here, if so.
pub fn unready(stage: Stage, snapshot: &Snapshot) -> Option<&'static str> {
    match stage {
        Stage::Starting => Some("starting"),
        Stage::HandedOver => Some("another process serves"),
        Stage::Stopping => Some("stopping"),
        Stage::Serving => {
            let now = snapshot.origin.tick(Instant::now());
            let nobody = !snapshot.pools.iter().any(|pool| pool.has_anyone(now));
            nobody.then_some("no pool has a backend that can be asked")
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
