//! HTTP/1.1 at the door: one head after the other, each in its time.

use std::future::{Future, poll_fn};
use std::task::Poll;
use std::time::{Duration, Instant};

use pingora_core::protocols::http::ServerSession as HttpSession;
use pingora_core::server::ShutdownWatch;
use pingora_core::{Error, ErrorType};

use super::line::Line;
use super::patience::{Patience, Sign};
use super::seats::{Heard, Seat};
use super::{Door, LAST_HEAD};
use crate::config::snapshot::Snapshot;
use crate::error::GatewayError;
use crate::proxy::life::Stage;

/// How long the next head may take.
#[derive(Debug, Clone, Copy)]
enum Pace {
    /// The first one of a connection, until then.
    First(Instant),
    /// One that may begin at any time until the connection has been idle for too long.
    Later { keep_alive: Duration, header_timeout: Duration },
}

/// What came in place of a head.
enum NoHead {
    /// Nothing that anybody should be told.
    Silence,
    /// What cannot be read, or came too slowly.
    Refused(GatewayError),
}

impl Door {
    /// Serves the requests of an HTTP/1.1 connection, one after the other. The first head is due by `head_by`.
    ///
    /// Pingora's own loop does the same without deadlines, in a future that also has room for all of HTTP/2.
    pub(super) async fn http1(
        &self,
        line: Line,
        seat: &Seat,
        patience: &mut Patience,
        head_by: Instant,
        shutdown: &ShutdownWatch,
    ) {
        let mut session = HttpSession::new_http1(Box::new(line));
        let mut pace = Pace::First(head_by);
        for served in 1_u32.. {
            // The deadlines are ours: Pingora's would begin anew with every byte.
            session.set_keepalive(Some(0));
            match self.read_head(&mut session, seat, patience, pace).await {
                Ok(()) => {}
                Err(NoHead::Silence) => return,
                // The rare ways are boxed: every open connection carries the memory of this future.
                Err(NoHead::Refused(error)) => return Box::pin(self.turn_away(&mut session, error)).await,
            }
            if served >= self.gateway.live.look(|now| now.clients.max_requests) {
                session.set_keepalive_reuses_remaining(Some(0));
            }
            let Some(reused) = self.request(session, shutdown).await else { return };
            // What was kept of Pingora's settings is set anew above.
            let (stream, _) = reused.consume();
            session = HttpSession::new_http1(stream);
            let later = |now: &Snapshot| (now.clients.keep_alive, now.clients.header_timeout);
            let (keep_alive, header_timeout) = self.gateway.live.look(later);
            pace = Pace::Later { keep_alive, header_timeout };
        }
    }

    /// Reads the next head.
    async fn read_head(
        &self,
        session: &mut HttpSession,
        seat: &Seat,
        patience: &mut Patience,
        pace: Pace,
    ) -> Result<(), NoHead> {
        let place = seat.place();
        place.hush();
        let mut read = std::pin::pin!(session.read_request());
        let mut due: Option<Due> = None;
        let read = poll_fn(|cx| {
            loop {
                if let Poll::Ready(read) = read.as_mut().poll(cx) {
                    return Poll::Ready(Ok(read));
                }
                let next = Due::after(due, pace, seat);
                due = Some(next);
                match patience.poll(cx, |_| Some(next.at())) {
                    // Half a head may be there already, or a request on its way: it is to be answered, not dropped.
                    Poll::Ready(Sign::Stop) => match self.gateway.life.stage() {
                        // Who has been handed over to somebody else is not hurried.
                        Stage::Starting | Stage::Serving | Stage::HandedOver => {}
                        Stage::Stopping => due = Some(Due::Stop(next.at().min(Instant::now() + LAST_HEAD))),
                    },
                    Poll::Ready(sign @ (Sign::Late | Sign::Leave)) => return Poll::Ready(Err(sign)),
                    Poll::Pending => return Poll::Pending,
                }
            }
        })
        .await;
        let cut = &self.gateway.metrics.connections;
        match (read, due) {
            (Ok(Ok(true)), _) if place.rouse() => Ok(()),
            (Ok(Err(error)), _) => Err(misread(&error).map_or(NoHead::Silence, NoHead::Refused)),
            (Err(Sign::Late), Some(Due::First(_) | Due::Rest(_))) => {
                cut.cut_head.inc();
                match place.heard() {
                    Heard::Something => Err(NoHead::Refused(GatewayError::HeadTooSlow)),
                    Heard::Nothing => Err(NoHead::Silence),
                }
            }
            (Err(Sign::Leave), _) => {
                cut.cut_for_room.inc();
                Err(NoHead::Silence)
            }
            // The client left, or was asked to before it said what it has now; or it had nothing to say.
            (Ok(Ok(_)) | Err(Sign::Late | Sign::Stop), _) => Err(NoHead::Silence),
        }
    }
}

/// What the next deadline is for.
#[derive(Debug, Clone, Copy)]
enum Due {
    /// The whole first head of a connection.
    First(Instant),
    /// The first byte of another one.
    Byte(Instant),
    /// The rest of it.
    Rest(Instant),
    /// Any head at all: the daemon stops.
    Stop(Instant),
}

impl Due {
    /// What is due now that the client has to be waited for. The first time, the connection becomes idle.
    fn after(before: Option<Self>, pace: Pace, seat: &Seat) -> Self {
        let heard = seat.place().heard();
        match (before, pace) {
            (None, Pace::First(by)) => Self::First(by),
            (None, Pace::Later { keep_alive, header_timeout }) => {
                let now = Instant::now();
                seat.rest(now);
                match heard {
                    Heard::Nothing => Self::Byte(now + keep_alive),
                    Heard::Something => Self::Rest(now + header_timeout),
                }
            }
            (Some(Self::Byte(_)), Pace::Later { header_timeout, .. }) if heard == Heard::Something => {
                Self::Rest(Instant::now() + header_timeout)
            }
            (Some(same), _) => same,
        }
    }

    fn at(self) -> Instant {
        match self {
            Self::First(at) | Self::Byte(at) | Self::Rest(at) | Self::Stop(at) => at,
        }
    }
}

/// What is wrong with a head; `None` when the connection broke, so that there is nobody to tell.
///
/// Pingora has one error type for both kinds; its texts are pinned by tests with its version.
fn misread(error: &Error) -> Option<GatewayError> {
    if *error.etype() != ErrorType::InvalidHTTPHeader {
        return None;
    }
    let text = error.to_string();
    let large = text.contains("header larger than") || text.contains("too many headers");
    Some(if large { GatewayError::HeadTooLarge } else { GatewayError::BadHead })
}
