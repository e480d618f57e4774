//! What an alias lets through: what requests may say, how long they may be, what they may hold besides text,
//! and what answers may say.
//!
//! A policy forbids words, phrases and regular expressions. They are compiled when a configuration is taken and
//! looked for in one pass over a text, in time that grows with the text alone; every text, and every pattern, is
//! folded first, so that one spelling stands for all that mean the same to a reader. Of a stream, no more is let
//! go on than what nothing forbidden can begin with any more.

mod automaton;
mod edge;
mod escape;
mod factor;
mod flow;
mod fold;
mod heads;
mod matcher;
mod moderator;
mod pattern;
mod run;
mod scan;
mod screen;
mod search;
mod standing;
mod walk;
mod work;

use std::ops::ControlFlow;
use std::sync::Arc;

pub use self::matcher::{MAX_SIZE, Matcher};
pub use self::moderator::{Moderation, Moderator, NoWord, OnFailure, questions};
pub use self::pattern::{Flaw, Pattern};
use self::screen::Screen;
pub use self::screen::{Glance, PutOff};
pub use self::standing::{Standing, Trouble, Turn};
pub use self::work::{Stop, Work};
use crate::names::PolicyName;
use crate::wire::request::{ChatRequest, Media};
use crate::wire::sieve::Sieve;
use crate::wire::texts::{Said, texts};

/// The content policy of an alias.
#[derive(Debug)]
pub struct Policy {
    pub name: PolicyName,
    /// What is forbidden; `None` is nothing.
    pub denied: Option<Arc<Matcher>>,
    /// Whether that holds for answers, too.
    pub answers: Answers,
    /// The longest prompt, in tokens by our estimate.
    pub max_prompt_tokens: Option<u64>,
    /// What messages may hold besides text.
    pub media: Allowed,
    /// Who is asked besides.
    pub moderation: Option<Moderation>,
}

/// Whether answers are looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answers {
    Free,
    /// They may not say either what requests may not.
    Screened,
}

/// What messages may hold besides text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Allowed {
    pub image: bool,
    pub audio: bool,
    pub file: bool,
}

impl Allowed {
    /// All that the API knows.
    pub const ALL: Self = Self { image: true, audio: true, file: true };

    /// Whether messages may hold this.
    fn has(self, media: Media) -> bool {
        match media {
            Media::Image => self.image,
            Media::Audio => self.audio,
            Media::File => self.file,
        }
    }

    /// The field of a request that first holds what is not among these.
    pub fn exceeded(self, request: &ChatRequest) -> Option<String> {
        Media::ALL.into_iter().filter(|media| !self.has(*media)).find_map(|media| request.holds(media))
    }
}

impl Policy {
    /// Whether a checked body says something that is forbidden.
    pub fn forbids(&self, body: &[u8]) -> bool {
        // This work has no end, so there is an answer.
        self.forbids_within(body, Work::ENDLESS).unwrap_or(true)
    }

    /// The same, as far as it can be known with so much work: `None` when the texts nearly match so often that it
    /// takes more, or when it is to stop. What every text costs, some microseconds a KB, does not count.
    pub fn forbids_within(&self, body: &[u8], mut work: Work) -> Option<bool> {
        let Some(matcher) = &self.denied else { return Some(false) };
        let mut finds = |text: &str| matcher.finds_within(text, &mut work);
        let mut found = Some(false);
        texts(body, &mut |said| {
            found = match said {
                Said::Message(text) | Said::Apart(text) | Said::Beside(text) => finds(text),
                Said::Arguments(text) => match finds(text) {
                    Some(false) if text.contains('\\') => finds(&escape::unescaped(text)),
                    found => found,
                },
            };
            if found == Some(false) { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        });
        found
    }

    /// Who looks at one whole answer, if somebody has to: at so many bytes at once, with so much work. The rest is put
    /// off.
    pub fn glance(&self, bytes: usize, work: usize) -> Option<Glance> {
        let matcher = self.denied.as_ref()?;
        match self.answers {
            Answers::Free => None,
            Answers::Screened => Some(Glance::new(matcher.clone(), bytes, Work::of(work))),
        }
    }

    /// Who looks at one answer that streams, if somebody has to.
    pub fn sieve(&self) -> Option<Box<dyn Sieve>> {
        let matcher = self.denied.as_ref()?;
        match self.answers {
            Answers::Free => None,
            Answers::Screened => Some(Box::new(Screen::new(matcher.clone()))),
        }
    }
}

#[cfg(test)]
mod tests;
