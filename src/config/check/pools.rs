//! The `pools:` section: backends that can answer for each other.

use std::collections::HashMap;
use std::ops::RangeInclusive;
use std::time::Duration;

use super::secret::secret;
use crate::config::at::{At, Fields, Named, every};
use crate::config::complaint::{Complaints, Told, nearest, quoted};
use crate::config::naming::identifier;
use crate::config::plan::{BackendPlan, PoolPlan, Timeouts};
use crate::config::raw::Value;
use crate::config::units::{DAY, TICK, count, duration, shown_duration};
use crate::config::url::base_url;
use crate::names::{BackendName, PoolName};

const FIELDS: [&str; 5] = ["dialect", "backends", "timeouts", "retry", "forward_fields"];
const CONNECT: Duration = Duration::from_secs(2);
const FIRST_BYTE: Duration = Duration::from_secs(60);
const IDLE: Duration = Duration::from_secs(60);
const TOTAL: Duration = Duration::from_secs(10 * 60);
const ATTEMPTS: usize = 3;
/// A request that failed sixteen times will not be saved by a seventeenth.
const ATTEMPTS_BOUNDS: RangeInclusive<usize> = 1..=16;

/// The request fields that Byname checks, rewrites, uses itself or knowingly drops. None of them can
/// be forwarded as it is.
const HANDLED: [&str; 37] = [
    "model",
    "messages",
    "stream",
    "stream_options",
    "max_tokens",
    "max_completion_tokens",
    "temperature",
    "top_p",
    "presence_penalty",
    "frequency_penalty",
    "n",
    "stop",
    "seed",
    "logit_bias",
    "logprobs",
    "top_logprobs",
    "response_format",
    "tools",
    "tool_choice",
    "parallel_tool_calls",
    "functions",
    "function_call",
    "user",
    "safety_identifier",
    "prompt_cache_key",
    "prompt_cache_retention",
    "prompt_cache_options",
    "metadata",
    "store",
    "service_tier",
    "reasoning_effort",
    "verbosity",
    "modalities",
    "audio",
    "prediction",
    "web_search_options",
    "moderation",
];

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
    let fields = named.value.fields(&FIELDS, out)?;
    let dialect = fields.or("dialect", (), out, dialect);
    let backends = fields
        .need("backends", "write at least one, such as [ { url: \"http://127.0.0.1:8081/v1\" } ]", out)
        .and_then(|at| backends(&at, out));
    let timeouts = timeouts(&fields.section("timeouts"), out);
    let retry = fields.section("retry");
    let attempts = retry
        .fields(&["attempts"], out)
        .and_then(|fields| fields.or("attempts", ATTEMPTS, out, |at, out| count(at, ATTEMPTS_BOUNDS, out)));
    let forward_fields = fields.or("forward_fields", Vec::new(), out, forward_fields);
    dialect?;
    Ok(PoolPlan {
        name: PoolName::new(name?),
        backends: backends?,
        timeouts: timeouts?,
        attempts: attempts?,
        forward_fields: forward_fields?,
    })
}

/// The only dialect so far says nothing that a plan would have to keep.
fn dialect(at: &At<'_>, out: &mut Complaints) -> Result<(), Told> {
    match at.text(out)? {
        "openai" => Ok(()),
        other => {
            Err(at.complain(out, format!("there is no dialect named {}", quoted(other)), "write openai"))
        }
    }
}

fn backends(at: &At<'_>, out: &mut Complaints) -> Result<Vec<BackendPlan>, Told> {
    let items = at.items(out)?;
    if items.len() == 0 {
        return Err(at.complain(
            out,
            "is empty",
            "write at least one, such as { url: \"http://127.0.0.1:8081/v1\" }",
        ));
    }
    let mut seen: HashMap<BackendName, String> = HashMap::new();
    every(items.map(|at| {
        let backend = backend(&at, out)?;
        if let Some(first) = seen.insert(backend.name.clone(), at.place()) {
            let wrong = format!("{} is already in this pool, at {first}", quoted(backend.name.as_str()));
            return Err(at.complain(out, wrong, "name each host and port once"));
        }
        Ok(backend)
    }))
}

fn backend(at: &At<'_>, out: &mut Complaints) -> Result<BackendPlan, Told> {
    let fields = at.fields(&["url", "key"], out)?;
    let url =
        fields.need("url", "write the base URL, such as http://127.0.0.1:8081/v1", out).and_then(|at| {
            let text = at.text(out)?;
            base_url(text).map_err(|(wrong, mend)| at.complain(out, wrong, mend))
        });
    let key = fields.get("key").map(|at| secret(&at, out)).transpose();
    let url = url?;
    Ok(BackendPlan {
        name: BackendName::new(url.authority()),
        scheme: url.scheme,
        host: url.host,
        port: url.port,
        base_path: url.path,
        key: key?,
    })
}

/// No part may take longer than the whole; a part that was not written is cut to it.
fn timeouts(at: &At<'_>, out: &mut Complaints) -> Result<Timeouts, Told> {
    let fields = at.fields(&["connect", "first_byte", "idle", "total"], out)?;
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

fn forward_fields(at: &At<'_>, out: &mut Complaints) -> Result<Vec<String>, Told> {
    let mut seen: Vec<String> = Vec::new();
    every(at.items(out)?.map(|at| {
        let name = at.text(out)?;
        if name.is_empty() {
            return Err(at.complain(out, "is empty", "write the name of a request field"));
        }
        if HANDLED.contains(&name) {
            let wrong = format!("{} is a field that Byname handles itself", quoted(name));
            return Err(at.complain(
                out,
                wrong,
                "remove it; only fields that Byname does not know are listed here",
            ));
        }
        if seen.iter().any(|other| other == name) {
            return Err(at.complain(out, format!("{} is listed twice", quoted(name)), "keep one of them"));
        }
        seen.push(name.to_owned());
        Ok(name.to_owned())
    }))
}

/// Complains about the name of a pool that is none.
pub(super) fn unknown(at: &At<'_>, name: &str, names: &[&str], out: &mut Complaints) -> Told {
    let mend = match nearest(name, names.iter().copied()) {
        Some(near) => format!("did you mean {}?", quoted(near)),
        None => "write the name of one under `pools:`".to_owned(),
    };
    at.complain(out, format!("there is no pool named {}", quoted(name)), mend)
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

    #[test]
    fn only_unknown_request_fields_can_be_forwarded() {
        assert_eq!(
            reading("[top_k, min_p]", forward_fields),
            Ok(vec!["top_k".to_owned(), "min_p".to_owned()])
        );
        for bad in ["[model]", "[temperature]", "['']", "[a, a]", "[1]", "a"] {
            assert!(reading(bad, forward_fields).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_backend_stands_once_in_its_pool() {
        let both = "[ { url: 'http://A/v1' }, { url: 'http://a:80/v2' } ]";
        assert_eq!(
            complaint(both, backends),
            "t:1:27: [1]: 'a:80' is already in this pool, at t:1:3; name each host and port once"
        );
        assert!(reading("[ { url: 'http://a' }, { url: 'https://a' } ]", backends).is_ok());
    }
}
