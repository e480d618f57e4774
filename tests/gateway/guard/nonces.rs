//! Whose words come back: fifty tenants, shared connections to backends that answer twice, too late or too much,
//! clients that leave at any byte, and a reload each second. `NONCES=1000000` makes it as large as the trial.

#[path = "../../../benches/trials/nonce/crowd.rs"]
pub mod crowd;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::thread;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::runtime::Builder;

use self::crowd::{Heard, Seen};
use crate::kit::background::runtime;
use crate::kit::config::Gateway;

const CONNECTIONS: usize = 64;

/// What such a crowd saw, and what its backends heard.
pub struct Outcome {
    pub requests: usize,
    pub seen: Seen,
    pub crossed: usize,
    pub reloads: f64,
}

/// Lets the crowd in.
pub fn run() -> Outcome {
    let requests = std::env::var("NONCES").ok().and_then(|number| number.parse().ok()).unwrap_or(20_000);
    let heard = Arc::<Heard>::default();
    let backends: Vec<_> = (0..3).map(|_| format!("{{ url: \"{}\" }}", backend(&heard))).collect();
    let text = format!(
        "server: {{ listen: \"{{listen}}\", admin: \"{{admin}}\" }}\npools: {}\n{}",
        crowd::pools(&format!("[ {} ]", backends.join(", "))),
        crowd::tenants()
    );
    let daemon = Gateway::new().config_text(&text).start();
    let next = AtomicUsize::new(0);
    let seen = thread::scope(|scope| {
        let clients = scope.spawn(|| {
            let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime");
            runtime.block_on(crowd::visit(daemon.addr(), &next, requests, CONNECTIONS))
        });
        while !clients.is_finished() {
            daemon.signal("HUP");
            thread::sleep(Duration::from_secs(1));
        }
        clients.join().expect("no client panics")
    });
    let reloads = daemon.metric_sum("byname_config_reloads_total", &[("outcome", "ok")]);
    Outcome { requests, seen, crossed: heard.crossed.load(Relaxed), reloads }
}

fn backend(heard: &Arc<Heard>) -> String {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a loopback port");
    listener.set_nonblocking(true).expect("a socket option");
    let address = listener.local_addr().expect("a bound socket has an address");
    let heard = Arc::clone(heard);
    // It ends with the test's process.
    runtime().spawn(async move {
        let listener = TcpListener::from_std(listener).expect("a listener");
        while let Ok((stream, _)) = listener.accept().await {
            let _ = stream.set_nodelay(true);
            tokio::spawn(crowd::serve(stream, Arc::clone(&heard)));
        }
    });
    format!("http://{address}/v1")
}
