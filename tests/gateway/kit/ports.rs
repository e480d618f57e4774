//! Free loopback ports for processes that must be told theirs beforehand.
//!
//! They lie below the range from which the kernel takes the ports of clients, so nobody gets one by accident
//! between our look and the process's bind. Another test binary does not get it either: each listens on the first
//! port of a block for as long as it lives, and gives out none but those that follow.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::Mutex;

const FIRST: u16 = 10_000;
const BLOCKS: u16 = 88;
/// How many ports a block has, its first included.
const SIZE: u16 = 250;

/// The blocks of this process: what holds them, and the next port of the last one.
static OURS: Mutex<(Vec<TcpListener>, u16)> = Mutex::new((Vec::new(), FIRST));

/// A port that nobody listens on now and that nobody else is given.
pub fn free() -> SocketAddr {
    let mut ours = OURS.lock().expect("nobody panics here unless all ports are taken");
    let (blocks, next) = &mut *ours;
    loop {
        if blocks.is_empty() || *next % SIZE == FIRST % SIZE {
            let (held, first) = claim();
            blocks.push(held);
            *next = first + 1;
        }
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, *next));
        *next += 1;
        if TcpListener::bind(address).is_ok() {
            return address;
        }
    }
}

/// A block that no other process holds, and its first port.
fn claim() -> (TcpListener, u16) {
    // From somewhere, so that not all look at the same ones first.
    let start = u16::try_from(std::process::id() % u32::from(BLOCKS)).expect("below the number of blocks");
    (0..BLOCKS)
        .map(|step| FIRST + (start + step) % BLOCKS * SIZE)
        .find_map(|first| Some((TcpListener::bind((Ipv4Addr::LOCALHOST, first)).ok()?, first)))
        .expect("fewer processes than blocks")
}
