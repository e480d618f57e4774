//! Any bytes as a stream, cut anywhere. What must hold stands in `laws/sse.rs`.
#![no_main]

#[path = "../laws/sse.rs"]
mod law;
#[path = "../../sse_law/strict.rs"]
mod strict;

libfuzzer_sys::fuzz_target!(|input: &[u8]| law::holds(input));
