//! What stays the same in every answer to one request: our id, our time, the client's alias.
//!
//! Promises that what a backing model calls itself, its answer or its tool calls has no place to stand.
//! Never makes an id or reads a clock: both are given.

use bytes::Bytes;

use super::pen::Pen;

/// The constant part of one request's answers, rendered once. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Voice {
    /// From the brace to `chat.completion`, where a chunk says one word more.
    before: Bytes,
    /// From there to `"choices":[`.
    after: Bytes,
    stem: [u8; STEM],
}

/// Letters and digits of the request's id in each tool call's id. With `call_` and the two numbers
/// behind it the id is 33 characters long; clients send it back to APIs that take no more than 40.
const STEM: usize = 24;

/// One above the highest choice and tool call index that can be named. Far more than any API allows,
/// and little enough that two digits of base 36 hold either.
pub(super) const MAX_INDEX: u64 = 1024;

impl Voice {
    /// Speaks as `chatcmpl-{uuid}`, made at `created` (seconds since 1970), under the alias as it was sent.
    pub fn new(uuid: &str, created: u64, alias: &str) -> Self {
        let mut pen = Pen::with_capacity(128 + uuid.len() + alias.len());
        pen.raw(b"{\"id\":\"chatcmpl-");
        pen.raw(uuid);
        pen.raw(b"\",\"object\":\"chat.completion");
        let word = pen.bytes().len();
        pen.raw(b"\",\"created\":");
        pen.integer(created);
        pen.raw(b",\"model\":");
        pen.string(alias);
        pen.raw(b",\"choices\":[");
        let mut before = Bytes::from(pen.into_bytes());
        let after = before.split_off(word);
        let mut stem = [b'0'; STEM];
        for (slot, byte) in stem.iter_mut().zip(uuid.bytes().filter(u8::is_ascii_alphanumeric)) {
            *slot = byte;
        }
        Self { before, after, stem }
    }

    /// Begins a whole answer, up to and with `"choices":[`.
    pub(super) fn whole(&self, pen: &mut Pen) {
        pen.raw(&self.before);
        pen.raw(&self.after);
    }

    /// Begins a chunk of a stream, up to and with `"choices":[`.
    pub(super) fn chunk(&self, pen: &mut Pen) {
        pen.raw(&self.before);
        pen.raw(b".chunk");
        pen.raw(&self.after);
    }

    /// How long such a beginning is at most.
    pub(super) fn length(&self) -> usize {
        self.before.len() + self.after.len() + 6
    }

    /// Writes our id of one tool call as a JSON string. Both numbers are below [`MAX_INDEX`].
    pub(super) fn call_id(&self, pen: &mut Pen, choice: u64, call: u64) {
        pen.raw(b"\"call_");
        pen.raw(self.stem);
        for number in [choice, call] {
            pen.raw([base36(number / 36), base36(number % 36)]);
        }
        pen.raw(b"\"");
    }
}

fn base36(number: u64) -> u8 {
    match u8::try_from(number % 36) {
        Ok(digit @ 0..=9) => b'0' + digit,
        Ok(letter) => b'a' + letter.saturating_sub(10),
        Err(_) => b'0',
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn the_alias_is_spelled_as_json_whatever_it_is() {
        let voice = Voice::new("u-1", 7, "a\"b\\要");
        let begun = |begin: fn(&Voice, &mut Pen)| {
            let mut pen = Pen::default();
            begin(&voice, &mut pen);
            String::from_utf8(pen.into_bytes()).unwrap()
        };
        assert_eq!(
            begun(Voice::chunk),
            r#"{"id":"chatcmpl-u-1","object":"chat.completion.chunk","created":7,"model":"a\"b\\要","choices":["#
        );
        assert_eq!(
            begun(Voice::whole),
            r#"{"id":"chatcmpl-u-1","object":"chat.completion","created":7,"model":"a\"b\\要","choices":["#
        );
    }

    #[test]
    fn each_tool_call_of_an_answer_has_its_own_id_of_letters_and_digits() {
        let voice = Voice::new("2f8c0b9e-6a1d-4c2e-9b3a-7d5e1f0a2b3c", 7, "general");
        let mut ids = HashSet::new();
        for (choice, call) in (0..MAX_INDEX).map(|n| (n, 0)).chain((1..MAX_INDEX).map(|n| (0, n))) {
            let mut pen = Pen::default();
            voice.call_id(&mut pen, choice, call);
            let id: String = serde_json::from_slice(pen.bytes()).unwrap();
            let tail = id.strip_prefix("call_").unwrap();
            assert!(tail.len() == STEM + 4 && tail.bytes().all(|byte| byte.is_ascii_alphanumeric()), "{id}");
            assert!(ids.insert(id));
        }
    }

    #[test]
    fn a_short_uuid_still_gives_a_long_call_id() {
        let mut pen = Pen::default();
        Voice::new("ab", 0, "m").call_id(&mut pen, 0, 37);
        assert_eq!(pen.bytes(), b"\"call_ab00000000000000000000000011\"");
    }
}
