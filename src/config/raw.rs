//! What was written: a tree of values that know where they stand.
//!
//! It knows YAML 1.2's plain scalars, so that `42` and `"42"` differ. It knows nothing of our fields.

use super::complaint::{Mark, Told};

/// A value and where it starts.
#[derive(Debug)]
pub(super) struct Node {
    pub(super) mark: Mark,
    pub(super) value: Value,
}

/// What a value is.
#[derive(Debug)]
pub(super) enum Value {
    Scalar(Scalar),
    List(Vec<Node>),
    /// In the order of the file; no key comes twice.
    Map(Vec<Entry>),
    /// Something that YAML allows and we do not. It has been complained about.
    Refused(Told),
}

/// One line of a map.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) key: Scalar,
    /// Where the key starts.
    pub(super) mark: Mark,
    pub(super) node: Node,
}

/// A piece of text, as written.
#[derive(Debug)]
pub(super) struct Scalar {
    pub(super) text: Box<str>,
    pub(super) style: Style,
}

/// Whether quotes say that a scalar is text whatever it looks like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Style {
    Plain,
    Quoted,
}

/// What YAML 1.2 takes a scalar for (its core schema).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Nothing,
    Truth,
    Number,
    Text,
}

impl Scalar {
    /// What YAML 1.2 takes it for.
    pub(super) fn kind(&self) -> Kind {
        match (self.style, &*self.text) {
            (Style::Quoted, _) => Kind::Text,
            (Style::Plain, "" | "~" | "null" | "Null" | "NULL") => Kind::Nothing,
            (Style::Plain, "true" | "True" | "TRUE" | "false" | "False" | "FALSE") => Kind::Truth,
            (Style::Plain, text) if is_number(text) => Kind::Number,
            (Style::Plain, _) => Kind::Text,
        }
    }
}

impl Value {
    /// What it is, for a complaint; never what it says.
    pub(super) fn described(&self) -> &'static str {
        match self {
            Self::Scalar(scalar) => match scalar.kind() {
                Kind::Nothing => "nothing",
                Kind::Truth => "true or false",
                Kind::Number => "a number",
                Kind::Text => "text",
            },
            Self::List(_) => "a list",
            Self::Map(_) => "a map",
            Self::Refused(_) => "something else",
        }
    }
}

fn is_number(text: &str) -> bool {
    let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
    let all = |digits: &str, good: fn(char) -> bool| !digits.is_empty() && digits.chars().all(good);
    if let Some(digits) = unsigned.strip_prefix("0x") {
        return all(digits, |c| c.is_ascii_hexdigit());
    }
    if let Some(digits) = unsigned.strip_prefix("0o") {
        return all(digits, |c| c.is_digit(8));
    }
    if matches!(unsigned, ".inf" | ".Inf" | ".INF" | ".nan" | ".NaN" | ".NAN") {
        return true;
    }
    // Rust's own grammar of numbers is YAML's, but for words such as `inf`, which start with a letter.
    unsigned.starts_with(|c: char| c.is_ascii_digit() || c == '.') && unsigned.parse::<f64>().is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kind(text: &str, style: Style) -> Kind {
        Scalar { text: text.into(), style }.kind()
    }

    #[test]
    fn plain_scalars_are_what_yaml_1_2_says() {
        for number in
            ["0", "-1", "+8", "0777", "0x1F", "0o17", "1.5", ".5", "5.", "1e9", ".inf", "-.inf", ".NaN"]
        {
            assert_eq!(kind(number, Style::Plain), Kind::Number, "{number}");
        }
        for text in
            ["yes", "no", "on", "1:30", "30s", "inf", "nan", "1_000", "0x", "+", "2027-06-30", "--1", "."]
        {
            assert_eq!(kind(text, Style::Plain), Kind::Text, "{text}");
        }
        for nothing in ["", "~", "null"] {
            assert_eq!(kind(nothing, Style::Plain), Kind::Nothing, "{nothing}");
        }
        assert_eq!(kind("true", Style::Plain), Kind::Truth);
    }

    #[test]
    fn quotes_make_text_of_anything() {
        for text in ["", "42", "true", "null"] {
            assert_eq!(kind(text, Style::Quoted), Kind::Text, "{text}");
        }
    }
}
