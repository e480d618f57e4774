//! The machine as the bench sees it: cores, CPU time, stolen time, memory, file limits, free ports.
//!
//! Only reads, but for the affinity of the calling thread and the soft limit of open files. Linux only.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::time::Duration;

use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::time::{ClockId, clock_gettime};
use nix::unistd::Pid;

/// Which cores the gateway under test has to itself, and which are for everybody else.
pub enum Cores {
    Split {
        gateway: usize,
        rest: Vec<usize>,
    },
    /// There is one core only, or the system does not let us choose.
    Shared,
}

impl Cores {
    pub fn find() -> Cores {
        let allowed = sched_getaffinity(Pid::from_raw(0)).unwrap_or_default();
        let mut allowed = (0..CpuSet::count()).filter(|core| allowed.is_set(*core).unwrap_or(false));
        match (allowed.next(), allowed.collect::<Vec<_>>()) {
            (Some(gateway), rest) if !rest.is_empty() && pin(&[gateway]) => {
                pin(&rest);
                Cores::Split { gateway, rest }
            }
            (Some(_) | None, _) => Cores::Shared,
        }
    }

    /// Runs `start` with this thread on the gateway's core: a child process inherits that from its first
    /// instruction, so no thread of it ever runs elsewhere.
    pub fn on_gateway_core<T>(&self, start: impl FnOnce() -> T) -> T {
        match self {
            Cores::Split { gateway, rest } => {
                pin(&[*gateway]);
                let started = start();
                pin(rest);
                started
            }
            Cores::Shared => start(),
        }
    }

    /// Threads for the mock, and as many again for the load.
    pub fn threads(&self) -> usize {
        match self {
            Cores::Split { rest, .. } => rest.len().clamp(1, 2),
            Cores::Shared => 1,
        }
    }

    /// The share (0 to 1) that is stolen or used is asked of this line of `/proc/stat`.
    fn stat_line(&self) -> String {
        match self {
            Cores::Split { gateway, .. } => format!("cpu{gateway} "),
            Cores::Shared => "cpu ".into(),
        }
    }

    /// Ticks so far on the gateway's core.
    pub fn ticks(&self) -> Ticks {
        let stat = fs::read_to_string("/proc/stat").unwrap();
        let line = stat.lines().find_map(|line| line.strip_prefix(&self.stat_line())).unwrap();
        let fields: Vec<u64> = line.split_whitespace().map(|field| field.parse().unwrap()).collect();
        // user nice system idle iowait irq softirq steal; guest time is already part of user.
        Ticks { stolen: fields[7], all: fields.iter().take(8).sum() }
    }
}

fn pin(cores: &[usize]) -> bool {
    let mut set = CpuSet::new();
    cores.iter().all(|core| set.set(*core).is_ok()) && sched_setaffinity(Pid::from_raw(0), &set).is_ok()
}

#[derive(Clone, Copy)]
pub struct Ticks {
    stolen: u64,
    all: u64,
}

impl Ticks {
    /// Percent of the time since `earlier` that the hypervisor gave to somebody else.
    pub fn stolen_percent_since(self, earlier: Ticks) -> f64 {
        100.0 * (self.stolen - earlier.stolen) as f64 / (self.all - earlier.all).max(1) as f64
    }
}

/// User and system time of all threads of a process, those that ended included, in nanoseconds of the
/// scheduler rather than in clock ticks.
pub fn cpu_time(pid: u32) -> Duration {
    let clock = ClockId::pid_cpu_clock_id(Pid::from_raw(pid as i32)).unwrap();
    clock_gettime(clock).unwrap().into()
}

/// How long the threads of a process were ready to run and had to wait: the trace of other programs on the
/// gateway's core. Zero where the kernel does not count it.
pub fn queue_time(pid: u32) -> Duration {
    let tasks = fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    let waited = tasks.filter_map(|task| {
        let text = fs::read_to_string(task.path().join("schedstat")).ok()?;
        text.split_whitespace().nth(1)?.parse::<u64>().ok()
    });
    Duration::from_nanos(waited.sum())
}

/// Resident memory of a process, in KB.
pub fn resident_kb(pid: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.split_whitespace().next().unwrap().parse().unwrap()
}

/// A gateway holds two sockets per stream; the soft limit is often 1,024.
pub fn raise_file_limit() {
    if let Ok((_, hard)) = getrlimit(Resource::RLIMIT_NOFILE) {
        let _ = setrlimit(Resource::RLIMIT_NOFILE, hard.min(65_536), hard);
    }
}

/// A port of loopback that nobody listened on a moment ago.
pub fn free_port() -> SocketAddr {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap()
}
