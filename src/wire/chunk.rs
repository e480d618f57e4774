//! What one chunk of a stream tells, in chunks of ours.
//!
//! Promises one structure, whoever answers: each chunk of ours tells one thing of one choice. A choice begins with
//! a role and an empty text, goes on with texts and pieces of calls, and ends with a chunk that says why and
//! nothing else. Texts stay cut as they were; what would tell the client nothing is not sent.

use super::answer::{Answer, Choice, Said};
use super::completion::{self, Expose};
use super::finish::Finish;
use super::lenient::{Object, Text};
use super::logprobs::Logprobs;
use super::pen::Pen;
use super::sieve::Part;
use super::tool_calls;
use super::tracks::{Told, Track, Tracks};
use super::voice::Voice;
use crate::error::UpstreamFault;

/// What was written of a chunk, from the least to the most.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Written {
    /// No choice had anything to tell.
    Nothing,
    /// A part of the answer.
    Part,
    /// A part of the answer, and a choice ended with it.
    Finish,
}

/// How a chunk is told.
#[derive(Clone, Copy)]
pub(super) struct Manner<'a> {
    /// Our id, time and alias.
    pub(super) voice: &'a Voice,
    /// What the alias may show.
    pub(super) expose: Expose,
    /// Members behind `choices`, as JSON.
    pub(super) tail: &'static str,
}

/// Writes a chunk as events: as many as it tells things.
///
/// # Errors
/// `BadShape`, `BadJson` or `ErrorInAnswer`, if a choice is wrong or says that the model broke off. What stands in
/// the pen then means nothing.
pub(super) fn write(
    pen: &mut Pen,
    answer: &Answer<'_>,
    manner: &Manner<'_>,
    tracks: &mut Tracks,
) -> Result<Written, UpstreamFault> {
    let mut written = Written::Nothing;
    for (Object(choice), position) in answer.choices.iter().flatten().zip(0..) {
        let index = completion::index(choice, position)?;
        written = written.max(write_choice(pen, choice, index, manner, tracks)?);
    }
    Ok(written)
}

/// Writes what a chunk tells of one choice.
///
/// # Errors
/// As [`write`].
pub(super) fn write_choice(
    pen: &mut Pen,
    choice: &Choice<'_>,
    index: u64,
    manner: &Manner<'_>,
    tracks: &mut Tracks,
) -> Result<Written, UpstreamFault> {
    let delta = choice.delta.as_ref().map(|Object(delta)| delta);
    let logprobs = choice.logprobs.and_then(|json| Logprobs::new(json, delta, manner.expose));
    Teller { pen, manner: *manner, index, track: tracks.of(index), logprobs }.choice(choice)
}

/// Writes an event that says a text which was kept back before.
pub(super) fn write_rest(
    pen: &mut Pen,
    manner: &Manner<'_>,
    tracks: &mut Tracks,
    index: u64,
    part: Part,
    text: &str,
) {
    let mut teller = Teller { pen, manner: *manner, index, track: tracks.of(index), logprobs: None };
    teller.role();
    teller.open();
    let pen = &mut *teller.pen;
    let of_call = |pen: &mut Pen, call, member: &str| {
        pen.raw(b"\"tool_calls\":[{\"index\":");
        pen.integer(call);
        pen.raw(member);
    };
    let behind = match part {
        Part::Content => {
            pen.key("content");
            ""
        }
        Part::Refusal => {
            pen.key("refusal");
            ""
        }
        Part::Reasoning => {
            pen.key("reasoning_content");
            ""
        }
        Part::Function => {
            pen.raw(b"\"function_call\":{\"arguments\":");
            "}"
        }
        Part::Arguments(call) => {
            of_call(pen, call, ",\"function\":{\"arguments\":");
            "}}]"
        }
        Part::Input(call) => {
            of_call(pen, call, ",\"custom\":{\"input\":");
            "}}]"
        }
    };
    pen.string(text);
    pen.raw(behind);
    teller.close_plain(None);
}

/// Writes the event that ends a choice, unless it has ended.
pub(super) fn write_end(pen: &mut Pen, manner: &Manner<'_>, tracks: &mut Tracks, index: u64, finish: Finish) {
    let mut teller = Teller { pen, manner: *manner, index, track: tracks.of(index), logprobs: None };
    match teller.track.told {
        Told::Ending => {}
        Told::Nothing | Told::Role => {
            teller.begin_end();
            teller.close_plain(Some(finish));
        }
    }
}

/// Tells of one choice.
struct Teller<'t, 'a> {
    pen: &'t mut Pen,
    manner: Manner<'t>,
    index: u64,
    track: &'t mut Track,
    /// Those of the text, until they have been told with it.
    logprobs: Option<Logprobs<'a>>,
}

impl Teller<'_, '_> {
    fn choice(&mut self, choice: &Choice<'_>) -> Result<Written, UpstreamFault> {
        let before = self.pen.bytes().len();
        let finish: Option<Finish> = completion::finish(choice)?;
        if let Some(Object(delta)) = &choice.delta {
            self.delta(delta)?;
        }
        match (finish, self.track.told) {
            (Some(finish), Told::Nothing | Told::Role) => {
                self.begin_end();
                self.close(Some(finish))?;
                Ok(Written::Finish)
            }
            // Some say in a last chunk once more why it ended.
            (Some(_), Told::Ending) | (None, _) if self.pen.bytes().len() > before => Ok(Written::Part),
            (Some(_), Told::Ending) | (None, _) => Ok(Written::Nothing),
        }
    }

    fn delta(&mut self, delta: &Said<'_>) -> Result<(), UpstreamFault> {
        if delta.role.said().is_some() {
            self.role();
        }
        // Log probabilities are those of the text, not of the thought before it.
        let logprobs = self.logprobs.take();
        self.text("reasoning_content", delta.reasoning().filter(|_| self.manner.expose.reasoning))?;
        self.logprobs = logprobs;
        self.text("content", delta.content.said())?;
        self.text("refusal", delta.refusal.0.as_ref())?;
        if let Some(Object(function)) = delta.function_call.as_ref().filter(|call| !call.0.tells_nothing()) {
            self.role();
            self.open();
            self.pen.key("function_call");
            tool_calls::write_function_piece(self.pen, function)?;
            self.close(None)?;
        }
        for Object(call) in delta.tool_calls() {
            let place = call.place(self.track)?;
            if call.tells_nothing(place) {
                continue;
            }
            self.role();
            self.open();
            self.pen.raw(b"\"tool_calls\":[");
            tool_calls::write_piece(self.pen, self.manner.voice, self.index, call, place)?;
            self.pen.raw(b"]");
            self.close(None)?;
        }
        Ok(())
    }

    /// Who speaks, if that has not been told.
    fn role(&mut self) {
        match self.track.told {
            Told::Role | Told::Ending => {}
            Told::Nothing => {
                self.track.told = Told::Role;
                self.open();
                self.pen.raw(b"\"role\":\"assistant\",\"content\":\"\"");
                self.close_plain(None);
            }
        }
    }

    /// Up to the empty delta of the chunk that ends the choice.
    fn begin_end(&mut self) {
        self.role();
        self.track.told = Told::Ending;
        self.open();
    }

    /// A text, unless it is empty.
    fn text(&mut self, key: &str, text: Option<&Text<'_>>) -> Result<(), UpstreamFault> {
        let Some(text) = text.filter(|text| !text.as_str().is_empty()) else { return Ok(()) };
        self.role();
        self.open();
        self.pen.key(key);
        self.pen.told(text);
        self.close(None)
    }

    fn open(&mut self) {
        self.pen.raw(b"data: ");
        self.manner.voice.chunk(self.pen);
        self.pen.raw(b"{\"index\":");
        self.pen.integer(self.index);
        self.pen.raw(b",\"delta\":{");
    }

    fn close(&mut self, finish: Option<Finish>) -> Result<(), UpstreamFault> {
        self.pen.raw(b"}");
        completion::write_finish(self.pen, finish);
        if let Some(logprobs) = self.logprobs.take() {
            logprobs.write(self.pen)?;
        }
        self.shut();
        Ok(())
    }

    fn close_plain(&mut self, finish: Option<Finish>) {
        self.pen.raw(b"}");
        completion::write_finish(self.pen, finish);
        self.shut();
    }

    fn shut(&mut self) {
        self.pen.raw(b"}]");
        self.pen.raw(self.manner.tail);
        self.pen.raw(b"}\n\n");
    }
}
