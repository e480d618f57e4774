//! An answer as a backing model sends it: the serde mirror of whole answers and of chunks.
//!
//! Promises that only members named here can be read, and so only these can ever be written. A new
//! member that some vendor adds is hidden by that. Never writes anything.

use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::error::Category;
use serde_json::value::RawValue;

use super::content::Content;
use super::lenient::{Count, Loose, Object, Text};
use super::rejection;
use super::tool_calls::{Function, ToolCall};
use super::usage::Counts;
use crate::error::UpstreamFault;

/// A whole answer or one chunk.
#[derive(Debug, Deserialize)]
pub(super) struct Answer<'a> {
    #[serde(borrow)]
    pub(super) choices: Option<Vec<Object<Choice<'a>>>>,
    #[serde(borrow)]
    usage: Option<Object<Counts<'a>>>,
    #[serde(borrow)]
    error: Option<&'a RawValue>,
    #[serde(borrow)]
    x_groq: Option<Object<Aside<'a>>>,
}

/// What one vendor reports beside its chunks.
#[derive(Debug, Deserialize)]
struct Aside<'a> {
    #[serde(borrow)]
    usage: Option<Object<Counts<'a>>>,
    #[serde(borrow)]
    error: Option<&'a RawValue>,
}

/// One of the `n` alternatives.
#[derive(Debug, Deserialize)]
pub(super) struct Choice<'a> {
    pub(super) index: Option<Count>,
    /// In a whole answer.
    #[serde(borrow)]
    pub(super) message: Option<Object<Said<'a>>>,
    /// In a chunk.
    #[serde(borrow)]
    pub(super) delta: Option<Object<Said<'a>>>,
    #[serde(borrow)]
    pub(super) finish_reason: Option<Text<'a>>,
    /// Read only where the alias exposes it.
    #[serde(borrow)]
    pub(super) logprobs: Option<&'a RawValue>,
    /// What broke off this one alone.
    #[serde(borrow)]
    pub(super) error: Option<&'a RawValue>,
}

/// A message, or what a chunk adds to one.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Said<'a> {
    #[serde(borrow, default)]
    pub(super) role: Loose<'a>,
    #[serde(borrow, default)]
    pub(super) content: Content<'a>,
    #[serde(borrow)]
    pub(super) tool_calls: Option<Vec<Object<ToolCall<'a>>>>,
    #[serde(borrow)]
    pub(super) function_call: Option<Object<Function<'a>>>,
    #[serde(borrow, default)]
    pub(super) refusal: Loose<'a>,
    #[serde(borrow, default)]
    pub(super) reasoning_content: Loose<'a>,
    #[serde(borrow, default)]
    pub(super) reasoning: Loose<'a>,
}

impl<'a> Said<'a> {
    /// The tool calls; an empty list and none are the same.
    pub(super) fn tool_calls(&self) -> &[Object<ToolCall<'a>>] {
        self.tool_calls.as_deref().unwrap_or_default()
    }

    /// The reasoning, under whichever of its names it came.
    pub(super) fn reasoning(&self) -> Option<&Text<'a>> {
        self.reasoning_content.0.as_ref().or(self.reasoning.0.as_ref()).or(self.content.thought())
    }
}

impl<'a> Answer<'a> {
    /// Reads one JSON document.
    ///
    /// # Errors
    /// `BadJson` if it is not UTF-8, not JSON, or has text that is not Unicode; `ErrorInAnswer` if it
    /// reports an error, whatever else it holds; `BadShape` if it is not an answer.
    pub(super) fn read(json: &'a [u8]) -> Result<Self, UpstreamFault> {
        let json = simdutf8::basic::from_utf8(json).map_err(|_| UpstreamFault::BadJson)?;
        let answer = match serde_json::from_str::<Object<Self>>(json) {
            Ok(Object(answer)) => answer,
            Err(why) => return Err(fault(json, why.classify())),
        };
        let aside = answer.x_groq.as_ref().and_then(|Object(aside)| aside.error);
        match answer.error.or(aside) {
            Some(error) => Err(reported(error)),
            None if answer.choices.is_none() && is_flat_error(json) => Err(told(json)),
            None => Ok(answer),
        }
    }

    /// The token counts, wherever they stand.
    pub(super) fn counts(&self) -> Option<&Counts<'a>> {
        let aside = || self.x_groq.as_ref().and_then(|Object(aside)| aside.usage.as_ref());
        self.usage.as_ref().or_else(aside).map(|Object(counts)| counts)
    }
}

/// The fault that an error object behind a success status is.
pub(super) fn reported(error: &RawValue) -> UpstreamFault {
    told(error.get())
}

fn told(json: &str) -> UpstreamFault {
    UpstreamFault::ErrorInAnswer(rejection::classify(json.as_bytes()))
}

/// Names the fault of a document that could not be read. A slow path: it may read it again.
fn fault(json: &str, category: Category) -> UpstreamFault {
    match category {
        Category::Data => match serde_json::from_str::<Object<Verdict<'_>>>(json) {
            Ok(Object(verdict)) if verdict.is_error() => told(json),
            Ok(Object(_)) => UpstreamFault::BadShape,
            Err(why) if why.is_data() => match serde_json::from_str::<Vec<Object<Verdict<'_>>>>(json) {
                Ok(several) if several.iter().any(|Object(verdict)| verdict.is_error()) => told(json),
                Ok(_) | Err(_) => UpstreamFault::BadShape,
            },
            Err(_) => UpstreamFault::BadJson,
        },
        Category::Syntax | Category::Eof | Category::Io => UpstreamFault::BadJson,
    }
}

/// Whether a document without choices is itself an error: some servers wrap theirs in nothing.
fn is_flat_error(json: &str) -> bool {
    serde_json::from_str::<Object<Verdict<'_>>>(json).is_ok_and(|Object(verdict)| verdict.is_error())
}

/// What tells an error from anything else.
#[derive(Deserialize)]
struct Verdict<'a> {
    error: Option<IgnoredAny>,
    #[serde(borrow, default)]
    object: Loose<'a>,
    #[serde(borrow, default, rename = "type")]
    kind: Loose<'a>,
}

impl Verdict<'_> {
    fn is_error(&self) -> bool {
        self.error.is_some() || self.object.said() == Some("error") || self.kind.said() == Some("error")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::{Reason, Said};

    #[test]
    fn each_fault_has_its_name() {
        for (json, fault) in [
            ("", UpstreamFault::BadJson),
            ("{", UpstreamFault::BadJson),
            ("{} {}", UpstreamFault::BadJson),
            (r#"{"choices":[{"delta":{"content":"\ud800"}}]}"#, UpstreamFault::BadJson),
            (r#"{"choices":[{"delta":{"content":"\udc00x"}}]}"#, UpstreamFault::BadJson),
            (r#"{"choices":7,"x":}"#, UpstreamFault::BadJson),
            ("[]", UpstreamFault::BadShape),
            ("7", UpstreamFault::BadShape),
            ("null", UpstreamFault::BadShape),
            (r#""text""#, UpstreamFault::BadShape),
            (r#"{"choices":{}}"#, UpstreamFault::BadShape),
            (r#"{"choices":[null]}"#, UpstreamFault::BadShape),
            (r#"{"choices":[[0]]}"#, UpstreamFault::BadShape),
            (r#"{"choices":[],"choices":[]}"#, UpstreamFault::BadShape),
            (r#"{"choices":[{"delta":{"content":1}}]}"#, UpstreamFault::BadShape),
            (r#"{"choices":[{"finish_reason":1}]}"#, UpstreamFault::BadShape),
            (r#"{"usage":{"prompt_tokens":-1}}"#, UpstreamFault::BadShape),
        ] {
            assert_eq!(Answer::read(json.as_bytes()).err(), Some(fault), "{json}");
        }
        assert_eq!(Answer::read(b"{\"a\":\"\xff\"}").err(), Some(UpstreamFault::BadJson));
    }

    #[test]
    fn an_error_is_found_wherever_it_stands_and_says_why() {
        let said = |reason, status| Some(UpstreamFault::ErrorInAnswer(Said { reason, status }));
        for (json, fault) in [
            (r#"{"error":{"message":"m"}}"#, said(Reason::Other, None)),
            (r#"{"error":"m","choices":[{"delta":{}}]}"#, said(Reason::Other, None)),
            (r#"{"choices":7,"error":{"code":503}}"#, said(Reason::Other, Some(503))),
            (r#"{"x_groq":{"error":"over_capacity"},"choices":[]}"#, said(Reason::Capacity, None)),
            (r#"{"error":{"code":"content_filter","status":400}}"#, said(Reason::ContentPolicy, Some(400))),
            (
                r#"[{"error":{"code":429,"status":"RESOURCE_EXHAUSTED"}}]"#,
                said(Reason::RateLimited, Some(429)),
            ),
            (r#"{"object":"error","type":"BadRequestError","code":400}"#, said(Reason::Other, Some(400))),
            (r#"{"type":"error","error":{"type":"overloaded_error"}}"#, said(Reason::Capacity, None)),
            (r#"[{"index":0}]"#, Some(UpstreamFault::BadShape)),
            (r#"{"object":"chat.completion.chunk","type":7}"#, None),
        ] {
            assert_eq!(Answer::read(json.as_bytes()).err(), fault, "{json}");
        }
    }

    #[test]
    fn depth_in_a_member_that_nobody_reads_costs_no_stack() {
        let deep = format!(r#"{{"a":{}{},"choices":[]}}"#, "[".repeat(100_000), "]".repeat(100_000));
        assert!(Answer::read(deep.as_bytes()).is_ok());
    }

    #[test]
    fn a_null_error_is_none() {
        assert!(Answer::read(br#"{"error":null,"x_groq":{"error":null}}"#).is_ok());
    }
}
