//! Many clients at once on one runtime, and what became of each of them.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until, timeout};

use crate::kit::KEY;
use crate::kit::client::{ask, ask_stream, chat_request};

/// Longer than any request of a crowd takes.
const PATIENCE: Duration = Duration::from_secs(60);

/// One answer, whole.
#[derive(Debug, Clone)]
pub struct Answer {
    pub head: String,
    pub body: String,
}

impl Answer {
    pub fn status(&self) -> u16 {
        self.head.get(9..12).and_then(|status| status.parse().ok()).unwrap_or(0)
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        let mut lines = self.head.lines().filter_map(|line| line.split_once(':'));
        lines.find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim())
    }

    pub fn is_last(&self) -> bool {
        self.header("connection").is_some_and(|value| value.eq_ignore_ascii_case("close"))
    }

    /// The contents of all its choices' pieces, in order, whether it is a stream or not.
    pub fn contents(&self) -> Vec<String> {
        let of = |json: &serde_json::Value| {
            let choice = &json["choices"][0];
            let content = choice["delta"]["content"].as_str().or(choice["message"]["content"].as_str());
            content.map(str::to_owned)
        };
        if self.body.starts_with("data: ") {
            let data = self.body.split("\n\n").filter_map(|event| event.strip_prefix("data: "));
            data.filter_map(|data| of(&serde_json::from_str(data).ok()?)).collect()
        } else {
            serde_json::from_str(&self.body).ok().iter().filter_map(of).collect()
        }
    }

    /// The one model that all pieces come from, or what is wrong.
    pub fn model(&self) -> Result<String, String> {
        if self.status() != 200 {
            return Err(format!("{} {}", self.status(), self.body));
        }
        let is_stream = self.body.starts_with("data: ");
        if is_stream && !self.body.ends_with("data: [DONE]\n\n") {
            return Err(format!(
                "a stream ends with {:?}",
                self.body.get(self.body.len().saturating_sub(120)..)
            ));
        }
        let contents = self.contents().concat();
        let mut models: Vec<_> = contents.split(';').filter(|model| !model.is_empty()).collect();
        models.dedup();
        match models[..] {
            [model] => Ok(model.to_owned()),
            _ => Err(format!("a mixture: {models:?}")),
        }
    }
}

/// A connection that may be kept.
pub struct Line {
    stream: TcpStream,
    unread: Vec<u8>,
}

impl Line {
    pub async fn connect(to: SocketAddr) -> std::io::Result<Self> {
        let stream = TcpStream::connect(to).await?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, unread: Vec::new() })
    }

    pub async fn send(&mut self, request: &[u8]) -> std::io::Result<()> {
        self.stream.write_all(request).await
    }

    async fn more(&mut self) -> std::io::Result<()> {
        match self.stream.read_buf(&mut self.unread).await? {
            0 => Err(std::io::ErrorKind::UnexpectedEof.into()),
            _ => Ok(()),
        }
    }

    async fn until(&mut self, end: &[u8]) -> std::io::Result<Vec<u8>> {
        loop {
            if let Some(at) = self.unread.windows(end.len()).position(|window| window == end) {
                return Ok(self.unread.drain(..at + end.len()).collect());
            }
            self.more().await?;
        }
    }

    async fn exactly(&mut self, length: usize) -> std::io::Result<Vec<u8>> {
        while self.unread.len() < length {
            self.more().await?;
        }
        Ok(self.unread.drain(..length).collect())
    }

    /// Reads one answer to its end.
    pub async fn read(&mut self) -> std::io::Result<Answer> {
        let head = String::from_utf8_lossy(&self.until(b"\r\n\r\n").await?).into_owned();
        let answer = Answer { head, body: String::new() };
        let body = match answer.header("content-length").and_then(|length| length.parse().ok()) {
            Some(length) => self.exactly(length).await?,
            None => {
                let mut body = Vec::new();
                loop {
                    let size = self.until(b"\r\n").await?;
                    let size = String::from_utf8_lossy(&size);
                    let size = usize::from_str_radix(size.trim(), 16).map_err(std::io::Error::other)?;
                    let chunk = self.exactly(size + 2).await?;
                    if size == 0 {
                        break;
                    }
                    body.extend_from_slice(&chunk[..size]);
                }
                body
            }
        };
        Ok(Answer { body: String::from_utf8_lossy(&body).into_owned(), ..answer })
    }

    /// Asks and reads.
    pub async fn ask(&mut self, request: &[u8]) -> std::io::Result<Answer> {
        self.send(request).await?;
        self.read().await
    }
}

/// What became of a request: the answer, or why there is none.
pub type Fate = Result<Answer, String>;

async fn within(work: impl Future<Output = std::io::Result<Answer>>) -> Fate {
    match timeout(PATIENCE, work).await {
        Ok(fate) => fate.map_err(|why| format!("no answer: {why}")),
        Err(_) => Err("no answer in time".to_owned()),
    }
}

/// Opens one stream on a connection of its own and reads it to its end.
pub async fn stream(to: SocketAddr) -> Fate {
    within(async { Line::connect(to).await?.ask(&chat_request(KEY, &ask_stream("general"))).await }).await
}

/// Short requests by the clock until it is told to end: every other one on a new connection, the others on kept ones.
pub struct Shorts {
    end: Arc<AtomicBool>,
    all: tokio::task::JoinHandle<Vec<Fate>>,
}

impl Shorts {
    pub fn start(to: SocketAddr, per_second: u32) -> Self {
        let end = Arc::<AtomicBool>::default();
        let over = end.clone();
        let all = tokio::spawn(async move {
            let kept = Arc::new(tokio::sync::Mutex::new(Vec::<Line>::new()));
            let mut asked = JoinSet::new();
            let mut fates = Vec::new();
            let mut next = Instant::now();
            for number in 0_u64.. {
                if over.load(Ordering::Relaxed) {
                    break;
                }
                next += Duration::from_secs(1) / per_second;
                sleep_until(next).await;
                let kept = kept.clone();
                asked.spawn(async move {
                    let old = if number % 2 == 0 { None } else { kept.lock().await.pop() };
                    within(async {
                        let mut line = match old {
                            Some(line) => line,
                            None => Line::connect(to).await?,
                        };
                        let answer = line.ask(&chat_request(KEY, &ask("general"))).await?;
                        if number % 2 == 1 && !answer.is_last() {
                            kept.lock().await.push(line);
                        }
                        Ok(answer)
                    })
                    .await
                });
                while let Some(fate) = asked.try_join_next() {
                    fates.push(fate.expect("no client panics"));
                }
            }
            fates.extend(asked.join_all().await);
            fates
        });
        Self { end, all }
    }

    /// What became of all of them.
    pub async fn end(self) -> Vec<Fate> {
        self.end.store(true, Ordering::Relaxed);
        self.all.await.expect("the crowd does not panic")
    }
}

/// The faults among fates, each kind with how often it came.
pub fn faults(fates: &[Fate]) -> Vec<(String, usize)> {
    let mut found = std::collections::BTreeMap::new();
    for fate in fates {
        let fault = match fate {
            Ok(answer) => answer.model().err(),
            Err(why) => Some(why.clone()),
        };
        if let Some(fault) = fault {
            *found.entry(fault).or_default() += 1;
        }
    }
    found.into_iter().collect()
}
