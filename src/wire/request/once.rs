//! Every member of an object at most once.
//!
//! Parsers differ in which of two they believe, so two of them could read one request in two ways. Names we
//! know cost a bit, others an entry of a set that is keyed at random: linear, also for names chosen to collide.

use std::borrow::Cow;
use std::collections::HashSet;

/// The complaint about a field that comes twice.
pub(super) const TWICE: &str = "must not be given twice";

/// A name came again.
pub(super) struct Again;

/// The names met so far in one object. Empty, and free, until it meets one.
#[derive(Default)]
pub(super) struct Once<'a> {
    known: u64,
    others: Option<HashSet<Cow<'a, str>>>,
}

impl<'a> Once<'a> {
    /// Meets the known name with this number, which is below 64.
    pub(super) fn known(&mut self, number: u32) -> Result<(), Again> {
        let bit = 1_u64.checked_shl(number).unwrap_or(0);
        if self.known & bit != 0 {
            return Err(Again);
        }
        self.known |= bit;
        Ok(())
    }

    /// Meets any other name.
    pub(super) fn other(&mut self, name: Cow<'a, str>) -> Result<(), Again> {
        if self.others.get_or_insert_with(HashSet::new).insert(name) { Ok(()) } else { Err(Again) }
    }
}
