//! What a request says: its texts, decoded, one after the other and without a tree.
//!
//! All that can reach a backing model as words is handed over: of members that we do not know, every string.
//! Names of members are not, but for those under `properties`; and neither is what only gives things their form:
//! roles, types, formats, identifiers, pictures and sounds. A body that
//! [`request::check`](super::request::check) has not accepted gives nothing that can be relied on.

use std::borrow::Cow;
use std::ops::ControlFlow;

use super::scan::{Kind, Malformed, Scanner};

/// A text of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Said<'a> {
    /// What a message says: its parts are put together without anything between them.
    Message(&'a str),
    /// The same with blanks between the parts, for a message of several.
    Apart(&'a str),
    /// What stands beside: names, descriptions, schemas, what we do not know.
    Beside(&'a str),
    /// The arguments of a call: JSON in a string.
    Arguments(&'a str),
}

/// Whoever is told of the texts; says when it has heard enough.
pub type Listener<'l> = &'l mut dyn FnMut(Said<'_>) -> ControlFlow<()>;

/// Why reading ends early.
enum Stop {
    /// Not a body that has been checked.
    Broken,
    Enough,
}

impl From<Malformed> for Stop {
    fn from(_: Malformed) -> Self {
        Self::Broken
    }
}

type Read = Result<(), Stop>;

/// Members of the body that are no words, or never reach a backing model.
const SILENT: &[&str] = &[
    "model",
    "stream",
    "stream_options",
    "user",
    "safety_identifier",
    "metadata",
    "store",
    "service_tier",
    "moderation",
    "web_search_options",
    "audio",
    "modalities",
    "logit_bias",
    "reasoning_effort",
    "verbosity",
    "prompt_cache_key",
    "prompt_cache_retention",
    "prompt_cache_options",
];

/// Members that give things their form, wherever they stand.
const FORM: &[&str] = &["type", "role", "format", "mode", "id", "tool_call_id", "$ref", "$schema", "$id"];

/// What of a part of a message is no text: pictures and sounds.
const MEDIA: &[&str] = &["image_url", "input_audio", "file_data", "file_id"];

/// Hands over all texts of a checked body, in its order.
pub fn texts(body: &[u8], listener: Listener<'_>) {
    let Ok(text) = std::str::from_utf8(body) else { return };
    let (mut scanner, mut ear) = (Scanner::new(text), Ear(listener));
    let read: Read = scanner.object(|scanner, entry| match &*entry.name.decode() {
        name if SILENT.contains(&name) => Ok(scanner.skip()?),
        "messages" => each_item(scanner, |scanner| message(scanner, &mut ear)),
        "prediction" => message(scanner, &mut ear),
        _ => anything(scanner, Names::Silent, &mut ear),
    });
    match read {
        // Broken or not, there is no more to hear.
        Ok(()) | Err(Stop::Broken | Stop::Enough) => {}
    }
}

/// Who is told.
struct Ear<'l>(Listener<'l>);

impl Ear<'_> {
    fn tell(&mut self, said: Said<'_>) -> Read {
        match (self.0)(said) {
            ControlFlow::Continue(()) => Ok(()),
            ControlFlow::Break(()) => Err(Stop::Enough),
        }
    }
}

/// Whether the names of an object's members are words: those of a schema's properties are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Names {
    Silent,
    Words,
}

fn message(scanner: &mut Scanner<'_>, ear: &mut Ear<'_>) -> Read {
    each_member(scanner, |scanner, name| match name {
        "content" => content(scanner, ear),
        "tool_calls" => each_item(scanner, |scanner| call(scanner, ear)),
        "function_call" => function(scanner, ear),
        _ if FORM.contains(&name) => Ok(scanner.skip()?),
        _ => anything(scanner, Names::Silent, ear),
    })
}

/// A string, or parts. Nobody knows whether a backing model puts anything between parts, so both are told.
fn content(scanner: &mut Scanner<'_>, ear: &mut Ear<'_>) -> Read {
    if scanner.peek()? == Kind::String {
        return ear.tell(Said::Message(&scanner.string()?.decode()));
    }
    let mut parts: Vec<Cow<'_, str>> = Vec::new();
    each_item(scanner, |scanner| part(scanner, &mut parts, ear))?;
    match parts.as_slice() {
        [] => Ok(()),
        [one] => ear.tell(Said::Message(one)),
        several => {
            ear.tell(Said::Message(&several.concat()))?;
            ear.tell(Said::Apart(&several.join(" ")))
        }
    }
}

fn part<'a>(scanner: &mut Scanner<'a>, parts: &mut Vec<Cow<'a, str>>, ear: &mut Ear<'_>) -> Read {
    if scanner.peek()? != Kind::Object {
        return anything(scanner, Names::Silent, ear);
    }
    scanner.object(|scanner, entry| match &*entry.name.decode() {
        "text" | "refusal" if scanner.peek()? == Kind::String => {
            parts.push(scanner.string()?.decode());
            Ok(())
        }
        name if FORM.contains(&name) || MEDIA.contains(&name) => Ok(scanner.skip()?),
        "file" => each_member(scanner, |scanner, name| match name {
            _ if FORM.contains(&name) || MEDIA.contains(&name) => Ok(scanner.skip()?),
            _ => anything(scanner, Names::Silent, ear),
        }),
        _ => anything(scanner, Names::Silent, ear),
    })
}

fn call(scanner: &mut Scanner<'_>, ear: &mut Ear<'_>) -> Read {
    each_member(scanner, |scanner, name| match name {
        "function" => function(scanner, ear),
        _ if FORM.contains(&name) => Ok(scanner.skip()?),
        _ => anything(scanner, Names::Silent, ear),
    })
}

fn function(scanner: &mut Scanner<'_>, ear: &mut Ear<'_>) -> Read {
    each_member(scanner, |scanner, name| match name {
        "arguments" if scanner.peek()? == Kind::String => {
            ear.tell(Said::Arguments(&scanner.string()?.decode()))
        }
        _ => anything(scanner, Names::Silent, ear),
    })
}

/// Every string in a value, but those that give it its form.
fn anything(scanner: &mut Scanner<'_>, names: Names, ear: &mut Ear<'_>) -> Read {
    match scanner.peek()? {
        Kind::String => ear.tell(Said::Beside(&scanner.string()?.decode())),
        Kind::Array => each_item(scanner, |scanner| anything(scanner, Names::Silent, ear)),
        Kind::Object => scanner.object(|scanner, entry| {
            let name = entry.name.decode();
            let inside = match names {
                Names::Words => {
                    ear.tell(Said::Beside(&name))?;
                    Names::Silent
                }
                Names::Silent if FORM.contains(&&*name) => return Ok(scanner.skip()?),
                Names::Silent if name == "properties" => Names::Words,
                Names::Silent => Names::Silent,
            };
            anything(scanner, inside, ear)
        }),
        Kind::Number | Kind::True | Kind::False | Kind::Null => Ok(scanner.skip()?),
    }
}

/// Reads an object by its members' names; anything else is skipped.
fn each_member<'a>(scanner: &mut Scanner<'a>, mut each: impl FnMut(&mut Scanner<'a>, &str) -> Read) -> Read {
    if scanner.peek()? != Kind::Object {
        return Ok(scanner.skip()?);
    }
    scanner.object(|scanner, entry| each(scanner, &entry.name.decode()))
}

/// Reads an array; anything else is skipped.
fn each_item<'a>(scanner: &mut Scanner<'a>, mut each: impl FnMut(&mut Scanner<'a>) -> Read) -> Read {
    if scanner.peek()? != Kind::Array {
        return Ok(scanner.skip()?);
    }
    scanner.array(|scanner, _| each(scanner)).map(|_| ())
}

#[cfg(test)]
mod tests;
