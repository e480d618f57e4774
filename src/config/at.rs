//! A value, and the way to it: what a decoder is handed.
//!
//! Every way to read a value either gives it or complains about it; the [`Told`] in the error is the
//! proof. A field that nobody asked for is refused, so that nothing is silently ignored.

use std::fmt;

use super::complaint::{Complaints, File, Mark, Told, nearest, quoted};
use super::form::Known;
use super::raw::{Entry, Kind, Node, Scalar, Style, Value};

/// The way from the top of a file to a value.
#[derive(Clone, Copy)]
pub(super) enum Path<'a> {
    File(File<'a>),
    Field(&'a Path<'a>, &'a str),
    Item(&'a Path<'a>, usize),
}

impl Path<'_> {
    fn file(&self) -> File<'_> {
        match self {
            Self::File(file) => *file,
            Self::Field(parent, _) | Self::Item(parent, _) => parent.file(),
        }
    }

    fn push_to(&self, text: &mut String) {
        match self {
            Self::File(_) => {}
            Self::Field(parent, name) => {
                parent.push_to(text);
                push_field(text, name);
            }
            Self::Item(parent, index) => {
                parent.push_to(text);
                text.push_str(&format!("[{index}]"));
            }
        }
    }
}

impl fmt::Display for Path<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = String::new();
        self.push_to(&mut text);
        f.write_str(if text.is_empty() { "whole file" } else { &text })
    }
}

/// Adds a field to a path; one that could be misread is put in quotes.
pub(super) fn push_field(path: &mut String, name: &str) {
    if !path.is_empty() {
        path.push('.');
    }
    let plain = |c: char| c.is_alphanumeric() || matches!(c, '_' | '-' | '/' | ':');
    if !name.is_empty() && name.chars().count() <= 64 && name.chars().all(plain) {
        path.push_str(name);
    } else {
        path.push_str(&quoted(name));
    }
}

/// A value and the way to it.
#[derive(Clone, Copy)]
pub(super) struct At<'a> {
    /// From the top of the file.
    pub(super) path: Path<'a>,
    node: &'a Node,
}

/// A named value of a map whose names are the operator's.
pub(super) struct Named<'a> {
    /// The name, as written.
    pub(super) name: &'a Scalar,
    /// Where the name stands.
    mark: Mark,
    /// What it names.
    pub(super) value: At<'a>,
}

/// What is said of a field that nobody knows.
#[derive(Clone, Copy)]
enum Strangers {
    Named,
    /// Its name may be a secret.
    Unnamed,
    Explained(Explain),
}

/// What is wrong with a field that is missing on purpose, and how to mend it.
pub(super) type Explain = fn(&str) -> Option<(&'static str, &'static str)>;

static NOTHING_WRITTEN: Node = Node { mark: Mark::TOP, value: Value::Map(Vec::new()) };

impl<'a> At<'a> {
    /// The top of a file.
    pub(super) fn top(file: File<'a>, node: &'a Node) -> Self {
        Self { path: Path::File(file), node }
    }

    /// Complains about this value.
    pub(super) fn complain(
        &self,
        out: &mut Complaints,
        wrong: impl Into<String>,
        mend: impl Into<String>,
    ) -> Told {
        out.add(self.path.file(), self.node.mark, &self.path, wrong, mend)
    }

    /// `file:line:column`, to name this place in a complaint about another one.
    pub(super) fn place(&self) -> String {
        let Mark { line, column } = self.node.mark;
        format!("{}:{line}:{column}", self.path.file().name)
    }

    /// The fields of a map; those that are not among `known` are complained about.
    pub(super) fn fields(&'a self, known: &[impl Known], out: &mut Complaints) -> Result<Fields<'a>, Told> {
        self.known_fields(known, Strangers::Named, out)
    }

    /// As [`At::fields`], where a secret may stand by mistake: `{ hunter2 }` is a map with that field.
    pub(super) fn fields_near_secret(
        &'a self,
        known: &[impl Known],
        out: &mut Complaints,
    ) -> Result<Fields<'a>, Told> {
        self.known_fields(known, Strangers::Unnamed, out)
    }

    /// As [`At::fields`]; some that do not exist get words of their own.
    pub(super) fn fields_explained(
        &'a self,
        known: &[impl Known],
        explain: Explain,
        out: &mut Complaints,
    ) -> Result<Fields<'a>, Told> {
        self.known_fields(known, Strangers::Explained(explain), out)
    }

    fn known_fields(
        &'a self,
        known: &[impl Known],
        strangers: Strangers,
        out: &mut Complaints,
    ) -> Result<Fields<'a>, Told> {
        let entries = self.map(out)?;
        let names = || known.iter().map(Known::name);
        let mut misspelt = Vec::new();
        for entry in entries.iter().filter(|entry| !names().any(|name| *name == *entry.key.text)) {
            let path = Path::Field(&self.path, &entry.key.text);
            let (file, mark) = (self.path.file(), entry.mark);
            if let Strangers::Explained(explain) = strangers
                && let Some((wrong, mend)) = explain(&entry.key.text)
            {
                out.add(file, mark, &path, wrong, mend);
                continue;
            }
            let mend = format!("known here: {}", names().collect::<Vec<_>>().join(", "));
            match (nearest(&entry.key.text, names()), strangers) {
                (Some(near), Strangers::Named | Strangers::Unnamed | Strangers::Explained(_)) => {
                    let mend = format!("did you mean '{near}'?");
                    misspelt.push((near, out.add(file, mark, &path, "there is no such field", mend)));
                }
                (None, Strangers::Named | Strangers::Explained(_)) => {
                    out.add(file, mark, &path, "there is no such field", mend);
                }
                (None, Strangers::Unnamed) => {
                    out.add(file, mark, &self.path, "there is no such field as the one written here", mend);
                }
            }
        }
        Ok(Fields { at: self, entries, misspelt })
    }

    /// The entries of a map whose names are the operator's.
    pub(super) fn named(
        &'a self,
        out: &mut Complaints,
    ) -> Result<impl ExactSizeIterator<Item = Named<'a>> + use<'a>, Told> {
        let entries = self.map(out)?;
        Ok(entries.iter().map(|entry| Named {
            name: &entry.key,
            mark: entry.mark,
            value: At { path: Path::Field(&self.path, &entry.key.text), node: &entry.node },
        }))
    }

    /// The items of a list.
    pub(super) fn items(
        &'a self,
        out: &mut Complaints,
    ) -> Result<impl ExactSizeIterator<Item = At<'a>> + use<'a>, Told> {
        match &self.node.value {
            Value::List(items) => Ok(items
                .iter()
                .enumerate()
                .map(|(index, node)| At { path: Path::Item(&self.path, index), node })),
            other => Err(self.unlike(other, "a list", "write `[a, b]`, or one line `- a` for each", out)),
        }
    }

    /// Text: not a number, not `true` or `false`, unless in quotes.
    pub(super) fn text(&self, out: &mut Complaints) -> Result<&'a str, Told> {
        match &self.node.value {
            Value::Scalar(scalar) if scalar.kind() == Kind::Text => Ok(&scalar.text),
            Value::Scalar(scalar) if scalar.kind() != Kind::Nothing => {
                let wrong = format!("must be text, not {}", self.node.value.described());
                Err(self.complain(out, wrong, "put it in quotes if it is meant as text"))
            }
            other => Err(self.unlike(other, "text", "write one piece of text", out)),
        }
    }

    /// A scalar of any kind but nothing; `due` and `mend` are for the complaint.
    pub(super) fn scalar(&self, due: &str, mend: &str, out: &mut Complaints) -> Result<&'a Scalar, Told> {
        match &self.node.value {
            Value::Scalar(scalar) if scalar.kind() != Kind::Nothing => Ok(scalar),
            other => Err(self.unlike(other, due, mend, out)),
        }
    }

    /// What kind of value it is.
    pub(super) fn value(&self) -> &'a Value {
        &self.node.value
    }

    /// Complains that the value is not of the kind that is due.
    pub(super) fn unlike(&self, value: &Value, due: &str, mend: &str, out: &mut Complaints) -> Told {
        match value {
            Value::Refused(told) => *told,
            Value::Scalar(scalar) if scalar.kind() == Kind::Nothing => {
                self.complain(out, "has no value", "write one, or remove the line")
            }
            Value::Scalar(_) | Value::List(_) | Value::Map(_) => {
                self.complain(out, format!("must be {due}, not {}", value.described()), mend)
            }
        }
    }

    fn map(&self, out: &mut Complaints) -> Result<&'a [Entry], Told> {
        match &self.node.value {
            Value::Map(entries) => Ok(entries),
            other => Err(self.unlike(other, "a map", "write `name: value` lines, indented", out)),
        }
    }
}

impl Named<'_> {
    /// Complains about the name.
    pub(super) fn complain(
        &self,
        out: &mut Complaints,
        wrong: impl Into<String>,
        mend: impl Into<String>,
    ) -> Told {
        out.add(self.value.path.file(), self.mark, &self.value.path, wrong, mend)
    }

    /// `file:line:column` of the name.
    pub(super) fn place(&self) -> String {
        format!("{}:{}:{}", self.value.path.file().name, self.mark.line, self.mark.column)
    }
}

/// The fields of a map.
pub(super) struct Fields<'a> {
    at: &'a At<'a>,
    entries: &'a [Entry],
    /// Fields that were meant by others that do not exist.
    misspelt: Vec<(&'static str, Told)>,
}

impl<'a> Fields<'a> {
    /// A field, if it was written.
    pub(super) fn get(&self, name: &'static str) -> Option<At<'a>> {
        let entry = self.entries.iter().find(|entry| &*entry.key.text == name)?;
        Some(At { path: Path::Field(&self.at.path, name), node: &entry.node })
    }

    /// A field that is a map of fields; an empty one stands for one that was not written.
    pub(super) fn section(&self, name: &'static str) -> At<'a> {
        let unwritten = At { path: Path::Field(&self.at.path, name), node: &NOTHING_WRITTEN };
        self.get(name).unwrap_or(unwritten)
    }

    /// Reads a field, or takes `default` when it was not written; a misspelt one was.
    pub(super) fn or<T>(
        &self,
        name: &'static str,
        default: T,
        out: &mut Complaints,
        read: impl FnOnce(&At<'_>, &mut Complaints) -> Result<T, Told>,
    ) -> Result<T, Told> {
        match self.get(name) {
            Some(at) => read(&at, out),
            None => self.misspelt(name).map_or(Ok(default), Err),
        }
    }

    /// A field that must be there; `mend` says what to write. One that is misspelt is not also missing.
    pub(super) fn need(&self, name: &'static str, mend: &str, out: &mut Complaints) -> Result<At<'a>, Told> {
        if let Some(at) = self.get(name) {
            return Ok(at);
        }
        if let Some(told) = self.misspelt(name) {
            return Err(told);
        }
        let path = Path::Field(&self.at.path, name);
        Err(out.add(self.at.path.file(), self.at.node.mark, &path, "is missing", mend))
    }

    /// That another field was meant by this name.
    fn misspelt(&self, name: &str) -> Option<Told> {
        self.misspelt.iter().find(|(meant, _)| *meant == name).map(|(_, told)| *told)
    }
}

/// One of a few words; `kind` says what they are.
pub(super) fn one_of<T: Copy>(
    at: &At<'_>,
    kind: &str,
    words: &[(&'static str, T)],
    out: &mut Complaints,
) -> Result<T, Told> {
    let text = at.text(out)?;
    if let Some((_, meant)) = words.iter().find(|(word, _)| *word == text) {
        return Ok(*meant);
    }
    let all = || words.iter().map(|(word, _)| *word);
    let mend = match nearest(text, all()) {
        Some(near) => format!("did you mean '{near}'?"),
        None => format!("known here: {}", all().collect::<Vec<_>>().join(", ")),
    };
    Err(at.complain(out, format!("there is no {kind} named {}", quoted(text)), mend))
}

/// `true` or `false`, and no other word for them.
pub(super) fn truth(at: &At<'_>, out: &mut Complaints) -> Result<bool, Told> {
    const MEND: &str = "write true or false, in small letters and without quotes";
    let scalar = at.scalar("true or false", MEND, out)?;
    match (scalar.style, &*scalar.text) {
        (Style::Plain, "true") => Ok(true),
        (Style::Plain, "false") => Ok(false),
        (Style::Plain | Style::Quoted, _) => Err(at.complain(out, "must be true or false", MEND)),
    }
}

/// All values, when every one could be read. Every one is read, so that every fault is told.
pub(super) fn every<T>(results: impl Iterator<Item = Result<T, Told>>) -> Result<Vec<T>, Told> {
    let read: Vec<_> = results.collect();
    read.into_iter().collect()
}

#[cfg(test)]
pub(super) mod tests {
    use super::super::yaml;
    use super::*;

    const FILE: File<'static> = File { order: 0, name: "t" };

    /// Reads a text that is one value.
    pub(in crate::config) fn reading<T>(
        text: &str,
        read: impl FnOnce(&At<'_>, &mut Complaints) -> Result<T, Told>,
    ) -> Result<T, Told> {
        let mut out = Complaints::default();
        let node = yaml::tree(FILE, text, &mut out)?;
        let result = read(&At::top(FILE, &node), &mut out);
        assert_eq!(result.is_ok(), out.is_empty(), "{text}: {out}");
        result
    }

    /// What is wrong with a text that is one value, and the mend.
    pub(in crate::config) fn complaint<T>(
        text: &str,
        read: impl FnOnce(&At<'_>, &mut Complaints) -> Result<T, Told>,
    ) -> String {
        let mut out = Complaints::default();
        let node = yaml::tree(FILE, text, &mut out).unwrap();
        assert!(read(&At::top(FILE, &node), &mut out).is_err());
        out.to_string().trim_start_matches("t:1:1: whole file: ").to_owned()
    }

    #[test]
    fn a_path_quotes_what_could_be_misread() {
        let mut path = String::new();
        for name in ["tenants", "a.b", "acme/large:v2", "two words", "日本", ""] {
            push_field(&mut path, name);
        }
        assert_eq!(path, "tenants.'a.b'.acme/large:v2.'two words'.日本.''");
    }

    #[test]
    fn an_unknown_field_names_the_nearest_or_all() {
        let read = |text: &str| {
            let mut out = Complaints::default();
            let node = yaml::tree(FILE, text, &mut out).unwrap();
            let _ = At::top(FILE, &node).fields(&["connect", "idle"], &mut out);
            out.to_string()
        };
        assert_eq!(read("{ conect: 1 }"), "t:1:3: conect: there is no such field; did you mean 'connect'?");
        assert_eq!(read("{ other: 1 }"), "t:1:3: other: there is no such field; known here: connect, idle");
    }

    #[test]
    fn a_field_that_is_missing_on_purpose_is_explained() {
        let explain: Explain = |name| (name == "verify").then_some(("is not there", "live without"));
        let read = |text: &str| complaint_of_fields(text, explain);
        assert_eq!(read("{ verify: 1 }"), "t:1:3: verify: is not there; live without");
        assert_eq!(read("{ cb: 1 }"), "t:1:3: cb: there is no such field; did you mean 'ca'?");
        assert_eq!(read("{ other: 1 }"), "t:1:3: other: there is no such field; known here: ca");
    }

    fn complaint_of_fields(text: &str, explain: Explain) -> String {
        let mut out = Complaints::default();
        let node = yaml::tree(FILE, text, &mut out).unwrap();
        let _ = At::top(FILE, &node).fields_explained(&["ca"], explain, &mut out);
        out.to_string()
    }

    #[test]
    fn a_misspelt_field_has_no_default() {
        let read = |at: &At<'_>, out: &mut Complaints| {
            at.fields(&["idle"], out)?.or("idle", 1, out, |at, out| at.text(out).map(str::len))
        };
        assert_eq!(reading("{}", read), Ok(1));
        assert_eq!(reading("{ idle: four }", read), Ok(4));
        assert_eq!(
            complaint("{ idel: four }", read),
            "t:1:3: idel: there is no such field; did you mean 'idle'?"
        );
    }

    #[test]
    fn a_word_is_one_of_those_that_are_known() {
        let read =
            |at: &At<'_>, out: &mut Complaints| one_of(at, "balance", &[("random", 1), ("hash", 2)], out);
        assert_eq!(reading("hash", read), Ok(2));
        assert_eq!(complaint("hahs", read), "there is no balance named 'hahs'; did you mean 'hash'?");
        assert_eq!(complaint("RANDOM", read), "there is no balance named 'RANDOM'; known here: random, hash");
        assert!(reading("1", read).is_err());
    }

    #[test]
    fn only_true_and_false_are_truth() {
        assert_eq!(reading("true", truth), Ok(true));
        assert_eq!(reading("false", truth), Ok(false));
        for text in ["yes", "no", "on", "True", "'true'", "1", "~", "[true]"] {
            assert!(reading(text, truth).is_err(), "{text}");
        }
    }

    #[test]
    fn text_is_not_a_number() {
        assert_eq!(reading("'42'", |at, out| at.text(out).map(str::to_owned)), Ok("42".to_owned()));
        assert_eq!(
            complaint("42", |at, out| at.text(out).map(str::to_owned)),
            "must be text, not a number; put it in quotes if it is meant as text"
        );
        assert_eq!(
            complaint("[~]", |at, out| every(at.items(out)?.map(|at| at.text(out).map(drop)))),
            "t:1:2: [0]: has no value; write one, or remove the line"
        );
    }

    #[test]
    fn every_fault_of_a_list_is_told() {
        let mut out = Complaints::default();
        let node = yaml::tree(FILE, "[1, a, 2]", &mut out).unwrap();
        let top = At::top(FILE, &node);
        let items = top.items(&mut out).unwrap();
        assert!(every(items.map(|at| at.text(&mut out))).is_err());
        assert_eq!(out.len(), 2);
    }
}
