//! A backend's credential that it has refused: it is left out for a while, because asking again with the
//! same key costs an attempt and changes nothing.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use super::tick::Tick;

/// How long a refused credential is left out. Someone may have paid the bill, or unlocked the key, since.
pub const OUT: Duration = Duration::from_secs(60);

/// Whether a backend takes our credential.
#[derive(Debug, Default)]
pub struct Credential {
    /// Until when it is left out, in nanoseconds.
    out: AtomicU64,
}

impl Credential {
    /// Leaves it out. Says whether that is news.
    pub fn refused(&self, now: Tick) -> bool {
        let before = self.out.swap(now.plus(OUT).nanos(), Relaxed);
        before <= now.nanos()
    }

    /// Whether it may be tried.
    pub fn is_usable(&self, now: Tick) -> bool {
        self.out.load(Relaxed) <= now.nanos()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refused_credential_is_out_for_a_minute_and_news_once() {
        let credential = Credential::default();
        let at = |seconds| Tick::ZERO.plus(Duration::from_secs(seconds));
        assert!(credential.is_usable(at(0)));
        assert!(credential.refused(at(10)));
        assert!(!credential.refused(at(11)));
        assert!(!credential.is_usable(at(70)));
        assert!(credential.is_usable(at(71)));
        assert!(credential.refused(at(71)));
    }
}
