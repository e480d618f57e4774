//! Stopping: TERM lets running requests end and leaves with the last of them; INT leaves now.
//!
//! Pingora sleeps its whole grace period after TERM, whether anything runs or not. So a thread of ours
//! watches the requests and ends the process as soon as there is none.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use pingora_core::server::{ShutdownSignal, ShutdownSignalWatch};
use tokio::signal::unix::{SignalKind, signal};

use super::keeper::Keeper;
use crate::metrics::Metrics;
use crate::proxy::access_log::AccessLog;

/// How often the watching thread looks.
const LOOK: Duration = Duration::from_millis(10);
/// How long the last lines of the access log may take.
const LAST_LINES: Duration = Duration::from_secs(1);

const STARTING: u8 = 0;
const READY: u8 = 1;
const STOPPING: u8 = 2;

/// Where the daemon is in its life. Clones share it.
#[derive(Clone, Default)]
pub struct Running(Arc<AtomicU8>);

impl Running {
    /// The listeners accept.
    pub fn ready(&self) {
        // A daemon that is stopping does not become ready again.
        let _ = self.0.compare_exchange(STARTING, READY, Ordering::AcqRel, Ordering::Acquire);
    }

    /// Whether new requests are welcome.
    pub fn is_ready(&self) -> bool {
        self.0.load(Ordering::Acquire) == READY
    }

    fn stop(&self) {
        self.0.store(STOPPING, Ordering::Release);
    }
}

/// Waits for the signals that end the daemon.
pub struct Signals {
    pub running: Running,
    pub metrics: Arc<Metrics>,
    pub last: LastWords,
    pub drain: Duration,
}

/// What has to be written before the process ends.
#[derive(Clone)]
pub struct LastWords {
    pub log: AccessLog,
    /// What was used of budgets, if it is kept here.
    pub keeper: Option<Arc<Keeper>>,
}

impl LastWords {
    fn write(&self) {
        if let Some(keeper) = &self.keeper {
            keeper.flush();
        }
        self.log.flush(LAST_LINES);
    }
}

#[async_trait]
impl ShutdownSignalWatch for Signals {
    async fn recv(&self) -> ShutdownSignal {
        let (Ok(mut term), Ok(mut int), Ok(mut quit)) =
            (signal(SignalKind::terminate()), signal(SignalKind::interrupt()), signal(SignalKind::quit()))
        else {
            log::error!("signals cannot be handled; stop the daemon with KILL");
            return std::future::pending().await;
        };
        let (name, graceful) = tokio::select! {
            _ = term.recv() => ("TERM", true),
            _ = quit.recv() => ("QUIT", true),
            _ = int.recv() => ("INT", false),
        };
        self.running.stop();
        if !graceful {
            log::info!("{name}: stopping now");
            self.last.write();
            return ShutdownSignal::FastShutdown;
        }
        log::info!("{name}: stopping when {} running requests have ended", self.metrics.serving.get());
        let (metrics, end) = (self.metrics.clone(), Instant::now() + self.drain);
        let (watching, last) = (self.last.clone(), self.last.clone());
        std::thread::spawn(move || leave_with_the_last(&metrics, &watching, end));
        tokio::spawn(async move {
            // A second signal means now.
            tokio::select! {
                _ = term.recv() => {}
                _ = int.recv() => {}
            }
            last.write();
            std::process::exit(0);
        });
        ShutdownSignal::GracefulTerminate
    }
}

fn leave_with_the_last(metrics: &Metrics, last: &LastWords, end: Instant) {
    // Requests whose head was just read count from their first hook on.
    std::thread::sleep(LOOK);
    while metrics.serving.get() > 0 && Instant::now() < end {
        std::thread::sleep(LOOK);
    }
    let left = metrics.serving.get();
    if left > 0 {
        log::warn!("the time to drain is over: {left} requests are cut");
    }
    last.write();
    std::process::exit(0);
}
