//! The processes of a run: the mock model, the bare proxy and Byname, each on a free port of loopback.
//!
//! Every child is killed and waited for when its [`Process`] is dropped. Gateways start on their own core.

use std::env;
use std::fs;
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use crate::host::{self, Cores};

/// Who is asked.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Target {
    /// The mock model itself, without a gateway.
    Direct,
    Bare,
    Byname,
    /// Byname without an access log.
    Quiet,
    /// Byname with one request in a hundred traced.
    Traced,
}

impl Target {
    pub fn name(self) -> &'static str {
        match self {
            Target::Direct => "direct",
            Target::Bare => "bare",
            Target::Byname => "byname",
            Target::Quiet => "quiet",
            Target::Traced => "traced",
        }
    }
}

pub struct Process {
    pub address: SocketAddr,
    child: Child,
    /// A file that was written for this process alone, and goes with it.
    config: Option<PathBuf>,
}

impl Process {
    pub fn pid(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if let Some(config) = &self.config {
            let _ = fs::remove_file(config);
        }
    }
}

/// The processes that live as long as the run.
pub struct Fleet {
    mock: Process,
    bare: Process,
    /// Absent when there is no such executable.
    byname: Option<Process>,
    quiet: Option<Process>,
    traced: Option<Process>,
}

impl Fleet {
    pub fn start(cores: &Cores) -> Fleet {
        let mock = host::free_port();
        let threads = cores.threads().to_string();
        let mut command = Command::new(env::current_exe().unwrap());
        command.arg("--mock").arg(mock.to_string()).arg(threads);
        let mock = launch(command, mock);
        let bare = bare(cores, mock.address);
        let [one, quiet, traced] =
            [Target::Byname, Target::Quiet, Target::Traced].map(|target| byname(cores, mock.address, target));
        Fleet { mock, bare, byname: one, quiet, traced }
    }

    /// The address of a target, and its process if it is a gateway.
    pub fn find(&self, target: Target) -> Option<(SocketAddr, Option<u32>)> {
        let gateway =
            |of: &Option<Process>| of.as_ref().map(|process| (process.address, Some(process.pid())));
        match target {
            Target::Direct => Some((self.mock.address, None)),
            Target::Bare => Some((self.bare.address, Some(self.bare.pid()))),
            Target::Byname => gateway(&self.byname),
            Target::Quiet => gateway(&self.quiet),
            Target::Traced => gateway(&self.traced),
        }
    }

    /// A second process of the same kind, with no past.
    pub fn fresh(&self, target: Target, cores: &Cores) -> Option<Process> {
        match target {
            Target::Direct => None,
            Target::Bare => Some(bare(cores, self.mock.address)),
            Target::Byname | Target::Quiet | Target::Traced => byname(cores, self.mock.address, target),
        }
    }
}

fn bare(cores: &Cores, upstream: SocketAddr) -> Process {
    let listen = host::free_port();
    let mut command = Command::new(env::current_exe().unwrap());
    command.arg("--bare-proxy").arg(listen.to_string()).arg(upstream.to_string());
    cores.on_gateway_core(|| launch(command, listen))
}

fn byname(cores: &Cores, upstream: SocketAddr, target: Target) -> Option<Process> {
    let executable = executable()?;
    let listen = host::free_port();
    let config = scratch().join(format!("relay-{}.yaml", listen.port()));
    fs::write(&config, config_text(listen, upstream, target)).unwrap();
    let mut command = Command::new(executable);
    command.arg("-c").arg(&config);
    let mut process = cores.on_gateway_core(|| launch(command, listen));
    process.config = Some(config);
    Some(process)
}

/// The gateway under test: `BYNAME_BIN`, or what cargo built beside this bench.
fn executable() -> Option<PathBuf> {
    let named = env::var_os("BYNAME_BIN").map(PathBuf::from);
    named.or_else(|| option_env!("CARGO_BIN_EXE_byname").map(PathBuf::from)).filter(|path| path.exists())
}

/// Where cargo lets benches write.
pub fn scratch() -> &'static Path {
    Path::new(env!("CARGO_TARGET_TMPDIR"))
}

/// Everything on: key check, alias, rewriting both ways, the access log (to nowhere) and metrics. Traces go to the
/// mock, which answers whatever it is asked.
fn config_text(listen: SocketAddr, upstream: SocketAddr, target: Target) -> String {
    let admin = host::free_port();
    let more = match target {
        Target::Quiet => "log: { access: off }".to_owned(),
        Target::Traced => format!("tracing: {{ endpoint: \"http://{upstream}/v1/traces\", sample: 1% }}"),
        Target::Direct | Target::Bare | Target::Byname => String::new(),
    };
    format!(
        r#"server: {{ listen: "{listen}", admin: "{admin}", threads: 1, unknown_keys_per_minute: 1000000000 }}
{more}
pools:
  main: {{ backends: [ {{ url: "http://{upstream}/v1" }} ] }}
tenants:
  acme:
    keys:
      # The hash of the key `bn-bench`.
      web: {{ sha256: 028a6d4d5bbdacf74deb98f0de238095909167610ae7612fe4e5a8a323bdeaeb, scopes: [chat, models] }}
    models:
      general:
        display_name: General
        description: An assistant for everyday work.
        routes: [ {{ pool: main, model: upstream-large-2026-01 }} ]
"#
    )
}

/// Starts a child and waits until it accepts connections.
fn launch(mut command: Command, address: SocketAddr) -> Process {
    command.stdin(Stdio::null()).stdout(Stdio::null());
    let mut process = Process { address, child: command.spawn().unwrap(), config: None };
    let patience = Instant::now() + Duration::from_secs(10);
    while TcpStream::connect(address).is_err() {
        if let Some(status) = process.child.try_wait().unwrap() {
            panic!("{command:?} ended early: {status}");
        }
        assert!(Instant::now() < patience, "{command:?} does not listen on {address}");
        thread::sleep(Duration::from_millis(5));
    }
    process
}
