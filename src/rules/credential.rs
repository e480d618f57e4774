//! What a backend says of our account with it: that it does not take our credential, or that we ask too much.
//! It holds for all its addresses.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use super::tick::Tick;

/// How long a refused credential is left out. Someone may have paid the bill, or unlocked the key, since.
pub const OUT: Duration = Duration::from_secs(60);
/// How long the one request that tries it again may take.
const PROBE: Duration = Duration::from_secs(10);
/// So many refusals in a row that may be about one request make it certain that they are not.
const IN_A_ROW: u32 = 3;

/// How sure it is that a refusal is about our credential.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sure {
    /// The status or the code says so.
    Yes,
    /// It may be about this one request: a 403 comes from firewalls, too.
    Perhaps,
}

/// Our account with a backend.
#[derive(Debug, Default)]
pub struct Credential {
    /// Until when it is left out, in nanoseconds; 0 is not at all.
    out: AtomicU64,
    /// Refusals since the last request that it took.
    refusals: AtomicU32,
    /// Until when the backend wants to be left alone, in nanoseconds.
    cooling: AtomicU64,
}

impl Credential {
    /// Notes a refusal. Says whether the credential is left out because of it.
    pub fn refused(&self, sure: Sure, now: Tick) -> bool {
        let refusals = self.refusals.fetch_add(1, Relaxed).saturating_add(1);
        match sure {
            Sure::Perhaps if refusals < IN_A_ROW => false,
            Sure::Perhaps | Sure::Yes => {
                let before = self.out.swap(now.plus(OUT).nanos(), Relaxed);
                before <= now.nanos()
            }
        }
    }

    /// A request with it has been taken, so it is good.
    pub fn taken(&self) {
        if self.refusals.load(Relaxed) > 0 {
            self.refusals.store(0, Relaxed);
            self.out.store(0, Relaxed);
        }
    }

    /// Whether it may be tried.
    pub fn is_usable(&self, now: Tick) -> bool {
        self.out.load(Relaxed) <= now.nanos()
    }

    /// Asks to try it: when it has been out, one request does, and the others wait for what comes of it.
    pub fn enter(&self, now: Tick) -> bool {
        match self.out.load(Relaxed) {
            0 => true,
            out if out <= now.nanos() => {
                self.out.compare_exchange(out, now.plus(PROBE).nanos(), Relaxed, Relaxed).is_ok()
            }
            _ => false,
        }
    }

    /// Leaves the backend alone until then, or for longer if it has asked for longer before.
    pub fn cool_down(&self, until: Tick) {
        self.cooling.fetch_max(until.nanos(), Relaxed);
    }

    /// How long it is still to be left alone; `None` when it may be asked.
    pub fn cooling(&self, now: Tick) -> Option<Duration> {
        let left = Tick::new(self.cooling.load(Relaxed)).since(now);
        (!left.is_zero()).then_some(left)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Tick {
        Tick::ZERO.plus(Duration::from_secs(seconds))
    }

    #[test]
    fn a_refused_credential_is_out_for_a_minute_and_then_one_request_tries_it() {
        let credential = Credential::default();
        assert!(credential.enter(at(10)));
        assert!(credential.refused(Sure::Yes, at(10)));
        assert!(!credential.refused(Sure::Yes, at(11)), "no news");
        assert!(!credential.is_usable(at(70)) && !credential.enter(at(70)));
        assert!(credential.is_usable(at(71)) && credential.enter(at(71)));
        assert!(!credential.is_usable(at(72)) && !credential.enter(at(72)), "one at a time");
        assert!(credential.enter(at(81)), "the first one never came back");
        credential.taken();
        assert!(credential.enter(at(81)) && credential.enter(at(81)));
    }

    #[test]
    fn what_may_be_about_one_request_counts_only_in_a_row() {
        let credential = Credential::default();
        for _ in 0..5 {
            assert!(!credential.refused(Sure::Perhaps, at(0)));
            assert!(!credential.refused(Sure::Perhaps, at(0)));
            assert!(credential.is_usable(at(0)));
            credential.taken();
        }
        assert!(!credential.refused(Sure::Perhaps, at(0)));
        assert!(!credential.refused(Sure::Perhaps, at(0)));
        assert!(credential.refused(Sure::Perhaps, at(0)));
        assert!(!credential.is_usable(at(1)));
        // One that was under way all the time is taken: it was not about the credential.
        credential.taken();
        assert!(credential.is_usable(at(1)));
    }

    #[test]
    fn a_cool_down_is_never_shortened() {
        let credential = Credential::default();
        assert_eq!(credential.cooling(at(0)), None);
        credential.cool_down(at(5));
        credential.cool_down(at(2));
        assert_eq!(credential.cooling(at(4)), Some(Duration::from_secs(1)));
        assert_eq!(credential.cooling(at(5)), None);
    }
}
