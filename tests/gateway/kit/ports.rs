//! Free loopback ports for processes that must be told theirs beforehand.
//!
//! They lie below the range from which the kernel takes the ports of clients, so nobody gets one by accident
//! between our look and the process's bind.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::atomic::{AtomicU32, Ordering};

const FIRST: u32 = 10_000;
const COUNT: u32 = 22_000;
static NEXT: AtomicU32 = AtomicU32::new(0);

/// A port that nobody listens on now and that this process has not given out before.
pub fn free() -> SocketAddr {
    // Two test binaries at once start far apart.
    let start = std::process::id().wrapping_mul(97);
    for _ in 0..COUNT {
        let step = NEXT.fetch_add(1, Ordering::Relaxed);
        let port = FIRST + start.wrapping_add(step) % COUNT;
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, u16::try_from(port).expect("below 65536")));
        if TcpListener::bind(address).is_ok() {
            return address;
        }
    }
    panic!("no free port between {FIRST} and {}", FIRST + COUNT);
}
