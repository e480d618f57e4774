//! The line to a client: a stream that notes when the client begins to speak, and gives up on one that takes
//! nothing of what it is sent.
//!
//! Pingora bounds the writing of a body, but neither that of a head nor the flush that ends an answer, and an
//! HTTP/2 connection as a whole not at all.

use std::fmt;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use pingora_core::protocols::raw_connect::ProxyDigest;
use pingora_core::protocols::tls::{SslDigest, TlsRef};
use pingora_core::protocols::{
    ALPN, GetProxyDigest, GetSocketDigest, GetTimingDigest, Peek, Shutdown, SocketDigest, Ssl, Stream,
    TimingDigest, UniqueID, UniqueIDType,
};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf};

use super::seats::Seat;
use crate::proxy::Gateway;
use crate::proxy::timer::Timer;

/// A client's stream and its seat, which is given back when the stream is closed.
pub struct Line {
    inner: Stream,
    seat: Arc<Seat>,
    gateway: Arc<Gateway>,
    /// What was read to see what the client speaks, to be read again.
    unread: Vec<u8>,
    outward: Outward,
    timer: Timer,
}

/// How writing goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Outward {
    Flowing,
    /// The client takes nothing; when we give up.
    Stalled(Instant),
    GivenUp,
}

impl Line {
    /// The line of a client who has this seat.
    pub fn new(inner: Stream, seat: Arc<Seat>, gateway: Arc<Gateway>) -> Self {
        Self { inner, seat, gateway, unread: Vec::new(), outward: Outward::Flowing, timer: Timer::default() }
    }

    /// Lets these bytes, which were the first to be read, be read again.
    pub fn unread(&mut self, bytes: &[u8]) {
        self.unread = bytes.to_vec();
    }

    /// Looks at what became of a write. One that waits for the client does so for `write_timeout` at most.
    fn watch<T>(&mut self, cx: &mut Context<'_>, written: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if written.is_ready() {
            self.outward = Outward::Flowing;
            return written;
        }
        let end = match self.outward {
            Outward::Stalled(end) => end,
            Outward::Flowing => {
                let end = Instant::now() + self.gateway.live.look(|now| now.caps.write_timeout);
                self.outward = Outward::Stalled(end);
                end
            }
            Outward::GivenUp => return Poll::Ready(Err(io::ErrorKind::TimedOut.into())),
        };
        if self.timer.poll_until(cx, end).is_pending() {
            return Poll::Pending;
        }
        self.outward = Outward::GivenUp;
        self.gateway.metrics.connections.cut_write.inc();
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }
}

impl fmt::Debug for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Line").field("outward", &self.outward).finish_non_exhaustive()
    }
}

impl AsyncRead for Line {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buf.filled().len();
        let read = if this.unread.is_empty() {
            Pin::new(&mut this.inner).poll_read(cx, buf)
        } else {
            let part = this.unread.len().min(buf.remaining());
            buf.put_slice(this.unread.get(..part).unwrap_or_default());
            this.unread.drain(..part);
            Poll::Ready(Ok(()))
        };
        if buf.filled().len() > before {
            this.seat.place().hear();
        }
        read
    }
}

impl AsyncWrite for Line {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = Pin::new(&mut this.inner).poll_write(cx, bytes);
        this.watch(cx, written)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = Pin::new(&mut this.inner).poll_write_vectored(cx, bytes);
        this.watch(cx, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let written = Pin::new(&mut this.inner).poll_flush(cx);
        this.watch(cx, written)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let written = Pin::new(&mut this.inner).poll_shutdown(cx);
        this.watch(cx, written)
    }
}

#[async_trait]
impl Shutdown for Line {
    async fn shutdown(&mut self) {
        // Whoever has left cannot be taken leave of.
        let _ = AsyncWriteExt::shutdown(self).await;
    }
}

/// Nobody looks ahead here but ourselves, with [`Line::unread`].
impl Peek for Line {}

impl UniqueID for Line {
    fn id(&self) -> UniqueIDType {
        self.inner.id()
    }
}

impl Ssl for Line {
    fn get_ssl(&self) -> Option<&TlsRef> {
        self.inner.get_ssl()
    }

    fn get_ssl_digest(&self) -> Option<Arc<SslDigest>> {
        self.inner.get_ssl_digest()
    }

    fn selected_alpn_proto(&self) -> Option<ALPN> {
        self.inner.selected_alpn_proto()
    }
}

impl GetTimingDigest for Line {
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

impl GetProxyDigest for Line {
    fn get_proxy_digest(&self) -> Option<Arc<ProxyDigest>> {
        self.inner.get_proxy_digest()
    }

    fn set_proxy_digest(&mut self, digest: ProxyDigest) {
        self.inner.set_proxy_digest(digest);
    }
}

impl GetSocketDigest for Line {
    fn get_socket_digest(&self) -> Option<Arc<SocketDigest>> {
        self.inner.get_socket_digest()
    }

    fn set_socket_digest(&mut self, digest: SocketDigest) {
        self.inner.set_socket_digest(digest);
    }
}
