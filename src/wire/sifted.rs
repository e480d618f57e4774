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
use super::finish::Finish;
use super::lenient::{Loose, Object, Text};
use super::pen::Pen;
use super::sieve::{Part, Sieve, Verdict, Writing};
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
    sieve: &mut dyn Sieve,
) -> Result<Verdict, UpstreamFault> {
    for Object(choice) in choices {
        let Some(Object(said)) = &choice.message else { continue };
        let reasoning = said.reasoning().filter(|_| expose.reasoning);
        let texts = [said.content.said(), said.refusal.0.as_ref(), reasoning];
        for text in texts.into_iter().flatten() {
            if sieve.whole(Writing::Plain, text.as_str()) == Verdict::Forbidden {
                return Ok(Verdict::Forbidden);
            }
        }
        if tool_calls::judge(said.tool_calls(), sieve)? == Verdict::Forbidden {
            return Ok(Verdict::Forbidden);
        }
        if let Some(Object(function)) = &said.function_call
            && tool_calls::judge_function(function, sieve)? == Verdict::Forbidden
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
    /// Choices that have begun and not ended.
    open: Vec<u64>,
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
            if let Some(Object(delta)) = &mut choice.delta {
                if !self.open.contains(&index) {
                    self.open.push(index);
                }
                let mut spoken = Spoken::Not;
                verdict = self.delta(delta, index, &mut spoken, desk)?;
                desk.pen.clear();
                written =
                    written.max(chunk::write_choice(desk.pen, choice, index, desk.manner, desk.tracks)?);
                self.tell_pen(spoken, desk);
            }
            if let (Some(finish), Verdict::Clean) = (finish, verdict) {
                written = Written::Finish;
                verdict = self.rest(index, desk);
                if verdict == Verdict::Clean {
                    self.open.retain(|open| *open != index);
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
        for index in std::mem::take(&mut self.open) {
            if self.rest(index, desk) == Verdict::Forbidden {
                self.open.push(index);
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
                let open = self.open.clone();
                // Whether or not more of it is forbidden, this is the end.
                let _ = open.into_iter().find(|index| self.rest(*index, desk) == Verdict::Forbidden);
            }
        }
        desk.pen.clear();
        for index in std::mem::take(&mut self.open) {
            chunk::write_end(desk.pen, desk.manner, desk.tracks, index, Finish::ContentFilter);
        }
        desk.out.extend_from_slice(desk.pen.bytes());
    }

    /// Puts what may be told into the place of what a delta says.
    fn delta(
        &mut self,
        delta: &mut Said<'_>,
        index: u64,
        spoken: &mut Spoken,
        desk: &mut Desk<'_>,
    ) -> Result<Verdict, UpstreamFault> {
        let reasoning = delta.reasoning().filter(|_| desk.manner.expose.reasoning);
        let reasoning = reasoning.map(|text| text.as_str().to_owned());
        (delta.reasoning, delta.reasoning_content) = (Loose::default(), Loose::default());
        let content = delta.content.said().map(|text| text.as_str().to_owned());
        let refusal = delta.refusal.0.take().map(|text| text.as_str().to_owned());

        let mut verdict = Verdict::Clean;
        let mut told = |part: Part, said: Option<String>, verdict: &mut Verdict, spoken: &mut Spoken| {
            let said = said.filter(|_| *verdict == Verdict::Clean)?;
            desk.said.count(&said);
            let mut told = String::new();
            *verdict = self.sieve.piece(index, part, &said, &mut told);
            if !told.is_empty() {
                *spoken = Spoken::Yes;
            }
            // An empty text that was sent stays one.
            (said.is_empty() || !told.is_empty()).then_some(Text::Decoded(told))
        };
        delta.content.say(told(Part::Content, content, &mut verdict, spoken));
        delta.refusal = Loose(told(Part::Refusal, refusal, &mut verdict, spoken));
        delta.reasoning_content = Loose(told(Part::Reasoning, reasoning, &mut verdict, spoken));

        if let Some(calls) = &mut delta.tool_calls {
            let mut looked_at = 0;
            for Object(call) in calls.iter_mut() {
                if verdict == Verdict::Forbidden {
                    break;
                }
                verdict =
                    call.sift(index, desk.tracks.of(index), &mut self.names, &mut *self.sieve, desk.said)?;
                if verdict == Verdict::Clean || call.speaks() {
                    looked_at += 1;
                }
            }
            calls.truncate(looked_at);
            if calls.iter().any(|Object(call)| call.speaks()) {
                *spoken = Spoken::Yes;
            }
        }
        match &mut delta.function_call {
            Some(Object(function)) if verdict == Verdict::Clean => {
                verdict = function.sift(index, &mut self.names, &mut *self.sieve, desk.said)?;
                if function.speaks() {
                    *spoken = Spoken::Yes;
                }
            }
            Some(_) => delta.function_call = None,
            None => {}
        }
        Ok(verdict)
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
