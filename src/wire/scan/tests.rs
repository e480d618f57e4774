use super::*;

fn skip(text: &str) -> Result<(), Malformed> {
    let mut scanner = Scanner::new(text);
    scanner.skip()?;
    scanner.end()
}

#[test]
fn every_kind_of_value_is_read_to_its_end() {
    for text in [
        "null",
        " true\n",
        "false",
        "-1.5e3",
        "\"x\"",
        "[]",
        "{}",
        "[ ]",
        "{ }",
        "[1,[2,[]],{}]",
        "{\"a\":{\"b\":[{\"c\":null}]},\"d\":[[[]]]}",
        "\t[ 1 , { \"a\" : [ ] } ]\r\n",
    ] {
        assert_eq!(skip(text), Ok(()), "{text}");
    }
}

#[test]
fn what_the_grammar_does_not_allow_is_refused() {
    for text in [
        "",
        " ",
        "nul",
        "True",
        "NaN",
        "Infinity",
        "-Infinity",
        "[1,]",
        "[,1]",
        "[1 2]",
        "[",
        "]",
        "{",
        "}",
        "[}",
        "{]",
        "[1}",
        "{\"a\":1]",
        "{\"a\"}",
        "{\"a\":}",
        "{\"a\":1,}",
        "{a:1}",
        "{1:1}",
        "{\"a\":1 \"b\":2}",
        "{\"a\",1}",
        "[1]]",
        "{}{}",
        "1 2",
        "01",
        "1.",
        "[1//\n]",
        "[1/**/]",
        "'a'",
        "\u{feff}[]",
        "[\u{a0}]",
        "truex",
        "[\"a\":1]",
    ] {
        assert!(skip(text).is_err(), "{text}");
    }
}

#[test]
fn nesting_is_allowed_to_127_and_costs_no_memory_beyond() {
    for (open, close) in [("[", "]"), ("{\"a\":", "}")] {
        let nested = |depth: usize| {
            let inner = if open == "[" { "" } else { "1" };
            format!("{}{inner}{}", open.repeat(depth), close.repeat(depth))
        };
        assert_eq!(skip(&nested(127)), Ok(()));
        assert_eq!(skip(&nested(128)), Err(Malformed::Depth));
        assert_eq!(skip(&nested(100_000)), Err(Malformed::Depth));
    }
    assert_eq!(skip(&"[".repeat(100_000)), Err(Malformed::Depth));
}

#[test]
fn containers_read_by_name_count_towards_the_depth() {
    let nested = |depth: usize| format!("{{\"a\":{}{}}}", "[".repeat(depth), "]".repeat(depth));
    let read = |text: &str| {
        Scanner::new(text).object(|scanner, entry| {
            assert_eq!(entry.name.decode(), "a");
            scanner.skip()
        })
    };
    assert_eq!(read(&nested(126)), Ok(()));
    assert_eq!(read(&nested(127)), Err(Malformed::Depth));
}

#[test]
fn an_entry_begins_right_behind_the_brace_or_comma_before_it() {
    let text = "{ \"a\" : 1 ,\n\"b\":2}";
    let mut begins = Vec::new();
    let mut scanner = Scanner::new(text);
    scanner
        .object(|scanner, entry| {
            begins.push(entry.from);
            scanner.skip()
        })
        .unwrap();
    assert_eq!(begins, [1, 11]);
    assert_eq!(scanner.at(), text.len());
}

#[test]
fn an_array_counts_its_elements() {
    for (text, count) in [("[]", 0), ("[ 1 ]", 1), ("[1,[2,3],\"4\"]", 3)] {
        let mut seen = Vec::new();
        let counted = Scanner::new(text).array(|scanner, index| {
            seen.push(index);
            scanner.skip()
        });
        assert_eq!(counted, Ok(count));
        assert_eq!(seen, (0..count).collect::<Vec<_>>());
    }
}
