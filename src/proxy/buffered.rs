//! The memory that request bodies of all clients together may take.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// How many bytes of request bodies are in memory. One for the process; clones share it.
#[derive(Debug, Clone, Default)]
pub struct Buffered(Arc<AtomicUsize>);

/// There is no room for more.
#[derive(Debug, PartialEq, Eq)]
pub struct Full;

/// One body's part of it, given back when dropped.
#[derive(Debug)]
pub struct Part {
    of: Buffered,
    bytes: usize,
}

impl Buffered {
    /// How many bytes there are now.
    pub fn bytes(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }

    /// Room for a body of which nothing has come.
    pub fn part(&self) -> Part {
        Part { of: self.clone(), bytes: 0 }
    }
}

impl Part {
    /// Takes room for so many more bytes, so that all bodies together take no more than `max`.
    ///
    /// # Errors
    /// When they would; nothing is taken then.
    pub fn grow(&mut self, more: usize, max: usize) -> Result<(), Full> {
        let fits = |all: usize| all.checked_add(more).filter(|all| *all <= max);
        self.of.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, fits).map_err(|_| Full)?;
        self.bytes += more;
        Ok(())
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        self.of.0.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_parts_together_fit_and_are_given_back() {
        let all = Buffered::default();
        let (mut one, mut other) = (all.part(), all.part());
        assert_eq!((one.grow(60, 100), other.grow(40, 100)), (Ok(()), Ok(())));
        assert_eq!((one.grow(1, 100), other.grow(usize::MAX, 100)), (Err(Full), Err(Full)));
        assert_eq!(one.grow(0, 100), Ok(()));
        drop(one);
        assert_eq!((all.bytes(), other.grow(60, 100), all.bytes()), (40, Ok(()), 100));
        drop(other);
        assert_eq!(all.bytes(), 0);
    }
}
