//! A whole answer, rebuilt.
//!
//! Promises canonical JSON in one member order, under our id, time and alias, with the model's own
//! words unchanged. Never copies a member that is not on the list, and never passes a failure off as
//! an answer.

use bytes::Bytes;

use super::answer::{Answer, Choice, Said, reported};
use super::finish::{Ends, Finish};
use super::lenient::{Count, Object};
use super::logprobs::Logprobs;
use super::pen::Pen;
use super::sieve::{Judge, Verdict};
use super::sifted;
use super::tool_calls;
use super::usage::{Delivered, Estimate, Usage};
use super::voice::{MAX_INDEX, Voice};
use crate::error::UpstreamFault;

/// What an alias may show beyond the plain answer. By default nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Expose {
    /// `logprobs`, where the model sent them and nobody looks at what it says. Without `reasoning` only those of the
    /// text that is shown.
    pub logprobs: bool,
    /// What the model thought, as `reasoning_content`.
    pub reasoning: bool,
    /// `prompt_tokens_details` and `completion_tokens_details` in `usage`.
    pub usage_details: bool,
}

/// A whole answer that may go to the client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Completion {
    /// The JSON body.
    pub body: Bytes,
    /// The token counts, if the model sent them.
    pub usage: Option<Usage>,
    /// How much of the model's text the body holds.
    pub delivered: Delivered,
    /// Why its choices ended.
    pub ends: Ends,
    /// Whether it may go to the client at all.
    pub verdict: Verdict,
}

/// Rebuilds the body of a backing model's whole answer, and has somebody look at it. Whether the model counts tokens
/// does not show: where it does not, `estimate` is asked how.
///
/// # Errors
/// `BadJson` for what is not JSON in UTF-8, `BadShape` for what is not a completion, `ErrorInAnswer`
/// for an error behind a success status.
pub fn rewrite(
    body: &[u8],
    voice: &Voice,
    expose: Expose,
    judge: Option<&mut dyn Judge>,
    estimate: impl FnOnce() -> Estimate,
) -> Result<Completion, UpstreamFault> {
    // They spell the text out once more, in pieces that nobody looks at, and name others beside them.
    let expose = Expose { logprobs: expose.logprobs && judge.is_none(), ..expose };
    let answer = Answer::read(body)?;
    let choices = answer.choices.as_deref().filter(|choices| !choices.is_empty());
    let choices = choices.ok_or(UpstreamFault::BadShape)?;
    let usage = answer.counts().and_then(|counts| counts.usage(expose));
    // What we leave out is usually more than what escaping adds.
    let mut pen = Pen::with_capacity(body.len() + voice.length());
    voice.whole(&mut pen);
    for (Object(choice), position) in choices.iter().zip(0..) {
        pen.comma();
        write_choice(&mut pen, choice, position, voice, expose)?;
    }
    pen.raw(b"]");
    let (delivered, ends) = (pen.delivered(), pen.take_ends());
    pen.key("usage");
    usage.unwrap_or_else(|| estimate().of(delivered)).write(&mut pen);
    pen.raw(b"}");
    let verdict = judge.map_or(Ok(Verdict::Clean), |judge| sifted::judge(choices, expose, judge))?;
    Ok(Completion { body: pen.into_bytes().into(), usage, delivered, ends, verdict })
}

fn write_choice(
    pen: &mut Pen,
    choice: &Choice<'_>,
    position: u64,
    voice: &Voice,
    expose: Expose,
) -> Result<(), UpstreamFault> {
    // A choice that broke off may come without a message.
    let finish = finish(choice)?;
    let Object(message) = choice.message.as_ref().ok_or(UpstreamFault::BadShape)?;
    let index = index(choice, position)?;
    pen.raw(b"{\"index\":");
    pen.integer(index);
    pen.raw(b",\"message\":{\"role\":\"assistant\",\"content\":");
    // Of what says nothing some make an empty text and some make null.
    match message.content.said().filter(|text| !text.as_str().is_empty()) {
        Some(text) => pen.told(text),
        None if speaks_otherwise(message) => pen.raw(b"null"),
        None => pen.raw(b"\"\""),
    }
    write_beside_content(pen, message, index, voice, expose)?;
    pen.raw(b"}");
    write_finish(pen, finish);
    if let Some(logprobs) = choice.logprobs.and_then(|json| Logprobs::new(json, Some(message), expose)) {
        logprobs.write(pen)?;
    }
    pen.raw(b"}");
    Ok(())
}

/// Whether a message without content calls a tool or refuses: then the API has null in its place.
fn speaks_otherwise(message: &Said<'_>) -> bool {
    !message.tool_calls().is_empty() || message.function_call.is_some() || message.refusal.said().is_some()
}

fn write_beside_content(
    pen: &mut Pen,
    message: &Said<'_>,
    index: u64,
    voice: &Voice,
    expose: Expose,
) -> Result<(), UpstreamFault> {
    let calls = message.tool_calls();
    if !calls.is_empty() {
        tool_calls::write_whole(pen, voice, index, calls)?;
    }
    if let Some(Object(function)) = &message.function_call {
        pen.key("function_call");
        tool_calls::write_function(pen, function)?;
    }
    if let Some(refusal) = message.refusal.0.as_ref().filter(|text| !text.as_str().is_empty()) {
        pen.key("refusal");
        pen.told(refusal);
    }
    if let Some(reasoning) = message.reasoning().filter(|text| expose.reasoning && !text.as_str().is_empty())
    {
        pen.key("reasoning_content");
        pen.told(reasoning);
    }
    Ok(())
}

/// A choice's index: as sent, or its place.
pub(super) fn index(choice: &Choice<'_>, position: u64) -> Result<u64, UpstreamFault> {
    let index = choice.index.map_or(position, |Count(index)| index);
    if index < MAX_INDEX { Ok(index) } else { Err(UpstreamFault::BadShape) }
}

/// Why a choice ended, if it did.
///
/// # Errors
/// `ErrorInAnswer`, if the model broke off.
pub(super) fn finish(choice: &Choice<'_>) -> Result<Option<Finish>, UpstreamFault> {
    if let Some(error) = choice.error {
        return Err(reported(error));
    }
    choice.finish_reason.as_ref().map_or(Ok(None), |word| Finish::read(word.as_str()))
}

/// Writes the member `finish_reason`.
pub(super) fn write_finish(pen: &mut Pen, finish: Option<Finish>) {
    pen.key("finish_reason");
    match finish {
        Some(finish) => {
            pen.ended(finish);
            pen.string(finish.word());
        }
        None => pen.raw(b"null"),
    }
}

#[cfg(test)]
mod tests;
