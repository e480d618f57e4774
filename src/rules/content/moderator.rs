//! A service that is asked whether a request may go on.

use std::fmt;
use std::ops::ControlFlow;
use std::sync::Arc;

use async_trait::async_trait;

use super::{Allowed, Standing, escape};
use crate::metrics::Moderated;
use crate::wire::moderation::{Question, pictures};
use crate::wire::sieve::Verdict;
use crate::wire::texts::{Said, texts};

/// Who is asked, and what to do without an answer.
#[derive(Clone)]
pub struct Moderation {
    pub moderator: Arc<dyn Moderator>,
    /// What it can judge besides text; of files and sounds, none can judge any.
    pub media: Allowed,
    pub on_failure: OnFailure,
    pub standing: Arc<Standing>,
}

impl fmt::Debug for Moderation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Moderation {{ media: {:?}, on_failure: {:?} }}", self.media, self.on_failure)
    }
}

/// What becomes of a request when the moderator does not answer, or cannot be asked about a part of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnFailure {
    /// It is refused.
    Block,
    /// It goes on.
    Allow,
}

impl OnFailure {
    /// What becomes of requests, for events and the status.
    pub fn words(self) -> &'static str {
        match self {
            Self::Block => "requests are refused",
            Self::Allow => "requests go on without its word",
        }
    }
}

/// Why there is no verdict.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NoWord {
    /// As it is counted.
    pub outcome: Moderated,
    /// For an operator.
    pub why: String,
}

/// A moderation service.
#[async_trait]
pub trait Moderator: Send + Sync {
    /// Judges what it is asked about, all of it in its time and not longer.
    async fn judge(&self, questions: Vec<Question>) -> Result<Verdict, NoWord>;
}

/// What a moderator is asked about a checked body: all that its model will read, and its pictures if `media` has them.
///
/// What stands between messages, such as names, descriptions and schemas, is a text of its own, a line for each
/// string: a moderator judges words by their neighbours, and gives one result for each text.
pub fn questions(body: &[u8], media: Allowed) -> Vec<Question> {
    let mut all = Vec::new();
    let mut beside = String::new();
    texts(body, &mut |said| {
        match said {
            Said::Beside("") | Said::Message("") | Said::Arguments("") => {}
            // The same as the message before it.
            Said::Apart(_) => {}
            Said::Beside(text) => {
                if !beside.is_empty() {
                    beside.push('\n');
                }
                beside.push_str(text);
            }
            Said::Message(text) => {
                put(&mut all, &mut beside);
                all.push(text.to_owned());
            }
            Said::Arguments(text) => {
                put(&mut all, &mut beside);
                let mut text = text.to_owned();
                if text.contains('\\') {
                    // As it stands, and as whoever is called reads it.
                    let read = escape::unescaped(&text).into_owned();
                    text.push('\n');
                    text.push_str(&read);
                }
                all.push(text);
            }
        }
        ControlFlow::Continue(())
    });
    put(&mut all, &mut beside);
    let mut questions = Vec::new();
    if !all.is_empty() {
        questions.push(Question::Texts(all));
    }
    if media.image {
        questions.extend(pictures(body).into_iter().map(Question::Picture));
    }
    questions
}

fn put(all: &mut Vec<String>, beside: &mut String) {
    if !beside.is_empty() {
        all.push(std::mem::take(beside));
    }
}
