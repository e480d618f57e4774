//! What stays the same in every answer to one request: our id, our time, the client's alias.
//!
//! Promises that what a backing model calls itself, its answer or its tool calls has no place to stand.
//! Never makes an id or reads a clock: both are given.

use std::sync::Arc;

use bytes::Bytes;

use super::ids::{Ids, SALT};
use super::pen::Pen;

/// The constant part of one request's answers, rendered once. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Voice {
    /// From the brace to `chat.completion`, where a chunk says one word more.
    before: Bytes,
    /// From there to `"choices":[`.
    after: Bytes,
    stem: [u8; STEM],
    ids: Arc<Ids>,
}

/// Letters and digits of the request's id in the id of a tool call that the backing model gave none. With `call_`
/// and the two numbers behind it that id is 33 characters long; it goes up to APIs that take no more than 40.
const STEM: usize = 24;

/// One above the highest choice and tool call index that can be named. Far more than any API allows,
/// and little enough that two digits of base 36 hold either.
pub(super) const MAX_INDEX: u64 = 1024;

impl Voice {
    /// Speaks as `chatcmpl-{uuid}`, made at `created` (seconds since 1970), under the alias as it was sent, with the
    /// alias's keys for ids of tool calls.
    pub fn new(uuid: &str, created: u64, alias: &str, ids: Arc<Ids>) -> Self {
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
        Self { before, after, stem, ids }
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

    /// Writes our id of one tool call as a JSON string. `theirs` is the backing model's, where it gave one that no
    /// other call of the answer has. Both numbers are below [`MAX_INDEX`].
    pub(super) fn call_id(&self, pen: &mut Pen, theirs: Option<&str>, choice: u64, call: u64) {
        let ours = match theirs {
            Some(theirs) => self.ids.downward(self.salt(), theirs),
            None => self.ids.downward(self.salt(), &self.made_up(choice, call)),
        };
        pen.raw(b"\"");
        pen.raw(ours);
        pen.raw(b"\"");
    }

    /// An id for a call that has none, for the backing model to get back.
    fn made_up(&self, choice: u64, call: u64) -> String {
        let numbers = [choice / 36, choice, call / 36, call].map(base36);
        let letters = self.stem.iter().chain(&numbers).copied().map(char::from);
        "call_".chars().chain(letters).collect()
    }

    /// The beginning of the request's id, as a number.
    fn salt(&self) -> [u8; SALT] {
        let mut salt = [0; SALT];
        for (byte, pair) in salt.iter_mut().zip(self.stem.chunks_exact(2)) {
            *byte = pair.iter().fold(0, |byte, digit| byte << 4 | hex(*digit));
        }
        salt
    }
}

fn hex(digit: u8) -> u8 {
    char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok()).unwrap_or(0)
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

    use super::super::ids::Root;
    use super::*;

    fn ids() -> Arc<Ids> {
        Arc::new(Ids::new(&Root::new(b"s"), "acme", "general"))
    }

    fn call(voice: &Voice, theirs: Option<&str>, choice: u64, call: u64) -> String {
        let mut pen = Pen::default();
        voice.call_id(&mut pen, theirs, choice, call);
        serde_json::from_slice(pen.bytes()).unwrap()
    }

    #[test]
    fn the_alias_is_spelled_as_json_whatever_it_is() {
        let voice = Voice::new("u-1", 7, "a\"b\\要", ids());
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
    fn each_tool_call_of_an_answer_has_its_own_id_that_leads_back() {
        let voice = Voice::new("2f8c0b9e-6a1d-4c2e-9b3a-7d5e1f0a2b3c", 7, "general", ids());
        let mut seen = HashSet::new();
        for (choice, number) in (0..MAX_INDEX).map(|n| (n, 0)).chain((1..MAX_INDEX).map(|n| (0, n))) {
            let id = call(&voice, None, choice, number);
            assert_eq!(id.len(), 101);
            let back = ids().upward(&id);
            let tail = back.strip_prefix("call_2f8c0b9e6a1d4c2e9b3a7d5e").unwrap();
            assert!(tail.len() == 4 && tail.bytes().all(|byte| byte.is_ascii_alphanumeric()), "{back}");
            assert!(seen.insert(id) && seen.insert(back));
        }
        assert_eq!(ids().upward(&call(&voice, Some("toolu_1"), 0, 0)), "toolu_1");
        assert_eq!(voice.salt(), [0x2f, 0x8c, 0x0b, 0x9e, 0x6a, 0x1d]);
    }

    #[test]
    fn a_short_uuid_still_gives_a_call_id() {
        let id = call(&Voice::new("ab", 0, "m", ids()), None, 0, 37);
        assert_eq!(ids().upward(&id), "call_ab00000000000000000000000011");
    }
}
