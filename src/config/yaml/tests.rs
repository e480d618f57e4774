//! What is taken as YAML, where its values stand, and what is refused.

use super::*;

const FILE: File<'static> = File { order: 0, name: "t" };

fn parse(text: &str) -> Result<Node, String> {
    let mut out = Complaints::default();
    match tree(FILE, text, &mut out) {
        Ok(node) if out.is_empty() => Ok(node),
        Ok(_) | Err(_) => {
            assert!(!out.is_empty(), "a refusal without a complaint");
            Err(out.to_string())
        }
    }
}

/// The tree on one line, with marks.
fn drawn(node: &Node) -> String {
    let Mark { line, column } = node.mark;
    let inside = match &node.value {
        Value::Scalar(scalar) if scalar.kind() == Kind::Nothing => "nothing".to_owned(),
        Value::Scalar(scalar) => scalar.text.to_string(),
        Value::List(items) => format!("[{}]", items.iter().map(drawn).collect::<Vec<_>>().join(" ")),
        Value::Map(entries) => {
            let entry =
                |e: &Entry| format!("{}@{}:{}={}", e.key.text, e.mark.line, e.mark.column, drawn(&e.node));
            format!("{{{}}}", entries.iter().map(entry).collect::<Vec<_>>().join(" "))
        }
        Value::Refused(_) => "refused".to_owned(),
    };
    format!("{inside}@{line}:{column}")
}

#[test]
fn every_value_and_key_knows_where_it_starts() {
    let text = "# comment\na:\n  日本: 'x'   # more\n  - \n";
    assert!(parse(text).is_err());
    let text = "# comment\na:\n  日本: 'x'   # more\n  b: [1, {c: d}]\ne:\n  - f\n  -\n";
    assert_eq!(
        drawn(&parse(text).unwrap()),
        "{a@2:1={日本@3:3=x@3:7 b@4:3=[1@4:7 {c@4:11=d@4:14}@4:10]@4:6}@3:3 e@5:1=[f@6:5 nothing@7:4]@6:3}@2:1"
    );
}

#[test]
fn json_is_yaml() {
    let text = "{\n\t\"a\": [true, null, 1.5e3, \"\\u65e5\\n\"],\n\t\"b\": {}\n}\n";
    assert_eq!(
        drawn(&parse(text).unwrap()),
        "{a@2:2=[true@2:8 nothing@2:14 1.5e3@2:20 日\n@2:27]@2:7 b@3:2={}@3:7}@1:1"
    );
}

#[test]
fn windows_line_ends_and_a_byte_order_mark_do_not_matter() {
    assert_eq!(drawn(&parse("a: b\r\nc: d\r\n").unwrap()), "{a@1:1=b@1:4 c@2:1=d@2:4}@1:1");
    assert!(parse("\u{feff}a: b\n").is_ok());
}

#[test]
fn a_file_with_nothing_in_it_is_empty() {
    for text in ["", "\n\n", "# only a comment\n", "---\n", "~\n", "null"] {
        assert_eq!(
            parse(text).unwrap_err(),
            "t:1:1: whole file: is empty; write at least `pools:` and `tenants:`"
        );
    }
}

#[test]
fn what_could_stand_for_more_than_it_shows_is_refused() {
    for (text, fault) in [
        ("a: &x 1\n", "an anchor (`&name`) is not taken here"),
        ("a: *x\n", "an alias (`*name`) is not taken here"),
        ("a: !!str 1\n", "a tag (`!name`) is not taken here"),
        ("a: !x [1]\n", "a tag (`!name`) is not taken here"),
        ("a: !x {b: 1}\n", "a tag (`!name`) is not taken here"),
        ("<<: {a: 1}\n", "a merge key (`<<`) is not taken here"),
        ("a: 1\n---\nb: 2\n", "a second document starts here"),
        ("%YAML 1.1\n---\na: 1\n", "says that it is YAML 1.1"),
        ("a: 1\nb: 2\na: 3\n", "'a' is written twice, first in line 1"),
        ("'a': 1\na: 3\n", "'a' is written twice, first in line 1"),
        ("? [a]\n: 1\n", "a name is due here, not a list"),
        ("{ {a: b}: c }\n", "a name is due here, not a map"),
        ("a: \u{0}\n", "holds a control character (U+0000)"),
        ("a: \u{1b}[31m\n", "holds a control character (U+001B)"),
        ("a:\n\t- b\n", "is not valid YAML"),
        ("a: [1, 2\nb: 3\n", "is not valid YAML"),
        ("a: 'x\n", "is not valid YAML"),
        ("a: {b: 1]\n", "is not valid YAML"),
        ("a: b: c\n", "is not valid YAML"),
    ] {
        let shown = parse(text).unwrap_err();
        assert!(shown.contains(fault), "{text:?}: {shown}");
    }
}

#[test]
fn the_newest_yaml_may_say_so() {
    assert!(parse("%YAML 1.2\n---\na: 1\n...\n").is_ok());
}

#[test]
fn a_complaint_about_syntax_says_how_far_the_reader_came() {
    assert_eq!(
        parse("a:\n  b:\n    - c\n    - &x d\n").unwrap_err(),
        "t:4:10: a.b[1]: an anchor (`&name`) is not taken here; remove it"
    );
}

#[test]
fn reading_goes_on_after_a_refusal() {
    assert_eq!(parse("a: &x 1\nb: *x\nc: !t 2\n").unwrap_err().lines().count(), 3);
}

#[test]
fn depth_is_bounded_whatever_brings_it() {
    let flow = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
    let block = |depth: usize| format!("{}x", "- ".repeat(depth));
    assert!(parse(&flow(MAX_DEPTH)).is_ok());
    assert!(parse(&flow(MAX_DEPTH + 1)).is_err());
    assert!(parse(&block(MAX_DEPTH)).is_ok());
    assert!(parse(&block(MAX_DEPTH + 1)).is_err());
    assert!(parse(&format!("{}{}", "- ".repeat(40), flow(40))).is_err());
    for depth in [10_000, 1_000_000] {
        assert!(parse(&"[".repeat(depth)).is_err());
        assert!(parse(&"{a: ".repeat(depth)).is_err());
        assert!(parse(&"- ".repeat(depth)).is_err());
    }
}

#[test]
fn size_and_number_of_values_are_bounded() {
    let text = " ".repeat(MAX_TEXT + 1);
    assert!(parse(&text).unwrap_err().contains("is larger than 64 MiB"));
    let many = |count: usize| "-\n".repeat(count);
    assert!(parse(&many(MAX_NODES - 1)).is_ok());
    assert!(parse(&many(MAX_NODES)).unwrap_err().contains("holds more than 2000000 values"));
}
