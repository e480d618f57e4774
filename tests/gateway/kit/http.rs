//! As much HTTP/1.1 as both ends of a test need: a head taken apart, and a body read by its framing.

use std::io::{self, Read};

/// A request's or a response's head, as it came.
#[derive(Debug, Clone)]
pub struct Head {
    /// All bytes up to and with the empty line.
    pub raw: Vec<u8>,
    /// The first line, without its line break.
    pub first: String,
    /// Names with their exact case, in order; values without blanks around them.
    pub headers: Vec<(String, String)>,
}

impl Head {
    /// The first value of a header, whatever the case of its name.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }

    /// The word at this place of the first line.
    pub fn word(&self, place: usize) -> &str {
        self.first.split(' ').nth(place).unwrap_or_default()
    }

    /// How a body that follows is framed; `None` when the head announces none.
    pub fn framing(&self) -> Option<Framing> {
        if self.header("transfer-encoding").is_some_and(|v| v.eq_ignore_ascii_case("chunked")) {
            return Some(Framing::Chunked);
        }
        self.header("content-length").and_then(|v| v.parse().ok()).map(Framing::Length)
    }
}

/// How the end of a body is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Framing {
    /// So many bytes.
    Length(usize),
    /// Chunks, and one of size 0.
    Chunked,
    /// Until the connection is closed.
    UntilClose,
}

/// A connection's incoming bytes, with those that were read too far kept for later.
#[derive(Debug, Default)]
pub struct Inbox {
    bytes: Vec<u8>,
}

/// The end of a stream where more was due.
pub fn cut() -> io::Error {
    io::Error::new(io::ErrorKind::UnexpectedEof, "the peer closed the connection in the middle of a message")
}

impl Inbox {
    /// Whether bytes of a next message are already here.
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// Takes up what one `read` gives. `false` at the end.
    pub fn fill(&mut self, from: &mut impl Read) -> io::Result<bool> {
        let mut buffer = [0_u8; 16 * 1024];
        let n = from.read(&mut buffer)?;
        self.bytes.extend_from_slice(&buffer[..n]);
        Ok(n > 0)
    }

    /// The next head; `None` when the peer closed before its first byte.
    pub fn head(&mut self, from: &mut impl Read) -> io::Result<Option<Head>> {
        let end = loop {
            if let Some(at) = find(&self.bytes, b"\r\n\r\n") {
                break at + 4;
            }
            if !self.fill(from)? {
                return if self.bytes.is_empty() { Ok(None) } else { Err(cut()) };
            }
        };
        let raw: Vec<u8> = self.bytes.drain(..end).collect();
        let text = String::from_utf8_lossy(&raw).into_owned();
        let mut lines = text.split("\r\n");
        let first = lines.next().unwrap_or_default().to_owned();
        let headers = lines
            .filter_map(|line| line.split_once(':'))
            .map(|(name, value)| (name.to_owned(), value.trim().to_owned()))
            .collect();
        Ok(Some(Head { raw, first, headers }))
    }

    /// Exactly `n` bytes.
    pub fn exactly(&mut self, n: usize, from: &mut impl Read) -> io::Result<Vec<u8>> {
        while self.bytes.len() < n {
            if !self.fill(from)? {
                return Err(cut());
            }
        }
        Ok(self.bytes.drain(..n).collect())
    }

    /// At least one byte and at most `n`; `None` at the end.
    pub fn some(&mut self, n: usize, from: &mut impl Read) -> io::Result<Option<Vec<u8>>> {
        if self.bytes.is_empty() && !self.fill(from)? {
            return Ok(None);
        }
        let n = n.min(self.bytes.len());
        Ok(Some(self.bytes.drain(..n).collect()))
    }

    /// One chunk of a chunked body; an empty one is the last. Trailers are read and dropped.
    pub fn chunk(&mut self, from: &mut impl Read) -> io::Result<Vec<u8>> {
        let line = self.line(from)?;
        let digits = line.split(';').next().unwrap_or_default().trim();
        let size = usize::from_str_radix(digits, 16)
            .map_err(|_| io::Error::new(io::ErrorKind::InvalidData, format!("not a chunk size: {line:?}")))?;
        if size == 0 {
            while !self.line(from)?.is_empty() {}
            return Ok(Vec::new());
        }
        let chunk = self.exactly(size, from)?;
        match self.line(from)?.as_str() {
            "" => Ok(chunk),
            more => {
                Err(io::Error::new(io::ErrorKind::InvalidData, format!("a chunk is followed by {more:?}")))
            }
        }
    }

    fn line(&mut self, from: &mut impl Read) -> io::Result<String> {
        let end = loop {
            if let Some(at) = find(&self.bytes, b"\r\n") {
                break at;
            }
            if !self.fill(from)? {
                return Err(cut());
            }
        };
        let line: Vec<u8> = self.bytes.drain(..end + 2).collect();
        Ok(String::from_utf8_lossy(&line[..end]).into_owned())
    }
}

fn find(hay: &[u8], needle: &[u8]) -> Option<usize> {
    hay.windows(needle.len()).position(|window| window == needle)
}
