//! A way to speak frames through TLS: a listener of our own whose connections go on to the gateway, encrypted and
//! with HTTP/2 agreed on. What either end does, closing included, shows at the other.

use std::net::{Ipv4Addr, SocketAddr, TcpListener as StdListener};
use std::sync::Arc;
use std::time::Duration;

use socket2::SockRef;
use tokio::io::{AsyncWriteExt, copy, split};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::AbortHandle;
use tokio::time::sleep;

use crate::kit::background::runtime;
use crate::kit::papers::{Papers, Shows};

/// How long an end that takes nothing more is listened to.
const LAST_WORDS: Duration = Duration::from_secs(2);
/// What either of its sockets holds of answers on their way, bytes; the kernel doubles it. Left to itself it would let
/// them grow to many megabytes, and take answers that nobody reads off the gateway's hands.
const HELD: usize = 128 * 1024;

/// A running tunnel. Dropping it stops the listener.
#[derive(Debug)]
pub struct Tunnel {
    address: SocketAddr,
    task: AbortHandle,
}

impl Tunnel {
    /// Leads to the listener at `gateway`, which has these papers.
    pub fn start(papers: Papers, gateway: SocketAddr) -> Self {
        let listener = StdListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a loopback port");
        listener.set_nonblocking(true).expect("a socket option");
        let address = listener.local_addr().expect("a bound socket has an address");
        let papers = Arc::new(papers);
        let task = runtime().spawn(async move {
            let listener = TcpListener::from_std(listener).expect("a listener");
            while let Ok((near, _)) = listener.accept().await {
                tokio::spawn(lead(near, Arc::clone(&papers), gateway));
            }
        });
        Self { address, task: task.abort_handle() }
    }

    /// Where it begins.
    pub fn addr(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for Tunnel {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn lead(near: TcpStream, papers: Arc<Papers>, gateway: SocketAddr) {
    let _ = near.set_nodelay(true);
    SockRef::from(&near).set_send_buffer_size(HELD).expect("a socket option");
    let config = papers.config(Shows::Nothing, &["h2"]);
    let Ok(far) = papers.connect(gateway, config).await else { return };
    SockRef::from(far.get_ref().0).set_recv_buffer_size(HELD).expect("a socket option");
    assert_eq!(far.get_ref().1.alpn_protocol(), Some(b"h2".as_slice()), "HTTP/2 is agreed on");
    let ((mut near_from, mut near_to), (mut far_from, mut far_to)) = (split(near), split(far));
    let up = async {
        let _ = copy(&mut near_from, &mut far_to).await;
        let _ = far_to.shutdown().await;
        // A gateway that takes nothing more may still have something to say.
        sleep(LAST_WORDS).await;
    };
    tokio::select! {
        () = up => {}
        // An end that is not in order is one all the same.
        _ = copy(&mut far_from, &mut near_to) => {}
    }
    let _ = near_to.shutdown().await;
}
