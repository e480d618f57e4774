//! Blanks of different parts of an expression that meet: where a run of white space has become one blank, the second
//! of them is there when a blank stands before it.
//!
//! Promises to find what any text of the same folding matches as it is written, and nothing else, with these
//! exceptions: a large set such as `.` or `\W`, and one that repeats so many times, take one blank as one character;
//! and where a place is asked for between blanks, it may find more.

use regex_syntax::hir::{Class, Hir, HirKind, Look, Repetition};

/// A set of at most so many characters is taken for several blanks, if it has one.
const FEW: usize = 64;
/// Asks for a blank before a place: see the constant of the same name for automata.
const BLANK_BEFORE: Look = Look::StartCRLF;

/// What the match has read before a place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Before {
    /// Nothing.
    Start,
    /// Something that no blank can be one with.
    Other,
    /// Something that may have ended in a blank.
    Blank,
}

impl Before {
    fn or(self, other: Self) -> Self {
        match (self, other) {
            (Self::Start, _) | (_, Self::Start) => Self::Start,
            (Self::Blank, _) | (_, Self::Blank) => Self::Blank,
            (Self::Other, Self::Other) => Self::Other,
        }
    }
}

/// The same expression, for texts in which no blank follows another.
pub(super) fn joined(hir: Hir) -> Hir {
    // Most expressions have none that meet, and stay as they are.
    if mended(&hir, Before::Other) == hir {
        return hir;
    }
    match something(&hir) {
        Some(hir) => mended(&hir, Before::Start),
        None => hir,
    }
}

fn mended(hir: &Hir, before: Before) -> Hir {
    match hir.kind() {
        HirKind::Empty | HirKind::Look(_) => hir.clone(),
        HirKind::Literal(text) => {
            // Texts that are put behind each other become one.
            let mut text = text.0.to_vec();
            text.dedup_by(|one, other| *one == b' ' && *other == b' ');
            match text.split_first() {
                Some((b' ', rest)) if before == Before::Blank => {
                    Hir::concat(vec![or_before(Hir::literal(*b" ")), Hir::literal(rest)])
                }
                Some(_) | None => Hir::literal(text),
            }
        }
        HirKind::Class(class) if before == Before::Blank && has_blank(class) && is_small(class) => {
            or_before(hir.clone())
        }
        HirKind::Class(_) => hir.clone(),
        HirKind::Repetition(repetition) => repeated(hir, repetition, before),
        HirKind::Capture(capture) => mended(&capture.sub, before),
        HirKind::Concat(parts) => {
            let mut before = before;
            let each = parts.iter().map(|part| {
                let done = mended(part, before);
                before = after(part, before);
                done
            });
            Hir::concat(each.collect())
        }
        HirKind::Alternation(all) => Hir::alternation(all.iter().map(|one| mended(one, before)).collect()),
    }
}

fn repeated(hir: &Hir, repetition: &Repetition, before: Before) -> Hir {
    let sub = &*repetition.sub;
    match (is_one_letter(sub), repetition.min) {
        // Fewer of them will do.
        (true, 0) => hir.clone(),
        // In a set that repeats each counts, but for the first.
        (true, 1..) => match mended(sub, before) {
            first if first == *sub => hir.clone(),
            first => Hir::concat(vec![first, Hir::repetition(less(repetition))]),
        },
        (false, _) => {
            let again = after(sub, after(sub, before)).or(after(sub, before)).or(before);
            let before = if repetition.max == Some(1) { before } else { again };
            Hir::repetition(Repetition { sub: Box::new(mended(sub, before)), ..repetition.clone() })
        }
    }
}

/// What has been read behind an expression.
fn after(hir: &Hir, before: Before) -> Before {
    match hir.kind() {
        HirKind::Empty => before,
        HirKind::Look(_) if before == Before::Start => before,
        // No blank is one with another across a place that is asked for.
        HirKind::Look(_) => Before::Other,
        HirKind::Literal(text) if text.0.last() == Some(&b' ') => Before::Blank,
        HirKind::Class(class) if has_blank(class) => Before::Blank,
        HirKind::Literal(_) | HirKind::Class(_) => Before::Other,
        HirKind::Repetition(repetition) => match (is_one_letter(&repetition.sub), repetition.min) {
            // A blank at its end can be left to what follows.
            (true, 0) => before.or(Before::Other),
            (true | false, min) => {
                let one = after(&repetition.sub, before);
                let several = one.or(after(&repetition.sub, one));
                if min == 0 { several.or(before) } else { several }
            }
        },
        HirKind::Capture(capture) => after(&capture.sub, before),
        HirKind::Concat(parts) => parts.iter().fold(before, |before, part| after(part, before)),
        HirKind::Alternation(all) => {
            let each = all.iter().map(|one| after(one, before));
            each.reduce(Before::or).unwrap_or(before)
        }
    }
}

/// The same where it matches something, so that nothing has been read but at its beginning. `None` if it never does.
fn something(hir: &Hir) -> Option<Hir> {
    match hir.kind() {
        HirKind::Empty | HirKind::Look(_) => None,
        HirKind::Literal(_) | HirKind::Class(_) => Some(hir.clone()),
        HirKind::Repetition(repetition) => {
            let first = something(&repetition.sub)?;
            let mut rest = less(repetition);
            if is_nullable(&repetition.sub) {
                rest.min = 0;
            }
            Some(Hir::concat(vec![first, Hir::repetition(rest)]))
        }
        HirKind::Capture(capture) => something(&capture.sub),
        HirKind::Concat(parts) => {
            let (mut choices, mut passed) = (Vec::new(), Vec::new());
            for (at, part) in parts.iter().enumerate() {
                if let Some(first) = something(part) {
                    let rest = parts.iter().skip(at + 1).cloned();
                    choices.push(Hir::concat(passed.iter().cloned().chain([first]).chain(rest).collect()));
                }
                match nothing(part) {
                    Some(part) => passed.push(part),
                    None => break,
                }
            }
            (!choices.is_empty()).then(|| Hir::alternation(choices))
        }
        HirKind::Alternation(all) => {
            let all: Vec<Hir> = all.iter().filter_map(something).collect();
            (!all.is_empty()).then(|| Hir::alternation(all))
        }
    }
}

/// The same where it matches nothing. `None` if it never does.
fn nothing(hir: &Hir) -> Option<Hir> {
    match hir.kind() {
        HirKind::Empty | HirKind::Look(_) => Some(hir.clone()),
        HirKind::Literal(_) | HirKind::Class(_) => None,
        HirKind::Repetition(repetition) if repetition.min == 0 => Some(Hir::empty()),
        HirKind::Repetition(repetition) => nothing(&repetition.sub),
        HirKind::Capture(capture) => nothing(&capture.sub),
        HirKind::Concat(parts) => Some(Hir::concat(parts.iter().map(nothing).collect::<Option<_>>()?)),
        HirKind::Alternation(all) => {
            let all: Vec<Hir> = all.iter().filter_map(nothing).collect();
            (!all.is_empty()).then(|| Hir::alternation(all))
        }
    }
}

/// The same once less.
fn less(repetition: &Repetition) -> Repetition {
    let (min, max) = (repetition.min.saturating_sub(1), repetition.max.map(|max| max.saturating_sub(1)));
    Repetition { min, max, ..repetition.clone() }
}

fn or_before(hir: Hir) -> Hir {
    Hir::alternation(vec![hir, Hir::look(BLANK_BEFORE)])
}

fn is_nullable(hir: &Hir) -> bool {
    hir.properties().minimum_len() == Some(0)
}

fn is_one_letter(hir: &Hir) -> bool {
    match hir.kind() {
        HirKind::Class(_) => true,
        HirKind::Literal(text) => *text.0 == *b" ",
        HirKind::Empty
        | HirKind::Look(_)
        | HirKind::Repetition(_)
        | HirKind::Capture(_)
        | HirKind::Concat(_)
        | HirKind::Alternation(_) => false,
    }
}

fn has_blank(class: &Class) -> bool {
    match class {
        Class::Unicode(class) => class.iter().any(|range| range.start() <= ' ' && ' ' <= range.end()),
        Class::Bytes(class) => class.iter().any(|range| range.start() <= b' ' && b' ' <= range.end()),
    }
}

fn is_small(class: &Class) -> bool {
    match class {
        Class::Unicode(class) => class.iter().map(|range| range.len()).sum::<usize>() <= FEW,
        Class::Bytes(class) => class.iter().map(|range| range.len()).sum::<usize>() <= FEW,
    }
}
