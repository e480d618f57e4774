//! Whether a moderator answers, and since when it does not.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// It answers again when nothing has failed for so long: single requests that it cannot take do not make a turn each.
const CALM: Duration = Duration::from_secs(5);

/// How a moderator stands.
#[derive(Debug, Default)]
pub struct Standing(Mutex<Option<Trouble>>);

/// It fails.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trouble {
    pub since: Instant,
    /// When it failed last.
    pub last: Instant,
    /// Why it did.
    pub why: String,
}

/// What a moderator's word, or its failure, means for how it stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Turn {
    Not,
    /// It fails from now on.
    ToBad,
    /// It answers again.
    ToGood,
}

impl Standing {
    /// It gave its word.
    pub fn answered(&self, now: Instant) -> Turn {
        let mut standing = self.held();
        match &*standing {
            Some(trouble) if now.saturating_duration_since(trouble.last) >= CALM => {
                *standing = None;
                Turn::ToGood
            }
            Some(_) | None => Turn::Not,
        }
    }

    /// It gave none.
    pub fn failed(&self, why: String, now: Instant) -> Turn {
        let mut standing = self.held();
        let before = standing.take();
        let turn = if before.is_some() { Turn::Not } else { Turn::ToBad };
        let since = before.map_or(now, |before| before.since);
        *standing = Some(Trouble { since, last: now, why });
        turn
    }

    /// What is wrong with it, if anything is.
    pub fn trouble(&self) -> Option<Trouble> {
        self.held().clone()
    }

    fn held(&self) -> MutexGuard<'_, Option<Trouble>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_turns_once_and_back_when_it_has_been_calm() {
        let (standing, now) = (Standing::default(), Instant::now());
        assert_eq!((standing.answered(now), standing.trouble()), (Turn::Not, None));
        assert_eq!(standing.failed("one".to_owned(), now), Turn::ToBad);
        assert_eq!(standing.answered(now + CALM / 2), Turn::Not);
        assert_eq!(standing.failed("two".to_owned(), now + CALM / 2), Turn::Not);
        let trouble = Trouble { since: now, last: now + CALM / 2, why: "two".to_owned() };
        assert_eq!(standing.trouble(), Some(trouble));
        assert_eq!(standing.answered(now + CALM), Turn::Not);
        assert_eq!(standing.answered(now + CALM * 2), Turn::ToGood);
        assert_eq!((standing.answered(now + CALM * 2), standing.trouble()), (Turn::Not, None));
    }
}
