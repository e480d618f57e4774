//! Another configuration in place of the one that runs: read, checked, built and swapped, or not at all.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, Weak};
use std::time::SystemTime;

use super::assemble::{Lasting, assemble};
use super::certificates::ends::{End, ends};
use super::load::{self, Loaded};
use super::log::Logs;
use super::{certificates, held, notify};
use crate::config::changed;
use crate::config::live::Live;
use crate::config::place::{Fault, Weight};
use crate::config::plan::Plan;
use crate::config::snapshot::Snapshot;
use crate::metrics::{Metrics, Present};
use crate::proxy::Gateway;
use crate::proxy::door::entrance::Entrance;

/// How the last reload ended.
#[derive(Debug, Clone)]
pub struct Report {
    /// When it ended, or the start did.
    pub at: SystemTime,
    /// Why it was refused; nothing when it was taken.
    pub complaints: Vec<String>,
    /// What is unwise about what was taken.
    pub warnings: Vec<String>,
    /// Which configuration runs, counted from 1.
    pub generation: i64,
}

/// Takes other configurations, one at a time.
pub struct Reloader {
    pub file: PathBuf,
    pub live: Arc<Live<Snapshot>>,
    pub metrics: Arc<Metrics>,
    pub lasting: Lasting,
    /// In the order of the listeners.
    entrances: Vec<Arc<Entrance>>,
    logs: Logs,
    running: Mutex<Plan>,
    report: Mutex<Report>,
    /// Configurations that some request may still hold.
    held: Mutex<Vec<Weak<Snapshot>>>,
    /// When the certificates that are shown now end.
    ends: Mutex<Vec<End>>,
}

impl Reloader {
    /// For a process that runs `loaded`.
    pub fn new(
        file: PathBuf,
        loaded: &Loaded,
        unwise: &[Fault],
        gateway: Gateway,
        entrances: Vec<Arc<Entrance>>,
        lasting: Lasting,
        logs: Logs,
    ) -> Self {
        let Gateway { live, metrics, .. } = gateway;
        metrics.config_generation.set(1);
        let warnings = warn(loaded, unwise);
        let report = Report { at: SystemTime::now(), complaints: Vec::new(), warnings, generation: 1 };
        let (running, report) = (Mutex::new(loaded.plan.clone()), Mutex::new(report));
        let held = Mutex::new(vec![Arc::downgrade(&live.load())]);
        let ends = Mutex::new(ends(&loaded.plan));
        Self { file, live, metrics, lasting, entrances, logs, running, report, held, ends }
    }

    /// How many configurations are in use: the one that runs, and those that requests began with and still hold.
    pub fn in_use(&self) -> usize {
        let mut all = held(&self.held);
        all.retain(|snapshot| snapshot.strong_count() > 0);
        all.len()
    }

    /// When the certificates that are shown now end.
    pub fn ends(&self) -> Vec<End> {
        held(&self.ends).clone()
    }

    /// How the last one ended.
    pub fn report(&self) -> Report {
        held(&self.report).clone()
    }

    /// What runs, for `systemctl status`.
    pub fn status(&self) -> String {
        let Report { complaints, generation, .. } = self.report();
        match complaints.split_first() {
            None => format!("serving, configuration {generation}"),
            Some((first, [])) => format!("serving, configuration {generation}; reload refused: {first}"),
            Some((first, more)) => {
                let more = more.len();
                format!("serving, configuration {generation}; reload refused: {first} (and {more} more)")
            }
        }
    }

    /// Takes what is written in the files now. Requests that run keep the configuration that they began with.
    /// When it is refused, everything is as it was.
    ///
    /// # Errors
    /// All that is wrong, a complaint a line.
    pub fn reload(&self) -> Result<Report, Vec<String>> {
        // One at a time; whoever waits gets what is written when its turn comes.
        let mut running = held(&self.running);
        notify::reloading();
        let outcome = self.take(&mut running);
        let outcome = self.reported(outcome);
        // Whatever came of it, we serve.
        notify::ready(&self.status());
        outcome
    }

    fn reported(&self, outcome: Result<Vec<String>, Vec<String>>) -> Result<Report, Vec<String>> {
        let at = SystemTime::now();
        let mut report = held(&self.report);
        match outcome {
            Ok(warnings) => {
                self.metrics.config_generation.inc();
                self.metrics.reload_successful.set(1);
                self.metrics.reloads.taken.inc();
                let generation = self.metrics.config_generation.get();
                *report = Report { at, complaints: Vec::new(), warnings, generation };
                log::info!("configuration {generation} is taken from {}", self.file.display());
                Ok(report.clone())
            }
            Err(complaints) => {
                self.metrics.reload_successful.set(0);
                self.metrics.reloads.refused.inc();
                report.at = at;
                report.complaints.clone_from(&complaints);
                for complaint in &complaints {
                    log::error!("{complaint}");
                }
                log::error!("the configuration is refused; configuration {} goes on", report.generation);
                Err(complaints)
            }
        }
    }

    fn take(&self, running: &mut Plan) -> Result<Vec<String>, Vec<String>> {
        let lines = |complaints: crate::config::Complaints| {
            complaints.to_string().lines().map(str::to_owned).collect::<Vec<_>>()
        };
        let loaded = load::load(&self.file).map_err(lines)?;
        let faults = changed::boot_only(running, &loaded.plan);
        if !faults.is_empty() {
            return Err(lines(loaded.located(&faults)));
        }
        let assembled = assemble(&loaded.plan, &self.metrics, &self.lasting);
        let shown = certificates::of_listeners(&loaded.plan.certificates);
        let opened = super::log::open(&loaded.plan.log);
        let ready = assembled.and_then(|assembled| Ok((assembled, shown?, opened?)));
        let (assembled, shown, opened) = ready.map_err(|faults| {
            // What was made for it to be counted goes with it.
            self.metrics.forget(&present(&loaded.plan), &present(running));
            lines(loaded.located(&faults))
        })?;
        let warnings = warn(&loaded, &assembled.unwise);
        for (place, certificates) in shown {
            if let Some(entrance) = self.entrances.get(place) {
                entrance.renew(certificates);
            }
        }
        self.logs.take(opened, &loaded.plan.log);
        self.live.swap(assembled.begin(&self.lasting.fleet));
        self.in_use();
        held(&self.held).push(Arc::downgrade(&self.live.load()));
        *held(&self.ends) = ends(&loaded.plan);
        self.metrics.forget(&present(running), &present(&loaded.plan));
        *running = loaded.plan;
        Ok(warnings)
    }
}

/// Says what is unwise about a configuration that is taken.
fn warn(loaded: &Loaded, unwise: &[Fault]) -> Vec<String> {
    let unwise: Vec<_> = unwise.iter().filter(|fault| fault.weight == Weight::Unwise).cloned().collect();
    if unwise.is_empty() {
        return Vec::new();
    }
    let warnings: Vec<_> = loaded.located(&unwise).to_string().lines().map(str::to_owned).collect();
    for warning in &warnings {
        log::warn!("{warning}");
    }
    warnings
}

/// Whom a plan counts.
fn present(plan: &Plan) -> Present {
    let backends = plan.pools.iter().flat_map(|pool| {
        pool.backends.iter().map(|backend| (pool.name.as_str().to_owned(), backend.name.as_str().to_owned()))
    });
    let aliases = plan.tenants.iter().flat_map(|tenant| {
        let id = tenant.id.as_str();
        let none = std::iter::once((id.to_owned(), String::new()));
        none.chain(tenant.models.iter().map(move |model| (id.to_owned(), model.alias.as_str().to_owned())))
    });
    let policies = plan.policies.iter().map(|policy| policy.name.as_str().to_owned());
    Present { backends: backends.collect(), aliases: aliases.collect(), policies: policies.collect() }
}
