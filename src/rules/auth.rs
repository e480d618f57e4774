//! Who asks: the bearer key of a request, looked up by its SHA-256.
//!
//! A look-up by digest takes the same time for every wrong key: what an attacker can vary, the key, is hashed
//! before it is compared. A map may stop comparing at the first byte that differs, and that tells nothing: which
//! byte of a SHA-256 that is cannot be steered by who does not know the key. Unknown, expired and disabled keys
//! take one way; disabled ones are not even here.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::SystemTime;

use crate::error::{GatewayError, Scope};
use crate::names::{KeyDigest, KeyId, TenantId};
use crate::rules::limits::book::Limit;

/// The longest key that is looked at, in bytes. Ours are below 100.
const MAX_KEY: usize = 512;

/// An authenticated caller.
#[derive(Debug)]
pub struct Principal {
    pub tenant: TenantId,
    pub key: KeyId,
    /// Where the tenant stands: a position in the snapshot's list of tenants.
    pub tenant_index: usize,
    pub scopes: Vec<Scope>,
    /// From when on the key is refused.
    pub expires: Option<SystemTime>,
    /// What the key may use.
    pub limit: Option<Limit>,
}

impl Principal {
    /// # Errors
    /// [`GatewayError::NoScope`] when the key may not be used for this.
    pub fn may(&self, scope: Scope) -> Result<(), GatewayError> {
        if self.scopes.contains(&scope) { Ok(()) } else { Err(GatewayError::NoScope(scope)) }
    }
}

/// All keys of all tenants.
#[derive(Debug, Default)]
pub struct KeyRing {
    keys: HashMap<KeyDigest, Arc<Principal>>,
}

impl KeyRing {
    /// Adds a key. Digests are unique: the configuration check saw to it.
    pub fn add(&mut self, digest: KeyDigest, principal: Principal) {
        self.keys.insert(digest, Arc::new(principal));
    }

    /// Everyone who has a key.
    pub fn principals(&self) -> impl Iterator<Item = &Principal> {
        self.keys.values().map(Arc::as_ref)
    }

    /// Who sent these `Authorization` headers at this time.
    ///
    /// # Errors
    /// [`GatewayError::NoKey`] for no header, more than one, another scheme, and an unknown or
    /// expired key alike.
    pub fn identify<'h>(
        &self,
        mut authorization: impl Iterator<Item = &'h [u8]>,
        now: SystemTime,
    ) -> Result<&Arc<Principal>, GatewayError> {
        let header = authorization.next().ok_or(GatewayError::NoKey)?;
        if authorization.next().is_some() {
            return Err(GatewayError::NoKey);
        }
        let key = bearer(header).ok_or(GatewayError::NoKey)?;
        let principal = self.keys.get(&digest(key)).ok_or(GatewayError::NoKey)?;
        match principal.expires {
            Some(end) if end <= now => Err(GatewayError::NoKey),
            Some(_) | None => Ok(principal),
        }
    }
}

/// What is stored and compared instead of a key.
pub fn digest(key: &[u8]) -> KeyDigest {
    let hash = ring::digest::digest(&ring::digest::SHA256, key);
    let mut bytes = [0; 32];
    bytes.iter_mut().zip(hash.as_ref()).for_each(|(to, from)| *to = *from);
    KeyDigest::new(bytes)
}

/// The key of `Bearer <key>`; the scheme in any case (RFC 9110, 11.1), the key a token68 (RFC 6750, 2.1).
fn bearer(header: &[u8]) -> Option<&[u8]> {
    let (scheme, rest) = header.split_at_checked(6)?;
    if !scheme.eq_ignore_ascii_case(b"bearer") || rest.first() != Some(&b' ') {
        return None;
    }
    let key = rest.trim_ascii();
    let plain = key.iter().all(|b| b.is_ascii_graphic() && *b != b',');
    (plain && !key.is_empty() && key.len() <= MAX_KEY).then_some(key)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::{Duration, UNIX_EPOCH};

    const NOW: SystemTime = UNIX_EPOCH;

    fn ring() -> KeyRing {
        let mut ring = KeyRing::default();
        for (key, expires) in [("good", None), ("later", Some(1)), ("now", Some(0))] {
            ring.add(
                digest(key.as_bytes()),
                Principal {
                    tenant: TenantId::new("acme"),
                    key: KeyId::new(key),
                    tenant_index: 0,
                    scopes: vec![Scope::Chat],
                    expires: expires.map(|s| NOW + Duration::from_secs(s)),
                    limit: None,
                },
            );
        }
        ring
    }

    fn who(headers: &[&str]) -> Option<String> {
        let ring = ring();
        let found = ring.identify(headers.iter().map(|h| h.as_bytes()), NOW);
        found.ok().map(|p| p.key.to_string())
    }

    #[test]
    fn a_digest_is_the_sha_256_of_the_key() {
        // RFC 6234's test vector for "abc".
        let abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(digest(b"abc").to_hex(), abc);
    }

    #[test]
    fn one_bearer_header_with_a_known_key_is_a_caller() {
        for header in ["Bearer good", "bearer good", "BEARER  good", "Bearer good "] {
            assert_eq!(who(&[header]).as_deref(), Some("good"), "{header}");
        }
        assert_eq!(who(&["Bearer later"]).as_deref(), Some("later"));
    }

    #[test]
    fn everything_else_is_nobody() {
        let long = format!("Bearer {}", "x".repeat(MAX_KEY + 1));
        for headers in [
            &[][..],
            &[""],
            &["Bearer"],
            &["Bearer "],
            &["Bearergood"],
            &["Bearer\tgood"],
            &["Basic good"],
            &["good"],
            &["Bearer goo"],
            &["Bearer goodd"],
            &["Bearer good,good"],
            &["Bearer good good"],
            &["Bearer now"],
            &["Bearer good", "Bearer good"],
            &["Bearer 日本"],
            &[&long],
        ] {
            assert_eq!(who(headers), None, "{headers:?}");
        }
    }

    #[test]
    fn a_scope_that_the_key_lacks_is_refused() {
        let ring = ring();
        let caller = ring.identify([&b"Bearer good"[..]].into_iter(), NOW).unwrap();
        assert_eq!(caller.may(Scope::Chat), Ok(()));
        assert_eq!(caller.may(Scope::Models), Err(GatewayError::NoScope(Scope::Models)));
    }
}
