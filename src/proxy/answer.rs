//! What a backend answers: judged by its head, rebuilt from its body, released when it is useful.

use std::time::Instant;

use bytes::{Bytes, BytesMut};
use http::{HeaderValue, header};
use pingora_http::ResponseHeader;

use super::exchange::{Answer, Relay};
use super::gathered::Gathered;
use super::held::Framing;
use crate::config::plan::Caps;
use crate::error::UpstreamFault;
use crate::metrics::Metrics;
use crate::rules::catalog::AliasEntry;
use crate::rules::failover;
use crate::rules::failover::Sent;
use crate::rules::headers::{self, Downward};
use crate::wire::request::Delivery;
use crate::wire::sse::{SseRewriter, UsageWanted};
use crate::wire::{completion, rejection};

/// How much of a backend's refusal is read. The reason stands at its beginning.
const MAX_REASONS: usize = 64 * 1024;

/// Judges the head of an answer and prepares for its body.
///
/// # Errors
/// Why the answer is of no use.
pub fn begin(
    relay: &mut Relay,
    entry: &AliasEntry,
    caps: &Caps,
    head: &ResponseHeader,
    now: Instant,
) -> Result<(), UpstreamFault> {
    match failover::status(head.status.as_u16()) {
        None => {}
        Some(UpstreamFault::RejectedRequest(status)) => {
            // Why, its body may say.
            relay.control.heard(now);
            relay.answer = Answer::Rejection { status, body: Gathered::default() };
            return Ok(());
        }
        Some(fault) => return Err(fault),
    }
    let encoded = head.headers.get(header::CONTENT_ENCODING);
    if encoded.is_some_and(|value| !value.as_bytes().eq_ignore_ascii_case(b"identity")) {
        return Err(UpstreamFault::BadEncoding);
    }
    let kind = head.headers.get(header::CONTENT_TYPE).map_or(&b""[..], HeaderValue::as_bytes);
    relay.answer = match relay.request.delivery() {
        Delivery::Whole if headers::is_json(kind) => {
            // A JSON answer is one thing: from its head on, silence is what counts.
            relay.control.heard(now);
            Answer::Whole(Gathered::default())
        }
        Delivery::Stream if headers::is_event_stream(kind) => {
            let usage = if relay.request.usage_asked() { UsageWanted::Yes } else { UsageWanted::No };
            let rewriter = SseRewriter::new(relay.voice.clone(), usage, entry.expose, caps.max_event);
            Answer::Events(Box::new(rewriter))
        }
        Delivery::Whole | Delivery::Stream => return Err(UpstreamFault::BadContentType),
    };
    Ok(())
}

/// What kind of answer the client gets.
pub fn downward(relay: &Relay) -> Downward {
    match relay.request.delivery() {
        Delivery::Whole => Downward::Json,
        Delivery::Stream => Downward::Events,
    }
}

/// Takes a piece of the backend's body and leaves what goes to the client in its place.
///
/// # Errors
/// Why the answer is of no use, while nothing of it has been released. A released stream that breaks
/// is ended here instead, with the last words.
pub fn feed(
    relay: &mut Relay,
    entry: &AliasEntry,
    caps: &Caps,
    metrics: &Metrics,
    piece: &mut Option<Bytes>,
    end: bool,
) -> Result<(), UpstreamFault> {
    if relay.control.is_over() {
        // After the end of an answer nothing counts any more.
        *piece = None;
        return Ok(());
    }
    let result = match &mut relay.answer {
        Answer::Asked => Err(UpstreamFault::BadResponse),
        Answer::Whole(_) => whole(relay, entry, caps, piece, end),
        Answer::Events(_) => events(relay, piece, end),
        Answer::Rejection { .. } => rejection(relay, piece, end),
    };
    if relay.sent() == Sent::Some {
        relay.forget_body();
    }
    let result = result.or_else(|fault| refuse_or_cut(relay, entry, metrics, piece, fault));
    if let Some(down) = piece {
        relay.tally.bytes_down += down.len();
    }
    result
}

/// What a fault in a body comes to: an error while nothing has been released, an end with the last words after.
fn refuse_or_cut(
    relay: &mut Relay,
    entry: &AliasEntry,
    metrics: &Metrics,
    piece: &mut Option<Bytes>,
    fault: UpstreamFault,
) -> Result<(), UpstreamFault> {
    match fault {
        UpstreamFault::EventTooLarge => metrics.caps.max_event.inc(),
        UpstreamFault::TooLarge => metrics.caps.max_response.inc(),
        _ => {}
    }
    relay.control.blame(fault);
    match relay.sent() {
        Sent::Nothing => Err(fault),
        Sent::Some => {
            let mut last = BytesMut::from(piece.take().unwrap_or_default());
            last.extend_from_slice(&entry.last_words);
            *piece = Some(last.freeze());
            relay.control.cut();
            Ok(())
        }
    }
}

/// Gathers why a request was refused, up to a cap, and reads it.
fn rejection(relay: &mut Relay, piece: &mut Option<Bytes>, end: bool) -> Result<(), UpstreamFault> {
    let Answer::Rejection { status, body } = &mut relay.answer else { return Ok(()) };
    if let Some(piece) = piece.take() {
        body.push(piece);
    }
    if !end && body.len() < MAX_REASONS {
        return Ok(());
    }
    if rejection::is_context_overflow(body.bytes()) {
        Err(UpstreamFault::ContextOverflow)
    } else {
        Err(UpstreamFault::RejectedRequest(*status))
    }
}

fn whole(
    relay: &mut Relay,
    entry: &AliasEntry,
    caps: &Caps,
    piece: &mut Option<Bytes>,
    end: bool,
) -> Result<(), UpstreamFault> {
    let Answer::Whole(gathered) = &mut relay.answer else { return Ok(()) };
    if let Some(piece) = piece.take() {
        if gathered.len() + piece.len() > caps.max_response {
            return Err(UpstreamFault::TooLarge);
        }
        gathered.push(piece);
    }
    if !end {
        relay.control.heard(Instant::now());
        return Ok(());
    }
    let now = Instant::now();
    let done = completion::rewrite(gathered.bytes(), &relay.voice, entry.expose)?;
    relay.tally.usage = done.usage;
    relay.tally.delivered = done.delivered;
    relay.tally.first_useful = Some(now);
    relay.control.release(Framing::Whole);
    relay.control.complete(now);
    *piece = Some(done.body);
    Ok(())
}

fn events(relay: &mut Relay, piece: &mut Option<Bytes>, end: bool) -> Result<(), UpstreamFault> {
    let Answer::Events(rewriter) = &mut relay.answer else { return Ok(()) };
    let taken = piece.take().unwrap_or_default();
    let before = rewriter.events();
    let mut out = BytesMut::with_capacity(taken.len() + 128);
    let mut result = rewriter.push(&taken, &mut out);
    if result.is_ok() && end && !rewriter.done() {
        result = rewriter.finish(&mut out);
    }
    relay.tally.delivered = rewriter.delivered();
    relay.tally.usage = rewriter.usage();
    if rewriter.events() != before || rewriter.done() {
        let now = Instant::now();
        relay.control.heard(now);
        if rewriter.useful() {
            relay.tally.first_useful.get_or_insert(now);
            relay.control.release(Framing::Stream);
        }
        if rewriter.done() {
            relay.control.complete(now);
        }
    }
    if !out.is_empty() {
        *piece = Some(out.freeze());
    }
    result
}
