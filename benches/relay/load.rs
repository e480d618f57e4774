//! The load: connections that are kept, requests that were written beforehand, answers that are checked.
//!
//! Promises: a request is counted when its answer was read to its end and was right, a chunk when it came.
//! Never retries: a wrong answer is a failure, and the connection is opened anew for the next request.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{sleep, sleep_until, timeout};

use crate::answer::{self, Answer, Connection, Expect};
use crate::scenarios::{Arrival, Scenario};

/// What has been counted since the load started.
#[derive(Default)]
pub struct Tally {
    pub requests: AtomicU64,
    pub chunks: AtomicU64,
    pub failures: AtomicU64,
    /// Connections that the other side closed although the client would have kept them.
    pub closed: AtomicU64,
    /// What was wrong the first time.
    pub first_failure: Mutex<Option<String>>,
}

#[derive(Clone, Copy, PartialEq)]
enum Phase {
    WarmUp,
    Measuring,
    Over,
}

/// A load that runs until it is stopped.
pub struct Load {
    pub tally: Arc<Tally>,
    phase: watch::Sender<Phase>,
    workers: Vec<JoinHandle<Vec<Duration>>>,
}

impl Load {
    /// Starts a scenario against an address, its connections shared out to that many threads.
    pub fn start(scenario: &Scenario, address: SocketAddr, threads: usize) -> Load {
        let tally = Arc::new(Tally::default());
        let phase = watch::Sender::new(Phase::WarmUp);
        let connections = plans(scenario.arrival);
        // One timer wheel sends at the planned times; a second thread would only compete with the mock.
        let threads = match scenario.arrival {
            Arrival::Closed { .. } => threads,
            Arrival::Open { .. } => 1,
        };
        let workers = (0..threads)
            .map(|worker| {
                let plans: Vec<Plan> = connections.iter().skip(worker).step_by(threads).copied().collect();
                let client = Client::new(
                    address,
                    scenario.request.clone().into(),
                    scenario.expect,
                    Arc::clone(&tally),
                );
                let phase = phase.subscribe();
                thread::spawn(move || work(client, plans, phase))
            })
            .collect();
        Load { tally, phase, workers }
    }

    /// From now on latencies are kept.
    pub fn measure(&self) {
        self.phase.send_replace(Phase::Measuring);
    }

    /// Ends the load and hands over the time to the first byte of the answers that were asked for while
    /// measuring.
    pub fn stop(self) -> Vec<Duration> {
        self.phase.send_replace(Phase::Over);
        self.workers.into_iter().flat_map(|worker| worker.join().unwrap()).collect()
    }
}

/// When one connection sends.
#[derive(Clone, Copy)]
enum Plan {
    AtOnce,
    Timed { first: Instant, every: Duration },
}

fn plans(arrival: Arrival) -> Vec<Plan> {
    match arrival {
        Arrival::Closed { connections } => vec![Plan::AtOnce; connections],
        Arrival::Open { per_second, connections } => {
            let step = Duration::from_secs(1) / per_second;
            let start = Instant::now() + step;
            (0..connections)
                .map(|slot| Plan::Timed { first: start + step * slot, every: step * connections })
                .collect()
        }
    }
}

fn work(client: Client, plans: Vec<Plan>, mut phase: watch::Receiver<Phase>) -> Vec<Duration> {
    /// Streams that still run when the measurement is over are not waited for.
    const FAREWELL: Duration = Duration::from_millis(100);

    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let taken = Arc::new(Mutex::new(Vec::new()));
    runtime.block_on(async {
        let mut connections = JoinSet::new();
        for plan in plans {
            connections.spawn(keep_asking(client.clone(), plan, phase.clone(), Arc::clone(&taken)));
        }
        let _ = phase.wait_for(|phase| *phase == Phase::Over).await;
        let _ = timeout(FAREWELL, connections.join_all()).await;
    });
    std::mem::take(&mut *taken.lock().unwrap())
}

const AFTER_FAILURE: Duration = Duration::from_millis(10);

async fn keep_asking(
    mut client: Client,
    plan: Plan,
    phase: watch::Receiver<Phase>,
    taken: Arc<Mutex<Vec<Duration>>>,
) {
    let mut round = 0;
    loop {
        let asked = match plan {
            Plan::AtOnce => Instant::now(),
            Plan::Timed { first, every } => wait_for(first + every * round).await,
        };
        round += 1;
        let measuring = match *phase.borrow() {
            Phase::WarmUp => false,
            Phase::Measuring => true,
            Phase::Over => return,
        };
        match client.ask().await {
            Ok(answer) if measuring => taken.lock().unwrap().push(answer.first_byte - asked),
            Ok(_) => {}
            Err(error) => {
                client.note(&error);
                // A target that answers nothing must not turn the load into a busy loop.
                sleep(AFTER_FAILURE).await;
            }
        }
    }
}

/// The moment from which a request's time counts: the planned one if the connection was busy until after
/// it, but never before the timer fired, because its millisecond is not the gateway's fault.
async fn wait_for(planned: Instant) -> Instant {
    if planned <= Instant::now() {
        return planned;
    }
    sleep_until(planned.into()).await;
    Instant::now()
}

/// One connection that is opened when it is needed.
pub struct Client {
    address: SocketAddr,
    request: Arc<[u8]>,
    expect: Expect,
    tally: Arc<Tally>,
    stream: Option<TcpStream>,
    buffer: Vec<u8>,
}

impl Clone for Client {
    /// The same client with a connection of its own.
    fn clone(&self) -> Client {
        Client::new(self.address, Arc::clone(&self.request), self.expect, Arc::clone(&self.tally))
    }
}

impl Client {
    pub fn new(address: SocketAddr, request: Arc<[u8]>, expect: Expect, tally: Arc<Tally>) -> Client {
        Client { address, request, expect, tally, stream: None, buffer: vec![0; 64 * 1024] }
    }

    /// Sends the request and reads its answer.
    pub async fn ask(&mut self) -> std::io::Result<Answer> {
        let mut stream = match self.stream.take() {
            Some(stream) => stream,
            None => {
                let stream = TcpStream::connect(self.address).await?;
                stream.set_nodelay(true)?;
                stream
            }
        };
        stream.write_all(&self.request).await?;
        let answer = answer::read(&mut stream, &mut self.buffer, self.expect, &self.tally.chunks).await?;
        self.tally.requests.fetch_add(1, Relaxed);
        match answer.connection {
            Connection::Kept => self.stream = Some(stream),
            Connection::Closing => {
                self.tally.closed.fetch_add(1, Relaxed);
            }
        }
        Ok(answer)
    }

    fn note(&self, error: &std::io::Error) {
        self.tally.failures.fetch_add(1, Relaxed);
        self.tally.first_failure.lock().unwrap().get_or_insert_with(|| error.to_string());
    }
}
