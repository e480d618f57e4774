//! Where the daemon is in its life, as far as requests are concerned.

use std::future::poll_fn;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crossbeam_utils::atomic::AtomicCell;

use super::timer::Timer;

/// How soon whoever waits for something else learns that the daemon is leaving.
pub const LOOK: Duration = Duration::from_secs(1);

/// A stretch of the daemon's life. Each follows those above it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stage {
    /// The listeners do not accept yet.
    Starting,
    /// New requests are welcome.
    Serving,
    /// Another process has our listeners. What comes on connections of ours is answered, and is their last.
    HandedOver,
    /// We leave; new requests are refused.
    Stopping,
}

/// Which of two ends has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// That of what was waited for.
    Own,
    /// The daemon's.
    Daemon,
}

/// The stage, and when what still runs is ended. One for the process.
#[derive(Debug)]
pub struct Life {
    stage: AtomicCell<Stage>,
    began: Instant,
    /// In nanoseconds since it began.
    end: AtomicU64,
}

impl Default for Life {
    fn default() -> Self {
        Self { stage: AtomicCell::new(Stage::Starting), began: Instant::now(), end: AtomicU64::new(u64::MAX) }
    }
}

impl Life {
    /// The stage now.
    pub fn stage(&self) -> Stage {
        self.stage.load()
    }

    /// Goes on to a stage; says `false`, and changes nothing, when it has been reached or left behind.
    pub fn go_on(&self, to: Stage) -> bool {
        self.stage.fetch_update(|now| (now < to).then_some(to)).is_ok()
    }

    /// Requests that still run then are ended.
    pub fn end_at(&self, end: Instant) {
        let since = end.saturating_duration_since(self.began).as_nanos();
        self.end.store(u64::try_from(since).unwrap_or(u64::MAX), Ordering::Release);
    }

    /// When requests that still run are ended; `None` as long as nobody thinks of it.
    fn end(&self) -> Option<Instant> {
        match self.end.load(Ordering::Acquire) {
            u64::MAX => None,
            since => Some(self.began + Duration::from_nanos(since)),
        }
    }

    /// When something ends that has until `own`: then, or with the requests that still run.
    pub fn no_later(&self, own: Instant) -> Instant {
        self.end().map_or(own, |end| end.min(own))
    }

    /// Whether requests that still run are ended by now.
    pub fn is_over(&self, now: Instant) -> bool {
        self.end().is_some_and(|end| end <= now)
    }

    /// Waits until `own`, or until requests that still run are ended.
    pub async fn over(&self, own: Instant) -> End {
        let mut timer = Timer::looking_every(LOOK);
        let now = poll_fn(|cx| timer.poll_until(cx, self.no_later(own))).await;
        if self.is_over(now) { End::Daemon } else { End::Own }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_goes_on_and_never_back() {
        assert!(AtomicCell::<Stage>::is_lock_free());
        let life = Life::default();
        assert_eq!(life.stage(), Stage::Starting);
        assert!(life.go_on(Stage::Serving) && life.go_on(Stage::HandedOver));
        assert!(!life.go_on(Stage::Serving) && !life.go_on(Stage::HandedOver));
        assert_eq!(life.stage(), Stage::HandedOver);
        assert!(life.go_on(Stage::Stopping));
    }

    #[test]
    fn its_end_is_unknown_until_it_is_told() {
        let life = Life::default();
        assert_eq!(life.end(), None);
        let end = Instant::now() + Duration::from_secs(3);
        life.end_at(end);
        assert_eq!(life.end(), Some(end));
    }

    #[tokio::test]
    async fn the_end_that_comes_first_is_waited_for_and_named() {
        let (life, now) = (Life::default(), Instant::now());
        let (soon, late) = (now + Duration::from_millis(20), now + Duration::from_secs(60));
        assert_eq!((life.no_later(late), life.is_over(late)), (late, false));
        assert_eq!(life.over(soon).await, End::Own);
        life.end_at(soon);
        assert_eq!((life.no_later(late), life.no_later(now)), (soon, now));
        assert_eq!((life.is_over(now), life.is_over(soon)), (false, true));
        assert_eq!(life.over(late).await, End::Daemon);
    }
}
