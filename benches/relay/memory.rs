//! What an open stream weighs: resident memory of a fresh gateway before and with many streams.
//!
//! Every stream has had several chunks before the second look, so that its buffers exist.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use crate::answer::Expect;
use crate::args::Options;
use crate::fleet::{Fleet, Process, Target};
use crate::host::{self, Cores};
use crate::load::{Client, Tally};
use crate::scenarios;

/// How many streams are held open at once.
pub const STREAMS: u64 = 1000;
/// Chunks per stream before memory is read; they come a second apart.
const CHUNKS: u64 = 3;
const PATIENCE: Duration = Duration::from_secs(30);

pub struct Weight {
    pub target: Target,
    /// Resident memory after one stream, in KB.
    pub before_kb: u64,
    /// Resident memory with all of them, in KB.
    pub after_kb: u64,
    /// Chunks that had not come when patience ended.
    pub missing_chunks: u64,
}

impl Weight {
    pub fn kb_per_stream(&self) -> f64 {
        self.after_kb.saturating_sub(self.before_kb) as f64 / STREAMS as f64
    }
}

/// One measurement per gateway, if it was asked for.
pub fn all(options: &Options, cores: &Cores, fleet: &Fleet) -> Vec<Weight> {
    if !options.wants("memory") {
        return Vec::new();
    }
    let fresh = |target| fleet.fresh(target, cores).map(|process| weigh(target, &process));
    [Target::Bare, Target::Byname].into_iter().filter_map(fresh).collect()
}

fn weigh(target: Target, process: &Process) -> Weight {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let one = hold(process.address, 1);
        let missing = wait_for(&one.tally, CHUNKS).await;
        let before_kb = host::resident_kb(process.pid());
        let many = hold(process.address, STREAMS);
        let missing_chunks = missing + wait_for(&many.tally, CHUNKS * STREAMS).await;
        Weight { target, before_kb, after_kb: host::resident_kb(process.pid()), missing_chunks }
    })
}

struct Held {
    tally: Arc<Tally>,
    /// Dropping it ends the streams.
    _streams: JoinSet<()>,
}

fn hold(address: SocketAddr, count: u64) -> Held {
    let tally = Arc::new(Tally::default());
    let request: Arc<[u8]> = scenarios::held_stream().into();
    let mut streams = JoinSet::new();
    for _ in 0..count {
        let expect = Expect::Stream { chunks: u64::MAX };
        let mut client = Client::new(address, Arc::clone(&request), expect, Arc::clone(&tally));
        // It ends with an error at the latest when the run does.
        streams.spawn(async move { drop(client.ask().await) });
    }
    Held { tally, _streams: streams }
}

/// Waits for that many chunks, and says how many are missing when patience ends.
async fn wait_for(tally: &Tally, chunks: u64) -> u64 {
    let patience = Instant::now() + PATIENCE;
    loop {
        let missing = chunks.saturating_sub(tally.chunks.load(Relaxed));
        if missing == 0 || Instant::now() > patience {
            return missing;
        }
        sleep(Duration::from_millis(50)).await;
    }
}
