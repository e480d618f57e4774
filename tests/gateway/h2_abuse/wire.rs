//! An HTTP/2 client that says exactly the bytes that it is told, keeps an account of what it hears, and can tell
//! in words how a stream and the connection ended.

use std::collections::BTreeMap;
use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use std::time::Duration;

use socket2::{Domain, SockRef, Socket, Type};

use super::frames::{self, code_name, flag, set};
use super::heard::{End, Heard, Told, whole_frame};
use crate::kit::DEADLINE;

/// One connection.
pub struct Raw {
    stream: Arc<TcpStream>,
    board: Arc<Board>,
    next: u32,
    pings: u64,
    sent: Arc<AtomicU64>,
}

/// Whether somebody reads what comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ears {
    Open,
    /// Nobody ever reads from the socket.
    Shut,
}

#[derive(Default)]
struct Board {
    heard: Mutex<Heard>,
    news: Condvar,
}

impl Raw {
    /// Connects and says nothing. `sent` counts the bytes that go out.
    pub fn bare(address: SocketAddr, sent: &Arc<AtomicU64>) -> Self {
        let stream = TcpStream::connect_timeout(&address, DEADLINE).expect("the gateway listens");
        Self::on(stream, sent, Ears::Open)
    }

    /// The same from another loopback address; `None` when no connection is made.
    pub fn from(source: [u8; 4], address: SocketAddr, sent: &Arc<AtomicU64>) -> Option<Self> {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
        socket.bind(&SocketAddr::from((source, 0)).into()).expect("a loopback address");
        socket.connect_timeout(&address.into(), DEADLINE).ok()?;
        Some(Self::on(socket.into(), sent, Ears::Open))
    }

    /// Connects with a small receive buffer that nobody empties.
    pub fn deaf(address: SocketAddr, sent: &Arc<AtomicU64>) -> Self {
        let socket = Socket::new(Domain::for_address(address), Type::STREAM, None).expect("a socket");
        // Before connecting: the window that is offered first follows from it.
        socket.set_recv_buffer_size(4096).expect("a socket option");
        socket.connect_timeout(&address.into(), DEADLINE).expect("the gateway listens");
        Self::on(socket.into(), sent, Ears::Shut)
    }

    /// Connects and greets: preface, these SETTINGS, and the answer to the server's.
    ///
    /// Answers are not to use a table, so that a status can be read without one.
    pub fn open(address: SocketAddr, sent: &Arc<AtomicU64>, settings: &[(u16, u32)]) -> Self {
        Self::bare(address, sent).greet(settings)
    }

    /// Says what a connection begins with. Only a stream's window bounds what may come.
    pub fn greet(mut self, settings: &[(u16, u32)]) -> Self {
        let all = [&[(set::HEADER_TABLE_SIZE, 0)], settings].concat();
        let window = frames::window_update(0, frames::MAX_WINDOW - frames::FIRST_WINDOW);
        let greeting = [frames::PREFACE, &frames::settings(&all), &frames::settings_ack(), &window].concat();
        let _ = self.send(&greeting);
        self
    }

    fn on(stream: TcpStream, sent: &Arc<AtomicU64>, ears: Ears) -> Self {
        stream.set_nodelay(true).expect("a socket option");
        stream.set_write_timeout(Some(DEADLINE)).expect("a socket option");
        let (stream, board) = (Arc::new(stream), Arc::default());
        let raw = Self { stream, board, next: 1, pings: 0, sent: Arc::clone(sent) };
        match ears {
            Ears::Open => raw.listen(),
            Ears::Shut => {}
        }
        raw
    }

    /// Begins to read what comes.
    pub fn listen(&self) {
        let (from, to) = (Arc::clone(&self.stream), Arc::clone(&self.board));
        thread::spawn(move || to.listen(&from));
    }

    /// Sends bytes as they are; an error when the gateway has closed or takes nothing for too long.
    pub fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        (&*self.stream).write_all(bytes)?;
        self.sent.fetch_add(bytes.len() as u64, Ordering::Relaxed);
        Ok(())
    }

    /// Sends bytes so many times, or until the gateway takes no more. Says how often they went out whole.
    pub fn flood(&mut self, bytes: &[u8], times: usize) -> usize {
        (0..times).take_while(|_| self.send(bytes).is_ok()).count()
    }

    /// Says that nothing more will be sent.
    pub fn half_close(&self) {
        self.stream.shutdown(Shutdown::Write).expect("the connection is open");
    }

    /// How long a write may wait for the gateway to read.
    pub fn patience(&self, time: Duration) {
        self.stream.set_write_timeout(Some(time)).expect("a socket option");
    }

    /// An unused stream.
    pub fn next(&mut self) -> u32 {
        let id = self.next;
        self.next += 2;
        id
    }

    /// The last stream that was given out.
    pub fn last(&self) -> u32 {
        self.next.saturating_sub(2)
    }

    /// Sends a request that is complete.
    pub fn ask(&mut self, fields: &[(&str, &str)], body: &[u8]) -> u32 {
        let id = self.next();
        let bytes = request(id, fields, body);
        let _ = self.send(&bytes);
        id
    }

    /// What has come so far.
    pub fn heard(&self) -> Heard {
        self.board.heard.lock().expect("no reader panics").clone()
    }

    /// Waits until this is so, and says whether it came to be in time.
    pub fn wait(&self, within: Duration, so: impl Fn(&Heard) -> bool) -> bool {
        let heard = self.board.heard.lock().expect("no reader panics");
        let waited = self.board.news.wait_timeout_while(heard, within, |heard| !so(heard));
        let (heard, _) = waited.expect("no reader panics");
        so(&heard)
    }

    /// Waits until a stream is over, and says how: `200`, `401 invalid_api_key`, `reset CANCEL`.
    pub fn answer(&self, stream: u32) -> String {
        let over =
            |heard: &Heard| heard.end.is_some() || heard.streams.get(&stream).is_some_and(Told::is_over);
        self.wait(DEADLINE, over);
        let heard = self.heard();
        match heard.streams.get(&stream) {
            Some(told) => told.words(),
            None => "no answer".to_owned(),
        }
    }

    /// Whether the connection still answers, or how it ended: `open`, `closed`, `GOAWAY … and closed`.
    pub fn fate(&mut self) -> String {
        self.pings += 1;
        let payload = (u64::MAX - self.pings).to_be_bytes();
        let _ = self.send(&frames::ping(payload));
        self.wait(DEADLINE, |heard| {
            heard.last_pong == payload || heard.end.is_some() || !heard.goaways.is_empty()
        });
        self.wait(DEADLINE, |heard| heard.last_pong == payload || heard.end.is_some());
        self.ending()
    }

    /// How the connection ended; says so if it did not within the time of a test.
    pub fn ended(&self, within: Duration) -> String {
        self.wait(within, |heard| heard.end.is_some());
        self.ending()
    }

    fn ending(&self) -> String {
        let heard = self.heard();
        let goaway = heard.goaways.last().map(|(_, code, words)| match words.as_str() {
            "" => format!("GOAWAY {}", code_name(*code)),
            words => format!("GOAWAY {} ({words})", code_name(*code)),
        });
        match (goaway, heard.end) {
            (None, None) => "open".to_owned(),
            (None, Some(_)) => "closed".to_owned(),
            (Some(goaway), None) => format!("{goaway} and open"),
            (Some(goaway), Some(_)) => format!("{goaway} and closed"),
        }
    }

    /// How many streams were reset, by code.
    pub fn resets(&self) -> BTreeMap<u32, usize> {
        let mut counts = BTreeMap::new();
        for code in self.heard().streams.values().filter_map(|told| told.reset) {
            *counts.entry(code).or_default() += 1;
        }
        counts
    }
}

impl Drop for Raw {
    fn drop(&mut self) {
        // A reset: whatever was flooded is not worth a good-bye.
        let _ = SockRef::from(&*self.stream).set_linger(Some(Duration::ZERO));
        let _ = self.stream.shutdown(Shutdown::Both);
    }
}

impl Board {
    fn listen(&self, mut from: &TcpStream) {
        let mut bytes = Vec::new();
        let mut buffer = vec![0; 64 * 1024];
        let end = loop {
            match from.read(&mut buffer) {
                Ok(0) => break End::Closed,
                Ok(n) => bytes.extend_from_slice(&buffer[..n]),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(_) => break End::Reset,
            }
            let mut heard = self.heard.lock().expect("no waiter panics");
            let mut at = 0;
            while let Some(length) = whole_frame(&bytes[at..]) {
                heard.take(&bytes[at..at + length]);
                at += length;
            }
            drop(heard);
            bytes.drain(..at);
            self.news.notify_all();
        };
        self.heard.lock().expect("no waiter panics").end = Some(end);
        self.news.notify_all();
    }
}

/// A request that is complete.
pub fn request(stream: u32, fields: &[(&str, &str)], body: &[u8]) -> Vec<u8> {
    let block = frames::block(fields);
    if body.is_empty() {
        return frames::headers(stream, flag::END_STREAM, &block);
    }
    [frames::headers(stream, flag::NONE, &block), frames::last_data(stream, body)].concat()
}
