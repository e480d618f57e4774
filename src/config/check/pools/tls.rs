//! The `tls:` of a pool or a backend.

use std::net::IpAddr;

use crate::config::at::{At, Fields};
use crate::config::check::path;
use crate::config::complaint::{Complaints, Told};
use crate::config::form::{Field, Form, may};
use crate::config::plan::{Identity, TlsPlan};
use crate::config::url::host_name;

pub(super) const FIELDS: &[Field] = &[
    may("ca", Form::Text, "the file of the authorities that are trusted instead of the usual ones"),
    may("cert", Form::Text, "our own certificate"),
    may("key", Form::Text, "its private key"),
    may("server_name", Form::Text, "whom the certificate must be for; the URL's host"),
];

/// Reads the map.
pub(super) fn tls(at: &At<'_>, out: &mut Complaints) -> Result<TlsPlan, Told> {
    let fields = at.fields_explained(FIELDS, |name| no_blind_trust(name, "name the CA under `ca`"), out)?;
    let ca = fields.get("ca").map(|at| path::file(&at, "/etc/byname/ca.crt", out)).transpose();
    let identity = identity(&fields, out);
    let server_name = fields.get("server_name").map(|at| server_name(&at, out)).transpose();
    Ok(TlsPlan { ca: ca?, identity: identity?, server_name: server_name? })
}

/// Explains beside `tls:` why there is no field of this name.
pub(super) fn beside(name: &str) -> Option<(&'static str, &'static str)> {
    no_blind_trust(name, "name the CA under `tls: { ca: PATH }`")
}

/// Whether a field of this name would switch verification off. There is none, whatever it is called.
fn no_blind_trust(name: &str, mend: &'static str) -> Option<(&'static str, &'static str)> {
    const SIGNS: [&str; 7] =
        ["verif", "insecure", "skip_tls", "self_signed", "invalid_cert", "unauthorized", "trust_all"];
    let name = name.to_ascii_lowercase();
    SIGNS.iter().any(|sign| name.contains(sign)).then_some(("verification cannot be switched off", mend))
}

/// One without the other would be a certificate that we cannot prove to be ours.
fn identity(fields: &Fields<'_>, out: &mut Complaints) -> Result<Option<Identity>, Told> {
    if fields.get("cert").is_none() && fields.get("key").is_none() {
        return Ok(None);
    }
    let cert = fields
        .need("cert", "write the path of the certificate that `key` belongs to, or remove `key`", out)
        .and_then(|at| path::file(&at, "/etc/byname/client.crt", out));
    let key = fields
        .need("key", "write the path of the private key of `cert`, or remove `cert`", out)
        .and_then(|at| path::file(&at, "/etc/byname/client.key", out));
    Ok(Some(Identity { cert: cert?, key: key? }))
}

fn server_name(at: &At<'_>, out: &mut Complaints) -> Result<String, Told> {
    let text = at.text(out)?;
    if let Ok(address) = text.parse::<IpAddr>() {
        return Ok(address.to_string());
    }
    match host_name(text) {
        Ok(name) if verified_as_another(&name) => {
            let wrong = "would be verified as another name, because of the `_` before its first dot";
            let mend = "write a name in the backend's certificate that has no `_` there";
            Err(at.complain(out, wrong, mend))
        }
        Ok(name) if !text.starts_with('[') => Ok(name),
        Ok(_) | Err(_) => {
            let mend = "write the name in the backend's certificate, such as models.example";
            Err(at.complain(out, "is not a name that a certificate could be for", mend))
        }
    }
}

/// Whether a certificate would be verified for another name than this: the connector takes an underscore in
/// the first of three labels or more for a hyphen.
pub(super) fn verified_as_another(name: &str) -> bool {
    name.split_once('.').is_some_and(|(first, rest)| first.contains('_') && rest.contains('.'))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::at::tests::{complaint, reading};

    #[test]
    fn everything_is_optional_but_a_certificate_needs_its_key() {
        assert_eq!(reading("{}", tls), Ok(TlsPlan::default()));
        let full = "{ ca: /a, cert: /b, key: /c, server_name: Models.Example }";
        let expected = TlsPlan {
            ca: Some("/a".into()),
            identity: Some(Identity { cert: "/b".into(), key: "/c".into() }),
            server_name: Some("models.example".to_owned()),
        };
        assert_eq!(reading(full, tls), Ok(expected));
        assert_eq!(
            complaint("{ cert: /b }", tls),
            "t:1:1: key: is missing; write the path of the private key of `cert`, or remove `cert`"
        );
        assert_eq!(
            complaint("{ key: /c }", tls),
            "t:1:1: cert: is missing; write the path of the certificate that `key` belongs to, or remove `key`"
        );
    }

    #[test]
    fn no_field_switches_verification_off() {
        for name in [
            "verify",
            "insecure",
            "skip_verify",
            "INSECURE_SKIP_VERIFY",
            "verification",
            "verify-hostname",
            "skip_tls",
        ] {
            let told = complaint(&format!("{{ {name}: false }}"), |at, out| {
                tls(at, out).and_then(|_| Err::<(), _>(at.complain(out, "", "")))
            });
            let expected =
                format!("t:1:3: {name}: verification cannot be switched off; name the CA under `ca`");
            assert!(told.contains(&expected), "{told}");
        }
        for known in FIELDS {
            assert_eq!(beside(known.name), None);
        }
    }

    #[test]
    fn a_server_name_can_stand_in_a_certificate() {
        for good in ["models.example", "localhost", "my_svc", "my_svc.local", "a.b_c.d", "127.0.0.1", "'::1'"]
        {
            assert!(reading(good, server_name).is_ok(), "{good}");
        }
        for bad in
            ["''", "'*.example'", "a..b", "a.example:443", "https://a", "日本", "'[::1]'", "1.2.3", "a."]
        {
            assert!(reading(bad, server_name).is_err(), "{bad}");
        }
        assert_eq!(
            complaint("my_svc.models.example", server_name),
            "would be verified as another name, because of the `_` before its first dot; \
             write a name in the backend's certificate that has no `_` there"
        );
    }

    #[test]
    fn an_underscore_counts_in_the_first_label_of_three() {
        for another in ["a_b.c.d", "_a.b.c", "a_.b.c_d.e"] {
            assert!(verified_as_another(another), "{another}");
        }
        for same in ["", "a_b", "a_b.c", "a.b_c.d", "a.b.c_d", "a-b.c.d", "127.0.0.1", "::1"] {
            assert!(!verified_as_another(same), "{same}");
        }
    }
}
