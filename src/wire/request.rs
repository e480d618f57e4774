//! What a client asks for: the body of `POST /v1/chat/completions`, checked in one pass.
//!
//! [`check`] promises that a body it accepts is strict JSON in UTF-8 to the last byte, also in members that
//! nobody here knows, and that every field we know has the shape our API gives it. It is no stricter than
//! that: who may use the alias, and what the text says, is not its business. What it returns is small and
//! borrows nothing; `wire::splice` uses it to build what the backing model gets. A complaint names fields in
//! our own words and never repeats anything that the client wrote.

mod content;
mod field;
mod format;
mod media;
mod message;
mod once;
mod options;
mod path;
mod read;
mod spots;
mod tools;

pub(super) use field::Fate;
pub(super) use spots::{Named, Spot};

use std::ops::Range;

use self::field::Field;
pub use self::media::Media;
use self::media::Places;
use self::once::Once;
use self::options::Options;
use super::scan::{Kind, Scanner};
use crate::error::BadRequest;

/// How the client wants its answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Delivery {
    /// One JSON object.
    Whole,
    /// Server-sent events.
    Stream,
}

/// What a checked body asks for, and where its members stand.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChatRequest {
    alias: String,
    delivery: Delivery,
    usage_asked: bool,
    choices: u32,
    /// For one choice.
    answer_cap: Option<u32>,
    messages: usize,
    media: Places<(usize, usize)>,
    plan: Plan,
}

impl ChatRequest {
    /// The alias: the `model` member, decoded.
    pub fn alias(&self) -> &str {
        &self.alias
    }

    /// Whether the answer is to be streamed.
    pub fn delivery(&self) -> Delivery {
        self.delivery
    }

    /// Whether the client wants the usage event. Means something only for [`Delivery::Stream`].
    pub fn usage_asked(&self) -> bool {
        self.usage_asked
    }

    /// How many answers to the same question: `n`, 1 to 128.
    pub fn choices(&self) -> u32 {
        self.choices
    }

    /// The most tokens that the client's answers may have together: `max_completion_tokens`, else `max_tokens`,
    /// for each of [`choices`](Self::choices). `None` when the client set no limit.
    pub fn answer_cap(&self) -> Option<u64> {
        self.answer_cap.map(|cap| u64::from(cap).saturating_mul(u64::from(self.choices)))
    }

    /// How many messages the conversation has; at least one.
    pub fn messages(&self) -> usize {
        self.messages
    }

    /// The field that first says that there is such a medium: `messages[0].content[1].type`.
    pub fn holds(&self, media: Media) -> Option<String> {
        self.media.first(media).map(|(message, part)| format!("messages[{message}].content[{part}].type"))
    }

    /// Where the members stand, for the splice.
    pub(super) fn plan(&self) -> &Plan {
        &self.plan
    }
}

/// Where the top-level members of a body stand, and what becomes of each. Offsets are bytes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Plan {
    /// In the order of the body; every member ends where the next one's comma or the closing brace stands.
    pub(super) members: Vec<Member>,
    /// The value of `model`, with its quotes.
    pub(super) model: Range<u32>,
    /// The brace that closes the object.
    pub(super) close: u32,
    /// Names that go up in another form, in the order of the body.
    pub(super) spots: Vec<Spot>,
}

/// One top-level member. Kept to eight bytes, since a hostile body can have a million of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Member {
    /// Right behind the brace or comma before it.
    pub(super) from: u32,
    /// What becomes of it.
    pub(super) fate: Fate,
}

/// Room for the members of an ordinary request, so that their list is allocated once.
const ORDINARY_MEMBERS: usize = 16;

/// Checks a body.
///
/// # Errors
///
/// The first thing found wrong, by position in the body; what concerns several fields comes last.
///
/// ```
/// # use byname::wire::request::{Delivery, check};
/// let body = r#"{"model": "general", "messages": [{"role": "user", "content": "月次レポート"}], "stream": true}"#;
/// let request = check(body.as_bytes())?;
/// assert_eq!((request.alias(), request.delivery()), ("general", Delivery::Stream));
///
/// let why = check(body.replace("user", "boss").as_bytes()).unwrap_err();
/// assert_eq!(why.field, "messages[0].role");
/// # Ok::<(), byname::error::BadRequest>(())
/// ```
pub fn check(body: &[u8]) -> Result<ChatRequest, BadRequest> {
    // Members are found again by 32-bit offsets. No sensible `max_body` comes near.
    offset(body.len())?;
    let text = simdutf8::basic::from_utf8(body).map_err(|_| BadRequest::body("The body is not UTF-8"))?;
    if text.starts_with('\u{feff}') {
        return Err(BadRequest::body("The body must not begin with a byte order mark"));
    }
    let mut scanner = Scanner::new(text);
    if scanner.peek()? != Kind::Object {
        // A complaint about the grammar is the better one, if there is one to make.
        scanner.skip()?;
        scanner.end()?;
        return Err(BadRequest::body("The body must be a JSON object"));
    }
    let mut options = Options::default();
    let mut plan = Plan { members: Vec::with_capacity(ORDINARY_MEMBERS), ..Plan::default() };
    let mut once = Once::default();
    let mut older_cap = None;
    scanner.object::<BadRequest>(|scanner, entry| {
        let name = entry.name.decode();
        let fate = if let Some(field) = Field::named(&name) {
            once.known(field as u32).map_err(|_| field.wrong(once::TWICE))?;
            let start = value_start(scanner)?;
            let fate = options.read(scanner, field)?;
            if field == Field::Model {
                plan.model = start..offset(scanner.at())?;
            }
            if field == Field::MaxTokens {
                older_cap = Some(plan.members.len());
            }
            fate
        } else {
            once.other(name).map_err(|_| BadRequest::body("The body has the same member twice"))?;
            scanner.skip()?;
            Fate::Unknown
        };
        plan.members.push(Member { from: offset(entry.from)?, fate });
        Ok(())
    })?;
    // Of two limits the newer wins, and backing models disagree about which that is if they get both.
    if options.newer_cap_wins()
        && let Some(member) = older_cap.and_then(|index| plan.members.get_mut(index))
    {
        member.fate = Fate::Drop;
    }
    plan.close = offset(scanner.at())?.saturating_sub(1);
    scanner.end()?;
    options.finish(plan)
}

/// Steps to the next value and tells where it stands.
fn value_start(scanner: &mut Scanner<'_>) -> Result<u32, BadRequest> {
    scanner.peek()?;
    offset(scanner.at())
}

fn offset(at: usize) -> Result<u32, BadRequest> {
    u32::try_from(at).map_err(|_| BadRequest::body("The body is larger than 4 GiB"))
}

#[cfg(test)]
mod tests;
