//! Becoming ready, and staying so: proves that the listeners accept before anybody is told, and again whenever
//! systemd's watchdog wants to hear from us.

use std::net::{SocketAddr, TcpStream};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::control::Control;
use super::handover::{HandOver, TakeOver};
use super::reload::Reloader;
use super::run_dir::RunDir;
use super::stop::Leaving;
use super::{detach, notify};
use crate::config::plan::ListenAddress;
use crate::proxy::door::entrance::Entrance;
use crate::proxy::life::Stage;

/// How long connecting may take, and how long until the door knows of it.
const ANSWER: Duration = Duration::from_secs(1);
/// How long those that came behind the one that the door knows of may take. Another process may have got them.
const REST: Duration = Duration::from_millis(200);
/// How long a process that takes over may take to prove that it accepts.
const PROOF: Duration = Duration::from_secs(30);
/// How often it is said who does not.
const TELL: Duration = Duration::from_secs(5);
/// Between two looks.
const LOOK: Duration = Duration::from_millis(2);

/// Where clients and operators come in.
pub struct Doors {
    pub listeners: Vec<(ListenAddress, Arc<Entrance>)>,
    /// Addresses of ours that are not for clients.
    pub others: Vec<SocketAddr>,
}

/// What becoming ready takes.
pub struct Announcement {
    pub doors: Doors,
    /// The process that we take over from.
    pub before: Option<TakeOver>,
    pub run_dir: Option<RunDir>,
    pub reloader: Arc<Reloader>,
    pub hand_over: Arc<HandOver>,
    pub leaving: Arc<Leaving>,
}

/// Becomes ready when every listener accepts, says so to all who wait for it, and feeds the watchdog from then on.
pub fn announce(it: Announcement) {
    std::thread::spawn(move || {
        let took_over = it.before.is_some();
        if let Err(why) =
            proven(&it.doors, took_over).and_then(|()| it.before.map_or(Ok(()), TakeOver::ready))
        {
            log::error!("not taken over: {why}");
            return it.leaving.give_up();
        }
        if let Some(run_dir) = &it.run_dir {
            run_dir.write_pid();
            let control = Control { reloader: it.reloader.clone(), hand_over: it.hand_over };
            match control.listen(run_dir) {
                Ok(()) => it.leaving.has_run_dir(),
                Err(why) => {
                    log::warn!("there is no control socket, so neither `byname reload` nor --upgrade: {why}");
                }
            }
        }
        if it.leaving.life.go_on(Stage::Serving) {
            let listeners = it.doors.listeners.iter().map(|(address, _)| address.to_string());
            let all: Vec<_> = listeners.chain(it.doors.others.iter().map(ToString::to_string)).collect();
            log::info!("serving on {}", all.join(", "));
            notify::ready(&it.reloader.status());
            detach::quiet();
        }
        if let Some(interval) = notify::watchdog() {
            watch(&it.doors, &it.leaving, interval / 3);
        }
    });
}

/// Waits until all accept. A process that takes over has only so long: the one before goes on without it then.
fn proven(doors: &Doors, took_over: bool) -> Result<(), String> {
    let began = Instant::now();
    let mut told = began;
    loop {
        let listener =
            doors.listeners.iter().find(|door| !accepts(door)).map(|(address, _)| address.to_string());
        let other = || doors.others.iter().find(|other| !connects(**other)).map(ToString::to_string);
        let Some(silent) = listener.or_else(other) else { return Ok(()) };
        let why = format!("{silent} does not accept");
        if took_over && began.elapsed() > PROOF {
            return Err(why);
        }
        if told.elapsed() > TELL {
            told = Instant::now();
            log::warn!("not ready: {why}");
        }
        std::thread::sleep(LOOK);
    }
}

/// Says that we are alive as long as every listener's accept loop and its threads prove it.
fn watch(doors: &Doors, leaving: &Leaving, every: Duration) {
    // Whoever leaves has closed its listeners, and systemd has stopped watching it.
    while leaving.life.stage() == Stage::Serving {
        // Without a descriptor nobody can be let in, which is load and no reason to be killed for.
        if doors.listeners.iter().all(accepts) || is_exhausted() {
            notify::alive();
        } else if leaving.life.stage() == Stage::Serving {
            log::error!("a listener does not accept; the watchdog is not fed");
        }
        std::thread::sleep(every);
    }
}

/// Whether a connection comes as far as our own door. During an upgrade another process listens on the same
/// socket and takes its share, so that being connected proves nothing, and not being noticed says little.
///
/// On a busy machine it takes more than one, and each of them is a client like any other to the door. So those that
/// still wait there are waited for: they are not to take a seat from the first real client, or be counted after we
/// have said that we are ready.
fn accepts((address, entrance): &(ListenAddress, Arc<Entrance>)) -> bool {
    let before = entrance.accepted();
    let end = Instant::now() + ANSWER;
    let mut pause = LOOK;
    for opened in 1.. {
        let connection = match address {
            ListenAddress::Tcp(address) => {
                TcpStream::connect_timeout(&reachable(*address), ANSWER).map(OwnedFd::from)
            }
            ListenAddress::Unix { path, .. } => UnixStream::connect(path).map(OwnedFd::from),
        };
        match &connection {
            Ok(_) => {}
            // A Unix socket that is for others than ourselves proves nothing either way.
            Err(why) => {
                let ours = matches!(address, ListenAddress::Tcp(_));
                return !ours && why.kind() == std::io::ErrorKind::PermissionDenied;
            }
        }
        std::thread::sleep(pause);
        if entrance.accepted() != before {
            drop(connection);
            let rest = Instant::now() + REST;
            while entrance.accepted() < before + opened && Instant::now() < rest {
                std::thread::sleep(LOOK);
            }
            return true;
        }
        if Instant::now() >= end {
            return false;
        }
        pause = (pause * 2).min(ANSWER / 8);
    }
    false
}

/// Whether this process, or the system, has no file descriptor left.
fn is_exhausted() -> bool {
    let errno = std::fs::File::open("/dev/null").err().and_then(|why| why.raw_os_error());
    errno.is_some_and(|errno| {
        [rustix::io::Errno::MFILE, rustix::io::Errno::NFILE].iter().any(|full| full.raw_os_error() == errno)
    })
}

fn connects(address: SocketAddr) -> bool {
    TcpStream::connect_timeout(&reachable(address), ANSWER).is_ok()
}

/// An address to connect to for one that is listened on: any means loopback.
fn reachable(address: SocketAddr) -> SocketAddr {
    match address {
        SocketAddr::V4(v4) if v4.ip().is_unspecified() => ([127, 0, 0, 1], v4.port()).into(),
        SocketAddr::V6(v6) if v6.ip().is_unspecified() => ([0, 0, 0, 0, 0, 0, 0, 1], v6.port()).into(),
        other => other,
    }
}
