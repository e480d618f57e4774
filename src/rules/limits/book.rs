//! The counters of one tenant, or of one pool, and what requests have taken from them.
//!
//! One lock for each book makes "all or nothing" true: between looking and taking nobody else takes. It is
//! held for well under a microsecond and never while anything is waited for, and one tenant's requests never
//! wait for another's.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use super::cell::Cell;
use super::line::Line;
use super::period::{Change, Spent, Today};
use super::standing::Standing;
use super::sync::{Mutex, MutexGuard};
use super::{LimitKind, LimitRules};
use crate::rules::tick::Tick;

/// The counters of all entities that share a lock. They are found by name, so that a reload keeps their counts.
#[derive(Default)]
pub struct Book(Mutex<Pages>);

impl std::fmt::Debug for Book {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Book(..)")
    }
}

#[derive(Default)]
pub(super) struct Pages {
    names: HashMap<Arc<str>, usize>,
    cells: Vec<Cell>,
    pub(super) line: Line,
}

/// What one entity may use, and where its book counts it.
#[derive(Debug, Clone)]
pub struct Limit {
    /// The entity as metrics and the store call it.
    pub name: Arc<str>,
    pub rules: LimitRules,
    cell: usize,
}

/// A point in time, as counters need it.
#[derive(Debug, Clone, Copy)]
pub struct When {
    pub now: Tick,
    pub today: Today,
}

/// Who decides about the windows of minutes, days and months.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Windows {
    /// We do, for one of so many gateways that share the limits.
    Ours { instances: u64 },
    /// A store that several gateways share, later.
    Theirs,
}

/// Who refused, and when it may be different.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Full {
    /// Its place among the limits that were asked for.
    pub which: usize,
    pub kind: LimitKind,
    pub wait: Duration,
}

impl Full {
    /// Whether this is the one that counts: a window before a slot, and the longer one of two.
    fn outlasts(self, other: Self) -> bool {
        let slot = |full: Self| full.kind == LimitKind::Concurrent;
        match (slot(self), slot(other)) {
            (true, _) => false,
            (false, true) => true,
            (false, false) => self.wait > other.wait,
        }
    }
}

/// What a request takes from each of its limits.
#[derive(Debug, Clone)]
pub(super) struct Ask {
    pub(super) limits: Vec<Limit>,
    pub(super) tokens: u64,
    pub(super) windows: Windows,
    /// How many gateways share the slots.
    pub(super) instances: u64,
}

impl Book {
    /// The limit of an entity, with the counters that its name has had before.
    pub fn limit(&self, name: &str, rules: LimitRules) -> Limit {
        let mut pages = self.pages();
        let fresh = pages.cells.len();
        let (name, cell) = match pages.names.get_key_value(name) {
            Some((name, cell)) => (name.clone(), *cell),
            None => {
                let name: Arc<str> = name.into();
                pages.names.insert(name.clone(), fresh);
                pages.cells.push(Cell::default());
                (name, fresh)
            }
        };
        Limit { name, rules, cell }
    }

    /// Takes one request, its tokens and a slot from all of these limits, or nothing from any.
    ///
    /// # Errors
    /// The first that has no room.
    pub fn reserve(
        self: &Arc<Self>,
        limits: Vec<Limit>,
        tokens: u64,
        when: When,
        windows: Windows,
        instances: u64,
    ) -> Result<Reservation, Full> {
        let ask = Ask { limits, tokens, windows, instances };
        self.pages().take(&ask, when)?;
        Ok(self.reservation(ask, when))
    }

    /// What is left of these limits.
    pub fn standing(&self, limits: &[Limit], when: When) -> Standing {
        let mut pages = self.pages();
        let mut standing = Standing::default();
        for limit in limits {
            let Some(cell) = pages.cells.get_mut(limit.cell) else { continue };
            let LimitRules { requests_per_minute, tokens_per_minute, .. } = limit.rules;
            if let Some(most) = requests_per_minute {
                standing.requests(most, cell.requests.used(when.now), cell.requests.reset(when.now));
            }
            if let Some(most) = tokens_per_minute {
                standing.tokens(most, cell.tokens.used(when.now), cell.tokens.reset(when.now));
            }
        }
        standing
    }

    /// What all gateways that share a store have used of one limit, as far as this one has heard: its own use at
    /// least.
    pub fn used_by_all(&self, limit: &Limit, kind: LimitKind, when: When) -> u64 {
        self.pages().cells.get_mut(limit.cell).map_or(0, |cell| cell.used_by_all(kind, when))
    }

    /// What is used of one limit now, by this gateway.
    pub fn used(&self, limit: &Limit, kind: LimitKind, when: When) -> u64 {
        self.pages().cells.get_mut(limit.cell).map_or(0, |cell| cell.used(kind, when))
    }

    /// The days' and months' use of every entity that has used any, by name: to be kept somewhere.
    pub fn spent(&self) -> Vec<(Arc<str>, Spent, Spent)> {
        let pages = self.pages();
        // Those that are back at nothing, too: it is what has to be remembered of them.
        let used = |cell: &&Cell| cell.day.number > 0 || cell.month.number > 0;
        let kept =
            pages.names.iter().filter_map(|(name, cell)| Some((name, pages.cells.get(*cell).filter(used)?)));
        kept.map(|(name, cell)| (name.clone(), cell.day, cell.month)).collect()
    }

    /// Takes over what was kept: called before the first request.
    pub fn restore(&self, name: &str, day: Spent, month: Spent) {
        let cell = self.limit(name, LimitRules::default()).cell;
        if let Some(cell) = self.pages().cells.get_mut(cell) {
            (cell.day, cell.month) = (day, month);
        }
    }

    /// Counts what another process has counted of an entity.
    pub fn adjust(&self, name: &str, day: Change, month: Change) {
        let cell = self.limit(name, LimitRules::default()).cell;
        if let Some(cell) = self.pages().cells.get_mut(cell) {
            cell.day.adjust(day);
            cell.month.adjust(month);
        }
    }

    pub(super) fn pages(&self) -> MutexGuard<'_, Pages> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn reservation(self: &Arc<Self>, ask: Ask, when: When) -> Reservation {
        Reservation { book: self.clone(), ask, when, open: true }
    }
}

impl Pages {
    /// Takes all or nothing.
    pub(super) fn take(&mut self, ask: &Ask, when: When) -> Result<(), Full> {
        let mut longest: Option<Full> = None;
        for (which, limit) in ask.limits.iter().enumerate() {
            let Some(cell) = self.cells.get_mut(limit.cell) else { continue };
            if let Err((kind, wait)) = cell.check(&limit.rules, ask, when)
                && longest.is_none_or(|known| Full { which, kind, wait }.outlasts(known))
            {
                longest = Some(Full { which, kind, wait });
            }
        }
        if let Some(full) = longest {
            return Err(full);
        }
        self.each(ask, |cell, rules| {
            if rules.concurrent.is_some() {
                cell.occupy();
            }
            match ask.windows {
                Windows::Ours { .. } => cell.count(rules, ask.tokens, when),
                Windows::Theirs => {}
            }
        });
        Ok(())
    }

    fn each(&mut self, ask: &Ask, mut change: impl FnMut(&mut Cell, &LimitRules)) {
        for limit in &ask.limits {
            if let Some(cell) = self.cells.get_mut(limit.cell) {
                change(cell, &limit.rules);
            }
        }
    }
}

/// What a request has come to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Charge {
    /// It was never answered, through no fault of its client: it costs nothing.
    Nothing,
    /// It counts as a request and used so many tokens.
    Tokens(u64),
}

/// What a request has taken. It gives its slots back when it is dropped, and everything else too unless it
/// has been settled.
#[derive(Debug)]
pub struct Reservation {
    book: Arc<Book>,
    ask: Ask,
    when: When,
    /// Not yet settled.
    open: bool,
}

impl Reservation {
    /// The limits it was taken from.
    pub fn limits(&self) -> &[Limit] {
        &self.ask.limits
    }

    /// The tokens it has taken.
    pub fn tokens(&self) -> u64 {
        self.ask.tokens
    }

    /// What is used of one of its limits.
    pub fn used(&self, limit: &Limit, kind: LimitKind, when: When) -> u64 {
        self.book.used(limit, kind, when)
    }

    /// Takes in what all gateways that share a store have used of one of its limits, for whoever looks.
    pub fn hear(&self, limit: &Limit, kind: LimitKind, by_all: u64, when: When) {
        if let Some(cell) = self.book.pages().cells.get_mut(limit.cell) {
            cell.hear(kind, by_all, when);
        }
    }

    /// When it was taken.
    pub fn taken(&self) -> When {
        self.when
    }

    /// Counts what a shared store has counted too, so that we know our own part of it.
    pub fn note(&mut self) {
        if self.ask.windows == Windows::Theirs {
            self.ask.windows = Windows::Ours { instances: 1 };
            let Self { book, ask, when, .. } = self;
            book.pages().each(ask, |cell, rules| cell.count(rules, ask.tokens, *when));
        }
    }

    /// Takes the windows as well, because the store that should have decided is gone.
    ///
    /// # Errors
    /// The first that has no room; the slots stay taken until this is dropped.
    pub fn decide(&mut self, instances: u64) -> Result<(), Full> {
        if self.ask.windows != Windows::Theirs {
            return Ok(());
        }
        let slotless =
            |limit: &Limit| Limit { rules: LimitRules { concurrent: None, ..limit.rules }, ..limit.clone() };
        let limits = self.ask.limits.iter().map(slotless).collect();
        let ask = Ask { limits, tokens: self.ask.tokens, windows: Windows::Ours { instances }, instances };
        self.book.pages().take(&ask, self.when)?;
        self.ask.windows = ask.windows;
        Ok(())
    }

    /// Replaces what was estimated by what it was.
    pub fn settle(&mut self, charge: Charge, now: When) {
        if !std::mem::replace(&mut self.open, false) || self.ask.windows == Windows::Theirs {
            return;
        }
        let Self { book, ask, when, .. } = self;
        book.pages().each(ask, |cell, rules| cell.settle(rules, ask.tokens, charge, *when, now));
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        self.settle(Charge::Nothing, self.when);
        let mut pages = self.book.pages();
        pages.each(&self.ask, |cell, rules| {
            if rules.concurrent.is_some() {
                cell.vacate();
            }
        });
        pages.serve_line(self.when);
    }
}

impl Pages {
    /// Calls those in line for whom there is room now.
    pub(super) fn serve_line(&mut self, when: When) {
        if self.line.is_empty() {
            return;
        }
        let mut line = std::mem::take(&mut self.line);
        line.serve(|ask| self.take(ask, when).is_ok());
        self.line = line;
    }
}
