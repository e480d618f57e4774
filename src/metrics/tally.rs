//! What has been counted so far, for whoever shows it.

use std::collections::{BTreeMap, HashMap};

use prometheus::IntCounterVec;
use prometheus::core::Collector;

use super::{AliasMetrics, Metrics};

/// Counts by two names and a word of a closed set.
#[derive(Debug, Default)]
pub struct Tally(HashMap<String, HashMap<String, BTreeMap<String, u64>>>);

impl Tally {
    /// What was counted for these two names, by word.
    pub fn of(&self, one: &str, other: &str) -> BTreeMap<String, u64> {
        self.0.get(one).and_then(|of| of.get(other)).cloned().unwrap_or_default()
    }

    fn sum(counters: &IntCounterVec, names: [&str; 2], word: &str) -> Self {
        let mut tally = Self::default();
        for family in counters.collect() {
            for series in family.get_metric() {
                let label = |name: &str| {
                    let found = series.get_label().iter().find(|label| label.name() == name);
                    found.map_or("", |label| label.value()).to_owned()
                };
                let [one, other] = names.map(label);
                let words = tally.0.entry(one).or_default().entry(other).or_default();
                #[expect(
                    clippy::cast_possible_truncation,
                    clippy::cast_sign_loss,
                    reason = "a counter of whole things, which the library gives as a float"
                )]
                let count = series.get_counter().get_value() as u64;
                *words.entry(label(word)).or_default() += count;
            }
        }
        tally
    }
}

impl Metrics {
    /// Refusals by tenant, alias and reason.
    pub fn refusals(&self) -> Tally {
        Tally::sum(&self.refusals, ["tenant", "model"], "reason")
    }

    /// Attempts by pool, backend and outcome; `ok` is the good one.
    pub fn attempts(&self) -> Tally {
        Tally::sum(&self.attempts, ["pool", "backend"], "outcome")
    }
}

impl AliasMetrics {
    /// Requests that were answered, in whatever way.
    pub fn answered_so_far(&self) -> u64 {
        self.duration.count()
    }

    /// Tokens of prompts and of answers.
    pub fn tokens_so_far(&self) -> (u64, u64) {
        let both = |of: &super::BySource| of.upstream.get() + of.estimated.get();
        (both(&self.prompt), both(&self.completion))
    }

    /// How many answers a client was sent, and how long their first useful bytes took together, in seconds.
    pub fn first_tokens_so_far(&self) -> (u64, f64) {
        (self.first_token.count(), self.first_token.sum())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tally_sums_what_other_labels_tell_apart() {
        let metrics = Metrics::new().unwrap();
        let backend = metrics.backend("p", "b:1");
        backend.succeeded();
        backend.succeeded();
        backend.failed("reset");
        let expected = BTreeMap::from([("ok".to_owned(), 2), ("reset".to_owned(), 1)]);
        assert_eq!(metrics.attempts().of("p", "b:1"), expected);
        assert_eq!(metrics.attempts().of("p", "other"), BTreeMap::new());
    }
}
