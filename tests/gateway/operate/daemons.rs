//! Processes that share a configuration file and a run directory, so that one can take over from the other.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use crate::kit::client::Client;
use crate::kit::config::digest;
use crate::kit::folder::Folder;
use crate::kit::{DEADLINE, KEY, ports};

/// A folder with a configuration, and the addresses in it.
pub struct Site {
    pub folder: Folder,
    pub listen: SocketAddr,
    pub admin: SocketAddr,
    /// Environment variables of every process here.
    pub env: Vec<(String, String)>,
}

/// One process.
pub struct Process {
    pub child: Child,
    pub events: PathBuf,
}

impl Site {
    pub fn new() -> Self {
        Self { folder: Folder::new("site"), listen: ports::free(), admin: ports::free(), env: Vec::new() }
    }

    pub fn config(&self) -> PathBuf {
        self.folder.join("byname.yaml")
    }

    /// Writes the configuration at once, as an editor or a deployment does.
    pub fn write(&self, text: &str) {
        let draft = self.folder.join("draft");
        std::fs::write(&draft, text).expect("a file");
        std::fs::rename(&draft, self.config()).expect("our own folder");
    }

    /// A configuration of generation `number`: its number is the model that is asked for, and in the limit that
    /// answers tell of.
    pub fn generation(&self, number: usize, url: &str, server: &str) -> String {
        format!(
            "server:\n  listen: \"{}\"\n  admin: \"{}\"\n{server}pools:\n  main:\n    backends: [ {{ url: \"{url}\" }} ]\n\
             tenants:\n  acme:\n    keys: {{ web: {{ sha256: \"{}\" }} }}\n    \
             limits: {{ requests_per_minute: {} }}\n    models:\n      \
             general: {{ routes: [ {{ pool: main, model: gen-{number} }} ] }}\n",
            self.listen,
            self.admin,
            digest(KEY),
            1_000_000 + number,
        )
    }

    fn command(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_byname"));
        command
            .current_dir(&*self.folder)
            .env("RUNTIME_DIRECTORY", self.folder.join("run"))
            .env_remove("NOTIFY_SOCKET")
            .env_remove("INVOCATION_ID")
            .envs(self.env.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null());
        command
    }

    /// Runs a command to its end.
    pub fn run(&self, arguments: &[&str]) -> Output {
        self.command()
            .args(arguments)
            .arg("-c")
            .arg(self.config())
            .output()
            .expect("the binary can be started")
    }

    /// `byname reload`, which must be taken.
    pub fn reload(&self) {
        let output = self.run(&["reload"]);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }

    /// Starts a process and does not wait.
    pub fn spawn(&self, arguments: &[&str]) -> Process {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let events = self.folder.join(format!("events-{}", NEXT.fetch_add(1, Ordering::Relaxed)));
        let file = std::fs::File::create(&events).expect("a file");
        let child = self
            .command()
            .args(arguments)
            .arg("-c")
            .arg(self.config())
            .stdout(Stdio::null())
            .stderr(file)
            .spawn()
            .expect("the binary can be started");
        Process { child, events }
    }

    /// Starts a process and waits until it serves.
    pub fn start(&self, arguments: &[&str]) -> Process {
        let mut process = self.spawn(arguments);
        process.wait_for("serving on");
        process
    }

    /// What the pid file says.
    pub fn pid(&self) -> Option<u32> {
        std::fs::read_to_string(self.folder.join("run/byname.pid")).ok()?.trim().parse().ok()
    }

    pub fn admin_page(&self, path: &str) -> (u16, String) {
        let mut client = Client::connect(self.admin);
        client.send(format!("GET {path} HTTP/1.1\r\nHost: admin\r\nConnection: close\r\n\r\n").as_bytes());
        let answer = client.read();
        (answer.status, answer.text())
    }

    pub fn status(&self) -> serde_json::Value {
        serde_json::from_str(&self.admin_page("/status").1).expect("JSON")
    }

    /// The sum of all series of a metric.
    pub fn metric(&self, name: &str) -> f64 {
        let page = self.admin_page("/metrics").1;
        let values =
            page.lines().filter(|line| line.starts_with(name)).filter_map(|line| line.rsplit_once(' '));
        values.filter_map(|(_, value)| value.parse::<f64>().ok()).sum()
    }
}

impl Process {
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    pub fn said(&self) -> String {
        std::fs::read_to_string(&self.events).unwrap_or_default()
    }

    /// Waits until an event has these words.
    pub fn wait_for(&mut self, words: &str) {
        self.wait_for_times(words, 1);
    }

    /// Waits until these words have come so often.
    pub fn wait_for_times(&mut self, words: &str, times: usize) {
        let since = Instant::now();
        while self.said().matches(words).count() < times {
            if let Ok(Some(status)) = self.child.try_wait() {
                panic!("it ended with {status} and did not say {words:?}:\n{}", self.said());
            }
            assert!(since.elapsed() < DEADLINE * 2, "it does not say {words:?}:\n{}", self.said());
            pause();
        }
    }

    pub fn signal(&self, name: &str) {
        signal(self.pid(), name);
    }

    /// Waits until the process is in its `main`, whose first instruction takes HUP.
    pub fn wait_for_main(&self) {
        let taken = || {
            let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid())).unwrap_or_default();
            let caught = status.lines().find_map(|line| line.strip_prefix("SigCgt:"));
            caught
                .and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok())
                .is_some_and(|mask| mask & 1 == 1)
        };
        let since = Instant::now();
        while !taken() {
            assert!(since.elapsed() < DEADLINE, "it does not take HUP:\n{}", self.said());
            std::thread::yield_now();
        }
    }

    /// Waits for its end.
    pub fn wait(&mut self, within: Duration) -> ExitStatus {
        let since = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().expect("our own child") {
                return status;
            }
            assert!(since.elapsed() < within, "it goes on after {within:?}:\n{}", self.said());
            pause();
        }
    }

    pub fn runs(&mut self) -> bool {
        self.child.try_wait().expect("our own child").is_none()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub fn signal(pid: u32, name: &str) {
    let status = Command::new("sh").args(["-c", &format!("kill -{name} {pid}")]).status().expect("a shell");
    assert!(status.success(), "SIG{name} could not be sent");
}

pub fn pause() {
    std::thread::sleep(Duration::from_millis(5));
}
