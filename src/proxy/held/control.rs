//! What the filters and the held session tell each other about one request.
//!
//! Both run in the request's one task, so the lock is never contended; it is there because Pingora's
//! traits ask for `Sync`.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::error::UpstreamFault;

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
    /// When the whole request is over.
    pub end: Instant,
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

#[derive(Debug)]
struct State {
    patience: Patience,
    stage: Stage,
    /// When the backend last gave a sign of life, or the attempt began.
    alive: Instant,
    released: Option<Framing>,
    fault: Option<UpstreamFault>,
}

/// The shared state of one held request.
#[derive(Debug)]
pub struct Control(Mutex<State>);

impl Control {
    /// Nothing has been asked yet; only the end of the whole request counts.
    pub fn new(now: Instant, end: Instant) -> Self {
        let whole = end.saturating_duration_since(now);
        Self(Mutex::new(State {
            patience: Patience { first: whole, idle: whole, end },
            stage: Stage::Waiting,
            alive: now,
            released: None,
            fault: None,
        }))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // A panic between two field writes leaves nothing inconsistent here.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Filters: another backend is about to be asked.
    pub fn begin(&self, patience: Patience) {
        let mut state = self.state();
        state.patience = patience;
        state.stage = Stage::Waiting;
        state.fault = None;
    }

    /// Held session: the backend is connected; from now on it is expected to answer.
    pub fn connected(&self, now: Instant) {
        self.state().alive = now;
    }

    /// Filters: the backend has said something that counts.
    pub fn heard(&self, now: Instant) {
        let mut state = self.state();
        state.alive = now;
        if state.stage == Stage::Waiting {
            state.stage = Stage::Answering;
        }
    }

    /// Filters: what is there, and what follows, may go to the client.
    pub fn release(&self, framing: Framing) {
        self.state().released.get_or_insert(framing);
    }

    /// Whether, and in what framing, the answer may go to the client.
    pub fn released(&self) -> Option<Framing> {
        self.state().released
    }

    /// Filters: the answer is complete; what the backend says from now on is ignored.
    pub fn complete(&self, now: Instant) {
        let mut state = self.state();
        state.alive = now;
        state.stage = Stage::Complete;
    }

    /// Filters: the answer ends here with what the filters have written; the backend is left at once.
    pub fn cut(&self) {
        self.state().stage = Stage::Cut;
    }

    /// Whether nothing is to follow: the answer is complete, or was cut.
    pub fn is_over(&self) -> bool {
        match self.state().stage {
            Stage::Complete | Stage::Cut => true,
            Stage::Waiting | Stage::Answering => false,
        }
    }

    /// Anyone: why this attempt fails. The first reason stands.
    pub fn blame(&self, fault: UpstreamFault) {
        self.state().fault.get_or_insert(fault);
    }

    /// Why the last attempt failed, if somebody knew.
    pub fn fault(&self) -> Option<UpstreamFault> {
        self.state().fault
    }

    /// Held session: when the next deadline is.
    pub fn deadline(&self) -> Instant {
        let state = self.state();
        let wait = match state.stage {
            Stage::Waiting => state.patience.first,
            Stage::Answering => state.patience.idle,
            Stage::Complete => LINGER,
            Stage::Cut => Duration::ZERO,
        };
        (state.alive + wait).min(state.patience.end)
    }

    /// Held session: a deadline has passed. Says which, unless the answer was complete anyway.
    pub fn overdue(&self, now: Instant) {
        let mut state = self.state();
        let fault = match state.stage {
            Stage::Complete | Stage::Cut => return,
            Stage::Waiting | Stage::Answering if now >= state.patience.end => UpstreamFault::TotalTimeout,
            Stage::Waiting => UpstreamFault::FirstByteTimeout,
            Stage::Answering => UpstreamFault::IdleTimeout,
        };
        state.fault.get_or_insert(fault);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const S: Duration = Duration::from_secs(1);

    fn waiting() -> (Control, Instant) {
        let now = Instant::now();
        let control = Control::new(now, now + 100 * S);
        control.begin(Patience { first: 5 * S, idle: 2 * S, end: now + 10 * S });
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
    fn the_first_fault_stands_until_the_next_attempt() {
        let (control, now) = waiting();
        control.blame(UpstreamFault::BadJson);
        control.blame(UpstreamFault::Reset);
        assert_eq!(control.fault(), Some(UpstreamFault::BadJson));
        control.begin(Patience { first: S, idle: S, end: now + S });
        assert_eq!(control.fault(), None);
    }
}
