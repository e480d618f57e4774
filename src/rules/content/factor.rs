//! Many expressions as one, in which what several begin with stands once.
//!
//! Promises the same first match to end. A thousand expressions that begin alike so cost what one of them does as
//! far as they are alike.

use std::collections::HashMap;

use regex_syntax::hir::{Hir, HirKind};

/// Expressions part so often, one behind the other; then they are written out. The compiler of automata goes down
/// as deep.
const MAX_PARTINGS: usize = 48;

/// What is left of an expression.
#[derive(Debug, Clone, Copy)]
struct Rest<'a> {
    parts: &'a [Hir],
    /// How much of the first part, a text, has been taken.
    taken: usize,
}

/// A beginning that is not divided.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Part<'a> {
    Byte(u8),
    Whole(&'a Hir),
}

/// What tells parts apart.
#[derive(Debug, PartialEq, Eq, Hash)]
enum Key {
    Byte(u8),
    /// As it is written.
    Whole(String),
}

/// An expression that matches where one of these does.
pub(super) fn together(all: &[Hir]) -> Hir {
    let each = all.iter().flat_map(|hir| match hir.kind() {
        HirKind::Alternation(choices) => choices.as_slice(),
        HirKind::Empty
        | HirKind::Literal(_)
        | HirKind::Class(_)
        | HirKind::Look(_)
        | HirKind::Repetition(_)
        | HirKind::Capture(_)
        | HirKind::Concat(_) => std::slice::from_ref(hir),
    });
    together_of(each.map(Rest::new).collect(), MAX_PARTINGS)
}

fn together_of(mut all: Vec<Rest<'_>>, partings: usize) -> Hir {
    let (mut done, mut text) = (Vec::new(), Vec::new());
    loop {
        if let [only] = all.as_slice() {
            flush(&mut text, &mut done);
            done.push(only.written());
            break;
        }
        let Some(parts) = all.iter().map(Rest::split).collect::<Option<Vec<_>>>() else {
            // One of them ends here, and so before all others.
            break;
        };
        let Some((first, _)) = parts.first() else { break };
        if parts.iter().all(|(part, _)| part == first) {
            match first {
                Part::Byte(byte) => text.push(*byte),
                Part::Whole(hir) => {
                    flush(&mut text, &mut done);
                    done.push((*hir).clone());
                }
            }
            all = parts.into_iter().map(|(_, rest)| rest).collect();
            continue;
        }
        flush(&mut text, &mut done);
        // The compiler makes a tree of texts by itself.
        let plain = all.iter().all(Rest::is_text);
        done.push(Hir::alternation(if plain || partings == 0 {
            all.iter().map(Rest::written).collect()
        } else {
            alike(&all, &parts).into_iter().map(|group| together_of(group, partings - 1)).collect()
        }));
        break;
    }
    flush(&mut text, &mut done);
    Hir::concat(done)
}

/// Those that go on alike, together.
fn alike<'a>(all: &[Rest<'a>], parts: &[(Part<'a>, Rest<'a>)]) -> Vec<Vec<Rest<'a>>> {
    let mut groups: Vec<Vec<Rest<'a>>> = Vec::new();
    let mut known = HashMap::new();
    for (rest, (part, _)) in all.iter().zip(parts) {
        let at = *known.entry(part.key()).or_insert(groups.len());
        match groups.get_mut(at) {
            Some(group) => group.push(*rest),
            None => groups.push(vec![*rest]),
        }
    }
    groups
}

fn flush(text: &mut Vec<u8>, done: &mut Vec<Hir>) {
    if !text.is_empty() {
        done.push(Hir::literal(std::mem::take(text)));
    }
}

impl<'a> Rest<'a> {
    fn new(hir: &'a Hir) -> Self {
        let parts = match hir.kind() {
            HirKind::Concat(parts) => parts.as_slice(),
            HirKind::Empty => &[],
            HirKind::Literal(_)
            | HirKind::Class(_)
            | HirKind::Look(_)
            | HirKind::Repetition(_)
            | HirKind::Capture(_)
            | HirKind::Alternation(_) => std::slice::from_ref(hir),
        };
        Self { parts, taken: 0 }
    }

    /// What it begins with, and what is left then.
    fn split(&self) -> Option<(Part<'a>, Self)> {
        let (first, others) = self.parts.split_first()?;
        let HirKind::Literal(text) = first.kind() else {
            return Some((Part::Whole(first), Self { parts: others, taken: 0 }));
        };
        let byte = *text.0.get(self.taken)?;
        let taken = self.taken + 1;
        let whole = taken == text.0.len();
        let rest = if whole { Self { parts: others, taken: 0 } } else { Self { taken, ..*self } };
        Some((Part::Byte(byte), rest))
    }

    fn is_text(&self) -> bool {
        matches!(self.parts, [only] if matches!(only.kind(), HirKind::Literal(_)))
    }

    fn written(&self) -> Hir {
        let mut parts = self.parts.to_vec();
        if let Some(first) = parts.first_mut()
            && let HirKind::Literal(text) = first.kind()
        {
            *first = Hir::literal(text.0.get(self.taken..).unwrap_or_default().to_vec());
        }
        Hir::concat(parts)
    }
}

impl Part<'_> {
    fn key(&self) -> Key {
        match self {
            Self::Byte(byte) => Key::Byte(*byte),
            Self::Whole(hir) => Key::Whole(hir.to_string()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn factored(sources: &[&str]) -> String {
        let all: Vec<Hir> = sources.iter().map(|source| regex_syntax::parse(source).unwrap()).collect();
        together(&all).to_string()
    }

    fn same(sources: &[&str], one: &str) {
        assert_eq!(factored(sources), regex_syntax::parse(one).unwrap().to_string(), "{sources:?}");
    }

    #[test]
    fn what_several_begin_with_stands_once() {
        same(&["secret.{0,30}plan1x", "secret.{0,30}plan2x"], "secret.{0,30}plan(?:1x|2x)");
        same(&["ab[cd]e", "ab[cd]f+", "abx"], "ab(?:[cd](?:e|f+)|x)");
        same(&["ab[cd]|x", "ab[cd]e|ay"], "(?:a(?:b[cd]|y)|x)");
        same(&["ab"], "ab");
        same(&[r"\bab+", r"\bac+"], r"\b(?:a(?:b+|c+))");
    }

    #[test]
    fn what_ends_first_is_all_that_is_looked_for() {
        same(&["abc", "ab", "abd+"], "ab");
        same(&["a.b", "a.bc*", "x"], "(?:a.b|x)");
    }

    #[test]
    fn no_expression_is_too_deep() {
        let all: Vec<Hir> =
            (1..3000).map(|n| regex_syntax::parse(&format!("{}[xy]", "a".repeat(n))).unwrap()).collect();
        assert!(together(&all).properties().minimum_len() == Some(2));
    }
}
