//! Text to tree: the part of YAML 1.2 that a configuration needs, and nothing that could surprise.
//!
//! One document; no anchors, aliases, tags or merge keys, so that no short text can stand for a long
//! one; no key twice; bounded in depth and number of values. JSON is taken too, being YAML.

use std::collections::HashMap;

use granit_parser::{ErrorKind, Event, Marker, Parser, ScalarStyle, ScanError, options};

use super::MAX_TEXT;
use super::at::push_field;
use super::complaint::{Complaints, File, Mark, Told, quoted};
use super::raw::{Entry, Kind, Node, Scalar, Style, Value};

/// How deep values may be nested; our own fields need seven levels.
const MAX_DEPTH: usize = 64;
/// How many values a file may hold, names included: about 80,000 tenants with a key and an alias each.
const MAX_NODES: usize = 2_000_000;

/// Reads one file.
///
/// # Errors
/// When there is no whole tree to go on with. A tree may have been complained about all the same.
pub(super) fn tree(file: File<'_>, text: &str, out: &mut Complaints) -> Result<Node, Told> {
    if text.len() > MAX_TEXT {
        let wrong = format!("is larger than {} MiB", MAX_TEXT >> 20);
        return Err(out.add(file, Mark::TOP, &WHOLE, wrong, "split it into several files with `include:`"));
    }
    refuse_control_characters(file, text, out)?;
    let limits = options! {
        emit_comments: false,
        emit_unresolved_aliases: true,
        flow_nesting_limit: MAX_DEPTH,
        block_nesting_limit: MAX_DEPTH,
    };
    let mut builder = Builder { file, out, open: Vec::new(), nodes: 0, documents: 0, root: None };
    for event in Parser::new_from_str_with_options(text, limits) {
        match event {
            Ok((event, span)) => {
                let tag = span.tag_start().map(|tag| mark(&tag));
                builder.take(event, mark(&span.start), tag)?;
            }
            Err(error) => return Err(builder.broken(&error)),
        }
    }
    let Builder { out, root, .. } = builder;
    match root {
        Some(node) if is_nothing(&node) => None,
        root => root,
    }
    .ok_or_else(|| out.add(file, Mark::TOP, &WHOLE, "is empty", "write at least `pools:` and `tenants:`"))
}

fn is_nothing(node: &Node) -> bool {
    matches!(&node.value, Value::Scalar(scalar) if scalar.kind() == Kind::Nothing)
}

/// The path of a complaint about no field in particular.
const WHOLE: &str = "whole file";

/// The parser counts lines from 1 and columns from 0.
fn mark(marker: &Marker) -> Mark {
    Mark { line: marker.line().max(1), column: marker.col() + 1 }
}

/// Parsers disagree about what a NUL or an escape sequence means in a file; we mean nothing by it.
fn refuse_control_characters(file: File<'_>, text: &str, out: &mut Complaints) -> Result<(), Told> {
    let stray = |c: char| c.is_control() && !matches!(c, '\t' | '\n' | '\r' | '\u{85}');
    let Some((before, rest)) = text.find(stray).and_then(|at| text.split_at_checked(at)) else {
        return Ok(());
    };
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().unwrap_or(before).chars().count() + 1;
    let number = rest.chars().next().map_or(0, u32::from);
    let wrong = format!("holds a control character (U+{number:04X})");
    let mend = "remove it; in a double-quoted text it can be written as an escape";
    Err(out.add(file, Mark { line, column }, &WHOLE, wrong, mend))
}

/// A list or map that has not ended yet.
enum Open {
    List { mark: Mark, items: Vec<Node> },
    Map { mark: Mark, entries: Vec<Entry>, seen: HashMap<Box<str>, Mark>, key: Key },
}

/// What a map waits for.
enum Key {
    /// The next value is a key.
    Due,
    /// The next value belongs to this key.
    Given(Scalar, Mark),
    /// The next value belongs to a key that was refused.
    Dropped,
}

struct Builder<'a> {
    file: File<'a>,
    out: &'a mut Complaints,
    open: Vec<Open>,
    nodes: usize,
    documents: usize,
    root: Option<Node>,
}

impl Builder<'_> {
    /// Takes the next event.
    ///
    /// # Errors
    /// When reading on would make no sense.
    fn take(&mut self, event: Event<'_>, mark: Mark, tag: Option<Mark>) -> Result<(), Told> {
        let mut tagged = None;
        if event.is_node() {
            self.count(mark)?;
            if event.anchor_id().is_some() && !event.is_alias() {
                self.complain(mark, "an anchor (`&name`) is not taken here", "remove it");
            }
            if event.tag().is_some() {
                let wrong = "a tag (`!name`) is not taken here";
                tagged = Some(self.complain(tag.unwrap_or(mark), wrong, "remove it"));
            }
        }
        match event {
            Event::DocumentStart(_, version) => self.document(mark, version.map(|v| (v.major, v.minor))),
            Event::Scalar(text, style, _, _) => {
                let style = match style {
                    ScalarStyle::Plain => Style::Plain,
                    ScalarStyle::SingleQuoted | ScalarStyle::DoubleQuoted => Style::Quoted,
                    ScalarStyle::Literal | ScalarStyle::Folded => Style::Quoted,
                };
                let scalar = Value::Scalar(Scalar { text: text.into(), style });
                let value = tagged.map_or(scalar, Value::Refused);
                self.place(Node { mark, value });
                Ok(())
            }
            Event::Alias(_) | Event::UnresolvedAlias(_) => {
                let told = self.complain(mark, "an alias (`*name`) is not taken here", "write the value out");
                self.place(Node { mark, value: Value::Refused(told) });
                Ok(())
            }
            Event::SequenceStart(..) => self.descend(mark, Open::List { mark, items: Vec::new() }),
            Event::MappingStart(..) => {
                let open = Open::Map { mark, entries: Vec::new(), seen: HashMap::new(), key: Key::Due };
                self.descend(mark, open)
            }
            Event::SequenceEnd | Event::MappingEnd => {
                match self.open.pop() {
                    Some(Open::List { mark, items }) => self.place(Node { mark, value: Value::List(items) }),
                    Some(Open::Map { mark, entries, .. }) => {
                        self.place(Node { mark, value: Value::Map(entries) });
                    }
                    None => {}
                }
                Ok(())
            }
            // The parser's enum may grow; what it adds is presentation until it is a node, and nodes are above.
            _ => Ok(()),
        }
    }

    fn document(&mut self, mark: Mark, version: Option<(u32, u32)>) -> Result<(), Told> {
        self.documents += 1;
        if self.documents > 1 {
            let mend = "keep one; what stands in other files comes in with `include:`";
            return Err(self.complain(mark, "a second document starts here", mend));
        }
        match version {
            None | Some((1, 2)) => Ok(()),
            Some((major, minor)) => {
                let wrong = format!("says that it is YAML {major}.{minor}");
                Err(self.complain(mark, wrong, "remove the `%YAML` line; the file is read as YAML 1.2"))
            }
        }
    }

    fn count(&mut self, mark: Mark) -> Result<(), Told> {
        self.nodes += 1;
        if self.nodes <= MAX_NODES {
            return Ok(());
        }
        let wrong = format!("holds more than {MAX_NODES} values");
        Err(self.complain(mark, wrong, "split it into several files with `include:`"))
    }

    fn descend(&mut self, mark: Mark, open: Open) -> Result<(), Told> {
        if self.open.len() >= MAX_DEPTH {
            let wrong = format!("is nested more than {MAX_DEPTH} levels deep");
            return Err(self.complain(
                mark,
                wrong,
                "no field needs that; look for a slip in brackets or indentation",
            ));
        }
        self.open.push(open);
        Ok(())
    }

    /// Puts a finished value where it belongs.
    fn place(&mut self, node: Node) {
        let mark = node.mark;
        let refused = match self.open.last_mut() {
            None => {
                self.root = Some(node);
                None
            }
            Some(Open::List { items, .. }) => {
                items.push(node);
                None
            }
            Some(Open::Map { entries, seen, key, .. }) => match std::mem::replace(key, Key::Due) {
                Key::Dropped => None,
                Key::Given(key, mark) => {
                    // Nothing stands nowhere: what is wrong with it is shown at its key.
                    let mark_of_value = if is_nothing(&node) { mark } else { node.mark };
                    entries.push(Entry { key, mark, node: Node { mark: mark_of_value, ..node } });
                    None
                }
                Key::Due => {
                    let (next, refused) = new_key(node, seen);
                    *key = next;
                    refused
                }
            },
        };
        if let Some((wrong, mend)) = refused {
            self.complain(mark, wrong, mend);
        }
    }

    fn broken(&mut self, error: &ScanError) -> Told {
        let mend = match error.kind() {
            ErrorKind::TabNotAllowed
            | ErrorKind::TabInBlockIndentation
            | ErrorKind::TabInIndentation
            | ErrorKind::TabInPlainScalar
            | ErrorKind::TabAtBlockScalarStart => "indent with spaces",
            ErrorKind::UnclosedFlowCollection { .. }
            | ErrorKind::UnclosedQuotedScalar
            | ErrorKind::UnexpectedEof
            | ErrorKind::UnexpectedEofFlowSequence
            | ErrorKind::UnexpectedEofFlowMapping
            | ErrorKind::UnexpectedEofImplicitFlowMapping
            | ErrorKind::UnexpectedEofBlockSequence
            | ErrorKind::UnexpectedEofBlockMapping => "close it; is the file complete?",
            ErrorKind::RecursionLimitExceeded => {
                "no field needs that depth; look for a slip in brackets or indentation"
            }
            // The parser's list of faults is long and may grow.
            _ => "look for a slip in indentation, quotes or brackets here or just above",
        };
        self.complain(mark(error.marker()), format!("is not valid YAML: {}", error.kind()), mend)
    }

    fn complain(&mut self, mark: Mark, wrong: impl Into<String>, mend: &str) -> Told {
        let path = self.path();
        self.out.add(self.file, mark, &path, wrong, mend)
    }

    /// The way to the value that comes next, as far as it is known.
    fn path(&self) -> String {
        let mut path = String::new();
        for open in &self.open {
            match open {
                Open::List { items, .. } => path.push_str(&format!("[{}]", items.len())),
                Open::Map { key: Key::Given(name, _), .. } => push_field(&mut path, &name.text),
                Open::Map { key: Key::Due | Key::Dropped, .. } => {}
            }
        }
        if path.is_empty() { WHOLE.to_owned() } else { path }
    }
}

/// Judges what stands where a key is due: what the map waits for next, and what is wrong and its mend.
fn new_key(node: Node, seen: &mut HashMap<Box<str>, Mark>) -> (Key, Option<(String, &'static str)>) {
    let described = node.value.described();
    let name = match node.value {
        Value::Scalar(name) => name,
        Value::Refused(_) => return (Key::Dropped, None),
        Value::List(_) | Value::Map(_) => {
            return (
                Key::Dropped,
                Some((format!("a name is due here, not {described}"), "write `name: value`")),
            );
        }
    };
    if &*name.text == "<<" && name.style == Style::Plain {
        let wrong = "a merge key (`<<`) is not taken here".to_owned();
        return (Key::Dropped, Some((wrong, "write the fields out")));
    }
    match seen.get(&name.text) {
        Some(first) => {
            let wrong = format!("{} is written twice, first in line {}", quoted(&name.text), first.line);
            (Key::Dropped, Some((wrong, "keep one of them")))
        }
        None => {
            seen.insert(name.text.clone(), node.mark);
            (Key::Given(name, node.mark), None)
        }
    }
}

#[cfg(test)]
mod tests;
