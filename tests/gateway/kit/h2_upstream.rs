//! A scripted backing model that speaks HTTP/2, by prior knowledge or behind a [`super::tls::TlsFront`].

use std::future::poll_fn;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener as StdListener};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use bytes::Bytes;
use h2::server::SendResponse;
use h2::{Reason, RecvStream, SendStream};
use http::{Request, Response};
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};
use tokio::task::AbortHandle;

use super::DEADLINE;
use super::background::runtime;

/// One thing that such a backend does with a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum H2Step {
    /// The head of the answer.
    Head(u16, Vec<(&'static str, String)>),
    /// A DATA frame, or several when the window is small.
    Data(Vec<u8>),
    /// So many times the same DATA frame.
    Repeat(Vec<u8>, usize),
    /// END_STREAM.
    End,
    Pause(Duration),
    /// Nothing more, until the gateway resets the stream.
    Stall,
    /// RST_STREAM with this code.
    Reset(Reason),
    /// GOAWAY that covers this stream and all before it; they go on.
    GoAway,
    /// GOAWAY with this code, and the connection is over.
    Abort(Reason),
}

/// A request as it was seen.
#[derive(Debug, Clone)]
pub struct H2Seen {
    /// Which connection it came on, counted from 0.
    pub connection: usize,
    /// Which request it is, counted from 0 over all connections.
    pub index: usize,
    pub method: String,
    pub path: String,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl H2Seen {
    /// The body as JSON; `null` when it is none.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }

    /// Whether a stream is asked for.
    pub fn wants_stream(&self) -> bool {
        self.json()["stream"] == Value::Bool(true)
    }
}

/// A running backend. Dropping it stops the listener; open connections end with the test.
#[derive(Debug)]
pub struct H2Upstream {
    address: SocketAddr,
    board: Arc<Mutex<Board>>,
    task: AbortHandle,
}

#[derive(Debug, Default)]
struct Board {
    connections: usize,
    requests: Vec<H2Seen>,
    /// Requests whose stream the gateway reset.
    cancelled: Vec<usize>,
    left: usize,
}

type Script = dyn Fn(&H2Seen) -> Vec<H2Step> + Send + Sync;
type Commands = UnboundedSender<Option<Reason>>;

impl H2Upstream {
    /// Answers each request with what `script` says, once it has been read whole.
    pub fn start(script: impl Fn(&H2Seen) -> Vec<H2Step> + Send + Sync + 'static) -> Self {
        Self::leaving(0, script)
    }

    /// The same steps for every request.
    pub fn always(steps: Vec<H2Step>) -> Self {
        Self::start(move |_| steps.clone())
    }

    /// The first `left` connections answer their first request with a GOAWAY that does not cover it.
    pub fn leaving(left: usize, script: impl Fn(&H2Seen) -> Vec<H2Step> + Send + Sync + 'static) -> Self {
        let listener = StdListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a loopback port");
        listener.set_nonblocking(true).expect("a socket option");
        let address = listener.local_addr().expect("a bound socket has an address");
        let board = Arc::new(Mutex::new(Board { left, ..Board::default() }));
        let (shared, script): (_, Arc<Script>) = (Arc::clone(&board), Arc::new(script));
        let task = runtime().spawn(async move {
            let listener = TcpListener::from_std(listener).expect("a listener");
            while let Ok((stream, _)) = listener.accept().await {
                let _ = stream.set_nodelay(true);
                tokio::spawn(connection(stream, Arc::clone(&shared), Arc::clone(&script)));
            }
        });
        Self { address, board, task: task.abort_handle() }
    }

    /// Where it listens.
    pub fn addr(&self) -> SocketAddr {
        self.address
    }

    /// A backend for the configuration, by prior knowledge.
    pub fn backend(&self) -> String {
        format!("{{ url: \"http://{}/v1\", h2: true }}", self.address)
    }

    /// All requests so far.
    pub fn requests(&self) -> Vec<H2Seen> {
        state(&self.board).requests.clone()
    }

    /// How many connections were accepted.
    pub fn connections(&self) -> usize {
        state(&self.board).connections
    }

    /// Waits until the gateway has reset the stream of this request, and says whether it did in time.
    pub fn wait_cancelled(&self, request: usize) -> bool {
        let since = Instant::now();
        while since.elapsed() < DEADLINE {
            if state(&self.board).cancelled.contains(&request) {
                return true;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        false
    }
}

impl Drop for H2Upstream {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn state(board: &Mutex<Board>) -> MutexGuard<'_, Board> {
    board.lock().expect("no script panics")
}

async fn connection(stream: TcpStream, board: Arc<Mutex<Board>>, script: Arc<Script>) {
    let number = {
        let mut board = state(&board);
        board.connections += 1;
        board.connections - 1
    };
    if number < state(&board).left {
        // Its end is all that there is to see.
        let _ = leave(stream).await;
        return;
    }
    let Ok(mut connection) = h2::server::handshake(stream).await else { return };
    let (commands, mut orders) = unbounded_channel();
    loop {
        tokio::select! {
            request = connection.accept() => match request {
                Some(Ok((request, respond))) => {
                    let (board, script, commands) = (Arc::clone(&board), Arc::clone(&script), commands.clone());
                    tokio::spawn(serve(number, request, respond, board, script, commands));
                }
                Some(Err(_)) | None => return,
            },
            Some(order) = orders.recv() => match order {
                None => connection.graceful_shutdown(),
                Some(reason) => connection.abrupt_shutdown(reason),
            },
        }
    }
}

async fn serve(
    connection: usize,
    request: Request<RecvStream>,
    mut respond: SendResponse<Bytes>,
    board: Arc<Mutex<Board>>,
    script: Arc<Script>,
    commands: Commands,
) {
    let (head, mut incoming) = request.into_parts();
    let mut body = Vec::new();
    while let Some(Ok(data)) = incoming.data().await {
        let _ = incoming.flow_control().release_capacity(data.len());
        body.extend_from_slice(&data);
    }
    let text = |value: &http::HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
    let seen = {
        let mut board = state(&board);
        let seen = H2Seen {
            connection,
            index: board.requests.len(),
            method: head.method.to_string(),
            path: head.uri.path().to_owned(),
            headers: head.headers.iter().map(|(name, value)| (name.to_string(), text(value))).collect(),
            body,
        };
        board.requests.push(seen.clone());
        seen
    };
    if take(script(&seen), &mut respond, &commands).await == Left::ByGateway {
        state(&board).cancelled.push(seen.index);
    }
}

/// Who ended a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Left {
    ByUs,
    ByGateway,
}

async fn take(steps: Vec<H2Step>, respond: &mut SendResponse<Bytes>, commands: &Commands) -> Left {
    let mut sending: Option<SendStream<Bytes>> = None;
    for step in steps {
        let done = match (step, &mut sending) {
            (H2Step::Head(status, headers), _) => {
                let mut head = Response::builder().status(status);
                for (name, value) in headers {
                    head = head.header(name, value);
                }
                match respond.send_response(head.body(()).expect("a head that can be sent"), false) {
                    Ok(stream) => {
                        sending = Some(stream);
                        Some(())
                    }
                    Err(_) => None,
                }
            }
            (H2Step::Data(data), Some(stream)) => send(stream, data).await,
            (H2Step::Repeat(data, times), Some(stream)) => {
                let mut done = Some(());
                for _ in 0..times {
                    done = send(stream, data.clone()).await;
                    if done.is_none() {
                        break;
                    }
                }
                done
            }
            (H2Step::End, Some(stream)) => stream.send_data(Bytes::new(), true).ok(),
            (H2Step::Data(_) | H2Step::Repeat(..) | H2Step::End, None) => panic!("the head comes first"),
            (H2Step::Pause(time), _) => {
                tokio::time::sleep(time).await;
                Some(())
            }
            (H2Step::Stall, Some(stream)) => {
                let _ = poll_fn(|cx| stream.poll_reset(cx)).await;
                None
            }
            (H2Step::Stall, None) => {
                let _ = poll_fn(|cx| respond.poll_reset(cx)).await;
                None
            }
            (H2Step::Reset(reason), Some(stream)) => {
                stream.send_reset(reason);
                return Left::ByUs;
            }
            (H2Step::Reset(reason), None) => {
                respond.send_reset(reason);
                return Left::ByUs;
            }
            (H2Step::GoAway, _) => commands.send(None).ok(),
            (H2Step::Abort(reason), _) => commands.send(Some(reason)).ok(),
        };
        if done.is_none() {
            return Left::ByGateway;
        }
    }
    Left::ByUs
}

/// Sends as the window allows; `None` when the stream is over.
async fn send(stream: &mut SendStream<Bytes>, data: Vec<u8>) -> Option<()> {
    let mut data = Bytes::from(data);
    while !data.is_empty() {
        stream.reserve_capacity(data.len());
        let room = poll_fn(|cx| stream.poll_capacity(cx)).await?.ok()?;
        stream.send_data(data.split_to(room.min(data.len())), false).ok()?;
    }
    Some(())
}

const HEADERS: u8 = 1;
const SETTINGS: u8 = 4;
const ACK: u8 = 1;

/// Shakes hands, waits for a request, and says that the connection ends before it.
async fn leave(mut stream: TcpStream) -> io::Result<()> {
    stream.read_exact(&mut [0; 24]).await?;
    stream.write_all(&[0, 0, 0, SETTINGS, 0, 0, 0, 0, 0]).await?;
    loop {
        let mut head = [0; 9];
        stream.read_exact(&mut head).await?;
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
        stream.read_exact(&mut vec![0; usize::try_from(length).expect("24 bits")]).await?;
        match (head[3], head[4]) {
            (SETTINGS, flags) if flags & ACK == 0 => {
                stream.write_all(&[0, 0, 0, SETTINGS, ACK, 0, 0, 0, 0]).await?;
            }
            (HEADERS, _) => {
                // GOAWAY: the last stream is 0, no error.
                stream.write_all(&[0, 0, 8, 7, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]).await?;
            }
            _ => {}
        }
    }
}
