//! Reads one HTTP/1.1 message from a kept connection, and checks that it is whole.
//!
//! Parses the little that this needs: status, framing, `connection: close`, and for a stream its events and
//! its end. Never pipelines: what follows a message's end is an error of the other side.

use std::io;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Instant;

use tokio::io::{AsyncRead, AsyncReadExt};

/// What a right answer looks like.
#[derive(Clone, Copy)]
pub enum Expect {
    /// 200 and one JSON object.
    Json,
    /// 200 and at least this many events before `data: [DONE]`.
    Stream { chunks: u64 },
    /// 401 and one JSON object.
    Refusal,
}

pub struct Answer {
    /// When the first byte of the body was here, or the head if both did not come together.
    pub first_byte: Instant,
    pub connection: Connection,
}

#[derive(Debug, PartialEq)]
pub enum Connection {
    Kept,
    Closing,
}

/// Reads one answer. `events` counts the events of a stream as they come. The error says what was wrong.
pub async fn read(
    from: &mut (impl AsyncRead + Unpin),
    buffer: &mut [u8],
    expect: Expect,
    events: &AtomicU64,
) -> io::Result<Answer> {
    let mut filled = 0;
    let head = loop {
        filled += more(from, &mut buffer[filled..]).await?;
        if let Some(at) = find(&buffer[..filled], b"\r\n\r\n") {
            break at + 4;
        }
    };
    let first_byte = Instant::now();
    check_status(&buffer[..head], expect)?;
    let framing = Framing::of(&buffer[..head]);
    let connection = match header(&buffer[..head], b"\nconnection:") {
        Some(value) if value.eq_ignore_ascii_case(b"close") => Connection::Closing,
        Some(_) | None => Connection::Kept,
    };

    let mut seen = Seen::default();
    let mut body = filled - head;
    seen.take(&buffer[head..filled], events);
    while !framing.is_whole(&seen.tail.0, body) {
        let read = more(from, buffer).await?;
        body += read;
        seen.take(&buffer[..read], events);
    }
    seen.check(expect, framing)?;
    Ok(Answer { first_byte, connection })
}

/// How a body ends.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Framing {
    Length(usize),
    Chunked,
}

impl Framing {
    /// A message without either header has no body.
    pub fn of(head: &[u8]) -> Framing {
        if header(head, b"\ntransfer-encoding:").is_some() {
            return Framing::Chunked;
        }
        let length = header(head, b"\ncontent-length:").and_then(|value| std::str::from_utf8(value).ok());
        Framing::Length(length.and_then(|value| value.parse().ok()).unwrap_or(0))
    }

    /// Whether a body of which `length` bytes have come, the last of them `tail`, is complete. JSON and SSE
    /// hold no raw CR, so the bytes that end a chunked body cannot stand inside it.
    pub fn is_whole(self, tail: &[u8], length: usize) -> bool {
        match self {
            Framing::Length(declared) => length >= declared,
            Framing::Chunked => tail.ends_with(b"\r\n0\r\n\r\n"),
        }
    }
}

/// Where `needle` begins.
pub fn find(text: &[u8], needle: &[u8]) -> Option<usize> {
    text.windows(needle.len()).position(|window| window == needle)
}

/// The value of a header; `name` is in lower case, with the line feed before it and the colon behind.
fn header<'a>(head: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    let at = head.windows(name.len()).position(|window| window.eq_ignore_ascii_case(name))?;
    let line = head[at + 1..].split(|byte| *byte == b'\r').next()?;
    Some(line[name.len() - 1..].trim_ascii())
}

fn check_status(head: &[u8], expect: Expect) -> io::Result<()> {
    let wanted: &[u8] = match expect {
        Expect::Json | Expect::Stream { .. } => b"200",
        Expect::Refusal => b"401",
    };
    match head.get(9..12) {
        Some(status) if status == wanted => Ok(()),
        Some(_) | None => wrong(&format!("unexpected answer: {}", String::from_utf8_lossy(head).trim())),
    }
}

/// What has been seen of a body: enough to say that it was a whole one.
#[derive(Default)]
struct Seen {
    tail: Tail,
    events: u64,
}

impl Seen {
    fn take(&mut self, bytes: &[u8], events: &AtomicU64) {
        let split = self.tail.0.last() == Some(&b'\n') && bytes.first() == Some(&b'\n');
        let inside = bytes.windows(2).filter(|pair| *pair == b"\n\n").count() as u64;
        let new = inside + u64::from(split);
        if new > 0 {
            self.events += new;
            events.fetch_add(new, Relaxed);
        }
        self.tail.take(bytes);
    }

    fn check(&self, expect: Expect, framing: Framing) -> io::Result<()> {
        match (expect, framing) {
            (Expect::Json | Expect::Refusal, Framing::Length(_)) if !self.tail.0.ends_with(b"}") => {
                wrong("the JSON of an answer is cut off")
            }
            (Expect::Stream { .. }, _) if find(&self.tail.0, b"data: [DONE]\n\n").is_none() => {
                wrong("a stream ended without [DONE]")
            }
            (Expect::Stream { chunks }, _) if self.events <= chunks => wrong("a stream lost events"),
            (Expect::Json | Expect::Refusal | Expect::Stream { .. }, _) => Ok(()),
        }
    }
}

/// The last bytes of what came in pieces of any size.
#[derive(Default)]
pub struct Tail(pub Vec<u8>);

impl Tail {
    /// Longer than any ending that is looked for: `[DONE]`, the end of its chunk, and the last chunk.
    const LENGTH: usize = 64;

    pub fn take(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(&bytes[bytes.len().saturating_sub(Self::LENGTH)..]);
        let surplus = self.0.len().saturating_sub(Self::LENGTH);
        self.0.drain(..surplus);
    }
}

async fn more(from: &mut (impl AsyncRead + Unpin), into: &mut [u8]) -> io::Result<usize> {
    match from.read(into).await? {
        0 => wrong("the connection ended inside an answer"),
        read => Ok(read),
    }
}

fn wrong<T>(what: &str) -> io::Result<T> {
    Err(io::Error::new(io::ErrorKind::InvalidData, what))
}
