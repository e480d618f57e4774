//! The `queue:` of an alias: where requests wait for others to end.

use std::ops::RangeInclusive;
use std::time::Duration;

use crate::config::at::At;
use crate::config::complaint::{Complaints, Told};
use crate::config::form::{Field, Form, may};
use crate::config::plan::{KeyPlan, LimitRules, PoolPlan, QueueRules, RoutePlan};
use crate::config::units::{count, duration};
use crate::names::PoolName;

pub(super) const FIELDS: &[Field] =
    &[may("wait", Form::Duration, "at most"), may("depth", Form::Whole(1, 1_000), "how many wait at most")];
const WAIT: Duration = Duration::from_secs(2);
/// Who would wait less need not wait; who would wait longer has gone.
const WAIT_BOUNDS: RangeInclusive<Duration> = Duration::from_millis(10)..=Duration::from_secs(5 * 60);
const DEPTH: usize = 100;
const DEPTH_BOUNDS: RangeInclusive<usize> = 1..=1_000;

/// Reads the map; an empty one is all defaults. `waited` is whether there is anything to wait for.
pub(super) fn queue(at: &At<'_>, waited: bool, out: &mut Complaints) -> Result<QueueRules, Told> {
    let fields = at.fields(FIELDS, out)?;
    let wait = fields.or("wait", WAIT, out, |at, out| duration(at, WAIT_BOUNDS, out));
    let depth = fields.or("depth", DEPTH, out, |at, out| count(at, DEPTH_BOUNDS, out));
    let rules = QueueRules { wait: wait?, depth: depth? };
    if waited {
        return Ok(rules);
    }
    let wrong = "would never be used, since nothing here has a limit on `concurrent`";
    let mend = "write one for the alias, its tenant, one of its keys or one of its pools, or remove this";
    Err(at.complain(out, wrong, mend))
}

/// The pools in front of which a request may have to wait.
pub(super) fn pools_to_wait_for(pools: &[PoolPlan]) -> Vec<PoolName> {
    pools.iter().filter(|pool| pool.limits.concurrent.is_some()).map(|pool| pool.name.clone()).collect()
}

/// Whether a tenant's requests may have to wait whatever they ask for; also when nobody can tell.
pub(super) fn tenant_waits(limits: &Result<LimitRules, Told>, keys: &Result<Vec<KeyPlan>, Told>) -> bool {
    match (limits, keys) {
        (Ok(limits), Ok(keys)) => {
            limits.concurrent.is_some() || keys.iter().any(|key| key.limits.concurrent.is_some())
        }
        (Err(_), _) | (_, Err(_)) => true,
    }
}

/// Whether requests for an alias may have to wait because of it or of `pools`, of which `None` are not
/// known; also when nobody can tell.
pub(super) fn alias_waits(
    limits: &Result<LimitRules, Told>,
    routes: &Result<Vec<RoutePlan>, Told>,
    pools: Option<&[PoolName]>,
) -> bool {
    match (limits, routes, pools) {
        (Ok(limits), Ok(routes), Some(pools)) => {
            limits.concurrent.is_some() || routes.iter().any(|route| pools.contains(&route.pool))
        }
        (Err(_), _, _) | (_, Err(_), _) | (_, _, None) => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::at::tests::{complaint, reading};

    #[test]
    fn an_empty_map_is_all_defaults() {
        let expected = QueueRules { wait: Duration::from_secs(2), depth: 100 };
        assert_eq!(reading("{}", |at, out| queue(at, true, out)), Ok(expected));
    }

    #[test]
    fn both_parts_have_their_bounds() {
        for good in ["wait: 10ms", "wait: 5m", "depth: 1", "depth: 1000"] {
            assert!(reading(&format!("{{ {good} }}"), |at, out| queue(at, true, out)).is_ok(), "{good}");
        }
        for bad in ["wait: 9ms", "wait: 301s", "wait: 2", "depth: 0", "depth: 1001", "depth: 1s"] {
            assert!(reading(&format!("{{ {bad} }}"), |at, out| queue(at, true, out)).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_queue_that_nobody_would_wait_in_is_refused() {
        assert_eq!(
            complaint("{ depth: 5 }", |at, out| queue(at, false, out)),
            "would never be used, since nothing here has a limit on `concurrent`; write one for the alias, \
             its tenant, one of its keys or one of its pools, or remove this"
        );
        let told = complaint("{ depth: 0 }", |at, out| queue(at, false, out));
        assert_eq!(told.lines().count(), 1, "{told}");
    }
}
