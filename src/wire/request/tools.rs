//! Tools: those a request offers, the choice among them, and the calls that a conversation remembers.
//!
//! Names and parameter schemas are for the backing model to judge; here only their kinds are.

use super::super::scan::{Kind, Scanner};
use super::path::Path;
use super::read;
use super::spots::{Named, Spots};
use crate::error::BadRequest;

/// How many tools or functions one request may offer.
const MOST: usize = 128;

/// Checks `tools` and returns how many there are.
pub(super) fn offered(scanner: &mut Scanner<'_>, path: &Path<'_>) -> Result<usize, BadRequest> {
    let count = read::items(scanner, path, |scanner, path| {
        let mut kind = None;
        let found = read::members(scanner, path, &["type", "function", "custom"], |scanner, name, path| {
            match name {
                "type" => kind = Some(tool_type(scanner, path)?),
                _ => named(scanner, path)?,
            }
            Ok(())
        })?;
        let kind = kind.ok_or_else(|| path.member("type").wrong("is required"))?;
        found.require(path, kind)
    })?;
    at_most(count, path)
}

/// Checks `functions`, the older form of `tools`, and returns how many there are.
pub(super) fn offered_functions(scanner: &mut Scanner<'_>, path: &Path<'_>) -> Result<usize, BadRequest> {
    let count = read::items(scanner, path, named)?;
    at_most(count, path)
}

/// Checks `tool_choice`.
pub(super) fn choice(scanner: &mut Scanner<'_>, path: &Path<'_>) -> Result<(), BadRequest> {
    const WRONG: &str = "must be `none`, `auto`, `required` or an object with a `type`";
    match scanner.peek()? {
        Kind::String => one_of(scanner, path, &["none", "auto", "required"], WRONG),
        Kind::Object => read::members(scanner, path, &["type"], read::each_a_string)?.require(path, "type"),
        Kind::Array | Kind::Number | Kind::True | Kind::False | Kind::Null => Err(path.wrong(WRONG)),
    }
}

/// Checks the top-level `function_call`, the older form of `tool_choice`.
pub(super) fn function_choice(scanner: &mut Scanner<'_>, path: &Path<'_>) -> Result<(), BadRequest> {
    const WRONG: &str = "must be `none`, `auto` or an object with a `name`";
    match scanner.peek()? {
        Kind::String => one_of(scanner, path, &["none", "auto"], WRONG),
        Kind::Object => named(scanner, path),
        Kind::Array | Kind::Number | Kind::True | Kind::False | Kind::Null => Err(path.wrong(WRONG)),
    }
}

/// Checks the `tool_calls` of a message. A call's `id` and `type` may be missing: some clients leave them
/// out of what they remember, and the models that they talk to do not mind.
pub(super) fn calls(scanner: &mut Scanner<'_>, path: &Path<'_>, spots: &mut Spots) -> Result<(), BadRequest> {
    let names = &["id", "type", "function", "custom"];
    read::items(scanner, path, |scanner, path| {
        read::members(scanner, path, names, |scanner, name, path| match name {
            "id" => spots.string(scanner, Named::Call, path),
            "type" => tool_type(scanner, path).map(|_| ()),
            "function" => function(scanner, path),
            _ => named_with(scanner, path, &["name", "input"]),
        })
        .map(|_| ())
    })
    .map(|_| ())
}

/// Checks a called function: a name, and arguments that are a string (JSON in JSON, never an object).
pub(super) fn function(scanner: &mut Scanner<'_>, path: &Path<'_>) -> Result<(), BadRequest> {
    named_with(scanner, path, &["name", "arguments"])
}

fn named(scanner: &mut Scanner<'_>, path: &Path<'_>) -> Result<(), BadRequest> {
    named_with(scanner, path, &["name"])
}

/// An object in which all of `names` are strings.
fn named_with(
    scanner: &mut Scanner<'_>,
    path: &Path<'_>,
    names: &'static [&'static str],
) -> Result<(), BadRequest> {
    let found = read::members(scanner, path, names, read::each_a_string)?;
    names.iter().try_for_each(|name| found.require(path, name))
}

/// The type of a tool or a call. The member with the details is called as the type is.
fn tool_type(scanner: &mut Scanner<'_>, path: &Path<'_>) -> Result<&'static str, BadRequest> {
    match read::string(scanner, path)?.as_ref() {
        "function" => Ok("function"),
        "custom" => Ok("custom"),
        _ => Err(path.wrong("must be `function` or `custom`")),
    }
}

fn one_of(
    scanner: &mut Scanner<'_>,
    path: &Path<'_>,
    words: &[&str],
    wrong: &'static str,
) -> Result<(), BadRequest> {
    if words.contains(&read::string(scanner, path)?.as_ref()) { Ok(()) } else { Err(path.wrong(wrong)) }
}

fn at_most(count: usize, path: &Path<'_>) -> Result<usize, BadRequest> {
    if count <= MOST { Ok(count) } else { Err(path.wrong("must have at most 128 elements")) }
}
