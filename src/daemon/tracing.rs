//! Traces on their way to a collector: a bounded queue, and a task that posts batches. A collector that is slow or
//! gone costs traces, counted, and never a request.

mod otlp;
mod post;

use std::sync::{Arc, mpsc as once};
use std::time::Duration;

use prometheus::IntCounter;
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout_at};

use self::post::Collecting;
use super::fleet::Fleet;
use super::secrets::secret;
use crate::config::place::{Fault, Way};
use crate::config::plan::{Passing, Plan, TracingPlan};
use crate::config::snapshot::Snapshot;
use crate::metrics::{Metrics, TraceMetrics};
use crate::rules::trace::{Collector, Share, Trace, Tracing};

/// Traces that wait; at some 2 KiB a trace. More are dropped.
const MAX_WAITING: usize = 2048;
/// Traces in one post. Collectors take a few MiB.
const MAX_BATCH: usize = 256;
/// How long traces gather before they are posted.
const GATHER: Duration = Duration::from_secs(1);
/// How long after a failure the same batch is posted once more.
const AGAIN: Duration = Duration::from_secs(1);
/// How long the last traces may take when the process ends.
const LAST_TRACES: Duration = Duration::from_secs(1);

/// What reaches the task.
#[derive(Debug)]
enum Word {
    Trace(Trace),
    /// Posts what there is and then says so.
    Hurry(once::SyncSender<()>),
}

/// The end of the queue that requests see.
#[derive(Debug)]
struct Queue {
    waiting: mpsc::Sender<Word>,
    dropped: IntCounter,
}

impl Collector for Queue {
    fn take(&self, trace: Trace) {
        if self.waiting.try_send(Word::Trace(trace)).is_err() {
            self.dropped.inc();
        }
    }

    fn hurry(&self) {
        let (done, wait) = once::sync_channel(1);
        if self.waiting.try_send(Word::Hurry(done)).is_ok() {
            // Whatever comes of it, the process ends.
            let _ = wait.recv_timeout(LAST_TRACES);
        }
    }
}

/// The other end, which posts. Ends when no request can give it another trace.
pub struct Posting {
    waiting: mpsc::Receiver<Word>,
    to: Collecting,
    counted: TraceMetrics,
}

/// Both ends for a plan, its secrets read; what is wrong with them goes to `faults`.
pub fn prepare(
    plan: &TracingPlan,
    metrics: &Metrics,
    faults: &mut Vec<Fault>,
) -> Option<(Arc<dyn Collector>, Posting)> {
    let before = faults.len();
    let mut headers = Vec::new();
    for (name, value) in &plan.headers {
        let way = || Way::to("tracing").field("headers").field(name);
        match secret(value) {
            Ok(value) => match post::header(name, &value) {
                Some(header) => headers.push(header),
                None => faults.push(Fault::obstacle(
                    way(),
                    "has bytes that cannot stand in a header",
                    "put the plain value there",
                )),
            },
            Err(unread) => faults.push(unread.at(way())),
        }
    }
    let to = match Collecting::new(plan, headers) {
        Some(to) if faults.len() == before => to,
        Some(_) => return None,
        None => {
            let way = Way::to("tracing").field("endpoint");
            faults.push(Fault::obstacle(way, "cannot stand in a request", "see to what is written here"));
            return None;
        }
    };
    let (sender, waiting) = mpsc::channel(MAX_WAITING);
    let counted = metrics.traces.clone();
    let queue = Queue { waiting: sender, dropped: counted.dropped.clone() };
    Some((Arc::new(queue), Posting { waiting, to, counted }))
}

/// What requests go by. Without a collector it is there only where some pool passes contexts on.
pub fn of(plan: &Plan, ends: Option<(Arc<dyn Collector>, Posting)>) -> (Option<Tracing>, Option<Posting>) {
    let (collector, posting) = ends.unzip();
    let passes = plan.pools.iter().any(|pool| pool.passing == Passing::Passed);
    let share = plan.tracing.as_ref().map_or(Share::NONE, |of| Share::percent(of.sample));
    let wanted = passes || collector.is_some();
    (wanted.then_some(Tracing { share, collector }), posting)
}

/// Posts the last traces before the process ends, and not for long.
pub fn flush(snapshot: &Snapshot) {
    if let Some(collector) = snapshot.tracing.as_ref().and_then(|tracing| tracing.collector.as_ref()) {
        collector.hurry();
    }
}

/// What is posted together.
#[derive(Default)]
struct Batch {
    traces: Vec<Trace>,
    hurried: Option<once::SyncSender<()>>,
}

impl Batch {
    fn add(&mut self, word: Word) {
        match word {
            Word::Trace(trace) => self.traces.push(trace),
            Word::Hurry(done) => self.hurried = Some(done),
        }
    }

    fn is_due(&self) -> bool {
        self.hurried.is_some() || self.traces.len() >= MAX_BATCH
    }
}

impl Posting {
    /// Posts batches until nobody can give it another trace.
    pub async fn run(mut self, fleet: Arc<Fleet>) {
        while let Some(first) = self.waiting.recv().await {
            let (mut batch, due) = (Batch::default(), Instant::now() + GATHER);
            batch.add(first);
            while !batch.is_due()
                && let Ok(Some(word)) = timeout_at(due, self.waiting.recv()).await
            {
                batch.add(word);
            }
            self.post(&fleet, &batch.traces).await;
            if let Some(done) = batch.hurried {
                // Nobody waits any more if this fails.
                let _ = done.try_send(());
            }
        }
    }

    async fn post(&self, fleet: &Fleet, traces: &[Trace]) {
        if traces.is_empty() {
            return;
        }
        let body = otlp::encoded(traces);
        let mut posted = self.to.post(fleet, body.clone()).await;
        if posted.is_err() {
            tokio::time::sleep(AGAIN).await;
            posted = self.to.post(fleet, body).await;
        }
        let count = traces.len() as u64;
        match posted {
            Ok(()) => self.counted.sent.inc_by(count),
            Err(why) => {
                self.counted.failed.inc_by(count);
                log::warn!("{count} traces are lost: the collector at {}: {why}", self.to.name());
            }
        }
    }
}
