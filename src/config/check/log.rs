//! The `log:` section: what is told, in which form, and where.

use log::LevelFilter;

use super::path::file;
use crate::config::at::{At, one_of};
use crate::config::complaint::{Complaints, Told};
use crate::config::form::{Field, Form, may, must};
use crate::config::plan::{LogForm, LogPlan, LogTarget};
use crate::config::raw::Value;

pub(super) const FIELDS: &[Field] = &[
    may(
        "level",
        Form::Words(&["off", "error", "warn", "info", "debug"]),
        "how much is told of the daemon's life",
    ),
    may("format", Form::Words(&["json", "text"]), "of events and of requests"),
    may(
        "events",
        Form::Either(&[Form::Words(&["stdout", "stderr"]), Form::Section(FILE)]),
        "of the daemon's life",
    ),
    may(
        "access",
        Form::Either(&[Form::Words(&["stdout", "stderr", "off"]), Form::Section(FILE)]),
        "one line a request",
    ),
];
const FILE: &[Field] = &[must("file", Form::Text, "is appended to")];
const LEVELS: [(&str, LevelFilter); 5] = [
    ("off", LevelFilter::Off),
    ("error", LevelFilter::Error),
    ("warn", LevelFilter::Warn),
    ("info", LevelFilter::Info),
    ("debug", LevelFilter::Debug),
];
const FORMS: [(&str, LogForm); 2] = [("json", LogForm::Json), ("text", LogForm::Text)];
const MEND: &str = "write stdout, stderr or { file: PATH }";
const MEND_ACCESS: &str = "write stdout, stderr, off or { file: PATH }";

/// Reads the section; an empty one is all defaults.
pub(super) fn log(at: &At<'_>, out: &mut Complaints) -> Result<LogPlan, Told> {
    let fields = at.fields(FIELDS, out)?;
    let level = fields.or("level", None, out, |at, out| one_of(at, "level", &LEVELS, out).map(Some));
    let form = fields.or("format", LogForm::Json, out, |at, out| one_of(at, "format", &FORMS, out));
    let events = fields.or("events", LogTarget::Stderr, out, |at, out| target(at, MEND, out));
    let access = fields.or("access", Some(LogTarget::Stdout), out, |at, out| match at.value() {
        Value::Scalar(scalar) if &*scalar.text == "off" => Ok(None),
        Value::Scalar(_) | Value::List(_) | Value::Map(_) | Value::Refused(_) => {
            target(at, MEND_ACCESS, out).map(Some)
        }
    });
    Ok(LogPlan { level: level?, form: form?, events: events?, access: access? })
}

fn target(at: &At<'_>, mend: &str, out: &mut Complaints) -> Result<LogTarget, Told> {
    match at.value() {
        Value::Map(_) => {
            let fields = at.fields(FILE, out)?;
            let path = fields.need("file", "write the path of a file", out)?;
            file(&path, "/var/log/byname/access.log", out).map(LogTarget::File)
        }
        Value::Scalar(scalar) if &*scalar.text == "stdout" => Ok(LogTarget::Stdout),
        Value::Scalar(scalar) if &*scalar.text == "stderr" => Ok(LogTarget::Stderr),
        Value::Scalar(_) => {
            at.text(out)?;
            Err(at.complain(out, "is no target of a log", mend))
        }
        other @ (Value::List(_) | Value::Refused(_)) => Err(at.unlike(other, "a target", mend, out)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::at::tests::{complaint, reading};

    #[test]
    fn an_empty_section_is_all_defaults() {
        let expected = LogPlan {
            level: None,
            form: LogForm::Json,
            events: LogTarget::Stderr,
            access: Some(LogTarget::Stdout),
        };
        assert_eq!(reading("{}", log), Ok(expected));
    }

    #[test]
    fn every_part_can_be_written() {
        let expected = LogPlan {
            level: Some(LevelFilter::Off),
            form: LogForm::Text,
            events: LogTarget::File("/e.log".into()),
            access: None,
        };
        let text = "{ level: off, format: text, events: { file: /e.log }, access: off }";
        assert_eq!(reading(text, log), Ok(expected));
        for level in ["error", "warn", "info", "debug"] {
            assert!(reading(&format!("{{ level: {level} }}"), log).is_ok(), "{level}");
        }
    }

    #[test]
    fn what_is_no_target_is_told() {
        assert_eq!(
            complaint("{ access: syslog }", log),
            format!("t:1:11: access: is no target of a log; {MEND_ACCESS}")
        );
        assert_eq!(
            complaint("{ events: off }", log),
            format!("t:1:11: events: is no target of a log; {MEND}")
        );
        for bad in [
            "access: true",
            "access: {}",
            "access: [stdout]",
            "events: { file: '' }",
            "level: trace",
            "format: xml",
        ] {
            assert!(reading(&format!("{{ {bad} }}"), log).is_err(), "{bad}");
        }
    }
}
