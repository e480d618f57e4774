//! What a backend's error says, in whichever shape it comes.
//!
//! Promises to read any bytes in linear time and constant depth, and to trust codes and types before
//! phrases. Never keeps one of the backend's words, and never looks for a phrase outside of a message: what
//! stands elsewhere may be an echo of the prompt.

mod phrases;
mod shape;
mod words;

use serde_json::value::RawValue;

use self::shape::{Items, Member, Members};
use self::words::Meaning;
use super::lenient::Text;
use crate::error::{Reason, Said};

/// How deep an error is looked for: a list around an object around its `error` around a message with a list
/// of complaints, or around another server's error.
const LEVELS: u8 = 8;
/// How many bytes of messages are searched for phrases in all. An error in an answer may be as large as that.
const PROSE: usize = 64 * 1024;

/// Reads a refusal, or the error in an answer or an event. Any text may come; what cannot be read is `Other`.
///
/// Where several causes are named, the order is: our key, our account, the content policy, the context, and
/// then whatever time or another backend may mend.
pub fn classify(body: &[u8]) -> Said {
    let mut evidence =
        Evidence { named: None, phrased: None, hinted: None, status: None, outgrown: false, prose: PROSE };
    evidence.document(&String::from_utf8_lossy(body), LEVELS);
    evidence.verdict()
}

/// What has been found so far.
#[derive(Debug)]
struct Evidence {
    /// By a code or type that leaves no doubt.
    named: Option<Reason>,
    /// By a phrase in a message.
    phrased: Option<Reason>,
    /// By a code or type that is used for more than one thing.
    hinted: Option<Reason>,
    /// The innermost status and the levels that were left where it stood: a gateway in between wraps the
    /// error that counts in one of its own.
    status: Option<(u8, u16)>,
    /// The request is larger than what a whole minute allows.
    outgrown: bool,
    /// How many bytes of messages may still be searched.
    prose: usize,
}

impl Evidence {
    fn verdict(&self) -> Said {
        let reason = match self.named.or(self.phrased).or(self.hinted).unwrap_or(Reason::Other) {
            Reason::RateLimited if self.outgrown => Reason::Unsupported,
            reason => reason,
        };
        Said { reason, status: self.status.map(|(_, status)| status) }
    }

    fn document(&mut self, text: &str, levels: u8) {
        if let Ok(value) = serde_json::from_str::<&RawValue>(text) {
            self.value(value, levels);
        }
    }

    /// An error, a message, or a list of them.
    fn value(&mut self, value: &RawValue, levels: u8) {
        let Some(levels) = levels.checked_sub(1) else { return };
        match value.get().as_bytes().first() {
            Some(b'{') => self.object(value, levels),
            Some(b'[') => {
                for item in Items::read(value).filter(|item| !item.get().starts_with('[')) {
                    self.value(item, levels);
                }
            }
            Some(b'"') => {
                if let Some(text) = text(value) {
                    self.message(text.as_str(), levels);
                }
            }
            Some(_) | None => {}
        }
    }

    fn object(&mut self, object: &RawValue, levels: u8) {
        for (member, value) in Members::read(object) {
            match member {
                Member::Code => {
                    self.code(value, levels);
                    self.word(value);
                }
                Member::Word => self.word(value),
                Member::Message | Member::Error => self.value(value, levels),
                Member::Details => self.details(value),
                Member::Metadata => self.metadata(value, levels),
                // Only within `metadata`.
                Member::Raw | Member::Moderation => {}
            }
        }
    }

    /// A message. Some servers put a whole error document into it.
    fn message(&mut self, message: &str, levels: u8) {
        if message.trim_start().starts_with('{') {
            self.document(message, levels);
        } else {
            let message = phrases::head(message, self.prose);
            self.prose = self.prose.saturating_sub(message.len());
            if let Some(reason) = phrases::reason(message) {
                prefer(&mut self.phrased, reason);
            }
            // Said under the code of an ordinary limit, but waiting does not help: it never fits.
            if message.starts_with("Request too large") {
                self.outgrown = true;
            }
        }
        // An error that is one word is a code.
        self.meaning(message);
    }

    fn word(&mut self, value: &RawValue) {
        if let Some(word) = text(value) {
            self.meaning(word.as_str());
        }
    }

    fn meaning(&mut self, word: &str) {
        match words::meaning(word) {
            Some(Meaning::Certain(reason)) => prefer(&mut self.named, reason),
            Some(Meaning::Vague(reason)) => prefer(&mut self.hinted, reason),
            None => {}
        }
    }

    /// A status, as a number or as a word.
    fn code(&mut self, value: &RawValue, levels: u8) {
        let status = match text(value) {
            Some(word) => words::status(word.as_str()),
            None => words::status(value.get()),
        };
        if let Some(status) = status
            && self.status.is_none_or(|(found, _)| levels < found)
        {
            self.status = Some((levels, status));
        }
    }

    /// Google's list of details, of which each may have a code as its `reason`.
    fn details(&mut self, list: &RawValue) {
        for (member, value) in Items::read(list).flat_map(Members::read) {
            match member {
                Member::Word => self.word(value),
                Member::Code
                | Member::Message
                | Member::Error
                | Member::Details
                | Member::Metadata
                | Member::Raw
                | Member::Moderation => {}
            }
        }
    }

    /// OpenRouter's `metadata`: what a moderation found, or the error of the provider behind it. Of the
    /// latter only a document is read; anything else is no message.
    fn metadata(&mut self, metadata: &RawValue, levels: u8) {
        for (member, value) in Members::read(metadata) {
            match member {
                Member::Moderation if says_something(value) => prefer(&mut self.named, Reason::ContentPolicy),
                Member::Raw if value.get().starts_with('{') => self.value(value, levels),
                Member::Raw => {
                    if let (Some(levels), Some(raw)) = (levels.checked_sub(1), text(value))
                        && raw.as_str().trim_start().starts_with(['{', '['])
                    {
                        self.document(raw.as_str(), levels);
                    }
                }
                Member::Word => self.word(value),
                Member::Moderation
                | Member::Code
                | Member::Message
                | Member::Error
                | Member::Details
                | Member::Metadata => {}
            }
        }
    }
}

/// Keeps what counts more.
fn prefer(kept: &mut Option<Reason>, found: Reason) {
    if kept.is_none_or(|kept| rank(found) < rank(kept)) {
        *kept = Some(found);
    }
}

/// Which cause counts where several are named: the lowest. What is wrong with our account must not be told
/// to a client as its own fault, and a policy must not be evaded by trying elsewhere.
fn rank(reason: Reason) -> u8 {
    match reason {
        Reason::BadCredential => 0,
        Reason::Quota => 1,
        Reason::ContentPolicy => 2,
        Reason::ContextOverflow => 3,
        Reason::Capacity => 4,
        Reason::RateLimited => 5,
        Reason::NoSuchModel => 6,
        Reason::Unsupported => 7,
        Reason::Other => 8,
    }
}

fn text(value: &RawValue) -> Option<Text<'_>> {
    serde_json::from_str(value.get()).ok()
}

fn says_something(value: &RawValue) -> bool {
    match value.get() {
        "null" | "false" | "\"\"" => false,
        list if list.starts_with('[') => Items::read(value).next().is_some(),
        _ => true,
    }
}

#[cfg(test)]
mod tests;
