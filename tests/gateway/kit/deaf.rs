//! A backend that does not even accept: its queue is full, so a connection to it is never made.

use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::time::Duration;

use socket2::{Domain, Socket, Type};

/// How long a connection that is made on loopback takes at most.
const SOON: Duration = Duration::from_millis(100);
/// More than any kernel queues for a listener that asked for none.
const ENOUGH: usize = 64;

/// A listener with a full queue. The kernel drops whoever comes next, as a firewall would.
#[derive(Debug)]
pub struct Deaf {
    address: SocketAddr,
    _listener: Socket,
    _queue: Vec<TcpStream>,
}

impl Deaf {
    /// Listens, and fills its own queue.
    pub fn start() -> Self {
        let listener = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
        listener.bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into()).expect("a loopback port");
        listener.listen(0).expect("a listener");
        let address = listener.local_addr().expect("a bound socket").as_socket().expect("an IP address");
        let queue: Vec<_> =
            (0..ENOUGH).map_while(|_| TcpStream::connect_timeout(&address, SOON).ok()).collect();
        assert!(queue.len() < ENOUGH, "the queue of {address} has no end");
        Self { address, _listener: listener, _queue: queue }
    }

    /// Its base URL.
    pub fn url(&self) -> String {
        format!("http://{}/v1", self.address)
    }
}
