//! What ids of tool calls and identifiers of customers are made with.
//!
//! Promises the same for all gateways with one configuration, after a restart too, as long as there is a secret in
//! it: the one that is written for this, or else the backends' keys. Where there is none, names of pools alone
//! could be guessed; what is made then is random, and lasts as long as the process.

use std::sync::OnceLock;

use ring::digest::{Context, SHA256};
use ring::rand::{SecureRandom, SystemRandom};

use super::secrets::{self, secret};
use crate::config::place::{Fault, Way};
use crate::config::plan::SecretRef;
use crate::names::{PoolName, Secret};
use crate::wire::ids::Root;

/// A secret that is shorter, in bytes, could be guessed.
const SHORTEST: usize = 16;

/// For a process without any secret.
static RANDOM: OnceLock<[u8; 32]> = OnceLock::new();

/// Reads the secret that is written for this, or takes the keys of all backends.
///
/// # Errors
/// Why the secret cannot be used.
pub fn root<'k>(
    written: Option<&SecretRef>,
    keys: impl Iterator<Item = (&'k PoolName, Option<&'k Secret>)>,
) -> Result<Root, Fault> {
    let Some(written) = written else { return derived(keys) };
    let way = Way::to("server").field("id_secret");
    let secret = secret(written).map_err(|unread| unread.at(way.clone()))?;
    if secret.reveal().len() < SHORTEST {
        let wrong = format!("the secret is shorter than {SHORTEST} bytes");
        return Err(Fault::obstacle(way, wrong, "make a longer one, such as by: openssl rand -hex 32"));
    }
    Ok(Root::new(secret.reveal().as_bytes()))
}

/// What is unwise about where the secret is kept.
pub fn unwise(written: Option<&SecretRef>) -> Option<Fault> {
    secrets::unwise(written?, Way::to("server").field("id_secret"))
}

fn derived<'k>(keys: impl Iterator<Item = (&'k PoolName, Option<&'k Secret>)>) -> Result<Root, Fault> {
    let mut all = Context::new(&SHA256);
    let mut any = false;
    for (pool, key) in keys {
        any |= key.is_some();
        for part in [pool.as_str(), key.map_or("", Secret::reveal)] {
            all.update(&(part.len() as u64).to_be_bytes());
            all.update(part.as_bytes());
        }
    }
    if any {
        return Ok(Root::new(all.finish().as_ref()));
    }
    if let Some(bytes) = RANDOM.get() {
        return Ok(Root::new(bytes));
    }
    let mut bytes = [0; 32];
    if SystemRandom::new().fill(&mut bytes).is_err() {
        let wrong = "the system gives no random bytes";
        return Err(Fault::obstacle(Way::to("server"), wrong, "write `id_secret` there"));
    }
    Ok(Root::new(RANDOM.get_or_init(|| bytes)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::ids::Ids;

    fn made(keys: &[(&str, Option<&str>)]) -> String {
        let keys: Vec<_> =
            keys.iter().map(|(pool, key)| (PoolName::new(*pool), key.map(Secret::new))).collect();
        let root = root(None, keys.iter().map(|(pool, key)| (pool, key.as_ref()))).unwrap();
        Ids::new(&root, "acme", "general").person("anna")
    }

    #[test]
    fn the_same_keys_make_the_same_and_others_make_others() {
        let one = made(&[("a", Some("k")), ("b", None)]);
        assert_eq!(one, made(&[("a", Some("k")), ("b", None)]));
        for other in
            [made(&[("a", Some("l")), ("b", None)]), made(&[("a", None), ("b", Some("k"))]), made(&[])]
        {
            assert_ne!(one, other);
        }
        assert_eq!(made(&[("a", None)]), made(&[]), "random, and lasting");
    }
}
