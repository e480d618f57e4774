//! When certificates and keys end.

use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use prometheus::{IntGaugeVec, Opts, Registry};

use super::registered;

/// The last moments of what is configured, in seconds since 1970; set when somebody asks.
#[derive(Debug)]
pub struct EndMetrics {
    certificates: IntGaugeVec,
    keys: IntGaugeVec,
}

impl EndMetrics {
    pub(super) fn new(registry: &Registry) -> prometheus::Result<Self> {
        let gauges = |name: &str, help: &str, labels: &[&str]| {
            registered(registry, IntGaugeVec::new(Opts::new(name, help), labels)?)
        };
        Ok(Self {
            certificates: gauges(
                "certificate_ends_seconds",
                "When a certificate that is shown ends, in seconds since 1970.",
                &["file"],
            )?,
            keys: gauges(
                "key_ends_seconds",
                "When a key ends, in seconds since 1970; only of keys that do.",
                &["tenant", "key"],
            )?,
        })
    }

    /// Says when certificates end, by their file. Forgets those that are no more shown.
    pub fn certificates<'a>(&self, all: impl Iterator<Item = (&'a Path, SystemTime)>) {
        self.certificates.reset();
        for (file, at) in all {
            self.certificates.with_label_values(&[&*file.to_string_lossy()]).set(seconds(at));
        }
    }

    /// Says when keys end: tenant, key, and when. Forgets those that are no more.
    pub fn keys<'a>(&self, all: impl Iterator<Item = (&'a str, &'a str, SystemTime)>) {
        self.keys.reset();
        for (tenant, key, at) in all {
            self.keys.with_label_values(&[tenant, key]).set(seconds(at));
        }
    }
}

fn seconds(at: SystemTime) -> i64 {
    let since = at.duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
}
