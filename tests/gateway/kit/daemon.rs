//! The real binary as a process: started on free ports, listened to, and never left behind.

use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::client::{Client, Response};
use super::config::Gateway;
use super::folder::Folder;
use super::process::soon;
use super::{DEADLINE, ports};

/// How long a start may take on a busy machine.
const START: Duration = Duration::from_secs(20);
/// How often a start whose ports were taken by others is tried.
const TRIES: usize = 3;

/// A running gateway. Dropping it kills the process and removes its files.
#[derive(Debug)]
pub struct Daemon {
    child: Child,
    folder: Folder,
    listen: SocketAddr,
    admin: SocketAddr,
    stdout: Lines,
    stderr: Lines,
}

impl Daemon {
    /// Starts the binary with this configuration and waits until it says that it serves, and `/readyz` says 200.
    pub(super) fn start(gateway: &Gateway) -> Self {
        for _ in 1..TRIES {
            match Self::try_start(gateway) {
                Ok(daemon) => return daemon,
                Err(words) if words.contains("in use") => {}
                Err(words) => panic!("{words}"),
            }
        }
        Self::try_start(gateway).unwrap_or_else(|words| panic!("{words}"))
    }

    fn try_start(gateway: &Gateway) -> Result<Self, String> {
        let (listen, admin) = (ports::free(), ports::free());
        let folder = Folder::new("test");
        let config = folder.join("byname.yaml");
        std::fs::write(&config, gateway.text(listen, admin)).expect("the configuration can be written");
        let mut child = command(gateway)
            .arg("-c")
            .arg(&config)
            .env("RUNTIME_DIRECTORY", folder.join("run"))
            .envs(gateway.environment().iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the binary can be started");
        let stdout = Lines::of(child.stdout.take().expect("stdout is piped"));
        let stderr = Lines::of(child.stderr.take().expect("stderr is piped"));
        let mut daemon = Self { child, folder, listen, admin, stdout, stderr };
        daemon.wait_ready().map(|()| daemon)
    }

    /// Where clients come to.
    pub fn addr(&self) -> SocketAddr {
        self.listen
    }

    /// Where operators come to.
    pub fn admin(&self) -> SocketAddr {
        self.admin
    }

    /// The base URL for official clients.
    pub fn base_url(&self) -> String {
        format!("http://{}/v1", self.listen)
    }

    /// A new connection to the public listener.
    pub fn client(&self) -> Client {
        Client::connect(self.listen)
    }

    /// `GET` of a path of the admin listener.
    pub fn ask_admin(&self, path: &str) -> Response {
        let mut client = Client::connect(self.admin);
        client.send(format!("GET {path} HTTP/1.1\r\nHost: admin\r\nConnection: close\r\n\r\n").as_bytes());
        client.read()
    }

    /// The value of a metric: its whole name with labels, as `/metrics` writes it. `None` when it is not there.
    pub fn metric(&self, name: &str) -> Option<f64> {
        let page = self.ask_admin("/metrics").text();
        page.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')?.parse().ok())
    }

    /// The sum of all samples of a metric that have these labels, whatever else they have. 0 when there is none.
    pub fn metric_sum(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        let page = self.ask_admin("/metrics").text();
        page.lines().filter_map(|line| sample(line, name, labels)).fold(0.0, |sum, value| sum + value)
    }

    /// Waits until a metric has this value.
    pub fn wait_metric(&self, name: &str, value: f64) {
        let since = Instant::now();
        while self.metric(name) != Some(value) {
            assert!(since.elapsed() < DEADLINE, "{name} is {:?} and not {value}", self.metric(name));
            pause();
        }
    }

    /// Waits until it has written this to stderr.
    pub fn wait_for(&self, words: &str) {
        let said = soon(DEADLINE, || self.stderr().contains(words));
        assert!(said, "{words:?} is not in\n{}", self.stderr());
    }

    /// Level and message of each event so far whose message has these words.
    pub fn events(&self, about: &str) -> Vec<String> {
        let text = self.stderr();
        let all = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        let told = all.filter_map(|event| {
            let (level, message) = (event["level"].as_str()?, event["message"].as_str()?);
            message.contains(about).then(|| format!("{level} {message}"))
        });
        told.collect()
    }

    /// What the status page says needs somebody: how pressing it is, what it is about, and what is the matter.
    pub fn notices(&self) -> Vec<String> {
        let status = self.ask_admin("/status.json").json();
        let all = status["attention"].as_array().expect("a list").iter();
        let text = |one: &Value, name: &str| one[name].as_str().expect("text").to_owned();
        all.map(|one| ["level", "about", "what"].map(|name| text(one, name)).join(" ")).collect()
    }

    /// The configuration file, for tests that change it.
    pub fn config(&self) -> PathBuf {
        self.folder.join("byname.yaml")
    }

    /// Writes another configuration into the same file, for the same addresses.
    pub fn rewrite_config(&self, gateway: &Gateway) {
        std::fs::write(self.config(), gateway.text(self.listen, self.admin))
            .expect("the configuration can be written");
    }

    /// Waits until what the file says now is taken.
    pub fn reload(&self) {
        let generation = self.metric("byname_config_generation").expect("a running gateway has one");
        self.signal("HUP");
        self.wait_metric("byname_config_generation", generation + 1.0);
    }

    /// Waits until another configuration, for the same addresses, is taken.
    pub fn reload_to(&self, gateway: &Gateway) {
        self.rewrite_config(gateway);
        self.reload();
    }

    /// The process's id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Sends a signal by its short name: `HUP`.
    pub fn signal(&self, name: &str) {
        let status = Command::new("sh")
            .args(["-c", &format!("kill -{name} {}", self.child.id())])
            .status()
            .expect("a shell can be started");
        assert!(status.success(), "SIG{name} could not be sent");
    }

    /// Sends SIGTERM.
    pub fn terminate(&self) {
        self.signal("TERM");
    }

    /// Waits until `/readyz` no longer says 200, as after SIGTERM. Panics when it goes on saying so.
    pub fn wait_unready(&self) {
        let since = Instant::now();
        while ready(self.admin) {
            assert!(since.elapsed() < DEADLINE, "byname goes on being ready\n{}", self.stderr.text());
            pause();
        }
    }

    /// Waits for the process's end. Panics when it goes on.
    pub fn wait(&mut self) -> ExitStatus {
        let since = Instant::now();
        loop {
            match self.child.try_wait().expect("our own child can be waited for") {
                Some(status) => return status,
                None if since.elapsed() < START => pause(),
                None => panic!("the process did not end\n{}", self.stderr.text()),
            }
        }
    }

    /// Waits until so many lines of the access log are there, and gives all of them.
    pub fn log_lines(&self, at_least: usize) -> Vec<Value> {
        self.stdout
            .wait_for(at_least)
            .iter()
            .map(|line| serde_json::from_str(line).unwrap_or_else(|e| panic!("not JSON ({e}): {line}")))
            .collect()
    }

    /// What the process has written to stdout so far.
    pub fn stdout(&self) -> String {
        self.stdout.text()
    }

    /// What the process has written to stderr so far.
    pub fn stderr(&self) -> String {
        self.stderr.text()
    }

    fn wait_ready(&mut self) -> Result<(), String> {
        let since = Instant::now();
        while since.elapsed() < START {
            if let Some(status) = self.child.try_wait().expect("our own child can be waited for") {
                return Err(format!(
                    "byname ended with {status} before it was ready:\n{}",
                    self.stderr.whole()
                ));
            }
            // By its own word first: if its ports were taken meanwhile, it is somebody else who is ready there.
            if self.has_said_so() && ready(self.admin) {
                return Ok(());
            }
            pause();
        }
        Err(format!("byname is not ready after {START:?}:\n{}", self.stderr.text()))
    }

    /// In its log or, if that goes elsewhere, by the number of its process.
    fn has_said_so(&self) -> bool {
        let number = std::fs::read_to_string(self.folder.join("run/byname.pid")).unwrap_or_default();
        self.stderr.text().contains("serving on ") || number.trim() == self.child.id().to_string()
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        if thread::panicking() {
            eprintln!("--- what byname wrote to stderr\n{}---", self.stderr.text());
        }
        // Both fail only when the process has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The binary, in a process that may have only so many open files where the test wants that.
fn command(gateway: &Gateway) -> Command {
    let binary = env!("CARGO_BIN_EXE_byname");
    match gateway.shell() {
        None => Command::new(binary),
        Some(first) => {
            let mut command = Command::new("sh");
            command.args(["-c", &format!("{first} && exec \"$0\" \"$@\""), binary]);
            command
        }
    }
}

/// The value of a line of `/metrics`, when it is a sample of this metric with these labels.
fn sample(line: &str, name: &str, labels: &[(&str, &str)]) -> Option<f64> {
    let rest = line.strip_prefix(name)?;
    let (inside, value) = match rest.strip_prefix('{') {
        Some(rest) => rest.rsplit_once("} ")?,
        None => ("", rest.strip_prefix(' ')?),
    };
    let has = |(label, value): &(&str, &str)| inside.contains(&format!("{label}=\"{value}\""));
    labels.iter().all(has).then(|| value.parse().ok()).flatten()
}

/// Whether `/readyz` says 200 now.
fn ready(admin: SocketAddr) -> bool {
    let Ok(mut client) = Client::try_connect(admin) else { return false };
    let asked = client.try_send(b"GET /readyz HTTP/1.1\r\nHost: admin\r\nConnection: close\r\n\r\n");
    asked.and_then(|()| client.try_read()).is_ok_and(|answer| answer.status == 200)
}

/// Between two looks at something that cannot be waited for.
fn pause() {
    thread::sleep(Duration::from_millis(5));
}

/// The lines of a pipe, read as they come so that the process never waits for us.
#[derive(Debug, Clone)]
struct Lines {
    shared: Arc<(Mutex<Written>, Condvar)>,
}

#[derive(Debug, Default)]
struct Written {
    lines: Vec<String>,
    pipe: Pipe,
}

#[derive(Debug, Default, PartialEq, Eq)]
enum Pipe {
    #[default]
    Open,
    Closed,
}

impl Lines {
    fn of(pipe: impl Read + Send + 'static) -> Self {
        let shared = Arc::new((Mutex::new(Written::default()), Condvar::new()));
        let lines = Self { shared: Arc::clone(&shared) };
        thread::spawn(move || {
            let (written, news) = &*shared;
            for line in BufReader::new(pipe).lines().map_while(Result::ok) {
                written.lock().expect("no reader panics").lines.push(line);
                news.notify_all();
            }
            written.lock().expect("no reader panics").pipe = Pipe::Closed;
            news.notify_all();
        });
        lines
    }

    fn wait_for(&self, at_least: usize) -> Vec<String> {
        let (written, news) = &*self.shared;
        let guard = written.lock().expect("no reader panics");
        let (guard, _) = news
            .wait_timeout_while(guard, DEADLINE, |w| w.lines.len() < at_least && w.pipe == Pipe::Open)
            .expect("no reader panics");
        let lines = guard.lines.clone();
        drop(guard);
        assert!(lines.len() >= at_least, "{at_least} lines were due, these came:\n{}", lines.join("\n"));
        lines
    }

    /// Everything, up to the end of the pipe.
    fn whole(&self) -> String {
        let (written, news) = &*self.shared;
        let guard = written.lock().expect("no reader panics");
        drop(news.wait_timeout_while(guard, DEADLINE, |w| w.pipe == Pipe::Open));
        self.text()
    }

    fn text(&self) -> String {
        let (written, _) = &*self.shared;
        let guard = written.lock().expect("no reader panics");
        guard.lines.iter().map(|line| format!("{line}\n")).collect()
    }
}
