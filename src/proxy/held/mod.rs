//! The held session: a client connection that waits until an answer is worth sending.
//!
//! Pingora's proxy loop replays at most 64 KiB of a request body that was read early, sends a response
//! head as soon as it has one, and has no clean way to end a response half-way. [`Held`] takes the
//! client session's place in that loop and mends all three: it *replays* a body of any size to every
//! attempt, it *holds* the answer until the filters release it, so that a failed attempt stays
//! invisible, and it *ends* a stream that broke with a last event and a proper end.
//!
//! It knows no policy: when to release, what the last event says and how long to wait is told to it
//! through [`Control`]. It rests on a trait that Pingora keeps out of its documentation; the exact
//! version is pinned, and `tests/gateway/held.rs` and `big_bodies.rs` fail when that ground moves.
//! It may go when Pingora buffers early bodies (cloudflare/pingora PR 816) and lets a filter end a response.

mod control;
mod session;

use std::cell::Cell;
use std::future::poll_fn;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use bytes::Bytes;
use pingora_core::protocols::http::HttpTask;
use pingora_core::protocols::http::ServerSession as HttpSession;
use pingora_core::{Error, ErrorType, Result};
use pingora_http::{RequestHeader, ResponseHeader};

use tokio::sync::oneshot;

pub use control::{Control, Framing, Patience};

use super::gathered::Gathered;
use super::life::LOOK;
use super::timer::Timer;
use crate::error::UpstreamFault;

/// The type of the error with which a deadline ends an attempt. Pingora relabels its source to
/// "downstream", so it is known by its type.
pub const OVERDUE: ErrorType = ErrorType::Custom("held: overdue");
/// The type of the error with which a backend's early end ends an attempt.
pub const USELESS: ErrorType = ErrorType::Custom("held: ended before it was useful");

/// A word that has been asked for, and without which nothing goes to the client: that it may, or why not.
pub type Permit = oneshot::Receiver<Result<(), UpstreamFault>>;

/// A client has its write timeout for so much of an answer at a time, however long all of it is.
const SLICE: usize = 64 * 1024;

/// What is held: the request as backends shall see it, and the answer as far as it has come.
struct Hold {
    /// The head that Pingora sees and clones for every attempt. No header of the client is in it.
    head: RequestHeader,
    control: Arc<Control>,
    /// Sent after the last whole event when a released answer breaks.
    last_words: Bytes,
    answer: Answer,
    timer: Timer,
    /// Until it has been given.
    permit: Option<Permit>,
}

/// How far the client's answer has come.
enum Answer {
    /// Nothing has been written. Of the body nothing is kept here: filters hand it over when they release it.
    Kept { head: Option<Box<ResponseHeader>> },
    /// Head and part of the body are written.
    Flowing,
    /// The end is written.
    Ended,
}

/// A client session in Pingora's loop: as it is, or held.
pub struct Held {
    real: Box<HttpSession>,
    hold: Option<Box<Hold>>,
    way_back: Option<WayBack>,
}

/// Where a session that Pingora would close, but need not, is left for the one who carried it.
///
/// After a failed attempt Pingora never keeps the client's connection, however well the client was
/// answered; and an attempt also fails when it is cut off behind the end of an answer.
#[derive(Clone, Default)]
pub struct WayBack(Arc<Mutex<Option<Box<HttpSession>>>>);

impl WayBack {
    /// Takes the session out of Pingora's hands.
    pub fn leave(&self, session: &mut Box<HttpSession>) {
        let real = std::mem::replace(session, Box::new(nothing()));
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(real);
    }

    /// The session that was left here, if one was.
    pub fn take(&self) -> Option<Box<HttpSession>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

thread_local! {
    /// Where a dropped [`Held`] puts the real session, if somebody asked for it; see [`give_back`].
    static GIVEN_BACK: Cell<Slot> = const { Cell::new(Slot::Closed) };
}

#[derive(Default)]
enum Slot {
    #[default]
    Closed,
    Waiting,
    Filled(Box<HttpSession>, Option<WayBack>),
}

/// Wraps a session without changing its behaviour, for code that only takes a session whose head has
/// not been read: Pingora takes a custom session's head for read.
pub fn carry(real: Box<HttpSession>, way_back: WayBack) -> HttpSession {
    HttpSession::Custom(Box::new(Held { real, hold: None, way_back: Some(way_back) }))
}

/// Puts a held session into the place of a real one whose request body has been read.
pub fn hold(
    session: &mut Box<HttpSession>,
    head: RequestHeader,
    control: Arc<Control>,
    last_words: Bytes,
    permit: Option<Permit>,
) {
    let real = std::mem::replace(session, Box::new(nothing()));
    let answer = Answer::Kept { head: None };
    let timer = Timer::looking_every(LOOK);
    let hold = Hold { head, control, last_words, answer, timer, permit };
    **session = HttpSession::Custom(Box::new(Held { real, hold: Some(Box::new(hold)), way_back: None }));
}

/// Puts the real session back, and tells the way back of one that was carried; does nothing to one
/// that is real.
///
/// The trait object cannot be taken apart from outside, but dropping it runs `Drop` at once and in
/// this thread, which hands the real session over.
pub fn give_back(session: &mut Box<HttpSession>) -> Option<WayBack> {
    if !session.is_custom() {
        return None;
    }
    GIVEN_BACK.set(Slot::Waiting);
    **session = nothing();
    match GIVEN_BACK.take() {
        Slot::Filled(real, way_back) => {
            *session = real;
            way_back
        }
        Slot::Waiting | Slot::Closed => None,
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        // Dropped for any other reason, such as a cancelled request, the session dies with us.
        GIVEN_BACK.with(|slot| match slot.take() {
            Slot::Waiting => {
                let real = std::mem::replace(&mut self.real, Box::new(nothing()));
                slot.set(Slot::Filled(real, self.way_back.take()));
            }
            other => slot.set(other),
        });
    }
}

/// A session in nobody's place. The unit type is one, for Pingora's own use; it is never asked anything.
fn nothing() -> HttpSession {
    HttpSession::Custom(Box::new(()))
}

impl Hold {
    /// A new attempt: forget what the last one left, and give the next one its full time.
    fn restart(&mut self) {
        if let Answer::Kept { head } = &mut self.answer {
            *head = None;
        }
        self.control.connected(Instant::now());
    }

    /// Waits for the end that an attempt has when no one ends it: a deadline, or a permit that is refused.
    /// Cancel-safe: timer and permit stay in `self`.
    async fn trouble(&mut self) -> Box<Error> {
        let Self { timer, permit, control, .. } = self;
        if permit.is_none() {
            return overdue(timer, control).await;
        }
        tokio::select! {
            biased;
            refused = permitted(permit, control) => match refused {
                Err(error) => error,
                Ok(()) => overdue(timer, control).await,
            },
            overdue = overdue(timer, control) => overdue,
        }
    }

    /// Takes a batch from upstream, writes what may be written. `true` when upstream has ended.
    async fn take(&mut self, real: &mut HttpSession, tasks: Vec<HttpTask>) -> Result<bool> {
        let mut ended = false;
        let mut broken = None;
        let mut news = Gathered::default();
        for task in tasks {
            ended |= task.is_end();
            match task {
                // 1xx are between a backend and us.
                HttpTask::Header(head, _) if head.status.is_informational() => {}
                HttpTask::Header(new, _) => {
                    if let Answer::Kept { head } = &mut self.answer {
                        *head = Some(new);
                    }
                }
                HttpTask::Body(data, _) | HttpTask::UpgradedBody(data, _) => {
                    news.push(data.unwrap_or_default());
                }
                HttpTask::Trailer(_) | HttpTask::Done => {}
                HttpTask::Failed(error) => broken = Some(error),
            }
        }
        if self.control.is_over() {
            broken = None;
        }
        let news = Some(news.into_bytes()).filter(|news| !news.is_empty());
        // What follows waits for the client.
        self.control.put_down(Instant::now());
        match self.answer {
            Answer::Kept { .. } => self.open(real, news, broken, ended).await?,
            Answer::Flowing => self.flow(real, news, broken.is_some(), ended).await?,
            Answer::Ended => {}
        }
        if matches!(self.answer, Answer::Ended) {
            self.control.delivered();
        }
        Ok(ended)
    }

    /// Waits for the permit of an answer that could go. Nobody else looks after the client or the clock meanwhile:
    /// Pingora's loop stands still until this returns.
    async fn wait_for_permit(&mut self, real: &mut HttpSession) -> Result<()> {
        let Self { timer, permit, control, .. } = self;
        if permit.is_none() {
            return Ok(());
        }
        let gone = tokio::select! {
            biased;
            said = permitted(permit, control) => return said,
            client = real.read_body_or_idle(true) => client.err().map(Error::into_down),
            () = over(timer, control) => Some(Error::new(OVERDUE)),
        };
        match gone {
            Some(error) => Err(error),
            // A client that sends more has not left.
            None => tokio::select! {
                biased;
                said = permitted(permit, control) => said,
                () = over(timer, control) => Err(Error::new(OVERDUE)),
            },
        }
    }

    /// Nothing is written yet: keep on holding, give up, or begin.
    async fn open(
        &mut self,
        real: &mut HttpSession,
        news: Option<Bytes>,
        broken: Option<Box<Error>>,
        ended: bool,
    ) -> Result<()> {
        if self.control.released().is_some() {
            self.wait_for_permit(real).await?;
            if let Some(word) = self.control.word() {
                self.permit = Some(word);
                self.wait_for_permit(real).await?;
            }
        }
        let Answer::Kept { head } = &mut self.answer else { return Ok(()) };
        let Some(framing) = self.control.released() else {
            return match broken {
                Some(error) => Err(error),
                None if ended => Error::e_explain(USELESS, "nothing was released"),
                None if news.is_some() => Error::e_explain(USELESS, "a body came before its release"),
                None => Ok(()),
            };
        };
        let Some(mut head) = head.take() else {
            return Error::e_explain(USELESS, "released without a head");
        };
        let whole = news.unwrap_or_default();
        self.control.begin_sending(Instant::now());
        match framing {
            Framing::Whole => {
                head.set_content_length(whole.len())?;
                self.answer = Answer::Ended;
                // The head waits in the listener's write buffer, so that both leave in one send.
                real.write_response_header(head).await.map_err(Error::into_down)?;
                pour(real, whole, true).await
            }
            Framing::Stream => {
                self.answer = Answer::Flowing;
                real.write_response_header(head).await.map_err(Error::into_down)?;
                self.flow(real, Some(whole), broken.is_some(), ended).await
            }
        }
    }

    /// The head is written: pass on, and end as the control or a failure says.
    async fn flow(
        &mut self,
        real: &mut HttpSession,
        news: Option<Bytes>,
        broken: bool,
        ended: bool,
    ) -> Result<()> {
        let last = if self.control.is_over() {
            news
        } else if broken || ended {
            self.control.blame(UpstreamFault::Truncated);
            let mut last = Gathered::default();
            last.push(news.unwrap_or_default());
            last.push(self.last_words.clone());
            Some(last.into_bytes())
        } else {
            return match news {
                Some(news) if !news.is_empty() => {
                    pour(real, news, false).await?;
                    // While the client was slow nobody looked at the backend: its silence counts from now.
                    self.control.connected(Instant::now());
                    Ok(())
                }
                Some(_) | None => Ok(()),
            };
        };
        self.answer = Answer::Ended;
        match last {
            Some(last) if !last.is_empty() => pour(real, last, true).await,
            Some(_) | None => real.finish_body().await.map_err(Error::into_down),
        }
    }
}

/// Waits for the next deadline that has really passed. Cancel-safe.
async fn overdue(timer: &mut Timer, control: &Control) -> Box<Error> {
    let now = poll_fn(|cx| timer.poll_until(cx, control.deadline())).await;
    control.overdue(now);
    Error::new(OVERDUE)
}

/// Waits for the end of the whole request, however far it has come. Cancel-safe.
async fn over(timer: &mut Timer, control: &Control) {
    let now = poll_fn(|cx| timer.poll_until(cx, control.whole_end())).await;
    control.over(now);
}

/// Waits for the permit, if there is one to wait for. Cancel-safe. It may never come: somebody has to look after the
/// end of the request meanwhile.
async fn permitted(slot: &mut Option<Permit>, control: &Control) -> Result<()> {
    let Some(permit) = slot else { return Ok(()) };
    let said = permit.await;
    *slot = None;
    // Whoever should have spoken is gone: that is no permit.
    let said = said.unwrap_or(Err(UpstreamFault::NotModerated));
    said.map_err(|fault| {
        control.take_back(fault);
        Error::explain(USELESS, fault.label())
    })
}

/// Writes a piece of the answer, slice by slice; `end` says whether it is the last.
async fn pour(real: &mut HttpSession, mut piece: Bytes, end: bool) -> Result<()> {
    while piece.len() > SLICE {
        real.write_response_body(piece.split_to(SLICE), false).await.map_err(Error::into_down)?;
    }
    real.write_response_body(piece, end).await.map_err(Error::into_down)
}
