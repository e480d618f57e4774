//! What a stream has told so far of each choice and of its tool calls.
//!
//! Promises that each choice begins once and ends once, and that pieces of calls find their call whatever a vendor
//! numbers or names: some number them, some name each, some do neither, some name every piece anew.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};

use super::voice::MAX_INDEX;
use crate::error::UpstreamFault;

/// All choices of a stream.
#[derive(Debug, Default)]
pub(super) struct Tracks(BTreeMap<u64, Track>);

/// One choice.
#[derive(Debug, Default)]
pub(super) struct Track {
    pub(super) told: Told,
    calls: Vec<Call>,
    /// The call that the last piece belonged to.
    current: usize,
}

/// How far a choice has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Told {
    #[default]
    Nothing,
    /// Who speaks.
    Role,
    /// Why it ended.
    Ending,
}

/// One call. Names and ids are compared, never shown, so hashes of them will do.
#[derive(Debug, Default)]
struct Call {
    /// The backing model's number.
    number: Option<u64>,
    id: Option<u64>,
    name: Option<u64>,
}

/// What a piece of a call says of where it belongs. Nothing in it is empty.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Piece<'a> {
    pub(super) number: Option<u64>,
    pub(super) id: Option<&'a str>,
    pub(super) name: Option<&'a str>,
}

/// Where a piece belongs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place {
    /// Which call of its choice, counted from 0 by us.
    pub(super) index: u64,
    pub(super) order: Order,
    /// Whether the name, if there is one, has been told in full by an earlier piece.
    pub(super) name: Name,
}

/// Which piece of a call it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Order {
    /// The first one, with an id that no call before it has.
    First,
    /// The first one, without an id of its own.
    FirstWithoutId,
    Later,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Name {
    New,
    Again,
}

impl Tracks {
    /// The track of a choice below [`MAX_INDEX`].
    pub(super) fn of(&mut self, choice: u64) -> &mut Track {
        self.0.entry(choice).or_default()
    }

    /// The choices that have begun and not ended.
    pub(super) fn open(&self) -> Vec<u64> {
        self.0.iter().filter(|(_, track)| track.told == Told::Role).map(|(index, _)| *index).collect()
    }
}

impl Track {
    /// The call that this piece belongs to.
    ///
    /// # Errors
    /// `BadShape` if a number is out of all bounds, or there are too many calls.
    pub(super) fn place(&mut self, piece: Piece<'_>) -> Result<Place, UpstreamFault> {
        if piece.number.is_some_and(|number| number >= MAX_INDEX) {
            return Err(UpstreamFault::BadShape);
        }
        let (id, name) = (piece.id.map(hash), piece.name.map(hash));
        let (at, order) = match self.find(piece.number, id, name) {
            Some(at) => (at, Order::Later),
            None => {
                let taken = id.is_none() || self.calls.iter().any(|call| call.id == id);
                self.calls.push(Call { number: piece.number, id, name: None });
                (self.calls.len() - 1, if taken { Order::FirstWithoutId } else { Order::First })
            }
        };
        let index = u64::try_from(at).ok().filter(|at| *at < MAX_INDEX).ok_or(UpstreamFault::BadShape)?;
        self.current = at;
        let call = self.calls.get_mut(at).ok_or(UpstreamFault::BadShape)?;
        let again = name.is_some() && call.name == name;
        call.name = call.name.or(name);
        call.id = call.id.or(id);
        Ok(Place { index, order, name: if again { Name::Again } else { Name::New } })
    }

    /// The call that a piece continues. One with the number, the id or, without either, the place of a known call
    /// does, unless it brings a name of its own where there is one, and no id that is the same.
    fn find(&self, number: Option<u64>, id: Option<u64>, name: Option<u64>) -> Option<usize> {
        let at = match (number, id) {
            (Some(_), _) => self.calls.iter().rposition(|call| call.number == number)?,
            (None, Some(_)) => return self.calls.iter().rposition(|call| call.id == id),
            (None, None) => self.current,
        };
        let call = self.calls.get(at)?;
        let other = match (id, number) {
            (Some(_), _) => call.id.is_some() && call.id != id,
            // Numbered pieces without an id may well repeat their name.
            (None, Some(_)) => false,
            (None, None) => true,
        };
        let begins = other && name.is_some() && call.name.is_some();
        (!begins).then_some(at)
    }
}

fn hash(text: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    text.hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn places(pieces: &[(Option<u64>, Option<&str>, Option<&str>)]) -> Vec<(u64, Order)> {
        let mut tracks = Tracks::default();
        let track = tracks.of(0);
        let mut place = |&(number, id, name): &(Option<u64>, Option<&str>, Option<&str>)| {
            let place = track.place(Piece { number, id, name }).unwrap();
            (place.index, place.order)
        };
        pieces.iter().map(&mut place).collect()
    }

    #[test]
    fn pieces_find_their_call_whatever_the_vendors_habit() {
        use Order::{First, FirstWithoutId, Later};
        let (a, b, f, g) = (Some("a"), Some("b"), Some("f"), Some("g"));
        for (habit, pieces, due) in [
            (
                "numbered",
                vec![(Some(0), a, f), (Some(0), None, None), (Some(1), b, g), (Some(0), None, None)],
                vec![(0, First), (0, Later), (1, First), (0, Later)],
            ),
            ("numbered from one", vec![(Some(1), a, f), (Some(2), b, f)], vec![(0, First), (1, First)]),
            (
                "another id in every piece",
                vec![(Some(0), a, f), (Some(0), b, None), (Some(0), Some("c"), None)],
                vec![(0, First), (0, Later), (0, Later)],
            ),
            (
                "everything in every piece",
                vec![(Some(0), a, f), (Some(0), a, f), (Some(1), b, g)],
                vec![(0, First), (0, Later), (1, First)],
            ),
            (
                "all numbered zero",
                vec![(Some(0), a, f), (Some(0), b, f), (Some(0), None, None)],
                vec![(0, First), (1, First), (1, Later)],
            ),
            (
                "named alone",
                vec![(None, a, f), (None, None, None), (None, b, g), (None, a, None)],
                vec![(0, First), (0, Later), (1, First), (0, Later)],
            ),
            (
                "neither",
                vec![(None, None, f), (None, None, None), (None, None, f)],
                vec![(0, FirstWithoutId), (0, Later), (1, FirstWithoutId)],
            ),
            (
                "the same id twice",
                vec![(Some(0), a, f), (Some(1), a, g)],
                vec![(0, First), (1, FirstWithoutId)],
            ),
            (
                "a late id",
                vec![(Some(0), None, f), (Some(0), a, None)],
                vec![(0, FirstWithoutId), (0, Later)],
            ),
        ] {
            assert_eq!(places(&pieces), due, "{habit}");
        }
    }

    #[test]
    fn numbers_and_calls_have_bounds() {
        let mut tracks = Tracks::default();
        let track = tracks.of(0);
        let numbered = |number| Piece { number: Some(number), ..Piece::default() };
        assert_eq!(track.place(numbered(MAX_INDEX)), Err(UpstreamFault::BadShape));
        assert!((0..MAX_INDEX).all(|number| track.place(numbered(number)).is_ok()));
        let one_more = Piece { id: Some("a"), ..Piece::default() };
        assert_eq!(track.place(one_more), Err(UpstreamFault::BadShape));
    }
}
