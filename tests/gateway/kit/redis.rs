//! A real Redis of a test's own, on a loopback port and without a file. What it needs is installed by
//! `tests/setup.sh`.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::{DEADLINE, ports};

/// A running server. Dropping it kills the process.
#[derive(Debug)]
pub struct Redis {
    child: Child,
    address: SocketAddr,
}

impl Redis {
    /// Starts a server and waits until it accepts.
    pub fn start() -> Self {
        let address = ports::free();
        Self { child: run(address), address }
    }

    /// Where it listens.
    pub fn addr(&self) -> SocketAddr {
        self.address
    }

    /// Its URL, as a configuration wants it.
    pub fn url(&self) -> String {
        format!("redis://{}/0", self.address)
    }

    /// Holds the process (SIGSTOP): it takes connections and bytes, and answers nothing.
    pub fn hold(&self) {
        self.signal(Signal::SIGSTOP);
    }

    /// Lets a held process go on.
    pub fn go_on(&self) {
        self.signal(Signal::SIGCONT);
    }

    /// Kills the process; everything in it is lost.
    pub fn kill(&mut self) {
        self.child.kill().expect("our own child can be killed");
        self.child.wait().expect("our own child can be waited for");
    }

    /// Starts a killed server again, empty, at the same address.
    pub fn restart(&mut self) {
        self.child = run(self.address);
    }

    /// What the server answers to a command that has a number or a text for an answer.
    pub fn ask(&self, words: &[&str]) -> String {
        ask(self.address, words)
    }

    fn signal(&self, signal: Signal) {
        let id = Pid::from_raw(i32::try_from(self.child.id()).expect("a process id"));
        kill(id, signal).expect("our own child can be signalled");
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        // Both fail only when the process has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What the server at this address answers to a command that has a number or a text for an answer; empty for
/// nothing.
pub fn ask(address: SocketAddr, words: &[&str]) -> String {
    let mut stream = TcpStream::connect_timeout(&address, DEADLINE).expect("a server that accepts");
    stream.set_read_timeout(Some(DEADLINE)).expect("a socket option");
    let mut command = format!("*{}\r\n", words.len());
    for word in words {
        command.push_str(&format!("${}\r\n{word}\r\n", word.len()));
    }
    stream.write_all(command.as_bytes()).expect("the server takes our bytes");
    let mut answer = BufReader::new(stream);
    let mut line = String::new();
    answer.read_line(&mut line).expect("an answer");
    let (kind, rest) = line.trim_end().split_at(1);
    match kind {
        "+" | ":" => rest.to_owned(),
        "$" if rest == "-1" => String::new(),
        "$" => {
            let mut text = vec![0; rest.parse().expect("a length")];
            answer.read_exact(&mut text).expect("a whole answer");
            String::from_utf8(text).expect("our own texts are UTF-8")
        }
        _ => panic!("{words:?}: {line}"),
    }
}

fn run(address: SocketAddr) -> Child {
    let mut child = Command::new("redis-server")
        .args(["--port", &address.port().to_string(), "--bind", "127.0.0.1"])
        .args(["--save", "", "--appendonly", "no"])
        .current_dir(std::env::temp_dir())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("redis-server is there once tests/setup.sh has run");
    let since = Instant::now();
    while TcpStream::connect(address).is_err() {
        assert!(since.elapsed() < DEADLINE * 2, "redis-server does not come up");
        let ended = child.try_wait().expect("our own child can be waited for");
        assert!(ended.is_none(), "redis-server ended: {ended:?}");
        thread::sleep(Duration::from_millis(5));
    }
    child
}
