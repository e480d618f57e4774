//! What the fuzzer starts from, replayed.

use crate::law;

#[test]
fn every_seed_of_the_fuzzer_obeys_the_law() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fuzz/seeds/sse");
    let mut seen = 0;
    for entry in std::fs::read_dir(folder).expect("the seeds are there") {
        let path = entry.expect("the folder can be read").path();
        law::holds(&std::fs::read(&path).expect("the seed can be read"));
        seen += 1;
    }
    assert!(seen > 20);
}
