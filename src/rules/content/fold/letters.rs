//! Which characters are nothing to a reader, which may change with what follows, and which are all of a word.

/// The usual letter for one that is only drawn in another way: of what `char::to_lowercase` leaves as it is, that is
/// all that Unicode's case folding changes.
pub(super) fn usual(c: char) -> char {
    match c {
        '\u{1c80}' => 'в',
        '\u{1c81}' => 'д',
        '\u{1c82}' => 'о',
        '\u{1c83}' => 'с',
        '\u{1c84}' | '\u{1c85}' => 'т',
        '\u{1c86}' => 'ъ',
        '\u{1c87}' => 'ѣ',
        '\u{1c88}' => 'ꙋ',
        _ => c,
    }
}

/// White space, and what shows as such.
pub(super) fn is_blank(c: char) -> bool {
    // The pattern of Braille without dots, and the fillers of Hangul that are as wide as a letter.
    c.is_whitespace() || matches!(c, '\u{2800}' | '\u{3164}' | '\u{ffa0}')
}

/// Whether a character shows nothing: the property Default_Ignorable_Code_Point, but for blanks, and control
/// characters that are no white space.
pub(super) fn is_invisible(c: char) -> bool {
    let control =
        matches!(c, '\0'..='\u{8}' | '\u{e}'..='\u{1f}' | '\u{7f}'..='\u{84}' | '\u{86}'..='\u{9f}');
    let ignorable = matches!(
        u32::from(c),
        0xad | 0x34f
            | 0x61c
            | 0x115f..=0x1160
            | 0x17b4..=0x17b5
            | 0x180b..=0x180f
            | 0x200b..=0x200f
            | 0x202a..=0x202e
            | 0x2060..=0x206f
            | 0xfe00..=0xfe0f
            | 0xfeff
            | 0xfff0..=0xfffb
            | 0x1bca0..=0x1bca3
            | 0x1d173..=0x1d17a
            | 0xe0000..=0xe0fff
    );
    control || ignorable
}

/// A kana that may still be voiced by a mark behind it: か and が are different letters.
pub(super) fn is_voiceable(c: char) -> bool {
    let hiragana = |c: char| {
        matches!(
            c,
            'う' | 'か'
                | 'き'
                | 'く'
                | 'け'
                | 'こ'
                | 'さ'
                | 'し'
                | 'す'
                | 'せ'
                | 'そ'
                | 'た'
                | 'ち'
                | 'つ'
                | 'て'
                | 'と'
                | 'は'
                | 'ひ'
                | 'ふ'
                | 'へ'
                | 'ほ'
                | 'ゝ'
        )
    };
    match c {
        'ぁ'..='ゟ' => hiragana(c),
        'ワ'..='ヲ' => true,
        // Each katakana stands 0x60 behind its hiragana.
        'ァ'..='ヿ' => char::from_u32(u32::from(c) - 0x60).is_some_and(hiragana),
        _ => false,
    }
}

/// A Hangul letter or syllable to which something may still be added.
pub(super) fn is_open_hangul(c: char) -> bool {
    match c {
        '\u{1100}'..='\u{115e}' => true,
        // A syllable without a final consonant: every 28th.
        '가'..='힣' => (u32::from(c) - 0xac00).is_multiple_of(28),
        _ => false,
    }
}

/// A Hangul vowel or final consonant, which joins the letter before it.
pub(super) fn joins_hangul(c: char) -> bool {
    matches!(c, '\u{1161}'..='\u{11ff}')
}

/// A letter of a script in which marks are more than ornament: they are vowels, or make another letter.
pub(super) fn keeps_marks(c: char) -> bool {
    matches!(
        u32::from(c),
        0x0590..=0x109f
            | 0x1700..=0x1c8f
            | 0x1cd0..=0x1cff
            | 0xa800..=0xaadf
            | 0xabc0..=0xabff
            | 0x10a00..=0x11fff
            | 0x16a00..=0x16aff
            | 0x1e000..=0x1e95f
    )
}

/// A mark that no script needs: general diacritics, and the points of Hebrew and Arabic, which their readers
/// do without.
pub(super) fn is_ornament(mark: char) -> bool {
    matches!(
        u32::from(mark),
        0x0300..=0x036f
            | 0x0483..=0x0489
            | 0x0591..=0x05c7
            | 0x0610..=0x061a
            | 0x064b..=0x065f
            | 0x0670
            | 0x06d6..=0x06ed
            | 0x1ab0..=0x1aff
            | 0x1dc0..=0x1dff
            | 0x20d0..=0x20ff
            | 0xfe20..=0xfe2f
    )
}

/// Characters that mean themselves, but for what a voice mark or another jamo behind them makes of some, and of which
/// most text of East Asia consists.
pub(super) fn is_itself(c: char) -> bool {
    matches!(
        u32::from(c),
        0x3001..=0x3029 | 0x3041..=0x3096 | 0x30a1..=0x30fa | 0x30fc | 0x3400..=0x4dbf | 0x4e00..=0x9fff | 0xac00..=0xd7a3
    )
}

/// A letter of a script that writes words without blanks between them, or with endings that nothing sets apart.
pub(crate) fn is_unspaced(c: char) -> bool {
    matches!(
        u32::from(c),
        0x0e00..=0x0fff
            | 0x1000..=0x109f
            | 0x1100..=0x11ff
            | 0x1780..=0x17ff
            | 0x3005..=0x3007
            | 0x3021..=0x3029
            | 0x3031..=0x3035
            | 0x3041..=0x30ff
            | 0x3105..=0x318f
            | 0x31a0..=0x31bf
            | 0x31f0..=0x31ff
            | 0x3400..=0x4dbf
            | 0x4e00..=0x9fff
            | 0xa000..=0xa4cf
            | 0xa9e0..=0xa9ff
            | 0xaa60..=0xaa7f
            | 0xac00..=0xd7ff
            | 0xf900..=0xfaff
            | 0x1b000..=0x1b16f
            | 0x20000..=0x3ffff
    )
}

/// A letter or digit of a script that sets its words apart.
pub(crate) fn is_word(c: char) -> bool {
    if c.is_ascii() { c.is_ascii_alphanumeric() } else { c.is_alphanumeric() && !is_unspaced(c) }
}

#[cfg(test)]
mod tests {
    use regex_syntax::hir::{Class, HirKind};
    use unicode_normalization::char::compose;

    use super::*;

    fn all() -> impl Iterator<Item = char> {
        '\0'..=char::MAX
    }

    fn property(pattern: &str) -> impl Fn(char) -> bool {
        let hir = regex_syntax::parse(pattern).unwrap();
        let HirKind::Class(Class::Unicode(class)) = hir.into_kind() else { panic!("{pattern}") };
        move |c| class.ranges().iter().any(|range| (range.start()..=range.end()).contains(&c))
    }

    #[test]
    fn invisible_is_what_unicode_says_may_be_ignored_and_control_characters() {
        let (ignorable, control) = (property(r"\p{Default_Ignorable_Code_Point}"), property(r"\p{Cc}"));
        for c in all() {
            let annotation = ('\u{fff9}'..='\u{fffb}').contains(&c);
            let due = (ignorable(c) && !is_blank(c)) || annotation || (control(c) && !c.is_whitespace());
            assert_eq!(is_invisible(c), due, "{c:?}");
        }
    }

    #[test]
    fn a_kana_can_be_voiced_when_there_is_a_letter_for_it() {
        for c in 'ぁ'..='ヿ' {
            let voiced = ['\u{3099}', '\u{309a}'].iter().any(|mark| compose(c, *mark).is_some());
            assert_eq!(is_voiceable(c), voiced, "{c}");
        }
    }

    #[test]
    fn a_hangul_syllable_is_open_when_there_is_one_with_more_to_it() {
        for c in '가'..='힣' {
            assert_eq!(is_open_hangul(c), compose(c, '\u{11a8}').is_some(), "{c}");
        }
    }

    #[test]
    fn blanks_set_the_words_of_these_scripts_apart_and_not_of_those() {
        for c in ['a', '7', 'ß', 'ж', 'ω', 'א', 'ع', 'न', 'ა'] {
            assert!(is_word(c), "{c}");
        }
        for c in ['爆', 'か', 'カ', '한', 'ไ', 'ក', 'မ', '々', 'ー'] {
            assert!(is_unspaced(c) && !is_word(c), "{c}");
        }
        for c in ['_', ' ', '-', '。', '😀', '\u{2019}'] {
            assert!(!is_word(c) && !is_unspaced(c), "{c}");
        }
    }
}
