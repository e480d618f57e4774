//! What the process takes of the machine, under the names that every Prometheus client has for it. They are set by
//! whoever can read it; nothing here opens a file.

use prometheus::proto::MetricFamily;
use prometheus::{Counter, Gauge, IntGauge, Registry};

use super::registered;

/// The usual names have no prefix, so they have a registry of their own.
#[derive(Debug)]
pub struct ProcessMetrics {
    registry: Registry,
    cpu: Counter,
    /// Seconds since 1970.
    pub started: Gauge,
    /// Bytes.
    pub resident: IntGauge,
    /// Bytes.
    pub virtual_memory: IntGauge,
    pub open_fds: IntGauge,
    pub max_fds: IntGauge,
    pub threads: IntGauge,
}

impl ProcessMetrics {
    pub(super) fn new() -> prometheus::Result<Self> {
        let registry = Registry::new();
        let gauge = |name: &str, help: &str| registered(&registry, IntGauge::new(name, help)?);
        let cpu = Counter::new("process_cpu_seconds_total", "Time on processors, user and system.")?;
        let cpu = registered(&registry, cpu)?;
        let started = Gauge::new("process_start_time_seconds", "When the process began, since 1970.")?;
        let started = registered(&registry, started)?;
        Ok(Self {
            cpu,
            started,
            resident: gauge("process_resident_memory_bytes", "Memory in use.")?,
            virtual_memory: gauge("process_virtual_memory_bytes", "Addresses in use.")?,
            open_fds: gauge("process_open_fds", "Files and sockets that are open.")?,
            max_fds: gauge("process_max_fds", "Files and sockets that may be open.")?,
            threads: gauge("process_threads", "Threads.")?,
            registry,
        })
    }

    /// Says how many seconds the process has been on processors so far.
    pub fn cpu(&self, seconds: f64) {
        let more = seconds - self.cpu.get();
        // A counter that went down would be one that began anew.
        if more > 0.0 {
            self.cpu.inc_by(more);
        }
    }

    pub(super) fn gather(&self) -> Vec<MetricFamily> {
        self.registry.gather()
    }
}
