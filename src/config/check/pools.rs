//! The `pools:` section: backends that can answer for each other.

mod backends;
mod breaker;
mod dialect;
mod forward;
mod health;
mod retry;
mod timeouts;
mod tls;

use std::ops::RangeInclusive;
use std::time::Duration;

use self::backends::{Shared, all_plain, backends};
use self::dialect::Kind;
use super::limits;
use crate::config::at::{At, Fields, Named, every, one_of, truth};
use crate::config::complaint::{Complaints, Told};
use crate::config::form::{Field, Form, may, must};
use crate::config::naming::identifier;
use crate::config::plan::{Balance, LimitRules, Passing, PoolPlan, TlsPlan};
use crate::config::raw::Value;
use crate::config::units::{HOUR, duration};
use crate::names::PoolName;

pub(super) const FIELDS: &[Field] = &[
    may("dialect", Form::Words(&["openai", "azure"]), "what the backends speak"),
    may("api_version", Form::Text, "for azure, and only there"),
    may("balance", Form::Words(&["round_robin", "least_inflight", "p2c_ewma"]), "how a backend is chosen"),
    may("h2", Form::Truth, "whether HTTP/2 is spoken to the backends"),
    may(
        "tls",
        Form::Section(tls::FIELDS),
        "for https alone; the certificate is verified whatever stands here",
    ),
    must("backends", Form::List(&Form::Section(backends::FIELDS), 1), "each host and port once"),
    may(
        "health",
        Form::Section(health::FIELDS),
        "looks after backends between requests; not at all unless written",
    ),
    may("breaker", Form::Section(breaker::FIELDS), "leaves a backend alone whose requests fail"),
    may("resolve", Form::Duration, "how often names are looked up at the latest"),
    may("local_addresses", Form::Truth, "whether a name may lead to loopback or link-local addresses"),
    may("timeouts", Form::Section(timeouts::FIELDS), "for connecting, the first byte, silence and the whole"),
    may("retry", Form::Section(retry::FIELDS), "when a request is sent once more"),
    may(
        "forward_fields",
        Form::List(&Form::Text, 0),
        "request fields that Byname does not know and passes on",
    ),
    may("trace_context", Form::Truth, "whether backends learn of a request's trace"),
    may("limits", Form::Section(limits::PASSING), "of all tenants together"),
];
const BALANCES: [(&str, Balance); 3] = [
    ("round_robin", Balance::RoundRobin),
    ("least_inflight", Balance::LeastInflight),
    ("p2c_ewma", Balance::P2cEwma),
];
const RESOLVE: Duration = Duration::from_secs(30);
const RESOLVE_BOUNDS: RangeInclusive<Duration> = Duration::from_secs(1)..=HOUR;

/// Reads the section; at least one pool.
pub(super) fn pools(at: &At<'_>, out: &mut Complaints) -> Result<Vec<PoolPlan>, Told> {
    let named = at.named(out)?;
    if named.len() == 0 {
        return Err(at.complain(out, "is empty", "write at least one pool with a backend"));
    }
    every(named.map(|named| pool(&named, out)))
}

/// The names that routes may use, whether or not the pools behind them can be read.
pub(super) fn names<'a>(at: &At<'a>) -> Option<Vec<&'a str>> {
    match at.value() {
        Value::Map(entries) => Some(entries.iter().map(|entry| &*entry.key.text).collect()),
        Value::Scalar(_) | Value::List(_) | Value::Refused(_) => None,
    }
}

fn pool(named: &Named<'_>, out: &mut Complaints) -> Result<PoolPlan, Told> {
    let name = identifier(named, out);
    let fields = named.value.fields_explained(FIELDS, tls::beside, out)?;
    let kind = dialect::kind(&fields, out);
    let dialect = dialect::dialect(kind, &fields, out);
    let balance =
        fields.or("balance", Balance::LeastInflight, out, |at, out| one_of(at, "balance", &BALANCES, out));
    let h2 = fields.or("h2", false, out, truth);
    let tls = shared_tls(&fields, out);
    let shared = Shared {
        // What could not be read has been complained about; the backends are read as if it were not there.
        kind: kind.unwrap_or(Kind::OpenAi),
        h2: h2.unwrap_or_default(),
        tls: tls.as_ref().ok().cloned(),
    };
    let backends = fields
        .need(
            "backends",
            &format!("write at least one, such as [ {{ url: \"{}\" }} ]", shared.example()),
            out,
        )
        .and_then(|at| backends(&at, &shared, out));
    let health = fields.get("health").map(|at| health::health(&at, out)).transpose();
    let breaker = breaker::breaker(&fields.section("breaker"), out);
    let resolve = fields.or("resolve", RESOLVE, out, |at, out| duration(at, RESOLVE_BOUNDS, out));
    let local_addresses = fields.or("local_addresses", false, out, truth);
    let timeouts = timeouts::timeouts(&fields.section("timeouts"), out);
    let retry = retry::retry(&fields.section("retry"), out);
    let forward_fields = fields.or("forward_fields", Vec::new(), out, forward::forward_fields);
    let passing = fields.or("trace_context", Passing::Kept, out, |at, out| {
        truth(at, out).map(|passed| if passed { Passing::Passed } else { Passing::Kept })
    });
    let limits = fields.or("limits", LimitRules::default(), out, limits::passing);
    // They have their part in `shared`; a fault in them is a fault of the pool.
    h2?;
    tls?;
    Ok(PoolPlan {
        name: PoolName::new(name?),
        dialect: dialect?,
        balance: balance?,
        backends: backends?,
        health: health?,
        breaker: breaker?,
        resolve: resolve?,
        local_addresses: local_addresses?,
        timeouts: timeouts?,
        retry: retry?,
        forward_fields: forward_fields?,
        passing: passing?,
        limits: limits?,
    })
}

/// What the pool says about TLS, which only helps where a backend uses it.
fn shared_tls(fields: &Fields<'_>, out: &mut Complaints) -> Result<TlsPlan, Told> {
    let Some(at) = fields.get("tls") else { return Ok(TlsPlan::default()) };
    let read = tls::tls(&at, out);
    match fields.get("backends") {
        Some(backends) if all_plain(&backends) => {
            let wrong = "is for https, and no backend of this pool has an https URL";
            Err(at.complain(out, wrong, "write https in its `url`, or remove this"))
        }
        Some(_) | None => read,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::at::tests::{complaint, reading};

    fn read(text: &str) -> Result<Vec<PoolPlan>, Told> {
        reading(&format!("{{ p: {text} }}"), pools)
    }

    fn wrong(text: &str) -> String {
        complaint(&format!("{{ p: {text} }}"), pools)
    }

    #[test]
    fn tls_is_refused_where_nobody_uses_it() {
        assert_eq!(
            wrong("{ tls: {}, backends: [ { url: 'http://a' }, { url: 'http://b' } ] }"),
            "t:1:13: p.tls: is for https, and no backend of this pool has an https URL; \
             write https in its `url`, or remove this"
        );
        assert!(read("{ tls: {}, backends: [ { url: 'http://a' }, { url: 'https://b' } ] }").is_ok());
    }

    #[test]
    fn a_fault_of_the_pool_does_not_hide_those_of_its_backends() {
        let told = wrong("{ h2: yes, tls: { ca: '' }, dialect: a, balance: b, backends: [ { url: c } ] }");
        assert_eq!(told.lines().count(), 5, "{told}");
    }

    #[test]
    fn names_are_looked_up_again_within_the_hour() {
        let resolve =
            |text: &str| read(&format!("{{ resolve: {text}, backends: [ {{ url: 'http://a' }} ] }}"));
        assert!(resolve("1s").is_ok() && resolve("1h").is_ok());
        assert!(resolve("999ms").is_err() && resolve("61m").is_err());
    }
}
