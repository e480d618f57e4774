//! Log probabilities, for aliases that expose them.
//!
//! Promises the members that the API knows, tokens and numbers as the model sent them; and where a thought is not
//! shown, none of its tokens either. Never copies a member beside them.

use serde::Deserialize;
use serde_json::value::RawValue;

use super::answer::Said;
use super::completion::Expose;
use super::lenient::{Object, Text};
use super::pen::Pen;
use crate::error::UpstreamFault;

/// The log probabilities of a choice, or of a piece of one.
#[derive(Debug, Clone, Copy)]
pub(super) struct Logprobs<'a> {
    json: &'a RawValue,
    of: Of<'a>,
}

/// What they may be those of.
#[derive(Debug, Clone, Copy)]
enum Of<'a> {
    /// Of all that the model wrote.
    Everything,
    /// Of what is shown. Some models count the tokens of their thoughts and calls in.
    Shown { content: &'a str, refusal: &'a str },
}

impl<'a> Logprobs<'a> {
    /// Those that came with what was said, as far as the alias shows them.
    pub(super) fn new(json: &'a RawValue, said: Option<&'a Said<'_>>, expose: Expose) -> Option<Self> {
        let text = |text: Option<&'a Text<'_>>| text.map_or("", Text::as_str);
        let of = if expose.reasoning {
            Of::Everything
        } else {
            let content = text(said.and_then(|said| said.content.said()));
            Of::Shown { content, refusal: text(said.and_then(|said| said.refusal.0.as_ref())) }
        };
        expose.logprobs.then_some(Self { json, of })
    }

    /// Writes the member `logprobs`, or nothing if there is nothing that the API knows and the client may see.
    ///
    /// # Errors
    /// `BadShape` if it is not what the API knows; `BadJson` if it holds text that is not Unicode.
    pub(super) fn write(self, pen: &mut Pen) -> Result<(), UpstreamFault> {
        let Object(lists) = serde_json::from_str::<Object<Lists<'_>>>(self.json.get())
            .map_err(|why| if why.is_data() { UpstreamFault::BadShape } else { UpstreamFault::BadJson })?;
        let (mut content, mut refusal) = (lists.content.as_deref(), lists.refusal.as_deref());
        match self.of {
            Of::Everything => {}
            Of::Shown { content: shown, refusal: refused } => {
                content = content.and_then(|tokens| that_spell(shown, tokens));
                refusal = refusal.and_then(|tokens| that_spell(refused, tokens));
            }
        }
        if content.is_none() && refusal.is_none() {
            return Ok(());
        }
        pen.key("logprobs");
        pen.raw(b"{\"content\":");
        write_tokens(pen, content)?;
        pen.raw(b",\"refusal\":");
        write_tokens(pen, refusal)?;
        pen.raw(b"}");
        Ok(())
    }
}

/// Those of the tokens that spell a text, white space around it left aside. It stands at their end, or before one that
/// marks the end.
fn that_spell<'t, 'a>(text: &str, tokens: &'t [Object<Token<'a>>]) -> Option<&'t [Object<Token<'a>>]> {
    let text = text.as_bytes().trim_ascii();
    if text.is_empty() {
        return tokens.get(..0).filter(|_| tokens.is_empty());
    }
    let marked = tokens.split_last().map(|(_, before)| before);
    [Some(tokens), marked].into_iter().flatten().find_map(|tokens| {
        let all: Vec<u8> = tokens.iter().flat_map(|Object(token)| token.spelled()).copied().collect();
        let start = all.trim_ascii_end().strip_suffix(text)?.len();
        let mut at = 0;
        let first = tokens.iter().position(|Object(token)| {
            let from = at;
            at += token.spelled().len();
            all.get(from..start).is_some_and(|before| before.trim_ascii().is_empty())
        })?;
        tokens.get(first..)
    })
}

#[derive(Deserialize)]
struct Lists<'a> {
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

impl Token<'_> {
    /// What it adds to the text. A part of a character has no spelling but its bytes.
    fn spelled(&self) -> &[u8] {
        self.bytes.as_deref().unwrap_or_else(|| self.token.as_str().as_bytes())
    }
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
        let expose = Expose { logprobs: true, reasoning: true, usage_details: false };
        let json = serde_json::from_str::<&RawValue>(json).unwrap();
        Logprobs::new(json, None, expose).unwrap().write(&mut pen)?;
        Ok(String::from_utf8(pen.into_bytes()).unwrap())
    }

    /// The tokens that are shown with a text, where thoughts are hidden.
    fn shown(text: &str, tokens: &[&str]) -> Option<String> {
        let tokens: Vec<_> =
            tokens.iter().map(|token| format!(r#"{{"token":"{token}","logprob":-1}}"#)).collect();
        let json = format!(r#"{{"content":[{}]}}"#, tokens.join(","));
        let said = format!(r#"{{"content":"{text}"}}"#);
        let said: Said<'_> = serde_json::from_str(&said).unwrap();
        let json = serde_json::from_str::<&RawValue>(&json).unwrap();
        let mut pen = Pen::default();
        let expose = Expose { logprobs: true, ..Expose::default() };
        Logprobs::new(json, Some(&said), expose).unwrap().write(&mut pen).unwrap();
        let all = String::from_utf8(pen.into_bytes()).unwrap();
        let parts = all.split("\"token\":\"").skip(1).filter_map(|rest| rest.split('"').next());
        (!all.is_empty()).then(|| parts.collect::<Vec<_>>().join("|"))
    }

    #[test]
    fn where_thoughts_are_hidden_only_tokens_of_the_text_are_shown() {
        for (text, tokens, told) in [
            ("a b", &["a", " b"][..], Some("a| b")),
            ("a b", &["I", " think", "\\n\\n", "a", " b"], Some("\\n\\n|a| b")),
            ("a b", &["I think", "\\na", " b", "<|end|>"], Some("\\na| b")),
            ("a b\\n", &[" a", " b", "\\n"], Some(" a| b|\\n")),
            ("a b", &["a", " b", "\\n", "<|end|>"], Some("a| b|\\n")),
            // Thought and text in one token.
            ("a b", &["I think", ">a", " b"], None),
            ("a b", &["another", " text"], None),
            ("a b", &["a", " b", " and", " more"], None),
            ("a b", &[], None),
            ("", &["I think"], None),
            ("", &[], Some("")),
        ] {
            assert_eq!(shown(text, tokens).as_deref(), told, "{text:?} {tokens:?}");
        }
    }

    #[test]
    fn a_character_in_several_tokens_is_spelled_by_their_bytes() {
        let half = |bytes: &str| format!(r#"{{"token":"\ufffd","logprob":-1,"bytes":{bytes}}}"#);
        let json = format!(r#"{{"content":[{},{}]}}"#, half("[232,166]"), half("[129]"));
        let json = serde_json::from_str::<&RawValue>(&json).unwrap();
        let said: Said<'_> = serde_json::from_str(r#"{"content":"要"}"#).unwrap();
        let mut pen = Pen::default();
        let expose = Expose { logprobs: true, ..Expose::default() };
        Logprobs::new(json, Some(&said), expose).unwrap().write(&mut pen).unwrap();
        assert!(String::from_utf8(pen.into_bytes()).unwrap().contains("[232,166]"));
        assert!(Logprobs::new(json, None, Expose::default()).is_none());
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
