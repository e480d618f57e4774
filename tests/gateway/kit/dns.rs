//! A name server on a loopback port that says what a test wants, and can change its mind.
//!
//! It knows as much of the format as one question needs: the question is sent back as it came, with
//! addresses behind it.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

/// What is said of a name. A name of which nothing was said does not exist.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Record {
    /// Its addresses, and for how many seconds they hold.
    Addresses(Vec<IpAddr>, u32),
    /// NXDOMAIN.
    NoSuchName,
    /// SERVFAIL.
    Failure,
    /// No answer at all.
    Silence,
}

/// The type of a question.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Asked {
    A,
    Aaaa,
    Other(u16),
}

/// A running name server.
#[derive(Debug)]
pub struct Dns {
    address: SocketAddr,
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    records: Mutex<HashMap<String, Record>>,
    questions: Mutex<Vec<(String, Asked)>>,
    over: AtomicBool,
}

impl Dns {
    /// Listens on a free port; no name exists yet.
    pub fn start() -> Self {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("a loopback port");
        socket.set_read_timeout(Some(Duration::from_millis(100))).expect("a socket option");
        let address = socket.local_addr().expect("a bound socket has an address");
        let shared = Arc::new(Shared::default());
        let own = Arc::clone(&shared);
        thread::spawn(move || serve(&socket, &own));
        Self { address, shared }
    }

    /// Where it listens.
    pub fn addr(&self) -> SocketAddr {
        self.address
    }

    /// From now on this is said of the name.
    pub fn set(&self, name: &str, record: Record) {
        self.shared.records.lock().expect("no holder panics").insert(name.to_lowercase(), record);
    }

    /// All questions so far.
    pub fn questions(&self) -> Vec<(String, Asked)> {
        self.shared.questions.lock().expect("no holder panics").clone()
    }
}

impl Drop for Dns {
    fn drop(&mut self) {
        self.shared.over.store(true, Ordering::Relaxed);
    }
}

fn serve(socket: &UdpSocket, shared: &Shared) {
    let mut buffer = [0_u8; 1500];
    while !shared.over.load(Ordering::Relaxed) {
        let Ok((length, from)) = socket.recv_from(&mut buffer) else { continue };
        let Some((name, asked, question)) = read(&buffer[..length]) else { continue };
        shared.questions.lock().expect("no holder panics").push((name.clone(), asked));
        let record = shared.records.lock().expect("no holder panics").get(&name).cloned();
        let record = record.unwrap_or(Record::NoSuchName);
        if let Some(answer) = answer(&buffer[..2], asked, question, &record) {
            // A resolver that has gone no longer wants to know.
            let _ = socket.send_to(&answer, from);
        }
    }
}

/// The name in lower case, the type, and the bytes of the first question; `None` for what is no question.
fn read(packet: &[u8]) -> Option<(String, Asked, &[u8])> {
    let (mut at, mut labels) = (12, Vec::new());
    loop {
        let length = usize::from(*packet.get(at)?);
        at += 1;
        if length == 0 {
            break;
        }
        labels.push(String::from_utf8_lossy(packet.get(at..at + length)?).to_lowercase());
        at += length;
    }
    let asked = match u16::from_be_bytes([*packet.get(at)?, *packet.get(at + 1)?]) {
        1 => Asked::A,
        28 => Asked::Aaaa,
        other => Asked::Other(other),
    };
    Some((labels.join("."), asked, packet.get(12..at + 4)?))
}

fn answer(id: &[u8], asked: Asked, question: &[u8], record: &Record) -> Option<Vec<u8>> {
    let (code, addresses, ttl): (u8, &[IpAddr], u32) = match record {
        Record::Addresses(addresses, ttl) => (0, addresses, *ttl),
        Record::NoSuchName => (3, &[], 0),
        Record::Failure => (2, &[], 0),
        Record::Silence => return None,
    };
    let data: Vec<Vec<u8>> = addresses
        .iter()
        .filter_map(|address| match (asked, address) {
            (Asked::A, IpAddr::V4(v4)) => Some(v4.octets().to_vec()),
            (Asked::Aaaa, IpAddr::V6(v6)) => Some(v6.octets().to_vec()),
            (Asked::A | Asked::Aaaa | Asked::Other(_), _) => None,
        })
        .collect();
    // An answer, recursion wanted and had; one question.
    let mut packet = [id, &[0x81, 0x80 | code, 0, 1, 0]].concat();
    packet.extend([u8::try_from(data.len()).ok()?, 0, 0, 0, 0]);
    packet.extend(question);
    for address in data {
        // The name of the question, its type, the Internet.
        let kind = if asked == Asked::A { 1 } else { 28 };
        packet.extend([0xc0, 12, 0, kind, 0, 1]);
        packet.extend(ttl.to_be_bytes());
        packet.extend([0, u8::try_from(address.len()).ok()?]);
        packet.extend(address);
    }
    Some(packet)
}
