//! Any accepted body, rewritten for a backing model. What must hold stands in `laws/splice.rs`.
#![no_main]

#[path = "../laws/splice.rs"]
mod law;

libfuzzer_sys::fuzz_target!(|body: &[u8]| law::holds(body));
