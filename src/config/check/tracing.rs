//! The `tracing:` section: which requests are traced, and who is told.

use std::ops::RangeInclusive;
use std::time::Duration;

use super::secret::{self, secret};
use crate::config::at::{At, every};
use crate::config::complaint::{Complaints, Told, quoted};
use crate::config::form::{Field, Form, may, must};
use crate::config::plan::{SecretRef, TracingPlan};
use crate::config::units::{duration, percent};
use crate::config::url::endpoint_url;

pub(super) const FIELDS: &[Field] = &[
    must("endpoint", Form::Like("^[Hh][Tt][Tt][Pp][Ss]?://[^/]+/."), "where OTLP over HTTP is taken"),
    may("sample", Form::Percent, "how many of all requests are traced at most"),
    may("headers", Form::Named(&secret::FORM, 0), "of every post"),
    may("timeout", Form::Duration, "for one post"),
];
const ENDPOINT_MEND: &str = "write it like http://127.0.0.1:4318/v1/traces";
/// Enough to see how things go, and no burden.
const SAMPLE: u8 = 1;
const TIMEOUT: Duration = Duration::from_secs(5);
const TIMEOUT_BOUNDS: RangeInclusive<Duration> = Duration::from_millis(100)..=Duration::from_secs(60);
/// In bytes.
const MAX_NAME: usize = 64;
/// Headers that are ours to write.
const OURS: [&str; 5] = ["host", "content-type", "content-length", "transfer-encoding", "connection"];

/// Reads the map.
pub(super) fn tracing(at: &At<'_>, out: &mut Complaints) -> Result<TracingPlan, Told> {
    let fields = at.fields_near_secret(FIELDS, out)?;
    let endpoint = fields.need("endpoint", ENDPOINT_MEND, out).and_then(|at| {
        endpoint_url(at.text(out)?, ENDPOINT_MEND).map_err(|(wrong, mend)| {
            // What goes under `key:` elsewhere goes under `headers:` here.
            let mend = if mend.contains("key:") { ENDPOINT_MEND } else { mend };
            at.complain(out, wrong, mend)
        })
    });
    let sample = fields.or("sample", SAMPLE, out, |at, out| percent(at, 0..=100, out));
    let headers = fields.or("headers", Vec::new(), out, headers);
    let timeout = fields.or("timeout", TIMEOUT, out, |at, out| duration(at, TIMEOUT_BOUNDS, out));
    let url = endpoint?;
    Ok(TracingPlan {
        scheme: url.scheme,
        host: url.host,
        port: url.port,
        path: url.path,
        sample: sample?,
        headers: headers?,
        timeout: timeout?,
    })
}

fn headers(at: &At<'_>, out: &mut Complaints) -> Result<Vec<(String, SecretRef)>, Told> {
    let mut seen: Vec<String> = Vec::new();
    every(at.named(out)?.map(|named| {
        let name = named.name.text.to_ascii_lowercase();
        let token = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
        if name.is_empty() || name.len() > MAX_NAME || !name.bytes().all(token) {
            let mend = "write the name of a header, such as authorization";
            return Err(named.complain(out, "is not the name of a header", mend));
        }
        if OURS.contains(&&*name) {
            return Err(named.complain(out, "is a header that Byname writes itself", "remove it"));
        }
        if seen.contains(&name) {
            return Err(named.complain(out, format!("{} is there twice", quoted(&name)), "keep one of them"));
        }
        seen.push(name.clone());
        Ok((name, secret(&named.value, out)?))
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::at::tests::{complaint, reading};
    use crate::config::plan::Scheme;

    #[test]
    fn only_the_endpoint_must_be_there() {
        let expected = TracingPlan {
            scheme: Scheme::Http,
            host: "collector.example".to_owned(),
            port: 4318,
            path: "/v1/traces".to_owned(),
            sample: 1,
            headers: Vec::new(),
            timeout: Duration::from_secs(5),
        };
        let text = "{ endpoint: 'http://Collector.example:4318/v1/traces' }";
        assert_eq!(reading(text, tracing), Ok(expected));
        assert_eq!(complaint("{}", tracing), format!("t:1:1: endpoint: is missing; {ENDPOINT_MEND}"));
    }

    #[test]
    fn every_part_can_be_written_within_its_bounds() {
        let read = |more: &str| reading(&format!("{{ endpoint: 'https://a/b', {more} }}"), tracing);
        let plan =
            read("sample: 100%, timeout: 60s, headers: { X-Key: { env: KEY }, b: { file: /b } }").unwrap();
        assert_eq!((plan.sample, plan.timeout, plan.port), (100, Duration::from_secs(60), 443));
        let key = ("x-key".to_owned(), SecretRef::Env("KEY".to_owned()));
        assert_eq!(plan.headers, [key, ("b".to_owned(), SecretRef::File("/b".into()))]);
        for bad in [
            "sample: 101%",
            "sample: 0.1",
            "timeout: 99ms",
            "timeout: 61s",
            "headers: { Host: { env: A } }",
            "headers: { 'a b': { env: A } }",
            "headers: { a: { env: A }, A: { env: A } }",
            "headers: [ a ]",
        ] {
            assert!(read(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn an_endpoint_is_a_url_with_a_path_and_no_secret() {
        for bad in [
            "http://a",
            "http://a/",
            "a:4318/v1/traces",
            "grpc://a/b",
            "http://u:hunter2@a/b",
            "http://a/b?k=hunter2",
        ] {
            let told = complaint(&format!("{{ endpoint: '{bad}' }}"), tracing);
            assert!(!told.contains("hunter2"), "{told}");
        }
        let told = complaint("{ endpoint: 'http://a/b', headers: { authorization: hunter2 } }", tracing);
        assert!(!told.contains("hunter2"), "{told}");
    }
}
