//! The `moderator:` of a policy: a service that is asked whether a request may go on.

use std::ops::RangeInclusive;
use std::time::Duration;

use super::super::secret::{self, secret};
use super::modalities;
use crate::config::at::{At, one_of};
use crate::config::complaint::{Complaints, Told};
use crate::config::form::{Field, Form, may, must};
use crate::config::naming::{MAX_MODEL, free_text};
use crate::config::plan::{Allowed, ModeratorPlan, OnFailure};
use crate::config::units::{TICK, duration};
use crate::config::url::{BaseUrl, endpoint_url};
use crate::names::ModelName;

pub(in crate::config::check) const FIELDS: &[Field] = &[
    must("url", Form::Like("^[Hh][Tt][Tt][Pp][Ss]?://"), "of the endpoint, all of it"),
    may("key", secret::FORM, "what we authenticate with"),
    may("model", Form::Text, "whom it is to ask; its own choice unless written"),
    may(
        "modalities",
        Form::List(&Form::Words(MODALITIES), 1),
        "what it can judge; text alone unless written",
    ),
    may("timeout", Form::Duration, "for its word"),
    may("on_failure", Form::Words(&["block", "allow"]), "what its silence means, and what it cannot judge"),
];
const MODALITIES: &[&str] = &["text", "image"];
const TEXT: Allowed = Allowed { image: false, audio: false, file: false };
const TIMEOUT: Duration = Duration::from_secs(1);
const TIMEOUT_BOUNDS: RangeInclusive<Duration> = TICK..=Duration::from_secs(60);
const ON_FAILURE: [(&str, OnFailure); 2] = [("block", OnFailure::Block), ("allow", OnFailure::Allow)];
const MEND: &str = "write all of it, such as https://moderator.example/v1/moderations";

/// Reads the map.
pub(super) fn moderator(at: &At<'_>, out: &mut Complaints) -> Result<ModeratorPlan, Told> {
    let fields = at.fields(FIELDS, out)?;
    let url = fields.need("url", MEND, out).and_then(|at| {
        endpoint_url(at.text(out)?, MEND).map_err(|(wrong, mend)| at.complain(out, wrong, mend))
    });
    let key = fields.or("key", None, out, |at, out| secret(at, out).map(Some));
    let model = fields.or("model", None, out, |at, out| {
        free_text(at, MAX_MODEL, out).map(|model| Some(ModelName::new(model)))
    });
    let media = fields.or("modalities", TEXT, out, |at, out| modalities(at, MODALITIES, out));
    let timeout = fields.or("timeout", TIMEOUT, out, |at, out| duration(at, TIMEOUT_BOUNDS, out));
    let on_failure =
        fields.or("on_failure", OnFailure::Block, out, |at, out| one_of(at, "way to fail", &ON_FAILURE, out));
    let BaseUrl { scheme, host, port, path } = url?;
    Ok(ModeratorPlan {
        scheme,
        host,
        port,
        path,
        key: key?,
        model: model?,
        media: media?,
        timeout: timeout?,
        on_failure: on_failure?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::at::tests::{complaint, reading};
    use crate::config::plan::{Scheme, SecretRef};

    #[test]
    fn only_the_url_must_be_there() {
        let expected = ModeratorPlan {
            scheme: Scheme::Https,
            host: "moderator.example".to_owned(),
            port: 443,
            path: "/v1/moderations".to_owned(),
            key: None,
            model: None,
            media: TEXT,
            timeout: Duration::from_secs(1),
            on_failure: OnFailure::Block,
        };
        assert_eq!(reading("{ url: 'https://moderator.example/v1/moderations' }", moderator), Ok(expected));
        assert_eq!(complaint("{}", moderator), format!("t:1:1: url: is missing; {MEND}"));
    }

    #[test]
    fn every_part_can_be_written_within_its_bounds() {
        let text = "{ url: 'http://[::1]:8080/m', key: { env: K }, model: omni, modalities: [text, image], timeout: 60s, on_failure: allow }";
        let read = reading(text, moderator).unwrap();
        assert_eq!((read.scheme, read.host.as_str(), read.port), (Scheme::Http, "::1", 8080));
        assert_eq!(
            (read.key, read.model),
            (Some(SecretRef::Env("K".to_owned())), Some(ModelName::new("omni")))
        );
        assert_eq!((read.timeout, read.on_failure), (Duration::from_secs(60), OnFailure::Allow));
        assert_eq!(read.media, Allowed { image: true, ..TEXT });
        for bad in [
            "modalities: [image]",
            "modalities: [text, audio]",
            "timeout: 0s",
            "timeout: 61s",
            "on_failure: ignore",
            "model: ''",
            "key: hunter2",
        ] {
            assert!(reading(&format!("{{ url: 'http://a/m', {bad} }}"), moderator).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_url_is_written_whole() {
        let told = |url: &str| complaint(&format!("{{ url: '{url}' }}"), moderator);
        assert_eq!(told("http://a"), format!("t:1:8: url: has no path; {MEND}"));
        assert_eq!(told("a/m"), format!("t:1:8: url: is not an http:// or https:// URL; {MEND}"));
        assert!(told("http://a/m?key=1").contains("has a query"));
        assert!(
            told("http://me:hunter2@a/m").contains("user name")
                && !told("http://me:hunter2@a/m").contains("hunter2")
        );
    }
}
