//! Tool calls that somebody looks at before they are told.

use super::super::call_names::CallNames;
use super::super::lenient::{Object, Text};
use super::super::sieve::{Judge, Part, Sieve, Verdict, Writing};
use super::super::tracks::{Name, Place, Track};
use super::super::usage::Delivered;
use super::{Function, ToolCall, arguments};
use crate::error::UpstreamFault;

/// Has somebody look at whole calls.
///
/// # Errors
/// `BadJson` if the arguments hold text that is not Unicode.
pub(in crate::wire) fn judge(
    calls: &[Object<ToolCall<'_>>],
    judge: &mut dyn Judge,
) -> Result<Verdict, UpstreamFault> {
    for Object(call) in calls {
        if let Some(Object(function)) = &call.function
            && judge_function(function, judge)? == Verdict::Forbidden
        {
            return Ok(Verdict::Forbidden);
        }
        let custom = call.custom.as_ref().map(|Object(custom)| [&custom.name, &custom.input]);
        for text in custom.into_iter().flatten().flatten() {
            if judge.whole(Writing::Plain, text.as_str()) == Verdict::Forbidden {
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
    judge: &mut dyn Judge,
) -> Result<Verdict, UpstreamFault> {
    if let Some(name) = &function.name
        && judge.whole(Writing::Plain, name.as_str()) == Verdict::Forbidden
    {
        return Ok(Verdict::Forbidden);
    }
    function
        .arguments
        .map_or(Ok(Verdict::Clean), |json| Ok(judge.whole(Writing::Json, arguments(json)?.as_str())))
}

impl ToolCall<'_> {
    /// Where the piece belongs, as [`place`](Self::place) says; it is found there again.
    ///
    /// # Errors
    /// As that.
    pub(in crate::wire) fn placed(&mut self, track: &mut Track) -> Result<Place, UpstreamFault> {
        let place = self.place(track)?;
        self.place = Some(place);
        Ok(place)
    }

    /// Which text of its choice the piece goes on with.
    pub(in crate::wire) fn part(&self, place: Place) -> Part {
        match (&self.function, &self.custom) {
            (None, Some(_)) => Part::Input(place.index),
            (Some(_) | None, _) => Part::Arguments(place.index),
        }
    }

    /// Puts what may be told into the place of what was said. Also counts what was said.
    ///
    /// # Errors
    /// `BadJson` if arguments hold text that is not Unicode.
    pub(in crate::wire) fn sift(
        &mut self,
        choice: u64,
        place: Place,
        names: &mut CallNames,
        sieve: &mut dyn Sieve,
        said: &mut Delivered,
    ) -> Result<Verdict, UpstreamFault> {
        let index = place.index;
        let name = self.name_text().filter(|_| place.name == Name::New);
        if names.judge(choice, Some(index), name, sieve) == Verdict::Forbidden {
            (self.function, self.custom) = (None, None);
            return Ok(Verdict::Forbidden);
        }
        if let Some(Object(function)) = &mut self.function
            && function.sift_arguments(choice, Part::Arguments(index), sieve, said)? == Verdict::Forbidden
        {
            return Ok(Verdict::Forbidden);
        }
        let Some(Object(custom)) = &mut self.custom else { return Ok(Verdict::Clean) };
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
    /// As [`ToolCall::sift`], for the older `function_call`.
    ///
    /// # Errors
    /// `BadJson` if arguments hold text that is not Unicode.
    pub(in crate::wire) fn sift(
        &mut self,
        choice: u64,
        names: &mut CallNames,
        sieve: &mut dyn Sieve,
        said: &mut Delivered,
    ) -> Result<Verdict, UpstreamFault> {
        if names.judge(choice, None, self.name.as_ref(), sieve) == Verdict::Forbidden {
            (self.name, self.arguments) = (None, None);
            return Ok(Verdict::Forbidden);
        }
        self.sift_arguments(choice, Part::Function, sieve, said)
    }

    fn sift_arguments(
        &mut self,
        choice: u64,
        part: Part,
        sieve: &mut dyn Sieve,
        said: &mut Delivered,
    ) -> Result<Verdict, UpstreamFault> {
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
