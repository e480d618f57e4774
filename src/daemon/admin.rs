//! The operator's listener: `/metrics`, `/healthz`, `/readyz`, `/status`. Never reachable through a client's
//! listener.

use std::sync::Arc;
use std::time::Instant;

use async_trait::async_trait;
use http::{Method, Response, StatusCode, header};
use pingora_core::apps::http_app::ServeHttp;
use pingora_core::protocols::http::ServerSession;
use serde::Serialize;

use super::observe;
use super::reload::{Reloader, Report};
use crate::config::snapshot::Snapshot;
use crate::proxy::buffered::Buffered;
use crate::proxy::door::seats::Seats;
use crate::proxy::life::{Life, Stage};

/// Serves the operator's pages.
pub struct Admin {
    pub reloader: Arc<Reloader>,
    pub life: Arc<Life>,
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
            "/readyz" => match unready(self.life.stage(), &self.reloader.live.load()) {
                None => page(StatusCode::OK, TEXT, b"ready\n".to_vec()),
                Some(why) => {
                    page(StatusCode::SERVICE_UNAVAILABLE, TEXT, format!("not ready: {why}\n").into())
                }
            },
            "/status" => match serde_json::to_vec_pretty(&self.status()) {
                Ok(status) => page(StatusCode::OK, JSON, status),
                Err(why) => page(StatusCode::INTERNAL_SERVER_ERROR, TEXT, format!("{why}\n").into()),
            },
            "/metrics" => {
                observe::now(&self.reloader.live.load(), &self.reloader.metrics);
                observe::clients(&self.seats, &self.buffered, &self.reloader.metrics);
                page(StatusCode::OK, PROMETHEUS, self.reloader.metrics.render())
            }
            _ => page(StatusCode::NOT_FOUND, TEXT, b"/metrics /healthz /readyz /status\n".to_vec()),
        }
    }
}

/// Why no requests should be sent here, if so.
fn unready(stage: Stage, snapshot: &Snapshot) -> Option<&'static str> {
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

/// `/status`.
#[derive(Serialize)]
struct Status {
    version: &'static str,
    process: u32,
    stage: &'static str,
    /// Why it is not ready; absent when it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    not_ready: Option<&'static str>,
    serving: i64,
    configuration: Configuration,
}

#[derive(Serialize)]
struct Configuration {
    file: String,
    generation: i64,
    /// How many configurations are in use: the one that runs, and those that running requests began with.
    in_use: usize,
    /// When it was last looked at.
    at: String,
    /// How that ended: `taken` or `refused`.
    last_reload: &'static str,
    complaints: Vec<String>,
    warnings: Vec<String>,
}

impl Admin {
    fn status(&self) -> Status {
        let Report { at, complaints, warnings, generation } = self.reloader.report();
        let stage = self.life.stage();
        Status {
            version: env!("CARGO_PKG_VERSION"),
            process: std::process::id(),
            stage: match stage {
                Stage::Starting => "starting",
                Stage::Serving => "serving",
                Stage::HandedOver => "handed_over",
                Stage::Stopping => "stopping",
            },
            not_ready: unready(stage, &self.reloader.live.load()),
            serving: self.reloader.metrics.serving.get(),
            configuration: Configuration {
                file: self.reloader.file.display().to_string(),
                generation,
                in_use: self.reloader.in_use(),
                at: humantime::format_rfc3339_seconds(at).to_string(),
                last_reload: if complaints.is_empty() { "taken" } else { "refused" },
                complaints,
                warnings,
            },
        }
    }
}

const TEXT: &str = "text/plain; charset=utf-8";
const JSON: &str = "application/json";
const PROMETHEUS: &str = "text/plain; version=0.0.4; charset=utf-8";

fn page(status: StatusCode, kind: &'static str, body: Vec<u8>) -> Response<Vec<u8>> {
    let length = body.len();
    let mut page = Response::new(body);
    *page.status_mut() = status;
    page.headers_mut().insert(header::CONTENT_TYPE, header::HeaderValue::from_static(kind));
    page.headers_mut().insert(header::CONTENT_LENGTH, header::HeaderValue::from(length));
    page
}
