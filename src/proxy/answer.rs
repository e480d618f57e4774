//! What a backend answers: judged by its head, rebuilt from its body, released when it is useful.

use std::time::{Duration, Instant, SystemTime};

use bytes::{Bytes, BytesMut};
use http::{HeaderValue, header};
use pingora_http::ResponseHeader;

use super::exchange::{Answer, Relay};
use super::gathered::Gathered;
use super::held::Framing;
use super::quota::Prompt;
use super::{guard, intake, trace, verdict};
use crate::config::plan::Caps;
use crate::config::snapshot::Snapshot;
use crate::error::{Blocker, Reason, UpstreamFault};
use crate::metrics::Metrics;
use crate::rules::attempt::Attempt;
use crate::rules::catalog::AliasEntry;
use crate::rules::content::Glance;
use crate::rules::failover::{self, Sent, Told};
use crate::rules::headers::{self, Downward};
use crate::rules::tokens;
use crate::wire::request::Delivery;
use crate::wire::sieve::{Judge, Sieve, Verdict};
use crate::wire::sse::{SseRewriter, UsageWanted};
use crate::wire::usage::Estimate;
use crate::wire::{completion, rejection, retry_after};

/// How much of a backend's refusal is read. The reason stands at its beginning.
const MAX_REASONS: usize = 64 * 1024;
/// How long its reasons may take: the status alone says most of it.
const REASONS_TIME: Duration = Duration::from_secs(2);

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
    wall: SystemTime,
) -> Result<(), UpstreamFault> {
    match head.status.as_u16() {
        200 => {}
        status @ 400..=599 => {
            let field = |name| head.headers.get(name).map(HeaderValue::as_bytes);
            relay.retry_after = retry_after::wait(field("retry-after"), field("retry-after-ms"), wall);
            // Why, its body may say.
            relay.control.hurry(REASONS_TIME);
            relay.control.heard(now);
            relay.answer = Answer::Refusal { status, body: Gathered::default() };
            return Ok(());
        }
        status => return Err(UpstreamFault::Status { status, reason: Reason::Other }),
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
            let estimate = estimate(relay.quota.prompt);
            Answer::Events(Box::new(rewriter.sifted(sieve(entry)).estimated(estimate)))
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
    snapshot: &Snapshot,
    metrics: &Metrics,
    piece: &mut Option<Bytes>,
    end: bool,
) -> Result<(), UpstreamFault> {
    // One look at the clock for the piece, whatever is in it.
    let now = Instant::now();
    relay.control.pick_up(now);
    if relay.control.is_over() {
        // After the end of an answer nothing counts any more.
        *piece = None;
        return Ok(());
    }
    let result = match &mut relay.answer {
        Answer::Asked => Err(UpstreamFault::BadResponse),
        Answer::Whole(_) => whole(relay, entry, snapshot, piece, end, now),
        Answer::Events(_) => events(relay, entry, snapshot, piece, end, now),
        Answer::Refusal { .. } => refusal(relay, piece, end),
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
            match (&mut relay.answer, failover::judge(fault).told) {
                // What ends for its content is no outage, and nothing to ask for again.
                (Answer::Events(rewriter), Told::Blocked(Blocker::Answer | Blocker::Backend)) => {
                    rewriter.close(&mut last);
                    relay.tally.ends = rewriter.ends();
                }
                (_, _) => last.extend_from_slice(&entry.last_words),
            }
            *piece = Some(last.freeze());
            relay.control.cut();
            Ok(())
        }
    }
}

/// Gathers why a request was refused, up to a cap, and reads it.
fn refusal(relay: &mut Relay, piece: &mut Option<Bytes>, end: bool) -> Result<(), UpstreamFault> {
    let Answer::Refusal { status, body } = &mut relay.answer else { return Ok(()) };
    if let Some(mut piece) = piece.take() {
        piece.truncate(MAX_REASONS - body.len().min(MAX_REASONS));
        body.push(piece);
    }
    if !end && body.len() < MAX_REASONS {
        return Ok(());
    }
    Err(why(*status, body))
}

/// What a refusal comes to, as far as its reasons are here.
pub fn why(status: u16, body: &Gathered) -> UpstreamFault {
    let said = rejection::classify(body.bytes());
    // Proxies in front of a model wrap its refusals into failures of their own.
    let status = said.status.filter(|_| status >= 500).unwrap_or(status);
    UpstreamFault::Status { status, reason: said.reason }
}

/// The backend of this attempt has begun well.
fn answered(attempt: &mut Option<Attempt>, snapshot: &Snapshot, now: Instant) {
    let Some(attempt) = attempt else { return };
    let turned = attempt.answered(snapshot.origin.tick(now));
    if let Some(backend) = attempt.backend() {
        verdict::tell(attempt, backend, turned, "");
    }
}

fn whole(
    relay: &mut Relay,
    entry: &AliasEntry,
    snapshot: &Snapshot,
    piece: &mut Option<Bytes>,
    end: bool,
    now: Instant,
) -> Result<(), UpstreamFault> {
    let Answer::Whole(gathered) = &mut relay.answer else { return Ok(()) };
    if let Some(piece) = piece.take() {
        if gathered.len() + piece.len() > snapshot.caps.max_response {
            return Err(UpstreamFault::TooLarge);
        }
        gathered.push(piece);
    }
    if !end {
        relay.control.heard(now);
        return Ok(());
    }
    let gathered = std::mem::take(gathered);
    let mut glance = entry.policy.as_ref().and_then(|policy| guard::glance(policy));
    let judge = glance.as_mut().map(|glance| glance as &mut dyn Judge);
    let (prompt, body) = (&mut relay.quota.prompt, &relay.body);
    let done = completion::rewrite(gathered.bytes(), &relay.voice, entry.expose, judge, || {
        if prompt.estimated == 0 {
            *prompt = Prompt::weighed(entry, body);
        }
        estimate(*prompt)
    })?;
    relay.tally.usage = done.usage;
    relay.tally.delivered = done.delivered;
    match done.verdict {
        Verdict::Clean => relay.tally.ends = done.ends,
        Verdict::Forbidden => return Err(forbidden(relay, entry, snapshot, now)),
    }
    if let Some(put_off) = glance.and_then(Glance::put_off) {
        match guard::later(put_off, done.body.len(), relay.aside.take(), &intake::bounds(snapshot)) {
            Ok(word) => {
                relay.control.wait_for(word);
                // Whatever it is.
                well_done(relay, entry, snapshot, now);
            }
            // What may not wait is looked at on the spot.
            Err(put_off) if put_off.forbids() => return Err(forbidden(relay, entry, snapshot, now)),
            Err(_) => {}
        }
    }
    relay.tally.first_useful = Some(now);
    relay.control.release(Framing::Whole);
    relay.control.complete(now);
    answered(&mut relay.attempt, snapshot, now);
    *piece = Some(done.body);
    Ok(())
}

/// Who looks at a stream, if somebody has to.
fn sieve(entry: &AliasEntry) -> Option<Box<dyn Sieve>> {
    entry.policy.as_ref().and_then(|policy| policy.sieve())
}

/// What an answer is taken for that comes without a count of its tokens.
fn estimate(prompt: Prompt) -> Estimate {
    Estimate { prompt: prompt.corrected(), answer: tokens::estimate }
}

/// The answer must not go on. The backend has done its part, and has done it well.
fn forbidden(relay: &mut Relay, entry: &AliasEntry, snapshot: &Snapshot, now: Instant) -> UpstreamFault {
    well_done(relay, entry, snapshot, now);
    UpstreamFault::AnswerForbidden
}

fn well_done(relay: &mut Relay, entry: &AliasEntry, snapshot: &Snapshot, now: Instant) {
    answered(&mut relay.attempt, snapshot, now);
    trace::leg_ends(relay, None);
    verdict::success(relay, entry, snapshot.origin.tick(now));
}

fn events(
    relay: &mut Relay,
    entry: &AliasEntry,
    snapshot: &Snapshot,
    piece: &mut Option<Bytes>,
    end: bool,
    now: Instant,
) -> Result<(), UpstreamFault> {
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
    relay.tally.ends = rewriter.ends();
    let told_more = rewriter.events() != before;
    if told_more || rewriter.done() {
        relay.control.heard(now);
        if rewriter.useful() {
            if relay.tally.first_useful.is_none() {
                relay.tally.first_useful = Some(now);
                answered(&mut relay.attempt, snapshot, now);
            }
            relay.control.release(Framing::Stream);
            if told_more && let Some(last) = relay.tally.last_useful.replace(now) {
                entry.metrics.between.observe((now - last).as_secs_f64());
            }
        }
        if rewriter.done() {
            relay.control.complete(now);
        }
    }
    if !out.is_empty() {
        *piece = Some(out.freeze());
    }
    if result == Err(UpstreamFault::AnswerForbidden) {
        return Err(forbidden(relay, entry, snapshot, now));
    }
    result
}
