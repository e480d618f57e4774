//! Log probabilities, for aliases that expose them.
//!
//! Promises the members that the API knows, tokens and numbers as the model sent them. Never copies a
//! member beside them.

use serde::Deserialize;
use serde_json::value::RawValue;

use super::lenient::{Object, Text};
use super::pen::Pen;
use crate::error::UpstreamFault;

/// Writes the member `logprobs`, or nothing if there is nothing that the API knows.
///
/// # Errors
/// `BadShape` if it is not what the API knows; `BadJson` if it holds text that is not Unicode.
pub(super) fn write(pen: &mut Pen, json: &RawValue) -> Result<(), UpstreamFault> {
    let Object(logprobs) = serde_json::from_str::<Object<Logprobs<'_>>>(json.get())
        .map_err(|why| if why.is_data() { UpstreamFault::BadShape } else { UpstreamFault::BadJson })?;
    if logprobs.content.is_none() && logprobs.refusal.is_none() {
        return Ok(());
    }
    pen.key("logprobs");
    pen.raw(b"{\"content\":");
    write_tokens(pen, logprobs.content.as_deref())?;
    pen.raw(b",\"refusal\":");
    write_tokens(pen, logprobs.refusal.as_deref())?;
    pen.raw(b"}");
    Ok(())
}

#[derive(Deserialize)]
struct Logprobs<'a> {
    #[serde(borrow)]
    content: Option<Vec<Object<Token<'a>>>>,
    #[serde(borrow)]
    refusal: Option<Vec<Object<Token<'a>>>>,
}

#[derive(Deserialize)]
struct Token<'a> {
    #[serde(borrow)]
    token: Text<'a>,
    #[serde(borrow)]
    logprob: &'a RawValue,
    bytes: Option<Vec<u8>>,
    #[serde(borrow)]
    top_logprobs: Option<Vec<Object<Rival<'a>>>>,
}

/// A token that could have stood there as well.
#[derive(Deserialize)]
struct Rival<'a> {
    #[serde(borrow)]
    token: Text<'a>,
    #[serde(borrow)]
    logprob: &'a RawValue,
    bytes: Option<Vec<u8>>,
}

fn write_tokens(pen: &mut Pen, tokens: Option<&[Object<Token<'_>>]>) -> Result<(), UpstreamFault> {
    let Some(tokens) = tokens else {
        pen.raw(b"null");
        return Ok(());
    };
    pen.raw(b"[");
    for Object(token) in tokens {
        pen.comma();
        pen.raw(b"{");
        write_one(pen, &token.token, token.logprob, token.bytes.as_deref())?;
        pen.raw(b",\"top_logprobs\":[");
        for Object(rival) in token.top_logprobs.as_deref().unwrap_or_default() {
            pen.comma();
            pen.raw(b"{");
            write_one(pen, &rival.token, rival.logprob, rival.bytes.as_deref())?;
            pen.raw(b"}");
        }
        pen.raw(b"]}");
    }
    pen.raw(b"]");
    Ok(())
}

fn write_one(
    pen: &mut Pen,
    token: &Text<'_>,
    logprob: &RawValue,
    bytes: Option<&[u8]>,
) -> Result<(), UpstreamFault> {
    pen.raw(b"\"token\":");
    pen.text(token);
    pen.raw(b",\"logprob\":");
    // A number keeps its digits: to read and print it could change the last one.
    let number = logprob.get();
    if !number.starts_with(|first: char| first == '-' || first.is_ascii_digit()) {
        return Err(UpstreamFault::BadShape);
    }
    pen.raw(number);
    pen.raw(b",\"bytes\":");
    match bytes {
        None => pen.raw(b"null"),
        Some(bytes) => {
            pen.raw(b"[");
            for byte in bytes {
                pen.comma();
                pen.integer(u64::from(*byte));
            }
            pen.raw(b"]");
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(json: &str) -> Result<String, UpstreamFault> {
        let mut pen = Pen::default();
        write(&mut pen, serde_json::from_str::<&RawValue>(json).unwrap())?;
        Ok(String::from_utf8(pen.into_bytes()).unwrap())
    }

    #[test]
    fn the_known_members_pass_with_their_digits_and_nothing_else_does() {
        let json = r#"{"x":1,"content":[{"id":9,"token":"\u8981","logprob":-0.10000000000000000001,"bytes":[232, 166, 129],
            "top_logprobs":[{"token":"a","logprob":-1,"rank":2}]},{"logprob":0,"token":""}]}"#;
        assert_eq!(
            seen(json).unwrap(),
            r#""logprobs":{"content":[{"token":"要","logprob":-0.10000000000000000001,"bytes":[232,166,129],"top_logprobs":[{"token":"a","logprob":-1,"bytes":null}]},{"token":"","logprob":0,"bytes":null,"top_logprobs":[]}],"refusal":null}"#
        );
    }

    #[test]
    fn what_the_api_does_not_know_is_not_written() {
        assert_eq!(seen(r#"{"tokens":["a"],"token_logprobs":[-1]}"#).unwrap(), "");
    }

    #[test]
    fn another_shape_is_refused() {
        for json in [
            r#"[]"#,
            r#"{"content":[{"token":"a"}]}"#,
            r#"{"content":[{"token":"a","logprob":"-1"}]}"#,
            r#"{"content":[{"token":"a","logprob":{}}]}"#,
            r#"{"content":[{"token":"a","logprob":1,"bytes":[256]}]}"#,
            r#"{"content":[["a",1]]}"#,
        ] {
            assert_eq!(seen(json), Err(UpstreamFault::BadShape), "{json}");
        }
    }
}
