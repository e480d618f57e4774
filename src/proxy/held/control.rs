//! What the filters and the held session tell each other about one request.
//!
//! Both run in the request's one task and never at the same time; the atomics are there because
//! Pingora's traits ask for `Sync`, and cost no more than plain fields.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crossbeam_utils::atomic::AtomicCell;

use super::Permit;
use crate::error::UpstreamFault;
use crate::proxy::life::Life;

/// How the client's answer is framed, known when it is let go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Framing {
    /// All of it is there: a `Content-Length`, and one write for head and body.
    Whole,
    /// More is to come: chunked, event by event.
    Stream,
}

/// How long the parts of an attempt may take.
#[derive(Debug, Clone, Copy)]
pub struct Patience {
    /// Until the first sign of an answer.
    pub first: Duration,
    /// Between two signs of life.
    pub idle: Duration,
}

/// How long a backend may keep its connection busy after the end of its answer before we drop it.
const LINGER: Duration = Duration::from_secs(1);

/// How far the answer has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// Nothing useful yet.
    Waiting,
    /// The backend is answering.
    Answering,
    /// The answer is complete.
    Complete,
    /// The answer was ended by us; the backend is to be left at once.
    Cut,
}

/// The end of the client's answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Tail {
    Due,
    Written,
}

/// The shared state of one held request. Times are nanoseconds since it began.
#[derive(Debug)]
pub struct Control {
    began: Instant,
    /// The daemon's, which may end before the request does.
    life: Arc<Life>,
    /// When the whole request is over.
    end: AtomicCell<u64>,
    first: AtomicCell<u64>,
    idle: AtomicCell<u64>,
    /// When the backend last gave a sign of life, or the attempt began.
    alive: AtomicCell<u64>,
    stage: AtomicCell<Stage>,
    released: AtomicCell<Option<Framing>>,
    /// A word that what was released still waits for.
    word: Mutex<Option<Permit>>,
    fault: AtomicCell<Option<UpstreamFault>>,
    /// Since when we have had a piece of the answer that is not written yet; [`NOTHING`] if there is none.
    picked_up: AtomicCell<u64>,
    /// For how long we have had such pieces.
    in_hand: AtomicCell<u64>,
    /// When the client was first sent a part of the answer; [`NOTHING`] before.
    sent: AtomicCell<u64>,
    tail: AtomicCell<Tail>,
}

/// No moment of a request: it takes longer than a nanosecond to come that far.
const NOTHING: u64 = 0;

impl Control {
    /// Nothing has been asked yet; only the end of the whole request counts.
    pub fn new(now: Instant, end: Instant, life: Arc<Life>) -> Self {
        let whole = nanos(end.saturating_duration_since(now));
        Self {
            began: now,
            life,
            end: AtomicCell::new(whole),
            first: AtomicCell::new(whole),
            idle: AtomicCell::new(whole),
            alive: AtomicCell::new(0),
            stage: AtomicCell::new(Stage::Waiting),
            released: AtomicCell::new(None),
            word: Mutex::new(None),
            fault: AtomicCell::new(None),
            picked_up: AtomicCell::new(NOTHING),
            in_hand: AtomicCell::new(0),
            sent: AtomicCell::new(NOTHING),
            tail: AtomicCell::new(Tail::Due),
        }
    }

    fn since(&self, now: Instant) -> u64 {
        nanos(now.saturating_duration_since(self.began))
    }

    /// Filters: another backend is about to be asked.
    pub fn begin(&self, patience: Patience) {
        self.first.store(nanos(patience.first));
        self.idle.store(nanos(patience.idle));
        self.stage.store(Stage::Waiting);
        self.fault.store(None);
        self.word();
    }

    /// Filters: what is still to come of this attempt may not pause for longer than this.
    pub fn hurry(&self, idle: Duration) {
        self.idle.store(self.idle.load().min(nanos(idle)));
    }

    /// Filters: the whole request is over then.
    pub fn end_at(&self, end: Instant) {
        self.end.store(self.since(end));
    }

    /// Held session: the backend is connected; from now on it is expected to answer.
    pub fn connected(&self, now: Instant) {
        self.alive.store(self.since(now));
    }

    /// Filters: the backend has said something that counts.
    pub fn heard(&self, now: Instant) {
        self.alive.store(self.since(now));
        if self.stage.load() == Stage::Waiting {
            self.stage.store(Stage::Answering);
        }
    }

    /// Filters: what is there, and what follows, may go to the client. The first word stands.
    pub fn release(&self, framing: Framing) {
        if self.released.load().is_none() {
            self.released.store(Some(framing));
        }
    }

    /// Filters: what is released now waits for one more word, which has just been asked for.
    pub fn wait_for(&self, word: Permit) {
        *self.word.lock().unwrap_or_else(PoisonError::into_inner) = Some(word);
    }

    /// Held session: the word to wait for, if there is one; it is told once.
    pub fn word(&self) -> Option<Permit> {
        self.word.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// Held session: what was released must not go to the client after all, of whom nothing has been sent.
    pub fn take_back(&self, fault: UpstreamFault) {
        self.released.store(None);
        self.stage.store(Stage::Answering);
        self.fault.store(Some(fault));
    }

    /// Whether, and in what framing, the answer may go to the client.
    pub fn released(&self) -> Option<Framing> {
        self.released.load()
    }

    /// Filters: the answer is complete; what the backend says from now on is ignored.
    pub fn complete(&self, now: Instant) {
        self.alive.store(self.since(now));
        self.stage.store(Stage::Complete);
    }

    /// Filters: the answer ends here with what the filters have written; the backend is left at once.
    pub fn cut(&self) {
        self.stage.store(Stage::Cut);
    }

    /// Whether nothing is to follow: the answer is complete, or was cut.
    pub fn is_over(&self) -> bool {
        match self.stage.load() {
            Stage::Complete | Stage::Cut => true,
            Stage::Waiting | Stage::Answering => false,
        }
    }

    /// Anyone: why this attempt fails. The first reason stands.
    pub fn blame(&self, fault: UpstreamFault) {
        if self.fault.load().is_none() {
            self.fault.store(Some(fault));
        }
    }

    /// Why the last attempt failed, if somebody knew.
    pub fn fault(&self) -> Option<UpstreamFault> {
        self.fault.load()
    }

    /// Filters: a piece of the answer has come; the time until it is put down is ours.
    pub fn pick_up(&self, now: Instant) {
        if self.picked_up.load() == NOTHING {
            self.picked_up.store(self.since(now));
        }
    }

    /// Held session: what has come is about to be written, or kept for later.
    pub fn put_down(&self, now: Instant) {
        let since = self.picked_up.swap(NOTHING);
        if since != NOTHING {
            let more = self.since(now).saturating_sub(since);
            self.in_hand.store(self.in_hand.load().saturating_add(more));
        }
    }

    /// Held session: the answer begins to go to the client, with a part that is useful.
    pub fn begin_sending(&self, now: Instant) {
        self.sent.store(self.since(now));
    }

    /// How long after the request's beginning that was, if it was.
    pub fn first_sent(&self) -> Option<Duration> {
        Some(self.sent.load()).filter(|sent| *sent != NOTHING).map(Duration::from_nanos)
    }

    /// Whoever has written the end of the answer: the client may ask its next question on this connection,
    /// whatever becomes of the attempt.
    pub fn delivered(&self) {
        self.tail.store(Tail::Written);
    }

    /// Whether the client has its whole answer.
    pub fn is_delivered(&self) -> bool {
        self.tail.load() == Tail::Written
    }

    /// For how long pieces of the answer were with us, all together.
    pub fn in_hand(&self) -> Duration {
        Duration::from_nanos(self.in_hand.load())
    }

    /// Held session: when the next deadline is.
    pub fn deadline(&self) -> Instant {
        let wait = match self.stage.load() {
            Stage::Waiting => self.first.load(),
            Stage::Answering => self.idle.load(),
            Stage::Complete => nanos(LINGER),
            Stage::Cut => 0,
        };
        self.no_later(self.alive.load().saturating_add(wait).min(self.end.load()))
    }

    /// Held session: when the whole request is over, or the daemon.
    pub fn whole_end(&self) -> Instant {
        self.no_later(self.end.load())
    }

    fn no_later(&self, at: u64) -> Instant {
        self.life.no_later(self.began + Duration::from_nanos(at))
    }

    /// Held session: that end has come while the answer waited to go to the client. It must not any more.
    pub fn over(&self, now: Instant) {
        let leaving = self.life.is_over(now);
        self.take_back(if leaving { UpstreamFault::DrainOver } else { UpstreamFault::TotalTimeout });
    }

    /// Held session: a deadline has passed. Says which, unless the answer was over anyway.
    pub fn overdue(&self, now: Instant) {
        let fault = match self.stage.load() {
            Stage::Waiting | Stage::Answering if self.life.is_over(now) => UpstreamFault::DrainOver,
            Stage::Waiting | Stage::Answering if self.since(now) >= self.end.load() => {
                UpstreamFault::TotalTimeout
            }
            Stage::Waiting => UpstreamFault::FirstByteTimeout,
            Stage::Answering => UpstreamFault::IdleTimeout,
            Stage::Complete | Stage::Cut => return,
        };
        self.blame(fault);
    }
}

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const S: Duration = Duration::from_secs(1);

    fn waiting() -> (Control, Instant) {
        let now = Instant::now();
        let control = Control::new(now, now + 10 * S, Arc::default());
        control.begin(Patience { first: 5 * S, idle: 2 * S });
        control.connected(now);
        (control, now)
    }

    #[test]
    fn each_stage_has_its_deadline_and_the_end_bounds_them_all() {
        let (control, now) = waiting();
        assert_eq!(control.deadline(), now + 5 * S);
        control.heard(now + 3 * S);
        assert_eq!(control.deadline(), now + 5 * S);
        control.heard(now + 9 * S);
        assert_eq!(control.deadline(), now + 10 * S);
        control.complete(now + 4 * S);
        assert_eq!(control.deadline(), now + 5 * S);
    }

    #[test]
    fn the_deadline_that_passed_is_named() {
        let (control, now) = waiting();
        control.overdue(now + 5 * S);
        assert_eq!(control.fault(), Some(UpstreamFault::FirstByteTimeout));
        let (control, now) = waiting();
        control.heard(now);
        control.overdue(now + 2 * S);
        assert_eq!(control.fault(), Some(UpstreamFault::IdleTimeout));
        let (control, now) = waiting();
        control.overdue(now + 10 * S);
        assert_eq!(control.fault(), Some(UpstreamFault::TotalTimeout));
        let (control, now) = waiting();
        control.complete(now);
        control.overdue(now + 10 * S);
        assert_eq!(control.fault(), None);
    }

    #[test]
    fn the_end_of_the_daemon_is_nobodys_fault_and_bounds_them_all() {
        let (control, now) = waiting();
        control.life.end_at(now + S);
        assert_eq!(control.deadline(), now + S);
        control.overdue(now + S);
        assert_eq!(control.fault(), Some(UpstreamFault::DrainOver));
    }

    #[test]
    fn a_whole_answer_that_waits_is_taken_back_at_the_end_of_all() {
        let (control, now) = waiting();
        control.release(Framing::Whole);
        control.complete(now);
        assert_eq!(control.whole_end(), now + 10 * S);
        control.over(now + 10 * S);
        assert_eq!((control.released(), control.is_over()), (None, false));
        assert_eq!(control.fault(), Some(UpstreamFault::TotalTimeout));
        control.life.end_at(now + S);
        assert_eq!(control.whole_end(), now + S);
        control.over(now + S);
        assert_eq!(control.fault(), Some(UpstreamFault::DrainOver));
    }

    #[test]
    fn pieces_are_ours_from_the_first_of_a_batch_to_its_writing() {
        let (control, now) = waiting();
        control.put_down(now + S);
        control.pick_up(now + 2 * S);
        control.pick_up(now + 3 * S);
        control.put_down(now + 4 * S);
        control.put_down(now + 9 * S);
        assert_eq!(control.in_hand(), 2 * S);
    }

    #[test]
    fn the_first_fault_stands_until_the_next_attempt() {
        let (control, _) = waiting();
        control.blame(UpstreamFault::BadJson);
        control.blame(UpstreamFault::Reset);
        assert_eq!(control.fault(), Some(UpstreamFault::BadJson));
        control.begin(Patience { first: S, idle: S });
        assert_eq!(control.fault(), None);
    }
}
