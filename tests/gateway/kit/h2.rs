//! A small HTTP/2 client by prior knowledge, with blocking calls: what was answered, in which pieces, and how it ended.

use std::future::Future;
use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use h2::client::{ResponseFuture, SendRequest};
use h2::{Reason, RecvStream, SendStream};
use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::runtime::{Builder, Runtime};

use super::DEADLINE;

/// One connection. Requests on it share it, one call at a time.
pub struct H2Client {
    runtime: Runtime,
    requests: SendRequest<Bytes>,
}

/// A whole response.
#[derive(Debug, Clone)]
pub struct H2Response {
    pub status: u16,
    /// In order; names are lower case in HTTP/2.
    pub headers: Vec<(String, String)>,
    /// The body as it came, one item per DATA frame.
    pub pieces: Vec<Vec<u8>>,
    pub end: StreamEnd,
}

/// How a stream ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StreamEnd {
    /// END_STREAM.
    Clean,
    /// RST_STREAM with this code.
    Reset(u32),
    /// The connection broke, or nothing came in time.
    Broken(String),
}

/// A request whose answer is still coming.
pub struct H2Stream<'a> {
    runtime: &'a Runtime,
    sending: SendStream<Bytes>,
    answer: Option<ResponseFuture>,
    body: Option<RecvStream>,
}

impl H2Response {
    /// The body put together.
    pub fn body(&self) -> Vec<u8> {
        self.pieces.concat()
    }

    /// A header's value.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str())
    }

    /// The body as text; it must be UTF-8.
    pub fn text(&self) -> String {
        String::from_utf8(self.body()).expect("the body is UTF-8")
    }
}

impl H2Client {
    /// Connects and shakes hands, or panics.
    pub fn connect(address: SocketAddr) -> Self {
        Self::over(async move {
            let stream = TcpStream::connect(address).await.expect("the gateway listens");
            stream.set_nodelay(true).expect("a socket option");
            stream
        })
    }

    /// The same with windows that never close, so that only the socket's buffers stop the gateway.
    pub fn connect_wide(address: SocketAddr) -> Self {
        let mut wide = h2::client::Builder::new();
        wide.initial_window_size(i32::MAX.unsigned_abs())
            .initial_connection_window_size(i32::MAX.unsigned_abs());
        Self::with(&wide, async move {
            let stream = TcpStream::connect(address).await.expect("the gateway listens");
            SockRef::from(&stream).set_recv_buffer_size(4096).expect("a socket option");
            stream
        })
    }

    /// Shakes hands over what this makes, or panics.
    pub fn over<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(stream: impl Future<Output = S>) -> Self {
        Self::with(&h2::client::Builder::new(), stream)
    }

    fn with<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(
        settings: &h2::client::Builder,
        stream: impl Future<Output = S>,
    ) -> Self {
        let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime");
        let requests = within(&runtime, async {
            let (requests, connection) = settings.handshake(stream.await).await.expect("a handshake");
            // Its end shows in the streams; there is nobody else to tell.
            tokio::spawn(async move { drop(connection.await) });
            requests
        })
        .expect("a connection in time");
        Self { runtime, requests }
    }

    /// Lets the connection live for so long: it is only driven while somebody waits.
    pub fn live(&self, time: Duration) {
        self.runtime.block_on(async { tokio::time::sleep(time).await });
    }

    /// Sends a request with its body in these pieces (one DATA frame each) and reads the whole answer.
    pub fn request(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &[&[u8]]) -> H2Response {
        let mut stream = self.open(method, path, headers, body);
        let (status, headers) = match stream.head() {
            Ok(head) => head,
            Err(end) => return H2Response { status: 0, headers: Vec::new(), pieces: Vec::new(), end },
        };
        let mut pieces = Vec::new();
        let end = loop {
            match stream.piece() {
                Ok(piece) => pieces.push(piece),
                Err(end) => break end,
            }
        };
        H2Response { status, headers, pieces, end }
    }

    /// Sends a request with the beginning of a body that never goes on.
    pub fn open_unfinished(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        beginning: &[u8],
    ) -> H2Stream<'_> {
        self.begin(method, path, headers, &[beginning], false)
    }

    /// Sends a request with its body and leaves the answer to be read bit by bit.
    pub fn open(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &[&[u8]]) -> H2Stream<'_> {
        self.begin(method, path, headers, body, true)
    }

    fn begin(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &[&[u8]],
        ends: bool,
    ) -> H2Stream<'_> {
        let mut request = http::Request::builder().method(method).uri(format!("http://gateway{path}"));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(()).expect("a request that can be sent");
        let requests = self.requests.clone();
        let (answer, sending) = within(&self.runtime, async {
            let mut requests = requests.ready().await.expect("the connection is open");
            let (answer, mut sending) =
                requests.send_request(request, body.is_empty()).expect("the request goes out");
            for (place, piece) in body.iter().enumerate() {
                // A refusal may come before the body is sent; then the answer tells, not we.
                let last = ends && place + 1 == body.len();
                if sending.send_data(Bytes::copy_from_slice(piece), last).is_err() {
                    break;
                }
                tokio::task::yield_now().await;
            }
            (answer, sending)
        })
        .expect("a request in time");
        H2Stream { runtime: &self.runtime, sending, answer: Some(answer), body: None }
    }
}

impl H2Stream<'_> {
    /// Status and headers of the answer.
    pub fn head(&mut self) -> Result<(u16, Vec<(String, String)>), StreamEnd> {
        let answer = self.answer.take().expect("the head is read once");
        let (parts, body) = match within(self.runtime, answer) {
            None => return Err(StreamEnd::Broken("no answer in time".to_owned())),
            Some(Err(error)) => return Err(end_of(&error)),
            Some(Ok(response)) => response.into_parts(),
        };
        self.body = Some(body);
        let text = |value: &http::HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
        let headers = parts.headers.iter().map(|(name, value)| (name.to_string(), text(value))).collect();
        Ok((parts.status.as_u16(), headers))
    }

    /// The next piece of the body, or how the stream ended.
    pub fn piece(&mut self) -> Result<Vec<u8>, StreamEnd> {
        let body = self.body.as_mut().expect("the head is read first");
        match within(self.runtime, body.data()) {
            None => Err(StreamEnd::Broken("no data in time".to_owned())),
            Some(None) => Err(StreamEnd::Clean),
            Some(Some(Err(error))) => Err(end_of(&error)),
            Some(Some(Ok(data))) => {
                // Without this the gateway's window is never opened again.
                let _ = body.flow_control().release_capacity(data.len());
                Ok(data.to_vec())
            }
        }
    }

    /// Opens the stream's window by so many bytes that have come, without a look at them.
    pub fn widen(&mut self, bytes: usize) {
        if let Some(body) = &mut self.body {
            let _ = body.flow_control().release_capacity(bytes);
        }
        within(self.runtime, tokio::task::yield_now());
    }

    /// Gives up: RST_STREAM with CANCEL, and the frame is out when this returns.
    pub fn cancel(mut self) {
        self.sending.send_reset(Reason::CANCEL);
        drop(self.body.take());
        drop(self.answer.take());
        // The connection is driven only while somebody waits on this runtime; two turns write the frame.
        within(self.runtime, async {
            for _ in 0..8 {
                tokio::task::yield_now().await;
            }
        });
    }
}

fn within<T>(runtime: &Runtime, work: impl Future<Output = T>) -> Option<T> {
    runtime.block_on(async { tokio::time::timeout(DEADLINE, work).await.ok() })
}

fn end_of(error: &h2::Error) -> StreamEnd {
    match error.reason() {
        Some(reason) if error.is_reset() => StreamEnd::Reset(reason.into()),
        Some(_) | None => StreamEnd::Broken(error.to_string()),
    }
}
