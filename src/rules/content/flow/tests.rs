use proptest::prelude::*;

use super::super::fold::tests::tricky;
use super::super::pattern::Pattern;
use super::*;

fn matcher(words: &[&str], regexes: &[&str]) -> Matcher {
    let words = words.iter().map(|source| Pattern::word(source).unwrap());
    let regexes = regexes.iter().map(|source| Pattern::regex(source).unwrap());
    Matcher::new(words.chain(regexes).collect()).unwrap()
}

/// What has gone on after each piece, and what was found.
fn pushed(matcher: &Matcher, writing: Writing, pieces: &[&str]) -> (Vec<String>, Found) {
    let (mut flow, mut gone) = (Flow::new(writing), Vec::new());
    for piece in pieces {
        let mut out = String::new();
        let found = flow.push(matcher, piece, &mut out);
        gone.push(out);
        if found == Found::Match {
            return (gone, Found::Match);
        }
    }
    let mut out = String::new();
    let found = flow.finish(matcher, &mut out);
    gone.push(out);
    (gone, found)
}

fn whole(matcher: &Matcher, writing: Writing, pieces: &[&str]) -> (String, Found) {
    let (gone, found) = pushed(matcher, writing, pieces);
    (gone.concat(), found)
}

#[test]
fn what_can_be_no_match_goes_on_at_once() {
    let matcher = matcher(&["bomb", "make a plan"], &[r"secret\d{1,4}x"]);
    let gone = |pieces: &[&str]| pushed(&matcher, Writing::Plain, pieces);
    assert_eq!(
        gone(&["Hello, ", "world"]),
        (["Hello, ", "world", ""].map(String::from).to_vec(), Found::Nothing)
    );
    // What might begin something is kept until it does not.
    assert_eq!(gone(&["a bo", "ok"]).0, ["a ", "book", ""]);
    assert_eq!(gone(&["make ", "a ", "plane"]).0, ["", "", "make a plane", ""]);
    assert_eq!(gone(&["secret12", "34", "5"]).0, ["", "", "secret12345", ""]);
    // And to the end, if it stands there.
    assert_eq!(gone(&["some bom"]).0, ["some ", "bom"]);
    assert_eq!(gone(&["some bomb", "ed"]).0, ["some ", "bombed", ""]);
}

#[test]
fn a_text_that_another_one_follows_is_settled_and_may_go_on() {
    let matcher = matcher(&["bomb"], &[r"secret\d{1,4}x"]);
    let settled = |pieces: &[&str]| {
        let (mut flow, mut gone, mut found) = (Flow::new(Writing::Plain), Vec::new(), Found::Nothing);
        for piece in pieces {
            let mut out = String::new();
            found = flow.push(&matcher, piece, &mut out);
            if found == Found::Nothing {
                flow.settle(&matcher, &mut out);
            }
            gone.push(out);
        }
        let mut out = String::new();
        if found == Found::Nothing {
            found = flow.finish(&matcher, &mut out);
        }
        gone.push(out);
        (gone, found)
    };
    for (pieces, gone, found) in [
        (&["a bo", "ok"][..], &["a bo", "ok", ""][..], Found::Nothing),
        (&["a bo", "", "ok bo", "x"], &["a bo", "", "ok bo", "x", ""], Found::Nothing),
        (&["爆 sec", "ret12", "34", "5 b"], &["爆 sec", "ret12", "34", "5 b", ""], Found::Nothing),
        // Matched across, though what stood before has gone on.
        (&["a bo", "mb!"], &["a bo", "", ""], Found::Match),
        (&["a secret1", "2x and"], &["a secret1", "", ""], Found::Match),
        // What would be forbidden if it ended there waits for its end.
        (&["a bomb", "ed"], &["a ", "bombed", ""], Found::Nothing),
        (&["a bomb"], &["a ", ""], Found::Match),
    ] {
        let (all, was) = settled(pieces);
        assert_eq!(
            (all.as_slice(), was),
            (&gone.iter().map(|s| s.to_string()).collect::<Vec<_>>()[..], found)
        );
    }
}

#[test]
fn what_stands_before_a_match_goes_on_and_nothing_of_it() {
    let matcher = matcher(&["bomb", "爆弾"], &[r"secret\d{1,4}x", "が"]);
    for (pieces, gone) in [
        (&["a bomb!"][..], "a "),
        (&["a b", "om", "b", " "], "a "),
        (&["a bomb"], "a "),
        (&["この爆", "弾は"], "この"),
        (&["a b\u{200b}o", "\u{308}mb"], "a "),
        (&["x secret", "1x"], "x "),
        (&["bomb"], ""),
        (&["あか", "\u{3099}"], "あ"),
        (&["あﾊ", "かﾞ"], "あﾊ"),
        (&["ＢＯ", "ＭＢ"], ""),
        (&["かbomb"], "か"),
    ] {
        assert_eq!(whole(&matcher, Writing::Plain, pieces), (gone.to_owned(), Found::Match), "{pieces:?}");
    }
}

#[test]
fn arguments_are_read_with_their_escapes_and_go_on_as_they_were_written() {
    let matcher = matcher(&["bomb", "爆弾"], &[]);
    let gone = |pieces: &[&str]| whole(&matcher, Writing::Json, pieces);
    assert_eq!(gone(&[r#"{"q":"\u0062om"#, r#"b"}"#]), (r#"{"q":""#.to_owned(), Found::Match));
    assert_eq!(gone(&[r#"{"q":"\u72"#, r"06\u5f", "3e"]), (r#"{"q":""#.to_owned(), Found::Match));
    let good = r#"{"q":"\u0062ook \\ \ud83d\ude00 \"quoted\"","n":1}"#;
    assert_eq!(gone(&[good]), (good.to_owned(), Found::Nothing));
    let letters: Vec<String> = good.chars().map(String::from).collect();
    let letters: Vec<&str> = letters.iter().map(String::as_str).collect();
    assert_eq!(gone(&letters), (good.to_owned(), Found::Nothing));
    assert_eq!(gone(&[r"a\"]), (r"a\".to_owned(), Found::Nothing));
    // In a plain text they are no escapes.
    assert_eq!(whole(&matcher, Writing::Plain, &[r"\u0062omb"]).1, Found::Nothing);
}

#[test]
fn a_text_that_is_made_to_be_kept_is_taken_for_forbidden() {
    let matcher = matcher(&["bomb"], &[]);
    let invisible = "\u{200b}".repeat(1000);
    let mut flow = Flow::new(Writing::Plain);
    let mut out = String::new();
    assert_eq!(flow.push(&matcher, "bo", &mut out), Found::Nothing);
    let pushes = (0..100).take_while(|_| flow.push(&matcher, &invisible, &mut out) == Found::Nothing).count();
    assert!((20..=22).contains(&pushes) && out.is_empty(), "{pushes}");
    // Where nothing has begun, nothing is kept.
    let mut flow = Flow::new(Writing::Plain);
    assert!((0..100).all(|_| flow.push(&matcher, &invisible, &mut out) == Found::Nothing));
    assert_eq!(out.len(), 300_000);
}

fn cut<'a>(text: &'a str, cuts: &[usize]) -> Vec<&'a str> {
    let mut ends: Vec<usize> = cuts.iter().map(|cut| cut % (text.len() + 1)).collect();
    ends.retain(|end| text.is_char_boundary(*end));
    ends.extend([0, text.len()]);
    ends.sort_unstable();
    ends.windows(2).map(|pair| &text[pair[0]..pair[1]]).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 3000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn nothing_depends_on_how_a_text_is_cut(
        text in prop_oneof![tricky(), "[abc爆弾かが \\\\u062n\"]{0,24}", "(bo?|om|b|a b|\\\\u0062|か|゛| |c\u{200b}){0,12}"],
        words in prop::collection::vec(prop_oneof!["[abc爆か ]{1,4}".prop_map(|w| w), Just("bomb".to_owned()), Just("が".to_owned())], 0..3),
        regexes in prop::collection::vec(prop::sample::select(vec!["a.{0,3}b", r"\bb", "[ab]c{1,2}", r"か\b", "b(o|m)", "爆|弾"]), 0..3),
        cuts in prop::collection::vec(any::<usize>(), 0..6),
        writing in prop::sample::select(vec![Writing::Plain, Writing::Json]),
    ) {
        let words = words.iter().filter_map(|word| Pattern::word(word).ok());
        let regexes = regexes.iter().map(|source| Pattern::regex(source).unwrap());
        let matcher = Matcher::new(words.chain(regexes).collect()).unwrap();
        let expected = whole(&matcher, writing, &[&text]);
        prop_assert_eq!(&whole(&matcher, writing, &cut(&text, &cuts)), &expected);
        let single: Vec<usize> = (0..text.len()).collect();
        prop_assert_eq!(&whole(&matcher, writing, &cut(&text, &single)), &expected);
        prop_assert!(text.starts_with(&expected.0));
        match expected.1 {
            Found::Nothing => prop_assert_eq!(&expected.0, &text),
            // What has gone on is clean, whatever else might have followed.
            Found::Match => {
                let found = Flow::new(writing).push(&matcher, &expected.0, &mut String::new());
                prop_assert_eq!(found, Found::Nothing);
            }
        }
        if writing == Writing::Plain {
            prop_assert_eq!(matcher.finds(&text), expected.1 == Found::Match);
        }
    }
}
