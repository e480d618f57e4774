//! The `backends:` of a pool.

use std::collections::HashMap;
use std::ops::RangeInclusive;

use super::dialect::Kind;
use super::tls::{self, tls};
use crate::config::at::{At, every, truth};
use crate::config::check::secret::{self, secret};
use crate::config::complaint::{Complaints, Told, quoted};
use crate::config::form::{Field, Form, may, must};
use crate::config::plan::{BackendPlan, Scheme, TlsPlan};
use crate::config::raw::Value;
use crate::config::units::count;
use crate::config::url::{BaseUrl, base_url, resource_url};
use crate::names::BackendName;

pub(super) const FIELDS: &[Field] = &[
    must(
        "url",
        Form::Like("^[Hh][Tt][Tt][Pp][Ss]?://"),
        "the base that OpenAI clients take, or the endpoint of an Azure resource",
    ),
    may("weight", Form::Whole(1, 1_000), "its share, next to the others'"),
    may("key", secret::FORM, "what we authenticate with"),
    may("h2", Form::Truth, "whether HTTP/2 is spoken to it"),
    may("tls", Form::Section(tls::FIELDS), "for https alone; instead of the pool's"),
];
const WEIGHT: usize = 1;
/// A share of less than a thousandth is a slip.
const WEIGHT_BOUNDS: RangeInclusive<usize> = 1..=1000;
const URL: &str = "http://127.0.0.1:8081/v1";
const AZURE_URL: &str = "https://NAME.openai.azure.com";

/// What a pool says for those of its backends that do not say it themselves.
pub(super) struct Shared {
    pub(super) kind: Kind,
    pub(super) h2: bool,
    /// `None` when it cannot be read.
    pub(super) tls: Option<TlsPlan>,
}

impl Shared {
    /// A URL to write.
    pub(super) fn example(&self) -> &'static str {
        match self.kind {
            Kind::OpenAi => URL,
            Kind::Azure => AZURE_URL,
        }
    }
}

/// Reads the list; at least one, and no two with the same host and port.
pub(super) fn backends(at: &At<'_>, shared: &Shared, out: &mut Complaints) -> Result<Vec<BackendPlan>, Told> {
    let items = at.items(out)?;
    if items.len() == 0 {
        let mend = format!("write at least one, such as {{ url: \"{}\" }}", shared.example());
        return Err(at.complain(out, "is empty", mend));
    }
    let mut seen: HashMap<BackendName, String> = HashMap::new();
    every(items.map(|at| {
        let backend = backend(&at, shared, out)?;
        if let Some(first) = seen.insert(backend.name.clone(), at.place()) {
            let wrong = format!("{} is already in this pool, at {first}", quoted(backend.name.as_str()));
            return Err(at.complain(out, wrong, "name each host and port once"));
        }
        Ok(backend)
    }))
}

/// Whether every backend in the list is plain HTTP, whatever else is wrong with it.
pub(super) fn all_plain(at: &At<'_>) -> bool {
    let Value::List(items) = at.value() else { return false };
    let plain = |value: &Value| match value {
        Value::Map(entries) => entries.iter().filter(|entry| &*entry.key.text == "url").any(|entry| {
            let Value::Scalar(url) = &entry.node.value else { return false };
            url.text.get(..7).is_some_and(|start| start.eq_ignore_ascii_case("http://"))
        }),
        Value::Scalar(_) | Value::List(_) | Value::Refused(_) => false,
    };
    !items.is_empty() && items.iter().all(|item| plain(&item.value))
}

fn backend(at: &At<'_>, shared: &Shared, out: &mut Complaints) -> Result<BackendPlan, Told> {
    let fields = at.fields_explained(FIELDS, tls::beside, out)?;
    let mend = match shared.kind {
        Kind::OpenAi => format!("write the base URL, such as {URL}"),
        Kind::Azure => format!("write the endpoint of the resource, such as {AZURE_URL}"),
    };
    let url_at = fields.need("url", &mend, out);
    let url = url_at.as_ref().map_err(|told| *told).and_then(|at| url(at, shared.kind, out));
    let weight = fields.or("weight", WEIGHT, out, |at, out| count(at, WEIGHT_BOUNDS, out));
    let key = fields.get("key").map(|at| secret(&at, out)).transpose();
    let h2 = fields.or("h2", shared.h2, out, truth);
    let scheme = url.as_ref().ok().map(|url| url.scheme);
    let own_tls = fields.get("tls").map(|at| own_tls(&at, scheme, out)).transpose();
    let url = url?;
    let tls = match (own_tls?, url.scheme) {
        (Some(own), _) => Some(own),
        (None, Scheme::Https) => shared.tls.clone(),
        (None, Scheme::Http) => Some(TlsPlan::default()),
    };
    if let (Scheme::Https, Some(tls), Ok(at)) = (url.scheme, &tls, url_at)
        && tls.server_name.is_none()
        && tls::verified_as_another(&url.host)
    {
        let wrong = "has a host whose certificate would be verified for another name, because of the `_` before its first dot";
        let mend = "write a name that its certificate has, without that `_`, as `tls: { server_name: NAME }`";
        return Err(at.complain(out, wrong, mend));
    }
    Ok(BackendPlan {
        name: BackendName::new(url.authority()),
        scheme: url.scheme,
        host: url.host,
        port: url.port,
        base_path: url.path,
        weight: u16::try_from(weight?).unwrap_or(u16::MAX),
        key: key?,
        h2: h2?,
        // Where the pool's cannot be read, that has been complained about.
        tls: tls.unwrap_or_default(),
    })
}

fn url(at: &At<'_>, kind: Kind, out: &mut Complaints) -> Result<BaseUrl, Told> {
    let text = at.text(out)?;
    let read = match kind {
        Kind::OpenAi => base_url(text),
        Kind::Azure => resource_url(text),
    };
    read.map_err(|(wrong, mend)| at.complain(out, wrong, mend))
}

/// Reads the `tls` of a backend, which plain HTTP has no use for.
fn own_tls(at: &At<'_>, scheme: Option<Scheme>, out: &mut Complaints) -> Result<TlsPlan, Told> {
    let read = tls(at, out);
    match scheme {
        Some(Scheme::Http) => Err(at.complain(
            out,
            "is for https, and this backend's URL is http",
            "write https there, or remove this",
        )),
        Some(Scheme::Https) | None => read,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::at::tests::{complaint, reading};

    fn read(at: &At<'_>, out: &mut Complaints) -> Result<Vec<BackendPlan>, Told> {
        let tls = TlsPlan { ca: Some("/pool".into()), ..TlsPlan::default() };
        backends(at, &Shared { kind: Kind::OpenAi, h2: true, tls: Some(tls) }, out)
    }

    #[test]
    fn a_backend_stands_once_in_its_pool() {
        let both = "[ { url: 'http://A/v1' }, { url: 'http://a:80/v2' } ]";
        assert_eq!(
            complaint(both, read),
            "t:1:27: [1]: 'a:80' is already in this pool, at t:1:3; name each host and port once"
        );
        assert!(reading("[ { url: 'http://a' }, { url: 'https://a' } ]", read).is_ok());
    }

    #[test]
    fn a_backend_has_what_its_pool_has_unless_it_says_otherwise() {
        let text = "[ { url: 'https://a' }, { url: 'http://b', weight: 1000 }, \
                    { url: 'https://c', h2: false, tls: { server_name: d } } ]";
        let read = reading(text, read).unwrap();
        let short: Vec<_> =
            read.iter().map(|b| (b.weight, b.h2, b.tls.ca.is_some(), b.tls.server_name.as_deref())).collect();
        assert_eq!(short, [(1, true, true, None), (1000, true, false, None), (1, false, false, Some("d"))]);
    }

    #[test]
    fn plain_http_has_no_use_for_tls() {
        assert_eq!(
            complaint("[ { url: 'http://a', tls: {} } ]", read),
            "t:1:27: [0].tls: is for https, and this backend's URL is http; write https there, or remove this"
        );
    }

    #[test]
    fn a_host_is_verified_under_the_name_that_is_written() {
        assert_eq!(
            complaint("[ { url: 'https://my_svc.models.example' } ]", read),
            "t:1:10: [0].url: has a host whose certificate would be verified for another name, because of the `_` \
             before its first dot; write a name that its certificate has, without that `_`, as `tls: { server_name: NAME }`"
        );
        for good in [
            "{ url: 'http://my_svc.models.example' }",
            "{ url: 'https://my_svc.example' }",
            "{ url: 'https://my_svc' }",
            "{ url: 'https://svc.my_models.example' }",
            "{ url: 'https://my_svc.models.example', tls: { server_name: my-svc.models.example } }",
        ] {
            assert!(reading(&format!("[ {good} ]"), read).is_ok(), "{good}");
        }
        let own = "[ { url: 'https://my_svc.models.example', tls: { ca: /own } } ]";
        assert!(reading(own, read).is_err());
    }

    #[test]
    fn a_pool_is_plain_when_no_url_says_otherwise() {
        let plain = |text: &str| reading(text, |at, _| Ok(all_plain(at))).unwrap();
        assert!(plain("[ { url: 'http://a' }, { url: 'HTTP://b?', weight: x } ]"));
        for other in
            ["[]", "a", "[ { url: 'http://a' }, { url: 'https://b' } ]", "[ {} ]", "[ { url: [] } ]", "[ a ]"]
        {
            assert!(!plain(other), "{other}");
        }
    }

    #[test]
    fn weights_are_shares() {
        let weight = |weight: &str| reading(&format!("[ {{ url: 'http://a', weight: {weight} }} ]"), read);
        assert!(weight("1").is_ok() && weight("1000").is_ok());
        for bad in ["0", "1001", "0.5", "10%", "-1"] {
            assert!(weight(bad).is_err(), "{bad}");
        }
    }
}
