//! A backend as Pingora connects to it.

use std::any::Any;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use http::Method;
use once_cell::sync::OnceCell;
use pingora_core::Result;
use pingora_core::protocols::ALPN;
use pingora_core::protocols::tls::CaType;
use pingora_core::upstreams::peer::HttpPeer;
use pingora_core::utils::tls::{CertKey, WrappedX509, parse_x509};
use pingora_http::RequestHeader;

use super::corked;
use crate::names::TenantId;
use crate::rules::reach::Reach;

/// How long a connection that nobody uses is kept. Below the 60 s or more that servers keep theirs, so
/// that it is rarely the server that closes it first.
const IDLE: Duration = Duration::from_secs(45);
/// Sets fresh connections apart from kept ones, and from each other.
static FRESH: AtomicU64 = AtomicU64::new(0);

const GROUPS_OF_ONE: u64 = 1 << 63;
/// By the time a group comes around again, its connection is long gone.
const MANY: u64 = 1 << 16;

/// Which connections will do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Connection {
    /// A kept one is welcome, whoever has used it.
    Any,
    /// A kept one is welcome if only requests of this lane have used it; see [`lane`].
    Of(u64),
    /// A new one, because a kept one has just turned out to be dead, and others may be too.
    Fresh,
}

/// Which kept connections a tenant's requests may use, if HTTP/1.1 may be spoken there: those of its own alone.
///
/// A backend that answers a request twice, the second time a moment late, answers whoever uses the connection next
/// (RFC 9112, 9.3: only the order tells which answer belongs to which request). Nothing on the wire tells such an
/// answer from a good one, so what it says must belong to the same tenant. HTTP/2 has numbers for that.
pub fn lane(tenant: &TenantId) -> u64 {
    // Its keys never change, so a lane is the same in every generation of the configuration.
    let mut hasher = DefaultHasher::new();
    tenant.hash(&mut hasher);
    hasher.finish() & !GROUPS_OF_ONE
}

/// The peer of an attempt; `connect` bounds the whole of connecting, `write` one write to an HTTP/2 backend.
pub fn peer(
    address: SocketAddr,
    reach: &Reach,
    connect: Duration,
    write: Duration,
    connection: Connection,
) -> HttpPeer {
    let name = reach.tls.as_ref().map(|tls| tls.server_name.as_str().to_owned());
    let mut peer = HttpPeer::new(address, name.is_some(), name.unwrap_or_default());
    peer.group_key = reach.group;
    let options = &mut peer.options;
    options.connection_timeout = Some(connect);
    options.total_connection_timeout = Some(connect);
    // No timeout for single reads and writes: the held session looks at its deadlines whenever it waits for an
    // HTTP/1.1 backend, and a write to the client, during which it does not, has a timeout of its own.
    options.idle_timeout = Some(IDLE);
    options.alpn = match (&reach.tls, reach.h2) {
        (None, false) => corked::mark(),
        (None, true) => ALPN::H2,
        (Some(_), false) => ALPN::H1,
        (Some(_), true) => ALPN::H2H1,
    };
    if reach.h2 {
        // Here the body is written while the held session cannot look at its deadlines.
        options.write_timeout = Some(write);
    }
    if let Some(material) =
        reach.tls.as_ref().and_then(|tls| tls.material.as_ref()?.downcast_ref::<Material>())
    {
        options.ca = material.authorities.clone();
        peer.client_cert_key = material.identity.clone();
    }
    match connection {
        Connection::Any => {}
        Connection::Of(lane) => {
            // With TLS the backend decides, and may decide for HTTP/1.1 whatever is wished for.
            if !reach.h2 || reach.tls.is_some() {
                peer.group_key ^= lane;
            }
        }
        Connection::Fresh => {
            // A group of its own; backends' groups have the highest bit unset.
            peer.group_key = GROUPS_OF_ONE | (FRESH.fetch_add(1, Ordering::Relaxed) % MANY);
            // Nobody will look for it there again.
            peer.options.idle_timeout = Some(Duration::ZERO);
        }
    }
    peer
}

/// Certificates in Pingora's terms.
struct Material {
    authorities: Option<Arc<CaType>>,
    identity: Option<Arc<CertKey>>,
}

/// Prepares certificates for [`peer`], all as DER: authorities to trust instead of the system's, and a client's
/// chain, leaf first, with its key. The caller has checked that each of them can be read.
pub fn material(
    authorities: Option<Vec<Vec<u8>>>,
    identity: Option<(Vec<Vec<u8>>, Vec<u8>)>,
) -> Arc<dyn Any + Send + Sync> {
    let authorities = authorities
        .map(|all| all.into_iter().map(|der| WrappedX509::new(der, parse_x509)).collect::<Vec<_>>().into());
    let identity = identity.map(|(chain, key)| Arc::new(CertKey::new(chain, key)));
    Arc::new(Material { authorities, identity })
}

/// The head that Pingora sees while a request is held, and clones for every attempt.
///
/// # Errors
/// Never for these constants.
pub fn blank_head() -> Result<RequestHeader> {
    static BLANK: OnceCell<RequestHeader> = OnceCell::new();
    BLANK.get_or_try_init(|| RequestHeader::build_no_case(Method::POST, b"/", Some(0))).cloned()
}
