//! A backend as Pingora connects to it.

use std::time::{Duration, Instant};

use http::Method;
use once_cell::sync::OnceCell;
use pingora_core::Result;
use pingora_core::upstreams::peer::HttpPeer;
use pingora_http::RequestHeader;

use super::corked;
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
    // No timeout for single reads and writes: the held session looks at its deadlines whenever it waits for an
    // HTTP/1.1 backend, and a write to the client, during which it does not, has a timeout of its own.
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
    static BLANK: OnceCell<RequestHeader> = OnceCell::new();
    BLANK.get_or_try_init(|| RequestHeader::build_no_case(Method::POST, b"/", Some(0))).cloned()
}
