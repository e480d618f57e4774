//! What this process takes of the machine. Everything is read below `/proc/self`, which is all of `/proc` that the unit
//! leaves us (`ProcSubset=pid`); the usual collector would ask `/proc/stat` for the machine's start.

use std::fs;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustix::process::{Resource, getrlimit};

use crate::metrics::ProcessMetrics;

/// Fields of `/proc/self/stat` after the name, which may have blanks of its own (proc_pid_stat(5), 3 being the first).
const UTIME: usize = 14 - 3;
const STIME: usize = 15 - 3;
const THREADS: usize = 20 - 3;

/// When this process began, as far as metrics are concerned: when they did.
pub fn began(metrics: &ProcessMetrics) {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
    metrics.started.set(since.as_secs_f64());
}

/// Sets them to what is so now. What cannot be read stays as it was.
pub fn now(metrics: &ProcessMetrics) {
    if let Some(taken) = fs::read_to_string("/proc/self/stat").ok().as_deref().and_then(taken) {
        metrics.cpu(taken.cpu.as_secs_f64());
        metrics.threads.set(taken.threads);
    }
    if let Some((all, resident)) = memory() {
        metrics.virtual_memory.set(all);
        metrics.resident.set(resident);
    }
    if let Ok(open) = fs::read_dir("/proc/self/fd") {
        // One of them is that of this very look.
        metrics.open_fds.set(number(open.count().saturating_sub(1)));
    }
    // No limit at all is as many as there can be.
    let most =
        getrlimit(Resource::Nofile).current.map_or(i64::MAX, |most| i64::try_from(most).unwrap_or(i64::MAX));
    metrics.max_fds.set(most);
}

/// Memory that is really there, in bytes.
pub fn resident() -> Option<u64> {
    u64::try_from(memory()?.1).ok()
}

/// All memory that there is an address for, and what is really there; in bytes.
fn memory() -> Option<(i64, i64)> {
    let (all, resident) = pages(&fs::read_to_string("/proc/self/statm").ok()?)?;
    let page = i64::try_from(rustix::param::page_size()).unwrap_or(4096);
    Some((all.saturating_mul(page), resident.saturating_mul(page)))
}

struct Taken {
    cpu: Duration,
    threads: i64,
}

fn taken(stat: &str) -> Option<Taken> {
    let (_, fields) = stat.rsplit_once(')')?;
    let fields: Vec<&str> = fields.split_whitespace().collect();
    let ticks = |at: usize| fields.get(at)?.parse::<u64>().ok();
    let a_second = rustix::param::clock_ticks_per_second().max(1);
    let all = ticks(UTIME)?.saturating_add(ticks(STIME)?);
    let cpu = Duration::from_millis(all.saturating_mul(1000) / a_second);
    Some(Taken { cpu, threads: fields.get(THREADS)?.parse().ok()? })
}

/// All pages, and those in memory.
fn pages(statm: &str) -> Option<(i64, i64)> {
    let mut fields = statm.split_whitespace().map(|field| field.parse::<i64>().ok());
    Some((fields.next()??, fields.next()??))
}

fn number(n: usize) -> i64 {
    i64::try_from(n).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::Metrics;

    #[test]
    fn a_name_with_blanks_and_brackets_moves_no_field() {
        let stat = "7 (by (na) me) S 1 7 7 0 -1 4194560 1 0 0 0 150 50 0 0 20 0 9 0 100 0 0";
        let taken = taken(stat).unwrap();
        let a_second = rustix::param::clock_ticks_per_second();
        assert_eq!((taken.cpu, taken.threads), (Duration::from_millis(200_000 / a_second), 9));
        assert!(super::taken("7 (x) S 1").is_none() && super::taken("").is_none());
    }

    #[test]
    fn resident_pages_are_the_second_number() {
        assert_eq!(pages("9041 1234 567 8 0 9 0\n"), Some((9041, 1234)));
        assert_eq!(pages(""), None);
        assert!(resident().is_some_and(|bytes| bytes > 100_000));
    }

    #[test]
    fn this_process_takes_something() {
        let metrics = Metrics::new().unwrap().process;
        began(&metrics);
        now(&metrics);
        assert!(metrics.resident.get() > 1 << 20 && metrics.virtual_memory.get() > metrics.resident.get());
        assert!(metrics.open_fds.get() >= 3 && metrics.max_fds.get() > metrics.open_fds.get());
        assert!(metrics.threads.get() >= 1 && metrics.started.get() > 1.7e9);
    }
}
