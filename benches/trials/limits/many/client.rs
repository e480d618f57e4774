//! Clients that leave: while they send, while they wait in line or for a backend, or while they are answered.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use socket2::SockRef;
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};

use super::dice;
use crate::http::Connection;

/// Longer than any request here may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// How far a client goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Phase {
    Stays,
    InTheHead,
    InTheBody,
    AtOnce,
    WhileItWaits,
    AtTheFirstByte,
    InTheAnswer,
}

fn phase(number: usize) -> Phase {
    match dice(number, "phase", 100) {
        0..5 => Phase::InTheHead,
        5..10 => Phase::InTheBody,
        10..20 => Phase::AtOnce,
        20..40 => Phase::WhileItWaits,
        40..50 => Phase::AtTheFirstByte,
        50..60 => Phase::InTheAnswer,
        _ => Phase::Stays,
    }
}

/// What clients did, and what they got.
#[derive(Default)]
pub struct Seen {
    /// How many left in each phase.
    left: BTreeMap<Phase, usize>,
    /// The statuses of those that stayed; 0 is an answer that broke.
    statuses: BTreeMap<u16, usize>,
}

impl Seen {
    pub fn add(&mut self, other: &Self) {
        other.left.iter().for_each(|(phase, count)| *self.left.entry(*phase).or_default() += count);
        other.statuses.iter().for_each(|(status, count)| *self.statuses.entry(*status).or_default() += count);
    }

    pub fn print(&self) {
        println!("| clients that leave | |\n|---|---:|");
        self.left.iter().for_each(|(phase, count)| println!("| {phase:?} | {count} |"));
        println!("\n| what those that stayed got | |\n|---|---:|");
        self.statuses.iter().for_each(|(status, count)| println!("| {status} | {count} |"));
    }
}

/// A request of constant weight. Streams and others alternate at random.
pub fn body(number: usize) -> String {
    let alias = if dice(number, "alias", 2) == 0 { "line" } else { "door" };
    let stream = if dice(number, "stream", 2) == 0 { "true " } else { "false" };
    format!(
        r#"{{"model":"{alias}","stream":{stream},"max_tokens":100,"messages":[{{"role":"user","content":"number={number:06};"}}]}}"#
    )
}

/// One request, over the connection that is still open, if there is one; gives it back if it may be used again.
pub async fn visit(
    to: SocketAddr,
    number: usize,
    kept: Option<Connection>,
    seen: &mut Seen,
) -> Option<Connection> {
    let mut connection = match kept {
        Some(connection) if !connection.is_spent() => connection,
        _ => Connection::new(TcpStream::connect(to).await.unwrap()),
    };
    let phase = phase(number);
    match timeout(PATIENCE, go(&mut connection, number, phase)).await {
        Ok(Ok(Some(status))) => {
            *seen.statuses.entry(status).or_default() += 1;
            (status != 0).then_some(connection)
        }
        Ok(Ok(None)) => {
            *seen.left.entry(phase).or_default() += 1;
            // Half of them without a good-bye.
            if dice(number, "reset", 2) == 0 {
                let _ = SockRef::from(&connection.stream).set_linger(Some(Duration::ZERO));
            }
            None
        }
        Ok(Err(_)) | Err(_) => {
            *seen.statuses.entry(0).or_default() += 1;
            None
        }
    }
}

/// The status if it stays for all of the answer, and nothing if it leaves.
async fn go(connection: &mut Connection, number: usize, phase: Phase) -> io::Result<Option<u16>> {
    let body = body(number);
    let head = format!(
        "POST /v1/chat/completions HTTP/1.1\r\nhost: byname\r\nauthorization: Bearer bn-bench\r\n\
         content-type: application/json\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    match phase {
        Phase::InTheHead => {
            connection.write(&head.as_bytes()[..1 + dice(number, "cut", head.len() - 1)]).await?;
            pause(number).await;
            return Ok(None);
        }
        Phase::InTheBody => {
            let part = &body[..dice(number, "cut", body.len())];
            connection.write(format!("{head}{part}").as_bytes()).await?;
            pause(number).await;
            return Ok(None);
        }
        Phase::Stays | Phase::AtOnce | Phase::WhileItWaits | Phase::AtTheFirstByte | Phase::InTheAnswer => {
            connection.write(format!("{head}{body}").as_bytes()).await?;
        }
    }
    match phase {
        Phase::WhileItWaits => pause(number).await,
        Phase::AtTheFirstByte => {
            connection.stream.readable().await?;
        }
        Phase::InTheAnswer => {
            let mut bytes = vec![0; 1 + dice(number, "bytes", 1200)];
            let reading = connection.stream.read_exact(&mut bytes);
            let _ = timeout(Duration::from_millis(100), reading).await;
        }
        Phase::Stays => return answered(connection).await.map(Some),
        Phase::InTheHead | Phase::InTheBody | Phase::AtOnce => {}
    }
    Ok(None)
}

async fn pause(number: usize) {
    sleep(Duration::from_millis(dice(number, "pause", 30) as u64)).await;
}

/// Reads a whole answer; 0 for a stream that ends in an error.
async fn answered(connection: &mut Connection) -> io::Result<u16> {
    let message = connection.read().await?.ok_or(io::ErrorKind::UnexpectedEof)?;
    if !message.head.contains("transfer-encoding: chunked") {
        return Ok(message.status());
    }
    let mut text = Vec::new();
    while !text.ends_with(b"\r\n0\r\n\r\n") {
        text.extend_from_slice(&connection.rest().await?);
    }
    let whole = text.windows(6).any(|window| window == b"[DONE]");
    Ok(if whole { message.status() } else { 0 })
}
