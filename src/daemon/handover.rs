//! Upgrading the binary: a new process takes the listening sockets over while the old one still accepts, and
//! only when it says that it serves does the old one stop.
//!
//! Pingora's own way hands the sockets over and then leaves, whatever has become of the new process. Here the
//! old one goes on as if nothing had happened when the new one fails at any point before its word:
//!
//! ```text
//! new: upgrade PID
//! old: sockets NAME NAME …      with the descriptors (unix(7), SCM_RIGHTS); it lets go of the budgets' database
//! new: ready                    when it accepts
//! old: go                       it has told systemd, and accepts no more
//! ```

use std::io::{IoSlice, IoSliceMut, Write};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage,
    SendFlags, recvmsg, sendmsg,
};

use rustix::net::sockopt::socket_peercred;

use super::control::line;
use super::ledger::Owed;
use super::notify;
use super::run_dir::RunDir;
use super::sockets::Named;
use super::stop::Leaving;
use crate::proxy::life::Stage;

/// How long a new process may take from asking to serving: it reads secrets and looks names up.
const STARTING: Duration = Duration::from_secs(60);
/// How long we wait for a new process after QUIT.
const COMING: Duration = Duration::from_secs(10);
/// How long a step of ours may take.
const STEP: Duration = Duration::from_secs(10);
/// More sockets than any configuration of ours has. The system passes at most 253 at once.
const MAX_SOCKETS: usize = 128;

/// The old process's side.
pub struct HandOver {
    pub leaving: Arc<Leaving>,
    /// Whether a new process is at it.
    busy: AtomicBool,
    /// Whether QUIT is being seen to.
    asked: AtomicBool,
    /// How we were started, to start the next one.
    program: Option<PathBuf>,
}

impl HandOver {
    /// To be made at the start: later, the file of our program may be another one.
    pub fn new(leaving: Arc<Leaving>) -> Self {
        Self {
            leaving,
            busy: AtomicBool::new(false),
            asked: AtomicBool::new(false),
            program: std::env::current_exe().ok(),
        }
    }

    /// Serves one new process that has asked.
    pub fn serve(&self, stream: UnixStream, pid: u32) {
        if self.leaving.life.stage() != Stage::Serving || self.busy.swap(true, Ordering::AcqRel) {
            let _ = (&stream).write_all(b"no: another process is taking over, or nobody serves here\n");
            return;
        }
        log::info!("process {pid} takes over");
        if let Err(why) = self.hand_over(&stream, pid) {
            self.leaving.metrics.upgrades.refused.inc();
            log::error!("process {pid} did not take over ({why}); this one goes on");
            if let Some(keeper) = &self.leaving.keeper {
                keeper.reopen();
            }
        }
        self.busy.store(false, Ordering::Release);
    }

    fn hand_over(&self, stream: &UnixStream, pid: u32) -> std::io::Result<()> {
        let sockets = self.leaving.sockets.copies()?;
        if let Some(keeper) = &self.leaving.keeper {
            keeper.close();
        }
        send(stream, &sockets)?;
        drop(sockets);
        stream.set_read_timeout(Some(STARTING))?;
        let said = line(stream)?;
        if said != "ready" {
            return Err(std::io::Error::other(format!("it says {said:?}")));
        }
        let mut stream = stream;
        if !self.leaving.handed_over(pid) {
            // The operator's word stands, whoever is about to come.
            stream.write_all(b"no: stopping\n")?;
            return Err(std::io::Error::other("this one is stopping"));
        }
        // It serves already, whether it hears this or not.
        let _ = stream.write_all(b"go\n");
        Ok(())
    }

    /// QUIT: waits for a new process. Under systemd it must be ours, so it is started here.
    pub fn asked(self: &Arc<Self>) {
        let busy = self.leaving.life.stage() != Stage::Serving || self.busy.load(Ordering::Acquire);
        if busy || self.asked.swap(true, Ordering::AcqRel) {
            log::info!("QUIT: handing over already");
            return;
        }
        let this = self.clone();
        std::thread::spawn(move || {
            if notify::is_supervised() {
                this.start_successor();
            } else {
                this.wait_for_successor();
            }
            this.asked.store(false, Ordering::Release);
        });
    }

    fn wait_for_successor(&self) {
        log::info!("QUIT: waiting for a process started with --upgrade");
        let end = Instant::now() + COMING;
        while Instant::now() < end {
            if self.leaving.life.stage() != Stage::Serving || self.busy.load(Ordering::Acquire) {
                return;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        self.leaving.metrics.upgrades.refused.inc();
        log::error!("nobody came to take over within {COMING:?}; this process goes on");
    }

    /// Starts the program's file of today with our arguments, and sees it off if it fails.
    fn start_successor(&self) {
        let Some(program) = &self.program else {
            log::error!("QUIT: the program's file is not known; this process goes on");
            return;
        };
        let known = ["-u", "--upgrade", "-d", "--daemon"];
        let arguments = std::env::args_os().skip(1).filter(|argument| !known.iter().any(|k| argument == *k));
        log::info!("QUIT: starting {} to take over", program.display());
        let started = Command::new(program)
            .args(arguments)
            .arg("--upgrade")
            // They are ours by our process id.
            .env_remove("WATCHDOG_PID")
            .env_remove("LISTEN_PID")
            .env_remove("LISTEN_FDS")
            .stdin(Stdio::null())
            .spawn();
        match started {
            Ok(mut successor) => match successor.wait() {
                // One that failed after it had asked has been counted.
                Ok(status) => log::error!("the process that was started ended with {status}"),
                Err(why) => log::error!("the new process cannot be waited for: {why}"),
            },
            Err(why) => {
                self.leaving.metrics.upgrades.refused.inc();
                log::error!("{} cannot be started: {why}; this process goes on", program.display());
            }
        }
    }
}

/// Tells the process after us what has been used since it took the counts of days and months over.
///
/// # Errors
/// It cannot be told.
pub fn settle(run_dir: &RunDir, owed: &[Owed]) -> std::io::Result<()> {
    let end = Instant::now() + STEP;
    let mut stream = loop {
        let stream = UnixStream::connect(run_dir.control());
        // The new one has put its own socket in the place of ours, or is about to.
        let ours = |stream: &UnixStream| {
            socket_peercred(stream).is_ok_and(|peer| peer.pid == rustix::process::getpid())
        };
        match stream {
            Ok(stream) if !ours(&stream) => break stream,
            Ok(_) | Err(_) if Instant::now() < end => std::thread::sleep(Duration::from_millis(10)),
            Ok(_) => return Err(std::io::Error::other("nobody has come to listen in our place")),
            Err(why) => return Err(why),
        }
    };
    stream.set_read_timeout(Some(STEP))?;
    stream.set_write_timeout(Some(STEP))?;
    stream.write_all(b"settle\n")?;
    serde_json::to_writer(&stream, owed)?;
    stream.shutdown(std::net::Shutdown::Write)?;
    line(&stream).map(drop)
}

/// The new process's side.
pub struct TakeOver {
    stream: UnixStream,
    /// Where the process before can be spoken to, as long as it is there.
    control: PathBuf,
}

impl TakeOver {
    /// Asks the process that runs for its sockets.
    ///
    /// # Errors
    /// Nobody runs, or it refuses.
    pub fn ask(run_dir: &RunDir) -> Result<(Self, Vec<Named>), String> {
        let path = run_dir.control();
        let told = |why: std::io::Error| format!("{}: {why}", path.display());
        let mut stream = UnixStream::connect(&path).map_err(|why| {
            format!(
                "{}: no process runs that could hand over: {why}; start without --upgrade",
                path.display()
            )
        })?;
        stream.set_read_timeout(Some(STEP)).map_err(told)?;
        stream.set_write_timeout(Some(STEP)).map_err(told)?;
        let asking = format!("upgrade {}\n", std::process::id());
        stream.write_all(asking.as_bytes()).map_err(told)?;
        let sockets = receive(&stream).map_err(told)?;
        Ok((Self { stream, control: path.clone() }, sockets))
    }

    /// Says that we serve, and waits until the other process has stopped accepting.
    ///
    /// # Errors
    /// It has changed its mind, or is no more.
    pub fn ready(mut self) -> Result<(), String> {
        let said = self.stream.write_all(b"ready\n").and_then(|()| {
            self.stream.set_read_timeout(Some(STARTING))?;
            line(&self.stream)
        });
        match said {
            Ok(said) if said == "go" => Ok(()),
            Ok(said) => Err(format!("the process before says {said:?}")),
            // It is no more: somebody has to serve.
            Err(_) if UnixStream::connect(&self.control).is_err() => Ok(()),
            Err(why) => Err(format!("the process before does not answer: {why}")),
        }
    }
}

fn send(stream: &UnixStream, sockets: &[Named]) -> std::io::Result<()> {
    if sockets.len() > MAX_SOCKETS {
        return Err(std::io::Error::other("too many sockets"));
    }
    let names: Vec<_> = sockets.iter().map(|(name, _)| name.replace(' ', "%20")).collect();
    let text = format!("sockets {}\n", names.join(" "));
    let handles: Vec<_> = sockets.iter().map(|(_, socket)| socket.as_fd()).collect();
    let mut space = vec![MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_SOCKETS))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    if !control.push(SendAncillaryMessage::ScmRights(&handles)) {
        return Err(std::io::Error::other("too many sockets"));
    }
    let sent = sendmsg(stream, &[IoSlice::new(text.as_bytes())], &mut control, SendFlags::NOSIGNAL)?;
    let rest = text.as_bytes().get(sent..).unwrap_or_default();
    let mut stream = stream;
    stream.write_all(rest)
}

fn receive(stream: &UnixStream) -> std::io::Result<Vec<Named>> {
    let mut space = vec![MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_SOCKETS))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    // The descriptors come with the first byte, and are not inherited by what we start.
    let mut first = [0];
    let read = recvmsg(stream, &mut [IoSliceMut::new(&mut first)], &mut control, RecvFlags::CMSG_CLOEXEC)?;
    let rest =
        if read.bytes == 0 { return Err(std::io::ErrorKind::UnexpectedEof.into()) } else { line(stream)? };
    let said = format!("{}{rest}", char::from(first[0]));
    let sockets: Vec<OwnedFd> = control
        .drain()
        .filter_map(|message| match message {
            RecvAncillaryMessage::ScmRights(all) => Some(all),
            _ => None,
        })
        .flatten()
        .collect();
    let Some(names) = said.strip_prefix("sockets ") else {
        return Err(std::io::Error::other(said));
    };
    let names: Vec<_> = names.split(' ').map(|name| name.replace("%20", " ")).collect();
    if names.len() != sockets.len() {
        return Err(std::io::Error::other("sockets were lost on the way: too many open files?"));
    }
    Ok(names.into_iter().zip(sockets).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{TcpListener, TcpStream};

    #[test]
    fn sockets_arrive_under_their_names_and_still_listen() {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let listeners: Vec<_> = (0..3).map(|_| TcpListener::bind("127.0.0.1:0").unwrap()).collect();
        let addresses: Vec<_> = listeners.iter().map(|l| l.local_addr().unwrap()).collect();
        let named = listeners.into_iter().zip(&addresses).map(|(l, a)| (a.to_string(), OwnedFd::from(l)));
        let named: Vec<Named> = named.collect();
        send(&ours, &named).unwrap();
        drop(named);
        let received = receive(&theirs).unwrap();
        for ((name, socket), address) in received.into_iter().zip(&addresses) {
            assert_eq!(name, address.to_string());
            let listener = TcpListener::from(socket);
            let client = TcpStream::connect(address).unwrap();
            assert_eq!(listener.accept().unwrap().1, client.local_addr().unwrap());
        }
    }

    #[test]
    fn a_refusal_is_told_in_its_words() {
        let (mut ours, theirs) = UnixStream::pair().unwrap();
        ours.write_all(b"no: not now\n").unwrap();
        assert_eq!(receive(&theirs).unwrap_err().to_string(), "no: not now");
    }
}
