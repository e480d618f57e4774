//! The last two minutes as rates and means, so that a page that is opened now knows what was before.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use super::gather::Sources;
use super::losses::Loss;
use crate::daemon::held;
use crate::names::{Alias, BackendName, PoolName, TenantId};

/// How often is looked.
pub const EVERY: Duration = Duration::from_secs(2);
/// How many looks are kept.
pub const POINTS: usize = 60;
/// A rate is the mean of so many looks.
const RECENT: usize = 5;

/// Whose rate it is.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Who {
    /// All requests of clients.
    Everyone,
    /// Attempts at a pool's backends.
    Pool(PoolName),
    /// Attempts at a backend.
    Backend(PoolName, BackendName),
    /// Requests of a tenant.
    Tenant(TenantId),
    /// Requests for an alias.
    Alias(TenantId, Alias),
    /// What nobody gets.
    Lost(Loss),
}

/// Rates of everyone who is configured, and of nobody else: it grows with the configuration alone.
#[derive(Debug, Default)]
pub struct History(Mutex<Looks>);

#[derive(Debug, Default)]
struct Looks {
    at: Option<Instant>,
    series: HashMap<Who, Series>,
    waits: HashMap<Who, VecDeque<Waits>>,
}

/// How often was waited for something so far, and for how long in all.
#[derive(Debug, Clone, Copy, Default)]
pub struct Waits {
    pub count: u64,
    /// In seconds.
    pub sum: f64,
}

impl Waits {
    /// The mean of those since `before`, in seconds; nothing if there were none.
    fn since(self, before: Self) -> Option<f64> {
        let count = self.count.checked_sub(before.count).filter(|count| *count > 0)?;
        #[expect(clippy::cast_precision_loss, reason = "a mean")]
        let mean = (self.sum - before.sum) / count as f64;
        Some(mean)
    }
}

#[derive(Debug, Default)]
struct Series {
    count: u64,
    /// Per second, the oldest first; at most [`POINTS`].
    rates: VecDeque<f32>,
}

/// How often something happened of late.
#[derive(Debug, Clone, Default)]
pub struct Pace {
    /// Over the last ten seconds; nothing before the second look.
    pub per_second: Option<f32>,
    /// Per second, the oldest first.
    pub rates: Vec<f32>,
}

impl History {
    /// Takes in what has been counted so far. Those who are not mentioned are forgotten.
    pub fn look(&self, now: Instant, counts: impl Iterator<Item = (Who, u64)>) {
        let mut looks = held(&self.0);
        let since = looks.at.replace(now).map(|before| now.saturating_duration_since(before).as_secs_f32());
        let mut before = std::mem::take(&mut looks.series);
        looks.series = counts
            .map(|(who, count)| {
                // Of someone who is new, it is not known since when what was counted has been.
                let series = match (before.remove(&who), since) {
                    (Some(series), Some(since)) => series.with(count, since),
                    (Some(_) | None, _) => Series { count, rates: VecDeque::new() },
                };
                (who, series)
            })
            .collect();
    }

    /// Takes in what has been waited for so far. Those who are not mentioned are forgotten.
    pub fn look_at_waits(&self, waits: impl Iterator<Item = (Who, Waits)>) {
        let mut looks = held(&self.0);
        let mut before = std::mem::take(&mut looks.waits);
        looks.waits = waits
            .map(|(who, now)| {
                let mut all = before.remove(&who).unwrap_or_default();
                if all.len() >= POINTS {
                    all.pop_front();
                }
                all.push_back(now);
                (who, all)
            })
            .collect();
    }

    /// The mean wait of the last two minutes, in seconds, with what has been counted by now; nothing if there was
    /// none, or nobody has looked yet.
    pub fn mean_wait(&self, who: &Who, now: Waits) -> Option<f64> {
        let looks = held(&self.0);
        looks.waits.get(who)?.front().and_then(|before| now.since(*before))
    }

    /// How often it happened of late.
    pub fn pace(&self, who: &Who) -> Pace {
        let looks = held(&self.0);
        let Some(series) = looks.series.get(who) else { return Pace::default() };
        let recent = series.rates.iter().rev().take(RECENT);
        #[expect(clippy::cast_precision_loss, reason = "at most five")]
        let count = recent.len() as f32;
        let per_second = (count > 0.0).then(|| (recent.sum::<f32>() / count * 1000.0).round() / 1000.0);
        Pace { per_second, rates: series.rates.iter().copied().collect() }
    }
}

impl Series {
    fn with(mut self, count: u64, since: f32) -> Self {
        #[expect(clippy::cast_precision_loss, reason = "a rate is shown with three digits")]
        let more = count.saturating_sub(self.count) as f32;
        if self.rates.len() >= POINTS {
            self.rates.pop_front();
        }
        self.rates.push_back(more / since.max(0.001));
        self.count = count;
        self
    }
}

/// Looks now and then, as long as the process lives.
///
/// # Errors
/// When there can be no thread.
pub fn keep(sources: Arc<Sources>) -> std::io::Result<()> {
    let look = move || loop {
        sources.remember(Instant::now());
        std::thread::sleep(EVERY);
    };
    std::thread::Builder::new().name("status history".into()).spawn(look).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_is_what_was_counted_between_two_looks() {
        let history = History::default();
        let began = Instant::now();
        let who = || Who::Tenant(TenantId::new("acme"));
        for look in 0..100_u32 {
            let count = if look == 99 { 980 + 60 } else { u64::from(look) * 10 };
            history.look(began + EVERY * look, std::iter::once((who(), count)));
        }
        let pace = history.pace(&who());
        assert_eq!(pace.rates.len(), POINTS);
        assert_eq!((pace.rates.first(), pace.rates.last()), (Some(&5.0), Some(&30.0)));
        assert_eq!(pace.per_second, Some((4.0 * 5.0 + 30.0) / 5.0));
        assert_eq!(history.pace(&Who::Everyone).per_second, None);
        // A counter that began anew is not a rate below nothing, and who is gone is forgotten.
        history.look(began + EVERY * 101, std::iter::once((who(), 0)));
        assert_eq!(history.pace(&who()).rates.last(), Some(&0.0));
        history.look(began + EVERY * 102, std::iter::empty());
        assert!(history.pace(&who()).rates.is_empty());
    }

    #[test]
    fn a_mean_is_of_the_last_two_minutes() {
        let history = History::default();
        let who = || Who::Alias(TenantId::new("acme"), Alias::new("general"));
        let look = |count: u64, sum| history.look_at_waits(std::iter::once((who(), Waits { count, sum })));
        assert_eq!(history.mean_wait(&who(), Waits { count: 1, sum: 1.0 }), None);
        look(0, 0.0);
        assert_eq!(history.mean_wait(&who(), Waits { count: 0, sum: 0.0 }), None);
        assert_eq!(history.mean_wait(&who(), Waits { count: 2, sum: 5.0 }), Some(2.5));
        // What was slow two minutes ago is over.
        for _ in 0..POINTS {
            look(10, 100.0);
        }
        assert_eq!(history.mean_wait(&who(), Waits { count: 10, sum: 100.0 }), None);
        assert_eq!(history.mean_wait(&who(), Waits { count: 12, sum: 101.0 }), Some(0.5));
        // Counters that began anew say nothing.
        assert_eq!(history.mean_wait(&who(), Waits { count: 1, sum: 1.0 }), None);
    }
}
