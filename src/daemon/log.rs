//! The two logs: one line a request, and the events of the daemon's life. Each has lines, a writer and a target of
//! its own; a reload changes level, form and target, and opens files anew, so that they can be rotated.

mod events;
mod target;

use std::time::Duration;

pub use self::events::start;
use self::target::Target;
use crate::config::place::{Fault, Way};
use crate::config::plan::{LogPlan, LogTarget};
use crate::metrics::Metrics;
use crate::proxy::lines::Lines;

/// How long lines about requests gather: one system call for many of them.
const GATHER: Duration = Duration::from_millis(20);
/// How long the last lines may take when the process ends.
const LAST_LINES: Duration = Duration::from_secs(1);

/// Both logs. Clones share them.
#[derive(Clone)]
pub struct Logs {
    pub access: Lines,
    pub events: Lines,
}

/// Targets that have been opened and are not written to yet.
pub struct Opened {
    access: Target,
    events: Target,
}

impl Logs {
    /// Logs with a thread each, which lead nowhere yet.
    ///
    /// # Errors
    /// When no thread can be started.
    pub fn begin(metrics: &Metrics) -> std::io::Result<Self> {
        let dropped = &metrics.log_lines_dropped;
        let logs =
            Self { access: Lines::new(dropped.access.clone()), events: Lines::new(dropped.events.clone()) };
        for (name, lines, gather) in
            [("access log", &logs.access, GATHER), ("events", &logs.events, Duration::ZERO)]
        {
            let lines = lines.clone();
            std::thread::Builder::new().name(name.into()).spawn(move || lines.write(gather))?;
        }
        Ok(logs)
    }

    /// Goes on with what a plan says.
    pub fn take(&self, opened: Opened, plan: &LogPlan) {
        self.access.go_to(Box::new(opened.access));
        self.events.go_to(Box::new(opened.events));
        events::take(plan, &self.events);
    }

    /// Waits for the last lines, and not for long.
    pub fn flush(&self) {
        self.access.flush(LAST_LINES);
        self.events.flush(LAST_LINES);
    }
}

/// Opens what a plan names.
///
/// # Errors
/// The files that cannot be opened.
pub fn open(plan: &LogPlan) -> Result<Opened, Vec<Fault>> {
    let access = plan.access.as_ref().map_or_else(
        || Ok(Target::nobody()),
        |target| Target::open(target).map_err(|why| fault("access", target, &why)),
    );
    let events = Target::open(&plan.events).map_err(|why| fault("events", &plan.events, &why));
    match (access, events) {
        (Ok(access), Ok(events)) => Ok(Opened { access, events }),
        (access, events) => Err(access.err().into_iter().chain(events.err()).collect()),
    }
}

/// What would keep [`open`] from it, as far as can be told without making a file.
pub fn obstacles(plan: &LogPlan) -> Vec<Fault> {
    let targets = plan.access.iter().map(|target| ("access", target)).chain([("events", &plan.events)]);
    targets.filter_map(|(field, of)| Some(fault(field, of, &target::obstacle(of)?))).collect()
}

fn fault(field: &str, target: &LogTarget, why: &std::io::Error) -> Fault {
    let name = match target {
        LogTarget::Stdout => "standard output".to_owned(),
        LogTarget::Stderr => "standard error".to_owned(),
        LogTarget::File(path) => path.display().to_string(),
    };
    let way = Way::to("log").field(field);
    Fault::obstacle(
        way,
        format!("{name} cannot be written: {why}"),
        "see to its directory and who may write there",
    )
}
