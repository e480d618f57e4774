//! Whether an address can be listened on, and whether somebody answers there.

use std::io;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::FileTypeExt;
use std::os::unix::net::UnixStream;
use std::time::Duration;

use crate::config::plan::ListenAddress;

/// How long an answer may take.
const ANSWER: Duration = Duration::from_secs(1);

/// Sees whether an address is free. A Unix socket is when nobody listens on it; its file may be there.
///
/// # Errors
/// Why it cannot be listened on.
pub fn check(address: &ListenAddress) -> io::Result<()> {
    let path = match address {
        ListenAddress::Tcp(address) => return TcpListener::bind(address).map(drop),
        ListenAddress::Unix { path, .. } => path,
    };
    match std::fs::symlink_metadata(path) {
        // Whoever listens removes what stands in the way; that must not be somebody's file.
        Ok(there) if !there.file_type().is_socket() => {
            Err(io::Error::new(io::ErrorKind::AlreadyExists, "there is a file that is no socket"))
        }
        Ok(_) if UnixStream::connect(path).is_ok() => {
            Err(io::Error::new(io::ErrorKind::AddrInUse, "the socket is in use"))
        }
        Ok(_) => Ok(()),
        Err(why) if why.kind() == io::ErrorKind::NotFound => {
            let directory = path.parent().filter(|directory| !directory.is_dir());
            directory.map_or(Ok(()), |missing| {
                let wrong = format!("there is no directory {}", missing.display());
                Err(io::Error::new(io::ErrorKind::NotFound, wrong))
            })
        }
        Err(why) => Err(why),
    }
}

/// Whether somebody accepts connections there.
pub fn answers(address: &ListenAddress) -> bool {
    match address {
        ListenAddress::Tcp(address) => TcpStream::connect_timeout(&reachable(*address), ANSWER).is_ok(),
        ListenAddress::Unix { path, .. } => UnixStream::connect(path).is_ok(),
    }
}

/// An address to connect to for one that is listened on: any means loopback.
fn reachable(address: SocketAddr) -> SocketAddr {
    match address {
        SocketAddr::V4(v4) if v4.ip().is_unspecified() => ([127, 0, 0, 1], v4.port()).into(),
        SocketAddr::V6(v6) if v6.ip().is_unspecified() => ([0, 0, 0, 0, 0, 0, 0, 1], v6.port()).into(),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixListener;

    use super::*;
    use crate::daemon::scratch::Scratch;

    #[test]
    fn a_unix_socket_is_free_unless_somebody_listens_or_a_file_stands_there() {
        let folder = Scratch::new();
        let at = |name: &str| ListenAddress::Unix { path: folder.path().join(name), mode: 0o660 };
        assert!(check(&at("new")).is_ok() && !answers(&at("new")));
        std::fs::write(folder.path().join("file"), "x").unwrap();
        assert_eq!(check(&at("file")).unwrap_err().kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(check(&at("none/new")).unwrap_err().kind(), io::ErrorKind::NotFound);
        let listener = UnixListener::bind(folder.path().join("new")).unwrap();
        assert_eq!(check(&at("new")).unwrap_err().kind(), io::ErrorKind::AddrInUse);
        assert!(answers(&at("new")));
        drop(listener);
        assert!(check(&at("new")).is_ok(), "a socket that was left behind");
    }
}
