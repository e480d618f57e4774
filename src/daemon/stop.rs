//! Leaving: TERM lets running requests end and leaves with the last of them; INT leaves now; a process that
//! has handed over leaves when nobody comes to it any more.
//!
//! Pingora sleeps its whole grace period after a signal, whether anything runs or not. So a thread of ours
//! watches the requests and ends the process as soon as there is none.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Once};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use pingora_core::server::{ShutdownSignal, ShutdownSignalWatch};
use tokio::sync::watch;

use super::keeper::Keeper;
use super::log::Logs;
use super::run_dir::RunDir;
use super::sockets::Sockets;
use super::{handover, notify};
use crate::config::live::Live;
use crate::config::snapshot::Snapshot;
use crate::metrics::Metrics;
use crate::proxy::Gateway;
use crate::proxy::door::seats::Seats;
use crate::proxy::life::{Life, Stage};

/// How often the watching thread looks.
const LOOK: Duration = Duration::from_millis(10);
/// How long connections are still accepted that were made before the word came: they are answered with 503,
/// where closing the listener would reset them.
const QUEUED: Duration = Duration::from_millis(50);
/// How much longer, at most, while somebody still waits to be accepted: a busy machine takes its time.
const BUSY: Duration = Duration::from_millis(250);
/// How long requests that are cut may take to be told.
const LAST_WORDS: Duration = Duration::from_secs(2);
/// How long HTTP/2 connections may take to be closed in order when no request runs any more: what of an answer is not
/// yet written is, and the last GOAWAY follows when the client has answered the first (RFC 9113, 6.8). With it, an
/// idle daemon is gone in less than a second. What HTTP/1.1 has written is the kernel's.
const FAREWELL: Duration = Duration::from_millis(800);

/// Who accepts connections when we no longer do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Next {
    Nobody,
    /// The process that has our sockets, too.
    Another,
}

/// All that leaving takes. One for the process.
pub struct Leaving {
    pub life: Arc<Life>,
    pub live: Arc<Live<Snapshot>>,
    pub metrics: Arc<Metrics>,
    pub logs: Logs,
    /// The connections of clients.
    pub seats: Arc<Seats>,
    /// What was used of budgets, if it is kept here.
    pub keeper: Option<Arc<Keeper>>,
    pub sockets: Sockets,
    pub run_dir: Option<RunDir>,
    told: watch::Sender<bool>,
    /// Whether another process has our sockets and our counts. The operator's pages wait for it: it has theirs, too.
    handed_over: watch::Sender<bool>,
    owns_run_dir: AtomicBool,
    last_words: Once,
}

impl Leaving {
    /// For a process that nobody has told to leave.
    pub fn new(
        gateway: Gateway,
        logs: Logs,
        keeper: Option<Arc<Keeper>>,
        sockets: Sockets,
        run_dir: Option<RunDir>,
        handed_over: watch::Sender<bool>,
    ) -> Self {
        let Gateway { life, live, metrics, seats, .. } = gateway;
        Self {
            life,
            live,
            metrics,
            logs,
            seats,
            keeper,
            sockets,
            run_dir,
            told: watch::Sender::new(false),
            handed_over,
            owns_run_dir: AtomicBool::new(false),
            last_words: Once::new(),
        }
    }

    /// What Pingora waits for.
    pub fn watch(&self) -> Told {
        Told(self.told.subscribe())
    }

    /// TERM. Stops accepting, and leaves with the last running request; asked a second time, leaves now.
    pub fn stop(self: &Arc<Self>) {
        let before = self.life.stage();
        if before == Stage::Starting || !self.life.go_on(Stage::Stopping) {
            self.now("TERM");
        }
        let running = self.metrics.serving.get();
        log::info!("TERM: stopping when {running} running requests have ended");
        if before != Stage::HandedOver {
            notify::stopping(&format!("stopping when {running} running requests have ended"));
            self.forget_run_dir();
        }
        let next = if before == Stage::HandedOver { Next::Another } else { Next::Nobody };
        self.leave(next, |this| this.metrics.serving.get() == 0);
    }

    /// Another process serves in our place. What comes on our connections is still answered. `false` when we
    /// are to stop: then nobody takes our place.
    pub fn handed_over(self: &Arc<Self>, successor: u32) -> bool {
        if !self.life.go_on(Stage::HandedOver) {
            return false;
        }
        self.handed_over.send_replace(true);
        self.metrics.upgrades.taken.inc();
        log::info!("process {successor} serves from now on; leaving when our connections have ended");
        notify::successor(successor);
        // Those that are kept have their next request answered, and are told that it was the last.
        self.leave(Next::Another, |this| this.seats.count() == 0);
        true
    }

    /// We were to take over and do not: what we have accepted meanwhile is still answered.
    pub fn give_up(self: &Arc<Self>) {
        if self.life.go_on(Stage::Stopping) {
            self.leave(Next::Another, |this| this.metrics.serving.get() == 0);
        }
    }

    /// The files in the run directory are ours from now on.
    pub fn has_run_dir(&self) {
        self.owns_run_dir.store(true, Ordering::Release);
    }

    /// INT: ends the process.
    pub fn now(&self, why: &str) -> ! {
        log::info!("{why}: stopping now, {} running requests are cut", self.metrics.serving.get());
        if self.life.stage() < Stage::HandedOver {
            notify::stopping("stopping now");
            self.forget_run_dir();
        }
        self.last_words();
        std::process::exit(0)
    }

    fn leave(self: &Arc<Self>, next: Next, is_over: impl Fn(&Self) -> bool + Send + 'static) {
        let end = Instant::now() + self.live.load().drain;
        self.life.end_at(end);
        let this = self.clone();
        std::thread::spawn(move || {
            if next == Next::Nobody {
                std::thread::sleep(QUEUED);
                this.sockets.let_in(BUSY);
            }
            this.sockets.close();
            this.told.send_replace(true);
            // Requests whose head was just read count from their first hook on.
            std::thread::sleep(LOOK);
            while !is_over(&this) && Instant::now() < end {
                std::thread::sleep(LOOK);
            }
            let left = this.metrics.serving.get();
            if left > 0 {
                log::warn!("the time to drain is over: {left} requests are cut");
            }
            while this.metrics.serving.get() > 0 && Instant::now() < end + LAST_WORDS {
                std::thread::sleep(LOOK);
            }
            let close = Instant::now() + FAREWELL;
            while this.seats.farewells() > 0 && Instant::now() < close {
                std::thread::sleep(LOOK);
            }
            this.last_words();
            std::process::exit(0);
        });
    }

    /// Before it has its own files there, those of the process before it are not its to remove.
    fn forget_run_dir(&self) {
        if let Some(run_dir) = self.run_dir.as_ref().filter(|_| self.owns_run_dir.load(Ordering::Acquire)) {
            run_dir.clear();
        }
    }

    /// Writes what has to be written before the process ends, once: several may find at the same moment that it is
    /// over, and what is settled twice is charged twice.
    fn last_words(&self) {
        self.last_words.call_once(|| self.settle());
    }

    fn settle(&self) {
        let handed_over = *self.handed_over.borrow();
        match (&self.keeper, handed_over, &self.run_dir) {
            (Some(keeper), false, _) => keeper.close(),
            (Some(keeper), true, Some(run_dir)) => {
                if let Err(why) = handover::settle(run_dir, &keeper.owed()) {
                    log::error!("what was used since the hand-over is lost: {why}");
                }
            }
            (Some(_), true, None) | (None, _, _) => {}
        }
        super::tracing::flush(&self.live.load());
        log::info!("stopped");
        self.logs.flush();
    }
}

/// Tells Pingora when to stop accepting.
pub struct Told(watch::Receiver<bool>);

#[async_trait]
impl ShutdownSignalWatch for Told {
    async fn recv(&self) -> ShutdownSignal {
        let mut told = self.0.clone();
        if told.wait_for(|told| *told).await.is_err() {
            // Whoever could tell us is gone, and so is the process, in a moment.
            return std::future::pending().await;
        }
        ShutdownSignal::GracefulTerminate
    }
}
