//! The daemon's entrance: arguments in, exit code out.

use std::process::ExitCode;

// Pingora's buffers stay resident with other allocators; jemalloc keeps an open stream small.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    byname::daemon::run(byname::daemon::cli::parse())
}
