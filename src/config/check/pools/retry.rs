//! The `retry:` of a pool: how often a request that failed may be tried again.

use std::ops::RangeInclusive;

use crate::config::at::{At, truth};
use crate::config::complaint::{Complaints, Told};
use crate::config::form::{Field, Form, may};
use crate::config::plan::RetryRules;
use crate::config::units::{count, percent};

pub(super) const FIELDS: &[Field] = &[
    may("attempts", Form::Whole(1, 16), "how many backends a request is sent to at most"),
    may("resend", Form::Whole(0, 15), "how often it is sent again although a backend may have worked on it"),
    may("budget", Form::Percent, "retries of an alias, as a share of its requests of the last ten seconds"),
    may("on_timeout", Form::Truth, "whether it is sent again when no first byte came in time"),
];
const ATTEMPTS: usize = 3;
/// A request that failed sixteen times will not be saved by a seventeenth.
const ATTEMPTS_BOUNDS: RangeInclusive<usize> = 1..=16;
const RESEND: usize = 1;
const RESEND_BOUNDS: RangeInclusive<usize> = 0..=15;
const BUDGET: u8 = 20;

/// Reads the map; an empty one is all defaults.
pub(super) fn retry(at: &At<'_>, out: &mut Complaints) -> Result<RetryRules, Told> {
    let fields = at.fields(FIELDS, out)?;
    let attempts = fields.or("attempts", ATTEMPTS, out, |at, out| count(at, ATTEMPTS_BOUNDS, out));
    let resend = fields.or("resend", RESEND, out, |at, out| count(at, RESEND_BOUNDS, out));
    let budget = fields.or("budget", BUDGET, out, |at, out| percent(at, 0..=100, out));
    let on_timeout = fields.or("on_timeout", true, out, truth);
    Ok(RetryRules { attempts: attempts?, resend: resend?, budget: budget?, on_timeout: on_timeout? })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::at::tests::reading;

    #[test]
    fn an_empty_map_is_all_defaults() {
        let expected = RetryRules { attempts: 3, resend: 1, budget: 20, on_timeout: true };
        assert_eq!(reading("{}", retry), Ok(expected));
    }

    #[test]
    fn every_part_has_its_bounds() {
        let never = RetryRules { attempts: 1, resend: 0, budget: 0, on_timeout: false };
        assert_eq!(reading("{ attempts: 1, resend: 0, budget: 0%, on_timeout: false }", retry), Ok(never));
        let always = RetryRules { attempts: 16, resend: 15, budget: 100, on_timeout: true };
        assert_eq!(reading("{ attempts: 16, resend: 15, budget: 100% }", retry), Ok(always));
        for bad in
            ["attempts: 0", "attempts: 17", "resend: 16", "budget: 101%", "budget: 0.2", "on_timeout: yes"]
        {
            assert!(reading(&format!("{{ {bad} }}"), retry).is_err(), "{bad}");
        }
    }
}
