//! One message of the conversation: what its role needs.
//!
//! The order of roles is not judged, and neither are members that we do not know.

use super::super::scan::Scanner;
use super::content::{self, Content};
use super::media::Places;
use super::path::Path;
use super::read::{self, Found};
use super::spots::{Named, Spots};
use super::tools;
use crate::error::BadRequest;

const NAMES: &[&str] =
    &["role", "content", "name", "tool_call_id", "tool_calls", "function_call", "refusal", "audio"];

#[derive(Clone, Copy)]
enum Role {
    Developer,
    System,
    User,
    Assistant,
    Tool,
    Function,
}

impl Role {
    fn named(name: &str) -> Option<Self> {
        Some(match name {
            "developer" => Self::Developer,
            "system" => Self::System,
            "user" => Self::User,
            "assistant" => Self::Assistant,
            "tool" => Self::Tool,
            "function" => Self::Function,
            _ => return None,
        })
    }
}

/// Checks the message at `path`, and notes where it names tool calls. Returns which of its parts are media.
pub(super) fn check(
    scanner: &mut Scanner<'_>,
    path: &Path<'_>,
    spots: &mut Spots,
) -> Result<Places<usize>, BadRequest> {
    let mut role = None;
    let mut content = None;
    let found = read::members(scanner, path, NAMES, |scanner, name, path| {
        match name {
            "role" => role = Some(read_role(scanner, path)?),
            "content" => content = Some(content::read(scanner, path)?),
            "tool_calls" => tools::calls(scanner, path, spots)?,
            "tool_call_id" => spots.string(scanner, Named::Call, path)?,
            "function_call" => tools::function(scanner, path)?,
            // It names what was said before in a provider's store, and never by us.
            "audio" => {
                return Err(
                    path.wrong("must not be given, as this API keeps no sounds; send its text as `content`")
                );
            }
            _ => read::any_string(scanner, path)?,
        }
        Ok(())
    })?;
    // The role may stand behind what it judges.
    let role = role.ok_or_else(|| path.member("role").wrong("is required"))?;
    judge(role, &content, &found, path)?;
    Ok(match content {
        Some(Content::Parts(parts)) => parts.media,
        Some(Content::Text) | None => Places::default(),
    })
}

fn read_role(scanner: &mut Scanner<'_>, path: &Path<'_>) -> Result<Role, BadRequest> {
    Role::named(&read::string(scanner, path)?)
        .ok_or_else(|| path.wrong("must be `developer`, `system`, `user`, `assistant`, `tool` or `function`"))
}

fn judge(role: Role, content: &Option<Content>, found: &Found, path: &Path<'_>) -> Result<(), BadRequest> {
    match role {
        Role::Developer | Role::System => {
            found.require(path, "content")?;
            not_empty(content, path)?;
            only_text(content, path)
        }
        Role::User => {
            found.require(path, "content")?;
            not_empty(content, path)?;
            no_refusal(content, path)
        }
        // It may have said nothing and called a tool, or done neither.
        Role::Assistant => Ok(()),
        Role::Tool => {
            found.require(path, "content")?;
            found.require(path, "tool_call_id")?;
            no_refusal(content, path)
        }
        Role::Function => {
            found.require(path, "name")?;
            if !found.written("content") {
                return Err(path.member("content").wrong("is required; it may be null"));
            }
            match content {
                Some(Content::Text) | None => Ok(()),
                Some(Content::Parts(_)) => Err(path.member("content").wrong("must be a string or null")),
            }
        }
    }
}

fn not_empty(content: &Option<Content>, path: &Path<'_>) -> Result<(), BadRequest> {
    match content {
        Some(Content::Parts(parts)) if parts.count == 0 => {
            Err(path.member("content").wrong("must have at least one part"))
        }
        Some(Content::Parts(_) | Content::Text) | None => Ok(()),
    }
}

fn only_text(content: &Option<Content>, path: &Path<'_>) -> Result<(), BadRequest> {
    match content {
        Some(Content::Parts(parts)) => {
            no_part(parts.other_than_text, path, "must be `text` in a message of this role")
        }
        Some(Content::Text) | None => Ok(()),
    }
}

fn no_refusal(content: &Option<Content>, path: &Path<'_>) -> Result<(), BadRequest> {
    match content {
        Some(Content::Parts(parts)) => {
            no_part(parts.refusal, path, "must not be `refusal` in a message of this role")
        }
        Some(Content::Text) | None => Ok(()),
    }
}

fn no_part(part: Option<usize>, path: &Path<'_>, wrong: &'static str) -> Result<(), BadRequest> {
    match part {
        Some(index) => Err(path.member("content").item(index).member("type").wrong(wrong)),
        None => Ok(()),
    }
}
