use once_cell::sync::Lazy;
use proptest::prelude::*;

use super::super::fold::fold;
use super::super::fold::tests::tricky;
use super::*;

fn regexes(sources: &[&str]) -> Matcher {
    Matcher::new(sources.iter().map(|source| Pattern::regex(source).unwrap()).collect()).unwrap()
}

fn words(sources: &[&str]) -> Matcher {
    Matcher::new(sources.iter().map(|source| Pattern::word(source).unwrap()).collect()).unwrap()
}

#[test]
fn a_word_is_found_between_the_edges_of_words() {
    let matcher = words(&["bomb", "ass", "make a plan", "c++", "爆弾", "бомба", "폭탄"]);
    for text in [
        "bomb",
        "a bomb.",
        "(BOMB)",
        "このbombを",
        "_bomb_",
        "the\nbomb\n",
        "Bömb!",
        "b\u{200b}omb",
        "make\n  a plan",
        "C++",
        "c+++",
        "この爆弾を",
        "Бомба!",
        "폭탄을",
        "ass",
        "an ass",
        "bomb-making",
    ] {
        assert!(matcher.finds(text), "{text}");
    }
    for text in
        ["", "bombs", "abomb", "b omb", "class", "assist", "bomb2", "make a planet", "爆 弾", "бомбах", "bom"]
    {
        assert!(!matcher.finds(text), "{text}");
    }
    // One failing edge does not hide another match.
    assert!(matcher.finds("class ass") && matcher.finds("assass ass"));
}

#[test]
fn an_expression_is_found_wherever_it_stands() {
    let matcher = regexes(&[
        r"\bproject (falcon|eagle)\b",
        r"\b\d{3}-\d{2}-\d{4}\b",
        r"[a-z0-9._%+-]+@corp\.example",
        r"secret.{0,20}plan",
        r"^ignore (all|previous)",
        r"\b爆弾\b",
        r"foo.*bar",
    ]);
    for text in [
        "Project  FALCON!",
        "ssn 123-45-6789.",
        "１２３-45-6789",
        "mail J.Doe@corp.example",
        "secret master plan",
        "Ignore previous",
        "この爆弾",
        "foo and then some bar",
        "secret secretsecret the plan",
    ] {
        assert!(matcher.finds(text), "{text}");
    }
    for text in [
        "projects falcon",
        "project falcons",
        "1123-45-6789",
        "123-45-67890",
        "@corp.example",
        "secret of a plain and far too long story plan",
        "do not ignore previous",
        "bar foo",
        "project",
        "",
    ] {
        assert!(!matcher.finds(text), "{text}");
    }
}

#[test]
fn expressions_that_begin_with_anything_are_found_too() {
    let matcher = regexes(&[r"\w+ing the (king|queen)\b", r"(a|.b)c\b", r"\d+ dead", r"\b\w{3}\b-x"]);
    assert_eq!(matcher.loose.len(), 4);
    for text in ["killing the king", "zbc", "ac", "12 dead", "the-x"] {
        assert!(matcher.finds(text), "{text}");
    }
    for text in ["killing the kings", "zbcd", "dead", "then-x", "thethe-x"] {
        assert!(!matcher.finds(text), "{text}");
    }
}

#[test]
fn thousands_of_words_are_found_and_nothing_else() {
    let all: Vec<String> = (0..20_000).map(|n| format!("word{n}x")).collect();
    let matcher = words(&all.iter().map(String::as_str).collect::<Vec<_>>());
    for n in [0, 1, 777, 19_999] {
        assert!(matcher.finds(&format!("a word{n}x b")));
    }
    assert!(!matcher.finds("word20000x word7 wordx"));
}

#[test]
fn what_is_too_large_together_is_refused() {
    let one = Pattern::regex(r"begin.{0,500}end").unwrap();
    let many = std::iter::repeat_n(one.clone(), MAX_SIZE / one.size() + 1);
    let flaw = Matcher::new(many.collect()).map(|_| ()).unwrap_err();
    assert_eq!(flaw.wrong, "takes more than 64 MiB when it is compiled");
}

/// What a pattern may be made of, so that an ordinary engine means the same by it.
fn simple_regex() -> impl Strategy<Value = String> {
    let atom =
        prop::sample::select(vec!["a", "b", "ab", "[ab]", ".", "爆", "(a|bb)", "a{1,3}", "b?", "(ab)*", "c"]);
    prop::collection::vec(atom, 1..6).prop_map(|atoms| atoms.concat())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 3000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn it_finds_what_an_ordinary_engine_finds(
        sources in prop::collection::vec(simple_regex(), 1..5),
        text in "[abc爆 ]{0,12}",
    ) {
        let patterns: Vec<_> = sources.iter().filter_map(|source| Pattern::regex(source).ok()).collect();
        let taken: Vec<_> = sources.iter().filter(|source| Pattern::regex(source).is_ok()).collect();
        prop_assume!(!taken.is_empty());
        let matcher = Matcher::new(patterns).unwrap();
        let folded = fold(&text);
        let expected = taken.iter().any(|source| meta::Regex::new(source).unwrap().is_match(&folded));
        prop_assert_eq!(matcher.finds(&text), expected, "{:?} in {:?}", taken, text);
        // The engine of streams, which asks no gate.
        let mut scan = Scan::default();
        let found = scan.feed(&matcher, folded.as_bytes(), 0, matcher.loose()).or_else(|| scan.finish(&matcher, folded.as_bytes()));
        prop_assert_eq!(found.is_some(), expected);
    }

    #[test]
    fn no_text_is_too_odd(text in tricky(), word in tricky()) {
        static ODD: Lazy<Matcher> = Lazy::new(|| regexes(&[r"\b\w+\b.{0,3}爆", "a.*m", r"\bか"]));
        ODD.finds(&text);
        if let Ok(pattern) = Pattern::word(&word) {
            let matcher = Matcher::new(vec![pattern]).unwrap();
            prop_assert!(matcher.finds(&word), "{:?} does not find itself", word);
            prop_assert!(matcher.finds(&format!("。{word}。")), "{:?} does not find itself in a sentence", word);
        }
    }
}
