//! [`Held`] as a Pingora session. Nearly all of it passes through; what differs says why.

use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures_core::Stream;
use http::HeaderMap;
use pingora_core::Result;
use pingora_core::protocols::Digest;
use pingora_core::protocols::http::HttpTask;
use pingora_core::protocols::http::custom::CustomMessageWrite;
use pingora_core::protocols::http::custom::server::Session;
use pingora_core::protocols::l4::socket::SocketAddr;
use pingora_http::{RequestHeader, ResponseHeader};

use super::Held;

/// Stands for the body in Pingora's loop: "there is one, and it is all here". The request body
/// filter puts the real one in its place for each attempt.
const REPLAY: &[u8] = b"replay";

type Messages = Box<dyn Stream<Item = Result<Bytes>> + Unpin + Send + Sync + 'static>;

#[async_trait]
impl Session for Held {
    /// The head for backends while held, so that no header of the client can be forwarded.
    fn req_header(&self) -> &RequestHeader {
        match &self.hold {
            Some(hold) => &hold.head,
            None => self.real.req_header(),
        }
    }

    fn req_header_mut(&mut self) -> &mut RequestHeader {
        match &mut self.hold {
            Some(hold) => &mut hold.head,
            None => self.real.req_header_mut(),
        }
    }

    async fn read_body_bytes(&mut self) -> Result<Option<Bytes>> {
        match self.hold {
            Some(_) => Ok(None),
            None => self.real.read_request_body().await,
        }
    }

    async fn drain_request_body(&mut self) -> Result<()> {
        self.real.drain_request_body().await
    }

    async fn write_response_header(&mut self, head: Box<ResponseHeader>, _end: bool) -> Result<()> {
        self.real.write_response_header(head).await
    }

    async fn write_response_header_ref(&mut self, head: &ResponseHeader, _end: bool) -> Result<()> {
        self.real.write_response_header_ref(head).await
    }

    async fn write_body(&mut self, data: Bytes, end: bool) -> Result<()> {
        self.real.write_response_body(data, end).await
    }

    async fn write_trailers(&mut self, trailers: HeaderMap) -> Result<()> {
        self.real.write_response_trailers(trailers).await
    }

    /// Holds or writes. "Done" is said only when upstream has ended: said earlier, Pingora's
    /// upstream half would go on waiting for a silent backend, and the request would never end.
    async fn response_duplex_vec(&mut self, tasks: Vec<HttpTask>) -> Result<bool> {
        match &mut self.hold {
            Some(hold) => hold.take(&mut self.real, tasks).await,
            None => self.real.response_duplex_vec(tasks).await,
        }
    }

    fn set_read_timeout(&mut self, timeout: Option<Duration>) {
        self.real.set_read_timeout(timeout);
    }

    fn get_read_timeout(&self) -> Option<Duration> {
        self.real.get_read_timeout()
    }

    fn set_write_timeout(&mut self, timeout: Option<Duration>) {
        self.real.set_write_timeout(timeout);
    }

    fn get_write_timeout(&self) -> Option<Duration> {
        self.real.get_write_timeout()
    }

    fn set_total_drain_timeout(&mut self, timeout: Option<Duration>) {
        self.real.set_total_drain_timeout(timeout);
    }

    fn get_total_drain_timeout(&self) -> Option<Duration> {
        self.real.get_total_drain_timeout()
    }

    fn request_summary(&self) -> String {
        self.real.request_summary()
    }

    fn response_written(&self) -> Option<&ResponseHeader> {
        self.real.response_written()
    }

    async fn shutdown(&mut self, _code: u32, _context: &str) {
        self.real.shutdown().await;
    }

    fn is_body_done(&mut self) -> bool {
        self.hold.is_some() || self.real.is_body_done()
    }

    /// Pingora ends the body after its loop, and once more at the end of the session. A held answer
    /// has written its end itself, and one that was never released must not be ended at all.
    async fn finish(&mut self) -> Result<()> {
        match self.hold {
            Some(_) => Ok(()),
            None => self.real.finish_body().await,
        }
    }

    fn is_body_empty(&mut self) -> bool {
        self.hold.is_none() && self.real.is_body_empty()
    }

    /// While held: waits for the client to leave, for a deadline, or for a permit to be refused. The client is not watched
    /// between the end of its answer and the end of upstream's, because what it may send then is
    /// its next request.
    async fn read_body_or_idle(&mut self, no_body_expected: bool) -> Result<Option<Bytes>> {
        let real = &mut self.real;
        let Some(hold) = &mut self.hold else { return real.read_body_or_idle(no_body_expected).await };
        if matches!(hold.answer, super::Answer::Ended) {
            return Err(hold.trouble().await);
        }
        tokio::select! {
            biased;
            client = real.read_body_or_idle(true) => client,
            trouble = hold.trouble() => Err(trouble),
        }
    }

    fn body_bytes_sent(&self) -> usize {
        self.real.body_bytes_sent()
    }

    fn body_bytes_read(&self) -> usize {
        self.real.body_bytes_read()
    }

    fn digest(&self) -> Option<&Digest> {
        self.real.digest()
    }

    fn digest_mut(&mut self) -> Option<&mut Digest> {
        self.real.digest_mut()
    }

    fn client_addr(&self) -> Option<&SocketAddr> {
        self.real.client_addr()
    }

    fn server_addr(&self) -> Option<&SocketAddr> {
        self.real.server_addr()
    }

    fn pseudo_raw_h1_request_header(&self) -> Bytes {
        self.real.to_h1_raw()
    }

    /// Called by the proxy exactly once an attempt, when its backend is connected.
    fn enable_retry_buffering(&mut self) {
        match &mut self.hold {
            Some(hold) => hold.restart(),
            None => self.real.enable_retry_buffering(),
        }
    }

    fn retry_buffer_truncated(&self) -> bool {
        self.hold.is_none() && self.real.retry_buffer_truncated()
    }

    fn get_retry_buffer(&self) -> Option<Bytes> {
        match self.hold {
            Some(_) => Some(Bytes::from_static(REPLAY)),
            None => self.real.get_retry_buffer(),
        }
    }

    async fn finish_custom(&mut self) -> Result<()> {
        Ok(())
    }

    fn take_custom_message_reader(&mut self) -> Option<Messages> {
        None
    }

    fn restore_custom_message_reader(&mut self, _reader: Messages) -> Result<()> {
        Ok(())
    }

    fn take_custom_message_writer(&mut self) -> Option<Box<dyn CustomMessageWrite>> {
        None
    }

    fn restore_custom_message_writer(&mut self, _writer: Box<dyn CustomMessageWrite>) -> Result<()> {
        Ok(())
    }
}
