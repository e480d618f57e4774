//! What is lost without a request being any the worse for it, and so is seen by nobody who does not look.

use super::attention::{Level, Notice};
use super::gather::Sources;
use super::history::{EVERY, Who};
use super::words::count;
use crate::metrics::Metrics;

/// What can be lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Loss {
    AccessLines,
    EventLines,
    Traces,
}

impl Loss {
    const ALL: [Self; 3] = [Self::AccessLines, Self::EventLines, Self::Traces];

    fn so_far(self, metrics: &Metrics) -> u64 {
        match self {
            Self::AccessLines => metrics.log_lines_dropped.access.get(),
            Self::EventLines => metrics.log_lines_dropped.events.get(),
            Self::Traces => metrics.traces.dropped.get() + metrics.traces.failed.get(),
        }
    }

    /// Of `number` of them in the last two minutes.
    fn notice(self, number: u64) -> Notice {
        let lines = "its reader is too slow, or the disk is full";
        let (level, about, what, why) = match self {
            Self::AccessLines => (Level::Act, "access log", "lines", lines),
            Self::EventLines => (Level::Act, "events", "lines", lines),
            Self::Traces => (Level::Watch, "tracing", "traces", "the collector does not take them"),
        };
        let what = format!("some {} {what} were lost in the last two minutes: {why}", count(number));
        Notice::new(level, about, what)
    }
}

/// What was lost so far, for the history.
pub fn so_far(metrics: &Metrics) -> impl Iterator<Item = (Who, u64)> {
    Loss::ALL.into_iter().map(|loss| (Who::Lost(loss), loss.so_far(metrics)))
}

/// What was lost of late, and what of budgets would be if the process ended now.
pub fn notices(sources: &Sources) -> Vec<Notice> {
    let lost = Loss::ALL.into_iter().filter_map(|loss| {
        let rates = sources.history.pace(&Who::Lost(loss)).rates;
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a rounded count")]
        let number = (rates.iter().sum::<f32>() * EVERY.as_secs_f32()).round() as u64;
        (number > 0).then(|| loss.notice(number))
    });
    let unkept = sources.keeper.as_ref().and_then(|keeper| keeper.failure()).map(|why| {
        let what = format!("cannot be kept, and a restart forgets what was used since: {why}");
        Notice::new(Level::Act, "budgets", what)
    });
    lost.chain(unkept).collect()
}
