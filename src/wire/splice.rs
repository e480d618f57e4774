//! What the backing model gets: the client's body with our fields changed and every other byte as it was.
//!
//! [`splice`] never parses and prints. White space, order, spelling of numbers and escapes of what it keeps
//! are the client's own, so a second attempt at another backend differs from the first in the model's name
//! alone. A dropped member takes the white space around it and one comma with it. The result is JSON again
//! and means what editing the parsed body would mean.

use std::fmt::Write;
use std::iter::Peekable;
use std::ops::Range;

use bytes::Bytes;

use super::ids::Ids;
use super::request::{ChatRequest, Delivery, Fate, Member, Named, Plan};
use super::scan::Scanner;

/// What we ask of every stream, because usage is always metered.
const ASK_FOR_USAGE: &[u8] = br#","stream_options":{"include_usage":true}"#;

/// A string as JSON writes it, quotes included. Made when a config is built, not per request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JsonText(Box<str>);

impl JsonText {
    /// Quotes and escapes `text`.
    pub fn new(text: &str) -> Self {
        let mut json = String::with_capacity(text.len() + 2);
        json.push('"');
        for letter in text.chars() {
            match letter {
                '"' | '\\' => json.extend(['\\', letter]),
                '\0'..='\u{1f}' => {
                    // Writing to a String cannot fail.
                    let _ = write!(json, "\\u{:04x}", u32::from(letter));
                }
                _ => json.push(letter),
            }
        }
        json.push('"');
        Self(json.into())
    }

    /// The literal.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// The names of members that are not ours and that a pool's backends get all the same.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Forward {
    /// Sorted, to be searched by halving.
    names: Box<[Box<str>]>,
}

impl Forward {
    /// From the names as a client means them: `a` and `\u0061` are one. A name that is a field of our API
    /// has no effect here; what becomes of those is fixed.
    pub fn new<'a>(names: impl IntoIterator<Item = &'a str>) -> Self {
        let mut names: Vec<Box<str>> = names.into_iter().map(Box::from).collect();
        names.sort_unstable();
        Self { names: names.into() }
    }

    /// Whether a member goes on. `member` is its own bytes, from behind the comma before it.
    fn takes(&self, member: &[u8]) -> bool {
        if self.names.is_empty() {
            return false;
        }
        let name = std::str::from_utf8(member).ok().and_then(|text| Scanner::new(text).string().ok());
        name.is_some_and(|name| {
            let name = name.decode();
            self.names.binary_search_by(|listed| (**listed).cmp(&name)).is_ok()
        })
    }
}

/// Whether the alias shows log probabilities.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Logprobs {
    /// The client may ask for them.
    Exposed,
    /// The backing model is not asked for them.
    Hidden,
}

/// A name that goes up in another form. The same in every attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Patch {
    at: Range<u32>,
    text: JsonText,
}

/// The names in a body that go up in another form: ids of tool calls as the backing model gave them, and
/// identifiers of customers as nobody else can read them. `request` must be what `check` made of this very `body`.
pub fn patches(body: &[u8], request: &ChatRequest, ids: &Ids) -> Vec<Patch> {
    let mut patches = Vec::with_capacity(request.plan().spots.len());
    for spot in &request.plan().spots {
        let written = body.get(spot.at.start as usize..spot.at.end as usize).unwrap_or_default();
        let name = std::str::from_utf8(written).ok().and_then(|text| Scanner::new(text).string().ok());
        let Some(name) = name else { continue };
        let name = name.decode();
        let text = match spot.names {
            Named::Call => ids.upward(&name),
            Named::Person => ids.person(&name),
        };
        patches.push(Patch { at: spot.at.clone(), text: JsonText::new(&text) });
    }
    patches
}

/// How the body for one attempt differs from what the client sent.
#[derive(Debug, Clone, Copy)]
pub struct Edits<'a> {
    /// The backing model's name.
    pub model: &'a JsonText,
    /// Which members that are not ours go on.
    pub forward: &'a Forward,
    /// Whether `logprobs` and `top_logprobs` go on.
    pub logprobs: Logprobs,
    /// What [`patches`] made of this very body. Customers whom it does not name are not named at all.
    pub patches: &'a [Patch],
}

/// Builds the body for a backing model, in one allocation of the right size.
///
/// `request` must be what `check` made of this very `body`. With another one the result means nothing, but
/// nothing panics.
///
/// ```
/// # use byname::wire::{request::check, splice::{Edits, Forward, JsonText, Logprobs, splice}};
/// let body = br#"{ "user":"u", "messages":[{"role":"user","content":"\u6708"}], "model": "general" }"#;
/// let edits = Edits {
///     model: &JsonText::new("large-2"),
///     forward: &Forward::default(),
///     logprobs: Logprobs::Hidden,
///     patches: &[],
/// };
/// assert_eq!(
///     splice(body, &check(body)?, &edits),
///     r#"{ "messages":[{"role":"user","content":"\u6708"}], "model": "large-2" }"#
/// );
/// # Ok::<(), byname::error::BadRequest>(())
/// ```
pub fn splice(body: &[u8], request: &ChatRequest, edits: &Edits<'_>) -> Bytes {
    let mut length = 0;
    pieces(body, request, edits, |piece| length += piece.len());
    let mut spliced = Vec::with_capacity(length);
    pieces(body, request, edits, |piece| spliced.extend_from_slice(piece));
    spliced.into()
}

/// Calls `take` with the pieces of the new body, in order.
fn pieces<'a>(body: &'a [u8], request: &ChatRequest, edits: &Edits<'a>, mut take: impl FnMut(&'a [u8])) {
    let plan = request.plan();
    let piece = |from: u32, to: u32| body.get(from as usize..to as usize).unwrap_or_default();
    // Up to and with the opening brace.
    take(piece(0, plan.members.first().map_or(plan.close, |first| first.from)));
    // Commas are written between the members that are left, so that each dropped one takes one along.
    let mut comma: &[u8] = b"";
    let mut patches = edits.patches.iter().peekable();
    for (member, end) in extents(plan) {
        while patches.next_if(|patch| patch.at.start < member.from).is_some() {}
        let patched = patches.peek().is_some_and(|patch| patch.at.start < end);
        match outcome(member.fate, || edits.forward.takes(piece(member.from, end)), edits.logprobs, patched) {
            Outcome::Gone => continue,
            Outcome::AsSent => {
                take(comma);
                let rest = patch(member.from, end, &mut patches, piece, &mut take);
                take(piece(rest, end));
            }
            Outcome::Renamed => {
                take(comma);
                take(piece(member.from, plan.model.start));
                take(edits.model.as_str().as_bytes());
                take(piece(plan.model.end, end));
            }
        }
        comma = b",";
    }
    match request.delivery() {
        // `model` is always left, so the comma that this begins with is always due.
        Delivery::Stream => take(ASK_FOR_USAGE),
        Delivery::Whole => {}
    }
    take(body.get(plan.close as usize..).unwrap_or_default());
}

/// Takes what stands before each patch in a member, and the patch. Returns where the rest begins.
fn patch<'a>(
    mut from: u32,
    end: u32,
    patches: &mut Peekable<impl Iterator<Item = &'a Patch>>,
    piece: impl Fn(u32, u32) -> &'a [u8],
    mut take: impl FnMut(&'a [u8]),
) -> u32 {
    while let Some(patch) = patches.next_if(|patch| patch.at.start < end) {
        take(piece(from, patch.at.start));
        take(patch.text.as_str().as_bytes());
        from = patch.at.end;
    }
    from
}

/// What one attempt makes of a member.
enum Outcome {
    AsSent,
    Renamed,
    Gone,
}

fn outcome(fate: Fate, forwarded: impl FnOnce() -> bool, logprobs: Logprobs, patched: bool) -> Outcome {
    match fate {
        Fate::Keep => Outcome::AsSent,
        Fate::Model => Outcome::Renamed,
        Fate::Named if patched => Outcome::AsSent,
        Fate::Drop | Fate::Named => Outcome::Gone,
        Fate::Logprobs => match logprobs {
            Logprobs::Exposed => Outcome::AsSent,
            Logprobs::Hidden => Outcome::Gone,
        },
        Fate::Unknown if forwarded() => Outcome::AsSent,
        Fate::Unknown => Outcome::Gone,
    }
}

/// Every member with the place of the comma or brace behind it.
fn extents(plan: &Plan) -> impl Iterator<Item = (&Member, u32)> {
    let ends = plan.members.iter().skip(1).map(|next| next.from.saturating_sub(1));
    plan.members.iter().zip(ends.chain([plan.close]))
}

#[cfg(test)]
mod tests;
