//! Why a choice ended, in the five words that the API has.
//!
//! Promises that no other word gets out. Never lets a failure pass as an ending.

use crate::error::{Said, UpstreamFault};

/// A `finish_reason` that a client may see.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Finish {
    Stop,
    Length,
    ToolCalls,
    ContentFilter,
    FunctionCall,
}

/// Why the choices of an answer ended: each word once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Ends(u8);

impl Ends {
    /// Adds why one choice ended.
    pub(super) fn add(&mut self, finish: Finish) {
        self.0 |= 1 << finish as u8;
    }

    /// Adds why others did.
    pub(super) fn add_all(&mut self, others: Self) {
        self.0 |= others.0;
    }

    /// The words that the client has seen.
    pub fn words(self) -> impl Iterator<Item = &'static str> {
        let all =
            [Finish::Stop, Finish::Length, Finish::ToolCalls, Finish::ContentFilter, Finish::FunctionCall];
        all.into_iter().filter(move |finish| self.0 & (1 << *finish as u8) != 0).map(Finish::word)
    }
}

impl Finish {
    /// Translates a backing model's word. `None` for an empty one, which some send in every chunk.
    ///
    /// # Errors
    /// `ErrorInAnswer` for the words that mean that the model broke off.
    pub(super) fn read(word: &str) -> Result<Option<Self>, UpstreamFault> {
        let finish = match word {
            "" => return Ok(None),
            "stop" => Self::Stop,
            "length" => Self::Length,
            "tool_calls" => Self::ToolCalls,
            "content_filter" => Self::ContentFilter,
            "function_call" => Self::FunctionCall,
            foreign => return Self::translate(&foreign.to_ascii_lowercase()).map(Some),
        };
        Ok(Some(finish))
    }

    fn translate(word: &str) -> Result<Self, UpstreamFault> {
        match word {
            "length" | "max_tokens" | "model_length" => Ok(Self::Length),
            "tool_calls" | "tool_call" | "tool_use" => Ok(Self::ToolCalls),
            "content_filter" | "content_filtered" | "safety" | "recitation" => Ok(Self::ContentFilter),
            "function_call" => Ok(Self::FunctionCall),
            "error" | "abort" => Err(UpstreamFault::ErrorInAnswer(Said::NOTHING)),
            // `end_turn`, `eos`, `stop_sequence`, `complete` and whatever comes next: it ended.
            _ => Ok(Self::Stop),
        }
    }

    /// The word that a client sees.
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Stop => "stop",
            Self::Length => "length",
            Self::ToolCalls => "tool_calls",
            Self::ContentFilter => "content_filter",
            Self::FunctionCall => "function_call",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_vendors_word_becomes_one_of_ours() {
        let table = [
            ("stop", "stop"),
            ("length", "length"),
            ("tool_calls", "tool_calls"),
            ("content_filter", "content_filter"),
            ("function_call", "function_call"),
            ("end_turn", "stop"),
            ("eos", "stop"),
            ("eos_token", "stop"),
            ("stop_sequence", "stop"),
            ("COMPLETE", "stop"),
            ("STOP", "stop"),
            ("max_tokens", "length"),
            ("MAX_TOKENS", "length"),
            ("model_length", "length"),
            ("safety", "content_filter"),
            ("SAFETY", "content_filter"),
            ("RECITATION", "content_filter"),
            ("tool_use", "tool_calls"),
            ("something-new", "stop"),
        ];
        for (theirs, ours) in table {
            assert_eq!(Finish::read(theirs).unwrap().map(Finish::word), Some(ours), "{theirs}");
        }
    }

    #[test]
    fn breaking_off_is_no_ending_and_an_empty_word_is_none() {
        for word in ["error", "abort", "ERROR"] {
            assert_eq!(Finish::read(word), Err(UpstreamFault::ErrorInAnswer(Said::NOTHING)), "{word}");
        }
        assert_eq!(Finish::read(""), Ok(None));
    }
}
