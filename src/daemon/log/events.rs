//! The events of the daemon's life, through the `log` crate's macros. Lines of others, Pingora's above all, are
//! taken only from warnings on, whatever is asked for: below, they hold raw heads with keys. Warnings may hold them
//! as well, inside of the errors that they repeat, so that of most there is only the place.

use std::borrow::Cow;
use std::io::Write;
use std::str::FromStr;
use std::time::SystemTime;

use arc_swap::ArcSwapOption;
use crossbeam_utils::atomic::AtomicCell;
use log::{Level, LevelFilter, Log, Metadata, Record};
use serde::Serialize;

use crate::config::plan::{LogForm, LogPlan};
use crate::proxy::about;
use crate::proxy::lines::{Lines, Priority};

/// What our own lines' targets begin with.
const OURS: &str = env!("CARGO_CRATE_NAME");
/// Modules of others that know of the process and its sockets, and of nothing that is sent there.
const HARMLESS: [&str; 3] = ["pingora_core::server", "pingora_core::services", "pingora_core::listeners"];

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
    /// Of the request that it is about, if it is about one.
    #[serde(skip_serializing_if = "Option::is_none")]
    request_id: Option<&'a str>,
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
        let (form, id) = (self.form.load(), about::now());
        let id = id.as_ref().map(|id| id.as_str());
        let line = line(form, SystemTime::now(), record.level(), &words(record), id);
        match &*self.lines.load() {
            Some(lines) => lines.push(priority(record.level()), &line),
            // Nobody is left to tell that it failed.
            None => drop(std::io::stderr().write_all(&line)),
        }
    }

    fn flush(&self) {}
}

/// What is told of a record: all of ours. Of others' what was written before anything was sent, or what knows of
/// nothing that is; else where to find it in their source.
fn words<'r>(record: &Record<'r>) -> Cow<'r, str> {
    let target = record.target();
    let within = |module: &str| {
        target.strip_prefix(module).is_some_and(|rest| rest.is_empty() || rest.starts_with("::"))
    };
    match record.args().as_str() {
        Some(text) => text.into(),
        None if within(OURS) || HARMLESS.into_iter().any(within) => record.args().to_string().into(),
        None => {
            format!("{target}, line {}: its words may hold what was sent", record.line().unwrap_or_default())
                .into()
        }
    }
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
fn line(form: LogForm, now: SystemTime, level: Level, message: &str, id: Option<&str>) -> Vec<u8> {
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
        LogForm::Json => {
            let event = Event { time: &time, level, message, request_id: id };
            serde_json::to_vec(&event).unwrap_or_default()
        }
        LogForm::Text => {
            let id = id.map_or_else(String::new, |id| format!(" request_id={id}"));
            format!("{time} {level:<5} {}{id}", message.on_one_line()).into_bytes()
        }
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
        let told = |form| String::from_utf8(line(form, at, Level::Warn, "a\n\"b\" 日本", None)).unwrap();
        assert_eq!(
            told(LogForm::Json),
            "{\"time\":\"1970-01-01T00:00:00.000Z\",\"level\":\"warn\",\"message\":\"a\\n\\\"b\\\" 日本\"}\n"
        );
        assert_eq!(told(LogForm::Text), "1970-01-01T00:00:00.000Z warn  a\\n\"b\" 日本\n");
        let of_a_request = |form| String::from_utf8(line(form, at, Level::Warn, "a", Some("i"))).unwrap();
        assert!(of_a_request(LogForm::Json).ends_with("\"message\":\"a\",\"request_id\":\"i\"}\n"));
        assert_eq!(of_a_request(LogForm::Text), "1970-01-01T00:00:00.000Z warn  a request_id=i\n");
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

    #[test]
    fn of_others_nothing_is_repeated_that_may_have_been_sent() {
        fn told(target: &str, args: std::fmt::Arguments<'_>) -> String {
            words(&Record::builder().target(target).line(Some(7)).args(args).build()).into_owned()
        }
        let key = "bn-key";
        for ours in ["byname", "byname::daemon::boot", "pingora_core::services::listening"] {
            assert_eq!(told(ours, format_args!("it is {key}")), "it is bn-key", "{ours}");
        }
        for theirs in ["pingora_core::apps::http_app", "pingora_core::servers", "bynames", "h2", ""] {
            let said = told(theirs, format_args!("buf: {key}"));
            assert_eq!(said, format!("{theirs}, line 7: its words may hold what was sent"));
            assert_eq!(told(theirs, format_args!("a constant")), "a constant");
        }
    }
}
