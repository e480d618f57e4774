//! The gateway under test: the real binary, with a configuration for one trial.

use std::env;
use std::fs;
use std::io::{BufRead, BufReader};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// A running gateway; killed and waited for when it is dropped.
pub struct Gateway {
    pub address: SocketAddr,
    admin: SocketAddr,
    child: Child,
    config: PathBuf,
    lines: Arc<Mutex<Vec<String>>>,
}

impl Gateway {
    /// Starts one with these `pools:` and these `models:` of its tenant, each a YAML map in one line, and
    /// waits until it accepts connections.
    pub fn start(pools: &str, models: &str) -> Gateway {
        // The digest is that of the key `bn-bench`.
        let digest = "028a6d4d5bbdacf74deb98f0de238095909167610ae7612fe4e5a8a323bdeaeb";
        let tenants = format!(
            "tenants:\n  acme:\n    keys:\n      web: {{ sha256: {digest}, scopes: [chat] }}\n    models: {models}\n"
        );
        Self::with("", pools, &tenants)
    }

    /// The same with more of the `server:` map, each with a comma before it, and all of `tenants:`.
    pub fn with(server: &str, pools: &str, tenants: &str) -> Gateway {
        let (address, admin) = (free_port(), free_port());
        let config = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("trials-{}.yaml", address.port()));
        let text = format!(
            "server: {{ listen: \"{address}\", admin: \"{admin}\", threads: 2{server} }}\n\
             pools: {pools}\n{tenants}"
        );
        fs::write(&config, text).unwrap();
        let mut command = Command::new(executable());
        command.arg("-c").arg(&config).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = command.spawn().unwrap();
        let lines = collect(&mut child);
        let patience = Instant::now() + Duration::from_secs(30);
        while TcpStream::connect(address).is_err() {
            if let Some(status) = child.try_wait().unwrap() {
                panic!("{command:?} ended early: {status}; try it with -t");
            }
            assert!(Instant::now() < patience, "{command:?} does not listen on {address}");
            thread::sleep(Duration::from_millis(5));
        }
        Gateway { address, admin, child, config, lines }
    }

    /// Has it read its configuration anew.
    pub fn hang_up(&self) {
        let process = nix::unistd::Pid::from_raw(i32::try_from(self.child.id()).unwrap());
        nix::sys::signal::kill(process, nix::sys::signal::Signal::SIGHUP).unwrap();
    }

    /// The lines of its access log so far. A line comes some 20 ms after its request.
    pub fn log(&self) -> Vec<String> {
        self.lines.lock().unwrap().clone()
    }

    /// The sum of a metric over those of its series that `wanted` says; it is given the labels.
    pub async fn sum(&self, metric: &str, wanted: impl Fn(&str) -> bool) -> f64 {
        let mut stream = tokio::net::TcpStream::connect(self.admin).await.unwrap();
        stream
            .write_all(b"GET /metrics HTTP/1.1\r\nhost: byname\r\nconnection: close\r\n\r\n")
            .await
            .unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).await.unwrap();
        assert!(text.contains(metric), "there is no {metric}:\n{text}");
        let value = |line: &str| {
            let (labels, value) = line.strip_prefix(metric)?.rsplit_once(' ')?;
            if wanted(labels) { value.trim().parse::<f64>().ok() } else { None }
        };
        text.lines().filter_map(value).fold(0.0, |sum, value| sum + value)
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = fs::remove_file(&self.config);
    }
}

fn collect(child: &mut Child) -> Arc<Mutex<Vec<String>>> {
    let lines = Arc::<Mutex<Vec<String>>>::default();
    let (out, into) = (child.stdout.take().unwrap(), Arc::clone(&lines));
    thread::spawn(move || {
        for line in BufReader::new(out).lines().map_while(Result::ok) {
            into.lock().unwrap().push(line);
        }
    });
    lines
}

/// The gateway under test: `BYNAME_BIN`, or what cargo built beside this bench.
fn executable() -> PathBuf {
    let named = env::var_os("BYNAME_BIN").map(PathBuf::from);
    named.unwrap_or_else(|| PathBuf::from(env!("CARGO_BIN_EXE_byname")))
}

/// A port of loopback that nobody listened on a moment ago.
fn free_port() -> SocketAddr {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap()
}

/// A pool's `backends:`.
pub fn backends(addresses: &[SocketAddr]) -> String {
    let each: Vec<String> =
        addresses.iter().map(|address| format!("{{ url: \"http://{address}/v1\" }}")).collect();
    format!("[ {} ]", each.join(", "))
}

/// The `models:` of a tenant with one alias, `general`, that is routed to the pool `main`.
pub const ONE_ALIAS: &str = "{ general: { routes: [ { pool: main, model: upstream } ] } }";
