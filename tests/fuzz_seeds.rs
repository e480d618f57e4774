//! The fuzzers' seeds, replayed: what a fuzz target asserts has to hold for them on every build.

#![expect(clippy::expect_used, clippy::panic, reason = "a test stops at the first surprise")]

use std::path::Path;

#[path = "fuzz/laws/request.rs"]
mod request;
#[path = "fuzz/laws/splice.rs"]
mod splice;

/// Calls `law` with every seed of a target and returns how many there were.
fn replay(target: &str, law: fn(&[u8])) -> usize {
    let seeds = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz/seeds").join(target);
    let files = std::fs::read_dir(&seeds).expect("the target has seeds");
    files.map(|file| law(&std::fs::read(file.expect("a seed").path()).expect("which can be read"))).count()
}

#[test]
fn every_request_seed_is_read_in_one_way() {
    assert!(replay("request", request::holds) >= 12);
}

#[test]
fn every_splice_seed_keeps_its_meaning() {
    assert!(replay("splice", splice::holds) >= 12);
}
