//! The daemon's entrance: arguments in, exit code out.

use std::process::ExitCode;

// Pingora's buffers stay resident with other allocators; jemalloc keeps an open stream small.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    // Before anything else: the usual action on SIGHUP is to kill.
    if let Err(why) = byname::daemon::signals::survive_hangup() {
        eprintln!("SIGHUP cannot be handled: {why}");
    }
    byname::daemon::run(byname::daemon::cli::parse())
}
