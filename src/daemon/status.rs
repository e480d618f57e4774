//! The status page: what runs and how it fares, as JSON for programs and as one HTML page for people.
//!
//! Both are made of the same [`facts::Facts`]. The page loads nothing from elsewhere and says all it has to say
//! without script; with script it renews itself. Nothing here is secret: no key, no digest, no prompt.

pub mod attention;
mod cells;
pub mod facts;
pub mod gather;
pub mod history;
pub mod look;
mod losses;
mod page;
mod pools;
mod tenants;
mod words;

use std::sync::Arc;
use std::time::Instant;

use http::{HeaderMap, HeaderValue, Response, StatusCode, header};
use tokio::sync::Semaphore;

use self::gather::Sources;
use self::look::{Form, Look};

/// What answers `/status` and `/status.json`.
pub struct StatusPage {
    sources: Arc<Sources>,
    /// One at a time: many open pages of a large configuration never take more than one core.
    turn: Semaphore,
}

impl StatusPage {
    /// For a process that began at `sources.began`.
    pub fn new(sources: Arc<Sources>) -> Self {
        Self { sources, turn: Semaphore::new(1) }
    }

    /// The page in the form that the client likes better.
    pub async fn answer(&self, form: Form, query: &str) -> Response<Vec<u8>> {
        let (sources, look) = (self.sources.clone(), Look::of(query));
        let turn = self.turn.acquire().await;
        // A large configuration takes milliseconds; other pages of the operator's need not wait for it.
        let made = tokio::task::spawn_blocking(move || make(form, &look, &sources)).await;
        drop(turn);
        made.unwrap_or_else(|why| {
            log::error!("the status page cannot be made: {why}");
            plain(StatusCode::INTERNAL_SERVER_ERROR, "the status page cannot be made\n")
        })
    }
}

fn make(form: Form, look: &Look, sources: &Sources) -> Response<Vec<u8>> {
    let facts = sources.facts(look, Instant::now());
    match form {
        Form::Json => match serde_json::to_vec_pretty(&facts) {
            Ok(json) => with_body("application/json", json),
            Err(why) => plain(StatusCode::INTERNAL_SERVER_ERROR, &format!("{why}\n")),
        },
        Form::Html => {
            let nonce = uuid::Uuid::new_v4().simple().to_string();
            let mut response =
                with_body("text/html; charset=utf-8", page::render(&facts, look, &nonce).into_bytes());
            let policy = format!(
                "default-src 'none'; style-src 'nonce-{nonce}'; script-src 'nonce-{nonce}'; connect-src 'self'; \
                 img-src data:; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
            );
            if let Ok(policy) = HeaderValue::from_str(&policy) {
                response.headers_mut().insert(header::CONTENT_SECURITY_POLICY, policy);
            }
            response.headers_mut().insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
            response
        }
    }
}

fn plain(status: StatusCode, words: &str) -> Response<Vec<u8>> {
    let mut response = with_body("text/plain; charset=utf-8", words.as_bytes().to_vec());
    *response.status_mut() = status;
    response
}

fn with_body(kind: &'static str, body: Vec<u8>) -> Response<Vec<u8>> {
    let length = body.len();
    let mut response = Response::new(body);
    let headers: &mut HeaderMap = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    headers.insert(header::CONTENT_LENGTH, HeaderValue::from(length));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(header::VARY, HeaderValue::from_static("Accept"));
    response
}
