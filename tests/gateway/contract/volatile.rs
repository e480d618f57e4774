//! What differs from one run to the next, replaced by its name when it has the right shape, and left alone when not.

/// One header as a line: `name: value`. `length` is that of the body that came.
pub fn header(name: &str, value: &str, length: usize) -> String {
    let name = name.to_ascii_lowercase();
    let value = match name.as_str() {
        "x-request-id" if is_uuid(value) => "<uuid>",
        "date" if is_date(value) => "<date>",
        "content-length" if value == length.to_string() => "<length>",
        _ => value,
    };
    format!("{name}: {value}")
}

/// A body with its ids and times replaced. All ids in one body must be the same, and so must all times.
pub fn body(text: &str) -> String {
    let text = replace(text, "\"id\":\"chatcmpl-", "<uuid>", |rest| rest.get(..36).filter(|id| is_uuid(id)));
    replace(&text, "\"created\":", "<created>", |rest| {
        let digits = rest.split(|c: char| !c.is_ascii_digit()).next().unwrap_or_default();
        Some(digits).filter(|digits| digits.len() == 10)
    })
}

/// Replaces what follows `after` when it is the same everywhere.
fn replace(text: &str, after: &str, name: &str, value: impl Fn(&str) -> Option<&str>) -> String {
    let first = text.split_once(after).and_then(|(_, rest)| value(rest));
    first.map_or_else(
        || text.to_owned(),
        |value| text.replace(&format!("{after}{value}"), &format!("{after}{name}")),
    )
}

/// Lower-case hexadecimal in groups of 8, 4, 4, 4 and 12, as RFC 9562 writes a random UUID.
fn is_uuid(text: &str) -> bool {
    let groups: Vec<&str> = text.split('-').collect();
    let hexadecimal = |group: &&str| group.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
    groups.iter().map(|group| group.len()).eq([8, 4, 4, 4, 12])
        && groups.iter().all(hexadecimal)
        && groups.get(2).is_some_and(|version| version.starts_with('4'))
        && groups.get(3).is_some_and(|variant| variant.starts_with(['8', '9', 'a', 'b']))
}

/// `Sun, 06 Nov 1994 08:49:37 GMT`.
fn is_date(text: &str) -> bool {
    let shape: String = text
        .chars()
        .map(|c| match c {
            '0'..='9' => '0',
            'A'..='Z' => 'A',
            'a'..='z' => 'a',
            other => other,
        })
        .collect();
    shape == "Aaa, 00 Aaa 0000 00:00:00 AAA" && text.ends_with(" GMT")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_has_the_right_shape_is_replaced() {
        assert_eq!(header("X-Request-Id", "2f8c0b9e-6a1d-4c2e-9b3a-7d5e1f0a2b3c", 0), "x-request-id: <uuid>");
        assert_eq!(header("X-Request-Id", "req_123", 0), "x-request-id: req_123");
        assert_eq!(header("Date", "Sun, 06 Nov 1994 08:49:37 GMT", 0), "date: <date>");
        assert_eq!(header("Content-Length", "7", 7), "content-length: <length>");
        assert_eq!(header("Content-Length", "8", 7), "content-length: 8");
    }

    #[test]
    fn a_second_id_in_one_body_stays_visible() {
        let one = "\"id\":\"chatcmpl-2f8c0b9e-6a1d-4c2e-9b3a-7d5e1f0a2b3c\"";
        let two = "\"id\":\"chatcmpl-3f8c0b9e-6a1d-4c2e-9b3a-7d5e1f0a2b3c\"";
        assert_eq!(body(&format!("{one}{one}{two}")), format!("{0}{0}{two}", "\"id\":\"chatcmpl-<uuid>\""));
    }
}
