//! Reads certificates from PEM files and makes sure that they can be used before anything rests on them.

pub mod ends;

use std::any::Any;
use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::Path;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::ClientCertVerifier;
use rustls::sign::CertifiedKey;
use rustls::{RootCertStore, ServerConfig};

use crate::config::place::{Fault, Way};
use crate::config::plan::{ClientCerts, Identity, TlsListen, TlsPlan};
use crate::proxy::peer;

/// What a backend's TLS needs beyond its name.
pub struct Material {
    /// For whoever connects; `None` when the system's authorities do and no certificate is shown.
    pub prepared: Option<Arc<dyn Any + Send + Sync>>,
    /// Differs when any of the certificates does.
    pub fingerprint: u64,
}

/// Reads what a plan names.
///
/// # Errors
/// Which field, and what is wrong with its file.
pub fn material(plan: &TlsPlan) -> Result<Material, String> {
    let authorities = plan.ca.as_deref().map(authorities).transpose().map_err(|why| format!(".ca: {why}"))?;
    let identity = plan.identity.as_ref().map(identity).transpose()?;
    let identity = identity.map(|(chain, key)| {
        let chain: Vec<_> = chain.iter().map(|der| der.to_vec()).collect();
        (chain, key.secret_der().to_vec())
    });
    let mut hasher = DefaultHasher::new();
    authorities.hash(&mut hasher);
    identity.hash(&mut hasher);
    let needed = authorities.is_some() || identity.is_some();
    let prepared = needed.then(|| peer::material(authorities, identity));
    Ok(Material { prepared, fingerprint: hasher.finish() })
}

/// A complaint of this file as a fault of a field below `tls`: it begins with the field's name.
pub fn fault(tls: Way, complaint: &str) -> Fault {
    let (field, wrong) = complaint.split_once(": ").unwrap_or(("", complaint));
    let way = field.split('.').filter(|name| !name.is_empty()).fold(tls, |way, name| way.field(name));
    Fault::obstacle(way, wrong, "see to the file, its name and who may read it")
}

/// What listeners show, by their place among them.
///
/// # Errors
/// Every listener whose files cannot be used: which field, and what is wrong with its file.
pub fn of_listeners(plans: &BTreeMap<usize, TlsListen>) -> Result<BTreeMap<usize, ServerConfig>, Vec<Fault>> {
    let mut ready = BTreeMap::new();
    let mut wrong = Vec::new();
    for (place, plan) in plans {
        match server_config(plan) {
            Ok(config) => drop(ready.insert(*place, config)),
            Err(why) => wrong.push(fault(Way::to("server").field("listen").item(*place).field("tls"), &why)),
        }
    }
    if wrong.is_empty() { Ok(ready) } else { Err(wrong) }
}

/// TLS 1.2 or newer with what a plan names, and HTTP/2 or HTTP/1.1 as the client prefers. Resumed sessions need
/// no memory here; data before the end of a handshake is not taken, and nothing is negotiated again.
///
/// # Errors
/// Which field, and what is wrong with its file.
pub fn server_config(plan: &TlsListen) -> Result<ServerConfig, String> {
    let (chain, key) = identity(&plan.identity)?;
    if let Some(own) = chain.first() {
        timely(&plan.identity.cert, own, SystemTime::now()).map_err(|why| format!(".cert: {why}"))?;
    }
    let clients = verifier(&plan.clients).map_err(|why| format!(".client_ca: {why}"))?;
    let unusable = |why: rustls::Error| format!(".cert: {}: {why}", plan.identity.cert.display());
    let builder = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(unusable)?;
    let builder = match clients {
        Some(verifier) => builder.with_client_cert_verifier(verifier),
        None => builder.with_no_client_auth(),
    };
    let mut config = builder.with_single_cert(chain, key).map_err(unusable)?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    config.ticketer = ring::Ticketer::new().map_err(unusable)?;
    Ok(config)
}

fn verifier(clients: &ClientCerts) -> Result<Option<Arc<dyn ClientCertVerifier>>, String> {
    let path = match clients {
        ClientCerts::NotAsked => return Ok(None),
        ClientCerts::Optional(path) | ClientCerts::Required(path) => path,
    };
    let store = Arc::new(trusted(path)?.1);
    let builder = WebPkiClientVerifier::builder_with_provider(store, Arc::new(ring::default_provider()));
    let builder = match clients {
        ClientCerts::Optional(_) => builder.allow_unauthenticated(),
        ClientCerts::NotAsked | ClientCerts::Required(_) => builder,
    };
    builder.build().map(Some).map_err(|why| format!("{}: {why}", path.display()))
}

fn authorities(path: &Path) -> Result<Vec<Vec<u8>>, String> {
    Ok(trusted(path)?.0.iter().map(|der| der.to_vec()).collect())
}

/// The authorities' certificates in a file, and those who trust them.
fn trusted(path: &Path) -> Result<(Vec<CertificateDer<'static>>, RootCertStore), String> {
    let all = certificates(path)?;
    let mut store = RootCertStore::empty();
    for certificate in &all {
        store
            .add(certificate.clone())
            .map_err(|why| format!("{}: holds what is no authority's certificate: {why}", path.display()))?;
        parsed(path, certificate)?;
    }
    Ok((all, store))
}

/// Clients would refuse a certificate outside of its time, all of them.
fn timely(path: &Path, certificate: &CertificateDer<'_>, now: SystemTime) -> Result<(), String> {
    let (_, read) = x509_parser::parse_x509_certificate(certificate)
        .map_err(|why| format!("{}: cannot be read: {why}", path.display()))?;
    let now = now.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let now = i64::try_from(now).unwrap_or(i64::MAX);
    let validity = read.validity();
    if validity.not_after.timestamp() < now {
        return Err(format!("{}: expired at {}", path.display(), validity.not_after));
    }
    if validity.not_before.timestamp() > now {
        return Err(format!("{}: is not valid before {}", path.display(), validity.not_before));
    }
    Ok(())
}

/// A chain and its key.
type Shown = (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>);

fn identity(plan: &Identity) -> Result<Shown, String> {
    let chain = certificates(&plan.cert).map_err(|why| format!(".cert: {why}"))?;
    for certificate in &chain {
        parsed(&plan.cert, certificate).map_err(|why| format!(".cert: {why}"))?;
    }
    let key = PrivateKeyDer::from_pem_file(&plan.key).map_err(|why| {
        format!(".key: {}: holds no private key that can be read: {why}", plan.key.display())
    })?;
    let signer = ring::sign::any_supported_type(&key)
        .map_err(|why| format!(".key: {}: is of no kind that can be used: {why}", plan.key.display()))?;
    CertifiedKey::new(chain.clone(), signer)
        .keys_match()
        .map_err(|why| format!(".key: {}: does not belong to `cert`: {why}", plan.key.display()))?;
    Ok((chain, key))
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let unreadable = |why: rustls::pki_types::pem::Error| format!("{}: {why}", path.display());
    let all: Vec<_> = CertificateDer::pem_file_iter(path)
        .map_err(unreadable)?
        .collect::<Result<_, _>>()
        .map_err(unreadable)?;
    if all.is_empty() {
        return Err(format!("{}: holds no certificate in PEM", path.display()));
    }
    Ok(all)
}

/// The connecting side parses each certificate once more, in its own way, and would panic.
fn parsed(path: &Path, certificate: &CertificateDer<'_>) -> Result<(), String> {
    x509_parser::parse_x509_certificate(certificate)
        .map(drop)
        .map_err(|why| format!("{}: holds a certificate that cannot be read: {why}", path.display()))
}

#[cfg(test)]
mod tests;
