//! Reads certificates from PEM files and makes sure that they can be used before anything rests on them.

use std::any::Any;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::Path;
use std::sync::Arc;

use rustls::RootCertStore;
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;

use crate::config::place::{Fault, Way};
use crate::config::plan::{Identity, TlsPlan};
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

fn authorities(path: &Path) -> Result<Vec<Vec<u8>>, String> {
    let all = certificates(path)?;
    let mut store = RootCertStore::empty();
    for certificate in &all {
        store
            .add(certificate.clone())
            .map_err(|why| format!("{}: holds what is no authority's certificate: {why}", path.display()))?;
        parsed(path, certificate)?;
    }
    Ok(all.iter().map(|der| der.to_vec()).collect())
}

/// A chain and its key, as DER.
type Shown = (Vec<Vec<u8>>, Vec<u8>);

fn identity(plan: &Identity) -> Result<Shown, String> {
    let chain = certificates(&plan.cert).map_err(|why| format!(".cert: {why}"))?;
    for certificate in &chain {
        parsed(&plan.cert, certificate).map_err(|why| format!(".cert: {why}"))?;
    }
    let key = PrivateKeyDer::from_pem_file(&plan.key).map_err(|why| {
        format!(".key: {}: holds no private key that can be read: {why}", plan.key.display())
    })?;
    let der = key.secret_der().to_vec();
    let signer = ring::sign::any_supported_type(&key)
        .map_err(|why| format!(".key: {}: is of no kind that can be used: {why}", plan.key.display()))?;
    let der_chain = chain.iter().map(|der| der.to_vec()).collect();
    CertifiedKey::new(chain, signer)
        .keys_match()
        .map_err(|why| format!(".key: {}: does not belong to `cert`: {why}", plan.key.display()))?;
    Ok((der_chain, der))
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
