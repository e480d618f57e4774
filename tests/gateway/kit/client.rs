//! A client that says exactly what a test tells it, and keeps every byte of what it hears.

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::Duration;

use serde_json::Value;
use socket2::SockRef;

use super::http::{Framing, Head, Inbox};
use super::{DEADLINE, KEY};

/// One connection.
#[derive(Debug)]
pub struct Client<S = TcpStream> {
    stream: S,
    inbox: Inbox,
    body: Body,
    text: Vec<u8>,
}

/// What is still to come of the current response's body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Body {
    Over,
    Length(usize),
    Chunked,
    UntilClose,
}

/// A whole response.
#[derive(Debug, Clone)]
pub struct Response {
    pub status: u16,
    pub head: Head,
    pub framing: Framing,
    /// The body without its framing.
    pub body: Vec<u8>,
    /// The body as it was cut: each chunk of a chunked body, or what each read gave.
    pub pieces: Vec<Vec<u8>>,
    pub end: End,
}

/// How a body ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// As its framing says.
    Clean,
    /// Before that: the connection was closed, reset, or silent for too long.
    Cut,
}

impl Response {
    /// A header's value, whatever the case of its name.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.head.header(name)
    }

    /// The body as text; it must be UTF-8.
    pub fn text(&self) -> String {
        String::from_utf8(self.body.clone()).expect("the body is UTF-8")
    }

    /// The body as JSON.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|e| panic!("not JSON ({e}): {}", self.text()))
    }

    /// Head and body as one text, for looking for what may not be in it.
    pub fn everything(&self) -> String {
        String::from_utf8_lossy(&[self.head.raw.as_slice(), self.body.as_slice()].concat()).into_owned()
    }
}

impl<S: Read + Write> Client<S> {
    /// A connection over whatever there is.
    pub fn over(stream: S) -> Self {
        Self { stream, inbox: Inbox::default(), body: Body::Over, text: Vec::new() }
    }

    /// What it is over.
    pub fn stream(&mut self) -> &mut S {
        &mut self.stream
    }

    /// Sends bytes as they are.
    pub fn send(&mut self, bytes: &[u8]) {
        self.try_send(bytes).expect("the gateway takes our bytes");
    }

    /// Sends bytes as they are; an error when the peer has closed.
    pub fn try_send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes)
    }

    /// Sends bytes in pieces of this size, each in a segment of its own.
    pub fn send_in_pieces(&mut self, bytes: &[u8], size: usize) {
        bytes.chunks(size).for_each(|piece| self.send(piece));
    }

    /// Posts a body to the chat route with acme's key, and reads the answer.
    pub fn chat(&mut self, body: &str) -> Response {
        self.chat_as(KEY, body)
    }

    /// Posts a body to the chat route with a key, and reads the answer.
    pub fn chat_as(&mut self, key: &str, body: &str) -> Response {
        self.send(&chat_request(key, body));
        self.read()
    }

    /// Asks for a path with a key, and reads the answer.
    pub fn get(&mut self, key: &str, path: &str) -> Response {
        self.send(
            format!("GET {path} HTTP/1.1\r\nHost: gateway\r\nAuthorization: Bearer {key}\r\n\r\n").as_bytes(),
        );
        self.read()
    }

    /// Reads one response, or panics.
    pub fn read(&mut self) -> Response {
        self.try_read().expect("a response")
    }

    /// Reads one response. An end in the middle of the body is not an error but [`End::Cut`].
    pub fn try_read(&mut self) -> io::Result<Response> {
        let head = self.try_read_head()?;
        self.rest(head)
    }

    /// Reads the response to a HEAD request: its head tells of a body that never comes.
    pub fn read_without_body(&mut self) -> Response {
        let head = self.read_head();
        self.body = Body::Over;
        self.rest(head).expect("nothing more is read")
    }

    /// Reads a head alone; the body can then be read piece by piece.
    pub fn read_head(&mut self) -> Head {
        self.try_read_head().expect("the head of a response")
    }

    /// Reads a head alone.
    pub fn try_read_head(&mut self) -> io::Result<Head> {
        let head = self.inbox.head(&mut self.stream)?.ok_or_else(super::http::cut)?;
        self.text.clear();
        self.body = match (status(&head), head.framing()) {
            (100..=199 | 204 | 304, _) => Body::Over,
            (_, Some(Framing::Chunked)) => Body::Chunked,
            (_, Some(Framing::Length(0))) => Body::Over,
            (_, Some(Framing::Length(n))) => Body::Length(n),
            (_, Some(Framing::UntilClose) | None) => Body::UntilClose,
        };
        Ok(head)
    }

    /// The next piece of the body; `None` when it is complete, an error when it is cut.
    pub fn piece(&mut self) -> io::Result<Option<Vec<u8>>> {
        let piece = match self.body {
            Body::Over => None,
            Body::Length(left) => {
                let piece = self.inbox.some(left, &mut self.stream)?.ok_or_else(super::http::cut)?;
                self.body = if piece.len() == left { Body::Over } else { Body::Length(left - piece.len()) };
                Some(piece)
            }
            Body::Chunked => Some(self.inbox.chunk(&mut self.stream)?).filter(|chunk| !chunk.is_empty()),
            Body::UntilClose => self.inbox.some(usize::MAX, &mut self.stream)?,
        };
        if piece.is_none() {
            self.body = Body::Over;
        }
        Ok(piece)
    }

    /// The next event of a stream whose head has been read, with its empty line; `None` at the clean end.
    pub fn event(&mut self) -> Option<String> {
        loop {
            if let Some(end) = self.text.windows(2).position(|pair| pair == b"\n\n") {
                let event = self.text.drain(..end + 2).collect();
                return Some(String::from_utf8(event).expect("a stream of events is UTF-8"));
            }
            match self.piece().expect("an event, or the end of the stream") {
                Some(piece) => self.text.extend_from_slice(&piece),
                None if self.text.is_empty() => return None,
                None => panic!("half an event: {}", String::from_utf8_lossy(&self.text)),
            }
        }
    }

    /// The rest of a response whose head has been read.
    pub fn rest(&mut self, head: Head) -> io::Result<Response> {
        let framing = head.framing().unwrap_or(Framing::UntilClose);
        let mut pieces = Vec::new();
        let end = loop {
            match self.piece() {
                Ok(Some(piece)) => pieces.push(piece),
                Ok(None) => break End::Clean,
                Err(_) => break End::Cut,
            }
        };
        Ok(Response { status: status(&head), head, framing, body: pieces.concat(), pieces, end })
    }

    /// Waits for the peer to close and says whether it did, with nothing more to read.
    pub fn is_closed(&mut self) -> bool {
        match self.inbox.some(1, &mut self.stream) {
            Ok(None) => true,
            Ok(Some(_)) => false,
            // Silence until the deadline is an error too, but not an end.
            Err(e) => !matches!(e.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut),
        }
    }

    /// What `event` has read of the body and not yet given.
    pub fn unread_text(&self) -> Vec<u8> {
        self.text.clone()
    }
}

impl Client {
    /// Connects, or panics.
    pub fn connect(address: SocketAddr) -> Self {
        Self::try_connect(address).unwrap_or_else(|e| panic!("cannot connect to {address}: {e}"))
    }

    /// Connects.
    pub fn try_connect(address: SocketAddr) -> io::Result<Self> {
        let stream = TcpStream::connect_timeout(&address, DEADLINE)?;
        stream.set_read_timeout(Some(DEADLINE))?;
        stream.set_write_timeout(Some(DEADLINE))?;
        stream.set_nodelay(true)?;
        Ok(Self::over(stream))
    }

    /// Whether nothing has come although there was time for it.
    pub fn nothing_yet(&mut self) -> bool {
        let brief = Duration::from_millis(200);
        self.stream.set_read_timeout(Some(brief)).expect("a socket option");
        let nothing = self.inbox.is_empty() && self.stream.peek(&mut [0]).is_err();
        self.stream.set_read_timeout(Some(DEADLINE)).expect("a socket option");
        nothing
    }

    /// How long each of the following reads may take.
    pub fn patience(&self, time: Duration) {
        self.stream.set_read_timeout(Some(time)).expect("a socket option");
    }

    /// What a look at the connection shows, without taking anything.
    pub fn peek(&self) -> io::Result<usize> {
        self.stream.peek(&mut [0])
    }

    /// Says that nothing more will be sent, and goes on listening.
    pub fn half_close(&mut self) {
        self.stream.shutdown(Shutdown::Write).expect("the connection is open");
    }

    /// Breaks the connection with a reset.
    pub fn reset(self) {
        SockRef::from(&self.stream).set_linger(Some(Duration::ZERO)).expect("a socket option");
    }

    /// Makes this end's receive buffer as small as the system allows, so that a slow reader is felt early.
    pub fn narrow(&self) {
        self.narrow_to(4096);
    }

    /// Makes this end's receive buffer about so large.
    pub fn narrow_to(&self, bytes: usize) {
        SockRef::from(&self.stream).set_recv_buffer_size(bytes).expect("a socket option");
    }

    /// The local address, by which a test can find the connection.
    pub fn local_addr(&self) -> SocketAddr {
        self.stream.local_addr().expect("a connected socket has one")
    }
}

/// The bytes of a chat request.
pub fn chat_request(key: &str, body: &str) -> Vec<u8> {
    request("POST", "/v1/chat/completions", &[("Authorization", &format!("Bearer {key}"))], body.as_bytes())
}

/// The bytes of a request with these headers and, when there is one, a JSON body with its length.
pub fn request(method: &str, target: &str, headers: &[(&str, &str)], body: &[u8]) -> Vec<u8> {
    let mut head = format!("{method} {target} HTTP/1.1\r\nHost: gateway\r\n");
    for (name, value) in headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    if !body.is_empty() {
        head.push_str(&format!("Content-Type: application/json\r\nContent-Length: {}\r\n", body.len()));
    }
    head.push_str("\r\n");
    [head.as_bytes(), body].concat()
}

/// A small chat request's body for an alias, answered as a whole.
pub fn ask(alias: &str) -> String {
    format!(r#"{{"model":"{alias}","messages":[{{"role":"user","content":"Hello"}}]}}"#)
}

/// A small chat request's body for an alias, answered as a stream.
pub fn ask_stream(alias: &str) -> String {
    format!(r#"{{"model":"{alias}","messages":[{{"role":"user","content":"Hello"}}],"stream":true}}"#)
}

fn status(head: &Head) -> u16 {
    head.word(1).parse().unwrap_or_else(|_| panic!("not a status line: {:?}", head.first))
}
