//! One listener, as the door knows it: what is spoken there, and how many have come.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use pingora_core::listeners::tls::Acceptor;
use pingora_core::protocols::Stream;
use pingora_core::protocols::l4::stream::Stream as Socket;
use rustls::ServerConfig;

use crate::config::live::Live;

/// A listener. It lives as long as its socket; certificates may change meanwhile.
pub struct Entrance {
    name: String,
    greeting: Greeting,
    accepted: AtomicU64,
}

/// What is spoken at a listener, and with which certificates.
pub enum Greeting {
    /// HTTP/1.1.
    Http1,
    /// HTTP/1.1, and HTTP/2 by prior knowledge.
    H2c,
    /// TLS, and in it what both sides agree on. New connections meet what is swapped in.
    Tls(Box<Live<ServerConfig>>),
}

impl Entrance {
    /// A listener that nobody has come to. `name` is its address, for logs.
    pub fn new(name: String, greeting: Greeting) -> Self {
        Self { name, greeting, accepted: AtomicU64::new(0) }
    }

    /// Its address, for logs.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What is spoken there.
    pub fn greeting(&self) -> &Greeting {
        &self.greeting
    }

    /// How many connections have come, ever; those that were turned away, or whose handshake failed, too.
    pub fn accepted(&self) -> u64 {
        self.accepted.load(Ordering::Relaxed)
    }

    /// Shows these certificates to those who come from now on. A listener without TLS has none, and does nothing.
    pub fn renew(&self, certificates: ServerConfig) {
        match &self.greeting {
            Greeting::Tls(live) => live.swap(certificates),
            Greeting::Http1 | Greeting::H2c => {}
        }
    }

    pub(super) fn count(&self) {
        self.accepted.fetch_add(1, Ordering::Relaxed);
    }
}

/// Takes TLS off a connection that has just come. `None` when that comes to nothing.
pub(super) async fn shake_hands(stream: Stream, certificates: Arc<ServerConfig>) -> Option<Stream> {
    // Our listeners accept nothing but sockets.
    let socket = stream.into_any().downcast::<Socket>().ok()?;
    match Acceptor::from_server_config(certificates).tls_handshake(*socket).await {
        Ok(stream) => Some(Box::new(stream)),
        Err(error) => {
            log::debug!("no TLS connection: {error}");
            None
        }
    }
}
