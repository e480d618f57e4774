//! Connections to plain HTTP backends that send a request's head and body together.
//!
//! Pingora flushes the head before it writes the body, which costs a system call and wakes the backend
//! twice: a fifth of all the work of a small request. There is no setting for it, but a connector may
//! hand Pingora the stream that its ordinary HTTP/1.1 session and its pool then use. This one keeps a
//! head back until the first of its body is there.
//!
//! It rests on two things that `tests/gateway/big_bodies.rs` sees break: all our requests are POSTs with
//! a known length, and Pingora writes a head in one piece. Anything else passes straight through.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use async_trait::async_trait;
use once_cell::sync::Lazy;
use pingora_core::connectors::http::custom::{Connection, Connector};
use pingora_core::connectors::{ConnectorOptions, TransportConnector};
use pingora_core::protocols::raw_connect::ProxyDigest;
use pingora_core::protocols::tls::{CustomALPN, SslDigest};
use pingora_core::protocols::{
    ALPN, GetProxyDigest, GetSocketDigest, GetTimingDigest, Peek, Shutdown, SocketDigest, Ssl, Stream,
    TimingDigest, UniqueID, UniqueIDType,
};
use pingora_core::upstreams::peer::Peer;
use pingora_core::{Error, ErrorType, Result};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Marks a peer as one for [`Corking`]. It is never negotiated: there is no TLS on such a connection.
pub fn mark() -> ALPN {
    static MARK: Lazy<ALPN> = Lazy::new(|| ALPN::Custom(CustomALPN::new(b"byname-corked".to_vec())));
    MARK.clone()
}

/// Makes new connections to marked peers. Kept ones are Pingora's business.
pub struct Corking {
    transport: TransportConnector,
}

impl Corking {
    /// Connects with these options.
    pub fn new(options: ConnectorOptions) -> Self {
        Self { transport: TransportConnector::new(Some(options)) }
    }
}

#[async_trait]
impl Connector for Corking {
    /// There is no protocol of our own, only a stream of our own.
    type Session = ();

    async fn get_http_session<P: Peer + Send + Sync + 'static>(
        &self,
        peer: &P,
    ) -> Result<(Connection<()>, bool)> {
        if peer.tls() {
            return Error::e_explain(ErrorType::InternalError, "a TLS peer was marked as corked");
        }
        let stream = self.transport.new_stream(peer).await?;
        Ok((Connection::Stream(Box::new(Corked::new(stream))), false))
    }

    async fn reused_http_session<P: Peer + Send + Sync + 'static>(&self, _peer: &P) -> Option<()> {
        None
    }

    async fn release_http_session<P: Peer + Send + Sync + 'static>(
        &self,
        _session: (),
        _peer: &P,
        _idle_timeout: Option<Duration>,
    ) {
    }
}

/// A stream that keeps a request's head until its body comes.
#[derive(Debug)]
struct Corked {
    inner: Stream,
    head: Vec<u8>,
    stage: Stage,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// Between requests.
    Idle,
    /// A head is kept; a flush is not one.
    Head,
    /// The body is being written, up to the flush that ends it.
    Body,
}

impl Corked {
    fn new(inner: Stream) -> Self {
        Self { inner, head: Vec::new(), stage: Stage::Idle }
    }
}

fn is_head(bytes: &[u8]) -> bool {
    bytes.starts_with(b"POST ") && bytes.ends_with(b"\r\n\r\n")
}

impl AsyncWrite for Corked {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        match this.stage {
            Stage::Idle if is_head(bytes) => {
                this.head.extend_from_slice(bytes);
                this.stage = Stage::Head;
                return Poll::Ready(Ok(bytes.len()));
            }
            Stage::Idle => return Pin::new(&mut this.inner).poll_write(cx, bytes),
            Stage::Head | Stage::Body => this.stage = Stage::Body,
        }
        while !this.head.is_empty() {
            let both = [IoSlice::new(&this.head), IoSlice::new(bytes)];
            let written = ready!(Pin::new(&mut this.inner).poll_write_vectored(cx, &both))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            match written.checked_sub(this.head.len()) {
                // Part of the head; its rest goes first.
                None => drop(this.head.drain(..written)),
                Some(of_body) => {
                    this.head.clear();
                    if of_body > 0 {
                        return Poll::Ready(Ok(of_body));
                    }
                }
            }
        }
        Pin::new(&mut this.inner).poll_write(cx, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        match this.stage {
            Stage::Head => Poll::Ready(Ok(())),
            Stage::Idle | Stage::Body => {
                ready!(Pin::new(&mut this.inner).poll_flush(cx))?;
                this.stage = Stage::Idle;
                Poll::Ready(Ok(()))
            }
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().inner).poll_shutdown(cx)
    }
}

impl AsyncRead for Corked {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().inner).poll_read(cx, buf)
    }
}

#[async_trait]
impl Shutdown for Corked {
    async fn shutdown(&mut self) {
        self.inner.shutdown().await;
    }
}

#[async_trait]
impl Peek for Corked {
    async fn try_peek(&mut self, buf: &mut [u8]) -> io::Result<bool> {
        self.inner.try_peek(buf).await
    }
}

impl UniqueID for Corked {
    fn id(&self) -> UniqueIDType {
        self.inner.id()
    }
}

impl Ssl for Corked {
    fn get_ssl_digest(&self) -> Option<Arc<SslDigest>> {
        self.inner.get_ssl_digest()
    }
}

impl GetTimingDigest for Corked {
    fn get_timing_digest(&self) -> Vec<Option<TimingDigest>> {
        self.inner.get_timing_digest()
    }

    fn get_read_pending_time(&self) -> Duration {
        self.inner.get_read_pending_time()
    }

    fn get_write_pending_time(&self) -> Duration {
        self.inner.get_write_pending_time()
    }
}

impl GetProxyDigest for Corked {
    fn get_proxy_digest(&self) -> Option<Arc<ProxyDigest>> {
        self.inner.get_proxy_digest()
    }
}

impl GetSocketDigest for Corked {
    fn get_socket_digest(&self) -> Option<Arc<SocketDigest>> {
        self.inner.get_socket_digest()
    }

    fn set_socket_digest(&mut self, digest: SocketDigest) {
        self.inner.set_socket_digest(digest);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    const HEAD: &[u8] = b"POST / HTTP/1.1\r\nContent-Length: 5\r\n\r\n";

    fn pair(room: usize) -> (Corked, tokio::io::DuplexStream) {
        let (ours, theirs) = tokio::io::duplex(room);
        (Corked::new(Box::new(ours)), theirs)
    }

    #[tokio::test]
    async fn a_head_waits_for_its_body_and_leaves_before_it() {
        let (mut ours, mut theirs) = pair(1024);
        for round in 0..3 {
            ours.write_all(HEAD).await.unwrap();
            ours.flush().await.unwrap();
            let mut none = [0; 1];
            let early = tokio::time::timeout(Duration::from_millis(1), theirs.read(&mut none)).await;
            assert!(early.is_err(), "round {round}: the head did not wait");
            ours.write_all(b"hel").await.unwrap();
            ours.write_all(b"lo").await.unwrap();
            ours.flush().await.unwrap();
            let mut all = vec![0; HEAD.len() + 5];
            theirs.read_exact(&mut all).await.unwrap();
            assert_eq!(all, [HEAD, b"hello"].concat());
        }
    }

    #[tokio::test]
    async fn a_peer_that_takes_one_byte_at_a_time_gets_the_same_bytes() {
        for room in 1..50 {
            let (mut ours, mut theirs) = pair(room);
            let reader = tokio::spawn(async move {
                let mut all = Vec::new();
                theirs.read_to_end(&mut all).await.unwrap();
                all
            });
            ours.write_all(HEAD).await.unwrap();
            ours.flush().await.unwrap();
            ours.write_all(b"hello").await.unwrap();
            ours.flush().await.unwrap();
            drop(ours);
            assert_eq!(reader.await.unwrap(), [HEAD, b"hello"].concat(), "room for {room}");
        }
    }

    #[tokio::test]
    async fn what_is_no_head_of_ours_passes_at_once() {
        let (mut ours, mut theirs) = pair(1024);
        ours.write_all(b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
        ours.flush().await.unwrap();
        let mut all = [0; 18];
        theirs.read_exact(&mut all).await.unwrap();
        assert_eq!(&all, b"GET / HTTP/1.1\r\n\r\n");
    }
}
