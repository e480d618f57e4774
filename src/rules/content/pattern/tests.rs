use super::super::matcher::Matcher;
use super::*;

fn regex(source: &str) -> Pattern {
    Pattern::regex(source).unwrap_or_else(|flaw| panic!("{source}: {flaw:?}"))
}

fn flaw(source: &str) -> String {
    let flaw = Pattern::regex(source).map(|_| ()).expect_err(source);
    format!("{}; {}", flaw.wrong, flaw.mend)
}

/// The expression that a source comes to.
fn read(source: &str) -> String {
    folded(&parse(source).unwrap()).to_string()
}

#[test]
fn letters_are_read_as_they_are_folded() {
    for (source, same) in [
        ("bomb", "bomb"),
        ("BoMb", "bomb"),
        ("(?-i)BOMB", "bomb"),
        ("ＢＯＭＢ", "bomb"),
        ("bömb", "bomb"),
        ("bo\u{308}mb", "bomb"),
        ("straße", "strasse"),
        ("[B]omb", "bomb"),
        ("ハ\u{3099}", "バ"),
        ("a  b", "a b"),
        (r"a\tb", "a b"),
        (r"\u{200b}a", "a"),
    ] {
        assert_eq!(read(source), read(same), "{source}");
    }
}

#[test]
fn sets_are_read_as_their_letters_are_folded() {
    for (source, same) in [
        ("x[A-C]", "x[abc]"),
        ("x[éô]", "x[eo]"),
        ("x[Ａ-Ｃ]", "x[abc]"),
        (r"x[\t\r\n ]", r"x[ ]"),
        ("x[ﬁa]", "x(?:a|fi)"),
        ("x[\u{200b}]y", "xy"),
    ] {
        assert_eq!(read(source), read(same), "{source}");
    }
    // What is left out stays out.
    let matches = |source: &str, text: &str| {
        let hir = folded(&parse(source).unwrap());
        regex_automata::meta::Builder::new().build_from_hir(&hir).unwrap().is_match(text)
    };
    assert!(matches("x[^a]", "xb") && !matches("x[^a]", "xa") && !matches("x[^A]", "xa"));
    assert!(matches(r"x\p{Lu}", "xa") && matches(r"x\w", "xé") && matches(r"x[\w-]", "xa"));
    assert!(matches(r"x\d", "x1") && !matches(r"x\d", "xa") && matches(r"x\S", "xa"));
    assert!(!matches(r"x\w", "x ") && !matches(r"x\pL", "x "));
    assert!(matches(r"x\s", "x ") && !matches(r"x\S", "x "));
}

#[test]
fn blanks_that_follow_each_other_are_one() {
    for (source, same) in [
        (r"foo\s\sbaz", "foo baz"),
        (r"foo \s+baz", "foo baz"),
        (r"(foo )\s(\sbaz)", "foo baz"),
        (r"x[\s]{2,4}y", "x y"),
        (r"x\s*\s?y", "x ?y"),
        (r"x\s*\s+y", "x y"),
        (r"x(\s|  )+y", "x y"),
        (r"x(\s|)y", "x ?y"),
        (r"a\r\n\r\nx", "a x"),
        (r"(foo |bar)\s+baz", "(?:foo |bar )baz"),
        (r"(big )?\sbomb", "(?:big | )bomb"),
        (r"(\w+\s){2}x", r"(?:\w+ ){2}x"),
    ] {
        assert_eq!(read(source), read(same), "{source}");
    }
    let found = |source: &str, text: &str| Matcher::new(vec![regex(source)]).unwrap().finds(text);
    for (source, text) in [
        (r"foo\s\sbaz", "foo  baz"),
        (r"x[\s]{2,4}y", "x \n y"),
        (r"x\s*\sy", "x y"),
        (r"\s\s*bomb", "a bomb"),
        (r"a(\s\s|-)b", "a\r\nb"),
        (r"x\s( foo| bar)", "x  bar"),
        (r"x\s( foo|bar)", "x bar"),
        (r"x\s( foo|bar)", "x foo"),
        (r"(a|b )\s+c", "b  c"),
        (r"(a|b )\s+c", "a c"),
        (r"\b(foo |bar)( foo|bar)", "foo  foo"),
        (r"\b(foo |bar)+\s+", "foo  x"),
        (r"\b(foo )+(foo | bar)", "foo  bar"),
        (r"(foo | bar)\s(foo | bar)", "foo   bar"),
        (r"( a )?\s(a | b)", "  b"),
        (r"( \w+ ){2}x", " one  two x"),
        (r"(foo |bar)[\s-]x", "foo  x"),
    ] {
        assert!(found(source, text), "{source} in {text:?}");
    }
}

#[test]
fn what_has_no_blanks_that_meet_stays_as_it_is() {
    for source in [
        r"\bsecret.{0,30}\w+\s+plan",
        r"(\w+\s){2}x",
        r"[\s-]+x\s*[\s_-]+y",
        r"(foo |bar)\w{3,}",
        r"^a( b)+$",
    ] {
        let hir = folded(&parse(source).unwrap());
        assert!(meet::joined(hir.clone()) == hir, "{source}");
    }
}

#[test]
fn what_can_never_match_is_refused() {
    for source in ["(?m)^BEGIN KEY$", "a(?m:$)b", "x|(?m)^y", r"(?Rm)a$"] {
        assert!(flaw(source).starts_with("asks where a line begins or ends"), "{source}");
    }
    for source in ["a^b", "a$b", r"\w+$x", r"a\n^b", "[[:upper:]&&[^[:lower:]]]{0}a$b", r"a \B a"] {
        assert!(flaw(source).starts_with("can never match"), "{source}");
    }
    for source in [
        "^a", "a$", "^a$", "(^|x)a", r"(\s|^)a", r"a(\s|$)", r"\Aa\z", r"(^)?a", r"[^a-z]b", r"\Bx", "( a )+",
    ] {
        regex(source);
    }
}

#[test]
fn a_plain_text_needs_no_automaton_of_its_own() {
    assert!(matches!(regex("Project  Falcon").0, Kind::Text(text) if text == "project falcon"));
    assert!(matches!(Pattern::word("  Größe ").unwrap().0, Kind::Word(word) if word == "grosse"));
}

#[test]
fn what_is_no_expression_is_told_in_one_line_and_with_its_place() {
    for (source, why) in [
        ("a(b", "unclosed group, at its character 2"),
        ("a[b", "unclosed character class, at its character 2"),
        (r"(a)\1", "backreferences are not supported, at its character 4"),
        ("a(?=b)", "look-around, including look-ahead and look-behind, is not supported, at its character 2"),
        ("*", "repetition operator missing expression, at its character 1"),
        (r"\p{Nonsense}", "Unicode property not found, at its character 1"),
    ] {
        let told = flaw(source);
        assert!(told.starts_with(&format!("is no regular expression that can be used: {why}; ")), "{told}");
        assert_eq!(told.lines().count(), 1);
    }
    assert!(Pattern::regex(&"(".repeat(101)).is_err());
    assert!(Pattern::regex(&"a".repeat(MAX_SOURCE + 1)).is_err());
    assert!(Pattern::regex(&"a".repeat(MAX_SOURCE)).is_ok());
}

#[test]
fn what_matches_everything_is_refused() {
    for source in ["", "a*", "a?", r"\b", "^$", "(|a)", r"\u{200b}", "a{0}"] {
        assert!(flaw(source).starts_with("matches where there is nothing"), "{source}");
    }
}

#[test]
fn what_is_too_large_is_refused_when_it_is_read() {
    assert!(flaw(r"\w{1000}").starts_with("takes more than 1024 KiB"));
    assert!(flaw("((a{100}){100}){100}").starts_with("takes more than 1024 KiB"));
    assert!(regex(r"bomb.{0,500}plan").size() <= MAX_AUTOMATON);
}

#[test]
fn text_is_held_back_for_what_ends() {
    for source in ["a{1,40}b", "(abc|d)", r"\bfoo.{0,100}bar\b", &format!("a{{1,{MAX_MATCH}}}")] {
        assert_eq!(regex(source).bounded(), Ok(()), "{source}");
    }
    let told = |source: &str| regex(source).bounded().map_err(|flaw| flaw.wrong);
    assert!(told("foo.*bar").unwrap_err().starts_with("matches texts of any length"));
    assert!(told("a+").is_err());
    assert!(told(r"x.{1024}").unwrap_err().starts_with("matches up to 4097 bytes"));
    assert_eq!(Pattern::word("word").unwrap().bounded(), Ok(()));
}

#[test]
fn a_word_says_something_and_is_no_novel() {
    assert!(Pattern::word(" \u{200b} ").is_err());
    assert!(Pattern::word(&"語".repeat(MAX_WORD)).is_ok());
    assert!(Pattern::word(&"語".repeat(MAX_WORD + 1)).is_err());
}
