//! Active checks of a pool, and whose word on an address counts when there are several.

use std::sync::{Arc, Mutex};

use pingora_load_balancing::{Backend as Target, HealthRegistry};

use super::held;
use crate::daemon::probe::{self, Checks};
use crate::metrics::BackendMetrics;
use crate::names::{BackendName, PoolName};
use crate::rules::vitals::Vitals;

/// The active checks of a pool, as long as their thresholds stay the same.
pub struct Checking {
    pub(super) thresholds: Option<(usize, usize)>,
    /// The configuration that they began with.
    pub since: u64,
    pub registry: Arc<HealthRegistry>,
    /// Held during a round. Two rounds at once could turn an address's health in one order and tell of it
    /// in the other.
    pub round: tokio::sync::Mutex<()>,
}

/// What a check's outcome is told to; in the target's `ext`.
pub struct Checked {
    pub pool: PoolName,
    pub name: BackendName,
    pub vitals: Arc<Vitals>,
    pub word: Word,
    pub metrics: Arc<BackendMetrics>,
}

/// Where those who check one address speak, one at a time.
#[derive(Clone, Default)]
pub struct Floor(Arc<Mutex<Speaker>>);

/// Who has it.
#[derive(Default)]
struct Speaker {
    generation: u64,
    key: u64,
}

/// What the checks of one key have to say about an address. It counts as long as they have the floor.
pub struct Word {
    floor: Floor,
    key: u64,
}

impl Checking {
    pub(super) fn new(thresholds: Option<(usize, usize)>, since: u64) -> Self {
        let (failures, successes) = thresholds.unwrap_or((1, 1));
        let registry = probe::registry(Checks {
            failures,
            successes,
            on_change: Box::new(changed),
            on_result: Box::new(|target, result| {
                if let Some(checked) = target.ext.get::<Arc<Checked>>() {
                    checked.metrics.checked(result.err().unwrap_or("ok"));
                }
            }),
        });
        Self { thresholds, since, registry, round: tokio::sync::Mutex::default() }
    }
}

impl Floor {
    /// Gives the checks of this key the floor, unless a later generation has taken it.
    pub(super) fn word(&self, generation: u64, key: u64) -> Word {
        let mut speaker = held(&self.0);
        if generation >= speaker.generation {
            *speaker = Speaker { generation, key };
        }
        Word { floor: self.clone(), key }
    }
}

impl Word {
    /// Says whether an address is up, and gives whether that counts. What is found while `is_up` looks is
    /// said after it, so that the last word is the latest.
    pub fn say(&self, vitals: &Vitals, is_up: impl FnOnce() -> bool) -> bool {
        let speaker = held(&self.floor.0);
        let counts = speaker.key == self.key;
        if counts {
            vitals.set_up(is_up());
        }
        counts
    }
}

fn changed(target: &Target, healthy: bool) {
    let Some(checked) = target.ext.get::<Arc<Checked>>() else { return };
    if !checked.word.say(&checked.vitals, || healthy) {
        return;
    }
    let (pool, name) = (&checked.pool, &checked.name);
    if healthy {
        log::info!("backend {name} of pool {pool} is up again at {}", target.addr);
    } else {
        log::warn!("backend {name} of pool {pool} is down at {}: its checks fail", target.addr);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::channel;
    use std::time::Duration;

    use super::*;

    #[test]
    fn what_is_found_while_another_looks_is_the_last_word() {
        let vitals = Arc::<Vitals>::default();
        let floor = Floor::default();
        let (looking, checking) = (floor.word(1, 1), floor.word(1, 1));
        let told = vitals.clone();
        let (done, is_done) = channel();
        let mut check = None;
        looking.say(&vitals, || {
            check = Some(std::thread::spawn(move || {
                checking.say(&told, || false);
                done.send(()).unwrap();
            }));
            // It has had its time, and must not have said anything.
            is_done.recv_timeout(Duration::from_millis(100)).unwrap_err();
            true
        });
        check.unwrap().join().unwrap();
        assert!(!vitals.is_up());
    }

    #[test]
    fn only_the_latest_configurations_checks_count() {
        let vitals = Vitals::default();
        let floor = Floor::default();
        let old = floor.word(1, 7);
        let same = floor.word(2, 7);
        assert!(old.say(&vitals, || true) && same.say(&vitals, || true));
        let new = floor.word(3, 8);
        let late = floor.word(2, 7);
        for word in [old, same, late] {
            assert!(!word.say(&vitals, || false));
        }
        assert!(vitals.is_up());
        assert!(new.say(&vitals, || false) && !vitals.is_up());
    }
}
