//! Where a case is played: a gateway of its own between backing models that are quick, endless or silent, with
//! somebody else who asks all the while, and a look at what the process uses.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use super::tunnel::Tunnel;
use super::wire::Raw;
use crate::kit::answers::{json_answer, sse_answer, sse_events, sse_head};
use crate::kit::client::{Client, ask};
use crate::kit::config::Gateway;
use crate::kit::daemon::Daemon;
use crate::kit::h2::H2Client;
use crate::kit::papers::Papers;
use crate::kit::process::memory;
use crate::kit::script::{Step, chunk};
use crate::kit::upstream::Upstream;
use crate::kit::{DEADLINE, KEY_GLOBEX, MODEL, ports};

/// When a backend must have been left at the latest; `leaving` of the trials says how soon it is. All deadlines of
/// these cases that could be taken for it are longer.
const LEFT: Duration = Duration::from_secs(8);
/// Between two questions of the other client, and two looks at the process.
const TICK: Duration = Duration::from_millis(5);
/// Questions before the abuse begins: they fill pools and tables, and show how long an answer takes.
const WARMING: usize = 100;
/// Questions of the other client that must be answered before a case is over.
const ENOUGH: usize = 5;

/// How the abuse comes to the gateway.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Via {
    /// HTTP/2 by prior knowledge.
    Plain,
    /// HTTP/2 in TLS, agreed on by ALPN.
    Tls,
}

/// A gateway under abuse, and all that belongs to it.
pub struct Scene {
    pub daemon: Daemon,
    tunnel: Option<Tunnel>,
    /// Answers at once; alias `general`.
    pub quick: Upstream,
    /// Never answers; alias `silent`.
    pub silent: Upstream,
    /// Streams as long as somebody reads; alias `endless`.
    pub endless: Upstream,
    /// Streams until gate `go` is opened; alias `held`.
    pub held: Upstream,
    /// Answers at once, with 300 KB; alias `large`.
    pub large: Upstream,
    sent: Arc<AtomicU64>,
}

impl Scene {
    pub fn start(change: fn(Gateway) -> Gateway, via: Via) -> Self {
        let quick = Upstream::start(|seen| {
            if seen.wants_stream() { sse_answer(&["one", "two"]) } else { json_answer("quick") }
        });
        let silent = Upstream::always(vec![Step::Stall]);
        let endless = Upstream::start(|_| endless_stream());
        let held = Upstream::start(|_| held_stream());
        let large = Upstream::always(json_answer(&"x".repeat(300_000)));
        let gateway = Gateway::new()
            .h2c()
            .server("unknown_keys_per_minute", "1000000")
            .backend(&quick)
            .pool("silent", &[&silent])
            .pool("endless", &[&endless])
            .pool("held", &[&held])
            .pool("large", &[&large])
            .alias("silent", &[("silent", MODEL)])
            .alias("endless", &[("endless", MODEL)])
            .alias("held", &[("held", MODEL)])
            .alias("large", &[("large", MODEL)]);
        let (gateway, tunnel) = match via {
            Via::Plain => (gateway, None),
            Via::Tls => {
                let (papers, address) = (Papers::new(), ports::free());
                let tls = papers.listener("");
                let gateway = gateway.listen_also(&format!("{{ address: \"{address}\", tls: {tls} }}"));
                (gateway, Some((papers, address)))
            }
        };
        let daemon = change(gateway).start();
        let tunnel = tunnel.map(|(papers, address)| Tunnel::start(papers, address));
        Self { daemon, tunnel, quick, silent, endless, held, large, sent: Arc::default() }
    }

    /// Where the abuse goes.
    fn addr(&self) -> SocketAddr {
        self.tunnel.as_ref().map_or(self.daemon.addr(), Tunnel::addr)
    }

    /// A connection that has greeted.
    pub fn open(&self) -> Raw {
        self.open_with(&[])
    }

    /// A connection that has greeted with these settings.
    pub fn open_with(&self, settings: &[(u16, u32)]) -> Raw {
        Raw::open(self.addr(), &self.sent, settings)
    }

    /// A connection on which nothing was said.
    pub fn bare(&self) -> Raw {
        Raw::bare(self.addr(), &self.sent)
    }

    /// A connection whose answers nobody reads.
    pub fn deaf(&self, settings: &[(u16, u32)]) -> Raw {
        Raw::deaf(self.addr(), &self.sent).greet(settings)
    }

    /// A connection from another loopback address that has greeted, if it was made. Without TLS.
    pub fn from(&self, source: [u8; 4]) -> Option<Raw> {
        Raw::from(source, self.daemon.addr(), &self.sent).map(|raw| raw.greet(&[]))
    }

    /// Bytes that the attacker has sent.
    pub fn sent(&self) -> u64 {
        self.sent.load(Ordering::Relaxed)
    }

    /// Whether a good request on a new HTTP/2 connection is answered.
    pub fn good(&self) -> String {
        let answer = H2Client::connect(self.daemon.addr()).request(
            "POST",
            "/v1/chat/completions",
            &[("authorization", &format!("Bearer {KEY_GLOBEX}")), ("content-type", "application/json")],
            &[ask("general").as_bytes()],
        );
        answer.status.to_string()
    }

    /// Waits until no request is being served but those of the other client.
    pub fn quiet(&self, metric: &str) -> String {
        let since = Instant::now();
        while since.elapsed() < DEADLINE {
            if self.daemon.metric_sum(metric, &[("tenant", "acme")]) == 0.0 {
                return "none left".to_owned();
            }
            thread::sleep(TICK);
        }
        format!("{} left", self.daemon.metric_sum(metric, &[("tenant", "acme")]))
    }

    /// Answers some questions, so that what comes after is compared with a gateway at work. The slowest, too.
    pub fn warm(&self) -> Duration {
        for _ in 0..WARMING / 10 {
            assert_eq!(self.good(), "200");
        }
        let mut client = self.daemon.client();
        (0..WARMING).map(|_| timed(&mut client).expect("a gateway at rest answers")).max().unwrap_or_default()
    }
}

/// All backends of these requests were left in time.
pub fn all_left(upstream: &Upstream) -> String {
    let asked = upstream.requests().len();
    let since = Instant::now();
    let left = (0..asked)
        .filter(|request| upstream.wait_closed(*request, LEFT.saturating_sub(since.elapsed())))
        .count();
    if left == asked { "all left".to_owned() } else { format!("{left} of {asked} left") }
}

fn endless_stream() -> Vec<Step> {
    let events = sse_events(&["the same again and again"]);
    let mut steps = vec![sse_head()];
    steps.extend(events.first().map(chunk));
    if let Some(Step::Bytes(piece)) = events.get(1).map(chunk) {
        steps.push(Step::Repeat(piece, 1 << 20));
    }
    steps
}

fn held_stream() -> Vec<Step> {
    let events = sse_events(&["one", "two"]);
    let (first, rest) = events.split_at(2);
    let mut steps = vec![sse_head()];
    steps.extend(first.iter().map(chunk));
    steps.push(Step::Wait("go"));
    steps.extend(rest.iter().map(chunk));
    steps.push(crate::kit::script::last_chunk());
    steps
}

/// One question of the other client, and how long its answer took.
fn timed(client: &mut Client) -> Option<Duration> {
    let since = Instant::now();
    client.try_send(&crate::kit::client::chat_request(KEY_GLOBEX, &ask("general"))).ok()?;
    let answer = client.try_read().ok()?;
    (answer.status == 200).then(|| since.elapsed())
}

/// What the other client does when its connection is closed between two questions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Closed {
    /// Tells: nobody had a reason to.
    Told,
    /// Comes again, as any client does: seats are short, and whoever is idle may lose its own.
    ComesAgain,
}

/// Another tenant's client on a connection of its own, who asks again and again.
pub struct Other {
    stop: Arc<AtomicBool>,
    count: Arc<AtomicUsize>,
    thread: JoinHandle<(usize, Duration)>,
}

impl Other {
    pub fn start(scene: &Scene, closed: Closed) -> Self {
        let (stop, count) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let (over, served) = (Arc::clone(&stop), Arc::clone(&count));
        let (mut client, address) = (scene.daemon.client(), scene.daemon.addr());
        let thread = thread::spawn(move || {
            let (mut failed, mut slowest) = (0, Duration::ZERO);
            while !over.load(Ordering::Relaxed) {
                let mut time = timed(&mut client);
                if time.is_none() && closed == Closed::ComesAgain {
                    client = Client::connect(address);
                    time = timed(&mut client);
                }
                match time {
                    Some(time) => slowest = slowest.max(time),
                    None => {
                        failed += 1;
                        break;
                    }
                }
                served.fetch_add(1, Ordering::Relaxed);
                thread::sleep(TICK);
            }
            (failed, slowest)
        });
        Self { stop, count, thread }
    }

    /// How many were answered, how many not, and how long the slowest took.
    pub fn stop(self) -> (usize, usize, Duration) {
        let since = Instant::now();
        while self.count.load(Ordering::Relaxed) < ENOUGH && since.elapsed() < DEADLINE {
            thread::sleep(TICK);
        }
        self.stop.store(true, Ordering::Relaxed);
        let (failed, slowest) = self.thread.join().unwrap_or((1, Duration::ZERO));
        (self.count.load(Ordering::Relaxed), failed, slowest)
    }
}

/// The most memory that a process had, watched from outside.
pub struct Watch {
    pid: u32,
    stop: Arc<AtomicBool>,
    thread: JoinHandle<u64>,
    before: u64,
    cpu: Duration,
}

impl Watch {
    pub fn start(pid: u32) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let over = Arc::clone(&stop);
        let before = resident(pid);
        let thread = thread::spawn(move || {
            let mut most = before;
            while !over.load(Ordering::Relaxed) {
                most = most.max(resident(pid));
                thread::sleep(TICK);
            }
            most.max(resident(pid))
        });
        Self { pid, stop, thread, before, cpu: processor(pid) }
    }

    /// How much memory was added at most, KiB, and how long the processor worked.
    pub fn stop(self) -> (u64, Duration) {
        self.stop.store(true, Ordering::Relaxed);
        let most = self.thread.join().unwrap_or(u64::MAX);
        (most.saturating_sub(self.before), processor(self.pid).saturating_sub(self.cpu))
    }
}

/// Memory in use, KiB; 0 when the process is gone.
fn resident(pid: u32) -> u64 {
    memory(pid) as u64 / 1024
}

/// Processor time; the kernel counts hundredths of a second for everybody.
fn processor(pid: u32) -> Duration {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let after_name = stat.rsplit(')').next().unwrap_or_default();
    let ticks: u64 =
        after_name.split_whitespace().skip(11).take(2).filter_map(|n| n.parse::<u64>().ok()).sum();
    Duration::from_millis(ticks * 10)
}
