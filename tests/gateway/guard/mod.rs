//! Who gets in, and what tenants have to do with each other: 36 cases of keys and 26 of tenancy, each with what is
//! expected and what was seen. `GUARD=AU-07,TN-11` runs only these rows.
//!
//! Where time is what an attacker would measure, both ways are timed in turn and Welch's t is printed. Nothing is
//! asserted of it: a test that does would fail for a busy machine. `SAMPLES=20000` takes as many.

mod auth; // keys: how they are written, what they may, when they end
mod keys; // keys that do not work any more
mod loops; // tool calls in turns, as the official clients make them
mod nonces; // whose words come back
mod shapes; // one shape whoever answers
mod stacks; // two stacks that must not be told apart
mod tenancy; // tenants beside each other
mod timing; // what a clock could tell
mod tool_ids; // ids that lead back

use std::io::Write;
use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::kit::client::Response;

/// A case: what is done says what was seen.
pub struct Row {
    id: &'static str,
    what: &'static str,
    expected: &'static str,
    run: Box<dyn FnOnce() -> String>,
    /// What the reader should know: that something is not here, or is only told.
    note: &'static str,
}

/// A row of a table.
pub fn row(
    id: &'static str,
    what: &'static str,
    expected: &'static str,
    run: impl FnOnce() -> String + 'static,
) -> Row {
    Row { id, what, expected, run: Box::new(run), note: "" }
}

impl Row {
    /// Adds what the reader should know.
    pub fn note(mut self, note: &'static str) -> Self {
        self.note = note;
        self
    }
}

/// Past the harness, which keeps back what a test that passes prints.
pub fn tell(text: &str) {
    std::io::stdout().write_all(text.as_bytes()).expect("the output is open");
}

/// Runs and prints all; panics when a row is wrong or one of so many is missing.
fn table(prefix: &str, count: usize, rows: Vec<Row>) {
    let ids: Vec<_> = rows.iter().map(|row| row.id.to_owned()).collect();
    assert_eq!(ids, (1..=count).map(|number| format!("{prefix}-{number:02}")).collect::<Vec<_>>());
    let only = std::env::var("GUARD").unwrap_or_default();
    let (mut text, mut wrong, mut ran) = (String::from("\n"), Vec::new(), 0);
    for Row { id, what, expected, run, note } in rows {
        if !only.is_empty() && !only.split(',').any(|one| one == id) {
            continue;
        }
        ran += 1;
        let seen = catch_unwind(AssertUnwindSafe(run)).unwrap_or_else(|panic| {
            let words = panic.downcast_ref::<String>().map(String::as_str);
            format!("panicked: {}", words.or(panic.downcast_ref::<&str>().copied()).unwrap_or_default())
        });
        // What is told behind a bar is not expected to be this or that.
        let is_right = seen.split(" | ").next() == Some(expected);
        let mark = if is_right { "ok" } else { "WRONG" };
        text += &format!("{id} {mark:<5} {what}: {seen}\n");
        if !is_right {
            text += &format!("            expected: {expected}\n");
            wrong.push(id);
        }
        if !note.is_empty() {
            text += &format!("            note: {note}\n");
        }
    }
    text += &format!("{} of {ran} rows are right\n", ran - wrong.len());
    tell(&text);
    assert!(wrong.is_empty(), "wrong: {wrong:?}");
}

/// Status and code.
fn told(answer: &Response) -> String {
    let json: serde_json::Value = serde_json::from_slice(&answer.body).unwrap_or_default();
    match json["error"]["code"].as_str() {
        Some(code) => format!("{} {code}", answer.status),
        None => answer.status.to_string(),
    }
}

/// An answer without what differs between any two: its id and its date.
fn plain(answer: &Response) -> String {
    let text = answer.everything();
    let differs = |line: &&str| {
        let line = line.to_ascii_lowercase();
        !line.starts_with("x-request-id:") && !line.starts_with("date:")
    };
    text.lines().filter(differs).collect::<Vec<_>>().join("\n")
}

/// The same thing so often: `4 of 4` when all are as they should be, and the first that is not.
fn each<T>(all: impl IntoIterator<Item = T>, mut good: impl FnMut(T) -> Result<(), String>) -> String {
    let (mut count, mut right, mut first) = (0, 0, None);
    for one in all {
        count += 1;
        match good(one) {
            Ok(()) => right += 1,
            Err(why) => {
                first.get_or_insert(why);
            }
        }
    }
    match first {
        None => format!("all of {count}"),
        Some(first) => format!("{right} of {count}, first {first}"),
    }
}
