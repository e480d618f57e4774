//! Looks at one answer with the patterns of a policy.

use std::sync::Arc;

use super::escape::unescaped;
use super::flow::{Flow, Found};
use super::matcher::Matcher;
use crate::wire::sieve::{Part, Sieve, Verdict, Writing};

/// So many texts of one answer are followed at a time; an answer of more is none.
const MAX_TEXTS: usize = 1024;

/// An answer that is looked at.
#[derive(Debug)]
pub(super) struct Screen {
    matcher: Arc<Matcher>,
    flows: Vec<((u64, Part), Flow)>,
}

impl Screen {
    pub(super) fn new(matcher: Arc<Matcher>) -> Self {
        Self { matcher, flows: Vec::new() }
    }
}

impl From<Found> for Verdict {
    fn from(found: Found) -> Self {
        match found {
            Found::Nothing => Self::Clean,
            Found::Match => Self::Forbidden,
        }
    }
}

impl Sieve for Screen {
    fn whole(&mut self, writing: Writing, text: &str) -> Verdict {
        let found = match writing {
            Writing::Plain => self.matcher.finds(text),
            Writing::Json => self.matcher.finds(&unescaped(text)),
        };
        if found { Verdict::Forbidden } else { Verdict::Clean }
    }

    fn piece(&mut self, choice: u64, part: Part, piece: &str, told: &mut String) -> Verdict {
        let key = (choice, part);
        let at = self.flows.iter().position(|(known, _)| *known == key).unwrap_or(self.flows.len());
        if at == self.flows.len() {
            if at == MAX_TEXTS {
                return Verdict::Forbidden;
            }
            self.flows.push((key, Flow::new(part.writing())));
        }
        match self.flows.get_mut(at) {
            Some((_, flow)) => flow.push(&self.matcher, piece, told).into(),
            None => Verdict::Forbidden,
        }
    }

    fn settle(&mut self, choice: u64, part: Part, told: &mut String) {
        let flow = self.flows.iter_mut().find(|(known, _)| *known == (choice, part));
        if let Some((_, flow)) = flow {
            flow.settle(&self.matcher, told);
        }
    }

    fn end(&mut self, choice: u64, told: &mut dyn FnMut(Part, &str)) -> Verdict {
        let mut rest = String::new();
        let mut verdict = Verdict::Clean;
        for ((_, part), flow) in self.flows.extract_if(.., |((of, _), _)| *of == choice) {
            if verdict == Verdict::Forbidden {
                continue;
            }
            rest.clear();
            verdict = flow.finish(&self.matcher, &mut rest).into();
            told(part, &rest);
        }
        verdict
    }
}
