//! Where a body holds names that go up in another form.

use std::ops::Range;

use super::super::scan::Scanner;
use super::path::Path;
use super::read;
use crate::error::BadRequest;

/// How many such names one request may hold. Each costs some work, and no conversation has so many.
const MOST: usize = 16_384;

/// One name, where it stands: a JSON string with its quotes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::wire) struct Spot {
    pub(in crate::wire) at: Range<u32>,
    pub(in crate::wire) names: Named,
}

/// What a name is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::wire) enum Named {
    /// A tool call, by an id that we may have given out.
    Call,
    /// A customer of our customer, or what he has in common with others.
    Person,
}

/// All of a body, in its order.
#[derive(Debug, Default)]
pub(super) struct Spots(Vec<Spot>);

impl Spots {
    /// Reads over a string that must be one, whatever it says, and remembers where it stands.
    pub(super) fn string(
        &mut self,
        scanner: &mut Scanner<'_>,
        names: Named,
        path: &Path<'_>,
    ) -> Result<(), BadRequest> {
        let from = super::value_start(scanner)?;
        read::any_string(scanner, path)?;
        self.add(from..super::offset(scanner.at())?, names, path)
    }

    /// Remembers the string that stands here.
    pub(super) fn add(&mut self, at: Range<u32>, names: Named, path: &Path<'_>) -> Result<(), BadRequest> {
        if self.0.len() == MOST {
            return Err(path.wrong("is one too many: there may be 16384 ids of tool calls"));
        }
        self.0.push(Spot { at, names });
        Ok(())
    }

    /// The list.
    pub(super) fn into_list(self) -> Vec<Spot> {
        self.0
    }
}
