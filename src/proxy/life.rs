//! Where the daemon is in its life, as far as requests are concerned.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use crossbeam_utils::atomic::AtomicCell;

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
    pub fn end(&self) -> Option<Instant> {
        match self.end.load(Ordering::Acquire) {
            u64::MAX => None,
            since => Some(self.began + std::time::Duration::from_nanos(since)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

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
}
