//! How long may be looked for what is forbidden.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::walk::Halt;

/// How much work may still be done. A unit is a few nanoseconds; a byte that is looked up counts nothing.
#[derive(Debug, Clone)]
pub struct Work {
    left: usize,
    stop: Option<Stop>,
}

/// Says that nobody waits for the end of some work any more. Clones share it.
#[derive(Debug, Clone, Default)]
pub struct Stop(Arc<AtomicBool>);

impl Stop {
    /// What is under way is to end soon, with nothing found.
    pub fn say(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    fn is_said(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

impl Work {
    /// Never done.
    pub(super) const ENDLESS: Self = Self { left: usize::MAX, stop: None };

    /// So many units.
    pub const fn of(units: usize) -> Self {
        Self { left: units, stop: None }
    }

    /// As much as it takes, until somebody says that it is to stop.
    pub const fn until(stop: Stop) -> Self {
        Self { left: usize::MAX, stop: Some(stop) }
    }

    /// The same, until somebody says that it is to stop.
    #[must_use]
    pub fn or_until(self, stop: Stop) -> Self {
        Self { stop: Some(stop), ..self }
    }

    /// Nothing is left when somebody has said that it is to stop.
    pub(super) fn spend(&mut self, units: usize) -> Result<(), Halt> {
        if self.stop.as_ref().is_some_and(Stop::is_said) {
            return Err(Halt::Tired);
        }
        self.left = self.left.checked_sub(units).ok_or(Halt::Tired)?;
        Ok(())
    }
}
