//! Requests in line for a slot: in turns between keys, first come first served within each.

use std::collections::VecDeque;
use std::sync::Arc;

use tokio::sync::Notify;

use super::book::Ask;

/// A request in line.
pub(super) struct Waiter {
    ask: Ask,
    group: Arc<str>,
    called: Arc<Notify>,
    number: u64,
}

impl Waiter {
    pub(super) fn new(ask: Ask, group: Arc<str>, called: Arc<Notify>) -> Self {
        Self { ask, group, called, number: 0 }
    }
}

/// Everyone who waits in one book, and who has been called but has not come yet.
#[derive(Default)]
pub(super) struct Line {
    /// By key; the first is the next to be looked at.
    keys: VecDeque<(Arc<str>, VecDeque<Waiter>)>,
    granted: Vec<(u64, Ask)>,
    last: u64,
}

impl Line {
    /// Whether nobody waits.
    pub(super) fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// Adds one at the end of its key's queue, and gives its number; `None` when the group has `depth` already.
    pub(super) fn push(&mut self, mut waiter: Waiter, key: Arc<str>, depth: usize) -> Option<u64> {
        let waiting = self.keys.iter().flat_map(|(_, queue)| queue);
        if waiting.filter(|other| other.group == waiter.group).count() >= depth {
            return None;
        }
        self.last += 1;
        waiter.number = self.last;
        match self.keys.iter_mut().find(|(known, _)| *known == key) {
            Some((_, queue)) => queue.push_back(waiter),
            None => self.keys.push_back((key, VecDeque::from([waiter]))),
        }
        Some(self.last)
    }

    /// Calls everyone for whom `take` finds room, in turns between keys.
    pub(super) fn serve(&mut self, mut take: impl FnMut(&Ask) -> bool) {
        // A key that got something goes to the end; when all have been looked at in vain, it is over.
        let mut in_vain = 0;
        while in_vain < self.keys.len() {
            let Some((key, mut queue)) = self.keys.pop_front() else { return };
            match queue.iter().position(|waiter| take(&waiter.ask)).and_then(|at| queue.remove(at)) {
                Some(waiter) => {
                    self.granted.push((waiter.number, waiter.ask));
                    waiter.called.notify_one();
                    in_vain = 0;
                }
                None => in_vain += 1,
            }
            if !queue.is_empty() {
                self.keys.push_back((key, queue));
            }
        }
        // Keys that were looked at in vain have gone once around, so their order is what it was.
    }

    /// What was taken for one that has been called.
    pub(super) fn redeem(&mut self, number: u64) -> Option<Ask> {
        let at = self.granted.iter().position(|(granted, _)| *granted == number)?;
        Some(self.granted.swap_remove(at).1)
    }

    /// One does not wait any more; what was taken for it, if it has been called and has not come.
    pub(super) fn leave(&mut self, number: u64) -> Option<Ask> {
        for (_, queue) in &mut self.keys {
            queue.retain(|waiter| waiter.number != number);
        }
        self.keys.retain(|(_, queue)| !queue.is_empty());
        self.redeem(number)
    }
}
