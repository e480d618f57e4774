//! A stream of chunks, rebuilt event by event.
//!
//! Promises that output and verdict do not depend on how the network cut the input, that an event of
//! ours is exactly `data: {json}`, and that a stream which broke off never ends with `[DONE]`. Never
//! passes on a comment, a name, an id or a retry time, and never holds more than one event; with a sieve, also
//! what that keeps back.

use bytes::BytesMut;

use super::answer::Answer;
use super::chunk::{self, Manner, Written};
use super::completion::Expose;
use super::events::{Event, Splitter};
use super::finish::{Ends, Finish};
use super::pen::Pen;
use super::rejection;
use super::sieve::{Sieve, Verdict};
use super::sifted::{Desk, Kept, Sifted, Sifter, Spoken};
use super::tracks::Tracks;
use super::usage::{Delivered, Estimate, Usage};
use super::voice::Voice;
use crate::error::UpstreamFault;

/// Whether the client asked for `stream_options.include_usage`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UsageWanted {
    /// Each chunk says `"usage":null`, and one more chunk before `[DONE]` says how much it was.
    Yes,
    /// No chunk mentions it.
    No,
}

/// Turns the bytes of one backing model's stream into the bytes that the client gets.
#[derive(Debug)]
pub struct SseRewriter {
    splitter: Splitter,
    teller: Teller,
    life: Life,
}

/// How far a stream has come. The last two are final.
#[derive(Debug, Clone, Copy)]
enum Life {
    Open,
    Done,
    Failed(UpstreamFault),
}

impl SseRewriter {
    /// Begins a stream. `max_event` is in bytes of one event's lines, as they come from upstream: each
    /// line with one byte for its end, comments included, without the blank line that closes the event.
    pub fn new(voice: Voice, usage: UsageWanted, expose: Expose, max_event: usize) -> Self {
        let teller = Teller {
            voice,
            wanted: usage,
            expose,
            told: Told::Nothing,
            usage: None,
            tracks: Tracks::default(),
            pen: Pen::default(),
            events: 0,
            delivered: Delivered::default(),
            ends: Ends::default(),
            sifter: None,
            estimate: None,
        };
        Self { splitter: Splitter::new(max_event), teller, life: Life::Open }
    }

    /// Has somebody look at all texts before they are told. An answer that must not go on fails with
    /// `AnswerForbidden`, after what may be told of it.
    #[must_use]
    pub fn sifted(mut self, sieve: Option<Box<dyn Sieve>>) -> Self {
        self.teller.sifter = sieve.map(|sieve| Box::new(Sifter::new(sieve)));
        self
    }

    /// Tells a client that asked for it what the answer cost also where the model does not, so that this does not show.
    #[must_use]
    pub fn estimated(mut self, estimate: Estimate) -> Self {
        self.teller.estimate = Some(estimate);
        self
    }

    /// Takes the next bytes from upstream and appends what they give to `out`. After `[DONE]`
    /// everything is ignored.
    ///
    /// # Errors
    /// What the upstream did wrong: an event that is too large, not JSON, not a chunk, or an error; or
    /// `[DONE]` before an ending. What earlier events gave stays in `out`, and every later call fails
    /// in the same way.
    pub fn push(&mut self, piece: &[u8], out: &mut BytesMut) -> Result<(), UpstreamFault> {
        let mut rest = piece;
        while let Life::Open = self.life {
            let step = match self.splitter.next(&mut rest) {
                Ok(Some(lines)) => self.teller.event(Event::read(lines), out),
                Ok(None) => return Ok(()),
                Err(fault) => Err(fault),
            };
            self.life = step.unwrap_or_else(Life::Failed);
        }
        self.verdict()
    }

    /// Says that the upstream has ended. A stream in which a choice ended is complete even without
    /// `[DONE]`, and gets one. An event that nothing closed is dropped; a last `[DONE]` without its blank
    /// line loses nothing by that.
    ///
    /// # Errors
    /// `Truncated` if no choice ended; otherwise what [`push`](Self::push) failed with.
    pub fn finish(&mut self, out: &mut BytesMut) -> Result<(), UpstreamFault> {
        if let Life::Open = self.life {
            self.life = self.teller.end(out).unwrap_or_else(Life::Failed);
        }
        self.verdict()
    }

    /// Ends a stream that failed for its content after something had been told, by `AnswerForbidden` or by an error of
    /// the backing model's own policy: its choices end because of their content.
    pub fn close(&mut self, out: &mut BytesMut) {
        let Life::Failed(fault) = self.life else { return };
        let kept = match fault {
            // What is kept back may be what is forbidden.
            UpstreamFault::AnswerForbidden => Kept::Lost,
            _ => Kept::Told,
        };
        self.teller.close(kept, out);
        self.life = Life::Done;
    }

    fn verdict(&self) -> Result<(), UpstreamFault> {
        match self.life {
            Life::Open | Life::Done => Ok(()),
            Life::Failed(fault) => Err(fault),
        }
    }

    /// Whether a chunk has been written: from then on the client has a part of the answer. Comments and
    /// events that tell nothing do not count.
    pub fn useful(&self) -> bool {
        match self.teller.told {
            Told::Nothing => false,
            Told::Part | Told::Ending => true,
        }
    }

    /// Whether `[DONE]` has been written.
    pub fn done(&self) -> bool {
        match self.life {
            Life::Done => true,
            Life::Open | Life::Failed(_) => false,
        }
    }

    /// The last token counts that the model sent.
    pub fn usage(&self) -> Option<Usage> {
        self.teller.usage
    }

    /// Events of the backing model that told something; also those that were kept back.
    pub fn events(&self) -> u64 {
        self.teller.events
    }

    /// Why choices have ended.
    pub fn ends(&self) -> Ends {
        self.teller.ends
    }

    /// How much of the model's text was written, or kept back: what a stream that broke off is metered by.
    pub fn delivered(&self) -> Delivered {
        self.teller.delivered
    }
}

/// The half that knows what events mean.
#[derive(Debug)]
struct Teller {
    voice: Voice,
    wanted: UsageWanted,
    expose: Expose,
    told: Told,
    usage: Option<Usage>,
    tracks: Tracks,
    pen: Pen,
    events: u64,
    delivered: Delivered,
    ends: Ends,
    /// Keeps texts back until somebody has looked at them. Nearly nobody does.
    sifter: Option<Box<Sifter>>,
    estimate: Option<Estimate>,
}

/// What the client has been told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Told {
    Nothing,
    Part,
    /// Why at least one choice ended: the stream is complete.
    Ending,
}

impl Teller {
    fn event(&mut self, event: Event<'_>, out: &mut BytesMut) -> Result<Life, UpstreamFault> {
        match event {
            Event::Nothing => Ok(Life::Open),
            Event::Done => self.end(out),
            Event::Error(data) => Err(UpstreamFault::ErrorInAnswer(rejection::classify(&data))),
            Event::Data(json) => self.chunk(&json, out),
        }
    }

    fn chunk(&mut self, json: &[u8], out: &mut BytesMut) -> Result<Life, UpstreamFault> {
        let mut answer = Answer::read(json)?;
        let sifted = self.with_desk(out, |sifter, desk| sifter.chunk(&mut answer, desk));
        let (written, verdict) = match sifted.transpose()? {
            Some(Sifted { written, verdict }) => (written, verdict),
            None => {
                self.pen.clear();
                let manner = Manner { voice: &self.voice, expose: self.expose, tail: tail(self.wanted) };
                let written = chunk::write(&mut self.pen, &answer, &manner, &mut self.tracks)?;
                (written, Verdict::Clean)
            }
        };
        // Some report running totals in every chunk, so the last report is the one that is true.
        self.usage = answer.counts().and_then(|counts| counts.usage(self.expose)).or(self.usage);
        let told = match written {
            Written::Nothing => Told::Nothing,
            Written::Part => Told::Part,
            Written::Finish => Told::Ending,
        };
        if told > Told::Nothing {
            self.events = self.events.saturating_add(1);
        }
        match &self.sifter {
            None if told > Told::Nothing => {
                out.extend_from_slice(self.pen.bytes());
                self.delivered.add(self.pen.delivered());
                self.told = self.told.max(told);
            }
            Some(sifter) if sifter.spoken() == Spoken::Yes => {
                let told = if verdict == Verdict::Forbidden { Told::Part } else { told };
                self.told = self.told.max(told).max(Told::Part);
            }
            None | Some(_) => {}
        }
        self.ends.add_all(self.pen.take_ends());
        match verdict {
            Verdict::Clean => Ok(Life::Open),
            Verdict::Forbidden => Err(UpstreamFault::AnswerForbidden),
        }
    }

    fn end(&mut self, out: &mut BytesMut) -> Result<Life, UpstreamFault> {
        match self.told {
            Told::Nothing | Told::Part => return Err(UpstreamFault::Truncated),
            Told::Ending => {}
        }
        if self.with_desk(out, Sifter::end) == Some(Verdict::Forbidden) {
            return Err(UpstreamFault::AnswerForbidden);
        }
        self.last(out);
        Ok(Life::Done)
    }

    fn close(&mut self, kept: Kept, out: &mut BytesMut) {
        if self.with_desk(out, |sifter, desk| sifter.close(kept, desk)).is_none() {
            self.pen.clear();
            let manner = Manner { voice: &self.voice, expose: self.expose, tail: tail(self.wanted) };
            for index in self.tracks.open() {
                chunk::write_end(&mut self.pen, &manner, &mut self.tracks, index, Finish::ContentFilter);
            }
            out.extend_from_slice(self.pen.bytes());
        }
        self.ends.add_all(self.pen.take_ends());
        self.last(out);
    }

    /// Does something with the sifter, if there is one.
    fn with_desk<T>(
        &mut self,
        out: &mut BytesMut,
        what: impl FnOnce(&mut Sifter, &mut Desk<'_>) -> T,
    ) -> Option<T> {
        let sifter = self.sifter.as_mut()?;
        let manner = Manner { voice: &self.voice, expose: self.expose, tail: tail(self.wanted) };
        let (pen, tracks, said) = (&mut self.pen, &mut self.tracks, &mut self.delivered);
        Some(what(sifter, &mut Desk { pen, tracks, manner: &manner, said, out }))
    }

    /// Writes what comes after all choices.
    fn last(&mut self, out: &mut BytesMut) {
        let usage = self.usage.or_else(|| Some(self.estimate?.of(self.delivered)));
        if let (UsageWanted::Yes, Some(usage)) = (self.wanted, usage) {
            self.pen.clear();
            self.pen.raw(b"data: ");
            self.voice.chunk(&mut self.pen);
            self.pen.raw(b"],\"usage\":");
            usage.write(&mut self.pen);
            self.pen.raw(b"}\n\n");
            out.extend_from_slice(self.pen.bytes());
        }
        out.extend_from_slice(b"data: [DONE]\n\n");
    }
}

/// What a chunk says of usage.
fn tail(wanted: UsageWanted) -> &'static str {
    match wanted {
        UsageWanted::Yes => ",\"usage\":null",
        UsageWanted::No => "",
    }
}

#[cfg(test)]
mod tests;
