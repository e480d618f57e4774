//! Where a value stands that was found wanting outside of this room: a secret that cannot be read, an address
//! that is taken, a field that only a start can change.

use super::complaint::{Complaints, File, Mark};
use super::raw::{Node, Value};
use super::{Source, at, yaml};

/// One step of the way from the top of a file to a value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    Field(String),
    Item(usize),
}

/// The way to a value: `pools`, `demo`, `backends`, 0, `url`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Way(Vec<Step>);

impl Way {
    /// The way to a top-level field.
    pub fn to(field: &str) -> Self {
        Self::default().field(field)
    }

    /// On to a field.
    #[must_use]
    pub fn field(mut self, name: &str) -> Self {
        self.0.push(Step::Field(name.to_owned()));
        self
    }

    /// On to an item of a list.
    #[must_use]
    pub fn item(mut self, index: usize) -> Self {
        self.0.push(Step::Item(index));
        self
    }
}

impl std::fmt::Display for Way {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut text = String::new();
        for step in &self.0 {
            match step {
                Step::Field(name) => at::push_field(&mut text, name),
                Step::Item(index) => text.push_str(&format!("[{index}]")),
            }
        }
        f.write_str(if text.is_empty() { "whole file" } else { &text })
    }
}

/// What is wrong with a value, found where files, sockets and the environment are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    pub way: Way,
    pub wrong: String,
    pub mend: String,
    pub weight: Weight,
}

/// How much a fault matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Weight {
    /// The configuration cannot run.
    Obstacle,
    /// It cannot run in this environment; the daemon's may be another.
    Elsewhere,
    /// It runs, and is unwise.
    Unwise,
}

impl Fault {
    /// Something that keeps a configuration from running.
    pub fn obstacle(way: Way, wrong: impl Into<String>, mend: impl Into<String>) -> Self {
        Self { way, wrong: wrong.into(), mend: mend.into(), weight: Weight::Obstacle }
    }
}

/// Faults as complaints, each with its place in the files that the configuration was read from.
pub fn located(sources: &[Source], faults: &[Fault]) -> Complaints {
    let mut out = Complaints::default();
    let mut unsaid = Complaints::default();
    let trees: Vec<_> = sources
        .iter()
        .enumerate()
        .map(|(order, source)| {
            let file = File { order, name: &source.name };
            (file, yaml::tree(file, &source.text, &mut unsaid).ok())
        })
        .collect();
    for fault in faults {
        let found = trees.iter().filter_map(|(file, tree)| Some((*file, walk(tree.as_ref()?, &fault.way))));
        // The file that has most of the way; of those, the first.
        let best = found.reduce(|best, other| if other.1.0 > best.1.0 { other } else { best });
        let first = File { order: 0, name: sources.first().map_or("", |source| &source.name) };
        let (file, (_, mark)) = best.unwrap_or((first, (0, Mark::TOP)));
        out.add(file, mark, &fault.way, &*fault.wrong, &*fault.mend);
    }
    out.sorted()
}

/// How far a tree goes along a way, and where that is.
fn walk(root: &Node, way: &Way) -> (usize, Mark) {
    let mut here = root;
    for (steps, step) in way.0.iter().enumerate() {
        let next = match (step, &here.value) {
            (Step::Field(name), Value::Map(entries)) => {
                entries.iter().find(|entry| *entry.key.text == **name).map(|entry| &entry.node)
            }
            (Step::Item(index), Value::List(items)) => items.get(*index),
            // One that is written without its list.
            (Step::Item(0), Value::Scalar(_) | Value::Map(_)) => Some(here),
            (Step::Field(_) | Step::Item(_), _) => None,
        };
        match next {
            Some(next) => here = next,
            None => return (steps, here.mark),
        }
    }
    (way.0.len(), here.mark)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(name: &str, text: &str) -> Source {
        Source { name: name.to_owned(), text: text.to_owned() }
    }

    #[test]
    fn a_fault_is_placed_where_its_value_stands_in_whichever_file() {
        let sources = [
            source(
                "a.yaml",
                "server:\n  listen: 127.0.0.1:1\npools:\n  p:\n    backends:\n      - { key: x }\n",
            ),
            source("b.yaml", "tenants:\n  acme:\n    keys: {}\n"),
        ];
        let place = |way: Way| located(&sources, &[Fault::obstacle(way, "w", "m")]).to_string();
        assert_eq!(place(Way::to("server").field("listen")), "a.yaml:2:11: server.listen: w; m");
        assert_eq!(
            place(Way::to("pools").field("p").field("backends").item(0).field("key")),
            "a.yaml:6:16: pools.p.backends[0].key: w; m"
        );
        assert_eq!(place(Way::to("server").field("listen").item(0)), "a.yaml:2:11: server.listen[0]: w; m");
        assert_eq!(
            place(Way::to("tenants").field("acme").field("keys")),
            "b.yaml:3:11: tenants.acme.keys: w; m"
        );
        assert_eq!(place(Way::to("server").field("threads")), "a.yaml:2:3: server.threads: w; m");
        assert_eq!(place(Way::to("limits_store")), "a.yaml:1:1: limits_store: w; m");
    }
}
