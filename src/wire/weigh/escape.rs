//! An escape in a JSON string, and the kinds of characters.

/// What a character counts as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Class {
    /// ASCII white space.
    Space,
    /// An ASCII letter.
    Letter,
    /// An ASCII digit.
    Digit,
    /// Any other of ASCII.
    Mark,
    /// From U+0080 up to U+2E7F.
    Beyond,
    /// From U+2E80 on.
    Ideograph,
}

impl Class {
    /// The class of a code point.
    pub(super) fn of(code: u32) -> Self {
        match u8::try_from(code) {
            Ok(byte) if byte.is_ascii_whitespace() => Self::Space,
            Ok(byte) if byte.is_ascii_alphabetic() => Self::Letter,
            Ok(byte) if byte.is_ascii_digit() => Self::Digit,
            Ok(byte) if byte.is_ascii() => Self::Mark,
            Ok(_) | Err(_) if code < 0x2E80 => Self::Beyond,
            Ok(_) | Err(_) => Self::Ideograph,
        }
    }
}

/// One escape.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Escape {
    /// How many bytes it takes, its backslash included.
    pub(super) length: usize,
    /// What it writes.
    pub(super) class: Class,
    quote: bool,
}

impl Escape {
    /// Reads the escape that `bytes` begin with. What is none is as long as it looks.
    pub(super) fn read(bytes: &[u8]) -> Self {
        let (length, code) = match bytes.get(1) {
            Some(b'u') => unicode(bytes),
            Some(b'n' | b'r' | b't' | b'f') => (2, u32::from(b' ')),
            Some(b'b') => (2, 8),
            Some(byte) if byte.is_ascii() => (2, u32::from(*byte)),
            Some(_) | None => (1, u32::from(b'\\')),
        };
        Self { length, class: Class::of(code), quote: code == u32::from(b'"') }
    }

    /// Whether it ends a run. A quote does, so that JSON in a string is not taken for base64.
    pub(super) fn breaks(self) -> bool {
        match self.class {
            Class::Space | Class::Beyond | Class::Ideograph => true,
            Class::Letter | Class::Digit | Class::Mark => self.quote,
        }
    }
}

/// The length of a `\u` escape or a pair of them, and the code point.
fn unicode(bytes: &[u8]) -> (usize, u32) {
    match unit(bytes, 2) {
        Some(0xD800..=0xDBFF) if bytes.get(6..8) == Some(br"\u") && unit(bytes, 8).is_some() => {
            (12, 0x1_0000)
        }
        Some(code) => (6, code),
        None => (2, u32::from(b'u')),
    }
}

/// What the four hexadecimal digits at `from` write.
fn unit(bytes: &[u8], from: usize) -> Option<u32> {
    let digits = bytes.get(from..from + 4)?;
    digits.iter().try_fold(0, |unit, digit| Some(unit << 4 | char::from(*digit).to_digit(16)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_escape_is_one_character_of_its_class() {
        for (written, length, class) in [
            (r"\n", 2, Class::Space),
            (r"\t", 2, Class::Space),
            (r"\f", 2, Class::Space),
            (r"\r", 2, Class::Space),
            (r"\b", 2, Class::Mark),
            (r#"\""#, 2, Class::Mark),
            (r"\\", 2, Class::Mark),
            (r"\/", 2, Class::Mark),
            (r"\u0020", 6, Class::Space),
            (r"\u0000", 6, Class::Mark),
            (r"\u0041", 6, Class::Letter),
            (r"\u0037", 6, Class::Digit),
            (r"\u00e9", 6, Class::Beyond),
            (r"\u2E7F", 6, Class::Beyond),
            (r"\u2e80", 6, Class::Ideograph),
            (r"\u6708", 6, Class::Ideograph),
            (r"\ud83d\uDE00", 12, Class::Ideograph),
        ] {
            let escape = Escape::read(format!("{written}0000").as_bytes());
            assert_eq!((escape.length, escape.class), (length, class), "{written}");
        }
    }

    #[test]
    fn white_space_quotes_and_other_scripts_end_a_run() {
        for (written, breaks) in [
            (r"\n", true),
            (r#"\""#, true),
            (r"\u0022", true),
            (r"\u3042", true),
            (r"\u00e9", true),
            (r"\/", false),
            (r"\\", false),
            (r"\u0041", false),
        ] {
            assert_eq!(Escape::read(written.as_bytes()).breaks(), breaks, "{written}");
        }
    }

    #[test]
    fn what_is_no_escape_is_passed_without_harm() {
        for (written, length) in
            [("\\", 1), (r"\あ", 1), (r"\x41", 2), (r"\u", 2), (r"\u00g0", 2), (r"\ud800", 6)]
        {
            assert_eq!(Escape::read(written.as_bytes()).length, length, "{written}");
        }
    }
}
