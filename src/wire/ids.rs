//! Names that others gave, in a form that says nothing: a backing model's id of a tool call on its way to a
//! client and back, and a client's names for its own customers on their way to a provider.
//!
//! Promises that an id that we gave out leads back to the one that the backing model gave, without any memory of
//! ours; that nobody else can read it, alter it or tell it from another; and that all other ids, of other gateways
//! or under another key, stay distinct, short and the same wherever they stand. Never reads a key from anywhere.
//!
//! An id of ours is `call_` and base64url of an authenticated encryption, built as SIV is (Rogaway and Shrimpton,
//! "Deterministic Authenticated-Encryption", 2006; RFC 5297) with HMAC-SHA-256 for both of its halves: a tag over
//! the whole plaintext, and a key stream that begins with that tag. Two ids are alike only if all of the plaintext
//! is, and that holds some of the request's own id: models that count their calls (`f:0`, `f:1`) do not show it.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::hmac::{Context, HMAC_SHA256, Key, Tag};

/// What all keys of a configuration are derived from.
#[derive(Clone)]
pub struct Root(Key);

impl Root {
    /// From a secret of any length.
    pub fn new(secret: &[u8]) -> Self {
        Self(Key::new(HMAC_SHA256, secret))
    }

    /// A key for one purpose and those that share it. Parts are told apart by their lengths.
    fn key(&self, purpose: &str, parts: &[&str]) -> Key {
        let mut context = Context::with_key(&self.0);
        for part in std::iter::once(&purpose).chain(parts) {
            context.update(&(part.len() as u64).to_be_bytes());
            context.update(part.as_bytes());
        }
        Key::new(HMAC_SHA256, context.sign().as_ref())
    }
}

impl std::fmt::Debug for Root {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Root(..)")
    }
}

/// The keys of one alias of one tenant.
pub struct Ids {
    tag: Key,
    stream: Key,
    foreign: Key,
    /// The same for all aliases of the tenant.
    people: Key,
}

impl std::fmt::Debug for Ids {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Ids(..)")
    }
}

/// What every tool call's id begins with, in OpenAI's API and here.
const PREFIX: &str = "call_";
/// Bytes of the tag that authenticates an id.
const TAG: usize = 16;
/// Bytes of the request's id in each id.
pub(super) const SALT: usize = 6;
/// Bytes of the smallest plaintext. Ids of up to 49 bytes fit, and so all ids of our time but a few are equally
/// long. With the tag it is a multiple of three, so that base64 has no bits to spare that could be altered.
const SMALLEST: usize = 56;
/// Longer ids get so many bytes more, as often as needed.
const STEP: usize = 48;
/// The longest id of a backing model that is led back, in bytes; some vendors put signatures into theirs.
pub(super) const MAX_ID: usize = 8 * 1024;
/// Ends an id, before the zeros that fill up the plaintext.
const END: u8 = 0x80;
/// Letters and digits of an id that is not ours. With the prefix it has 29 characters; OpenAI takes up to 40.
const FOREIGN: usize = 24;
const ALPHABET: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
/// Bytes of a customer's name as a provider sees it, in twice as many hexadecimal digits.
const PERSON: usize = 16;

impl Ids {
    /// The keys of a tenant's alias.
    pub fn new(root: &Root, tenant: &str, alias: &str) -> Self {
        Self {
            tag: root.key("tool call id: tag", &[tenant, alias]),
            stream: root.key("tool call id: stream", &[tenant, alias]),
            foreign: root.key("tool call id: foreign", &[tenant, alias]),
            people: root.key("people", &[tenant]),
        }
    }

    /// Our id for a backing model's id of at most [`MAX_ID`] bytes. What is longer is cut, and does not lead back.
    pub(super) fn downward(&self, salt: [u8; SALT], id: &str) -> String {
        let id = id.as_bytes();
        let id = id.get(..MAX_ID).unwrap_or(id);
        let need = SALT + id.len() + 1;
        let size = SMALLEST + need.saturating_sub(SMALLEST).div_ceil(STEP) * STEP;
        let mut bytes = Vec::with_capacity(TAG + size);
        bytes.extend_from_slice(&[0; TAG]);
        bytes.extend_from_slice(&salt);
        bytes.extend_from_slice(id);
        bytes.push(END);
        bytes.resize(TAG + size, 0);
        if let Some((place, text)) = bytes.split_first_chunk_mut::<TAG>() {
            *place = self.tag(text);
            self.cover(place, text);
        }
        let mut ours = String::with_capacity(PREFIX.len() + bytes.len() / 3 * 4);
        ours.push_str(PREFIX);
        URL_SAFE_NO_PAD.encode_string(&bytes, &mut ours);
        ours
    }

    /// What a backing model gets for an id that a client sent: its own, if it is one of ours.
    pub fn upward(&self, id: &str) -> String {
        self.open(id).unwrap_or_else(|| self.foreign(id))
    }

    /// What a provider gets for a customer's name. The same for all aliases of a tenant, another one for each tenant.
    pub fn person(&self, name: &str) -> String {
        let tag = ring::hmac::sign(&self.people, name.as_bytes());
        let mut text = String::with_capacity(3 + 2 * PERSON);
        text.push_str("bn-");
        for byte in tag.as_ref().iter().take(PERSON) {
            text.extend(
                [byte >> 4, byte & 15].map(|digit| char::from_digit(digit.into(), 16).unwrap_or('0')),
            );
        }
        text
    }

    /// The backing model's id in one of ours; `None` for any other, be it of another tenant, alias or key.
    fn open(&self, id: &str) -> Option<String> {
        const LONGEST: usize = (TAG + SMALLEST + MAX_ID + STEP) / 3 * 4;
        let text = id.strip_prefix(PREFIX).filter(|text| text.len() <= LONGEST)?;
        let mut bytes = URL_SAFE_NO_PAD.decode(text).ok()?;
        let (given, text) = bytes.split_first_chunk_mut::<TAG>()?;
        self.cover(given, text);
        // All bytes are compared, so that time tells nothing of how many were right.
        let differences = given.iter().zip(self.tag(text)).fold(0, |all, (one, other)| all | (one ^ other));
        if differences != 0 {
            return None;
        }
        let end = text.iter().rposition(|byte| *byte != 0)?;
        let id = text.get(SALT..end)?;
        String::from_utf8(id.to_vec()).ok()
    }

    fn foreign(&self, id: &str) -> String {
        let tag = ring::hmac::sign(&self.foreign, id.as_bytes());
        let letter = |byte: &u8| ALPHABET.get(usize::from(byte % 62)).copied().map_or('0', char::from);
        PREFIX.chars().chain(tag.as_ref().iter().take(FOREIGN).map(letter)).collect()
    }

    fn tag(&self, text: &[u8]) -> [u8; TAG] {
        first(ring::hmac::sign(&self.tag, text))
    }

    /// Encrypts, or decrypts again.
    fn cover(&self, tag: &[u8; TAG], text: &mut [u8]) {
        for (block, number) in text.chunks_mut(32).zip(0_u32..) {
            let mut context = Context::with_key(&self.stream);
            context.update(tag);
            context.update(&number.to_be_bytes());
            block.iter_mut().zip(context.sign().as_ref()).for_each(|(byte, key)| *byte ^= key);
        }
    }
}

fn first(tag: Tag) -> [u8; TAG] {
    let mut bytes = [0; TAG];
    bytes.iter_mut().zip(tag.as_ref()).for_each(|(to, from)| *to = *from);
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ids(secret: &str, tenant: &str, alias: &str) -> Ids {
        Ids::new(&Root::new(secret.as_bytes()), tenant, alias)
    }

    #[test]
    fn our_id_leads_back_to_theirs_whatever_that_is() {
        let ids = ids("s", "acme", "general");
        for theirs in ["a", "call_abc", "functions.get_weather:0", "日本 \"\\\u{0}", "\u{80}\0\0", ""] {
            assert_eq!(ids.upward(&ids.downward([7; SALT], theirs)), theirs, "{theirs:?}");
        }
        for length in (0..200).chain([MAX_ID - 1, MAX_ID]) {
            let theirs = "x".repeat(length);
            assert_eq!(ids.upward(&ids.downward([0; SALT], &theirs)), theirs, "{length}");
        }
        let longer = ids.downward([0; SALT], &"é".repeat(MAX_ID));
        assert!(ids.upward(&longer).len() <= MAX_ID);
    }

    #[test]
    fn ids_of_ordinary_length_are_equally_long_and_plain() {
        let ids = ids("s", "acme", "general");
        for length in 0..=48 {
            let ours = ids.downward([1; SALT], &"x".repeat(length));
            assert_eq!(ours.len(), 101, "{length}");
            assert!(ours.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-'), "{ours}");
        }
        assert_eq!(ids.downward([1; SALT], &"x".repeat(50)).len(), 101 + 64);
    }

    #[test]
    fn the_same_id_looks_the_same_in_one_request_and_different_in_another() {
        let ids = ids("s", "acme", "general");
        assert_eq!(ids.downward([1; SALT], "f:0"), ids.downward([1; SALT], "f:0"));
        let (one, other) = (ids.downward([1; SALT], "f:0"), ids.downward([2; SALT], "f:0"));
        let alike = one.bytes().zip(other.bytes()).skip(PREFIX.len()).filter(|(a, b)| a == b).count();
        assert!(alike < 20, "{one}\n{other}");
    }

    #[test]
    fn what_is_not_ours_becomes_short_and_stays_the_same() {
        let ours = ids("s", "acme", "general");
        let id = ours.downward([1; SALT], "toolu_1");
        let altered = |at: usize| {
            let mut bytes = id.clone().into_bytes();
            bytes[at] = if bytes[at] == b'A' { b'B' } else { b'A' };
            String::from_utf8(bytes).unwrap()
        };
        let strangers = [
            ids("t", "acme", "general").downward([1; SALT], "toolu_1"),
            ids("s", "globex", "general").downward([1; SALT], "toolu_1"),
            ids("s", "acme", "secure").downward([1; SALT], "toolu_1"),
            ids("s", "acmeg", "eneral").downward([1; SALT], "toolu_1"),
            "toolu_01A".to_owned(),
            "call_".to_owned(),
            String::new(),
            format!("call_{}", "A".repeat(100_000)),
        ];
        let altered: Vec<_> = (PREFIX.len()..id.len()).map(altered).collect();
        let mut seen = std::collections::HashSet::new();
        for stranger in strangers.iter().chain(&altered) {
            let short = ours.upward(stranger);
            let tail = short.strip_prefix(PREFIX).unwrap();
            assert!(tail.len() == FOREIGN && tail.bytes().all(|b| b.is_ascii_alphanumeric()), "{short}");
            assert_eq!(short, ours.upward(stranger));
            assert!(seen.insert(short), "{stranger}");
        }
    }

    #[test]
    fn a_customer_has_one_name_at_each_tenant() {
        let acme = ids("s", "acme", "general").person("anna");
        assert_eq!(acme, ids("s", "acme", "secure").person("anna"));
        assert!(acme.len() == 35 && acme.starts_with("bn-"), "{acme}");
        for other in [
            ids("s", "globex", "general").person("anna"),
            ids("t", "acme", "general").person("anna"),
            ids("s", "acme", "general").person("anne"),
        ] {
            assert_ne!(acme, other);
        }
    }

    #[test]
    fn keys_do_not_show_themselves() {
        assert_eq!(format!("{:?} {:?}", Root::new(b"hunter2"), ids("hunter2", "a", "b")), "Root(..) Ids(..)");
    }
}
