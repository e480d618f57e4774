//! Clients and backends for nonces: who asks what, who answers how, and whose words come back.
//!
//! Stands on nothing but the runtime, so that the tests have the same crowd at a smaller size.

use std::collections::BTreeMap;
use std::fmt::{self, Write as _};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use sha2::{Digest, Sha256};
use socket2::SockRef;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

/// How many tenants there are. All call their alias `general`, and each has a model of its own behind it.
pub const TENANTS: usize = 50;
/// Longer than any request here may take.
const PATIENCE: Duration = Duration::from_secs(30);
/// Begins every nonce.
const MARK: &[u8] = b"nonce-t";

/// A number that looks like chance but is the same in every run.
pub fn dice(number: usize, about: &str, sides: usize) -> usize {
    let mut hasher = DefaultHasher::new();
    (number, about).hash(&mut hasher);
    usize::try_from(hasher.finish() >> 8).unwrap() % sides
}

fn tenant(number: usize) -> usize {
    dice(number, "tenant", TENANTS)
}

fn nonce(number: usize) -> String {
    format!("nonce-t{:02}-{number:08};", tenant(number))
}

fn key(tenant: usize) -> String {
    format!("bn-nonce-{tenant:02}-0123456789abcdef")
}

/// The `pools:`, with these `backends:`. Nobody is left alone for failing: that would keep requests away.
pub fn pools(backends: &str) -> String {
    format!(
        "{{ main: {{ breaker: {{ failures: 1000, error_rate: 100% }}, retry: {{ budget: 100% }}, backends: {backends} }} }}"
    )
}

/// The `tenants:`.
pub fn tenants() -> String {
    let mut text = String::from("tenants:\n");
    for tenant in 0..TENANTS {
        let digest = Sha256::digest(key(tenant).as_bytes()).iter().fold(String::new(), |mut hex, byte| {
            let _ = write!(hex, "{byte:02x}");
            hex
        });
        let _ = write!(
            text,
            "  t{tenant:02}:\n    keys: {{ web: {{ sha256: \"{digest}\", scopes: [chat] }} }}\n    \
             models: {{ general: {{ routes: [ {{ pool: main, model: m-t{tenant:02} }} ] }} }}\n"
        );
    }
    text
}

/// What backends have heard.
#[derive(Default)]
pub struct Heard {
    pub connections: AtomicUsize,
    /// Requests whose model is not that of the tenant who asks.
    pub crossed: AtomicUsize,
}

/// What becomes of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    Good,
    /// The whole answer once more, to nobody.
    Twice,
    /// Bytes behind the answer.
    More,
    /// An end before the end.
    Short,
    /// So late that many a client has left.
    Late,
    Refused,
}

fn fate(number: usize) -> Fate {
    match dice(number, "fate", 100) {
        0..3 => Fate::Twice,
        3..5 => Fate::More,
        5..8 => Fate::Short,
        8..12 => Fate::Late,
        12..13 => Fate::Refused,
        _ => Fate::Good,
    }
}

/// Serves one connection of a backend.
pub async fn serve(mut stream: TcpStream, heard: Arc<Heard>) {
    heard.connections.fetch_add(1, Relaxed);
    let mut unread = Vec::new();
    // The gateway may leave at any time.
    while let Ok(Some((_, body))) = message(&mut stream, &mut unread).await {
        let body = String::from_utf8_lossy(&body);
        let Some(number) = body.split("nonce-t").nth(1).and_then(|rest| rest.get(3..11)?.parse().ok()) else {
            return;
        };
        if !body.contains(&format!("\"m-t{:02}\"", tenant(number))) {
            heard.crossed.fetch_add(1, Relaxed);
        }
        if answer(&mut stream, number, body.contains(r#""stream":true"#)).await.is_err() {
            return;
        }
    }
}

async fn answer(stream: &mut TcpStream, number: usize, streamed: bool) -> io::Result<()> {
    let fate = fate(number);
    let words = nonce(number).repeat(1 + dice(number, "length", 30));
    let mut bytes = match (fate, streamed) {
        (Fate::Refused, _) => {
            with_length("500 Internal Server Error", &format!(r#"{{"error":{{"message":"{words}"}}}}"#))
        }
        (_, false) => with_length(
            "200 OK",
            &format!(
                r#"{{"id":"{words}","object":"chat.completion","created":1,"model":"{words}","choices":[{{"index":0,"message":{{"role":"assistant","content":"{words}"}},"finish_reason":"stop"}}],"usage":{{"prompt_tokens":9,"completion_tokens":4,"total_tokens":13}}}}"#
            ),
        ),
        (_, true) => events(number),
    };
    match fate {
        Fate::Good | Fate::Refused => {}
        Fate::Twice => bytes = bytes.repeat(2),
        Fate::More => bytes.extend(words.bytes()),
        Fate::Short => bytes.truncate(bytes.len() / 2 + 1),
        Fate::Late => sleep(Duration::from_millis(20 + dice(number, "late", 60) as u64)).await,
    }
    // In pieces, so that a client can leave between any two.
    let size = 1 + dice(number, "piece", 4000);
    for piece in bytes.chunks(size.max(bytes.len() / 6)) {
        stream.write_all(piece).await?;
        if streamed {
            tokio::task::yield_now().await;
        }
    }
    if fate == Fate::Short { Err(io::ErrorKind::UnexpectedEof.into()) } else { Ok(()) }
}

fn with_length(status: &str, json: &str) -> Vec<u8> {
    let length = json.len();
    format!("HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n{json}")
        .into_bytes()
}

fn events(number: usize) -> Vec<u8> {
    let mut text =
        "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n".to_owned();
    let mut chunk = |data: &str| {
        let event = format!("data: {data}\n\n");
        let _ = write!(text, "{:x}\r\n{event}\r\n", event.len());
    };
    let of = |delta: &str, finish: &str| {
        format!(
            r#"{{"id":"{0}","object":"chat.completion.chunk","created":1,"model":"{0}","choices":[{{"index":0,"delta":{{{delta}}},"finish_reason":{finish}}}]}}"#,
            nonce(number)
        )
    };
    for _ in 0..1 + dice(number, "events", 12) {
        chunk(&of(&format!(r#""content":"{}""#, nonce(number)), "null"));
    }
    chunk(&of("", r#""stop""#));
    chunk("[DONE]");
    text.push_str("0\r\n\r\n");
    text.into_bytes()
}

/// What became of requests.
#[derive(Default)]
pub struct Seen {
    pub statuses: BTreeMap<u16, usize>,
    /// Streams that ended with an error event, and clients that left.
    pub told: usize,
    pub left: usize,
    /// Answers that broke off, or did not come, with a client that stayed; and how.
    pub broken: Vec<String>,
    /// Nonces of another tenant's request, and whose answer they were in.
    pub foreign: Vec<String>,
    /// Nonces of another request of the same tenant: what a backend that answers twice can still do to its asker.
    pub mixed: Vec<String>,
    /// Answers with the nonce that was due.
    pub own: usize,
}

impl Seen {
    pub fn add(&mut self, other: Self) {
        other.statuses.iter().for_each(|(status, count)| *self.statuses.entry(*status).or_default() += count);
        self.told += other.told;
        self.left += other.left;
        self.broken.extend(other.broken);
        self.own += other.own;
        self.foreign.extend(other.foreign);
        self.mixed.extend(other.mixed);
    }

    /// How many requests there were.
    pub fn all(&self) -> usize {
        self.statuses.values().sum::<usize>() + self.left + self.broken.len()
    }
}

impl fmt::Display for Seen {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { statuses, told, left, broken, foreign, mixed, own } = self;
        writeln!(
            out,
            "whole answers by status: {statuses:?}; {told} of them streams that end with an error"
        )?;
        let (of_others, of_own) = (foreign.len(), mixed.len());
        writeln!(
            out,
            "{own} answers with their own nonce, {of_others} with another tenant's, {of_own} with one of the same tenant's"
        )?;
        foreign.iter().chain(mixed).chain(broken).take(10).try_for_each(|one| writeln!(out, "  {one}"))?;
        writeln!(out, "{left} clients left, {} answers broken", broken.len())
    }
}

/// Sends requests over so many connections until so many have been sent in all.
pub async fn visit(to: SocketAddr, next: &AtomicUsize, requests: usize, connections: usize) -> Seen {
    // Tasks of one runtime; the counter is shared with other runtimes, so numbers are taken by hand here.
    let mut seen = Seen::default();
    let mut asked = JoinSet::new();
    let take = || Some(next.fetch_add(1, Relaxed)).filter(|number| *number < requests);
    for number in (0..connections).map_while(|_| take()) {
        asked.spawn(one(to, number, None));
    }
    while let Some(done) = asked.join_next().await {
        let (kept, part) = done.unwrap();
        seen.add(part);
        if let Some(number) = take() {
            asked.spawn(one(to, number, kept));
        }
    }
    seen
}

/// A connection that may serve again, and the request that it served last.
type Kept = (TcpStream, usize);

async fn one(to: SocketAddr, number: usize, kept: Option<Kept>) -> (Option<Kept>, Seen) {
    let mut seen = Seen::default();
    let before = kept.as_ref().map(|(_, before)| (*before, fate(*before), streamed(*before)));
    let stream = match kept {
        Some((stream, _)) => Ok(stream),
        None => TcpStream::connect(to).await,
    };
    let mut stream = match stream {
        Ok(stream) => stream,
        Err(why) => {
            seen.broken.push(format!("request {number}: no connection: {why}"));
            return (None, seen);
        }
    };
    let _ = stream.set_nodelay(true);
    let leaves = dice(number, "leaves", 10) < 3;
    let (mut unread, mut whole) = (Vec::new(), Ok(None));
    if stream.write_all(&request(number)).await.is_ok() {
        if leaves {
            let mut bytes = vec![0; dice(number, "byte", 1500)];
            let patience = Duration::from_millis(dice(number, "patience", 40) as u64);
            // As much as comes: none, some, or all of it.
            let reading = async {
                while !bytes.is_empty() && unread.len() < bytes.len() {
                    match stream.read(&mut bytes).await {
                        Ok(n) if n > 0 => unread.extend_from_slice(&bytes[..n]),
                        _ => break,
                    }
                }
            };
            let _ = timeout(patience, reading).await;
        } else {
            whole = timeout(PATIENCE, message(&mut stream, &mut unread))
                .await
                .unwrap_or(Err(io::ErrorKind::TimedOut.into()));
        }
    }
    match whole {
        Ok(Some((head, body))) => {
            look(&head, number, &mut seen);
            look(&body, number, &mut seen);
            // Nothing may come behind an answer.
            look(&unread, number, &mut seen);
            if !unread.is_empty() {
                seen.broken.push(format!("request {number}: {} bytes behind its answer", unread.len()));
            }
            let status = std::str::from_utf8(&head[9..12]).ok().and_then(|digits| digits.parse().ok());
            let finished = body.ends_with(b"data: [DONE]\n\n") || !body.starts_with(b"data: ");
            seen.told += usize::from(!finished);
            *seen.statuses.entry(status.unwrap_or(0)).or_default() += 1;
            let head = String::from_utf8_lossy(&head).to_ascii_lowercase();
            (Some((stream, number)).filter(|_| !head.contains("connection: close")), seen)
        }
        none @ (Ok(None) | Err(_)) => {
            look(&unread, number, &mut seen);
            seen.left += usize::from(leaves);
            if !leaves {
                let why = none.err().map_or("closed".to_owned(), |why| why.to_string());
                let behind = unread.len();
                seen.broken.push(format!(
                    "request {number} ({:?}, after {before:?}): {why}, {behind} bytes not read to the end",
                    fate(number)
                ));
            }
            if dice(number, "reset", 2) == 0 {
                let _ = SockRef::from(&stream).set_linger(Some(Duration::ZERO));
            }
            (None, seen)
        }
    }
}

/// Every nonce in these bytes is the request's own.
fn look(bytes: &[u8], number: usize, seen: &mut Seen) {
    let own = nonce(number);
    let mut found = false;
    for at in memchr::memmem::find_iter(bytes, MARK) {
        // The last one may be cut.
        let shown = &bytes[at..(at + own.len()).min(bytes.len())];
        found = true;
        if !own.as_bytes().starts_with(shown) {
            let words =
                format!("{} ({:?}) in the answer to {own}", String::from_utf8_lossy(shown), blame(shown));
            // The mark and two digits are the tenant.
            let same = own.as_bytes().get(..MARK.len() + 2) == shown.get(..MARK.len() + 2);
            if same { &mut seen.mixed } else { &mut seen.foreign }.push(words);
        }
    }
    seen.own += usize::from(found);
}

/// What its backend did to the request that a nonce belongs to.
fn blame(nonce: &[u8]) -> Option<Fate> {
    std::str::from_utf8(nonce.get(10..18)?).ok()?.parse().ok().map(fate)
}

fn streamed(number: usize) -> bool {
    dice(number, "stream", 2) == 0
}

fn request(number: usize) -> Vec<u8> {
    let (key, nonce) = (key(tenant(number)), nonce(number));
    let stream = streamed(number);
    let body = format!(
        r#"{{"model":"general","stream":{stream},"messages":[{{"role":"user","content":"{nonce}"}}]}}"#
    );
    format!(
        "POST /v1/chat/completions HTTP/1.1\r\nhost: byname\r\nauthorization: Bearer {key}\r\n\
         content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}

/// The next message's head and body; nothing when the other side closes before its first byte. What was read too
/// far stays in `unread`.
async fn message(stream: &mut TcpStream, unread: &mut Vec<u8>) -> io::Result<Option<(Vec<u8>, Vec<u8>)>> {
    let head = loop {
        if let Some(at) = memchr::memmem::find(unread, b"\r\n\r\n") {
            break unread.drain(..at + 4).collect::<Vec<u8>>();
        }
        if stream.read_buf(unread).await? == 0 {
            return if unread.is_empty() { Ok(None) } else { Err(io::ErrorKind::UnexpectedEof.into()) };
        }
    };
    let text = String::from_utf8_lossy(&head).to_ascii_lowercase();
    let length =
        text.split("content-length: ").nth(1).and_then(|rest| rest.lines().next()?.trim().parse().ok());
    if let Some(length) = length {
        let body = exactly(stream, unread, length).await?;
        return Ok(Some((head, body)));
    }
    let mut body = Vec::new();
    loop {
        let line = loop {
            if let Some(at) = memchr::memmem::find(unread, b"\r\n") {
                break unread.drain(..at + 2).collect::<Vec<u8>>();
            }
            if stream.read_buf(unread).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        };
        let size =
            usize::from_str_radix(String::from_utf8_lossy(&line).trim(), 16).map_err(io::Error::other)?;
        let chunk = exactly(stream, unread, size + 2).await?;
        if size == 0 {
            return Ok(Some((head, body)));
        }
        body.extend_from_slice(&chunk[..size]);
    }
}

async fn exactly(stream: &mut TcpStream, unread: &mut Vec<u8>, length: usize) -> io::Result<Vec<u8>> {
    while unread.len() < length {
        if stream.read_buf(unread).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
    Ok(unread.drain(..length).collect())
}
