//! The operator's listener: `/metrics`, `/healthz`, `/readyz`, `/status`, `/status.json`. Never reachable through a
//! client's listener.

use std::sync::Arc;
use std::time::Instant;

use async_trait::async_trait;
use http::{Method, Response, StatusCode, header};
use pingora_core::apps::http_app::ServeHttp;
use pingora_core::protocols::http::ServerSession;
use tokio::sync::Semaphore;

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
    /// One page of metrics is made at a time: what is set when somebody asks is not set twice at once.
    pub turn: Semaphore,
}

impl Admin {
    /// The page of metrics; of hundreds of tenants it takes long enough that `/healthz` must not wait for it.
    async fn metrics(&self) -> Response<Vec<u8>> {
        let (reloader, seats, buffered) = (self.reloader.clone(), self.seats.clone(), self.buffered.clone());
        let turn = self.turn.acquire().await;
        let made = tokio::task::spawn_blocking(move || {
            observe::now(&reloader.live.load(), &reloader.metrics);
            observe::clients(&seats, &buffered, &reloader.metrics);
            ends(&reloader);
            process::now(&reloader.metrics.process);
            reloader.metrics.render()
        });
        let made = made.await;
        drop(turn);
        match made {
            Ok(text) => page(StatusCode::OK, PROMETHEUS, text),
            Err(why) => {
                log::error!("the page of metrics cannot be made: {why}");
                page(
                    StatusCode::INTERNAL_SERVER_ERROR,
                    TEXT,
                    b"the page of metrics cannot be made\n".to_vec(),
                )
            }
        }
    }
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
            "/metrics" => self.metrics().await,
            _ => page(
                StatusCode::NOT_FOUND,
                TEXT,
                b"/metrics /healthz /readyz /status /status.json\n".to_vec(),
            ),
        }
    }
}

/// Sets when certificates and keys end.
fn ends(reloader: &Reloader) {
    let certificates = reloader.ends();
    reloader.metrics.ends.certificates(certificates.iter().map(|end| (&*end.file, end.at)));
    let snapshot = reloader.live.load();
    let keys = snapshot.keys.principals();
    let keys = keys.filter_map(|of| Some((of.tenant.as_str(), of.key.as_str(), of.expires?)));
    reloader.metrics.ends.keys(keys);
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
