//! What happens when backends fail, are slow or hang up, when clients leave, and when one floods: the promises
//! of "Who answers" and of limits at full size.
//!
//!     cargo bench --bench trials [-- [--strict] [outage|slow|stale|leaving|flood|many|nonce|lanes]…]
//!
//! Promises: the gateway is the real binary in a process of its own; backends are scripted here and say
//! exactly what they saw; load comes by the clock, whatever the gateway does; all stays on loopback.
//! Prints every goal as met or missed, and fails for one that was missed only with `--strict`.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a bench that cannot go on should stop"
)]

mod gateway;
mod goals;
mod http;
mod lanes;
mod leaving;
mod limits;
mod load;
mod nonce;
mod outage;
mod slow;
mod stale;
mod upstream;

use std::process::ExitCode;

use nix::sys::resource::{Resource, getrlimit, setrlimit};

use goals::Goals;

const USAGE: &str =
    "cargo bench --bench trials [-- [--strict] [outage|slow|stale|leaving|flood|many|nonce|lanes]...]
  --strict   end with 1 when a goal is missed
The gateway is the `byname` built with the bench; BYNAME_BIN=path names another.";

const TRIALS: [&str; 8] = ["outage", "slow", "stale", "leaving", "flood", "many", "nonce", "lanes"];

/// How much is tried.
#[derive(Clone, Copy, PartialEq)]
pub enum Size {
    Full,
    /// Just enough to see that it runs.
    Brief,
}

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let strict = words.iter().any(|word| word == "--strict");
    // Cargo passes `--bench` when it benches. Without any word it is testing, and one look is enough.
    let size = if words.is_empty() { Size::Brief } else { Size::Full };
    let named: Vec<&str> = words.iter().map(String::as_str).filter(|word| !word.starts_with("--")).collect();
    let known =
        |word: &&String| TRIALS.contains(&word.as_str()) || ["--strict", "--bench"].contains(&word.as_str());
    if let Some(unknown) = words.iter().find(|word| !known(word)) {
        eprintln!("what is `{unknown}`?\n\n{USAGE}");
        return ExitCode::from(64);
    }
    let wanted = |trial: &str| match (size, named.is_empty()) {
        (Size::Brief, _) => trial == "stale",
        (Size::Full, true) => true,
        (Size::Full, false) => named.contains(&trial),
    };
    raise_file_limit();
    let upstreams = upstream::runtime();
    let clients = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let mut goals = Goals::default();
    clients.block_on(async {
        if wanted("outage") {
            outage::run(&upstreams, &mut goals).await;
        }
        if wanted("slow") {
            slow::run(&upstreams, &mut goals).await;
        }
        if wanted("stale") {
            stale::run(&upstreams, &mut goals, size).await;
        }
        if wanted("leaving") {
            leaving::run(&upstreams, &mut goals).await;
        }
        if wanted("flood") {
            limits::flood::run(&upstreams, &mut goals).await;
        }
        if wanted("many") {
            limits::many::run(&upstreams, &mut goals).await;
        }
        if wanted("lanes") {
            lanes::run(&upstreams, &mut goals).await;
        }
    });
    if wanted("nonce") {
        nonce::run(&upstreams, &mut goals);
    }
    println!("{goals}");
    if strict && goals.missed() { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

/// The soft limit is often 1,024, and children inherit it.
fn raise_file_limit() {
    if let Ok((_, hard)) = getrlimit(Resource::RLIMIT_NOFILE) {
        let _ = setrlimit(Resource::RLIMIT_NOFILE, hard.min(65_536), hard);
    }
}
