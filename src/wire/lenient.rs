//! Reading JSON the way backing models write it: texts without a copy, and room for their habits.
//!
//! Promises that an object is an object (never an array that happens to fit) and that a text is
//! Unicode. Never keeps a member that nobody asked for.

use std::fmt;
use std::marker::PhantomData;

use serde::Deserialize;
use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};

/// A JSON string, decoded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Text<'a> {
    /// Had no escape, so that it is itself what stands between the quotes.
    Plain(&'a str),
    /// Had escapes.
    Decoded(String),
}

impl Text<'_> {
    /// The text itself.
    pub(super) fn as_str(&self) -> &str {
        match self {
            Self::Plain(text) => text,
            Self::Decoded(text) => text,
        }
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Text<'a> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_str(TextVisitor)
    }
}

struct TextVisitor;

impl<'de> Visitor<'de> for TextVisitor {
    type Value = Text<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string")
    }

    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Self::Value, E> {
        Ok(Text::Plain(text))
    }

    fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
        Ok(Text::Decoded(text.to_owned()))
    }
}

/// A text where one belongs, and nothing where something else stands: for members that we can do
/// without, so that an odd one does not cost the answer.
#[derive(Debug, Default)]
pub(super) struct Loose<'a>(pub(super) Option<Text<'a>>);

impl Loose<'_> {
    /// The text, if there is one and it is not empty.
    pub(super) fn said(&self) -> Option<&str> {
        self.0.as_ref().map(Text::as_str).filter(|text| !text.is_empty())
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Loose<'a> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(LooseVisitor)
    }
}

struct LooseVisitor;

impl<'de> Visitor<'de> for LooseVisitor {
    type Value = Loose<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("anything")
    }

    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Self::Value, E> {
        Ok(Loose(Some(Text::Plain(text))))
    }

    fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
        Ok(Loose(Some(Text::Decoded(text.to_owned()))))
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(Loose(None))
    }

    fn visit_bool<E>(self, _: bool) -> Result<Self::Value, E> {
        Ok(Loose(None))
    }

    fn visit_u64<E>(self, _: u64) -> Result<Self::Value, E> {
        Ok(Loose(None))
    }

    fn visit_i64<E>(self, _: i64) -> Result<Self::Value, E> {
        Ok(Loose(None))
    }

    fn visit_f64<E>(self, _: f64) -> Result<Self::Value, E> {
        Ok(Loose(None))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Self::Value, A::Error> {
        while items.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Loose(None))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Self::Value, A::Error> {
        while members.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(Loose(None))
    }
}

/// A whole number that is not negative; `12.0` is one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Count(pub(super) u64);

impl<'de> Deserialize<'de> for Count {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(CountVisitor)
    }
}

struct CountVisitor;

impl Visitor<'_> for CountVisitor {
    type Value = Count;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a whole number that is not negative")
    }

    fn visit_u64<E>(self, number: u64) -> Result<Count, E> {
        Ok(Count(number))
    }

    fn visit_f64<E: Error>(self, number: f64) -> Result<Count, E> {
        // 2^53: up to there every whole number has a double of its own.
        const EXACT: f64 = 9_007_199_254_740_992.0;
        if number.fract() == 0.0 && (0.0..=EXACT).contains(&number) {
            Ok(Count(number as u64))
        } else {
            Err(E::custom("not a whole number"))
        }
    }
}

/// A JSON object. Derived structs would take an array of their fields as well.
#[derive(Debug)]
pub(super) struct Object<T>(pub(super) T);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Object<T> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_map(ObjectVisitor(PhantomData))
    }
}

struct ObjectVisitor<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for ObjectVisitor<T> {
    type Value = Object<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, members: A) -> Result<Self::Value, A::Error> {
        T::deserialize(MapAccessDeserializer::new(members)).map(Object)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Deserialize)]
    struct Pair {
        one: u8,
    }

    #[test]
    fn an_array_is_no_object_even_if_its_items_would_fit() {
        assert_eq!(serde_json::from_str::<Object<Pair>>(r#"{"one":1}"#).unwrap().0.one, 1);
        assert!(serde_json::from_str::<Object<Pair>>("[1]").is_err());
    }

    #[test]
    fn a_text_without_escapes_is_borrowed() {
        assert_eq!(serde_json::from_str::<Text<'_>>(r#""要""#).unwrap(), Text::Plain("要"));
        assert_eq!(serde_json::from_str::<Text<'_>>(r#""\u8981""#).unwrap(), Text::Decoded("要".to_owned()));
    }

    #[test]
    fn a_loose_text_forgives_everything_that_is_json() {
        for odd in ["null", "true", "1", "-1", "1.5", r#"[1,[2]]"#, r#"{"a":{"b":1}}"#] {
            assert!(serde_json::from_str::<Loose<'_>>(odd).unwrap().said().is_none(), "{odd}");
        }
        assert_eq!(serde_json::from_str::<Loose<'_>>(r#""x""#).unwrap().said(), Some("x"));
    }

    #[test]
    fn a_count_is_whole_and_not_negative() {
        for (json, number) in
            [("0", Some(0)), ("42", Some(42)), ("42.0", Some(42)), ("1e3", Some(1000)), ("-0.0", Some(0))]
        {
            assert_eq!(serde_json::from_str::<Count>(json).ok().map(|count| count.0), number, "{json}");
        }
        for json in ["-1", "1.5", "1e30", "\"1\"", "true", "[1]"] {
            assert!(serde_json::from_str::<Count>(json).is_err(), "{json}");
        }
    }
}
