//! A million requests of fifty tenants over shared connections to three backends that also answer twice, too late,
//! too much or not to the end; three clients in ten leave at a random byte, and the configuration is read anew every
//! second. Each request has a nonce that its answer repeats: nobody may ever read another one's.

pub mod crowd;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::thread;
use std::time::{Duration, Instant};

use tokio::runtime::{Builder, Handle};

use crate::gateway::{Gateway, backends};
use crate::goals::Goals;
use crate::upstream;
use crowd::Seen;

const REQUESTS: usize = 1_000_000;
/// Threads with clients, and how many connections each of them has.
const THREADS: usize = 2;
const CONNECTIONS: usize = 48;

pub fn run(upstreams: &Handle, goals: &mut Goals) {
    let heard = Arc::<crowd::Heard>::default();
    let addresses = [(); 3].map(|()| {
        let heard = Arc::clone(&heard);
        upstream::start(upstreams, move |connection| crowd::serve(connection.stream, Arc::clone(&heard)))
    });
    let pools = crowd::pools(&backends(&addresses));
    let gateway = Gateway::with("", &pools, &crowd::tenants());
    let (next, over) = (AtomicUsize::new(0), AtomicBool::new(false));
    let began = Instant::now();
    let mut seen = Seen::default();
    let reloads = thread::scope(|scope| {
        let reloading = scope.spawn(|| {
            let mut reloads = 0;
            while !over.load(Relaxed) {
                thread::sleep(Duration::from_secs(1));
                gateway.hang_up();
                reloads += 1;
            }
            reloads
        });
        let clients: Vec<_> = (0..THREADS)
            .map(|_| {
                scope.spawn(|| {
                    let runtime = Builder::new_current_thread().enable_all().build().unwrap();
                    runtime.block_on(crowd::visit(gateway.address, &next, REQUESTS, CONNECTIONS))
                })
            })
            .collect();
        clients.into_iter().for_each(|one| seen.add(one.join().unwrap()));
        over.store(true, Relaxed);
        reloading.join().unwrap()
    });
    println!(
        "\nnonce: {REQUESTS} requests of {} tenants in {:.0} s, {reloads} reloads, {} connections to backends\n\n{seen}",
        crowd::TENANTS,
        began.elapsed().as_secs_f64(),
        heard.connections.load(Relaxed),
    );
    let found = |all: &Vec<String>| (format!("{}", all.len()), all.is_empty());
    let (foreign, none) = found(&seen.foreign);
    goals.enter("nonce: no answer with another tenant's nonce", foreign, none);
    let (mixed, none) = found(&seen.mixed);
    goals.enter("nonce: nor with that of another request of the same tenant", mixed, none);
    let crossed = heard.crossed.load(Relaxed);
    goals.enter("nonce: no request at another tenant's model", format!("{crossed}"), crossed == 0);
    goals.enter("nonce: every request is accounted for", format!("{}", seen.all()), seen.all() == REQUESTS);
    let (broken, none) = found(&seen.broken);
    goals.enter("nonce: no answer that breaks off without being told so", broken, none);
}
