//! Speaks to the client in our own name: pages and refusals. The only place that renders a refusal.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Method, header};
use pingora_core::protocols::http::ServerSession as HttpSession;
use pingora_core::{ErrorType, OrErr, Result};
use pingora_http::ResponseHeader;
use pingora_timeout::fast_timeout::fast_timeout;

use super::exchange::{Exchange, RequestId};
use super::intake;
use crate::error::{GatewayError, Public};
use crate::rules::headers::{Downward, X_REQUEST_ID};
use crate::rules::limits::standing::{Standing, written};
use crate::wire::refusal;

/// An unread body up to this size is read and dropped, so that a refused client keeps its connection.
const DRAIN: usize = 64 * 1024;
/// How long such a body may take.
const DRAIN_TIME: Duration = Duration::from_secs(5);
/// A connection that will be closed is read on for this long, because closing it with unread bytes
/// would reset it and destroy the refusal on its way.
const LINGER_TIME: Duration = Duration::from_secs(2);

/// The head of an answer of ours.
///
/// # Errors
/// Only for a status that HTTP does not know; ours are in one table.
pub fn head(status: u16, kind: Downward, id: &RequestId) -> Result<ResponseHeader> {
    let mut head = ResponseHeader::build_no_case(status, Some(8))?;
    for (name, value) in kind.headers() {
        head.insert_header(name.clone(), value.clone())?;
    }
    head.insert_header(X_REQUEST_ID, id.header())?;
    Ok(head)
}

/// Says in a head what is left of the caller's limits, in the words of OpenAI's API.
///
/// # Errors
/// Never: numbers and durations are well-formed.
pub fn tell(head: &mut ResponseHeader, standing: &Standing) -> Result<()> {
    const REQUESTS: [HeaderName; 3] = [
        HeaderName::from_static("x-ratelimit-limit-requests"),
        HeaderName::from_static("x-ratelimit-remaining-requests"),
        HeaderName::from_static("x-ratelimit-reset-requests"),
    ];
    const TOKENS: [HeaderName; 3] = [
        HeaderName::from_static("x-ratelimit-limit-tokens"),
        HeaderName::from_static("x-ratelimit-remaining-tokens"),
        HeaderName::from_static("x-ratelimit-reset-tokens"),
    ];
    for (names, left) in [(REQUESTS, standing.requests), (TOKENS, standing.tokens)] {
        let (Some(left), [limit, remaining, reset]) = (left, names) else { continue };
        head.insert_header(limit, HeaderValue::from(left.limit))?;
        head.insert_header(remaining, HeaderValue::from(left.remaining))?;
        let time = HeaderValue::from_str(&written(left.reset));
        head.insert_header(reset, time.or_err(ErrorType::InvalidHTTPHeader, "a duration")?)?;
    }
    Ok(())
}

/// Answers with a JSON page.
///
/// # Errors
/// When the client cannot be written to.
pub async fn page(session: &mut HttpSession, exchange: &mut Exchange, body: Bytes) -> Result<()> {
    exchange.answered(200, None);
    prepare_drain(session);
    let mut head = head(200, Downward::Json, &exchange.id)?;
    tell(&mut head, &exchange.standing)?;
    write(session, head, body).await
}

/// Answers with a refusal, and keeps the connection where that is safe.
///
/// # Errors
/// When the client cannot be written to.
pub async fn refuse(session: &mut HttpSession, exchange: &mut Exchange, error: GatewayError) -> Result<()> {
    let public = error.public();
    let mut head = refusal_head(&public, &exchange.id)?;
    tell(&mut head, &exchange.standing)?;
    let end = after(&error, session);
    exchange.answered(public.status, Some(error));
    match end {
        After::Keep => write(session, head, refusal::body(&public)).await,
        After::Close => {
            session.set_keepalive(None);
            write(session, head, refusal::body(&public)).await?;
            linger(session).await;
            Ok(())
        }
    }
}

/// Ends a stream that broke after it had begun.
///
/// # Errors
/// When the client cannot be written to.
pub async fn last_words(session: &mut HttpSession, words: Bytes) -> Result<()> {
    session.write_response_body(words, true).await
}

/// Refuses a request whose head could not be read, and says that the connection will be closed.
///
/// # Errors
/// When the client cannot be written to.
pub async fn turn_away(
    session: &mut HttpSession,
    exchange: &mut Exchange,
    error: GatewayError,
) -> Result<()> {
    let public = error.public();
    let mut head = refusal_head(&public, &exchange.id)?;
    exchange.answered(public.status, Some(error));
    let body = refusal::body(&public);
    head.insert_header(header::CONTENT_LENGTH, HeaderValue::from(body.len()))?;
    session.set_keepalive(None);
    session.write_response_header(Box::new(head)).await?;
    session.write_response_body(body, true).await
}

fn refusal_head(public: &Public, id: &RequestId) -> Result<ResponseHeader> {
    let mut head = head(public.status, Downward::Json, id)?;
    for (name, value) in &public.headers {
        let value = HeaderValue::from_str(value).or_err(ErrorType::InvalidHTTPHeader, "a header of ours")?;
        head.insert_header(HeaderName::from_static(name), value)?;
    }
    Ok(head)
}

/// What becomes of the connection after a refusal.
enum After {
    Keep,
    Close,
}

fn after(error: &GatewayError, session: &mut HttpSession) -> After {
    match error {
        // The framing of what follows cannot be trusted, or we are leaving.
        GatewayError::BadHead
        | GatewayError::BadFraming
        | GatewayError::HeadTooLarge
        | GatewayError::HeadTooSlow
        | GatewayError::TooSlow
        | GatewayError::Draining => After::Close,
        GatewayError::WrongMethod { .. } if session.req_header().method == Method::CONNECT => After::Close,
        GatewayError::BadRequest(_)
        | GatewayError::NoKey
        | GatewayError::NoScope(_)
        | GatewayError::NoSuchModel
        | GatewayError::UnknownPath
        | GatewayError::WrongMethod { .. }
        | GatewayError::TooLarge
        | GatewayError::Rejected(_)
        | GatewayError::Blocked(_)
        | GatewayError::Limited { .. }
        | GatewayError::Flood
        | GatewayError::Busy { .. }
        | GatewayError::UpstreamDown { .. }
        | GatewayError::OutOfMemory
        | GatewayError::OutOfShare
        | GatewayError::Internal(_) => prepare_drain(session),
    }
}

/// Arranges that an unread body is dropped after the answer, if it is known to be small.
fn prepare_drain(session: &mut HttpSession) -> After {
    if session.is_body_done() {
        return After::Keep;
    }
    match intake::declared_length(session) {
        Some(length) if length <= DRAIN && !intake::waits_for_continue(session) => {
            session.set_close_on_response_before_downstream_finish(false);
            session.set_total_drain_timeout(Some(DRAIN_TIME));
            After::Keep
        }
        // Pingora's own rule closes the connection.
        Some(_) | None => After::Close,
    }
}

async fn write(session: &mut HttpSession, mut head: ResponseHeader, body: Bytes) -> Result<()> {
    head.insert_header(header::CONTENT_LENGTH, HeaderValue::from(body.len()))?;
    let bodiless = session.req_header().method == Method::HEAD;
    session.write_response_header(Box::new(head)).await?;
    let body = if bodiless { Bytes::new() } else { body };
    session.write_response_body(body, true).await
}

/// Reads and drops what is still coming.
async fn linger(session: &mut HttpSession) {
    let drop_all = async { while let Ok(Some(_)) = session.read_request_body().await {} };
    // Either way the connection is closed next.
    let _ = fast_timeout(LINGER_TIME, drop_all).await;
}
