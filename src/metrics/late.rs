//! Series that are made when they are first counted, and never again when the alias or the backend whose they are
//! is no more configured.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use once_cell::sync::OnceCell;
use prometheus::core::{MetricVec, MetricVecBuilder};
use prometheus::{Histogram, HistogramVec, IntCounter, IntCounterVec};

/// Whether somebody is configured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    Configured,
    Gone,
}

/// Whose series they are: tenant and alias, or pool and backend.
#[derive(Debug)]
pub(super) struct Owner {
    names: [String; 2],
    place: Mutex<Place>,
}

impl Owner {
    pub(super) fn new(one: &str, other: &str) -> Arc<Self> {
        Arc::new(Self { names: [one.to_owned(), other.to_owned()], place: Mutex::new(Place::Configured) })
    }

    /// One of its series, with `more` labels after the names; none for an owner that is gone.
    pub(super) fn series<T: MetricVecBuilder>(&self, all: &MetricVec<T>, more: &[&str]) -> Option<T::M> {
        // Held until the series is there, so that whoever forgets the owner after this finds it.
        let place = held(&self.place);
        match *place {
            Place::Configured => {
                let [one, other] = &self.names;
                let labels: Vec<&str> = [&**one, &**other].into_iter().chain(more.iter().copied()).collect();
                Some(all.with_label_values(&labels))
            }
            Place::Gone => None,
        }
    }

    /// No series of its is made from now on.
    fn leave(&self) {
        *held(&self.place) = Place::Gone;
    }
}

/// By tenant and alias, or by pool and backend.
type ByNames<T> = HashMap<(String, String), T>;

/// The handles of all that are configured, by their two names: the same ones in every configuration.
#[derive(Debug)]
pub(super) struct Roll<T>(Mutex<ByNames<(Arc<Owner>, Arc<T>)>>);

impl<T> Default for Roll<T> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<T> Roll<T> {
    /// The handles of one, made if there are none.
    pub(super) fn of(&self, one: &str, other: &str, make: impl FnOnce(Arc<Owner>) -> T) -> Arc<T> {
        let mut all = held(&self.0);
        let (_, handles) = all.entry((one.to_owned(), other.to_owned())).or_insert_with(|| {
            let owner = Owner::new(one, other);
            (owner.clone(), Arc::new(make(owner)))
        });
        handles.clone()
    }

    /// Strikes out those that are gone. Whoever holds their handles counts on what nobody is shown.
    pub(super) fn strike(&self, gone: &HashSet<&(String, String)>) {
        let mut all = held(&self.0);
        for names in gone {
            if let Some((owner, _)) = all.remove(*names) {
                owner.leave();
            }
        }
    }
}

/// A counter that is shown from its first count on.
#[derive(Debug)]
pub(super) struct LateCounter {
    owner: Arc<Owner>,
    all: IntCounterVec,
    more: Vec<&'static str>,
    made: OnceCell<Option<IntCounter>>,
}

impl LateCounter {
    pub(super) fn new(owner: &Arc<Owner>, all: &IntCounterVec, more: &[&'static str]) -> Self {
        Self { owner: owner.clone(), all: all.clone(), more: more.to_vec(), made: OnceCell::new() }
    }

    pub(super) fn inc_by(&self, by: u64) {
        if let Some(counter) = self.made.get_or_init(|| self.owner.series(&self.all, &self.more)) {
            counter.inc_by(by);
        }
    }

    pub(super) fn get(&self) -> u64 {
        self.made.get().and_then(Option::as_ref).map_or(0, IntCounter::get)
    }
}

/// A histogram that is shown from its first observation on.
#[derive(Debug)]
pub struct LateHistogram {
    owner: Arc<Owner>,
    all: HistogramVec,
    made: OnceCell<Option<Histogram>>,
}

impl LateHistogram {
    pub(super) fn new(owner: &Arc<Owner>, all: &HistogramVec) -> Self {
        Self { owner: owner.clone(), all: all.clone(), made: OnceCell::new() }
    }

    /// Takes one value in, in seconds.
    pub fn observe(&self, seconds: f64) {
        if let Some(histogram) = self.made.get_or_init(|| self.owner.series(&self.all, &[])) {
            histogram.observe(seconds);
        }
    }

    pub(super) fn count(&self) -> u64 {
        self.made.get().and_then(Option::as_ref).map_or(0, Histogram::get_sample_count)
    }

    pub(super) fn sum(&self) -> f64 {
        self.made.get().and_then(Option::as_ref).map_or(0.0, Histogram::get_sample_sum)
    }
}

/// What has been counted of one thing, by the words of its labels.
type Made<const N: usize> = Vec<([&'static str; N], Option<IntCounter>)>;

/// Counters by words of closed sets, each shown from its first count on.
#[derive(Debug)]
pub(super) struct ByWord<const N: usize> {
    owner: Arc<Owner>,
    all: IntCounterVec,
    made: RwLock<Made<N>>,
}

impl<const N: usize> ByWord<N> {
    pub(super) fn new(owner: &Arc<Owner>, all: &IntCounterVec) -> Self {
        Self { owner: owner.clone(), all: all.clone(), made: RwLock::default() }
    }

    pub(super) fn inc(&self, words: [&'static str; N]) {
        let known = |made: &Made<N>| made.iter().find(|(of, _)| *of == words).map(|(_, found)| found.clone());
        let found = known(&self.made.read().unwrap_or_else(PoisonError::into_inner));
        let counter = found.unwrap_or_else(|| {
            let mut made = self.made.write().unwrap_or_else(PoisonError::into_inner);
            known(&made).unwrap_or_else(|| {
                let counter = self.owner.series(&self.all, &words);
                made.push((words, counter.clone()));
                counter
            })
        });
        if let Some(counter) = counter {
            counter.inc();
        }
    }
}

fn held<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
