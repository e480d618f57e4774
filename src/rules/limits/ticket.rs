//! Waiting for a slot: a place in a book's line, and what comes of it.

use std::sync::Arc;

use tokio::sync::Notify;

use super::book::{Ask, Book, Limit, Reservation, When, Windows};
use super::line::Waiter;

/// Where a request waits.
pub struct Queueing {
    /// Whose queue it is: so many of one group may wait.
    pub group: Arc<str>,
    pub depth: usize,
    /// Between these there are turns.
    pub who: Arc<str>,
}

/// As many as may wait do so.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LineFull;

impl Book {
    /// Waits in line instead: the ticket is called when slots have been taken for it. The windows are looked
    /// at after that, when it is known what time it is.
    ///
    /// # Errors
    /// When as many of this group as may wait do so.
    pub fn line_up(
        self: &Arc<Self>,
        limits: Vec<Limit>,
        tokens: u64,
        when: When,
        instances: u64,
        place: Queueing,
    ) -> Result<Ticket, LineFull> {
        let Queueing { group, depth, who } = place;
        let called = Arc::new(Notify::new());
        let ask = Ask { limits, tokens, windows: Windows::Theirs, instances };
        let waiter = Waiter::new(ask, group, called.clone());
        let mut pages = self.pages();
        let number = pages.line.push(waiter, who, depth).ok_or(LineFull)?;
        // A slot may have become free since it was refused one.
        pages.serve_line(when);
        drop(pages);
        Ok(Ticket { book: self.clone(), number, when, called })
    }
}

/// A place in line. Dropped, it is given up.
#[derive(Debug)]
pub struct Ticket {
    book: Arc<Book>,
    number: u64,
    when: When,
    called: Arc<Notify>,
}

impl Ticket {
    /// Resolves when it has been called.
    pub async fn called(&self) {
        self.called.notified().await;
    }

    /// The slots that have been taken for it, if it has been called. The windows are still to be decided about.
    pub fn redeem(&self, when: When) -> Option<Reservation> {
        let ask = self.book.pages().line.redeem(self.number)?;
        Some(self.book.reservation(ask, when))
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        let granted = self.book.pages().line.leave(self.number);
        if let Some(ask) = granted {
            // It was called and is not coming: as if it had been and gone.
            drop(self.book.reservation(ask, self.when));
        }
    }
}
