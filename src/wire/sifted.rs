//! Answers that somebody looks at before they are told: what is kept back, in what order it is told later, and
//! how an answer ends that must not go on.
//!
//! Promises that nothing is told before some text may be, so that until then the whole answer can still be
//! refused; and that what was kept back of a choice is told before its end.

use bytes::BytesMut;

use super::answer::{Answer, Choice, Said};
use super::call_names::CallNames;
use super::chunk::{self, Manner, Written};
use super::completion::{self, Expose};
use super::content::Content;
use super::finish::Finish;
use super::lenient::{Loose, Object, Text};
use super::pen::Pen;
use super::sieve::{Judge, Part, Sieve, Verdict, Writing};
use super::tool_calls;
use super::tracks::{Told, Tracks};
use super::usage::Delivered;
use crate::error::UpstreamFault;

/// What may wait for the first text, in bytes: roles and names of tools. More of it is told without.
const MAX_WAITING: usize = 64 * 1024;

/// Has somebody look at a whole answer, as far as the client would get it.
///
/// # Errors
/// `BadJson` if a call's arguments hold text that is not Unicode.
pub(super) fn judge(
    choices: &[Object<Choice<'_>>],
    expose: Expose,
    judge: &mut dyn Judge,
) -> Result<Verdict, UpstreamFault> {
    for Object(choice) in choices {
        let Some(Object(said)) = &choice.message else { continue };
        let reasoning = said.reasoning().filter(|_| expose.reasoning);
        let texts = [said.content.said(), said.refusal.0.as_ref(), reasoning];
        for text in texts.into_iter().flatten() {
            if judge.whole(Writing::Plain, text.as_str()) == Verdict::Forbidden {
                return Ok(Verdict::Forbidden);
            }
        }
        if tool_calls::judge(said.tool_calls(), judge)? == Verdict::Forbidden {
            return Ok(Verdict::Forbidden);
        }
        if let Some(Object(function)) = &said.function_call
            && tool_calls::judge_function(function, judge)? == Verdict::Forbidden
        {
            return Ok(Verdict::Forbidden);
        }
    }
    Ok(Verdict::Clean)
}

/// Sifts the chunks of one stream.
#[derive(Debug)]
pub(super) struct Sifter {
    sieve: Box<dyn Sieve>,
    names: CallNames,
    /// Told with the first text.
    waiting: Vec<u8>,
    spoken: Spoken,
    open: Vec<Open>,
}

/// A choice that has begun and not ended.
#[derive(Debug)]
struct Open {
    index: u64,
    /// The text that it said last.
    part: Option<Part>,
}

/// A choice of a chunk, which is told part by part.
struct Speaker<'c, 'a> {
    /// Without what it says.
    choice: &'c mut Choice<'a>,
    index: u64,
    written: Written,
}

/// Whether some text has been told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Spoken {
    Not,
    Yes,
}

/// What becomes of texts that were kept back of a stream that ends for its content.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kept {
    Told,
    Lost,
}

/// A delta that says one text.
type Saying<'a> = fn(Text<'a>) -> Said<'a>;

/// What came of a chunk.
#[derive(Debug)]
pub(super) struct Sifted {
    pub(super) verdict: Verdict,
    /// What the chunk was, whether it has been told or not.
    pub(super) written: Written,
}

/// What a chunk is told with.
pub(super) struct Desk<'a> {
    pub(super) pen: &'a mut Pen,
    pub(super) tracks: &'a mut Tracks,
    pub(super) manner: &'a Manner<'a>,
    /// What the model has said, told or not.
    pub(super) said: &'a mut Delivered,
    pub(super) out: &'a mut BytesMut,
}

impl Sifter {
    pub(super) fn new(sieve: Box<dyn Sieve>) -> Self {
        Self {
            sieve,
            names: CallNames::default(),
            waiting: Vec::new(),
            spoken: Spoken::Not,
            open: Vec::new(),
        }
    }

    /// Whether anything has been told.
    pub(super) fn spoken(&self) -> Spoken {
        self.spoken
    }

    /// Takes a chunk and tells what may be told.
    ///
    /// # Errors
    /// As [`chunk::write`].
    pub(super) fn chunk(
        &mut self,
        answer: &mut Answer<'_>,
        desk: &mut Desk<'_>,
    ) -> Result<Sifted, UpstreamFault> {
        let before = *desk.said;
        let (mut verdict, mut written) = (Verdict::Clean, Written::Nothing);
        for (Object(choice), position) in answer.choices.iter_mut().flatten().zip(0..) {
            let index = completion::index(choice, position)?;
            let finish = completion::finish(choice)?;
            // What comes behind an end would be read on from what was told before it.
            if desk.tracks.of(index).told == Told::Ending {
                continue;
            }
            // Log probabilities spell the text out; the end comes after what is kept back.
            (choice.finish_reason, choice.logprobs) = (None, None);
            if let Some(Object(delta)) = choice.delta.take() {
                if !self.open.iter().any(|open| open.index == index) {
                    self.open.push(Open { index, part: None });
                }
                let mut speaker = Speaker { choice, index, written };
                verdict = self.delta(delta, &mut speaker, desk)?;
                written = speaker.written;
            }
            if let (Some(finish), Verdict::Clean) = (finish, verdict) {
                written = Written::Finish;
                verdict = self.rest(index, desk);
                if verdict == Verdict::Clean {
                    self.open.retain(|open| open.index != index);
                    desk.pen.clear();
                    chunk::write_end(desk.pen, desk.manner, desk.tracks, index, finish);
                    self.tell_pen(Spoken::Yes, desk);
                }
            }
            if verdict == Verdict::Forbidden {
                break;
            }
        }
        if written == Written::Nothing && *desk.said != before {
            written = Written::Part;
        }
        Ok(Sifted { verdict, written })
    }

    /// The stream has ended: tells what is kept back of choices that have not.
    pub(super) fn end(&mut self, desk: &mut Desk<'_>) -> Verdict {
        for open in std::mem::take(&mut self.open) {
            if self.rest(open.index, desk) == Verdict::Forbidden {
                self.open.push(open);
                return Verdict::Forbidden;
            }
        }
        Verdict::Clean
    }

    /// Writes that every choice which has not ended does so because of its content.
    pub(super) fn close(&mut self, kept: Kept, desk: &mut Desk<'_>) {
        match kept {
            Kept::Lost => {}
            Kept::Told => {
                let open: Vec<u64> = self.open.iter().map(|open| open.index).collect();
                // Whether or not more of it is forbidden, this is the end.
                let _ = open.into_iter().find(|index| self.rest(*index, desk) == Verdict::Forbidden);
            }
        }
        desk.pen.clear();
        for Open { index, .. } in std::mem::take(&mut self.open) {
            chunk::write_end(desk.pen, desk.manner, desk.tracks, index, Finish::ContentFilter);
        }
        desk.out.extend_from_slice(desk.pen.bytes());
    }

    /// Tells what may be told of a delta, part by part, in the order in which parts are written.
    fn delta<'a>(
        &mut self,
        mut delta: Said<'a>,
        speaker: &mut Speaker<'_, 'a>,
        desk: &mut Desk<'_>,
    ) -> Result<Verdict, UpstreamFault> {
        let index = speaker.index;
        if delta.role.said().is_some() {
            let role = Said { role: std::mem::take(&mut delta.role), ..Said::default() };
            self.say(role, Spoken::Not, speaker, desk)?;
        }
        let own = |text: Option<&Text<'_>>| text.map(|text| text.as_str().to_owned());
        let reasoning = own(delta.reasoning().filter(|_| desk.manner.expose.reasoning));
        let (content, refusal) = (own(delta.content.said()), own(delta.refusal.0.as_ref()));
        let texts: [(Part, Option<String>, Saying<'a>); 3] = [
            (Part::Reasoning, reasoning, |text| Said {
                reasoning_content: Loose(Some(text)),
                ..Said::default()
            }),
            (Part::Content, content, |text| Said { content: Content::Text(text), ..Said::default() }),
            (Part::Refusal, refusal, |text| Said { refusal: Loose(Some(text)), ..Said::default() }),
        ];
        for (part, said, saying) in texts {
            let Some(said) = said.filter(|said| !said.is_empty()) else { continue };
            self.turn(index, part, desk);
            desk.said.count(&said);
            let mut told = String::new();
            let verdict = self.sieve.piece(index, part, &said, &mut told);
            let spoken = if told.is_empty() { Spoken::Not } else { Spoken::Yes };
            self.say(saying(Text::Decoded(told)), spoken, speaker, desk)?;
            if verdict == Verdict::Forbidden {
                return Ok(verdict);
            }
        }
        if let Some(Object(mut function)) = delta.function_call {
            if !function.tells_nothing() {
                self.turn(index, Part::Function, desk);
            }
            let verdict = function.sift(index, &mut self.names, &mut *self.sieve, desk.said)?;
            let spoken = if function.speaks() { Spoken::Yes } else { Spoken::Not };
            let said = Said { function_call: Some(Object(function)), ..Said::default() };
            self.say(said, spoken, speaker, desk)?;
            if verdict == Verdict::Forbidden {
                return Ok(verdict);
            }
        }
        for Object(mut call) in delta.tool_calls.into_iter().flatten() {
            let place = call.placed(desk.tracks.of(index))?;
            if !call.tells_nothing(place) {
                self.turn(index, call.part(place), desk);
            }
            let verdict = call.sift(index, place, &mut self.names, &mut *self.sieve, desk.said)?;
            let spoken = if call.speaks() { Spoken::Yes } else { Spoken::Not };
            if verdict == Verdict::Clean || spoken == Spoken::Yes {
                let said = Said { tool_calls: Some(vec![Object(call)]), ..Said::default() };
                self.say(said, spoken, speaker, desk)?;
            }
            if verdict == Verdict::Forbidden {
                return Ok(verdict);
            }
        }
        Ok(Verdict::Clean)
    }

    /// Tells one part of a choice, which has been looked at.
    fn say<'a>(
        &mut self,
        said: Said<'a>,
        spoken: Spoken,
        speaker: &mut Speaker<'_, 'a>,
        desk: &mut Desk<'_>,
    ) -> Result<(), UpstreamFault> {
        speaker.choice.delta = Some(Object(said));
        desk.pen.clear();
        let written = chunk::write_choice(desk.pen, speaker.choice, speaker.index, desk.manner, desk.tracks)?;
        speaker.written = speaker.written.max(written);
        self.tell_pen(spoken, desk);
        Ok(())
    }

    /// A choice goes on with this part: what is kept back of another one is told before, where it belongs.
    fn turn(&mut self, index: u64, part: Part, desk: &mut Desk<'_>) {
        let open = self.open.iter_mut().find(|open| open.index == index);
        let before = open.and_then(|open| open.part.replace(part));
        let Some(before) = before.filter(|before| *before != part) else { return };
        let mut told = String::new();
        self.sieve.settle(index, before, &mut told);
        if !told.is_empty() {
            desk.pen.clear();
            chunk::write_rest(desk.pen, desk.manner, desk.tracks, index, before, &told);
            self.tell_pen(Spoken::Yes, desk);
        }
    }

    /// Tells what is kept back of a choice.
    fn rest(&mut self, index: u64, desk: &mut Desk<'_>) -> Verdict {
        let mut rests: Vec<(Part, String)> = Vec::new();
        let verdict = self.sieve.end(index, &mut |part, text| {
            if !text.is_empty() {
                rests.push((part, text.to_owned()));
            }
        });
        for (part, text) in rests {
            desk.pen.clear();
            chunk::write_rest(desk.pen, desk.manner, desk.tracks, index, part, &text);
            self.tell_pen(Spoken::Yes, desk);
        }
        verdict
    }

    /// Tells what the pen has written.
    fn tell_pen(&mut self, spoken: Spoken, desk: &mut Desk<'_>) {
        if !desk.pen.bytes().is_empty() {
            self.tell(desk.pen.bytes(), spoken, desk.out);
        }
    }

    /// Writes a chunk, or lets it wait for the first text.
    fn tell(&mut self, chunk: &[u8], spoken: Spoken, out: &mut BytesMut) {
        self.spoken = self.spoken.max(spoken);
        if self.waiting.len() + chunk.len() > MAX_WAITING {
            self.spoken = Spoken::Yes;
        }
        match self.spoken {
            Spoken::Not => self.waiting.extend_from_slice(chunk),
            Spoken::Yes => {
                out.extend_from_slice(&std::mem::take(&mut self.waiting));
                out.extend_from_slice(chunk);
            }
        }
    }
}

#[cfg(test)]
mod tests;
