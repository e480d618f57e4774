//! Carries changes to the store: together while it is up, added up while it is down.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use tokio::sync::mpsc::Receiver;
use tokio::time::{sleep, timeout};

use super::link::Link;
use super::script;
use crate::rules::store::{Change, Span};

/// The most counters of which changes are kept while the store is down: some megabytes.
const MOST: usize = 65_536;
/// How many changes go into one call. The server does nothing else meanwhile.
const BATCH: usize = 128;
/// How often it is looked whether the store is up again.
const LOOK: Duration = Duration::from_millis(200);
/// How often what counts no more is thrown away while the store is down.
const TIDY: Duration = Duration::from_secs(1);
/// The longest that one call may take; no request waits for it.
const LIMIT: Duration = Duration::from_secs(1);
/// What is older counts in no sliding minute.
const OLD: Duration = Duration::from_secs(2 * 60);

/// Carries what comes out of `queue`, until nobody can put anything in.
///
/// A call that fails is not made again, because the store may have done what it said: its changes are lost
/// and counted.
pub async fn carry(link: Arc<Link>, mut queue: Receiver<Vec<Change>>) {
    let mut sums = Sums::default();
    let mut tidied = Instant::now();
    loop {
        tokio::select! {
            first = queue.recv() => match first {
                Some(first) => add(&link, &mut sums, first),
                None => return,
            },
            () = link.knocked() => {}
        }
        if sums.0.is_empty() {
            link.told();
        }
        while !sums.0.is_empty() {
            // Whatever else is there goes along.
            while let Ok(more) = queue.try_recv() {
                add(&link, &mut sums, more);
            }
            let Some(live) = link.carrying() else {
                tokio::select! {
                    more = queue.recv() => match more {
                        Some(more) => add(&link, &mut sums, more),
                        None => return,
                    },
                    () = link.knocked() => {}
                    () = sleep(LOOK) => {}
                }
                if tidied.elapsed() >= TIDY {
                    sums.forget(SystemTime::now());
                    tidied = Instant::now();
                }
                continue;
            };
            let (changes, made_of) = sums.batch();
            // What is left then came while others were carried.
            let last = sums.0.is_empty();
            let arguments = script::giving(&link.prefix, changes.iter(), SystemTime::now());
            if arguments.is_empty() {
                if last {
                    link.told();
                }
                continue;
            }
            let call = timeout(LIMIT, link.give.call(live.connection.clone(), arguments));
            tokio::pin!(call);
            let answer = loop {
                tokio::select! {
                    answer = &mut call => break answer,
                    Some(more) = queue.recv() => add(&link, &mut sums, more),
                }
            };
            let failed = match answer {
                Ok(Ok(_)) => {
                    if last {
                        link.told();
                    }
                    continue;
                }
                Ok(Err(error)) => error.to_string(),
                Err(_) => format!("no answer within {LIMIT:?}"),
            };
            (link.hooks.dropped)(made_of);
            link.fail(&live, &failed);
        }
    }
}

fn add(link: &Link, sums: &mut Sums, changes: Vec<Change>) {
    let dropped = changes.into_iter().filter(|change| !sums.add(change)).count();
    if dropped > 0 {
        (link.hooks.dropped)(dropped as u64);
    }
}

/// Changes, added up by counter and window.
#[derive(Default)]
struct Sums(HashMap<(Arc<str>, Span, u64), Sum>);

struct Sum {
    amount: i64,
    taken_at: SystemTime,
    /// Of how many changes.
    made_of: u64,
}

impl Sums {
    /// Says whether there was room.
    fn add(&mut self, change: &Change) -> bool {
        let minute = match change.window {
            Span::Minute => change.taken_at.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs() / 60,
            Span::Day { .. } | Span::Month { .. } => 0,
        };
        let full = self.0.len() >= MOST;
        let key = (change.key.clone(), change.window, minute);
        match self.0.get_mut(&key) {
            Some(sum) => {
                sum.amount = sum.amount.saturating_add(change.amount);
                sum.taken_at = sum.taken_at.max(change.taken_at);
                sum.made_of += 1;
            }
            None if full => return false,
            None => {
                let sum = Sum { amount: change.amount, taken_at: change.taken_at, made_of: 1 };
                self.0.insert(key, sum);
            }
        }
        true
    }

    /// Some of them, and of how many changes they are made. They are no longer kept.
    fn batch(&mut self) -> (Vec<Change>, u64) {
        let mut made_of = 0;
        let keys: Vec<_> = self.0.keys().take(BATCH).cloned().collect();
        let mut changes = Vec::with_capacity(keys.len());
        for key in keys {
            let Some(sum) = self.0.remove(&key) else { continue };
            let (key, window, _) = key;
            if sum.amount != 0 {
                made_of += sum.made_of;
                changes.push(Change { key, window, taken_at: sum.taken_at, amount: sum.amount });
            }
        }
        (changes, made_of)
    }

    /// Forgets what no window counts any more.
    fn forget(&mut self, now: SystemTime) {
        self.0.retain(|(_, window, _), sum| match window {
            Span::Minute => now.duration_since(sum.taken_at).unwrap_or_default() < OLD,
            Span::Day { .. } | Span::Month { .. } => window.end().is_none_or(|end| end > now),
        });
    }
}

#[cfg(test)]
mod tests;
