use proptest::prelude::*;
use regex_syntax::hir::{ClassUnicode, ClassUnicodeRange};

use super::*;

fn assert_alike(texts: &[&str]) {
    for text in texts {
        assert_eq!(fold(text), fold(texts[0]), "{text:?} and {:?}", texts[0]);
    }
}

fn assert_different(one: &str, other: &str) {
    assert_ne!(fold(one), fold(other), "{one:?} and {other:?}");
}

#[test]
fn case_width_and_compatible_forms_do_not_matter() {
    assert_alike(&["bomb", "BOMB", "Bomb", "ｂｏｍｂ", "ＢＯＭＢ", "𝐛𝐨𝐦𝐛", "𝓑𝓸𝓶𝓫", "ⓑⓞⓜⓑ", "ᵇᵒᵐᵇ"]);
    assert_alike(&["straße", "STRASSE", "strasse", "STRAẞE"]);
    assert_alike(&["σοφος", "ΣΟΦΟΣ", "σοφοσ"]);
    assert_alike(&["fire", "ﬁre"]);
    assert_alike(&["123", "１２３", "①②③", "¹²³"]);
    assert_alike(&["株式会社", "㍿"]);
    assert_alike(&["бомба", "БОМБА"]);
}

/// Unicode's own case folding, from the tables of another library.
#[test]
fn letters_that_differ_in_case_alone_are_the_same() {
    let mut apart = Vec::new();
    for c in '\0'..=char::MAX {
        let mut class = ClassUnicode::new([ClassUnicodeRange::new(c, c)]);
        class.case_fold_simple();
        let folded = |c: char| fold(c.encode_utf8(&mut [0; 4]));
        // Iota below a letter is a mark, and its capital a letter beside it.
        class.difference(&ClassUnicode::new([ClassUnicodeRange::new('\u{345}', '\u{345}')]));
        if c == '\u{345}' {
            continue;
        }
        let others = class.iter().flat_map(|range| range.start()..=range.end());
        apart.extend(others.filter(|other| folded(*other) != folded(c)).map(|other| (c, other)));
    }
    assert!(apart.is_empty(), "{apart:x?}");
    assert_alike(&["вода", "\u{1c80}ода", "\u{1c80}о\u{1c81}а"]);
}

#[test]
fn marks_do_not_matter_where_they_are_ornament() {
    assert_alike(&[
        "bomb",
        "bömb",
        "bo\u{308}mb",
        "b\u{336}o\u{336}m\u{336}b\u{336}",
        "b\u{20dd}omb",
        "bo\u{e34}mb",
    ]);
    assert_alike(&["elite", "élite", "e\u{301}lite", "ÉLITE"]);
    assert_alike(&["ееи", "ёёй"]);
    assert_alike(&["Istanbul", "İstanbul", "istanbul"]);
    assert_alike(&["爆弾", "爆\u{301}弾\u{338}"]);
    // Vowel points and harakat.
    assert_alike(&["שלום", "שָׁלוֹם"]);
    assert_alike(&["قنبلة", "قُنْبُلَة"]);
}

#[test]
fn marks_matter_where_they_make_another_letter() {
    assert_different("は", "ば");
    assert_different("は", "ぱ");
    assert_different("ハ", "バ");
    assert_different("कि", "क");
    assert_different("ที่", "ทา");
    assert_different("한", "하");
    assert_alike(&["バ", "ﾊﾞ", "ハ\u{3099}", "ハ゛", "ハﾞ", "ハ\u{301}\u{3099}"]);
    assert_alike(&["ぱ", "は\u{309a}", "は゜"]);
    assert_alike(&["ｶﾞｷﾞｸﾞ", "ガギグ"]);
    assert_alike(&["か", "か\u{309a}", "か゜", "か\u{309a}\u{3099}"]);
    assert_alike(&["㌕", "キログラム"]);
    assert_alike(&["한글", "\u{1112}\u{1161}\u{11ab}\u{1100}\u{1173}\u{11af}", "하\u{11ab}글"]);
    assert_alike(&["क़", "क\u{93c}"]);
}

#[test]
fn what_shows_nothing_is_nothing() {
    assert_alike(&[
        "bomb",
        "b\u{200b}o\u{200d}m\u{2060}b",
        "b\u{ad}omb",
        "bo\u{feff}mb",
        "b\u{0}o\u{7}m\u{8}b",
        "b\u{e0062}omb",
        "b\u{202e}omb",
        "bom\u{fe0f}b",
        "bo\u{fff9}mb",
    ]);
    assert_alike(&["ガ", "カ\u{200b}\u{3099}"]);
}

#[test]
fn any_run_of_white_space_is_one_blank() {
    assert_alike(&[
        "a b",
        "a  b",
        "a\tb",
        "a\r\n\r\n b",
        "a\u{a0}b",
        "a\u{3000}b",
        "a\u{2028}b",
        "a \u{200b} b",
        "a\u{b}b",
        "a\u{85}b",
        "a\u{2800}b",
        "a\u{3164}\u{ffa0}b",
    ]);
    assert_eq!(fold("  a  "), " a ");
}

#[test]
fn scripts_are_not_taken_for_each_other() {
    for (one, other) in
        [("bomb", "bоmb"), ("A", "Α"), ("ばくだん", "バクダン"), ("o", "0"), ("ø", "o"), ("ı", "i")]
    {
        assert_different(one, other);
    }
}

#[test]
fn so_many_marks_cost_no_memory() {
    let mut folder = Folder::default();
    let mut out = Vec::new();
    folder.push('क', &mut out);
    for _ in 0..1_000_000 {
        folder.push('\u{93f}', &mut out);
    }
    assert!(folder.is_open() && folder.marks.len() <= MAX_MARKS);
    folder.finish(&mut out);
    assert!(out.len() < 200);
}

/// Texts that are full of what folding is about.
pub(in crate::rules::content) fn tricky() -> impl Strategy<Value = String> {
    let letters = prop::sample::select(vec![
        'a',
        'B',
        'o',
        'm',
        ' ',
        '\n',
        'é',
        'ß',
        'ς',
        'İ',
        'か',
        'が',
        'ハ',
        'ﾊ',
        'ﾞ',
        'ﾟ',
        '゛',
        '\u{3099}',
        '\u{309a}',
        '\u{301}',
        '\u{200b}',
        '爆',
        '弾',
        'Ａ',
        '\u{3000}',
        '한',
        '하',
        '\u{1112}',
        '\u{1161}',
        '\u{11ab}',
        'क',
        '\u{93f}',
        '\u{93c}',
        'ﬁ',
        '㍿',
        'ж',
        '\u{0}',
        '\u{a8}',
        'ｶ',
        'ﷺ',
        '½',
        '𝐛',
        'א',
        '\u{5b8}',
        'ไ',
        '\u{e34}',
        '\u{e0062}',
        'Ω',
    ]);
    let any = prop_oneof![8 => letters, 1 => any::<char>()];
    prop::collection::vec(any, 0..24).prop_map(|all| all.into_iter().collect())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn folding_twice_changes_nothing(text in tricky()) {
        let once = fold(&text);
        prop_assert_eq!(fold(&once), once.clone(), "{:?} from {:?}", once, text);
    }

    #[test]
    fn the_usual_forms_of_unicode_fold_alike(text in tricky()) {
        // A spacing voice mark is a blank and a mark to Unicode; to us it is its kana's. A filler that is as wide as
        // a letter is one that has no width.
        let text = text.replace(['゛', '゜', '\u{3164}', '\u{ffa0}'], "");
        for form in [text.nfc().collect::<String>(), text.nfd().collect(), text.nfkc().collect(), text.nfkd().collect()] {
            prop_assert_eq!(fold(&form), fold(&text), "{:?} of {:?}", form, text);
        }
    }

    #[test]
    fn one_character_at_a_time_gives_the_same(text in tricky()) {
        let (mut folder, mut out) = (Folder::default(), Vec::new());
        for c in text.chars() {
            folder.push(c, &mut out);
        }
        folder.finish(&mut out);
        prop_assert_eq!(String::from_utf8(out).unwrap(), fold(&text));
    }
}
