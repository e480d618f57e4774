//! The `limits:` of a tenant, a key, an alias or a pool.

use std::ops::RangeInclusive;

use super::server::Server;
use crate::config::at::{At, Fields};
use crate::config::complaint::{Complaints, Told};
use crate::config::form::{Field, Form, may};
use crate::config::plan::{LimitRules, StorePlan};
use crate::config::units::whole;

const REQUESTS: Field = may("requests_per_minute", Form::Whole(1, 1_000_000_000_000), "requests in a minute");
const TOKENS: Field =
    may("tokens_per_minute", Form::Whole(1, 1_000_000_000_000), "tokens of prompts and answers in a minute");
const CONCURRENT: Field = may("concurrent", Form::Whole(1, 1_000_000), "requests at the same time");
pub(super) const LASTING: &[Field] = &[
    REQUESTS,
    TOKENS,
    CONCURRENT,
    may("tokens_per_day", Form::Whole(1, 1_000_000_000_000), "tokens in a day (UTC)"),
    may("tokens_per_month", Form::Whole(1, 1_000_000_000_000), "tokens in a month (UTC)"),
];
pub(super) const PASSING: &[Field] = &[REQUESTS, TOKENS, CONCURRENT];
/// Far beyond what anybody serves, and far from where sums overflow.
const RATE_BOUNDS: RangeInclusive<u64> = 1..=1_000_000_000_000;
const CONCURRENT_BOUNDS: RangeInclusive<u64> = 1..=1_000_000;

/// Whether what was used up in a day or a month outlives the process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kept {
    Yes,
    /// Nobody wrote where.
    No,
    /// Where it would be written could not be read, so that every such limit would be wrong.
    Unknown,
}

/// Whether there is a place for what must outlive the process.
pub(super) fn kept(server: &Result<Server, Told>, store: &Result<Option<StorePlan>, Told>) -> Kept {
    match (server, store) {
        (Ok(server), Ok(store)) if server.boot.state_dir.is_none() && store.is_none() => Kept::No,
        (Ok(_), Ok(_)) => Kept::Yes,
        (Err(_), _) | (_, Err(_)) => Kept::Unknown,
    }
}

/// Reads the limits of a pool or an alias: those that are over within a minute.
pub(super) fn passing(at: &At<'_>, out: &mut Complaints) -> Result<LimitRules, Told> {
    let fields = at.fields_explained(PASSING, of_tenants_alone, out)?;
    by_the_minute(&fields, out)
}

/// Reads the limits of a tenant or a key; those of a day or a month must be kept somewhere.
pub(super) fn lasting(at: &At<'_>, kept: Kept, out: &mut Complaints) -> Result<LimitRules, Told> {
    let fields = at.fields(LASTING, out)?;
    let rules = by_the_minute(&fields, out);
    let tokens_per_day = fields.or("tokens_per_day", None, out, |at, out| quota(at, kept, out));
    let tokens_per_month = fields.or("tokens_per_month", None, out, |at, out| quota(at, kept, out));
    Ok(LimitRules { tokens_per_day: tokens_per_day?, tokens_per_month: tokens_per_month?, ..rules? })
}

fn by_the_minute(fields: &Fields<'_>, out: &mut Complaints) -> Result<LimitRules, Told> {
    let requests_per_minute = fields.or("requests_per_minute", None, out, rate);
    let tokens_per_minute = fields.or("tokens_per_minute", None, out, rate);
    let concurrent =
        fields.or("concurrent", None, out, |at, out| whole(at, CONCURRENT_BOUNDS, out).map(Some));
    Ok(LimitRules {
        requests_per_minute: requests_per_minute?,
        tokens_per_minute: tokens_per_minute?,
        concurrent: concurrent?,
        ..LimitRules::default()
    })
}

fn rate(at: &At<'_>, out: &mut Complaints) -> Result<Option<u64>, Told> {
    whole(at, RATE_BOUNDS, out).map(Some)
}

fn quota(at: &At<'_>, kept: Kept, out: &mut Complaints) -> Result<Option<u64>, Told> {
    let quota = rate(at, out)?;
    match kept {
        Kept::Yes | Kept::Unknown => Ok(quota),
        Kept::No => {
            Err(at.complain(out, "has nowhere to be kept", "write server.state_dir, or limits_store"))
        }
    }
}

fn of_tenants_alone(name: &str) -> Option<(&'static str, &'static str)> {
    matches!(name, "tokens_per_day" | "tokens_per_month")
        .then_some(("is for tenants and keys alone", "write it under the `limits` of one of them"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::at::tests::{complaint, reading};

    #[test]
    fn nothing_is_limited_unless_written() {
        assert_eq!(reading("{}", passing), Ok(LimitRules::default()));
        assert_eq!(reading("{}", |at, out| lasting(at, Kept::No, out)), Ok(LimitRules::default()));
    }

    #[test]
    fn limits_are_whole_numbers_within_bounds() {
        let text = "{ requests_per_minute: 1, tokens_per_minute: 1000000000000, concurrent: 1000000 }";
        let expected = LimitRules {
            requests_per_minute: Some(1),
            tokens_per_minute: Some(1_000_000_000_000),
            concurrent: Some(1_000_000),
            ..LimitRules::default()
        };
        assert_eq!(reading(text, passing), Ok(expected));
        for bad in [
            "requests_per_minute: 0",
            "requests_per_minute: 1000000000001",
            "tokens_per_minute: 1e6",
            "tokens_per_minute: 200_000",
            "tokens_per_minute: '5'",
            "concurrent: 0",
            "concurrent: 1000001",
            "concurrent: -1",
            "concurrent: ~",
            "requests_per_minut: 1",
        ] {
            assert!(reading(&format!("{{ {bad} }}"), passing).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_day_must_be_kept_somewhere() {
        let text = "{ tokens_per_day: 5, tokens_per_month: 1000000000000 }";
        let read = reading(text, |at, out| lasting(at, Kept::Yes, out)).unwrap();
        assert_eq!((read.tokens_per_day, read.tokens_per_month), (Some(5), Some(1_000_000_000_000)));
        assert!(reading(text, |at, out| lasting(at, Kept::Unknown, out)).is_ok());
        assert_eq!(
            complaint("{ tokens_per_day: 5 }", |at, out| lasting(at, Kept::No, out)),
            "t:1:19: tokens_per_day: has nowhere to be kept; write server.state_dir, or limits_store"
        );
        let told = complaint("{ tokens_per_day: 0 }", |at, out| lasting(at, Kept::No, out));
        assert_eq!(told.lines().count(), 1, "{told}");
    }

    #[test]
    fn pools_and_aliases_have_no_day() {
        let told = complaint("{ tokens_per_day: 5 }", |at, out| {
            passing(at, out).and_then(|_| Err::<(), _>(at.complain(out, "", "")))
        });
        let expected = "t:1:3: tokens_per_day: is for tenants and keys alone; \
                        write it under the `limits` of one of them";
        assert!(told.contains(expected), "{told}");
    }
}
