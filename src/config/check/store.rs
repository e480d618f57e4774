//! The `limits_store:`: a Redis in which several gateways count together.

use std::ops::RangeInclusive;
use std::time::Duration;

use super::path;
use super::secret::{self, secret};
use crate::config::at::At;
use crate::config::complaint::{Complaints, Told};
use crate::config::form::{Field, Form, may, must};
use crate::config::naming::{free_text, identifier_text};
use crate::config::plan::StorePlan;
use crate::config::units::{TICK, count, duration};
use crate::config::url::{Fault, host_and_port, host_name, port_number, refuse_characters};

pub(super) const FIELDS: &[Field] = &[
    must("redis", Form::Like("^[Rr][Ee][Dd][Ii][Ss][Ss]?://"), "redis://HOST:PORT/DB, or rediss:// with TLS"),
    may("username", Form::Text, "as whom we authenticate"),
    may("password", secret::FORM, "what with"),
    may("ca", Form::Text, "the file of the authorities that are trusted instead of the usual ones"),
    may("timeout", Form::Duration, "for one answer"),
    may("instances", Form::Whole(1, 1_000), "how many gateways share it"),
    may("prefix", Form::Text, "before every key in the store"),
];
/// Where a Redis listens unless another port is written.
const PORT: u16 = 6379;
const MAX_DB: u32 = 65_535;
/// In characters.
const MAX_USERNAME: usize = 256;
/// Every request waits for it.
const TIMEOUT: Duration = Duration::from_millis(5);
const TIMEOUT_BOUNDS: RangeInclusive<Duration> = TICK..=Duration::from_secs(1);
const INSTANCES: usize = 1;
const INSTANCES_BOUNDS: RangeInclusive<usize> = 1..=1000;
const PREFIX: &str = "byname";
const URL_MEND: &str = "write it like redis://127.0.0.1:6379/0 or rediss://store.example";

/// The parts of a store's URL.
#[derive(Debug, PartialEq, Eq)]
struct StoreUrl {
    tls: bool,
    /// In small letters, without brackets.
    host: String,
    port: u16,
    db: u32,
}

/// Reads the map.
pub(super) fn store(at: &At<'_>, out: &mut Complaints) -> Result<StorePlan, Told> {
    let fields = at.fields_near_secret(FIELDS, out)?;
    let url = fields
        .need("redis", URL_MEND, out)
        .and_then(|at| store_url(at.text(out)?).map_err(|(wrong, mend)| at.complain(out, wrong, mend)));
    let username = fields.get("username").map(|at| free_text(&at, MAX_USERNAME, out).map(str::to_owned));
    if let (Some(at), None) = (fields.get("username"), fields.get("password")) {
        let wrong = "is of no use without a password";
        return Err(at.complain(out, wrong, "write `password` next to it, or remove this"));
    }
    let password = fields.or("password", None, out, |at, out| secret(at, out).map(Some));
    let ca = fields.or("ca", None, out, |at, out| path::file(at, "/etc/byname/store-ca.crt", out).map(Some));
    let ca = match (fields.get("ca"), &url, ca) {
        (Some(at), Ok(StoreUrl { tls: false, .. }), Ok(_)) => {
            let wrong = "is for rediss://, and `redis` has another scheme";
            Err(at.complain(out, wrong, "write rediss:// there, or remove this"))
        }
        (Some(_) | None, Ok(_) | Err(_), ca) => ca,
    };
    let timeout = fields.or("timeout", TIMEOUT, out, |at, out| duration(at, TIMEOUT_BOUNDS, out));
    let instances = fields.or("instances", INSTANCES, out, |at, out| count(at, INSTANCES_BOUNDS, out));
    let prefix =
        fields.or("prefix", PREFIX.to_owned(), out, |at, out| identifier_text(at, out).map(str::to_owned));
    let StoreUrl { tls, host, port, db } = url?;
    Ok(StorePlan {
        host,
        port,
        db,
        tls,
        ca: ca?,
        username: username.transpose()?,
        password: password?,
        timeout: timeout?,
        instances: instances?,
        prefix: prefix?,
    })
}

/// Reads `redis://HOST`, with `rediss` where TLS is spoken, with a port and `/DB` or without. It is never
/// shown, since it may hold a password.
fn store_url(text: &str) -> Result<StoreUrl, Fault> {
    let (tls, rest) = scheme(text)?;
    // Asked first, since a password may hold any of the characters that are refused below.
    if rest.contains('@') {
        let mend = "remove it; there are `username` and `password` for them, next to this";
        return Err(("holds a user name or password", mend));
    }
    refuse_characters(rest)?;
    let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
    // The words for the base URL of a backend have an example of one.
    let mended = |(wrong, _): Fault| (wrong, URL_MEND);
    let (host, port) = host_and_port(authority).map_err(mended)?;
    let port = port.map_or(Ok(PORT), port_number)?;
    Ok(StoreUrl { tls, host: host_name(host).map_err(mended)?, port, db: db(path)? })
}

fn scheme(text: &str) -> Result<(bool, &str), Fault> {
    match text.split_once("://") {
        Some((scheme, rest)) if scheme.eq_ignore_ascii_case("redis") => Ok((false, rest)),
        Some((scheme, rest)) if scheme.eq_ignore_ascii_case("rediss") => Ok((true, rest)),
        Some(_) | None => Err(("is not a redis:// or rediss:// URL", URL_MEND)),
    }
}

/// The number of a database; the first one unless written.
fn db(path: &str) -> Result<u32, Fault> {
    if path.is_empty() {
        return Ok(0);
    }
    let digits = path.bytes().all(|byte| byte.is_ascii_digit());
    let one_reading = path == "0" || !path.starts_with('0');
    match path.parse() {
        Ok(db) if digits && one_reading && db <= MAX_DB => Ok(db),
        Ok(_) | Err(_) => {
            Err(("has a path that is not the number of a database", "write one from 0 to 65535, or none"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::at::tests::{complaint, reading};
    use crate::config::plan::SecretRef;

    #[test]
    fn only_the_url_must_be_there() {
        let expected = StorePlan {
            host: "store.example".to_owned(),
            port: 6379,
            db: 0,
            tls: false,
            ca: None,
            username: None,
            password: None,
            timeout: Duration::from_millis(5),
            instances: 1,
            prefix: "byname".to_owned(),
        };
        assert_eq!(reading("{ redis: 'redis://Store.Example' }", store), Ok(expected));
        assert_eq!(
            complaint("{}", store),
            "t:1:1: redis: is missing; write it like redis://127.0.0.1:6379/0 or rediss://store.example"
        );
    }

    #[test]
    fn every_part_can_be_written() {
        let text = "{ redis: 'rediss://[::1]:1/65535', username: us, password: { env: PW }, ca: /a.crt, \
                    timeout: 1s, instances: 1000, prefix: a.B_c-9 }";
        let expected = StorePlan {
            host: "::1".to_owned(),
            port: 1,
            db: 65_535,
            tls: true,
            ca: Some("/a.crt".into()),
            username: Some("us".to_owned()),
            password: Some(SecretRef::Env("PW".to_owned())),
            timeout: Duration::from_secs(1),
            instances: 1000,
            prefix: "a.B_c-9".to_owned(),
        };
        assert_eq!(reading(text, store), Ok(expected));
    }

    #[test]
    fn every_part_has_its_bounds() {
        let long = format!("prefix: {}", "a".repeat(65));
        for bad in [
            "timeout: 0ms",
            "timeout: 1001ms",
            "timeout: 5",
            "instances: 0",
            "instances: 1001",
            "prefix: ''",
            "prefix: 'a:b'",
            "prefix: 1",
            &long,
            "username: ''",
            "ca: ''",
        ] {
            let text = format!("{{ redis: 'rediss://a', {bad} }}");
            assert!(reading(&text, store).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_url_is_scheme_host_port_and_number() {
        let url = |text: &str| store_url(text).map(|url| (url.tls, url.host, url.port, url.db));
        for (text, (tls, host, port, db)) in [
            ("redis://127.0.0.1", (false, "127.0.0.1", 6379, 0)),
            ("redis://127.0.0.1/", (false, "127.0.0.1", 6379, 0)),
            ("REDISS://a.example:6380/15", (true, "a.example", 6380, 15)),
            ("redis://[::1]/0", (false, "::1", 6379, 0)),
        ] {
            assert_eq!(url(text), Ok((tls, host.to_owned(), port, db)), "{text}");
        }
        for bad in [
            "",
            "a.example:6379",
            "http://a",
            "redis:/a",
            "redis://",
            "redis:///0",
            "redis://a:0",
            "redis://a:65536",
            "redis://a:",
            "redis://::1",
            "redis://a/65536",
            "redis://a/-1",
            "redis://a/+1",
            "redis://a/01",
            "redis://a/0/",
            "redis://a/byname",
            "redis://a?db=1",
            "redis://a#1",
            "redis://a b",
            "redis://日本",
            "redis://1.2.3",
        ] {
            assert!(url(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_secret_in_the_wrong_place_is_refused_and_not_shown() {
        for text in [
            "{ redis: 'redis://me:hunter2@a' }",
            "{ redis: 'redis://:hunter2@a/0' }",
            "{ redis: 'redis://me:hunter2/#?[@a/0' }",
            "{ redis: 'redis://a', password: hunter2 }",
            "{ 'redis://me:hunter2@a': x }",
            "redis://me:hunter2@a",
        ] {
            let shown = complaint(text, store);
            assert!(!shown.contains("hunter2"), "{shown}");
        }
        assert_eq!(
            complaint("{ redis: 'redis://me:hunter2@a' }", store),
            "t:1:10: redis: holds a user name or password; remove it; there are `username` and `password` \
             for them, next to this"
        );
    }

    #[test]
    fn an_authority_is_for_tls() {
        assert_eq!(
            complaint("{ redis: 'redis://a', ca: /a.crt }", store),
            "t:1:27: ca: is for rediss://, and `redis` has another scheme; write rediss:// there, or remove this"
        );
    }
}
