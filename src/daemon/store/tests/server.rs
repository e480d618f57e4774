//! A real Redis of a test's own, on loopback and without a file.

use std::fs::File;
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::*;
use crate::daemon::scratch::Scratch;

pub struct Server {
    child: Child,
    port: u16,
    scratch: Scratch,
    arguments: Vec<String>,
}

impl Server {
    pub fn start() -> Self {
        Self::start_with(&[])
    }

    /// With more arguments. With `tls-port 0` among them, the port speaks TLS.
    pub fn start_with(arguments: &[&str]) -> Self {
        let scratch = Scratch::new();
        let arguments: Vec<String> = arguments.iter().map(|one| (*one).to_owned()).collect();
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let child = run(port, &scratch, &arguments);
        Self { child, port, scratch, arguments }
    }

    /// Where it is, with half a second for every request.
    pub fn plan(&self) -> RedisPlan {
        RedisPlan {
            host: "127.0.0.1".into(),
            port: self.port,
            db: 0,
            tls: false,
            ca: None,
            username: None,
            password: None,
            timeout: Duration::from_millis(500),
            prefix: "share".into(),
        }
    }

    pub fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.child.id().try_into().unwrap()), signal).unwrap();
    }

    /// Killed, and started again on the same port with nothing in it.
    pub fn restart(&mut self) {
        self.kill();
        self.child = run(self.port, &self.scratch, &self.arguments);
    }

    pub fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// What the server itself answers to a command; no TLS, no password.
    pub fn ask<T: redis::FromRedisValue>(&self, words: &[&str]) -> T {
        let client = redis::Client::open(("127.0.0.1", self.port)).unwrap();
        let mut connection = client.get_connection().unwrap();
        let mut command = redis::cmd(words[0]);
        words[1..].iter().for_each(|word| {
            command.arg(word);
        });
        command.query(&mut connection).unwrap()
    }

    /// The clock minute, and how many milliseconds of it are over.
    pub fn clock(&self) -> (u64, u64) {
        let (seconds, micros): (u64, u64) = self.ask(&["TIME"]);
        let millis = seconds * 1000 + micros / 1000;
        (millis / 60_000, millis % 60_000)
    }

    /// Waits until nothing that takes as long can run into the next minute. Says which this is.
    pub fn within_a_minute(&self, room: Duration) -> (u64, u64) {
        loop {
            let (minute, into) = self.clock();
            if u128::from(60_000 - into) > room.as_millis() {
                return (minute, into);
            }
            thread::sleep(Duration::from_millis(60_001 - into));
        }
    }
}

fn run(port: u16, scratch: &Scratch, arguments: &[String]) -> Child {
    let log = File::options().create(true).append(true).open(scratch.path().join("log")).unwrap();
    let port_name =
        if arguments.iter().any(|one| one == "--tls-cert-file") { "--tls-port" } else { "--port" };
    let mut command = Command::new("redis-server");
    if port_name == "--tls-port" {
        command.args(["--port", "0"]);
    }
    let mut child = command
        .args([port_name, &port.to_string(), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"])
        .args(arguments)
        .current_dir(scratch.path())
        .stdout(log)
        .stderr(Stdio::null())
        .spawn()
        .expect("redis-server is there once tests/setup.sh has run");
    let begun = Instant::now();
    while TcpStream::connect(("127.0.0.1", port)).is_err() {
        assert!(begun.elapsed() < Duration::from_secs(20), "the server does not come up");
        assert!(child.try_wait().unwrap().is_none(), "{}", {
            std::fs::read_to_string(scratch.path().join("log")).unwrap()
        });
        thread::sleep(Duration::from_millis(10));
    }
    child
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
