//! The events of the daemon's life, through the `log` crate's macros. Lines of others, Pingora's above all, are
//! taken only from warnings on, whatever is asked for: below, they hold raw heads with keys.

use std::io::Write;
use std::str::FromStr;
use std::time::SystemTime;

use arc_swap::ArcSwapOption;
use crossbeam_utils::atomic::AtomicCell;
use log::{Level, LevelFilter, Log, Metadata, Record};
use serde::Serialize;

use crate::config::plan::{LogForm, LogPlan};
use crate::proxy::lines::{Lines, Priority};

/// What our own lines' targets begin with.
const OURS: &str = env!("CARGO_CRATE_NAME");

static EVENTS: Events = Events { form: AtomicCell::new(LogForm::Json), lines: ArcSwapOption::const_empty() };

struct Events {
    form: AtomicCell<LogForm>,
    /// None until a configuration says where they go: then they go to standard error at once.
    lines: ArcSwapOption<Lines>,
}

#[derive(Serialize)]
struct Event<'a> {
    time: &'a str,
    level: &'static str,
    message: &'a str,
}

/// Takes events from now on, on standard error until a configuration is known. `BYNAME_LOG` is the level unless
/// one is written there.
pub fn start() {
    // A second start in one process keeps what is there.
    if log::set_logger(&EVENTS).is_ok() {
        log::set_max_level(usual());
    }
}

/// Takes level, form and lines of a plan.
pub(super) fn take(plan: &LogPlan, lines: &Lines) {
    EVENTS.form.store(plan.form);
    EVENTS.lines.store(Some(lines.clone().into()));
    log::set_max_level(plan.level.unwrap_or_else(usual));
}

fn usual() -> LevelFilter {
    let asked = std::env::var("BYNAME_LOG").ok();
    asked.and_then(|level| LevelFilter::from_str(&level).ok()).unwrap_or(LevelFilter::Info)
}

impl Log for Events {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.level() <= Level::Warn || metadata.target().split("::").next() == Some(OURS)
    }

    fn log(&self, record: &Record<'_>) {
        if !self.enabled(record.metadata()) {
            return;
        }
        let line = line(self.form.load(), SystemTime::now(), record.level(), &record.args().to_string());
        match &*self.lines.load() {
            Some(lines) => lines.push(priority(record.level()), &line),
            // Nobody is left to tell that it failed.
            None => drop(std::io::stderr().write_all(&line)),
        }
    }

    fn flush(&self) {}
}

fn priority(level: Level) -> Priority {
    match level {
        Level::Error => Priority::Error,
        Level::Warn => Priority::Warning,
        Level::Info => Priority::Info,
        Level::Debug | Level::Trace => Priority::Debug,
    }
}

/// One event as one line.
fn line(form: LogForm, now: SystemTime, level: Level, message: &str) -> Vec<u8> {
    let time = humantime::format_rfc3339_millis(now).to_string();
    let level = match level {
        Level::Error => "error",
        Level::Warn => "warn",
        Level::Info => "info",
        Level::Debug => "debug",
        Level::Trace => "trace",
    };
    let mut line = match form {
        // Plain text always serialises.
        LogForm::Json => serde_json::to_vec(&Event { time: &time, level, message }).unwrap_or_default(),
        LogForm::Text => format!("{time} {level:<5} {}", message.on_one_line()).into_bytes(),
    };
    line.push(b'\n');
    line
}

/// Text whose line breaks and other controls cannot make two lines of one.
trait OneLine {
    fn on_one_line(&self) -> String;
}

impl OneLine for str {
    fn on_one_line(&self) -> String {
        let one = |c: char| if c.is_control() { c.escape_default().to_string() } else { c.to_string() };
        self.chars().map(one).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_one_line_in_either_form() {
        let at = SystemTime::UNIX_EPOCH;
        let told = |form| String::from_utf8(line(form, at, Level::Warn, "a\n\"b\" 日本")).unwrap();
        assert_eq!(
            told(LogForm::Json),
            "{\"time\":\"1970-01-01T00:00:00.000Z\",\"level\":\"warn\",\"message\":\"a\\n\\\"b\\\" 日本\"}\n"
        );
        assert_eq!(told(LogForm::Text), "1970-01-01T00:00:00.000Z warn  a\\n\"b\" 日本\n");
    }

    #[test]
    fn lines_of_others_are_taken_only_from_warnings_on() {
        let taken =
            |target: &str, level| EVENTS.enabled(&Metadata::builder().target(target).level(level).build());
        for theirs in ["pingora_core::protocols", "h2", "rustls::client", "bynames", ""] {
            assert!(taken(theirs, Level::Warn) && taken(theirs, Level::Error));
            assert!(
                !taken(theirs, Level::Info) && !taken(theirs, Level::Debug) && !taken(theirs, Level::Trace)
            );
        }
        assert!(taken("byname", Level::Trace) && taken("byname::daemon::boot", Level::Info));
    }
}
