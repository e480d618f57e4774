//! Places that are in no answer: a certificate, a name, an address, a timeout, frames of HTTP/2, a list of models,
//! a health check. Each has one backend for each writing.

use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::thread;
use std::time::Duration;

use super::answer::{Answer, Mode};
use super::canary::{RESET, Writing};
use super::scene::{Token, token};
use crate::faults::parts::delta;
use crate::kit::dns::{Dns, Record};
use crate::kit::ports;
use crate::kit::script::{Step, chunk, head};
use crate::kit::tls::TlsFront;
use crate::kit::upstream::Upstream;

/// Number and name of these places.
pub const ODD: [(usize, &str); 8] = [
    (54, "a certificate's subject"),
    (55, "a name that is not found"),
    (56, "an address that refuses"),
    (57, "a timeout"),
    (58, "debug data of GOAWAY"),
    (59, "a reset with a strange code"),
    (62, "a backend's list of models"),
    (63, "what a health check is answered"),
];

/// A backend that says who it is in such a place.
pub struct Odd {
    pub place: usize,
    pub writing: Writing,
    /// Its `backends:` entry, and more lines of its pool.
    pub backend: String,
    pub more: &'static str,
    /// Where something that copies everything goes.
    pub address: SocketAddr,
    pub url: String,
    pub ca: Option<PathBuf>,
    _kept: Kept,
}

/// What lives as long as the backend.
#[expect(dead_code, reason = "held to be dropped")]
enum Kept {
    Upstream(Upstream),
    Tls(TlsFront, Upstream),
    Nothing,
}

const CHECKED: &str =
    "health: { path: /v1/models, interval: 200ms, timeout: 200ms, failures: 1, successes: 1 }";
const HASTY: &str = "timeouts: { connect: 1s, first_byte: 150ms, idle: 150ms, total: 1s }";

/// All of them, their names known to this name server where they are to be known.
pub fn all(dns: &Dns) -> Vec<Odd> {
    ODD.iter().flat_map(|(place, _)| Writing::ALL.map(|writing| odd(*place, writing, dns))).collect()
}

fn odd(place: usize, writing: Writing, dns: &Dns) -> Odd {
    let host = format!("n{place}.{}", writing.host());
    let at = |ip: Ipv4Addr| dns.set(&host, Record::Addresses(vec![IpAddr::V4(ip)], 60));
    let named = |address: SocketAddr, kept: Kept, more: &'static str| {
        let url = format!("http://{host}:{}/v1", address.port());
        let h2 = if matches!(place, 58 | 59) { ", h2: true" } else { "" };
        let backend = format!("{{ url: \"{url}\"{h2} }}");
        Odd { place, writing, backend, more, address, url, ca: None, _kept: kept }
    };
    match place {
        54 => {
            let inner = Upstream::always(Answer::default().steps(Mode::Whole));
            let front = TlsFront::of_another(inner.addr(), &host);
            let backend = front.backend("");
            let (address, url, ca) = (front.addr(), front.url(), Some(front.ca()));
            Odd { place, writing, backend, more: "", address, url, ca, _kept: Kept::Tls(front, inner) }
        }
        55 => named(SocketAddr::from((Ipv4Addr::LOCALHOST, 9)), Kept::Nothing, "resolve: 1s"),
        56 => {
            at(Ipv4Addr::new(127, 77, 13, 56));
            let port = ports::free().port();
            named(SocketAddr::from((Ipv4Addr::new(127, 77, 13, 56), port)), Kept::Nothing, "")
        }
        57 => {
            at(Ipv4Addr::LOCALHOST);
            let upstream = Upstream::start(|seen| late(token(&seen.body).map(|token| token.mode)));
            named(upstream.addr(), Kept::Upstream(upstream), HASTY)
        }
        58 | 59 => {
            at(Ipv4Addr::LOCALHOST);
            named(
                frames(place),
                Kept::Nothing,
                "timeouts: { connect: 1s, first_byte: 2s, idle: 2s, total: 3s }",
            )
        }
        62 => {
            at(Ipv4Addr::LOCALHOST);
            let list = format!(
                r#"{{"object":"list","data":[{{"id":"{0}","object":"model","owned_by":"{0}"}}]}}"#,
                writing.all()
            );
            let upstream =
                Upstream::always(crate::kit::script::whole(200, &[("x-by", &writing.all())], &list));
            named(upstream.addr(), Kept::Upstream(upstream), CHECKED)
        }
        _ => {
            at(Ipv4Addr::LOCALHOST);
            let text = writing.all();
            let mut answer = Answer { status: 500, reason: text.clone(), ..Answer::default() };
            answer.headers.push(format!("x-by: {text}"));
            answer.error = format!(r#"{{"message":"{text}"}}"#);
            let upstream = Upstream::always(answer.steps(Mode::Before));
            named(upstream.addr(), Kept::Upstream(upstream), CHECKED)
        }
    }
}

/// Says too little, too late.
fn late(mode: Option<Mode>) -> Vec<Step> {
    let events = [("Content-Type", "text/event-stream"), ("Transfer-Encoding", "chunked")];
    match mode {
        Some(Mode::Middle) => vec![head(200, &events), chunk(delta("one")), Step::Stall],
        Some(Mode::Before) => vec![head(200, &events), Step::Stall],
        Some(Mode::Whole | Mode::Stream) | None => vec![Step::Stall],
    }
}

/// A listener that speaks as much HTTP/2 as it takes to say something strange.
fn frames(place: usize) -> SocketAddr {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a loopback port");
    let address = listener.local_addr().expect("a bound socket has an address");
    // It ends with the test's process.
    thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            thread::spawn(move || speak(stream, place));
        }
    });
    address
}

fn speak(mut stream: TcpStream, place: usize) -> std::io::Result<()> {
    stream.set_read_timeout(Some(crate::kit::DEADLINE))?;
    // Its own settings, and that it has read the other's.
    stream.write_all(&[frame(4, 0, 0, &[]), frame(4, 1, 0, &[])].concat())?;
    let (mut heard, mut buffer) = (Vec::new(), [0; 16 * 1024]);
    // DATA frames hold the body as it is.
    let Token { writing, mode, .. } = loop {
        match stream.read(&mut buffer)? {
            0 => return Ok(()),
            n => heard.extend_from_slice(&buffer[..n]),
        }
        if let Some(token) = token(&heard) {
            break token;
        }
    };
    let text = writing.all();
    let kind = if mode == Mode::Middle { "text/event-stream" } else { "application/json" };
    let head =
        frame(1, 4, 1, &[b"\x88".to_vec(), field("content-type", kind), field("x-reason", &text)].concat());
    let first = if mode == Mode::Middle { delta("one") } else { "{\"choices\":[".to_owned() };
    let begun = [head, frame(0, 0, 1, first.as_bytes())].concat();
    let covered = u32::from(mode != Mode::Whole).to_be_bytes();
    let away = frame(7, 0, 0, &[&covered[..], &11_u32.to_be_bytes(), text.as_bytes()].concat());
    let answer: Vec<Vec<u8>> = match (place, mode) {
        (58, Mode::Whole | Mode::Stream) => vec![away],
        (58, Mode::Before | Mode::Middle) => vec![begun, away],
        (_, _) => vec![begun, frame(3, 0, 1, &RESET.to_be_bytes())],
    };
    for part in answer {
        stream.write_all(&part)?;
        thread::sleep(Duration::from_millis(20));
    }
    Ok(())
}

/// RFC 9113, 4.1.
fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).expect("a small frame").to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// A field that no table has: RFC 7541, 6.2.2.
fn field(name: &str, value: &str) -> Vec<u8> {
    [vec![0], string(name), string(value)].concat()
}

fn string(text: &str) -> Vec<u8> {
    let mut out = Vec::new();
    match text.len() {
        short @ 0..127 => out.push(u8::try_from(short).expect("below 127")),
        long => {
            out.push(127);
            let mut left = long - 127;
            while left >= 128 {
                out.push(u8::try_from(left % 128 + 128).expect("below 256"));
                left /= 128;
            }
            out.push(u8::try_from(left).expect("below 128"));
        }
    }
    out.extend(text.bytes());
    out
}
