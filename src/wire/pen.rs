//! JSON in the one spelling that we use: compact, non-ASCII as UTF-8, the shortest escapes.
//!
//! Promises that what is written as a string is a JSON string, whatever the text. Never decides what
//! is written, and never copies a string in the spelling of somebody else.

use super::finish::{Ends, Finish};
use super::lenient::Text;
use super::usage::Delivered;

/// A growing JSON text and the count of what it tells.
#[derive(Debug, Default)]
pub(super) struct Pen {
    bytes: Vec<u8>,
    delivered: Delivered,
    ends: Ends,
}

impl Pen {
    /// An empty text with room for `capacity` bytes.
    pub(super) fn with_capacity(capacity: usize) -> Self {
        Self { bytes: Vec::with_capacity(capacity), ..Self::default() }
    }

    /// Starts over and keeps the room, and why choices ended.
    pub(super) fn clear(&mut self) {
        self.bytes.clear();
        self.delivered = Delivered::default();
    }

    /// What is written so far.
    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The finished text.
    pub(super) fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }

    /// The model's text that was written so far.
    pub(super) fn delivered(&self) -> Delivered {
        self.delivered
    }

    /// Notes why a choice ended.
    pub(super) fn ended(&mut self, finish: Finish) {
        self.ends.add(finish);
    }

    /// Why choices ended that were written since this was last asked.
    pub(super) fn take_ends(&mut self) -> Ends {
        std::mem::take(&mut self.ends)
    }

    /// A constant piece of JSON, or one that is finished already.
    pub(super) fn raw(&mut self, json: impl AsRef<[u8]>) {
        self.bytes.extend_from_slice(json.as_ref());
    }

    /// The next member's name, after a comma where one is due.
    pub(super) fn key(&mut self, name: &str) {
        self.comma();
        self.raw(b"\"");
        self.raw(name);
        self.raw(b"\":");
    }

    /// A comma, unless an object or an array has just been opened.
    pub(super) fn comma(&mut self) {
        if !matches!(self.bytes.last(), None | Some(b'{' | b'[')) {
            self.raw(b",");
        }
    }

    /// A whole number.
    pub(super) fn integer(&mut self, number: u64) {
        match u8::try_from(number) {
            // Indexes are nearly always one digit.
            Ok(digit @ 0..=9) => self.bytes.push(b'0' + digit),
            Ok(_) | Err(_) => self.raw(number.to_string()),
        }
    }

    /// Text of ours as a JSON string.
    pub(super) fn string(&mut self, text: &str) {
        self.raw(b"\"");
        self.escaped(text);
        self.raw(b"\"");
    }

    /// Text out of an answer as a JSON string, not counted.
    pub(super) fn text(&mut self, text: &Text<'_>) {
        match text {
            // It came out of a JSON string as it stood there, so nothing in it needs an escape.
            Text::Plain(text) => {
                self.raw(b"\"");
                self.raw(text);
                self.raw(b"\"");
            }
            Text::Decoded(text) => self.string(text),
        }
    }

    /// What the model says to the client, as a JSON string, counted.
    pub(super) fn told(&mut self, text: &Text<'_>) {
        self.delivered.count(text.as_str());
        self.text(text);
    }

    fn escaped(&mut self, text: &str) {
        let bytes = text.as_bytes();
        let mut from = 0;
        for (at, byte) in bytes.iter().enumerate() {
            if !matches!(byte, b'"' | b'\\' | 0..=0x1f) {
                continue;
            }
            self.raw(bytes.get(from..at).unwrap_or_default());
            match byte {
                b'"' => self.raw(b"\\\""),
                b'\\' => self.raw(b"\\\\"),
                b'\n' => self.raw(b"\\n"),
                b'\r' => self.raw(b"\\r"),
                b'\t' => self.raw(b"\\t"),
                0x08 => self.raw(b"\\b"),
                0x0c => self.raw(b"\\f"),
                other => self.raw(format!("\\u{other:04x}")),
            }
            from = at + 1;
        }
        self.raw(bytes.get(from..).unwrap_or_default());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_character_survives_and_only_those_that_must_be_are_escaped() {
        let text: String =
            (0..=0x2ff).chain([0x2028, 0x2029, 0x3042, 0x1f600]).filter_map(char::from_u32).collect();
        let mut pen = Pen::default();
        pen.string(&text);
        assert_eq!(serde_json::from_slice::<String>(pen.bytes()).unwrap(), text);
        assert_eq!(pen.bytes(), serde_json::to_vec(&text).unwrap());
    }

    #[test]
    fn numbers_are_decimal_from_the_first_to_the_last() {
        for number in [0, 9, 10, 255, 256, 1_718_841_600, u64::MAX] {
            let mut pen = Pen::default();
            pen.integer(number);
            assert_eq!(pen.bytes(), number.to_string().as_bytes());
        }
    }

    #[test]
    fn what_is_told_is_counted_in_bytes_and_in_characters() {
        let mut pen = Pen::default();
        pen.told(&Text::Plain("要点"));
        pen.told(&Text::Decoded("a\n".to_owned()));
        pen.text(&Text::Plain("not told"));
        assert_eq!(pen.delivered(), Delivered { bytes: 8, chars: 4 });
    }
}
