//! HTTP/2 at the door: streams are let in as they come, up to Pingora's bounds and our own.
//!
//! Pingora's own loop does the same, but waits without end for a client that never sends its preface, and tells
//! nobody whether a connection is idle.

use std::future::{Future, poll_fn};
use std::sync::Arc;
use std::task::Poll;
use std::time::{Duration, Instant};

use h2::Reason;
use pingora_core::protocols::http::ServerSession;
use pingora_core::protocols::http::v2::server::{
    H2Accept, H2Options, HttpSession, default_h2_options, handshake,
};
use pingora_core::protocols::{Digest, GetProxyDigest, GetSocketDigest, GetTimingDigest, Ssl};
use pingora_core::server::ShutdownWatch;
use pingora_timeout::fast_timeout::fast_timeout;
use tokio::io::AsyncReadExt;

use super::line::Line;
use super::patience::{Patience, Sign};
use super::seats::{Place, Seat};
use super::{Door, LAST_HEAD};

/// What an HTTP/2 connection begins with (RFC 9113, 3.4).
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// The largest head that is decoded, in bytes. With 100 streams a connection it bounds memory. Larger heads
/// than `max_head` come as far as our own check, which answers them in our words.
const MAX_HEAD: u32 = 256 * 1024;
/// What one stream keeps of an answer that its client does not take, in bytes.
const SEND_BUFFER: usize = 64 * 1024;
/// Malformed requests after which a connection is over. Pingora's own value.
const MOST_MALFORMED: usize = 32;
/// How long a client may take to hear that its connection is over.
const GOODBYE: Duration = Duration::from_secs(1);

/// How a connection begins.
pub(super) enum Beginning {
    Preface,
    /// Anything else, which is left on the line.
    Other,
}

/// Reads as much as it takes to tell. `None` when the client leaves before.
pub(super) async fn beginning(line: &mut Line) -> Option<Beginning> {
    let mut read = Vec::with_capacity(PREFACE.len());
    while PREFACE.starts_with(&read) {
        let missing = PREFACE.len() - read.len();
        if missing == 0 {
            line.unread(&read);
            return Some(Beginning::Preface);
        }
        let limit = u64::try_from(missing).unwrap_or(u64::MAX);
        if (&mut *line).take(limit).read_buf(&mut read).await.ok()? == 0 {
            return None;
        }
    }
    line.unread(&read);
    Some(Beginning::Other)
}

/// Serves a connection whose preface has come.
pub(super) async fn serve(
    door: &Arc<Door>,
    line: Line,
    seat: &Seat,
    patience: &mut Patience,
    shutdown: &ShutdownWatch,
) {
    let digest = Arc::new(Digest {
        ssl_digest: line.get_ssl_digest(),
        timing_digest: line.get_timing_digest(),
        proxy_digest: line.get_proxy_digest(),
        socket_digest: line.get_socket_digest(),
    });
    let Ok(mut connection) = handshake(Box::new(line), Some(options())).await else { return };
    let place = seat.place();
    place.will_be_told();
    let mut malformed = 0;
    let mut idle = Idle { until: None, stopping: Stopping::No };
    let why = loop {
        let next = {
            let mut accept = std::pin::pin!(HttpSession::from_h2_conn(&mut connection, digest.clone()));
            poll_fn(|cx| {
                if let Poll::Ready(stream) = accept.as_mut().poll(cx) {
                    return Poll::Ready(Ok(stream));
                }
                patience.poll(cx, |place| idle.deadline(place, seat, door)).map(Err)
            })
            .await
        };
        match next {
            Ok(Ok(Some(H2Accept::Session(session)))) => {
                if !place.rouse() {
                    break Reason::NO_ERROR;
                }
                idle.until = None;
                let (door, shutdown, stream) = (door.clone(), shutdown.clone(), place.stream());
                tokio::spawn(async move {
                    door.request(ServerSession::new_http2(session), &shutdown).await;
                    drop(stream);
                });
            }
            Ok(Ok(Some(H2Accept::Rejected))) => {
                malformed += 1;
                if malformed >= MOST_MALFORMED {
                    break Reason::ENHANCE_YOUR_CALM;
                }
            }
            Ok(Ok(None) | Err(_)) => return,
            Err(Sign::Stop) => {
                connection.graceful_shutdown();
                idle.stop();
            }
            Err(Sign::Late) => break Reason::NO_ERROR,
            Err(Sign::Leave) => {
                door.gateway.metrics.connections.cut_for_room.inc();
                break Reason::NO_ERROR;
            }
        }
    };
    connection.abrupt_shutdown(why);
    // Heard or not, the connection is closed next.
    let _ = fast_timeout(GOODBYE, poll_fn(|cx| connection.poll_closed(cx))).await;
}

/// How long a connection may go on without requests.
struct Idle {
    /// Until then; `None` while it has some.
    until: Option<Instant>,
    stopping: Stopping,
}

/// Whether the daemon stops.
enum Stopping {
    No,
    Yes,
}

impl Idle {
    /// When the connection is over, if it has no requests. The first time, it becomes idle.
    fn deadline(&mut self, place: &Place, seat: &Seat, door: &Door) -> Option<Instant> {
        if place.streams() > 0 {
            return None;
        }
        Some(*self.until.get_or_insert_with(|| {
            let now = Instant::now();
            seat.rest(now);
            match self.stopping {
                Stopping::No => now + door.gateway.live.look(|now| now.clients.keep_alive),
                Stopping::Yes => now + LAST_HEAD,
            }
        }))
    }

    fn stop(&mut self) {
        self.stopping = Stopping::Yes;
        self.until = self.until.map(|until| until.min(Instant::now() + LAST_HEAD));
    }
}

fn options() -> H2Options {
    let mut options = default_h2_options();
    options.max_header_list_size(MAX_HEAD);
    options.max_send_buffer_size(SEND_BUFFER);
    options
}
