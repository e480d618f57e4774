//! The `keys:` of a tenant: what we know of a client's key, which is its digest.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::time::SystemTime;

use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::limits::{Kept, LASTING, lasting};
use crate::config::at::{At, Named, every, truth};
use crate::config::complaint::{Complaints, Told, nearest, quoted};
use crate::config::form::{Field, Form, may, must};
use crate::config::naming::identifier;
use crate::config::plan::{Access, KeyPlan, LimitRules};
use crate::error::Scope;
use crate::names::{KeyDigest, KeyId};

pub(super) const FIELDS: &[Field] = &[
    must("sha256", Form::Digest, "of the key; `byname keygen` prints both"),
    may("scopes", Form::List(&Form::Words(&["chat", "models"]), 1), "what the key may be used for"),
    may(
        "expires",
        Form::Like("^[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt ][0-9:.]+([Zz]|[+-][0-9]{2}:[0-9]{2})$"),
        "date, time and offset (RFC 3339); never unless written",
    ),
    may("disabled", Form::Truth, "whether it is refused as if it were not here"),
    may("limits", Form::Section(LASTING), "of this key alone"),
];

/// The digests of all files, and where each was found.
pub(super) type Digests = HashMap<KeyDigest, String>;

/// Reads the keys of a tenant. None at all is a tenant that is locked out for now.
pub(super) fn keys(
    at: &At<'_>,
    digests: &mut Digests,
    kept: Kept,
    out: &mut Complaints,
) -> Result<Vec<KeyPlan>, Told> {
    every(at.named(out)?.map(|named| key(&named, digests, kept, out)))
}

fn key(named: &Named<'_>, digests: &mut Digests, kept: Kept, out: &mut Complaints) -> Result<KeyPlan, Told> {
    let id = identifier(named, out);
    let fields = named.value.fields_near_secret(FIELDS, out)?;
    let digest = fields
        .need("sha256", "`byname keygen` prints a key and its digest", out)
        .and_then(|at| digest(&at, digests, out));
    let scopes = fields.or("scopes", vec![Scope::Chat, Scope::Models], out, scopes);
    let expires = fields.get("expires").map(|at| expires(&at, out)).transpose();
    let access = fields.or("disabled", Access::Open, out, access);
    let limits = fields.or("limits", LimitRules::default(), out, |at, out| lasting(at, kept, out));
    Ok(KeyPlan {
        id: KeyId::new(id?),
        access: access?,
        digest: digest?,
        scopes: scopes?,
        expires: expires?,
        limits: limits?,
    })
}

/// Reads `disabled`.
pub(super) fn access(at: &At<'_>, out: &mut Complaints) -> Result<Access, Told> {
    Ok(if truth(at, out)? { Access::Disabled } else { Access::Open })
}

/// What stands here may be a key by mistake: it is never shown.
fn digest(at: &At<'_>, digests: &mut Digests, out: &mut Complaints) -> Result<KeyDigest, Told> {
    const MEND: &str = "write its 64 hexadecimal digits; `byname keygen` prints a key and its digest";
    // A digest may happen to consist of decimal digits, so that it is text to us whatever it is to YAML.
    let scalar = at.scalar("a SHA-256 digest", MEND, out)?;
    let Some(digest) = KeyDigest::from_hex(&scalar.text) else {
        return Err(at.complain(out, "is not a SHA-256 digest, and a key is stored as nothing else", MEND));
    };
    match digests.entry(digest) {
        Entry::Occupied(first) => {
            let wrong = format!("is the same digest as {}", first.get());
            Err(at.complain(out, wrong, "give every key its own"))
        }
        Entry::Vacant(free) => {
            free.insert(format!("{} ({})", at.path, at.place()));
            Ok(digest)
        }
    }
}

fn scopes(at: &At<'_>, out: &mut Complaints) -> Result<Vec<Scope>, Told> {
    let items = at.items(out)?;
    if items.len() == 0 {
        return Err(at.complain(out, "is empty", "write chat, models or both, or remove the line"));
    }
    let mut seen: Vec<Scope> = Vec::new();
    every(items.map(|at| {
        let scope = match at.text(out)? {
            "chat" => Scope::Chat,
            "models" => Scope::Models,
            other => {
                let mend = match nearest(other, ["chat", "models"]) {
                    Some(near) => format!("did you mean '{near}'?"),
                    None => "write chat or models".to_owned(),
                };
                return Err(at.complain(out, format!("there is no scope named {}", quoted(other)), mend));
            }
        };
        if seen.contains(&scope) {
            return Err(at.complain(out, "is listed twice", "keep one of them"));
        }
        seen.push(scope);
        Ok(scope)
    }))
}

/// Whether it has passed is not for a reader without a clock to say.
fn expires(at: &At<'_>, out: &mut Complaints) -> Result<SystemTime, Told> {
    const MEND: &str = "write date, time and offset: 2027-06-30T00:00:00Z";
    let scalar = at.scalar("a point in time", MEND, out)?;
    match OffsetDateTime::parse(&scalar.text, &Rfc3339) {
        Ok(time) => Ok(time.into()),
        Err(_) => Err(at.complain(out, "is not a point in time", MEND)),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::config::at::tests::{complaint, reading};

    fn read_digest(text: &str) -> Result<KeyDigest, Told> {
        reading(text, |at, out| digest(at, &mut Digests::new(), out))
    }

    #[test]
    fn a_digest_is_text_whatever_yaml_takes_it_for() {
        for hex in ["1".repeat(64), "0".repeat(64), format!("1e{}", "0".repeat(62)), "aB".repeat(32)] {
            assert!(read_digest(&hex).is_ok(), "{hex}");
            assert!(read_digest(&format!("'{hex}'")).is_ok(), "{hex}");
        }
    }

    #[test]
    fn a_clear_key_is_refused_and_not_shown() {
        for text in ["bn-hunter2", "hunter2", "4711", "{ clear: hunter2 }", &"hunter2x".repeat(8)] {
            let shown = complaint(text, |at, out| digest(at, &mut Digests::new(), out));
            assert!(!shown.contains("hunter2") && !shown.contains("4711"), "{shown}");
        }
    }

    #[test]
    fn an_expiry_is_a_point_in_time() {
        let noon = SystemTime::UNIX_EPOCH + Duration::from_secs(1_814_356_800);
        for text in ["2027-06-30T12:00:00Z", "2027-06-30T21:00:00+09:00", "'2027-06-30T12:00:00.000Z'"] {
            assert_eq!(reading(text, expires), Ok(noon), "{text}");
        }
        for text in
            ["2027-06-30", "2027-06-30T12:00:00", "2027-02-30T00:00:00Z", "30.6.2027", "1814356800", "never"]
        {
            assert!(reading(text, expires).is_err(), "{text}");
        }
    }

    #[test]
    fn scopes_are_not_empty_and_not_repeated() {
        assert_eq!(reading("[models, chat]", scopes), Ok(vec![Scope::Models, Scope::Chat]));
        for bad in ["[]", "[chat, chat]", "[admin]", "chat", "[~]"] {
            assert!(reading(bad, scopes).is_err(), "{bad}");
        }
    }
}
