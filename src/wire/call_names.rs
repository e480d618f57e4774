//! The names of a stream's tool calls, for whoever looks at them.
//!
//! Promises that a name is judged as a whole, whatever pieces it comes in. Clients cannot do without one, so it is
//! never kept back: no piece goes on before what is known of its name with it has been looked at.

use std::collections::BTreeMap;

use super::lenient::Text;
use super::sieve::{Sieve, Verdict, Writing};

/// The longest name that is looked at, in bytes. None in use comes near.
const MAX_NAME: usize = 4096;

/// The names so far, by choice and call; without a call, that of the older `function_call`.
#[derive(Debug, Default)]
pub(super) struct CallNames(BTreeMap<(u64, Option<u64>), String>);

impl CallNames {
    /// Judges a name with its next piece.
    pub(super) fn judge(
        &mut self,
        choice: u64,
        call: Option<u64>,
        piece: Option<&Text<'_>>,
        sieve: &mut dyn Sieve,
    ) -> Verdict {
        let Some(piece) = piece.map(Text::as_str).filter(|piece| !piece.is_empty()) else {
            return Verdict::Clean;
        };
        let name = self.0.entry((choice, call)).or_default();
        name.push_str(piece);
        if name.len() > MAX_NAME { Verdict::Forbidden } else { sieve.whole(Writing::Plain, name) }
    }
}
