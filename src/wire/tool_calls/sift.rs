//! Tool calls that somebody looks at before they are told.

use super::super::lenient::{Object, Text};
use super::super::sieve::{Part, Sieve, Verdict, Writing};
use super::super::tracks::Track;
use super::super::usage::Delivered;
use super::{Function, ToolCall, arguments};
use crate::error::UpstreamFault;

/// Has somebody look at whole calls.
///
/// # Errors
/// `BadJson` if the arguments hold text that is not Unicode.
pub(in crate::wire) fn judge(
    calls: &[Object<ToolCall<'_>>],
    sieve: &mut dyn Sieve,
) -> Result<Verdict, UpstreamFault> {
    for Object(call) in calls {
        if let Some(Object(function)) = &call.function
            && judge_function(function, sieve)? == Verdict::Forbidden
        {
            return Ok(Verdict::Forbidden);
        }
        let custom = call.custom.as_ref().map(|Object(custom)| [&custom.name, &custom.input]);
        for text in custom.into_iter().flatten().flatten() {
            if sieve.whole(Writing::Plain, text.as_str()) == Verdict::Forbidden {
                return Ok(Verdict::Forbidden);
            }
        }
    }
    Ok(Verdict::Clean)
}

/// Has somebody look at a whole call of a function.
///
/// # Errors
/// As [`judge`].
pub(in crate::wire) fn judge_function(
    function: &Function<'_>,
    sieve: &mut dyn Sieve,
) -> Result<Verdict, UpstreamFault> {
    if judge_name(function.name.as_ref(), sieve) == Verdict::Forbidden {
        return Ok(Verdict::Forbidden);
    }
    function
        .arguments
        .map_or(Ok(Verdict::Clean), |json| Ok(sieve.whole(Writing::Json, arguments(json)?.as_str())))
}

/// A name comes whole, and clients cannot do without it: it is looked at and never kept back.
fn judge_name(name: Option<&Text<'_>>, sieve: &mut dyn Sieve) -> Verdict {
    name.map_or(Verdict::Clean, |name| sieve.whole(Writing::Plain, name.as_str()))
}

impl ToolCall<'_> {
    /// Puts what may be told into the place of what was said. Also counts what was said.
    ///
    /// # Errors
    /// `BadShape` if an index is out of all bounds, `BadJson` if arguments hold text that is not Unicode.
    pub(in crate::wire) fn sift(
        &mut self,
        choice: u64,
        track: &mut Track,
        sieve: &mut dyn Sieve,
        said: &mut Delivered,
    ) -> Result<Verdict, UpstreamFault> {
        let place = self.place(track)?;
        let index = place.index;
        // So that it is found there again.
        self.place = Some(place);
        if let Some(Object(function)) = &mut self.function
            && function.sift(choice, Part::Arguments(index), sieve, said)? == Verdict::Forbidden
        {
            return Ok(Verdict::Forbidden);
        }
        let Some(Object(custom)) = &mut self.custom else { return Ok(Verdict::Clean) };
        if judge_name(custom.name.as_ref(), sieve) == Verdict::Forbidden {
            (custom.name, custom.input) = (None, None);
            return Ok(Verdict::Forbidden);
        }
        Ok(custom.input.as_mut().map_or(Verdict::Clean, |input| {
            said.count(input.as_str());
            let mut told = String::new();
            let verdict = sieve.piece(choice, Part::Input(index), input.as_str(), &mut told);
            *input = Text::Decoded(told);
            verdict
        }))
    }

    /// Whether it tells more than that there is a call.
    pub(in crate::wire) fn speaks(&self) -> bool {
        self.function.as_ref().is_some_and(|Object(function)| function.speaks())
            || self.custom.as_ref().is_some_and(|Object(custom)| says_something(custom.input.as_ref()))
    }
}

impl Function<'_> {
    /// As [`ToolCall::sift`], for the arguments that are this part of the choice.
    ///
    /// # Errors
    /// `BadJson` if they hold text that is not Unicode.
    pub(in crate::wire) fn sift(
        &mut self,
        choice: u64,
        part: Part,
        sieve: &mut dyn Sieve,
        said: &mut Delivered,
    ) -> Result<Verdict, UpstreamFault> {
        if judge_name(self.name.as_ref(), sieve) == Verdict::Forbidden {
            (self.name, self.arguments) = (None, None);
            return Ok(Verdict::Forbidden);
        }
        if let Some(name) = &self.name {
            said.count(name.as_str());
        }
        let Some(json) = self.arguments else { return Ok(Verdict::Clean) };
        let piece = arguments(json)?;
        said.count(piece.as_str());
        let mut told = String::new();
        let verdict = sieve.piece(choice, part, piece.as_str(), &mut told);
        self.sifted = Some(Text::Decoded(told));
        Ok(verdict)
    }

    /// Whether it tells more than that there is a call.
    pub(in crate::wire) fn speaks(&self) -> bool {
        says_something(self.sifted.as_ref())
    }
}

fn says_something(text: Option<&Text<'_>>) -> bool {
    text.is_some_and(|text| !text.as_str().is_empty())
}
