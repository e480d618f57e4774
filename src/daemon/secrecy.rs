//! Keeps what is in memory there: keys, prompts and answers.

use rustix::process::{DumpableBehavior, Resource, Rlimit, set_dumpable_behavior, setrlimit};

/// Turns core dumps off, and with them what other processes of the same user may see of ours (`ptrace(2)`,
/// `/proc/PID/mem`). Both are asked for, since a dump that goes to a program ignores the limit (`core(5)`).
pub fn no_dumps() {
    let none = Rlimit { current: Some(0), maximum: Some(0) };
    let limited = setrlimit(Resource::Core, none);
    let hidden = set_dumpable_behavior(DumpableBehavior::NotDumpable);
    for failed in [limited.err(), hidden.err()].into_iter().flatten() {
        // Less secret than it could be, and no reason not to serve.
        eprintln!("warning: core dumps could not be turned off: {failed}");
    }
}
