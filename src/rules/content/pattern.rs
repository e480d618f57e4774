//! One thing that a policy forbids: a word, or a regular expression, read as the texts are that it is matched
//! against.
//!
//! Promises that what it takes can be matched in linear time and in memory that is known when it is read.

mod blank;
mod class;
mod dead;
mod meet;

use regex_automata::nfa::thompson::{Compiler, NFA, WhichCaptures};
use regex_syntax::ParserBuilder;
use regex_syntax::hir::{Class, Hir, HirKind, Look, Repetition};

use self::class::folded_class;
use super::fold::fold;

/// The longest source of a regular expression, in bytes.
const MAX_SOURCE: usize = 4 * 1024;
/// How deep its parts may nest.
const MAX_NEST: u32 = 100;
/// The longest word or phrase, in characters.
const MAX_WORD: usize = 256;
/// The largest automaton of one regular expression, in bytes.
const MAX_AUTOMATON: usize = 1024 * 1024;
/// The longest text that a pattern may match where text is held back for it, in bytes of UTF-8 when folded.
pub(super) const MAX_MATCH: usize = 4 * 1024;

/// What is wrong with a pattern, and how to mend it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Flaw {
    pub wrong: String,
    pub mend: String,
}

impl Flaw {
    pub(super) fn new(wrong: impl Into<String>, mend: impl Into<String>) -> Self {
        Self { wrong: wrong.into(), mend: mend.into() }
    }
}

/// Something that is forbidden.
#[derive(Debug, Clone)]
pub struct Pattern(pub(super) Kind);

#[derive(Debug, Clone)]
pub(super) enum Kind {
    /// A folded text that must be found between the edges of words.
    Word(String),
    /// A folded text that is found anywhere.
    Text(String),
    Regex {
        hir: Hir,
        /// How much memory its automaton takes, in bytes.
        size: usize,
    },
}

impl Pattern {
    /// Reads a word or a phrase.
    ///
    /// # Errors
    /// It says nothing, or is too long.
    pub fn word(source: &str) -> Result<Self, Flaw> {
        let folded = fold(source);
        let word = folded.trim();
        if word.is_empty() {
            return Err(Flaw::new("says nothing", "write a word or a phrase, or remove it"));
        }
        if word.chars().nth(MAX_WORD).is_some() {
            return Err(Flaw::new(
                format!("is longer than {MAX_WORD} characters"),
                "write the part of it that tells it from other texts",
            ));
        }
        Ok(Self(Kind::Word(word.to_owned())))
    }

    /// Reads a regular expression.
    ///
    /// # Errors
    /// It is none, matches every text or can match none, or is too large.
    pub fn regex(source: &str) -> Result<Self, Flaw> {
        if source.len() > MAX_SOURCE {
            let wrong = format!("is longer than {MAX_SOURCE} bytes");
            return Err(Flaw::new(wrong, "write several expressions, or a list of words"));
        }
        let parsed = parse(source)?;
        if parsed.properties().look_set().iter().any(is_of_lines) {
            return Err(Flaw::new(
                "asks where a line begins or ends, and text is matched as one line",
                "write ^ and $ without (?m), for the whole text, or \\b for where words begin and end",
            ));
        }
        let hir = folded(&parsed);
        if hir.properties().minimum_len().unwrap_or(0) == 0 {
            let mend = "write what must be there at least, such as a+ and not a*";
            return Err(Flaw::new("matches where there is nothing, and so every text", mend));
        }
        if let HirKind::Literal(text) = hir.kind()
            && let Ok(text) = std::str::from_utf8(&text.0)
        {
            return Ok(Self(Kind::Text(text.to_owned())));
        }
        let hir = meet::joined(hir);
        let automaton = automaton(&hir)?;
        if dead::is_dead(&automaton) {
            return Err(Flaw::new(
                "can never match: text is matched in small letters, with one blank for any white space",
                "let no two blanks follow each other, and write ^ and $ at its ends alone",
            ));
        }
        let size = automaton.memory_usage();
        Ok(Self(Kind::Regex { hir, size }))
    }

    /// How much memory it takes, about, in bytes.
    pub fn size(&self) -> usize {
        // The automaton that finds all beginnings at once has some nodes of every text.
        const NODES: usize = 16;
        match &self.0 {
            Kind::Word(text) | Kind::Text(text) => text.len() * NODES,
            Kind::Regex { size, .. } => size_of::<NFA>() + size,
        }
    }

    /// Whether text can be held back for it.
    ///
    /// # Errors
    /// What it matches has no bound, or too high a one.
    pub fn bounded(&self) -> Result<(), Flaw> {
        let longest = match &self.0 {
            Kind::Word(_) | Kind::Text(_) => return Ok(()),
            Kind::Regex { hir, .. } => hir.properties().maximum_len(),
        };
        match longest {
            Some(longest) if longest <= MAX_MATCH => Ok(()),
            Some(longest) => Err(Flaw::new(
                format!(
                    "matches up to {longest} bytes, and under on_response no more than {MAX_MATCH} can be held back"
                ),
                "lower the counts of what repeats",
            )),
            None => Err(Flaw::new(
                "matches texts of any length, and under on_response text is held back until a match can be ruled out",
                "write {0,40} for * and {1,40} for +",
            )),
        }
    }
}

fn is_of_lines(look: Look) -> bool {
    matches!(look, Look::StartLF | Look::EndLF | Look::StartCRLF | Look::EndCRLF)
}

fn parse(source: &str) -> Result<Hir, Flaw> {
    let mut parser = ParserBuilder::new().case_insensitive(true).nest_limit(MAX_NEST).build();
    parser.parse(source).map_err(|why| {
        let (why, column) = match &why {
            regex_syntax::Error::Parse(why) => (why.kind().to_string(), why.span().start.column),
            regex_syntax::Error::Translate(why) => (why.kind().to_string(), why.span().start.column),
            _ => (why.to_string(), 1),
        };
        // The library's words are one line but for its last resort.
        let why: String = why.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
        Flaw::new(
            format!("is no regular expression that can be used: {why}, at its character {column}"),
            "mend it, or write it into { words: [...] } if it is meant as plain text",
        )
    })
}

fn automaton(hir: &Hir) -> Result<NFA, Flaw> {
    let config =
        NFA::config().which_captures(WhichCaptures::None).nfa_size_limit(Some(MAX_AUTOMATON)).shrink(false);
    Compiler::new().configure(config).build_from_hir(hir).map_err(|_| {
        Flaw::new(
            format!("takes more than {} KiB when it is compiled", MAX_AUTOMATON / 1024),
            "lower its counts, or write [a-z0-9] where \\w or . is more than is meant",
        )
    })
}

/// The same expression for folded texts.
fn folded(hir: &Hir) -> Hir {
    match hir.kind() {
        HirKind::Empty => Hir::empty(),
        HirKind::Look(look) => Hir::look(*look),
        HirKind::Literal(literal) => match std::str::from_utf8(&literal.0) {
            Ok(text) => Hir::literal(fold(text).into_bytes()),
            // The parser is told to keep to UTF-8.
            Err(_) => Hir::fail(),
        },
        HirKind::Class(Class::Unicode(class)) => folded_class(class),
        HirKind::Class(Class::Bytes(class)) => match class.to_unicode_class() {
            Some(class) => folded_class(&class),
            None => Hir::fail(),
        },
        HirKind::Repetition(repetition) => {
            let sub = Box::new(folded(&repetition.sub));
            blank::repetition(Repetition { sub, ..repetition.clone() })
        }
        HirKind::Capture(capture) => folded(&capture.sub),
        HirKind::Concat(parts) => blank::concat(parts.iter().map(folded).collect()),
        HirKind::Alternation(parts) => blank::alternation(parts.iter().map(folded).collect()),
    }
}

#[cfg(test)]
mod tests;
