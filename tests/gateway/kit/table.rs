//! Tables of cases: which of them run, what is told of each, and what is wrong in the end.
//!
//! A table is for the harness, which keeps it back when all is right, unless `--nocapture` asks for it, and tells it
//! after all else when something is not. What came of it in a line, and each row that is wrong, is printed past the
//! harness, too: a log that is cut short has at least that.

use std::io::Write;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// A line of a table.
#[derive(Debug, Clone)]
pub struct Row {
    pub id: &'static str,
    pub what: &'static str,
    /// In which of its ways the case was met; empty when there is one only.
    pub mode: &'static str,
    /// Nothing when the case judges itself: then it is right when it does not panic.
    pub expected: Option<String>,
    /// What was seen, or what a panic said.
    pub seen: Result<String, String>,
    /// What was seen as well, and is only told.
    pub aside: String,
    /// What the reader should know.
    pub note: String,
    /// Columns that only this table has.
    pub figures: String,
    /// How long the whole case took.
    pub time: Duration,
}

impl Row {
    /// Runs a case, which says what it has seen.
    pub fn of(id: &'static str, what: &'static str, run: impl FnOnce() -> String) -> Self {
        let began = Instant::now();
        let seen = caught(run);
        Self { time: began.elapsed(), ..Self::new(id, what, seen) }
    }

    /// A case that was run elsewhere.
    pub fn new(id: &'static str, what: &'static str, seen: Result<String, String>) -> Self {
        let [aside, note, figures] = [const { String::new() }; 3];
        Self { id, what, mode: "", expected: None, seen, aside, note, figures, time: Duration::ZERO }
    }

    /// What must have been seen, word for word.
    pub fn expecting(self, expected: impl Into<String>) -> Self {
        Self { expected: Some(expected.into()), ..self }
    }

    /// Whether what was seen is what was expected.
    pub fn ok(&self) -> bool {
        match (&self.seen, &self.expected) {
            (Ok(seen), Some(expected)) => seen == expected,
            (Ok(_), None) => true,
            (Err(_), _) => false,
        }
    }

    /// What was expected is written when it was not seen.
    fn told(&self, [ids, modes, columns]: [usize; 3]) -> String {
        let mark = if self.ok() { "ok" } else { "WRONG" };
        let seen = match &self.seen {
            Ok(seen) => seen.clone(),
            Err(words) => format!("PANIC {words}"),
        };
        let mut words = format!("{}: {seen}", self.what);
        if !self.aside.is_empty() {
            words += &format!(" | {}", self.aside);
        }
        let time = self.time.as_secs_f64();
        let Self { id, mode, figures, .. } = self;
        // One line, whatever an answer says.
        let line = |words: &str| words.replace(['\r', '\n'], " ");
        let mut text =
            format!("{id:<ids$} {mode:<modes$} {mark:<5} {time:>5.1} {figures:<columns$} {}\n", line(&words));
        if let (Some(expected), false) = (&self.expected, self.ok()) {
            text += &format!("            expected: {}\n", line(expected));
        }
        if !self.note.is_empty() {
            text += &format!("            note: {}\n", line(&self.note));
        }
        text
    }
}

/// A case that is known and not run, and why.
pub struct NotHere {
    pub id: &'static str,
    pub why: &'static str,
}

/// A part of a table that the environment asks for: `FAULTS=UP-43,UP-88`.
pub struct Only(Vec<String>);

impl Only {
    /// What this variable says; all when it says nothing.
    pub fn of(variable: &str) -> Self {
        let ids = std::env::var(variable).unwrap_or_default();
        Self(ids.split(',').filter(|id| !id.is_empty()).map(str::to_owned).collect())
    }

    pub fn has(&self, id: &str) -> bool {
        self.0.is_empty() || self.0.iter().any(|one| one == id)
    }
}

/// A table whose cases run in turn, as a test comes to them. A case judges itself.
pub struct Table {
    title: &'static str,
    only: Only,
    ids: Vec<&'static str>,
    rows: Vec<Row>,
}

impl Table {
    /// `variable` names the cases that the environment asks for.
    pub fn new(title: &'static str, variable: &str) -> Self {
        Self { title, only: Only::of(variable), ids: Vec::new(), rows: Vec::new() }
    }

    /// Runs a case, which says what it has seen, and panics when that is wrong.
    pub fn case(&mut self, id: &'static str, what: &'static str, run: impl FnOnce() -> String) {
        self.ids.push(id);
        if self.only.has(id) {
            self.rows.push(Row::of(id, what, run));
        }
    }

    /// Prints the rows; panics when one is wrong, or one of so many cases was not there.
    pub fn done(self, prefix: &str, count: usize) {
        judge(self.title, "", &self.rows, &[]);
        all_there(prefix, count, self.ids);
    }
}

/// Prints all rows, and once more those that are wrong; panics when there is one. `figures` is the heading of the rows' own columns.
pub fn judge(title: &str, figures: &str, rows: &[Row], not_here: &[NotHere]) {
    let widest = |of: fn(&Row) -> usize| rows.iter().map(of).max().unwrap_or_default();
    let widths @ [ids, modes, _] =
        [widest(|row| row.id.len()).max(5), widest(|row| row.mode.len()), figures.len()];
    let mut text =
        format!("\n{title}\n{:<ids$} {:<modes$} {:<5} {:>5} {figures} {}\n", "id", "", "", "s", "what: seen");
    text.extend(rows.iter().map(|row| row.told(widths)));
    text.extend(not_here.iter().map(|row| format!("{:<ids$} not here: {}\n", row.id, row.why)));
    let wrong: Vec<_> = rows.iter().filter(|row| !row.ok()).map(|row| row.told(widths)).collect();
    print!("{text}");
    let all = format!("{} of {} rows are right: {title}\n", rows.len() - wrong.len(), rows.len());
    tell(&format!("{}{all}", wrong.concat()));
    if !wrong.is_empty() {
        println!("{title}: {} of {} rows are wrong\n{}", wrong.len(), rows.len(), wrong.concat());
        // Without a backtrace, which would say nothing and stand behind the rows.
        resume_unwind(Box::new("rows are wrong"));
    }
}

/// Prints past the harness.
pub fn tell(text: &str) {
    std::io::stdout().write_all(text.as_bytes()).expect("the output is open");
}

/// `UP-01` to `UP-96`.
pub fn ids(prefix: &str, count: usize) -> Vec<String> {
    (1..=count).map(|number| format!("{prefix}-{number:02}")).collect()
}

/// Panics when these are not all ids that are known, each once or more, in any order.
pub fn all_there<'a>(prefix: &str, count: usize, here: impl IntoIterator<Item = &'a str>) {
    let mut here: Vec<_> = here.into_iter().collect();
    here.sort_unstable();
    here.dedup();
    assert_eq!(here, ids(prefix, count));
}

/// Does the same with each, so many at once, and keeps their order.
pub fn in_order<T: Sync, R: Send>(at_once: usize, all: &[T], work: impl Fn(&T) -> R + Sync) -> Vec<R> {
    let next = AtomicUsize::new(0);
    let done = Mutex::new(Vec::new());
    thread::scope(|scope| {
        for _ in 0..at_once.min(all.len()) {
            scope.spawn(|| {
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    let Some(one) = all.get(number) else { break };
                    let result = work(one);
                    done.lock().expect("no runner panics").push((number, result));
                }
            });
        }
    });
    let mut done = done.into_inner().expect("no runner panics");
    done.sort_by_key(|(number, _)| *number);
    done.into_iter().map(|(_, result)| result).collect()
}

/// What a case returns, or else what its panic said.
pub fn caught<R>(run: impl FnOnce() -> R) -> Result<R, String> {
    catch_unwind(AssertUnwindSafe(run)).map_err(|panic| {
        let text = panic.downcast_ref::<String>().map(String::as_str);
        let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
        text.unwrap_or("without words").lines().collect::<Vec<_>>().join(" / ")
    })
}
