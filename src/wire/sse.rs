//! A stream of chunks, rebuilt event by event.
//!
//! Promises that output and verdict do not depend on how the network cut the input, that an event of
//! ours is exactly `data: {json}`, and that a stream which broke off never ends with `[DONE]`. Never
//! passes on a comment, a name, an id or a retry time, and never holds more than one event.

use bytes::BytesMut;

use super::answer::Answer;
use super::chunk::{self, Manner, Written};
use super::completion::Expose;
use super::events::{Event, Splitter};
use super::finish::Ends;
use super::pen::Pen;
use super::rejection;
use super::tool_calls::Tracks;
use super::usage::{Delivered, Usage};
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
        };
        Self { splitter: Splitter::new(max_event), teller, life: Life::Open }
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

    /// Chunks written, without the one for usage.
    pub fn events(&self) -> u64 {
        self.teller.events
    }

    /// Why choices have ended.
    pub fn ends(&self) -> Ends {
        self.teller.ends
    }

    /// How much of the model's text was written: what a stream that broke off is metered by.
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
        let answer = Answer::read(json)?;
        self.pen.clear();
        let tail = match self.wanted {
            UsageWanted::Yes => ",\"usage\":null",
            UsageWanted::No => "",
        };
        let manner = Manner { voice: &self.voice, expose: self.expose, tail };
        let written = chunk::write(&mut self.pen, &answer, &manner, &mut self.tracks)?;
        // Some report running totals in every chunk, so the last report is the one that is true.
        self.usage = answer.counts().and_then(|counts| counts.usage(self.expose)).or(self.usage);
        let told = match written {
            Written::Nothing => return Ok(Life::Open),
            Written::Part => Told::Part,
            Written::Finish => Told::Ending,
        };
        out.extend_from_slice(self.pen.bytes());
        self.told = self.told.max(told);
        self.events = self.events.saturating_add(1);
        self.delivered.add(self.pen.delivered());
        self.ends.add_all(self.pen.ends());
        Ok(Life::Open)
    }

    fn end(&mut self, out: &mut BytesMut) -> Result<Life, UpstreamFault> {
        match self.told {
            Told::Nothing | Told::Part => return Err(UpstreamFault::Truncated),
            Told::Ending => {}
        }
        if let (UsageWanted::Yes, Some(usage)) = (self.wanted, self.usage) {
            self.pen.clear();
            self.pen.raw(b"data: ");
            self.voice.chunk(&mut self.pen);
            self.pen.raw(b"],\"usage\":");
            usage.write(&mut self.pen);
            self.pen.raw(b"}\n\n");
            out.extend_from_slice(self.pen.bytes());
        }
        out.extend_from_slice(b"data: [DONE]\n\n");
        Ok(Life::Done)
    }
}

#[cfg(test)]
mod tests;
