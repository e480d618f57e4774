//! Tool calls: whole ones and the pieces of a stream.
//!
//! Promises that each call of an answer has one id of ours, told once, that arguments are a text, and that
//! the pieces of a text are passed on as they were cut. Never shows an id of the backing model.

mod sift;

use serde::Deserialize;
use serde_json::value::RawValue;

pub(super) use self::sift::{judge, judge_function};
use super::lenient::{Count, Loose, Object, Text};
use super::pen::Pen;
use super::tracks::{Name, Order, Piece, Place, Track};
use super::voice::{MAX_INDEX, Voice};
use crate::error::UpstreamFault;

/// A call, or a piece of one.
#[derive(Debug, Deserialize)]
pub(super) struct ToolCall<'a> {
    index: Option<Count>,
    #[serde(borrow, default)]
    id: Loose<'a>,
    #[serde(rename = "type", borrow, default)]
    kind: Loose<'a>,
    #[serde(borrow)]
    function: Option<Object<Function<'a>>>,
    #[serde(borrow)]
    custom: Option<Object<Custom<'a>>>,
    /// Where it belongs, once that is known.
    #[serde(skip)]
    place: Option<Place>,
}

/// What is called; also the whole of the older `function_call`.
#[derive(Debug, Deserialize)]
pub(super) struct Function<'a> {
    #[serde(borrow)]
    name: Option<Text<'a>>,
    #[serde(borrow)]
    arguments: Option<&'a RawValue>,
    /// What may be told of the arguments, once somebody has looked at them.
    #[serde(skip)]
    sifted: Option<Text<'a>>,
}

/// A tool that takes free text.
#[derive(Debug, Deserialize)]
pub(super) struct Custom<'a> {
    #[serde(borrow)]
    name: Option<Text<'a>>,
    #[serde(borrow)]
    input: Option<Text<'a>>,
}

/// Writes `tool_calls` of a whole answer.
///
/// # Errors
/// `BadShape` if a call does not say what is called.
pub(super) fn write_whole(
    pen: &mut Pen,
    voice: &Voice,
    choice: u64,
    calls: &[Object<ToolCall<'_>>],
) -> Result<(), UpstreamFault> {
    pen.key("tool_calls");
    pen.raw(b"[");
    for ((Object(call), position), number) in calls.iter().zip(0..).zip(0..) {
        within(number)?;
        pen.comma();
        pen.raw(b"{\"id\":");
        let mut before = calls.iter().take(position);
        let theirs = call.id.said().filter(|id| before.all(|Object(other)| other.id.said() != Some(id)));
        voice.call_id(pen, theirs, choice, number);
        match (&call.function, &call.custom) {
            (Some(Object(function)), _) => {
                pen.raw(b",\"type\":\"function\",\"function\":");
                write_function(pen, function)?;
            }
            (None, Some(Object(custom))) => {
                pen.raw(b",\"type\":\"custom\",\"custom\":{\"name\":");
                pen.told(custom.name.as_ref().ok_or(UpstreamFault::BadShape)?);
                pen.raw(b",\"input\":");
                pen.told(custom.input.as_ref().unwrap_or(&Text::Plain("")));
                pen.raw(b"}");
            }
            (None, None) => return Err(UpstreamFault::BadShape),
        }
        pen.raw(b"}");
    }
    pen.raw(b"]");
    Ok(())
}

/// Writes `{name, arguments}` of a whole answer. Arguments that were left out are those of a call
/// without any: the empty object, because every client parses the text as JSON.
///
/// # Errors
/// `BadShape` if the name is missing.
pub(super) fn write_function(pen: &mut Pen, function: &Function<'_>) -> Result<(), UpstreamFault> {
    pen.raw(b"{\"name\":");
    pen.told(function.name.as_ref().ok_or(UpstreamFault::BadShape)?);
    pen.raw(b",\"arguments\":");
    match function.arguments {
        Some(json) => write_arguments(pen, json)?,
        None => pen.raw(b"\"{}\""),
    }
    pen.raw(b"}");
    Ok(())
}

impl ToolCall<'_> {
    /// Where the piece belongs, on the track of its choice. Asked once, or with the same answer again.
    ///
    /// # Errors
    /// `BadShape` if an index is out of all bounds.
    pub(super) fn place(&self, track: &mut Track) -> Result<Place, UpstreamFault> {
        self.place.map_or_else(|| track.place(self.piece()), Ok)
    }

    /// What says where the piece belongs.
    fn piece(&self) -> Piece<'_> {
        Piece { number: self.index.map(|Count(number)| number), id: self.id.said(), name: self.name() }
    }

    fn name(&self) -> Option<&str> {
        self.name_text().map(Text::as_str).filter(|name| !name.is_empty())
    }

    fn name_text(&self) -> Option<&Text<'_>> {
        let function = self.function.as_ref().and_then(|Object(function)| function.name.as_ref());
        let custom = self.custom.as_ref().and_then(|Object(custom)| custom.name.as_ref());
        function.or(custom)
    }

    /// Whether a piece adds nothing to its call.
    pub(super) fn tells_nothing(&self, place: Place) -> bool {
        let named = self.name().is_some() && place.name == Name::New;
        let argued = match (&self.function, &self.custom) {
            (Some(Object(function)), _) => function.is_argued(),
            (None, Some(Object(custom))) => {
                custom.input.as_ref().is_some_and(|text| !text.as_str().is_empty())
            }
            (None, None) => false,
        };
        place.order == Order::Later && !named && !argued
    }
}

impl Function<'_> {
    /// Whether a piece adds nothing to its call.
    pub(super) fn tells_nothing(&self) -> bool {
        !self.is_argued() && self.name.as_ref().is_none_or(|name| name.as_str().is_empty())
    }

    /// Whether there is something of the arguments.
    fn is_argued(&self) -> bool {
        match (&self.sifted, self.arguments) {
            (Some(told), _) => !told.as_str().is_empty(),
            (None, Some(json)) => json.get() != "\"\"",
            (None, None) => false,
        }
    }
}

/// Writes one piece of a call. The first one names it, says its type and begins its arguments.
///
/// # Errors
/// `BadJson` if the arguments are an object with text that is not Unicode.
pub(super) fn write_piece(
    pen: &mut Pen,
    voice: &Voice,
    choice: u64,
    call: &ToolCall<'_>,
    place: Place,
) -> Result<(), UpstreamFault> {
    let custom = call.function.is_none() && (call.custom.is_some() || call.kind.said() == Some("custom"));
    pen.raw(b"{\"index\":");
    pen.integer(place.index);
    let theirs = match place.order {
        Order::First => Some(call.id.said()),
        Order::FirstWithoutId => Some(None),
        Order::Later => None,
    };
    if let Some(theirs) = theirs {
        pen.key("id");
        voice.call_id(pen, theirs, choice, place.index);
        pen.key("type");
        pen.string(if custom { "custom" } else { "function" });
    }
    pen.key(if custom { "custom" } else { "function" });
    pen.raw(b"{");
    let name = match (&call.function, &call.custom) {
        (Some(Object(function)), _) => function.name.as_ref(),
        (None, Some(Object(custom))) => custom.name.as_ref(),
        (None, None) => None,
    };
    write_told(pen, "name", name.filter(|name| place.name == Name::New && !name.as_str().is_empty()));
    let begins = theirs.is_some();
    match (&call.function, &call.custom) {
        (Some(Object(function)), _) if function.sifted.is_some() || function.arguments.is_some() => {
            write_arguments_piece(pen, function)?;
        }
        (None, Some(Object(Custom { input: Some(input), .. }))) => write_told(pen, "input", Some(input)),
        (_, _) if begins && custom => write_told(pen, "input", Some(&Text::Plain(""))),
        (_, _) if begins => write_told(pen, "arguments", Some(&Text::Plain(""))),
        (_, _) => {}
    }
    pen.raw(b"}}");
    Ok(())
}

/// Writes what a delta holds of `{name, arguments}`.
///
/// # Errors
/// `BadJson` if the arguments are an object with text that is not Unicode.
pub(super) fn write_function_piece(pen: &mut Pen, function: &Function<'_>) -> Result<(), UpstreamFault> {
    pen.raw(b"{");
    write_told(pen, "name", function.name.as_ref());
    write_arguments_piece(pen, function)?;
    pen.raw(b"}");
    Ok(())
}

/// Writes what may be told of the arguments, or what was said where nobody has to look at it.
fn write_arguments_piece(pen: &mut Pen, function: &Function<'_>) -> Result<(), UpstreamFault> {
    if function.sifted.is_some() {
        write_told(pen, "arguments", function.sifted.as_ref());
    } else if let Some(json) = function.arguments {
        pen.key("arguments");
        write_arguments(pen, json)?;
    }
    Ok(())
}

fn write_told(pen: &mut Pen, key: &str, text: Option<&Text<'_>>) {
    if let Some(text) = text {
        pen.key(key);
        pen.told(text);
    }
}

fn write_arguments(pen: &mut Pen, json: &RawValue) -> Result<(), UpstreamFault> {
    pen.told(&arguments(json)?);
    Ok(())
}

/// Arguments are JSON in a string; where a vendor sends the JSON itself, it is put into one.
fn arguments(json: &RawValue) -> Result<Text<'_>, UpstreamFault> {
    let json = json.get();
    if json.starts_with('"') { decode(json) } else { compact(json).map(Text::Decoded) }
}

fn decode(token: &str) -> Result<Text<'_>, UpstreamFault> {
    serde_json::from_str(token).map_err(|_| UpstreamFault::BadJson)
}

/// The same JSON without blanks and with strings in our spelling. Order and numbers stay as they are.
fn compact(json: &str) -> Result<String, UpstreamFault> {
    let mut pen = Pen::with_capacity(json.len());
    let mut rest = json;
    while let Some((before, from)) = rest.find('"').and_then(|at| rest.split_at_checked(at)) {
        pen.raw(without_blanks(before));
        let (token, after) = from.split_at_checked(string_len(from)).ok_or(UpstreamFault::BadJson)?;
        pen.text(&decode(token)?);
        rest = after;
    }
    pen.raw(without_blanks(rest));
    String::from_utf8(pen.into_bytes()).map_err(|_| UpstreamFault::BadJson)
}

fn without_blanks(json: &str) -> Vec<u8> {
    json.bytes().filter(|byte| !byte.is_ascii_whitespace()).collect()
}

/// Bytes of the JSON string that `json` begins with, with both quotes.
fn string_len(json: &str) -> usize {
    let mut bytes = json.bytes().enumerate().skip(1);
    while let Some((at, byte)) = bytes.next() {
        match byte {
            b'"' => return at + 1,
            b'\\' => {
                bytes.next();
            }
            _ => {}
        }
    }
    json.len()
}

fn within(index: u64) -> Result<(), UpstreamFault> {
    if index < MAX_INDEX { Ok(()) } else { Err(UpstreamFault::BadShape) }
}

#[cfg(test)]
mod tests;
