//! Somebody who looks at a model's words before the client gets them. What is looked for is not known here.

use std::fmt::Debug;

/// What has been found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub enum Verdict {
    Clean,
    /// The answer must not go on.
    Forbidden,
}

/// How a text is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Writing {
    Plain,
    /// JSON in a string, as function calls have it.
    Json,
}

/// One of the texts that a choice of a stream consists of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    Content,
    Refusal,
    Reasoning,
    /// The arguments of the older `function_call`.
    Function,
    /// The arguments of the tool call with this index.
    Arguments(u64),
    /// The free text that the tool call with this index takes.
    Input(u64),
}

impl Part {
    /// How it is written.
    pub fn writing(self) -> Writing {
        match self {
            Self::Content | Self::Refusal | Self::Reasoning | Self::Input(_) => Writing::Plain,
            Self::Function | Self::Arguments(_) => Writing::Json,
        }
    }
}

/// Looks at whole texts of one answer.
pub trait Judge: Debug + Send + Sync {
    /// A whole text.
    fn whole(&mut self, writing: Writing, text: &str) -> Verdict;
}

/// Looks at one answer that streams.
pub trait Sieve: Judge {
    /// The next piece of a text of choice `choice`. Adds to `told` what may be told of it now, earlier pieces
    /// included; also when it is forbidden, and then what stands before that.
    fn piece(&mut self, choice: u64, part: Part, piece: &str, told: &mut String) -> Verdict;

    /// A choice goes on with another text: adds to `told` what may be told of this one if it has ended, so that it is
    /// told in its place. It may go on all the same.
    fn settle(&mut self, choice: u64, part: Part, told: &mut String);

    /// A choice has ended: hands over what was kept back of its texts, in the order in which they began.
    fn end(&mut self, choice: u64, told: &mut dyn FnMut(Part, &str)) -> Verdict;
}
