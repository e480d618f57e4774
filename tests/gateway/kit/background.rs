//! One thread that drives the parts of the kit that cannot block: TLS and HTTP/2 backends.

use std::sync::LazyLock;
use std::thread;

use tokio::runtime::{Builder, Handle};

static RUNTIME: LazyLock<Handle> = LazyLock::new(|| {
    let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime");
    let handle = runtime.handle().clone();
    thread::spawn(move || runtime.block_on(std::future::pending::<()>()));
    handle
});

/// Where such work is spawned. It runs until the process ends, or until it is aborted.
pub fn runtime() -> &'static Handle {
    &RUNTIME
}
