//! Clients that do not come to an agreement on TLS.

use std::io::{Read, Write};
use std::net::SocketAddr;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Instant;

use super::parts::{count, farewell, many, strict};
use crate::faults::parts::{Mode, describe, good};
use crate::faults::runner::{Case, Line, line};
use crate::kit::client::{Client, ask};
use crate::kit::config::Gateway;
use crate::kit::papers::{Papers, Shows};
use crate::kit::ports;
use crate::kit::process::{descriptors, soon};
use crate::kit::upstream::Upstream;

pub fn cases() -> Vec<Case> {
    vec![
        Case::own("DN-21", "a TLS hello, then silence", || vec![hello(&[]), hello(HALF), hello_whole()]),
        Case::own("DN-22", "early data, and a second negotiation", || vec![early(), again()]),
        Case::own("DN-23", "handshakes that fail, by the hundred", failing),
    ]
}

/// The first half of a hello.
const HALF: &[u8] = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03";

fn with_tls(upstream: &Upstream, papers: &Papers) -> (Gateway, SocketAddr) {
    let address = ports::free();
    let entry = format!("{{ address: \"{address}\", tls: {} }}", papers.listener(""));
    (strict(upstream).listen_also(&entry), address)
}

fn hello(bytes: &[u8]) -> Line {
    let (upstream, papers) = (good("ok"), Papers::new());
    let (gateway, address) = with_tls(&upstream, &papers);
    let _daemon = gateway.start();
    let since = Instant::now();
    let mut client = Client::connect(address);
    client.send(bytes);
    line(if bytes.is_empty() { "none" } else { "half" }, "closed in time", farewell(&mut client, since))
}

/// The whole handshake, and then nothing: for both protocols.
fn hello_whole() -> Line {
    let (upstream, papers) = (good("ok"), Papers::new());
    let (gateway, address) = with_tls(&upstream, &papers);
    let _daemon = gateway.start();
    let mut seen = Vec::new();
    for alpn in ["http/1.1", "h2"] {
        let since = Instant::now();
        let mut client = papers.client(address, &Arc::new(papers.config(Shows::Nothing, &[alpn])));
        let end = client.stream();
        while end.conn.is_handshaking() {
            end.conn.complete_io(&mut end.sock).expect("a handshake");
        }
        seen.push(farewell(&mut client, since));
    }
    line("whole", "closed in time; closed in time", seen.join("; "))
}

/// What a resumed session may send early: nothing.
fn early() -> Line {
    let (upstream, papers) = (good("ok"), Papers::new());
    let (gateway, address) = with_tls(&upstream, &papers);
    let _daemon = gateway.start();
    let mut config = papers.config(Shows::Nothing, &[]);
    config.enable_early_data = true;
    let config = Arc::new(config);
    let mut seen = Vec::new();
    for _ in 0..2 {
        let mut client = papers.client(address, &config);
        let early = if client.stream().conn.early_data().is_some() { "early data" } else { "no early data" };
        let answer = describe(&client.chat(&ask("general")), Mode::Whole, "general");
        seen.push(format!(
            "{early}, {answer}, {:?}",
            client.stream().conn.handshake_kind().expect("a handshake")
        ));
    }
    line("0-RTT", "no early data, 200 ok, Full; no early data, 200 ok, Resumed", seen.join("; "))
}

/// TLS 1.2 knows how to negotiate again; we do not.
fn again() -> Line {
    let (upstream, papers) = (good("ok"), Papers::new());
    let (gateway, address) = with_tls(&upstream, &papers);
    let daemon = gateway.start();
    let openssl = Command::new("openssl")
        .args(["s_client", "-tls1_2", "-connect", &address.to_string()])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let Ok(mut openssl) = openssl else {
        let here = "not here: there is no openssl to ask for it";
        return line("again", here, here);
    };
    let mut input = openssl.stdin.take().expect("a pipe");
    std::thread::sleep(std::time::Duration::from_millis(300));
    // Its command for a second negotiation.
    input.write_all(b"R\n").expect("it listens");
    let ended = soon(5 * super::parts::PATIENCE, || openssl.try_wait().is_ok_and(|status| status.is_some()));
    let _ = openssl.kill();
    drop(input);
    let mut words = String::new();
    let _ = openssl.stderr.take().expect("a pipe").read_to_string(&mut words);
    let _ = openssl.wait();
    let asked = if words.contains("RENEGOTIATING") { "asked" } else { "not asked" };
    let refused = if ended { "refused" } else { "granted" };
    let after = describe(&daemon.client().chat(&ask("general")), Mode::Whole, "general");
    line("again", "asked, refused; others 200 ok", format!("{asked}, {refused}; others {after}"))
}

fn failing() -> Vec<Line> {
    let (upstream, papers) = (good("ok"), Papers::new());
    let (gateway, address) = with_tls(&upstream, &papers);
    let daemon = gateway.start();
    let metric = || daemon.metric_sum("byname_connections_cut_total", &[("reason", "tls")]);
    // It says so itself a moment after it is ready.
    daemon.wait_for("serving on");
    let (before, open, log) = (metric(), descriptors(daemon.pid()), daemon.stderr().lines().count());
    let clients = many(300);
    for n in 0..clients {
        let mut client = Client::connect(address);
        let garbage: &[u8] =
            if n % 2 == 0 { b"GET / HTTP/1.1\r\n\r\n" } else { b"\x16\x03\x01\x00\x05hello" };
        let _ = client.try_send(garbage);
    }
    let counted = soon(super::parts::PATIENCE * 5, || metric() - before >= clients as f64);
    let counted = if counted { "all".to_owned() } else { count(metric() - before, clients) };
    let logged: Vec<String> = daemon.stderr().lines().skip(log).map(str::to_owned).collect();
    let back = soon(super::parts::PATIENCE * 5, || descriptors(daemon.pid()) <= open + 2);
    let back = if back { "descriptors back" } else { "descriptors leaked" };
    let mut client = papers.client(address, &Arc::new(papers.config(Shows::Nothing, &[])));
    let after = describe(&client.chat(&ask("general")), Mode::Whole, "general");
    let seen = format!("counted {counted}, log {logged:?}, {back}, then {after}");
    vec![line("tls", "counted all, log [], descriptors back, then 200 ok", seen)]
}
