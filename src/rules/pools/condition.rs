//! How an address is, for whoever shows it: the one reason that matters most why it is not asked, or not gladly.

use std::time::Duration;

use super::{Member, Mood, Pool};
use crate::rules::breaker::State;
use crate::rules::tick::Tick;
use crate::rules::vitals::Kind;

/// How an address is, from best to worst.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Condition {
    /// It gets its share.
    Good,
    /// Far slower than its fellows: asked as a last resort.
    Slow,
    /// Its breaker lets one request through at a time.
    OnTrial,
    /// It has asked to be left alone, for this long still.
    LeftAlone(Duration),
    /// It does not take our credential.
    CredentialRefused,
    /// It failed too often.
    BreakerOpen,
    /// Its checks fail.
    Down,
}

impl Pool {
    /// How one of its addresses is, and whether it can be asked now.
    pub fn condition(&self, member: &Member, now: Tick) -> (Condition, bool) {
        let slow = [Kind::Stream, Kind::Whole].into_iter().any(|kind| member.vitals.speed(kind).is_slow());
        let breaker = member.vitals.breaker.state(now);
        let condition = match (breaker, member.cooling(now)) {
            _ if !member.vitals.is_up() => Condition::Down,
            (State::Open, _) => Condition::BreakerOpen,
            (State::Closed | State::HalfOpen, _) if !member.credential().is_usable(now) => {
                Condition::CredentialRefused
            }
            (State::Closed | State::HalfOpen, Some(left)) => Condition::LeftAlone(left),
            (State::HalfOpen, None) => Condition::OnTrial,
            (State::Closed, None) if slow => Condition::Slow,
            (State::Closed, None) => Condition::Good,
        };
        (condition, member.can_be_asked(&self.breaker, Mood::Calm, now))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_worse_comes_later() {
        let left_alone = Condition::LeftAlone(Duration::from_secs(60));
        assert!(Condition::Good < Condition::Slow && Condition::OnTrial < left_alone);
        assert!(left_alone < Condition::CredentialRefused && Condition::BreakerOpen < Condition::Down);
    }
}
