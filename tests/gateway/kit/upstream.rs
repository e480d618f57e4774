//! A scripted backing model on a loopback port. It remembers every byte that it was sent, on which connection
//! it came, and whether the gateway closed that connection.
//!
//! One thread per connection reads; while a script runs, another one writes, so that a close is seen at once.

use std::fmt;
use std::io::{self, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, Weak};
use std::thread;
use std::time::Duration;

use serde_json::Value;
use socket2::SockRef;

use super::http::{Framing, Head, Inbox};
use super::script::{Intake, Step};
use super::{DEADLINE, ports};

/// A request as it was seen.
#[derive(Debug, Clone)]
pub struct Seen {
    /// Which connection it came on, counted from 0.
    pub connection: usize,
    /// Which request it is, counted from 0 over all connections.
    pub index: usize,
    pub head: Head,
    /// The body without its framing, as far as it was read.
    pub body: Vec<u8>,
}

impl Seen {
    /// A header's value, whatever the case of its name.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.head.header(name)
    }

    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The body as JSON; `null` when it is none.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }

    /// Whether a stream is asked for.
    pub fn wants_stream(&self) -> bool {
        self.json()["stream"] == Value::Bool(true)
    }
}

/// A running backing model. Dropping it closes everything.
pub struct Upstream {
    address: SocketAddr,
    board: Arc<Board>,
}

impl fmt::Debug for Upstream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Upstream").field("address", &self.address).finish_non_exhaustive()
    }
}

type Script = dyn Fn(&Seen) -> Vec<Step> + Send + Sync;

impl Upstream {
    /// Answers each request with what `script` says, once it has been read whole.
    pub fn start(script: impl Fn(&Seen) -> Vec<Step> + Send + Sync + 'static) -> Self {
        Self::with_intake(Intake::Whole, script)
    }

    /// The same steps for every request.
    pub fn always(steps: Vec<Step>) -> Self {
        Self::start(move |_| steps.clone())
    }

    /// The first list for the first request, and so on; the last one for all that follow.
    pub fn in_turn(scripts: Vec<Vec<Step>>) -> Self {
        assert!(!scripts.is_empty(), "a script for at least one request");
        Self::start(move |seen| scripts[seen.index.min(scripts.len() - 1)].clone())
    }

    /// Reads only so much of each request before the script begins.
    pub fn with_intake(intake: Intake, script: impl Fn(&Seen) -> Vec<Step> + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a loopback port");
        Self::on(listener, intake, script)
    }

    /// Listens at this address: another loopback address with a port that is known elsewhere.
    pub fn at(
        address: SocketAddr,
        script: impl Fn(&Seen) -> Vec<Step> + Send + Sync + 'static,
    ) -> io::Result<Self> {
        Ok(Self::on(TcpListener::bind(address)?, Intake::Whole, script))
    }

    fn on(
        listener: TcpListener,
        intake: Intake,
        script: impl Fn(&Seen) -> Vec<Step> + Send + Sync + 'static,
    ) -> Self {
        let address = listener.local_addr().expect("a bound socket has an address");
        let board = Arc::new(Board::default());
        let script: Arc<Script> = Arc::new(script);
        let shared = Arc::clone(&board);
        thread::spawn(move || accept(&listener, &shared, intake, &script));
        Self { address, board }
    }

    /// A port where every connection is refused.
    pub fn refusing() -> Self {
        Self { address: ports::free(), board: Arc::new(Board::default()) }
    }

    /// Where it listens.
    pub fn addr(&self) -> SocketAddr {
        self.address
    }

    /// Its base URL, as a configuration wants it.
    pub fn url(&self) -> String {
        format!("http://{}/v1", self.address)
    }

    /// Lets every [`Step::Wait`] with this name go on, now and later.
    pub fn open(&self, gate: &'static str) {
        self.board.change(|state| state.open.push(gate));
    }

    /// All requests so far.
    pub fn requests(&self) -> Vec<Seen> {
        self.board.state().requests.clone()
    }

    /// Waits until so many requests have been seen, and gives them all.
    pub fn wait_requests(&self, at_least: usize) -> Vec<Seen> {
        let enough = self.board.wait(DEADLINE, |state| state.requests.len() >= at_least);
        let requests = self.requests();
        assert!(enough, "{at_least} requests were due, {} came", requests.len());
        requests
    }

    /// How many connections were accepted.
    pub fn connections(&self) -> usize {
        self.board.state().connections.len()
    }

    /// Waits until the gateway has closed the connection of this request, and says whether it did in time.
    pub fn wait_closed(&self, request: usize, within: Duration) -> bool {
        self.board.wait(within, |state| {
            let connection = state.requests.get(request).map(|seen| seen.connection);
            connection
                .and_then(|c| state.connections.get(c))
                .is_some_and(|line| line.closed == Closed::ByGateway)
        })
    }
}

impl Drop for Upstream {
    fn drop(&mut self) {
        self.board.change(|state| state.life = Life::Over);
        for line in &self.board.state().connections {
            if let Some(stream) = line.stream.upgrade() {
                let _ = stream.shutdown(Shutdown::Both);
            }
        }
        // Wakes the thread that accepts; it then sees that life is over.
        let _ = TcpStream::connect_timeout(&self.address, DEADLINE);
    }
}

/// What the threads and the test know together.
#[derive(Debug, Default)]
struct Board {
    state: Mutex<State>,
    news: Condvar,
}

#[derive(Debug, Default)]
struct State {
    requests: Vec<Seen>,
    connections: Vec<Line>,
    open: Vec<&'static str>,
    life: Life,
}

#[derive(Debug)]
struct Line {
    stream: Weak<TcpStream>,
    closed: Closed,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Closed {
    Not,
    ByUs,
    ByGateway,
}

#[derive(Debug, Default, PartialEq, Eq)]
enum Life {
    #[default]
    On,
    Over,
}

impl Board {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no script panics")
    }

    fn change<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        let value = change(&mut self.state());
        self.news.notify_all();
        value
    }

    /// Waits until this is so; `false` when it is not so in time.
    fn wait(&self, within: Duration, is_so: impl Fn(&State) -> bool) -> bool {
        let (state, _) = self
            .news
            .wait_timeout_while(self.state(), within, |state| !is_so(state))
            .expect("no script panics");
        is_so(&state)
    }

    fn mark(&self, connection: usize, closed: Closed) {
        self.change(|state| {
            if let Some(line) =
                state.connections.get_mut(connection).filter(|line| line.closed == Closed::Not)
            {
                line.closed = closed;
            }
        });
    }

    fn closed(state: &State, connection: usize) -> Closed {
        state.connections.get(connection).map_or(Closed::Not, |line| line.closed)
    }
}

fn accept(listener: &TcpListener, board: &Arc<Board>, intake: Intake, script: &Arc<Script>) {
    for stream in listener.incoming().map_while(Result::ok) {
        if board.state().life == Life::Over {
            return;
        }
        let stream = Arc::new(stream);
        let line = Line { stream: Arc::downgrade(&stream), closed: Closed::Not };
        let connection = board.change(|state| {
            state.connections.push(line);
            state.connections.len() - 1
        });
        let (board, script) = (Arc::clone(board), Arc::clone(script));
        thread::spawn(move || {
            let connection = Connection { number: connection, stream, board, intake, script };
            // An error is the gateway's way to close; a test that cares asks `wait_closed`.
            let _ = connection.serve();
            connection.board.mark(connection.number, Closed::ByGateway);
        });
    }
}

struct Connection {
    number: usize,
    stream: Arc<TcpStream>,
    board: Arc<Board>,
    intake: Intake,
    script: Arc<Script>,
}

/// What a script leaves of its connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum After {
    /// Ready for another request.
    Keep,
    /// Over.
    Over,
}

impl Connection {
    fn serve(&self) -> io::Result<()> {
        let _ = self.stream.set_nodelay(true);
        self.stream.set_write_timeout(Some(DEADLINE))?;
        let mut inbox = Inbox::default();
        while let Some(seen) = self.read(&mut inbox)? {
            let steps = (self.script)(&seen);
            if self.perform(steps, &mut inbox) == After::Over {
                break;
            }
        }
        Ok(())
    }

    /// The next request, entered into the record; `None` at the end of the connection.
    fn read(&self, inbox: &mut Inbox) -> io::Result<Option<Seen>> {
        let mut from = &*self.stream;
        let (head, body) = match self.intake {
            Intake::Nothing => {
                (Head { raw: Vec::new(), first: String::new(), headers: Vec::new() }, Vec::new())
            }
            Intake::Whole | Intake::Part(_) => {
                let Some(head) = inbox.head(&mut from)? else { return Ok(None) };
                if head.header("expect").is_some() {
                    (&*self.stream).write_all(b"HTTP/1.1 100 Continue\r\n\r\n")?;
                }
                let body = self.read_body(head.framing(), inbox)?;
                (head, body)
            }
        };
        Ok(Some(self.board.change(|state| {
            let seen = Seen { connection: self.number, index: state.requests.len(), head, body };
            state.requests.push(seen.clone());
            seen
        })))
    }

    fn read_body(&self, framing: Option<Framing>, inbox: &mut Inbox) -> io::Result<Vec<u8>> {
        let mut from = &*self.stream;
        match (self.intake, framing) {
            (Intake::Nothing, _) | (_, None | Some(Framing::UntilClose)) => Ok(Vec::new()),
            (Intake::Whole, Some(Framing::Length(n))) => inbox.exactly(n, &mut from),
            (Intake::Part(part), Some(Framing::Length(n))) => inbox.exactly(n.min(part), &mut from),
            (Intake::Whole | Intake::Part(_), Some(Framing::Chunked)) => {
                let cap = if let Intake::Part(part) = self.intake { part } else { usize::MAX };
                let mut body = Vec::new();
                while body.len() < cap {
                    let chunk = inbox.chunk(&mut from)?;
                    if chunk.is_empty() {
                        break;
                    }
                    body.extend_from_slice(&chunk);
                }
                Ok(body)
            }
        }
    }

    /// Takes the steps on a thread of their own; meanwhile this one sees whether the gateway closes.
    fn perform(&self, steps: Vec<Step>, inbox: &mut Inbox) -> After {
        thread::scope(|scope| {
            let writer = scope.spawn(|| {
                let after = self.take(steps);
                if after == After::Over {
                    self.board.mark(self.number, Closed::ByUs);
                    // Only our own reader is woken by this; the gateway sees what the step did.
                    let _ = self.stream.shutdown(Shutdown::Read);
                }
                after
            });
            if self.intake == Intake::Whole
                && inbox.is_empty()
                && !matches!(self.stream.peek(&mut [0]), Ok(1..))
            {
                self.board.mark(self.number, Closed::ByGateway);
            }
            writer.join().unwrap_or(After::Over)
        })
    }

    fn take(&self, steps: Vec<Step>) -> After {
        for step in steps {
            let done = match step {
                Step::Bytes(bytes) => (&*self.stream).write_all(&bytes),
                Step::Pieces(bytes, size) => {
                    bytes.chunks(size).try_for_each(|piece| (&*self.stream).write_all(piece))
                }
                Step::Drip(bytes, size, time) => bytes.chunks(size).try_for_each(|piece| {
                    thread::sleep(time);
                    (&*self.stream).write_all(piece)
                }),
                Step::Repeat(bytes, times) => {
                    let many = bytes.repeat((64 * 1024_usize).div_ceil(bytes.len()).min(times).max(1));
                    let per_write = many.len() / bytes.len();
                    let whole = (0..times / per_write).try_for_each(|_| (&*self.stream).write_all(&many));
                    whole.and_then(|()| (&*self.stream).write_all(&bytes.repeat(times % per_write)))
                }
                Step::Pause(time) => {
                    thread::sleep(time);
                    Ok(())
                }
                Step::Wait(gate) => self.wait(DEADLINE, |state| state.open.contains(&gate)),
                Step::Stall => self.wait(DEADLINE * 6, |_| false),
                Step::Close => {
                    self.board.mark(self.number, Closed::ByUs);
                    let _ = self.stream.shutdown(Shutdown::Both);
                    return After::Over;
                }
                Step::Reset => {
                    self.board.mark(self.number, Closed::ByUs);
                    // The reset goes out when the last owner of the socket lets go of it.
                    let _ = SockRef::from(&*self.stream).set_linger(Some(Duration::ZERO));
                    return After::Over;
                }
            };
            if done.is_err() {
                // Nobody takes our bytes any more.
                self.board.mark(self.number, Closed::ByGateway);
                return After::Over;
            }
        }
        After::Keep
    }

    /// Waits until the test lets us go on; an error when the connection or the upstream is over first.
    fn wait(&self, within: Duration, may_go_on: impl Fn(&State) -> bool) -> io::Result<()> {
        let over = |state: &State| {
            state.life == Life::Over || Board::closed(state, self.number) == Closed::ByGateway
        };
        self.board.wait(within, |state| may_go_on(state) || over(state));
        if may_go_on(&self.board.state()) { Ok(()) } else { Err(io::ErrorKind::ConnectionAborted.into()) }
    }
}
