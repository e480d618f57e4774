//! Reads a request body once and whole: within its size, within its time, `100 Continue` included.

use std::time::Instant;

use bytes::{Bytes, BytesMut};
use http::header;
use pingora_core::protocols::http::ServerSession as HttpSession;
use pingora_core::{Error, ErrorType};

use super::life::{End, Life};
use crate::config::snapshot::Snapshot;
use crate::error::GatewayError;
use crate::rules::buffered::{Bounds, Full, Part};

/// What is reserved at once for a body that says it is larger than one read.
const RESERVE: usize = 1024 * 1024;

/// Why there is no body.
pub enum NoBody {
    Refused(GatewayError),
    /// The client left; there is nobody to tell.
    Gone(Box<Error>),
}

impl From<Full> for NoBody {
    fn from(full: Full) -> Self {
        Self::Refused(match full {
            Full::All => GatewayError::OutOfMemory,
            Full::Share => GatewayError::OutOfShare,
        })
    }
}

impl From<GatewayError> for NoBody {
    fn from(error: GatewayError) -> Self {
        Self::Refused(error)
    }
}

/// The length that a request declares, if it does. Pingora has checked its form.
pub fn declared_length(session: &HttpSession) -> Option<usize> {
    let value = session.req_header().headers.get(header::CONTENT_LENGTH)?;
    value.to_str().ok()?.trim().parse().ok()
}

/// Whether the client waits for our word before it sends its body (RFC 9110, 10.1.1).
pub fn waits_for_continue(session: &HttpSession) -> bool {
    let expect = session.req_header().headers.get(header::EXPECT);
    expect.is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"100-continue"))
}

/// Reads the body, and takes room for it as it comes. The caller has checked the declared length; this checks
/// the real one.
///
/// # Errors
/// 413 and 408 by their caps, 503 when there is no room for it or the daemon leaves before it is there, 400 for broken
/// framing, and [`NoBody::Gone`].
pub async fn read(
    session: &mut HttpSession,
    snapshot: &Snapshot,
    room: &mut Part,
    life: &Life,
) -> Result<Bytes, NoBody> {
    if waits_for_continue(session) {
        // An interim response before the body is read counts as an early answer and would cost the
        // connection; it is none.
        session.set_close_on_response_before_downstream_finish(false);
        session.write_continue_response().await.map_err(NoBody::Gone)?;
        session.set_close_on_response_before_downstream_finish(true);
    }
    let own = Instant::now() + snapshot.caps.body_timeout;
    tokio::select! {
        biased;
        body = gather(session, snapshot, room) => body,
        end = life.over(own) => Err(match end {
            End::Own => GatewayError::TooSlow.into(),
            End::Daemon => GatewayError::Draining.into(),
        }),
    }
}

/// Waits for a client to leave whose request is there. One that sends more is taken to have left. Cancel-safe.
pub async fn gone(session: &mut HttpSession) -> Box<Error> {
    match session.read_body_or_idle(true).await {
        Err(error) => error,
        Ok(_) => Error::explain(ErrorType::InvalidHTTPHeader, "the client sent more than its request"),
    }
}

/// What the bodies of all, and of one tenant, may take.
pub fn bounds(snapshot: &Snapshot) -> Bounds {
    let tenants = snapshot.tenants.len();
    Bounds { all: snapshot.clients.max_buffered, one: snapshot.caps.max_body, tenants }
}

async fn gather(session: &mut HttpSession, snapshot: &Snapshot, room: &mut Part) -> Result<Bytes, NoBody> {
    let max = snapshot.caps.max_body;
    let bounds = bounds(snapshot);
    let Some(first) = next(session).await? else { return Ok(Bytes::new()) };
    if first.len() > max {
        return Err(GatewayError::TooLarge.into());
    }
    room.grow(first.len(), &bounds)?;
    if session.is_body_done() {
        return Ok(first);
    }
    let expected = declared_length(session).unwrap_or(0).min(max).min(RESERVE);
    let mut body = BytesMut::with_capacity(expected.max(first.len() * 2));
    body.extend_from_slice(&first);
    drop(first);
    while let Some(piece) = next(session).await? {
        if body.len() + piece.len() > max {
            return Err(GatewayError::TooLarge.into());
        }
        room.grow(piece.len(), &bounds)?;
        body.extend_from_slice(&piece);
        if session.is_body_done() {
            break;
        }
    }
    Ok(body.freeze())
}

async fn next(session: &mut HttpSession) -> Result<Option<Bytes>, NoBody> {
    session.read_request_body().await.map_err(|error| match error.etype() {
        ErrorType::ReadTimedout => GatewayError::TooSlow.into(),
        ErrorType::ConnectionClosed | ErrorType::ReadError | ErrorType::H2Error => NoBody::Gone(error),
        _ => GatewayError::BadFraming.into(),
    })
}
