//! A backend as Pingora connects to it.

use std::time::{Duration, Instant};

use http::{HeaderValue, Method, header};
use pingora_core::Result;
use pingora_core::upstreams::peer::HttpPeer;
use pingora_http::RequestHeader;

use super::corked;
use super::exchange::RequestId;
use crate::rules::headers::X_REQUEST_ID;
use crate::rules::pools::{Backend, Pool};

/// How long a connection that nobody uses is kept. Below the 60 s or more that servers keep theirs, so
/// that it is rarely the server that closes it first.
const IDLE: Duration = Duration::from_secs(45);
/// The peer of one attempt that begins now and must be over at `end`.
pub fn peer(backend: &Backend, pool: &Pool, now: Instant, end: Instant) -> HttpPeer {
    let (tls, name) = match &backend.tls_name {
        Some(name) => (true, name.clone()),
        None => (false, String::new()),
    };
    let mut peer = HttpPeer::new(backend.address, tls, name);
    let left = end.saturating_duration_since(now);
    let connect = pool.timeouts.connect.min(left);
    peer.options.connection_timeout = Some(connect);
    peer.options.total_connection_timeout = Some(connect);
    // No timeout for single reads and writes: while an HTTP/1.1 backend is spoken to, the held session's
    // deadlines are looked at all the time.
    peer.options.idle_timeout = Some(IDLE);
    if !tls {
        peer.options.alpn = corked::mark();
    }
    peer
}

/// The head that Pingora sees while a request is held, and clones for every attempt.
///
/// # Errors
/// Never for these constants.
pub fn blank_head() -> Result<RequestHeader> {
    RequestHeader::build_no_case(Method::POST, b"/", Some(0))
}

/// The head that goes up: constant for the backend, but for the body's length and the request's id.
///
/// # Errors
/// When the backend's path is not a request target; the configuration check saw to it.
pub fn upward_head(backend: &Backend, length: usize, id: &RequestId) -> Result<RequestHeader> {
    let headers = backend.head.headers();
    let mut head =
        RequestHeader::build_no_case(Method::POST, backend.head.path.as_bytes(), Some(headers.len() + 2))?;
    for (name, value) in headers {
        head.insert_header(name.clone(), value.clone())?;
    }
    head.insert_header(header::CONTENT_LENGTH, HeaderValue::from(length))?;
    head.insert_header(X_REQUEST_ID, id.header())?;
    Ok(head)
}
