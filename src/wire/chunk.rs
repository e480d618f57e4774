//! One chunk of a stream, rebuilt.
//!
//! Promises canonical JSON in one member order, and that a chunk that would tell the client nothing is
//! not sent. Never merges, splits or makes up a delta.

use super::answer::{Answer, Choice, Said};
use super::completion::{self, Expose};
use super::content::Content;
use super::finish::Finish;
use super::lenient::{Object, Text};
use super::logprobs;
use super::pen::Pen;
use super::tool_calls::{self, Tracks};
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
pub(super) struct Manner<'a> {
    /// Our id, time and alias.
    pub(super) voice: &'a Voice,
    /// What the alias may show.
    pub(super) expose: Expose,
    /// Members behind `choices`, as JSON.
    pub(super) tail: &'static str,
}

/// Writes a chunk as an event. What stands in the pen afterwards counts only if something was written.
///
/// # Errors
/// `BadShape`, `BadJson` or `ErrorInAnswer`, if a choice is wrong or says that the model broke off.
pub(super) fn write(
    pen: &mut Pen,
    answer: &Answer<'_>,
    manner: &Manner<'_>,
    tracks: &mut Tracks,
) -> Result<Written, UpstreamFault> {
    let mut written = Written::Nothing;
    pen.raw(b"data: ");
    manner.voice.chunk(pen);
    for (Object(choice), position) in answer.choices.iter().flatten().zip(0..) {
        written = written.max(write_choice(pen, choice, position, manner, tracks)?);
    }
    pen.raw(b"]");
    pen.raw(manner.tail);
    pen.raw(b"}\n\n");
    Ok(written)
}

fn write_choice(
    pen: &mut Pen,
    choice: &Choice<'_>,
    position: u64,
    manner: &Manner<'_>,
    tracks: &mut Tracks,
) -> Result<Written, UpstreamFault> {
    let before = pen.bytes().len();
    let index = completion::index(choice, position)?;
    let finish: Option<Finish> = completion::finish(choice)?;
    pen.comma();
    pen.raw(b"{\"index\":");
    pen.integer(index);
    pen.raw(b",\"delta\":{");
    let delta = match &choice.delta {
        Some(Object(delta)) => write_delta(pen, delta, index, manner, tracks)?,
        None => Written::Nothing,
    };
    pen.raw(b"}");
    completion::write_finish(pen, finish);
    if let Some(json) = choice.logprobs.filter(|_| manner.expose.logprobs) {
        logprobs::write(pen, json)?;
    }
    pen.raw(b"}");
    match (delta, finish) {
        (_, Some(_)) => Ok(Written::Finish),
        (Written::Nothing, None) => {
            pen.truncate(before);
            Ok(Written::Nothing)
        }
        (Written::Part | Written::Finish, None) => Ok(Written::Part),
    }
}

/// Writes the members of a delta as they were sent. An empty text is passed on beside something else
/// (the usual first chunk is a role and an empty text), but is nothing on its own.
fn write_delta(
    pen: &mut Pen,
    delta: &Said<'_>,
    index: u64,
    manner: &Manner<'_>,
    tracks: &mut Tracks,
) -> Result<Written, UpstreamFault> {
    let mut written = Written::Nothing;
    if delta.role.said().is_some() {
        pen.key("role");
        pen.raw(b"\"assistant\"");
        written = Written::Part;
    }
    match &delta.content {
        Content::Null => {
            pen.key("content");
            pen.raw(b"null");
        }
        Content::Absent | Content::Text(_) | Content::Parts { .. } => {}
    }
    written = written.max(write_text(pen, "content", delta.content.said()));
    let calls = delta.tool_calls();
    if !calls.is_empty() {
        tool_calls::write_pieces(pen, manner.voice, index, calls, tracks)?;
        written = Written::Part;
    }
    if let Some(Object(function)) = &delta.function_call {
        pen.key("function_call");
        tool_calls::write_function_piece(pen, function)?;
        written = Written::Part;
    }
    written = written.max(write_text(pen, "refusal", delta.refusal.0.as_ref()));
    let reasoning = delta.reasoning().filter(|_| manner.expose.reasoning);
    Ok(written.max(write_text(pen, "reasoning_content", reasoning)))
}

fn write_text(pen: &mut Pen, key: &str, text: Option<&Text<'_>>) -> Written {
    let Some(text) = text else { return Written::Nothing };
    pen.key(key);
    pen.told(text);
    if text.as_str().is_empty() { Written::Nothing } else { Written::Part }
}
