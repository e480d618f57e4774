//! Any bytes as a request body. What must hold stands in `laws/request.rs`.
#![no_main]

#[path = "../laws/request.rs"]
mod law;

libfuzzer_sys::fuzz_target!(|body: &[u8]| law::holds(body));
