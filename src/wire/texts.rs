//! What a request says: its texts, decoded, one after the other and without a tree.
//!
//! All that can reach a backing model as words is handed over: of members that we do not know, every string.
//! Left out is, by its place and never by its name alone, what [`request::check`](super::request::check) holds to
//! words of ours, what goes up in another form or not at all, and what only a decoder can read: pictures and
//! sounds. Words that a member with such a name usually has, as a schema's `"type": "object"`, are left out, too.
//! Names of members are, but for those under `properties` and in `logit_bias`. A body that the check has not
//! accepted gives nothing that can be relied on.

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

/// Members of the body that never reach a backing model, or only in another form.
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
    "prompt_cache_key",
];

/// What members with these names hold in everybody's requests. Anything else in them is looked at.
const USUAL: &[(&str, &[&str])] = &[
    ("type", TYPES),
    ("format", FORMATS),
    ("$schema", SCHEMAS),
    ("mode", &["auto", "required", "implicit", "explicit"]),
    ("ttl", &["30m"]),
    ("syntax", &["lark", "regex"]),
    ("detail", &["auto", "low", "high"]),
    ("tool_choice", &["none", "auto", "required"]),
    ("function_call", &["none", "auto"]),
    ("modalities", &["text"]),
    ("reasoning_effort", &["none", "minimal", "low", "medium", "high", "xhigh", "max"]),
    ("verbosity", &["low", "medium", "high"]),
    ("prompt_cache_retention", &["in_memory", "in-memory", "24h"]),
];

/// Types of JSON schemas, then of tools and formats.
const TYPES: &[&str] = &[
    "object",
    "string",
    "number",
    "integer",
    "boolean",
    "array",
    "null",
    "function",
    "custom",
    "allowed_tools",
    "grammar",
    "text",
    "json_object",
    "json_schema",
    "ephemeral",
];

/// Formats of JSON schemas, then of sounds.
const FORMATS: &[&str] = &[
    "date-time",
    "date",
    "time",
    "duration",
    "email",
    "hostname",
    "ipv4",
    "ipv6",
    "uri",
    "uuid",
    "regex",
    "int32",
    "int64",
    "float",
    "double",
    "wav",
    "mp3",
    "flac",
    "opus",
    "pcm16",
];

/// The languages of schemas.
const SCHEMAS: &[&str] = &[
    "http://json-schema.org/draft-04/schema#",
    "http://json-schema.org/draft-06/schema#",
    "http://json-schema.org/draft-07/schema#",
    "https://json-schema.org/draft/2019-09/schema",
    "https://json-schema.org/draft/2020-12/schema",
];

/// The longest beginning of a `data:` link whose body is base64, in bytes.
const MAX_LINK_HEAD: usize = 100;

/// Hands over all texts of a checked body, in its order.
pub fn texts(body: &[u8], listener: Listener<'_>) {
    let Ok(text) = std::str::from_utf8(body) else { return };
    let (mut scanner, mut ear) = (Scanner::new(text), Ear(listener));
    let read: Read = scanner.object(|scanner, entry| match &*entry.name.decode() {
        name if SILENT.contains(&name) => Ok(scanner.skip()?),
        "messages" => each_item(scanner, &mut ear, message),
        "prediction" => each_member(scanner, &mut ear, |scanner, name, ear| match name {
            "type" => Ok(scanner.skip()?),
            "content" => content(scanner, ear),
            _ => anything(scanner, name, Names::Silent, ear),
        }),
        "logit_bias" => each_member(scanner, &mut ear, |scanner, name, ear| {
            scanner.skip()?;
            // Most are numbers of tokens.
            if name.bytes().all(|byte| byte.is_ascii_digit()) { Ok(()) } else { ear.tell(Said::Beside(name)) }
        }),
        name => anything(scanner, name, Names::Silent, &mut ear),
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
    each_member(scanner, ear, |scanner, name, ear| match name {
        "content" => content(scanner, ear),
        "tool_calls" => each_item(scanner, ear, call),
        "function_call" => function(scanner, ear),
        // The one is a word of ours, the other goes up in another form.
        "role" | "tool_call_id" => Ok(scanner.skip()?),
        _ => anything(scanner, name, Names::Silent, ear),
    })
}

/// A string, or parts. Nobody knows whether a backing model puts anything between parts, so both are told.
fn content(scanner: &mut Scanner<'_>, ear: &mut Ear<'_>) -> Read {
    if scanner.peek()? == Kind::String {
        return ear.tell(Said::Message(&scanner.string()?.decode()));
    }
    let mut parts: Vec<Cow<'_, str>> = Vec::new();
    each_item(scanner, ear, |scanner, ear| part(scanner, &mut parts, ear))?;
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
    each_member(scanner, ear, |scanner, name, ear| match name {
        "type" => Ok(scanner.skip()?),
        "text" | "refusal" if scanner.peek()? == Kind::String => {
            parts.push(scanner.string()?.decode());
            Ok(())
        }
        "image_url" => medium(scanner, "url", ear),
        "input_audio" => medium(scanner, "data", ear),
        "file" => medium(scanner, "file_data", ear),
        _ => anything(scanner, name, Names::Silent, ear),
    })
}

/// A picture, a sound or a file, which is the member called `body`: nobody reads that here, if it is what it should be.
fn medium(scanner: &mut Scanner<'_>, body: &str, ear: &mut Ear<'_>) -> Read {
    each_member(scanner, ear, |scanner, name, ear| match name {
        _ if name == body && scanner.peek()? == Kind::String => {
            let text = scanner.string()?.decode();
            if is_link(&text) || is_base64(&text) { Ok(()) } else { ear.tell(Said::Beside(&text)) }
        }
        _ => anything(scanner, name, Names::Silent, ear),
    })
}

fn is_link(text: &str) -> bool {
    let rest = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
    rest.is_some_and(|rest| rest.bytes().all(|byte| byte.is_ascii_graphic()))
}

/// Whether this is base64, by itself or in a link.
fn is_base64(text: &str) -> bool {
    let body = match text.strip_prefix("data:").and_then(|rest| rest.split_once(',')) {
        Some((head, body)) if head.ends_with(";base64") && head.len() <= MAX_LINK_HEAD && is_type(head) => {
            body
        }
        Some(_) => return false,
        None => text,
    };
    body.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+/-_=\r\n".contains(&byte))
}

/// Whether all of it may stand in the name of a type of content.
fn is_type(head: &str) -> bool {
    head.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"/+-.;=".contains(&byte))
}

fn call(scanner: &mut Scanner<'_>, ear: &mut Ear<'_>) -> Read {
    each_member(scanner, ear, |scanner, name, ear| match name {
        "function" => function(scanner, ear),
        // The one is a word of ours, the other goes up in another form.
        "type" | "id" => Ok(scanner.skip()?),
        _ => anything(scanner, name, Names::Silent, ear),
    })
}

fn function(scanner: &mut Scanner<'_>, ear: &mut Ear<'_>) -> Read {
    each_member(scanner, ear, |scanner, name, ear| match name {
        "arguments" if scanner.peek()? == Kind::String => {
            ear.tell(Said::Arguments(&scanner.string()?.decode()))
        }
        _ => anything(scanner, name, Names::Silent, ear),
    })
}

/// Every string in the value of a member called `of`, but what is usual there.
fn anything(scanner: &mut Scanner<'_>, of: &str, names: Names, ear: &mut Ear<'_>) -> Read {
    match scanner.peek()? {
        Kind::String => {
            let text = scanner.string()?.decode();
            if is_usual(of, &text) { Ok(()) } else { ear.tell(Said::Beside(&text)) }
        }
        Kind::Array => scanner.array(|scanner, _| anything(scanner, of, Names::Silent, ear)).map(|_| ()),
        Kind::Object => scanner.object(|scanner, entry| {
            let name = entry.name.decode();
            match names {
                Names::Words => {
                    ear.tell(Said::Beside(&name))?;
                    anything(scanner, "", Names::Silent, ear)
                }
                Names::Silent if name == "properties" => anything(scanner, &name, Names::Words, ear),
                Names::Silent => anything(scanner, &name, Names::Silent, ear),
            }
        }),
        Kind::Number | Kind::True | Kind::False | Kind::Null => Ok(scanner.skip()?),
    }
}

fn is_usual(name: &str, text: &str) -> bool {
    USUAL.iter().any(|(known, texts)| *known == name && texts.contains(&text))
}

/// Reads an object by its members' names; something else is read like anything.
fn each_member<'a>(
    scanner: &mut Scanner<'a>,
    ear: &mut Ear<'_>,
    mut each: impl FnMut(&mut Scanner<'a>, &str, &mut Ear<'_>) -> Read,
) -> Read {
    if scanner.peek()? != Kind::Object {
        return anything(scanner, "", Names::Silent, ear);
    }
    scanner.object(|scanner, entry| each(scanner, &entry.name.decode(), ear))
}

/// Reads an array; something else is read like anything.
fn each_item<'a>(
    scanner: &mut Scanner<'a>,
    ear: &mut Ear<'_>,
    mut each: impl FnMut(&mut Scanner<'a>, &mut Ear<'_>) -> Read,
) -> Read {
    if scanner.peek()? != Kind::Array {
        return anything(scanner, "", Names::Silent, ear);
    }
    scanner.array(|scanner, _| each(scanner, ear)).map(|_| ())
}

#[cfg(test)]
mod tests;
