//! What somebody should look at: said first, the most pressing first.

use std::time::{Duration, SystemTime};

use serde::Serialize;

use super::facts::{BackendFacts, Facts, LimitFacts};
use super::look;
use super::words::{count, spaced, span};
use crate::daemon::certificates::ends::End;
use crate::rules::pools::condition::Condition;

/// A key or a certificate that ends within this time is told of.
const SOON: Duration = Duration::from_secs(14 * 24 * 60 * 60);
/// A limit of which so much is used is told of, in percent.
const NEARLY: u64 = 90;
/// At most so many notices of one kind.
const MOST: usize = 20;

/// How pressing it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// Somebody has to do something.
    Act,
    /// It may become something.
    Watch,
}

/// One thing to look at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Notice {
    pub level: Level,
    /// What it is about: `pool house`.
    pub about: String,
    pub what: String,
    /// Where more of it stands.
    #[serde(skip)]
    pub link: Option<String>,
}

impl Notice {
    pub(super) fn new(level: Level, about: impl Into<String>, what: impl Into<String>) -> Self {
        Self { level, about: about.into(), what: what.into(), link: None }
    }

    fn at(mut self, name: &str, value: &str) -> Self {
        self.link = Some(look::address(name, value));
        self
    }
}

/// All that is to be looked at.
pub fn notices(facts: &Facts, ends: &[End]) -> Vec<Notice> {
    let mut all = Vec::new();
    if let Some(why) = facts.not_ready {
        all.push(Notice::new(Level::Act, "this gateway", format!("is not ready: {why}")));
    }
    let configuration = &facts.configuration;
    for complaint in configuration.complaints.iter().take(MOST) {
        all.push(Notice::new(Level::Act, "last reload", format!("refused: {complaint}")));
    }
    more(&mut all, Level::Act, configuration.complaints.len(), "complaints");
    backends(facts, &mut all);
    moderators(facts, &mut all);
    if facts.limits_store == Some("down") {
        let what = "does not answer: each gateway lets its own share of shared limits pass";
        all.push(Notice::new(Level::Act, "limits store", what));
    }
    all.extend(facts.losses.iter().cloned());
    limits(facts, &mut all);
    keys(facts, &mut all);
    for end in ends {
        let about = format!("certificate {}", end.file.display());
        all.extend(ending(end.at, facts.now).map(|(level, what)| Notice::new(level, about, what)));
    }
    for warning in configuration.warnings.iter().take(MOST) {
        all.push(Notice::new(Level::Watch, "configuration", warning.as_str()));
    }
    more(&mut all, Level::Watch, configuration.warnings.len(), "warnings");
    all.sort_by_key(|notice| notice.level);
    all
}

fn backends(facts: &Facts, all: &mut Vec<Notice>) {
    let mut troubles = Vec::new();
    for pool in &facts.pools {
        if pool.usable == 0 {
            let what = format!("has no backend that can be asked (of {})", pool.backends.len());
            all.push(Notice::new(Level::Act, format!("pool {}", pool.name), what).at("pool", &pool.name));
        }
        for backend in &pool.backends {
            if let Some((level, what)) = trouble(backend) {
                let about = format!("backend {} of pool {}", backend.name, pool.name);
                troubles.push(Notice::new(level, about, what).at("pool", &pool.name));
            }
        }
    }
    let number = troubles.len();
    troubles.sort_by_key(|notice| notice.level);
    all.extend(troubles.into_iter().take(MOST));
    more(all, Level::Act, number, "backends in trouble");
}

/// What is wrong with a backend, if anything is.
fn trouble(backend: &BackendFacts) -> Option<(Level, String)> {
    let others = backend.addresses.iter().filter(|address| !address.up).count();
    let act = |what: &str| Some((Level::Act, what.to_owned()));
    match backend.condition {
        None => act("has no address: its name cannot be looked up, or leads nowhere"),
        Some(Condition::Down) => act("its health checks fail"),
        Some(Condition::BreakerOpen) => act("its breaker is open: it failed too often"),
        Some(Condition::CredentialRefused) => act("it refuses our credential"),
        Some(Condition::LeftAlone(left)) => {
            Some((Level::Watch, format!("has asked to be left alone for {}", span(left))))
        }
        Some(Condition::OnTrial) => {
            Some((Level::Watch, "its breaker lets one request through to see if it is back".to_owned()))
        }
        Some(Condition::Slow) => Some((Level::Watch, "is far slower than its fellows".to_owned())),
        Some(Condition::Good) if others > 0 => Some((
            Level::Watch,
            format!("{others} of its {} addresses cannot be asked", backend.addresses.len()),
        )),
        Some(Condition::Good) => None,
    }
}

fn moderators(facts: &Facts, all: &mut Vec<Notice>) {
    for one in facts.moderators.iter().take(MOST) {
        let about = format!("moderator of policy {}", one.policy);
        let (since, last, then) = (span(one.since), span(one.last), one.on_failure.words());
        let what = format!("has failed since {since}, last {last} ago: {}; {then}", one.why);
        all.push(Notice::new(Level::Act, about, what));
    }
    more(all, Level::Act, facts.moderators.len(), "moderators that fail");
}

fn limits(facts: &Facts, all: &mut Vec<Notice>) {
    let mut full: Vec<(u64, Notice)> = Vec::new();
    let mut look = |about: &dyn Fn() -> String, (name, value): (&str, &str), limits: &[LimitFacts]| {
        for limit in limits.iter().filter(|limit| limit.percent() >= NEARLY) {
            let what = format!(
                "{}: {} % used, {} of {} left",
                spaced(limit.limit),
                limit.percent(),
                count(limit.left),
                count(limit.most)
            );
            full.push((limit.percent(), Notice::new(Level::Watch, about(), what).at(name, value)));
        }
    };
    for pool in &facts.pools {
        look(&|| format!("pool {}", pool.name), ("pool", &pool.name), &pool.limits);
    }
    for tenant in &facts.tenants {
        let link = ("tenant", tenant.name.as_str());
        look(&|| format!("tenant {}", tenant.name), link, &tenant.limits);
        for key in &tenant.keys {
            look(&|| format!("key {} of tenant {}", key.name, tenant.name), link, &key.limits);
        }
        for alias in &tenant.aliases {
            look(&|| format!("alias {} of tenant {}", alias.name, tenant.name), link, &alias.limits);
        }
    }
    let number = full.len();
    full.sort_by_key(|(percent, _)| std::cmp::Reverse(*percent));
    all.extend(full.into_iter().take(MOST).map(|(_, notice)| notice));
    more(all, Level::Watch, number, "limits nearly used up");
}

fn keys(facts: &Facts, all: &mut Vec<Notice>) {
    let mut found = Vec::new();
    for tenant in &facts.tenants {
        for key in &tenant.keys {
            let about = || format!("key {} of tenant {}", key.name, tenant.name);
            let end = key.ends.and_then(|at| ending(at, facts.now));
            found.extend(
                end.map(|(level, what)| Notice::new(level, about(), what).at("tenant", &tenant.name)),
            );
        }
    }
    let number = found.len();
    found.sort_by_key(|notice| notice.level);
    all.extend(found.into_iter().take(MOST));
    more(all, Level::Watch, number, "keys that end");
}

/// What there is to say of an end that is near. What has been over for long is no news.
fn ending(at: SystemTime, now: SystemTime) -> Option<(Level, String)> {
    match (at.duration_since(now), now.duration_since(at)) {
        (Ok(left), _) if left <= SOON => Some((Level::Watch, format!("expires in {}", span(left)))),
        (_, Ok(over)) if over <= SOON => Some((Level::Act, format!("expired {} ago", span(over)))),
        (Ok(_) | Err(_), _) => None,
    }
}

fn more(all: &mut Vec<Notice>, level: Level, number: usize, what: &str) {
    if let Some(rest) = number.checked_sub(MOST).filter(|rest| *rest > 0) {
        all.push(Notice::new(level, "and", format!("{rest} more {what}")));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_end_is_told_of_when_it_is_near_on_either_side() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000_000);
        let day = Duration::from_secs(86_400);
        assert_eq!(ending(now + day * 15, now), None);
        assert_eq!(ending(now + day * 3, now), Some((Level::Watch, "expires in 3 d".to_owned())));
        assert_eq!(ending(now - day, now), Some((Level::Act, "expired 1 d ago".to_owned())));
        assert_eq!(ending(now - day * 15, now), None);
    }

    #[test]
    fn what_is_too_much_to_list_is_counted() {
        let mut all = Vec::new();
        more(&mut all, Level::Act, MOST, "complaints");
        assert!(all.is_empty());
        more(&mut all, Level::Act, MOST + 3, "complaints");
        assert_eq!(all.first().map(|notice| notice.what.as_str()), Some("3 more complaints"));
    }
}
