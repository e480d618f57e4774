//! Our own share of a request's time: what passes while nobody is waited for.

use std::time::{Duration, Instant};

/// A stopwatch that can be started and stopped again; doing either twice is as doing it once.
#[derive(Debug, Clone, Copy)]
pub struct Stopwatch {
    before: Duration,
    state: State,
}

#[derive(Debug, Clone, Copy)]
enum State {
    Stopped,
    Running(Instant),
}

impl Stopwatch {
    /// One that runs from now on.
    pub fn started(now: Instant) -> Self {
        Self { before: Duration::ZERO, state: State::Running(now) }
    }

    /// From now on the time is ours.
    pub fn start(&mut self, now: Instant) {
        match self.state {
            State::Stopped => self.state = State::Running(now),
            State::Running(_) => {}
        }
    }

    /// From now on somebody else is waited for.
    pub fn stop(&mut self, now: Instant) {
        match self.state {
            State::Stopped => {}
            State::Running(since) => {
                self.before += now.saturating_duration_since(since);
                self.state = State::Stopped;
            }
        }
    }

    /// All stretches that have been stopped.
    pub fn total(&self) -> Duration {
        self.before
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_passes_between_a_start_and_a_stop_counts() {
        let began = Instant::now();
        let at = |millis| began + Duration::from_millis(millis);
        let mut watch = Stopwatch::started(at(0));
        watch.stop(at(3));
        watch.stop(at(5));
        watch.start(at(10));
        watch.start(at(12));
        assert_eq!(watch.total(), Duration::from_millis(3));
        watch.stop(at(14));
        assert_eq!(watch.total(), Duration::from_millis(7));
    }
}
