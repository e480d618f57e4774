//! The `timeouts:` of a pool.

use std::time::Duration;

use crate::config::at::{At, Fields};
use crate::config::complaint::{Complaints, Told};
use crate::config::form::{Field, Form, may};
use crate::config::plan::Timeouts;
use crate::config::units::{DAY, TICK, duration, shown_duration};

pub(super) const FIELDS: &[Field] = &[
    may("connect", Form::Duration, "TLS included"),
    may("first_byte", Form::Duration, "to the first useful event, or to the head of a JSON answer"),
    may("idle", Form::Duration, "between two events, or two pieces of a JSON answer"),
    may("total", Form::Duration, "the whole request, all attempts together"),
];
const CONNECT: Duration = Duration::from_secs(2);
const FIRST_BYTE: Duration = Duration::from_secs(60);
const IDLE: Duration = Duration::from_secs(60);
const TOTAL: Duration = Duration::from_secs(10 * 60);

/// No part may take longer than the whole; a part that was not written is cut to it.
pub(super) fn timeouts(at: &At<'_>, out: &mut Complaints) -> Result<Timeouts, Told> {
    let fields = at.fields(FIELDS, out)?;
    let total = fields.or("total", TOTAL, out, |at, out| duration(at, TICK..=DAY, out));
    let connect = part(&fields, "connect", CONNECT, total, out);
    let first_byte = part(&fields, "first_byte", FIRST_BYTE, total, out);
    let idle = part(&fields, "idle", IDLE, total, out);
    Ok(Timeouts { connect: connect?, first_byte: first_byte?, idle: idle?, total: total? })
}

fn part(
    fields: &Fields<'_>,
    name: &'static str,
    default: Duration,
    total: Result<Duration, Told>,
    out: &mut Complaints,
) -> Result<Duration, Told> {
    let Some(at) = fields.get(name) else {
        return total.map(|total| default.min(total));
    };
    let part = duration(&at, TICK..=DAY, out)?;
    match total {
        Ok(total) if part > total => {
            let wrong =
                format!("{} is longer than `total` ({})", shown_duration(part), shown_duration(total));
            Err(at.complain(out, wrong, "shorten it, or raise `total`"))
        }
        Ok(_) | Err(_) => Ok(part),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::at::tests::{complaint, reading};

    #[test]
    fn timeouts_that_were_not_written_are_cut_to_the_total() {
        let read = reading("{ total: 30s }", timeouts).unwrap();
        assert_eq!((read.connect, read.first_byte), (CONNECT, Duration::from_secs(30)));
        assert!(reading("{ total: 30s, idle: 30s }", timeouts).is_ok());
        assert_eq!(
            complaint("{ total: 30s, idle: 31s }", timeouts),
            "t:1:21: idle: 31s is longer than `total` (30s); shorten it, or raise `total`"
        );
    }
}
