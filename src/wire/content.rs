//! `content` in its four shapes: absent, null, a text, or a list of parts.
//!
//! Promises that the texts of a list become one text, in order, and that what the model thought is
//! kept apart from what it said. Never keeps a part of another kind.

use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, SeqAccess, Visitor};

use super::lenient::{Loose, Object, Text};

/// What a message or a delta says.
#[derive(Debug, Default)]
pub(super) enum Content<'a> {
    #[default]
    Absent,
    Null,
    Text(Text<'a>),
    /// A list of parts; each half is `None` if no part of its kind was there.
    Parts {
        said: Option<Text<'a>>,
        thought: Option<Text<'a>>,
    },
}

impl<'a> Content<'a> {
    /// What was said, unless nothing was.
    pub(super) fn said(&self) -> Option<&Text<'a>> {
        match self {
            Self::Text(text) => Some(text),
            Self::Parts { said, .. } => said.as_ref(),
            Self::Absent | Self::Null => None,
        }
    }

    /// What was thought aloud between the parts.
    pub(super) fn thought(&self) -> Option<&Text<'a>> {
        match self {
            Self::Parts { thought, .. } => thought.as_ref(),
            Self::Absent | Self::Null | Self::Text(_) => None,
        }
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Content<'a> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(ContentVisitor)
    }
}

struct ContentVisitor;

impl<'de> Visitor<'de> for ContentVisitor {
    type Value = Content<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string, null or a list of parts")
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(Content::Null)
    }

    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Self::Value, E> {
        Ok(Content::Text(Text::Plain(text)))
    }

    fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
        Ok(Content::Text(Text::Decoded(text.to_owned())))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut parts: A) -> Result<Self::Value, A::Error> {
        let (mut said, mut thought) = (None, None);
        while let Some(Object(part)) = parts.next_element::<Object<Part<'de>>>()? {
            match part.kind.said() {
                None | Some("text") => append(&mut said, part.text.0.as_ref()),
                Some("thinking") => append(&mut thought, part.thinking.0.as_ref()),
                Some(_) => {}
            }
        }
        Ok(Content::Parts { said: said.map(Text::Decoded), thought: thought.map(Text::Decoded) })
    }
}

fn append(whole: &mut Option<String>, part: Option<&Text<'_>>) {
    if let Some(part) = part {
        whole.get_or_insert_default().push_str(part.as_str());
    }
}

#[derive(Deserialize)]
struct Part<'a> {
    #[serde(rename = "type", borrow, default)]
    kind: Loose<'a>,
    #[serde(borrow, default)]
    text: Loose<'a>,
    #[serde(borrow, default)]
    thinking: Thought<'a>,
}

/// The body of a thinking part: a text, or a list of text parts.
#[derive(Default)]
struct Thought<'a>(Option<Text<'a>>);

impl<'de: 'a, 'a> Deserialize<'de> for Thought<'a> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(ThoughtVisitor)
    }
}

struct ThoughtVisitor;

impl<'de> Visitor<'de> for ThoughtVisitor {
    type Value = Thought<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string, null or a list of text parts")
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(Thought(None))
    }

    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Self::Value, E> {
        Ok(Thought(Some(Text::Plain(text))))
    }

    fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
        Ok(Thought(Some(Text::Decoded(text.to_owned()))))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut parts: A) -> Result<Self::Value, A::Error> {
        let mut whole = None;
        while let Some(Object(part)) = parts.next_element::<Object<ThoughtPart<'de>>>()? {
            append(&mut whole, part.text.0.as_ref());
        }
        Ok(Thought(whole.map(Text::Decoded)))
    }
}

#[derive(Deserialize)]
struct ThoughtPart<'a> {
    #[serde(borrow, default)]
    text: Loose<'a>,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn halves(json: &str) -> (Option<String>, Option<String>) {
        let content: Content<'_> = serde_json::from_str(json).unwrap();
        let own = |text: Option<&Text<'_>>| text.map(|text| text.as_str().to_owned());
        (own(content.said()), own(content.thought()))
    }

    #[test]
    fn the_texts_of_a_list_become_one_and_thoughts_stay_apart() {
        let some = |text: &str| Some(text.to_owned());
        for (json, expected) in [
            ("null", (None, None)),
            (r#""a""#, (some("a"), None)),
            ("[]", (None, None)),
            (
                r#"[{"type":"text","text":"a"},{"text":"b"},{"type":"image_url","text":"x"}]"#,
                (some("ab"), None),
            ),
            (r#"[{"type":"thinking","thinking":"t","text":"x"}]"#, (None, some("t"))),
            (
                r#"[{"type":"thinking","thinking":[{"type":"text","text":"t"},{"text":"u"}]},{"type":"text","text":"a"}]"#,
                (some("a"), some("tu")),
            ),
        ] {
            assert_eq!(halves(json), expected, "{json}");
        }
    }

    #[test]
    fn other_shapes_are_refused() {
        for json in ["1", "true", r#"{"text":"a"}"#, r#"["a"]"#, r#"[["text","a"]]"#] {
            assert!(serde_json::from_str::<Content<'_>>(json).is_err(), "{json}");
        }
    }
}
