//! A service that is asked whether a request may go on.

use std::fmt;
use std::ops::ControlFlow;
use std::sync::Arc;

use async_trait::async_trait;

use crate::metrics::Moderated;
use crate::wire::texts::{Said, texts};

/// Who is asked, and what to do without an answer.
#[derive(Clone)]
pub struct Moderation {
    pub moderator: Arc<dyn Moderator>,
    pub on_failure: OnFailure,
}

impl fmt::Debug for Moderation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Moderation {{ on_failure: {:?} }}", self.on_failure)
    }
}

/// What becomes of a request when the moderator does not answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnFailure {
    /// It is refused.
    Block,
    /// It goes on.
    Allow,
}

/// A moderation service.
#[async_trait]
pub trait Moderator: Send + Sync {
    /// Judges texts, in its time and not longer.
    async fn judge(&self, texts: Vec<String>) -> Moderated;
}

/// What a moderator is asked about a checked body: what its messages say.
pub fn conversation(body: &[u8]) -> Vec<String> {
    let mut all = Vec::new();
    texts(body, &mut |said| {
        match said {
            Said::Message(text) if !text.is_empty() => all.push(text.to_owned()),
            Said::Message(_) | Said::Apart(_) | Said::Beside(_) | Said::Arguments(_) => {}
        }
        ControlFlow::Continue(())
    });
    all
}
