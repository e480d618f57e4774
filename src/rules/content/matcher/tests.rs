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
    assert!(matcher.headed.is_none());
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

/// The same, with places, and beginnings that several have.
fn placed_regex() -> impl Strategy<Value = String> {
    let atom = prop::sample::select(vec![
        "a", "b", "ab", "[ab]", ".", "爆", "(a|bb)", "a{1,3}", "b?", "c", r"\b", r"\B", "^", "$", ".{0,3}",
        r"\w", "か",
    ]);
    let begin = prop::sample::select(vec!["", "ab", "ab", r"\bab", "ab[bc]"]);
    (begin, prop::collection::vec(atom, 1..5)).prop_map(|(begin, atoms)| begin.to_owned() + &atoms.concat())
}

#[test]
fn expressions_that_begin_alike_cost_what_one_does() {
    for (sources, text) in [
        (
            r"api[_ -]?key.{0,20}service@q",
            "Put your api_key into the file; the api key is not the password. ",
        ),
        ("secret.{0,30}plan@x", "secret "),
        ("secret.{0,30}plan@x", "the secret plan of secret plan1 plan2 "),
    ] {
        let sources: Vec<_> = (0..1000).map(|n| sources.replace('@', &n.to_string())).collect();
        let matcher = regexes(&sources.iter().map(String::as_str).collect::<Vec<_>>());
        let text = text.repeat(20_000 / text.len());
        assert!(matcher.ways() < 60, "{}", matcher.ways());
        let mut work = Work::of(20_000);
        assert_eq!(matcher.walks(text.as_bytes(), &mut work), Ok(false), "{text:.80}");
        // Who steps has no more than the ways to go on of one of them.
        let mut work = Work::of(text.len() * 70);
        assert_eq!(matcher.steps(text.as_bytes(), &mut work), Some(false), "{text:.80}");
    }
}

/// Each beginning is read again where it ends, also when all that follows is known.
#[test]
fn beginnings_that_end_everywhere_are_work() {
    let sources: Vec<_> = (2..16).map(|n| format!("a{{{n}}}[a-z]{{3}}!{n}")).collect();
    let matcher = regexes(&sources.iter().map(String::as_str).collect::<Vec<_>>());
    let text = "a".repeat(128 * 1024);
    assert_eq!(matcher.finds_within(&text, &mut { Work::ENDLESS }), Some(false));
    assert_eq!(matcher.finds_within(&text, &mut Work::of(100_000)), None);
    // Of one, in ordinary texts, next to nothing.
    let prose = "the aardvark of a bazaar ".repeat(5_000);
    assert_eq!(matcher.finds_within(&prose, &mut Work::of(100_000)), Some(false));
}

#[test]
fn expressions_that_begin_alike_and_go_on_in_many_ways_are_counted() {
    let ways = |count: usize| {
        let sources: Vec<_> = (0..count).map(|n| format!(r"\bsecret.{{0,{}}}plan{n}", n + 1)).collect();
        regexes(&sources.iter().map(String::as_str).collect::<Vec<_>>()).ways()
    };
    assert!(ways(10) < 50 && (300..1000).contains(&ways(300)), "{} and {}", ways(10), ways(300));
    assert_eq!(words(&["secret", "secrets"]).ways(), 0);
}

#[test]
fn what_is_worked_out_is_remembered_and_no_more_than_fits() {
    let matcher = regexes(&[
        r".{1,500}bomb\b",
        r"[a-z0-9]{1,64}@[a-z0-9.]{1,100}\.[a-z]{2,10}\b",
        r"[ab]{2}.{0,200}[xy]z",
    ]);
    // An expression with ever new states is given up on, and the answer is the same.
    let mut random = 7_u64;
    let text: String = (0..60_000)
        .map(|_| {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            ['a', 'b', 'c', ' '][(random >> 60) as usize % 4]
        })
        .collect();
    let walked = matcher.walks(text.as_bytes(), &mut { Work::ENDLESS });
    assert_eq!(walked, Err(Halt::Crowded));
    assert!(!matcher.finds(&text) && matcher.finds(&format!("{text}xz")));
    assert!(matcher.finds_within(&text, &mut Work::of(10_000)).is_none());
    // Others are read to the end with little work, after the first time with next to none.
    let text = "aabombs a.b@c.d ".repeat(1_000);
    let matcher = regexes(&[r".{1,500}bomb\b", r"[a-z0-9]{1,64}@[a-z0-9.]{1,100}\.[a-z]{2,10}\b"]);
    assert_eq!(matcher.finds_within(&text, &mut Work::of(2_000_000)), Some(false));
    assert_eq!(matcher.finds_within(&text, &mut Work::of(1_000)), Some(false));
}

/// All texts that a folded one may have been, with one blank to five for each.
fn as_written(folded: &str) -> Vec<String> {
    let mut all = vec![String::new()];
    for c in folded.chars() {
        let runs = if c == ' ' { 1..=5 } else { 1..=1 };
        let longer = |text: String| runs.clone().map(move |run| text.clone() + &c.to_string().repeat(run));
        all = all.into_iter().flat_map(longer).collect();
    }
    all
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
        let expected = taken.iter().any(|source| regex_automata::meta::Regex::new(source).unwrap().is_match(&folded));
        prop_assert_eq!(matcher.finds(&text), expected, "{:?} in {:?}", taken, text);
        // The engine of streams, which steps.
        prop_assert_eq!(matcher.steps(folded.as_bytes(), &mut { Work::ENDLESS }), Some(expected));
    }

    #[test]
    fn walking_and_stepping_find_the_same(
        sources in prop::collection::vec(placed_regex(), 1..6),
        text in prop_oneof!["[abc爆か ]{0,16}", "(ab|abc|ba| |爆|か|c){0,12}"],
    ) {
        let patterns: Vec<_> = sources.iter().filter_map(|source| Pattern::regex(source).ok()).collect();
        prop_assume!(!patterns.is_empty());
        let alone = patterns.iter().any(|pattern| Matcher::new(vec![pattern.clone()]).unwrap().finds(&text));
        let matcher = Matcher::new(patterns).unwrap();
        let folded = fold(&text);
        let walked = matcher.walks(folded.as_bytes(), &mut { Work::ENDLESS });
        prop_assert_eq!(walked, Ok(alone), "{:?} in {:?}", sources, text);
        prop_assert_eq!(matcher.steps(folded.as_bytes(), &mut { Work::ENDLESS }), Some(alone));
        // And again, with what was remembered.
        prop_assert_eq!(matcher.walks(folded.as_bytes(), &mut { Work::ENDLESS }), Ok(alone));
    }

    /// What a reader of the expression would expect of a text as it was written.
    #[test]
    fn blanks_in_expressions_are_found_as_they_are_written(
        atoms in prop::collection::vec(
            prop::sample::select(vec!["a", "b", r"\s", r"\s+", r"\s*", " ", "(a |b)", r"\s?", r"[\s]{2,3}", r"(\s\sb|-)", r"\n\n"]),
            1..7,
        ),
        text in "[ab \n\t-]{0,12}",
    ) {
        let source = atoms.concat();
        let Ok(pattern) = Pattern::regex(&source) else { return Ok(()) };
        if regex_automata::meta::Regex::new(&source).unwrap().is_match(&text) {
            prop_assert!(Matcher::new(vec![pattern]).unwrap().finds(&text), "{:?} in {:?}", source, text);
        }
    }

    /// No more and no less: some text of the same folding matches as it is written.
    #[test]
    fn blanks_of_parts_that_meet_are_one(
        place in prop::sample::select(vec!["", r"\b"]),
        atoms in prop::collection::vec(
            prop::sample::select(vec![
                "a", "b", r"\s", "(a | b)", "(a |b)+", "( a| b)?", "( a )", "( a ){1,2}", "(a ){2}", "[ -]", "[ -]+",
                r"(\s|a\s)*", r"(^|\s)", "[ a]", "( a|)", r"\s+",
            ]),
            1..5,
        ),
        text in "[ab-]{0,2}( [ab-]{0,2}){0,3}",
    ) {
        let source = place.to_owned() + &atoms.concat();
        let Ok(pattern) = Pattern::regex(&source) else { return Ok(()) };
        let text = fold(&text);
        let ordinary = regex_automata::meta::Regex::new(&source).unwrap();
        let expected = as_written(&text).iter().any(|text| ordinary.is_match(text));
        let matcher = Matcher::new(vec![pattern]).unwrap();
        prop_assert_eq!(matcher.finds(&text), expected, "{:?} in {:?}", source, text);
        prop_assert_eq!(matcher.steps(text.as_bytes(), &mut { Work::ENDLESS }), Some(expected));
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
