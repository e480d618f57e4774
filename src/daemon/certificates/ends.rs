//! When certificates end, so that somebody is told before clients or backends are.

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::config::plan::Plan;

/// One certificate that we show, and the last moment of its time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct End {
    pub file: PathBuf,
    pub at: SystemTime,
}

/// The ends of all certificates that a plan shows to clients and to backends, each file once. A file that cannot
/// be read has no end here: whoever uses it complains.
pub fn ends(plan: &Plan) -> Vec<End> {
    let of_listeners = plan.certificates.values().map(|tls| &tls.identity);
    let of_backends = plan.pools.iter().flat_map(|pool| &pool.backends);
    let of_backends = of_backends.filter_map(|backend| backend.tls.identity.as_ref());
    let mut files: Vec<_> = of_listeners.chain(of_backends).map(|identity| identity.cert.clone()).collect();
    files.sort();
    files.dedup();
    files.into_iter().filter_map(|file| end(&file).map(|at| End { file, at })).collect()
}

pub(super) fn end(file: &Path) -> Option<SystemTime> {
    let chain = super::certificates(file).ok()?;
    let (_, read) = x509_parser::parse_x509_certificate(chain.first()?).ok()?;
    let seconds = u64::try_from(read.validity().not_after.timestamp()).ok()?;
    UNIX_EPOCH.checked_add(Duration::from_secs(seconds))
}
