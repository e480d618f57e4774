//! What an answer cost: token counts read from a backing model, kept for metering and rebuilt for the
//! client, and how much text went out for answers that come without them.
//!
//! Promises three integers (and, where allowed, the six known details). Never adds counts of two
//! reports, and never passes an estimate off as a report to whoever meters.

use serde::Deserialize;
use serde_json::value::RawValue;

use super::completion::Expose;
use super::lenient::{Count, Object};
use super::pen::Pen;

/// What an answer cost, as the backing model counts it. Units are tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Usage {
    /// `prompt_tokens`.
    pub prompt: u64,
    /// `completion_tokens`.
    pub completion: u64,
    /// `total_tokens` as sent, or the sum where it was not.
    pub total: u64,
    details: Details,
}

/// How much of a model's own text was written: what a cut answer can be metered by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Delivered {
    /// Bytes of UTF-8, before JSON escaping.
    pub bytes: u64,
    /// Characters (Unicode scalar values).
    pub chars: u64,
}

impl Delivered {
    /// Adds what another piece of the same answer delivered.
    pub(super) fn add(&mut self, other: Self) {
        self.bytes = self.bytes.saturating_add(other.bytes);
        self.chars = self.chars.saturating_add(other.chars);
    }

    /// Adds one text.
    pub(super) fn count(&mut self, text: &str) {
        // usize is never wider than u64 where we run; if it were, the count would be at its end.
        let size = |n: usize| u64::try_from(n).unwrap_or(u64::MAX);
        self.add(Self { bytes: size(text.len()), chars: size(text.chars().count()) });
    }
}

/// How the cost of an answer is estimated that comes without a report.
#[derive(Debug, Clone, Copy)]
pub struct Estimate {
    /// What the prompt is taken for, in tokens.
    pub prompt: u64,
    /// What an answer of so much text is taken for, in tokens.
    pub answer: fn(Delivered) -> u64,
}

impl Estimate {
    /// What an answer cost, as well as we know it.
    pub(super) fn of(self, delivered: Delivered) -> Usage {
        Usage::estimated(self.prompt, (self.answer)(delivered))
    }
}

/// Only what the alias exposes is read; the rest stays `None`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Details {
    prompt: PromptDetails,
    completion: CompletionDetails,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
struct PromptDetails {
    cached_tokens: Option<Count>,
    audio_tokens: Option<Count>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
struct CompletionDetails {
    reasoning_tokens: Option<Count>,
    audio_tokens: Option<Count>,
    accepted_prediction_tokens: Option<Count>,
    rejected_prediction_tokens: Option<Count>,
}

/// `usage` as it stands in an answer.
#[derive(Debug, Deserialize)]
pub(super) struct Counts<'a> {
    prompt_tokens: Option<Count>,
    completion_tokens: Option<Count>,
    total_tokens: Option<Count>,
    #[serde(borrow)]
    prompt_tokens_details: Option<&'a RawValue>,
    #[serde(borrow)]
    completion_tokens_details: Option<&'a RawValue>,
}

impl Counts<'_> {
    /// The report, or `None` if it holds none of the three counts.
    pub(super) fn usage(&self, expose: Expose) -> Option<Usage> {
        let known = [self.prompt_tokens, self.completion_tokens, self.total_tokens];
        known.iter().flatten().next()?;
        let [prompt, completion, total] = known.map(|count| count.map(|count| count.0));
        // A count that was left out follows from the other two.
        let rest = |part: Option<u64>| total.unwrap_or(0).saturating_sub(part.unwrap_or(0));
        let (prompt, completion) =
            (prompt.unwrap_or_else(|| rest(completion)), completion.unwrap_or_else(|| rest(prompt)));
        let total = total.unwrap_or_else(|| prompt.saturating_add(completion));
        let details = if expose.usage_details { self.details() } else { Details::default() };
        Some(Usage { prompt, completion, total, details })
    }

    /// Details that cannot be read count as not sent: nobody is metered by them.
    fn details(&self) -> Details {
        Details { prompt: read(self.prompt_tokens_details), completion: read(self.completion_tokens_details) }
    }
}

fn read<'a, T: Deserialize<'a> + Default>(json: Option<&'a RawValue>) -> T {
    json.and_then(|json| serde_json::from_str::<Object<T>>(json.get()).ok())
        .map(|object| object.0)
        .unwrap_or_default()
}

impl Usage {
    /// What nobody has counted.
    fn estimated(prompt: u64, completion: u64) -> Self {
        Self { prompt, completion, total: prompt.saturating_add(completion), details: Details::default() }
    }

    /// Writes the object that a client sees.
    pub(super) fn write(&self, pen: &mut Pen) {
        pen.raw(b"{\"prompt_tokens\":");
        pen.integer(self.prompt);
        pen.raw(b",\"completion_tokens\":");
        pen.integer(self.completion);
        pen.raw(b",\"total_tokens\":");
        pen.integer(self.total);
        let PromptDetails { cached_tokens, audio_tokens } = self.details.prompt;
        group(
            pen,
            "prompt_tokens_details",
            &[("cached_tokens", cached_tokens), ("audio_tokens", audio_tokens)],
        );
        let CompletionDetails {
            reasoning_tokens,
            audio_tokens,
            accepted_prediction_tokens,
            rejected_prediction_tokens,
        } = self.details.completion;
        group(
            pen,
            "completion_tokens_details",
            &[
                ("reasoning_tokens", reasoning_tokens),
                ("audio_tokens", audio_tokens),
                ("accepted_prediction_tokens", accepted_prediction_tokens),
                ("rejected_prediction_tokens", rejected_prediction_tokens),
            ],
        );
        pen.raw(b"}");
    }
}

/// One group of details, or nothing if none of its counts is known.
fn group(pen: &mut Pen, name: &str, counts: &[(&str, Option<Count>)]) {
    let mut known = counts.iter().filter_map(|(key, count)| count.map(|count| (key, count.0))).peekable();
    if known.peek().is_none() {
        return;
    }
    pen.key(name);
    pen.raw(b"{");
    for (key, count) in known {
        pen.key(key);
        pen.integer(count);
    }
    pen.raw(b"}");
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: Expose = Expose { logprobs: true, reasoning: true, usage_details: true };

    fn seen(json: &str, expose: Expose) -> Option<String> {
        let counts = serde_json::from_str::<Object<Counts<'_>>>(json).unwrap().0;
        let mut pen = Pen::default();
        counts.usage(expose)?.write(&mut pen);
        Some(String::from_utf8(pen.into_bytes()).unwrap())
    }

    fn three(prompt: u64, completion: u64, total: u64) -> Option<String> {
        Some(format!(
            r#"{{"prompt_tokens":{prompt},"completion_tokens":{completion},"total_tokens":{total}}}"#
        ))
    }

    #[test]
    fn a_count_that_is_missing_follows_from_the_others() {
        for (json, counts) in [
            (r#"{"prompt_tokens":1,"completion_tokens":2,"total_tokens":3}"#, three(1, 2, 3)),
            (r#"{"prompt_tokens":1,"completion_tokens":2,"total_tokens":9}"#, three(1, 2, 9)),
            (r#"{"prompt_tokens":1.0,"completion_tokens":2.0}"#, three(1, 2, 3)),
            (r#"{"prompt_tokens":1,"total_tokens":4}"#, three(1, 3, 4)),
            (r#"{"completion_tokens":1,"total_tokens":4,"prompt_tokens":null}"#, three(3, 1, 4)),
            (r#"{"prompt_tokens":18446744073709551615,"completion_tokens":1}"#, three(u64::MAX, 1, u64::MAX)),
            (r#"{"queue_time":0.1}"#, None),
        ] {
            assert_eq!(seen(json, Expose::default()), counts, "{json}");
        }
    }

    #[test]
    fn details_pass_only_where_exposed_and_only_the_known_ones() {
        let json = r#"{"prompt_tokens":1,"completion_tokens":2,"total_tokens":3,"cost":0.1,
            "prompt_tokens_details":{"cached_tokens":4,"rack":"north"},
            "completion_tokens_details":{"reasoning_tokens":5,"accepted_prediction_tokens":0,"x":1}}"#;
        assert_eq!(seen(json, Expose::default()), three(1, 2, 3));
        assert_eq!(
            seen(json, ALL).unwrap(),
            r#"{"prompt_tokens":1,"completion_tokens":2,"total_tokens":3,"prompt_tokens_details":{"cached_tokens":4},"completion_tokens_details":{"reasoning_tokens":5,"accepted_prediction_tokens":0}}"#
        );
    }

    #[test]
    fn details_of_a_strange_shape_count_as_not_sent() {
        let json = r#"{"prompt_tokens":1,"completion_tokens":2,"prompt_tokens_details":[4],"completion_tokens_details":{"reasoning_tokens":"5"}}"#;
        assert_eq!(seen(json, ALL), three(1, 2, 3));
    }
}
