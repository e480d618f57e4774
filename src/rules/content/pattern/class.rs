//! A set of characters, for texts that are folded.

use std::collections::BTreeSet;
use std::ops::RangeInclusive;

use once_cell::sync::Lazy;
use regex_syntax::hir::{Class, ClassUnicode, ClassUnicodeRange, Hir};

use super::super::fold::fold;

/// A set of at most so many characters is looked at one by one.
const FEW: usize = 64;
/// A set of more than this was written as what it leaves out.
const MOST: usize = 600_000;

/// Every character that folds to another single one, in order.
static FOLDS: Lazy<Vec<(char, char)>> = Lazy::new(|| {
    // Nothing between these folds, but for what stands in the tables that they cover.
    const BLOCKS: [RangeInclusive<char>; 6] = [
        '\0'..='\u{33ff}',
        '\u{a000}'..='\u{abff}',
        '\u{f900}'..='\u{ffff}',
        '\u{10000}'..='\u{11fff}',
        '\u{16000}'..='\u{1ffff}',
        '\u{2f800}'..='\u{2fa1f}',
    ];
    let folds = |c: char| {
        let folded = fold(c.encode_utf8(&mut [0; 4]));
        let mut chars = folded.chars();
        match (chars.next(), chars.next()) {
            (Some(other), None) if other != c => Some((c, other)),
            (Some(_), _) | (None, _) => None,
        }
    };
    BLOCKS.into_iter().flatten().filter_map(folds).collect()
});

/// What a set of characters comes to.
///
/// Letters are taken for what they fold to. A set that says what it leaves out stays as it is: folding what
/// is in it would bring back what was left out.
pub(super) fn folded_class(class: &ClassUnicode) -> Hir {
    let size: usize = class.iter().map(ClassUnicodeRange::len).sum();
    if size > MOST {
        return Hir::class(Class::Unicode(class.clone()));
    }
    let mut ranges: Vec<ClassUnicodeRange> = class.ranges().to_vec();
    let mut texts = BTreeSet::new();
    if size <= FEW {
        // Of a few letters, all that cannot be in a folded text can go.
        ranges.clear();
        for c in class.iter().flat_map(|range| range.start()..=range.end()) {
            let folded = fold(c.encode_utf8(&mut [0; 4]));
            let mut chars = folded.chars();
            match (chars.next(), chars.next()) {
                (Some(one), None) => ranges.push(ClassUnicodeRange::new(one, one)),
                (Some(_), Some(_)) => drop(texts.insert(folded)),
                (None, _) => {}
            }
        }
        if ranges.is_empty() && texts.is_empty() {
            // What shows nothing is nothing.
            return Hir::empty();
        }
    } else {
        for range in class.iter() {
            let from = FOLDS.partition_point(|(c, _)| *c < range.start());
            let folds = FOLDS.iter().skip(from).take_while(|(c, _)| *c <= range.end());
            // A mark that stands on a blank is no letter that was meant.
            let folds = folds.filter(|(c, one)| *one != ' ' || c.is_whitespace());
            ranges.extend(folds.map(|(_, one)| ClassUnicodeRange::new(*one, *one)));
        }
    }
    let mut choices = Vec::new();
    let single = ClassUnicode::new(ranges);
    if let Some(literal) = single.literal() {
        choices.push(Hir::literal(literal));
    } else if !single.ranges().is_empty() {
        choices.push(Hir::class(Class::Unicode(single)));
    }
    choices.extend(texts.into_iter().map(|text| Hir::literal(text.into_bytes())));
    Hir::alternation(choices)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_has_every_character_that_folds_to_another() {
        let (mut missing, mut known) = (Vec::new(), FOLDS.iter().peekable());
        assert!(FOLDS.is_sorted());
        for c in '\0'..=char::MAX {
            let folded = fold(c.encode_utf8(&mut [0; 4]));
            let single = folded.chars().count() == 1 && !folded.starts_with(c);
            let listed = known.next_if(|(known, _)| *known == c).is_some();
            if single != listed {
                missing.push(c);
            }
        }
        assert!(missing.is_empty(), "{missing:?}");
    }
}
