//! Where a JSON number ends. Only the grammar: how large it is, is for whoever needs its value.

/// The length of the number at the beginning of `bytes`; `None` when there is none.
pub(super) fn length(bytes: &[u8]) -> Option<usize> {
    let sign = usize::from(bytes.first() == Some(&b'-'));
    let mut at = match bytes.get(sign)? {
        b'0' => sign + 1,
        b'1'..=b'9' => sign + digits(bytes, sign),
        _ => return None,
    };
    if bytes.get(at) == Some(&b'.') {
        at = some_digits(bytes, at + 1)?;
    }
    if let Some(b'e' | b'E') = bytes.get(at) {
        let sign = usize::from(matches!(bytes.get(at + 1), Some(b'+' | b'-')));
        at = some_digits(bytes, at + 1 + sign)?;
    }
    Some(at)
}

/// Where at least one digit from `from` on ends.
fn some_digits(bytes: &[u8], from: usize) -> Option<usize> {
    match digits(bytes, from) {
        0 => None,
        count => Some(from + count),
    }
}

fn digits(bytes: &[u8], from: usize) -> usize {
    bytes.iter().skip(from).take_while(|byte| byte.is_ascii_digit()).count()
}

#[cfg(test)]
mod tests {
    use super::length;

    #[test]
    fn a_number_ends_where_its_grammar_ends() {
        for whole in
            ["0", "-0", "10", "1.5", "-0.25", "1e5", "1E+5", "1e-05", "0e0", "1e999", "9007199254740993"]
        {
            assert_eq!(length(whole.as_bytes()), Some(whole.len()), "{whole}");
        }
        for (longer, end) in [("01", 1), ("-01", 2), ("1,", 1), ("1.5.5", 3), ("0x1", 1), ("1_0", 1)] {
            assert_eq!(length(longer.as_bytes()), Some(end), "{longer}");
        }
    }

    #[test]
    fn what_only_looks_like_a_number_is_none() {
        for none in ["", "-", "+1", ".5", "-.5", "1.", "1.e5", "1e", "1e+", "NaN", "-Infinity", "１"] {
            assert_eq!(length(none.as_bytes()), None, "{none}");
        }
    }
}
