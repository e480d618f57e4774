//! What a gateway must not be: it passes on every byte of a backend, and tells its own troubles in full.
//!
//! It stands in the gateway's place when the oracle itself is tried.

use std::collections::HashMap;
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use tokio_rustls::rustls::pki_types::ServerName;
use tokio_rustls::rustls::{ClientConnection, StreamOwned};

use crate::kit::http::{Framing, Inbox};
use crate::kit::tls::{NAME, trusting};

/// How long it waits for a backend.
const PATIENCE: Duration = Duration::from_millis(300);

/// Where it goes for an alias.
#[derive(Debug, Clone)]
pub struct Target {
    pub address: SocketAddr,
    pub url: String,
    /// Whom to trust, if it speaks TLS.
    pub ca: Option<PathBuf>,
    pub ends: Ends,
}

/// How it learns that a backend has said all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ends {
    /// It says that it has no more to ask, and the backend closes.
    Closing,
    /// It waits until it has lost its patience.
    Silent,
}

/// Starts one; it ends with the test's process.
pub fn start(targets: HashMap<String, Target>) -> SocketAddr {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a loopback port");
    let address = listener.local_addr().expect("a bound socket has an address");
    let targets = Arc::new(targets);
    thread::spawn(move || {
        for client in listener.incoming().map_while(Result::ok) {
            let targets = Arc::clone(&targets);
            thread::spawn(move || serve(client, &targets));
        }
    });
    address
}

fn serve(mut client: TcpStream, targets: &HashMap<String, Target>) -> io::Result<()> {
    client.set_read_timeout(Some(crate::kit::DEADLINE))?;
    let mut inbox = Inbox::default();
    let Some(head) = inbox.head(&mut client)? else { return Ok(()) };
    let body = match head.framing() {
        Some(Framing::Length(length)) => inbox.exactly(length, &mut client)?,
        Some(Framing::Chunked | Framing::UntilClose) | None => Vec::new(),
    };
    let json: serde_json::Value = serde_json::from_slice(&body).unwrap_or_default();
    let alias = json["model"].as_str().or(head.header("x-alias")).unwrap_or_default();
    let Some(target) = targets.get(alias) else { return Ok(()) };
    if let Err(why) = pass(&mut client, target, &[head.raw, body].concat()) {
        let words = format!("{why} (asking {} at {})", target.url, target.address);
        let head = format!("HTTP/1.1 502 Bad Gateway\r\nContent-Length: {}\r\n\r\n", words.len());
        client.write_all(format!("{head}{words}").as_bytes())?;
    }
    client.shutdown(Shutdown::Both)
}

/// To the backend and back.
fn pass(client: &mut TcpStream, target: &Target, request: &[u8]) -> io::Result<()> {
    let mut backend = TcpStream::connect_timeout(&target.address, PATIENCE)?;
    backend.set_read_timeout(Some(PATIENCE))?;
    if let Some(ca) = &target.ca {
        return tls(ca, backend)?.write_all(request);
    }
    backend.write_all(request)?;
    if target.ends == Ends::Closing {
        backend.shutdown(Shutdown::Write)?;
    }
    let mut buffer = [0; 16 * 1024];
    loop {
        match backend.read(&mut buffer)? {
            0 => return Ok(()),
            n => client.write_all(&buffer[..n])?,
        }
    }
}

fn tls(ca: &Path, stream: TcpStream) -> io::Result<StreamOwned<ClientConnection, TcpStream>> {
    let config = trusting(ca).with_no_client_auth();
    let name = ServerName::try_from(NAME).expect("a good name");
    let connection = ClientConnection::new(Arc::new(config), name).map_err(io::Error::other)?;
    Ok(StreamOwned::new(connection, stream))
}
