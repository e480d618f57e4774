//! The members of an error that may tell something, by the names that servers give them.
//!
//! Promises to keep a bounded number of them, uncopied. Never looks into one.

use std::fmt;

use serde::de::{Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use crate::wire::lenient::Text;

/// No error has more members that tell something, or a longer list in which the rest tells more.
const MOST: usize = 24;

/// What a member is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Member {
    /// A code that may be a status.
    Code,
    /// A code that is none.
    Word,
    /// Prose, or a list of complaints.
    Message,
    /// Another error: what this one wraps.
    Error,
    /// Google's list of details.
    Details,
    /// OpenRouter's own members.
    Metadata,
    /// In `metadata`: the error of the provider behind it.
    Raw,
    /// In `metadata`: what a moderation found.
    Moderation,
}

impl Member {
    fn read(name: &str) -> Option<Self> {
        match name {
            "code" | "status" | "statusCode" | "status_code" | "raw_status_code" => Some(Self::Code),
            "type" | "error_type" | "__type" | "reason" => Some(Self::Word),
            "message" | "Message" | "detail" | "msg" => Some(Self::Message),
            "error" | "errors" | "innererror" | "inner_error" => Some(Self::Error),
            "details" => Some(Self::Details),
            "metadata" => Some(Self::Metadata),
            "raw" => Some(Self::Raw),
            "reasons" | "flagged_input" | "moderation" => Some(Self::Moderation),
            _ => None,
        }
    }
}

/// The members of an object; none, if it is not one.
pub(super) struct Members;

impl Members {
    pub(super) fn read(object: &RawValue) -> impl Iterator<Item = (Member, &RawValue)> {
        let mut from = serde_json::Deserializer::from_str(object.get());
        from.deserialize_map(MembersVisitor).unwrap_or_default().into_iter()
    }
}

struct MembersVisitor;

impl<'de> Visitor<'de> for MembersVisitor {
    type Value = Vec<(Member, &'de RawValue)>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Self::Value, A::Error> {
        let mut kept = Vec::new();
        while let Some(name) = members.next_key::<Text<'de>>()? {
            match Member::read(name.as_str()) {
                Some(member) if kept.len() < MOST => kept.push((member, members.next_value()?)),
                Some(_) | None => {
                    members.next_value::<IgnoredAny>()?;
                }
            }
        }
        Ok(kept)
    }
}

/// The first items of a list; none, if it is not one.
pub(super) struct Items;

impl Items {
    pub(super) fn read(list: &RawValue) -> impl Iterator<Item = &RawValue> {
        let mut from = serde_json::Deserializer::from_str(list.get());
        from.deserialize_seq(ItemsVisitor).unwrap_or_default().into_iter()
    }
}

struct ItemsVisitor;

impl<'de> Visitor<'de> for ItemsVisitor {
    type Value = Vec<&'de RawValue>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Self::Value, A::Error> {
        let mut kept = Vec::new();
        while kept.len() < MOST {
            match items.next_element()? {
                Some(item) => kept.push(item),
                None => return Ok(kept),
            }
        }
        while items.next_element::<IgnoredAny>()?.is_some() {}
        Ok(kept)
    }
}
