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

use crate::kit::client::Response;
use crate::kit::table::{Only, Row, ids, judge};

/// What is done says what was seen. What it says behind a bar is told, and not expected to be this or that.
pub struct Case {
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
) -> Case {
    Case { id, what, expected, run: Box::new(run), note: "" }
}

impl Case {
    /// Adds what the reader should know.
    pub fn note(mut self, note: &'static str) -> Self {
        self.note = note;
        self
    }

    fn run(self) -> Row {
        let row = Row::of(self.id, self.what, self.run).expecting(self.expected);
        let seen = row.seen.clone().unwrap_or_default();
        match seen.split_once(" | ") {
            Some((seen, aside)) => {
                Row { seen: Ok(seen.to_owned()), aside: aside.to_owned(), note: self.note.to_owned(), ..row }
            }
            None => Row { note: self.note.to_owned(), ..row },
        }
    }
}

/// Runs and prints all; panics when a row is wrong or one of so many is missing.
fn table(title: &str, prefix: &str, count: usize, cases: Vec<Case>) {
    assert_eq!(cases.iter().map(|case| case.id).collect::<Vec<_>>(), ids(prefix, count));
    let only = Only::of("GUARD");
    let rows: Vec<_> = cases.into_iter().filter(|case| only.has(case.id)).map(Case::run).collect();
    judge(title, "", &rows, &[]);
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
