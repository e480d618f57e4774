//! What was used of daily and monthly budgets, in a small database of its own, for a gateway without a store
//! that it shares with others.
//!
//! The file is written whole or not at all: after a crash it holds what was last saved. It belongs to one
//! process at a time. All of this waits for the disk, so none of it belongs on a request's path.

use std::fs::DirBuilder;
use std::os::unix::fs::DirBuilderExt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use redb::{Database, DatabaseError, ReadableDatabase, ReadableTable, TableDefinition};

use crate::rules::store::Span;

/// The file's name inside the state directory.
const FILE: &str = "budgets.redb";
/// How much of the file is kept in memory, in bytes. A budget takes about a hundred.
const CACHE: usize = 1 << 20;
/// By counter: the day's number and what was used of it, then the month's.
const BUDGETS: TableDefinition<'_, &str, (u64, u64, u64, u64)> = TableDefinition::new("budgets");

/// What was used by one counter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Kept {
    /// The day's number, as in [`Span::Day`], and what was used of it.
    pub day: (u64, u64),
    /// The month's number, as in [`Span::Month`], and what was used of it.
    pub month: (u64, u64),
}

/// The database. Dropping it closes the file, so that another process can open it.
pub struct Budgets {
    database: Database,
    path: PathBuf,
}

impl Budgets {
    /// Opens what is kept in `dir`, and makes both if they are not there; a directory made here is readable
    /// for its owner alone. The whole file is checked.
    ///
    /// # Errors
    /// The file or the directory cannot be used; the text names it and says what to do.
    pub fn open(dir: &Path) -> Result<Self, String> {
        DirBuilder::new().recursive(true).mode(0o700).create(dir).map_err(|why| {
            format!("{}: cannot be made: {why}; make it writable or set another state_dir", dir.display())
        })?;
        let path = dir.join(FILE);
        // The library checks what it reads; a file that breaks it all the same must not stop the service
        // without a word.
        let open =
            || Database::builder().set_cache_size(CACHE).set_check_integrity_on_open(true).create(&path);
        match catch_unwind(AssertUnwindSafe(open)) {
            Ok(Ok(database)) => Ok(Self { database, path }),
            Ok(Err(why)) => Err(refusal(&path, &why)),
            Err(_) => Err(broken(&path)),
        }
    }

    /// Everything of the running day or month, by counter. What is older reads as nothing used, and counters
    /// without anything of either are removed from the file.
    ///
    /// # Errors
    /// The file cannot be read or written.
    pub fn load(&self, now: SystemTime) -> Result<Vec<(String, Kept)>, String> {
        self.try_load(now).map_err(|why| format!("{}: cannot be read: {why}", self.path.display()))
    }

    /// Keeps these counters as they are now, in one step; others stay as they were. When it returns well,
    /// they are on the disk.
    ///
    /// # Errors
    /// The file cannot be written; it holds what it held before.
    pub fn save(&self, all: &[(String, Kept)]) -> Result<(), String> {
        self.try_save(all).map_err(|why| format!("{}: cannot be written: {why}", self.path.display()))
    }

    fn try_load(&self, now: SystemTime) -> Result<Vec<(String, Kept)>, redb::Error> {
        let mut found = Vec::new();
        let mut over = Vec::new();
        let reading = self.database.begin_read()?;
        let table = match reading.open_table(BUDGETS) {
            Ok(table) => table,
            Err(redb::TableError::TableDoesNotExist(_)) => return Ok(found),
            Err(why) => return Err(why.into()),
        };
        for entry in table.iter()? {
            let (key, value) = entry?;
            let (day, of_day, month, of_month) = value.value();
            let kept = Kept { day: (day, of_day), month: (month, of_month) }.at(now);
            if kept.day.1 == 0 && kept.month.1 == 0 {
                over.push(key.value().to_owned());
            } else {
                found.push((key.value().to_owned(), kept));
            }
        }
        drop((table, reading));
        if !over.is_empty() {
            let writing = self.database.begin_write()?;
            {
                let mut table = writing.open_table(BUDGETS)?;
                for key in &over {
                    table.remove(key.as_str())?;
                }
            }
            writing.commit()?;
        }
        Ok(found)
    }

    fn try_save(&self, all: &[(String, Kept)]) -> Result<(), redb::Error> {
        // Commits are durable unless somebody says otherwise.
        let writing = self.database.begin_write()?;
        {
            let mut table = writing.open_table(BUDGETS)?;
            for (key, kept) in all {
                table.insert(key.as_str(), (kept.day.0, kept.day.1, kept.month.0, kept.month.1))?;
            }
        }
        writing.commit()?;
        Ok(())
    }
}

impl Kept {
    /// The same at `now`: periods that are over become the running ones, with nothing used.
    pub fn at(self, now: SystemTime) -> Self {
        let day = match Span::day(now) {
            Span::Day { number } if number > self.day.0 => (number, 0),
            Span::Minute | Span::Day { .. } | Span::Month { .. } => self.day,
        };
        let month = match Span::month(now) {
            Span::Month { number } if number > self.month.0 => (number, 0),
            Span::Minute | Span::Day { .. } | Span::Month { .. } => self.month,
        };
        Self { day, month }
    }
}

fn refusal(path: &Path, why: &DatabaseError) -> String {
    let name = path.display();
    match why {
        DatabaseError::DatabaseAlreadyOpen | DatabaseError::LockProtocolMismatch => {
            format!("{name}: another process has it open; stop that one or give this one another state_dir")
        }
        DatabaseError::Storage(redb::StorageError::Io(why))
            if why.kind() != std::io::ErrorKind::InvalidData =>
        {
            format!("{name}: cannot be opened: {why}; see to its owner, its mode and the disk")
        }
        DatabaseError::UpgradeRequired(_) => {
            format!("{name}: was written by another version; {MEND}")
        }
        // The library may add others; what is left is about what the file holds.
        _ => broken(path),
    }
}

/// What to do with a file that holds something else.
const MEND: &str = "move it away and start again: budgets then count from nothing";

fn broken(path: &Path) -> String {
    format!("{}: is damaged, or no database of budgets; {MEND}", path.display())
}

#[cfg(test)]
mod tests;
