//! Scripted backends: each trial says what happens on a connection, and here it is accepted.

use std::future::{Future, pending};
use std::net::{Ipv4Addr, SocketAddr};
use std::thread;

use socket2::{Domain, Socket, Type};
use tokio::net::TcpListener;
use tokio::runtime::{Builder, Handle};

use crate::http::Connection;

/// Where backends run: on a thread of their own, apart from the clients.
pub fn runtime() -> Handle {
    let runtime = Builder::new_current_thread().enable_all().build().unwrap();
    let handle = runtime.handle().clone();
    thread::spawn(move || runtime.block_on(pending::<()>()));
    handle
}

/// Starts a backend on a free port, which treats every connection like this.
pub fn start<F, T>(on: &Handle, treat: F) -> SocketAddr
where
    F: Fn(Connection) -> T + Send + 'static,
    T: Future<Output = ()> + Send + 'static,
{
    let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    listener.set_nonblocking(true).unwrap();
    let address = listener.local_addr().unwrap();
    on.spawn(async move {
        let listener = TcpListener::from_std(listener).unwrap();
        loop {
            if let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(treat(Connection::new(stream)));
            }
        }
    });
    address
}

/// An address where connecting neither succeeds nor fails.
pub struct Unreachable {
    pub address: SocketAddr,
    _listener: Socket,
    _waiting: Vec<std::net::TcpStream>,
}

impl Unreachable {
    /// A listener that accepts nobody and whose queue is full: further connections are not answered.
    pub fn new() -> Unreachable {
        let listener = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        listener.bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into()).unwrap();
        listener.listen(0).unwrap();
        let address = listener.local_addr().unwrap().as_socket().unwrap();
        let patience = std::time::Duration::from_millis(200);
        let connect = || std::net::TcpStream::connect_timeout(&address, patience).ok();
        let waiting: Vec<_> = std::iter::from_fn(connect).take(64).collect();
        assert!(waiting.len() < 64, "the queue of a listener does not fill up");
        Unreachable { address, _listener: listener, _waiting: waiting }
    }
}
