//! White space in an expression: in a folded text any run of it is one blank, so that what asks for several in a
//! row asks for one.

use regex_syntax::hir::{Hir, HirKind, Repetition};

/// What matches nothing but blanks, or nothing at all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Blank {
    Must,
    May,
}

/// A part of an expression.
#[derive(Debug)]
enum Part {
    Blank(Blank),
    Other(Hir),
}

/// These one behind the other; blanks that follow each other are one.
pub(super) fn concat(all: Vec<Hir>) -> Hir {
    let mut parts = Vec::new();
    all.into_iter().for_each(|hir| add(hir, &mut parts));
    let mut done: Vec<Hir> = Vec::new();
    let mut parts = parts.into_iter().peekable();
    while let Some(part) = parts.next() {
        match part {
            Part::Blank(blank) => match parts.peek_mut() {
                Some(Part::Other(next)) if starts_blank(next) => {
                    *next = pushed_into(blank, next, Side::Before)
                }
                Some(_) | None => done.push(blank.written()),
            },
            Part::Other(hir) => {
                match parts.next_if(|next| matches!(next, Part::Blank(_)) && ends_blank(&hir)) {
                    Some(Part::Blank(blank)) => done.push(pushed_into(blank, &hir, Side::Behind)),
                    Some(Part::Other(_)) | None => done.push(hir),
                }
            }
        }
    }
    Hir::concat(done)
}

/// One of these.
pub(super) fn alternation(all: Vec<Hir>) -> Hir {
    let one = Hir::alternation(all);
    match blank(&one) {
        Some(blank) => blank.written(),
        None => one,
    }
}

/// This so many times.
pub(super) fn repetition(repetition: Repetition) -> Hir {
    let one = Hir::repetition(repetition);
    match blank(&one) {
        Some(blank) => blank.written(),
        None => one,
    }
}

impl Blank {
    fn written(self) -> Hir {
        let one = Hir::literal(*b" ");
        match self {
            Self::Must => one,
            Self::May => {
                Hir::repetition(Repetition { min: 0, max: Some(1), greedy: true, sub: Box::new(one) })
            }
        }
    }

    fn and(self, other: Self) -> Self {
        match (self, other) {
            (Self::May, Self::May) => Self::May,
            (Self::Must, _) | (_, Self::Must) => Self::Must,
        }
    }
}

/// `None` if it matches something else, or nothing but nothing.
fn blank(hir: &Hir) -> Option<Blank> {
    match hir.kind() {
        HirKind::Literal(text) => text.0.iter().all(|byte| *byte == b' ').then_some(Blank::Must),
        HirKind::Repetition(repetition) => match (blank(&repetition.sub)?, repetition.min) {
            (_, 0) | (Blank::May, _) => Some(Blank::May),
            (Blank::Must, _) => Some(Blank::Must),
        },
        HirKind::Capture(capture) => blank(&capture.sub),
        HirKind::Concat(parts) => {
            parts.iter().map(blank).reduce(|one, other| Some(one?.and(other?))).unwrap_or_default()
        }
        HirKind::Alternation(choices) => {
            let mut all = Some(Blank::Must);
            for choice in choices.iter().filter(|choice| !is_empty(choice)) {
                let blank = blank(choice)?;
                all = all.map(|all| if blank == Blank::May { blank } else { all });
            }
            if choices.iter().any(is_empty) { Some(Blank::May) } else { all }
        }
        HirKind::Empty | HirKind::Class(_) | HirKind::Look(_) => None,
    }
}

fn is_empty(hir: &Hir) -> bool {
    matches!(hir.kind(), HirKind::Empty)
}

/// Adds a part, with the blanks at its ends apart.
fn add(hir: Hir, parts: &mut Vec<Part>) {
    if let Some(blank) = blank(&hir) {
        return match parts.last_mut() {
            Some(Part::Blank(last)) => *last = last.and(blank),
            Some(Part::Other(_)) | None => parts.push(Part::Blank(blank)),
        };
    }
    match hir.into_kind() {
        HirKind::Concat(all) => all.into_iter().for_each(|hir| add(hir, parts)),
        HirKind::Literal(text) => {
            for piece in text.0.chunk_by(|one, other| (*one == b' ') == (*other == b' ')) {
                match piece.first() {
                    Some(b' ') => add(Hir::literal(*b" "), parts),
                    Some(_) | None => parts.push(Part::Other(Hir::literal(piece))),
                }
            }
        }
        HirKind::Empty => {}
        HirKind::Class(class) => parts.push(Part::Other(Hir::class(class))),
        HirKind::Look(look) => parts.push(Part::Other(Hir::look(look))),
        HirKind::Repetition(repetition) => parts.push(Part::Other(Hir::repetition(repetition))),
        HirKind::Capture(capture) => parts.push(Part::Other(Hir::capture(capture))),
        HirKind::Alternation(all) => parts.push(Part::Other(Hir::alternation(all))),
    }
}

#[derive(Debug, Clone, Copy)]
enum Side {
    Before,
    Behind,
}

/// The choices of an expression that has some.
fn choices(hir: &Hir) -> Option<Vec<Hir>> {
    match hir.kind() {
        HirKind::Alternation(all) => Some(all.clone()),
        HirKind::Repetition(Repetition { min: 0, max: Some(1), sub, .. }) => {
            Some(vec![(**sub).clone(), Hir::empty()])
        }
        HirKind::Repetition(_)
        | HirKind::Empty
        | HirKind::Literal(_)
        | HirKind::Class(_)
        | HirKind::Look(_)
        | HirKind::Capture(_)
        | HirKind::Concat(_) => None,
    }
}

fn starts_blank(hir: &Hir) -> bool {
    let begins = |hir: &Hir| match hir.kind() {
        HirKind::Concat(parts) => {
            parts.first().is_some_and(|first| blank(first).is_some() || begins_so(first))
        }
        _ => blank(hir).is_some() || begins_so(hir),
    };
    choices(hir).is_some_and(|all| all.iter().any(begins))
}

fn ends_blank(hir: &Hir) -> bool {
    let ends = |hir: &Hir| match hir.kind() {
        HirKind::Concat(parts) => parts.last().is_some_and(|last| blank(last).is_some() || ends_so(last)),
        _ => blank(hir).is_some() || ends_so(hir),
    };
    choices(hir).is_some_and(|all| all.iter().any(ends))
}

fn begins_so(hir: &Hir) -> bool {
    matches!(hir.kind(), HirKind::Literal(text) if text.0.first() == Some(&b' ')) || starts_blank(hir)
}

fn ends_so(hir: &Hir) -> bool {
    matches!(hir.kind(), HirKind::Literal(text) if text.0.last() == Some(&b' ')) || ends_blank(hir)
}

/// The same with a blank at one side of each choice, where it may be one with what stands there.
fn pushed_into(blank: Blank, hir: &Hir, side: Side) -> Hir {
    let all = choices(hir).unwrap_or_else(|| vec![hir.clone()]);
    alternation(
        all.into_iter()
            .map(|choice| match side {
                Side::Before => concat(vec![blank.written(), choice]),
                Side::Behind => concat(vec![choice, blank.written()]),
            })
            .collect(),
    )
}
