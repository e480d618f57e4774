//! Looks at one answer with the patterns of a policy.

use std::sync::Arc;

use super::escape::unescaped;
use super::flow::{Flow, Found};
use super::matcher::Matcher;
use super::work::Work;
use crate::wire::sieve::{Judge, Part, Sieve, Verdict, Writing};

/// So many texts of one answer are followed at a time; an answer of more is none.
const MAX_TEXTS: usize = 1024;

/// An answer that is looked at.
#[derive(Debug)]
pub(super) struct Screen {
    matcher: Arc<Matcher>,
    flows: Vec<((u64, Part), Flow)>,
}

/// A whole answer that is looked at as far as that is soon done.
#[derive(Debug)]
pub struct Glance {
    matcher: Arc<Matcher>,
    /// So many bytes are still read at once.
    bytes: usize,
    work: Work,
    put_off: Vec<(Writing, String)>,
}

/// The texts of an answer that have not been looked at.
#[derive(Debug)]
pub struct PutOff {
    matcher: Arc<Matcher>,
    texts: Vec<(Writing, String)>,
}

impl Glance {
    pub(super) fn new(matcher: Arc<Matcher>, bytes: usize, work: Work) -> Self {
        Self { matcher, bytes, work, put_off: Vec::new() }
    }

    /// What was put off, if anything was: until it has been looked at, clean is no more than the rest.
    pub fn put_off(self) -> Option<PutOff> {
        let Self { matcher, put_off: texts, .. } = self;
        if texts.is_empty() { None } else { Some(PutOff { matcher, texts }) }
    }

    fn soon(&mut self, writing: Writing, text: &str) -> Option<bool> {
        self.bytes = self.bytes.checked_sub(text.len())?;
        found(&self.matcher, writing, text, &mut self.work)
    }
}

impl Judge for Glance {
    /// Clean is also what it keeps for later.
    fn whole(&mut self, writing: Writing, text: &str) -> Verdict {
        match self.soon(writing, text) {
            Some(true) => Verdict::Forbidden,
            Some(false) => Verdict::Clean,
            None => {
                self.put_off.push((writing, text.to_owned()));
                Verdict::Clean
            }
        }
    }
}

impl PutOff {
    /// How much there is to be read, in bytes.
    pub fn bytes(&self) -> usize {
        self.texts.iter().map(|(_, text)| text.len()).sum()
    }

    /// Whether any of it is forbidden: `None` when that takes more work, or when it is to stop.
    pub fn forbids_within(&self, mut work: Work) -> Option<bool> {
        for (writing, text) in &self.texts {
            if found(&self.matcher, *writing, text, &mut work)? {
                return Some(true);
            }
        }
        Some(false)
    }

    /// Whether any of it is forbidden, whatever work that takes.
    pub fn forbids(&self) -> bool {
        // This work has no end, so there is an answer.
        self.forbids_within(Work::ENDLESS).unwrap_or(true)
    }
}

fn found(matcher: &Matcher, writing: Writing, text: &str, work: &mut Work) -> Option<bool> {
    match writing {
        Writing::Plain => matcher.finds_within(text, work),
        Writing::Json => matcher.finds_within(&unescaped(text), work),
    }
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

impl Judge for Screen {
    fn whole(&mut self, writing: Writing, text: &str) -> Verdict {
        // This work has no end, so there is an answer.
        let found = found(&self.matcher, writing, text, &mut { Work::ENDLESS }).unwrap_or(true);
        if found { Verdict::Forbidden } else { Verdict::Clean }
    }
}

impl Sieve for Screen {
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
