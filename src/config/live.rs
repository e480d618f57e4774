//! The one place that holds what runs, and hides how it is swapped.

use std::sync::Arc;

use arc_swap::ArcSwap;

/// A value that is replaced as a whole while it is read.
#[derive(Debug)]
pub struct Live<T>(ArcSwap<T>);

impl<T> Live<T> {
    /// Starts with this value.
    pub fn new(value: T) -> Self {
        Self(ArcSwap::from_pointee(value))
    }

    /// The value now. Whoever holds it keeps it, whatever is swapped in later.
    pub fn load(&self) -> Arc<T> {
        self.0.load_full()
    }

    /// A look at the value now, for less than taking it along.
    pub fn look<R>(&self, look: impl FnOnce(&T) -> R) -> R {
        look(&self.0.load())
    }

    /// Replaces the value for everyone who loads it from now on.
    pub fn swap(&self, value: T) {
        self.0.store(Arc::new(value));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reader_keeps_what_it_loaded() {
        let live = Live::new(1);
        let before = live.load();
        live.swap(2);
        assert_eq!((*before, *live.load()), (1, 2));
        assert_eq!(live.look(|now| now + 1), 3);
    }
}
