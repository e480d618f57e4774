//! Requests, as good clients make them: what an abuse begins with.

use super::frames;

/// The value that acme's key is shown in.
pub const BEARER: &str = "Bearer bn-test-acme";

/// The head of a chat request.
pub const CHAT: [(&str, &str); 6] = [
    (":method", "POST"),
    (":scheme", "http"),
    (":path", "/v1/chat/completions"),
    (":authority", "gateway"),
    ("authorization", BEARER),
    ("content-type", "application/json"),
];

/// The head of a question for the list of models.
pub const MODELS: [(&str, &str); 5] = [
    (":method", "GET"),
    (":scheme", "http"),
    (":path", "/v1/models"),
    (":authority", "gateway"),
    ("authorization", BEARER),
];

/// A request's body.
pub fn body(text: &str) -> Vec<u8> {
    text.as_bytes().to_vec()
}

/// The same fields with this one in the place of the one of its name, or at the end.
pub fn with<'a>(fields: &[(&'a str, &'a str)], name: &'a str, value: &'a str) -> Vec<(&'a str, &'a str)> {
    let mut fields = fields.to_vec();
    match fields.iter_mut().find(|(known, _)| *known == name) {
        Some(field) => field.1 = value,
        None => fields.push((name, value)),
    }
    fields
}

/// The same fields and a piece of a header block that cannot be written as text.
pub fn block_with(fields: &[(&str, &str)], piece: &[u8]) -> Vec<u8> {
    [frames::block(fields), piece.to_vec()].concat()
}
