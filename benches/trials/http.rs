//! As much HTTP/1.1 as clients and backends need here: whole messages on kept connections.

use std::io;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// A connection, and what has been read of it but not used.
pub struct Connection {
    pub stream: TcpStream,
    unread: Vec<u8>,
}

/// A request or an answer with a body of known length.
pub struct Message {
    pub head: String,
    pub body: String,
}

impl Connection {
    pub fn new(stream: TcpStream) -> Connection {
        let _ = stream.set_nodelay(true);
        Connection { stream, unread: Vec::new() }
    }

    /// The next message; `None` when the other side closed before its first byte.
    pub async fn read(&mut self) -> io::Result<Option<Message>> {
        let head = loop {
            if let Some(at) = find(&self.unread, b"\r\n\r\n") {
                break at + 4;
            }
            if self.stream.read_buf(&mut self.unread).await? == 0 {
                return if self.unread.is_empty() {
                    Ok(None)
                } else {
                    Err(io::ErrorKind::UnexpectedEof.into())
                };
            }
        };
        let text = String::from_utf8_lossy(&self.unread[..head]).to_ascii_lowercase();
        let length = value(&text, "content-length").and_then(|length| length.parse::<usize>().ok());
        let whole = head + length.unwrap_or(0);
        while self.unread.len() < whole {
            if self.stream.read_buf(&mut self.unread).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
        let body = String::from_utf8_lossy(&self.unread[head..whole]).into_owned();
        self.unread.drain(..whole);
        Ok(Some(Message { head: text, body }))
    }

    /// What has come beyond the last message: some bytes of a body of unknown length.
    pub async fn rest(&mut self) -> io::Result<Vec<u8>> {
        if self.unread.is_empty() && self.stream.read_buf(&mut self.unread).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok(std::mem::take(&mut self.unread))
    }

    pub async fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes).await
    }

    /// Whether the other side has closed it, or said something that nobody asked for.
    pub fn is_spent(&self) -> bool {
        let mut byte = [0];
        !matches!(self.stream.try_read(&mut byte), Err(error) if error.kind() == io::ErrorKind::WouldBlock)
    }

    /// Waits for the other side to close, whatever it may still say.
    pub async fn until_closed(&mut self) {
        let mut bytes = [0; 1024];
        while matches!(self.stream.read(&mut bytes).await, Ok(read) if read > 0) {}
    }
}

impl Message {
    /// An answer's status.
    pub fn status(&self) -> u16 {
        self.head.get(9..12).and_then(|status| status.parse().ok()).unwrap_or(0)
    }

    pub fn is_last(&self) -> bool {
        value(&self.head, "connection") == Some("close")
    }

    /// The number that [`ask`] gave the request.
    pub fn number(&self) -> usize {
        let digits = self.body.split("number=").nth(1).and_then(|rest| rest.split(';').next());
        digits.and_then(|digits| digits.parse().ok()).expect("requests have numbers")
    }

    pub fn wants_stream(&self) -> bool {
        self.body.contains(r#""stream":true"#)
    }
}

fn value<'h>(head: &'h str, name: &str) -> Option<&'h str> {
    head.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')).map(str::trim)
}

fn find(text: &[u8], needle: &[u8]) -> Option<usize> {
    text.windows(needle.len()).position(|window| window == needle)
}

/// A client's request for a completion.
pub fn ask(alias: &str, number: usize, stream: bool) -> Vec<u8> {
    ask_as("bn-bench", alias, number, stream)
}

/// The same with another key.
pub fn ask_as(key: &str, alias: &str, number: usize, stream: bool) -> Vec<u8> {
    let body = format!(
        r#"{{"model":"{alias}","stream":{stream},"messages":[{{"role":"user","content":"number={number};"}}]}}"#
    );
    let length = body.len();
    format!(
        "POST /v1/chat/completions HTTP/1.1\r\nhost: byname\r\nauthorization: Bearer {key}\r\n\
         content-type: application/json\r\ncontent-length: {length}\r\n\r\n{body}"
    )
    .into_bytes()
}

/// A backend's answer with this status and JSON.
pub fn answer(status: &str, json: &str) -> Vec<u8> {
    let length = json.len();
    format!("HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n{json}")
        .into_bytes()
}

/// A backend's good answer.
pub fn completion() -> Vec<u8> {
    answer(
        "200 OK",
        r#"{"id":"chatcmpl-1","object":"chat.completion","created":1767225600,"model":"upstream","choices":[{"index":0,"message":{"role":"assistant","content":"All is well.","refusal":null},"logprobs":null,"finish_reason":"stop"}],"usage":{"prompt_tokens":9,"completion_tokens":4,"total_tokens":13}}"#,
    )
}

/// A backend's refusal.
pub fn failure(status: &str) -> Vec<u8> {
    answer(
        status,
        r#"{"error":{"message":"It does not work.","type":"server_error","param":null,"code":null}}"#,
    )
}
