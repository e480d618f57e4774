//! A table of cases: printed whole, and failed when a row is wrong.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Instant;

/// Rows as they come.
pub struct Table {
    title: &'static str,
    rows: Vec<Row>,
}

struct Row {
    id: &'static str,
    what: &'static str,
    seen: String,
    is_right: bool,
    seconds: f64,
}

impl Table {
    pub fn new(title: &'static str) -> Self {
        Self { title, rows: Vec::new() }
    }

    /// Runs a case, which says what it has seen, and panics when that is wrong.
    pub fn case(&mut self, id: &'static str, what: &'static str, run: impl FnOnce() -> String) {
        let began = Instant::now();
        let seen = catch_unwind(AssertUnwindSafe(run));
        let seconds = began.elapsed().as_secs_f64();
        let (seen, is_right) = match seen {
            Ok(seen) => (seen, true),
            Err(panic) => {
                let words = panic.downcast_ref::<String>().map(String::as_str);
                (words.or(panic.downcast_ref::<&str>().copied()).unwrap_or("it panicked").to_owned(), false)
            }
        };
        self.rows.push(Row { id, what, seen, is_right, seconds });
    }

    /// Prints the rows; panics when one is wrong or `ids` are not all there.
    pub fn done(self, ids: impl Iterator<Item = String>) {
        println!("\n{}", self.title);
        for Row { id, what, seen, is_right, seconds } in &self.rows {
            let mark = if *is_right { "ok" } else { "WRONG" };
            println!("{id:<6} {mark:<6}{seconds:>5.1} s  {what}: {seen}");
        }
        let wrong: Vec<_> = self.rows.iter().filter(|row| !row.is_right).map(|row| row.id).collect();
        println!("{} of {} rows are right\n", self.rows.len() - wrong.len(), self.rows.len());
        let missing: Vec<_> = ids.filter(|id| !self.rows.iter().any(|row| row.id == id)).collect();
        assert!(missing.is_empty(), "not there: {missing:?}");
        assert!(wrong.is_empty(), "wrong: {wrong:?}");
    }
}
