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
        while !it.doors.listeners.iter().all(accepts) || !it.doors.others.iter().all(|other| connects(*other))
        {
            std::thread::sleep(LOOK);
        }
        if let Some(why) = it.before.and_then(|before| before.ready().err()) {
            log::error!("not taken over: {why}");
            std::process::exit(1);
        }
        if let Some(run_dir) = &it.run_dir {
            run_dir.write_pid();
            let control = Control { reloader: it.reloader.clone(), hand_over: it.hand_over };
            if let Err(why) = control.listen(run_dir) {
                log::warn!("there is no control socket, so neither `byname reload` nor --upgrade: {why}");
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

/// Says that we are alive as long as every listener's accept loop and its threads prove it.
fn watch(doors: &Doors, leaving: &Leaving, every: Duration) {
    // Whoever leaves has closed its listeners, and systemd has stopped watching it.
    while leaving.life.stage() == Stage::Serving {
        if doors.listeners.iter().all(accepts) {
            notify::alive();
        } else if leaving.life.stage() == Stage::Serving {
            log::error!("a listener does not accept; the watchdog is not fed");
        }
        std::thread::sleep(every);
    }
}

/// Whether a connection comes as far as our own door. During an upgrade another process listens on the same
/// socket and takes its share, so that being connected proves nothing, and not being noticed says little.
fn accepts((address, entrance): &(ListenAddress, Arc<Entrance>)) -> bool {
    let before = entrance.accepted();
    let end = Instant::now() + ANSWER;
    let mut pause = LOOK;
    while Instant::now() < end {
        // Closed only when it has been accepted, or given up.
        let connection = match address {
            ListenAddress::Tcp(address) => {
                TcpStream::connect_timeout(&reachable(*address), ANSWER).map(OwnedFd::from)
            }
            ListenAddress::Unix { path, .. } => UnixStream::connect(path).map(OwnedFd::from),
        };
        if connection.is_err() {
            return false;
        }
        std::thread::sleep(pause);
        if entrance.accepted() != before {
            return true;
        }
        pause = (pause * 2).min(ANSWER / 8);
    }
    false
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
