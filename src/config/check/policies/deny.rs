//! The `deny:` of a policy: regular expressions, words, and files of words.

use super::super::path::file;
use crate::config::at::{At, every};
use crate::config::complaint::{Complaints, Told};
use crate::config::form::{Field, Form, may};
use crate::config::plan::{Answers, DenyPlan};
use crate::config::raw::Value;
use crate::rules::content::{Flaw, MAX_SIZE, Pattern};

/// More expressions and words than this in one policy are more likely a slip.
const MAX_ITEMS: usize = 100_000;
const MEND: &str = "write a regular expression, { words: [...] } or { words_file: PATH }";

/// Reads the list, and every pattern in it, so that one that cannot be used is told with its place.
pub(super) fn deny(at: &At<'_>, answers: Answers, out: &mut Complaints) -> Result<Vec<DenyPlan>, Told> {
    let mut load = Load::default();
    let read = every(at.items(out)?.map(|at| item(&at, answers, &mut load, out)));
    if load.items > MAX_ITEMS {
        let wrong = format!("has more than {MAX_ITEMS} expressions and words");
        return Err(at.complain(out, wrong, "write longer lists into several policies"));
    }
    if load.size > MAX_SIZE {
        let wrong = format!("takes more than {} MiB when it is compiled", MAX_SIZE / 1024 / 1024);
        return Err(at.complain(out, wrong, "lower the counts of its expressions, or leave some out"));
    }
    read
}

/// Words as a list, or in a file.
const WORDS: &[Field] = &[
    may("words", Form::List(&Form::Text, 1), "or phrases"),
    may("words_file", Form::Text, "the path of a file with one a line"),
];
/// An item of the list.
pub(in crate::config::check) const FORM: Form = Form::Either(&[Form::Text, Form::OneOf(WORDS)]);

/// What all items come to.
#[derive(Default)]
struct Load {
    items: usize,
    /// Compiled, in bytes.
    size: usize,
}

fn item(at: &At<'_>, answers: Answers, load: &mut Load, out: &mut Complaints) -> Result<DenyPlan, Told> {
    if !matches!(at.value(), Value::Map(_)) {
        let Value::Scalar(_) = at.value() else {
            return Err(at.unlike(at.value(), "a regular expression or a map", MEND, out));
        };
        let source = at.text(out)?;
        let read = Pattern::regex(source).and_then(|pattern| {
            match answers {
                Answers::Screened => pattern.bounded()?,
                Answers::Free => {}
            }
            Ok(pattern)
        });
        enter(at, read, load, out)?;
        return Ok(DenyPlan::Regex(source.to_owned()));
    }
    let fields = at.fields(WORDS, out)?;
    match (fields.get("words"), fields.get("words_file")) {
        (Some(at), None) => words(&at, load, out).map(DenyPlan::Words),
        (None, Some(at)) => file(&at, "/etc/byname/words.txt", out).map(DenyPlan::WordsFile),
        (None, None) => fields.need("words", MEND, out).map(|_| DenyPlan::Words(Vec::new())),
        (Some(_), Some(_)) => Err(at.complain(out, "has both words and a file of them", "write two items")),
    }
}

fn words(at: &At<'_>, load: &mut Load, out: &mut Complaints) -> Result<Vec<String>, Told> {
    let items = at.items(out)?;
    if items.len() == 0 {
        return Err(at.complain(out, "is empty", "write at least one word"));
    }
    every(items.map(|at| {
        let word = at.text(out)?;
        enter(&at, Pattern::word(word), load, out)?;
        Ok(word.to_owned())
    }))
}

fn enter(
    at: &At<'_>,
    read: Result<Pattern, Flaw>,
    load: &mut Load,
    out: &mut Complaints,
) -> Result<(), Told> {
    let pattern = read.map_err(|Flaw { wrong, mend }| at.complain(out, wrong, mend))?;
    load.items += 1;
    load.size = load.size.saturating_add(pattern.size());
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::at::tests::{complaint, reading};

    fn free(at: &At<'_>, out: &mut Complaints) -> Result<Vec<DenyPlan>, Told> {
        deny(at, Answers::Free, out)
    }

    fn screened(at: &At<'_>, out: &mut Complaints) -> Result<Vec<DenyPlan>, Told> {
        deny(at, Answers::Screened, out)
    }

    #[test]
    fn expressions_words_and_files_stand_in_one_list() {
        let text = "[ 'a+b', { words: [ one, 'two three' ] }, { words_file: words.txt } ]";
        let expected = vec![
            DenyPlan::Regex("a+b".to_owned()),
            DenyPlan::Words(vec!["one".to_owned(), "two three".to_owned()]),
            DenyPlan::WordsFile("words.txt".into()),
        ];
        assert_eq!(reading(text, free), Ok(expected));
        assert_eq!(reading("[]", screened), Ok(Vec::new()));
    }

    #[test]
    fn each_pattern_that_cannot_be_used_is_told_with_its_place() {
        let told = complaint("[ 'a(', b*, { words: [ '', c ] }, { words_file: '' }, 'ok' ]", free);
        let places: Vec<_> = told.lines().map(|line| line.split(": ").next().unwrap()).collect();
        assert_eq!(places, ["t:1:3", "t:1:9", "t:1:24", "t:1:49"], "{told}");
        for bad in [
            "[ 42 ]",
            "[ [a] ]",
            "[ ~ ]",
            "[ {} ]",
            "[ { words: [] } ]",
            "[ { words: a } ]",
            "a",
            "[ { word: [a] } ]",
        ] {
            assert!(reading(bad, free).is_err(), "{bad}");
        }
        assert_eq!(
            complaint("[ { words: [a], words_file: b } ]", free),
            "t:1:3: [0]: has both words and a file of them; write two items"
        );
    }

    #[test]
    fn what_is_held_back_for_has_an_end() {
        assert!(reading("[ 'foo.*bar' ]", free).is_ok());
        assert_eq!(
            complaint("[ 'foo.*bar' ]", screened),
            "t:1:3: [0]: matches texts of any length, and under on_response text is held back until a match can \
             be ruled out; write {0,40} for * and {1,40} for +"
        );
        assert!(reading("[ 'foo.{0,40}bar', { words: [a] } ]", screened).is_ok());
    }

    #[test]
    fn a_list_has_its_bounds() {
        let many = |count: usize| format!("[ {{ words: [ {} ] }} ]", "a,".repeat(count));
        assert!(reading(&many(MAX_ITEMS), free).is_ok());
        assert!(
            complaint(&many(MAX_ITEMS + 1), free).starts_with("has more than 100000 expressions and words;")
        );
        let large = format!("[ {} ]", "'b.{0,500}e',".repeat(500));
        assert!(complaint(&large, free).starts_with("takes more than 64 MiB when it is compiled;"));
    }
}
