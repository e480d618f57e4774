//! Keeps what was used of days and months on disk, so that a restart does not give it away again.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use super::budgets::{Budgets, Kept};
use super::held;
use super::ledger::{Ledger, Owed, Used};
use crate::rules::limits::period::Spent;

/// How often counts are written: what a crash loses at most, with the time that writing takes.
const EVERY: Duration = Duration::from_millis(500);

/// Writes a ledger down.
pub struct Keeper {
    directory: PathBuf,
    /// Only one process can have it open.
    budgets: Mutex<Book>,
    ledger: Arc<Ledger>,
    /// What is on disk.
    written: Mutex<Vec<Used>>,
    /// Why writing failed, the last time; nothing when it did not.
    failure: Mutex<Option<String>>,
}

/// The database.
enum Book {
    Ours(Budgets),
    /// Another process is taking over, and has it or will have it.
    Lent,
    /// That process failed, and may not have let go of it yet; or the disk failed.
    Wanted,
}

impl Keeper {
    /// Opens the database in a directory and takes over what is in it.
    ///
    /// # Errors
    /// The database cannot be used; the text says what to do.
    pub fn open(directory: &Path, ledger: Arc<Ledger>) -> Result<Arc<Self>, String> {
        let budgets = Budgets::open(directory)?;
        let spent = |(number, used)| Spent { number, used };
        let kept = budgets.load(SystemTime::now())?;
        ledger.restore(
            kept.into_iter().map(|(name, kept)| (name, spent(kept.day), spent(kept.month))).collect(),
        );
        let keeper = Arc::new(Self {
            directory: directory.to_owned(),
            budgets: Mutex::new(Book::Ours(budgets)),
            written: Mutex::new(ledger.used()),
            failure: Mutex::default(),
            ledger,
        });
        let writing = keeper.clone();
        std::thread::Builder::new()
            .name("budgets".into())
            .spawn(move || {
                loop {
                    std::thread::sleep(EVERY);
                    writing.flush();
                }
            })
            .map_err(|why| format!("no thread can be started to keep budgets: {why}"))?;
        Ok(keeper)
    }

    /// Writes what has changed, and lets another process have the database.
    pub fn close(&self) {
        self.flush();
        *held(&self.budgets) = Book::Lent;
    }

    /// What has been used since [`Keeper::close`], which is not in the database.
    pub fn owed(&self) -> Vec<Owed> {
        let written: HashMap<String, (Spent, Spent)> =
            held(&self.written).iter().map(|(name, day, month)| (name.clone(), (*day, *month))).collect();
        let owed = self.ledger.used().into_iter().map(|(name, day, month)| {
            let (old_day, old_month) = written.get(&name).copied().unwrap_or_default();
            (name, day.since(old_day), month.since(old_month))
        });
        owed.filter(|(_, day, month)| day.by != 0 || month.by != 0).collect()
    }

    /// Takes the database back after [`Keeper::close`], as soon as the other process has let go of it.
    pub fn reopen(&self) {
        let mut book = held(&self.budgets);
        if matches!(*book, Book::Lent) {
            *book = Book::Wanted;
        }
    }

    /// Writes what has changed.
    pub fn flush(&self) {
        let mut book = held(&self.budgets);
        if matches!(*book, Book::Wanted)
            && let Ok(budgets) = Budgets::open(&self.directory)
        {
            if self.failure().is_none() {
                log::info!("budgets are kept again");
            }
            *book = Book::Ours(budgets);
        }
        let Book::Ours(budgets) = &*book else { return };
        let mut written = held(&self.written);
        let mut used = self.ledger.used();
        used.sort_by(|one, other| one.0.cmp(&other.0));
        if *written == used {
            return;
        }
        let pair = |spent: Spent| (spent.number, spent.used);
        let all: Vec<_> = used
            .iter()
            .map(|(name, day, month)| (name.clone(), Kept { day: pair(*day), month: pair(*month) }))
            .collect();
        match budgets.save(&all) {
            Ok(()) => {
                *written = used;
                if held(&self.failure).take().is_some() {
                    log::info!("budgets are kept again");
                }
            }
            // Twice a second it would be the same words.
            Err(why) => {
                if held(&self.failure).replace(why.clone()).as_ref() != Some(&why) {
                    log::error!("budgets cannot be kept: {why}");
                }
                // After a disk's failure the database takes nothing more until it is opened anew.
                *book = Book::Wanted;
            }
        }
    }

    /// Why what was used is not on disk; nothing when it is, or will be within a moment.
    pub fn failure(&self) -> Option<String> {
        held(&self.failure).clone()
    }
}
