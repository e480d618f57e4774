//! The sockets that Byname listens on: bound here, given by systemd, or taken over from the process before us.
//!
//! Pingora would bind them itself, but tries for half a minute when an address is taken and then loses one
//! service; and it offers no way to what systemd has opened. It takes sockets that stand in its table of
//! descriptors, which is meant for upgrades, so all of ours do.

use std::io;
use std::net::TcpListener;
use std::os::fd::{IntoRawFd, OwnedFd};
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use listenfd::ListenFd;
use pingora_core::server::{ListenFds, RuntimeOpts, ShutdownWatch};
use pingora_core::services::Service;
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::held;
use crate::config::place::{Fault, Way};
use crate::config::plan::ListenAddress;

/// How often it is looked whether somebody still waits to be accepted.
const LOOK: Duration = Duration::from_millis(10);

/// A socket that is wanted, and where the configuration says so.
#[derive(Debug, Clone)]
pub struct Wanted {
    pub address: ListenAddress,
    pub way: Way,
}

/// A socket under its name.
pub type Named = (String, OwnedFd);

/// All listening sockets of this process. Clones share them.
#[derive(Clone, Default)]
pub struct Sockets(Arc<Mutex<Vec<Named>>>);

impl Sockets {
    /// Opens what is wanted; of sockets that others have opened, what is not wanted is closed.
    ///
    /// # Errors
    /// Every address that cannot be listened on.
    pub fn open(wanted: &[Wanted], mut given: Vec<Named>) -> Result<Self, Vec<Fault>> {
        let (mut all, mut faults) = (Vec::new(), Vec::new());
        for Wanted { address, way } in wanted {
            let name = name(address);
            let socket = match given.iter().position(|(known, _)| *known == name) {
                Some(at) => Ok(given.swap_remove(at).1),
                None => bind(address),
            };
            match socket.and_then(|socket| blocking_never(socket, address)) {
                Ok(socket) => all.push((name, socket)),
                Err(why) => faults.push(refused(way.clone(), &name, &why)),
            }
        }
        for (name, _) in given {
            log::warn!("the socket {name} was given to us, but the configuration does not listen there");
        }
        if faults.is_empty() { Ok(Self(Arc::new(Mutex::new(all)))) } else { Err(faults) }
    }

    /// Copies of all, to be handed to another process.
    ///
    /// # Errors
    /// When there are too many open files.
    pub fn copies(&self) -> io::Result<Vec<Named>> {
        let all = held(&self.0);
        all.iter().map(|(name, socket)| Ok((name.clone(), socket.try_clone()?))).collect()
    }

    /// Waits until whoever has connected is accepted, for so long at most. Says whether all were.
    pub fn let_in(&self, at_most: Duration) -> bool {
        let close = Instant::now() + at_most;
        while self.are_knocked_at() {
            if Instant::now() >= close {
                return false;
            }
            std::thread::sleep(LOOK);
        }
        true
    }

    fn are_knocked_at(&self) -> bool {
        let all = held(&self.0);
        let mut doors: Vec<_> = all.iter().map(|(_, socket)| PollFd::new(socket, PollFlags::IN)).collect();
        poll(&mut doors, Some(&Timespec::default())).is_ok_and(|ready| ready > 0)
    }

    /// Lets go of them, so that nobody listens once Pingora's copies are closed too.
    pub fn close(&self) {
        held(&self.0).clear();
    }

    fn copy(&self, name: &str) -> io::Result<Option<OwnedFd>> {
        let all = held(&self.0);
        all.iter().find(|(known, _)| known == name).map(|(_, socket)| socket.try_clone()).transpose()
    }
}

/// The sockets that systemd has opened for us (sd_listen_fds(3)).
pub fn activated() -> Vec<Named> {
    let mut given = ListenFd::from_env();
    let mut all = Vec::new();
    for index in 0..given.len() {
        if let Ok(Some(tcp)) = given.take_tcp_listener(index) {
            all.extend(tcp.local_addr().ok().map(|address| (address.to_string(), tcp.into())));
        } else if let Ok(Some(unix)) = given.take_unix_listener(index) {
            let path =
                unix.local_addr().ok().and_then(|local| Some(local.as_pathname()?.display().to_string()));
            all.extend(path.map(|path| (path, unix.into())));
        } else {
            log::warn!("socket {index} that systemd gave us is neither of TCP nor of a Unix stream");
        }
    }
    all
}

/// By which a socket is known, to Pingora as well.
fn name(address: &ListenAddress) -> String {
    match address {
        ListenAddress::Tcp(address) => address.to_string(),
        ListenAddress::Unix { path, .. } => path.display().to_string(),
    }
}

fn bind(address: &ListenAddress) -> io::Result<OwnedFd> {
    match address {
        ListenAddress::Tcp(address) => Ok(TcpListener::bind(address)?.into()),
        ListenAddress::Unix { path, mode } => {
            match std::fs::symlink_metadata(path) {
                Ok(there) if !there.file_type().is_socket() => {
                    return Err(io::Error::other("there is a file that is no socket"));
                }
                Ok(_) => match UnixStream::connect(path) {
                    // Left behind by a process that is no more.
                    Err(why) if why.kind() == io::ErrorKind::ConnectionRefused => std::fs::remove_file(path)?,
                    Ok(_) | Err(_) => return Err(io::ErrorKind::AddrInUse.into()),
                },
                Err(_) => {}
            }
            let socket = UnixListener::bind(path)?;
            std::fs::set_permissions(path, std::fs::Permissions::from_mode(*mode))?;
            Ok(socket.into())
        }
    }
}

/// Pingora expects its sockets so, and systemd opens them otherwise.
fn blocking_never(socket: OwnedFd, address: &ListenAddress) -> io::Result<OwnedFd> {
    match address {
        ListenAddress::Tcp(_) => {
            let socket = TcpListener::from(socket);
            socket.set_nonblocking(true)?;
            Ok(socket.into())
        }
        ListenAddress::Unix { .. } => {
            let socket = UnixListener::from(socket);
            socket.set_nonblocking(true)?;
            Ok(socket.into())
        }
    }
}

fn refused(way: Way, name: &str, why: &io::Error) -> Fault {
    let mend = match why.kind() {
        io::ErrorKind::AddrInUse => "stop whoever listens there, or write another address",
        io::ErrorKind::PermissionDenied => {
            "ports below 1024 need a systemd socket unit or the capability CAP_NET_BIND_SERVICE"
        }
        io::ErrorKind::NotFound => "make its directory",
        io::ErrorKind::AddrNotAvailable => "write an address that this machine has",
        _ => "write another address",
    };
    Fault::obstacle(way, format!("{name} cannot be listened on: {why}"), mend)
}

/// A service whose sockets are there already.
pub struct OnSockets<S> {
    pub service: S,
    pub sockets: Sockets,
    pub until: Until,
}

/// When a service stops accepting.
pub enum Until {
    /// When the daemon is told to leave.
    Leaving,
    /// When another process has our sockets; else it serves to the end.
    HandedOver(ShutdownWatch),
}

#[async_trait]
impl<S: Service> Service for OnSockets<S> {
    async fn start_service(
        &mut self,
        fds: Option<ListenFds>,
        shutdown: ShutdownWatch,
        listeners_per_fd: usize,
    ) {
        if let Some(table) = &fds {
            for name in self.service.listen_addresses().unwrap_or_default() {
                match self.sockets.copy(&name) {
                    Ok(Some(socket)) => table.lock().add(name, socket.into_raw_fd()),
                    // Pingora binds it then.
                    Ok(None) => {}
                    Err(why) => log::error!("the socket {name} cannot be copied: {why}"),
                }
            }
        }
        let stop = match &self.until {
            Until::Leaving => shutdown,
            Until::HandedOver(handed_over) => handed_over.clone(),
        };
        self.service.start_service(fds, stop, listeners_per_fd).await;
    }

    fn name(&self) -> &str {
        self.service.name()
    }

    fn threads(&self) -> Option<usize> {
        self.service.threads()
    }

    fn runtime_opts_override(&self, global: &RuntimeOpts) -> Option<RuntimeOpts> {
        self.service.runtime_opts_override(global)
    }

    fn listen_addresses(&self) -> Option<Vec<String>> {
        self.service.listen_addresses()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::daemon::scratch::Scratch;

    fn wanted(address: ListenAddress) -> Wanted {
        Wanted { address, way: Way::to("server").field("listen") }
    }

    #[test]
    fn who_has_connected_is_waited_for_and_not_for_ever() {
        let (long, short) = (Duration::from_secs(60), Duration::from_millis(50));
        let folder = Scratch::new();
        let (tcp, path) = (TcpListener::bind("127.0.0.1:0").unwrap(), folder.path().join("socket"));
        let (unix, address) = (UnixListener::bind(&path).unwrap(), tcp.local_addr().unwrap());
        let copies: [OwnedFd; 2] = [tcp.try_clone().unwrap().into(), unix.try_clone().unwrap().into()];
        let sockets = Sockets(Arc::new(Mutex::new(copies.map(|socket| (String::new(), socket)).into())));
        assert!(sockets.let_in(Duration::ZERO), "nobody has come");
        // A busy kernel may queue a connection a moment after it was made.
        let wait_for_a_knock = || {
            let since = Instant::now();
            while !sockets.are_knocked_at() {
                assert!(since.elapsed() < long, "nobody is seen to knock");
                std::thread::sleep(LOOK);
            }
        };

        let _client = std::net::TcpStream::connect(address).unwrap();
        wait_for_a_knock();
        assert!(!sockets.let_in(short), "nobody accepts");
        std::thread::scope(|scope| {
            scope.spawn(|| tcp.accept().unwrap());
            assert!(sockets.let_in(long));
        });
        let _client = UnixStream::connect(&path).unwrap();
        wait_for_a_knock();
        assert!(!sockets.let_in(short), "nobody accepts");
        std::thread::scope(|scope| {
            scope.spawn(|| unix.accept().unwrap());
            assert!(sockets.let_in(long));
        });
        let _client = std::net::TcpStream::connect(address).unwrap();
        sockets.close();
        assert!(sockets.let_in(Duration::ZERO), "they are no longer ours");
    }

    #[test]
    fn an_address_that_is_taken_is_told_with_its_field() {
        let other = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = other.local_addr().unwrap();
        let Err(faults) = Sockets::open(&[wanted(ListenAddress::Tcp(address))], Vec::new()) else {
            panic!("bound")
        };
        assert_eq!(faults[0].way.to_string(), "server.listen");
        assert!(faults[0].wrong.contains("in use"), "{faults:?}");
        // The same address is no trouble when its socket is given to us.
        let given = vec![(address.to_string(), OwnedFd::from(other))];
        let sockets = Sockets::open(&[wanted(ListenAddress::Tcp(address))], given).unwrap_or_default();
        assert_eq!(sockets.copies().unwrap().len(), 1);
        sockets.close();
        assert!(TcpListener::bind(address).is_ok());
    }

    #[test]
    fn a_stale_unix_socket_is_replaced_and_a_living_one_or_a_file_is_not() {
        let scratch = Scratch::new();
        let path = scratch.path().join("s");
        let open =
            || Sockets::open(&[wanted(ListenAddress::Unix { path: path.clone(), mode: 0o600 })], Vec::new());
        let first = open().unwrap_or_else(|faults| panic!("{faults:?}"));
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert!(open().is_err());
        first.close();
        assert!(open().is_ok());
        std::fs::remove_file(&path).unwrap();
        std::fs::write(&path, "precious").unwrap();
        assert!(open().is_err());
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "precious");
    }
}
