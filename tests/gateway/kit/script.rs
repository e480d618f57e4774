//! What a scripted backing model does with a request: a list of small steps, taken in order.

use std::time::Duration;

/// One thing that a backing model does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Sends these bytes in one write.
    Bytes(Vec<u8>),
    /// Sends these bytes in writes of this size.
    Pieces(Vec<u8>, usize),
    /// Sends these bytes in writes of this size, with this time between them.
    Drip(Vec<u8>, usize, Duration),
    /// Sends these bytes so many times over: a flood that needs no memory here.
    Repeat(Vec<u8>, usize),
    /// Waits until the test calls `open` with this name.
    Wait(&'static str),
    /// Takes its time: a backend that is slow, not one that is stuck.
    Pause(Duration),
    /// Does nothing until the gateway closes the connection or the upstream is dropped.
    Stall,
    /// Closes the connection in good order.
    Close,
    /// Breaks the connection with a reset.
    Reset,
}

/// How much of a request is read before the script begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Intake {
    /// All of it.
    Whole,
    /// The head, and so many bytes of the body as they come. What follows is left unread while the script runs.
    Part(usize),
    /// Nothing: the script begins when the connection is made.
    Nothing,
}

/// A response's head with these headers and no others.
pub fn head(status: u16, headers: &[(&str, &str)]) -> Step {
    let mut text = format!("HTTP/1.1 {status} Whatever\r\n");
    for (name, value) in headers {
        text.push_str(&format!("{name}: {value}\r\n"));
    }
    text.push_str("\r\n");
    Step::Bytes(text.into_bytes())
}

/// Bytes as they are.
pub fn bytes(bytes: impl AsRef<[u8]>) -> Step {
    Step::Bytes(bytes.as_ref().to_vec())
}

/// Bytes as one chunk of a chunked body.
pub fn chunk(bytes: impl AsRef<[u8]>) -> Step {
    let bytes = bytes.as_ref();
    Step::Bytes([format!("{:x}\r\n", bytes.len()).as_bytes(), bytes, b"\r\n"].concat())
}

/// The end of a chunked body.
pub fn last_chunk() -> Step {
    bytes("0\r\n\r\n")
}

/// A whole response whose body has its length told.
pub fn whole(status: u16, headers: &[(&str, &str)], body: &str) -> Vec<Step> {
    let length = body.len().to_string();
    vec![head(status, &[headers, &[("Content-Length", length.as_str())]].concat()), bytes(body)]
}

/// The same steps with all bytes in writes of this size: what a slow network makes of them.
pub fn in_pieces(steps: Vec<Step>, size: usize) -> Vec<Step> {
    steps
        .into_iter()
        .map(|step| match step {
            Step::Bytes(bytes) => Step::Pieces(bytes, size),
            Step::Pieces(..)
            | Step::Drip(..)
            | Step::Repeat(..)
            | Step::Wait(_)
            | Step::Pause(_)
            | Step::Stall
            | Step::Close
            | Step::Reset => step,
        })
        .collect()
}
