//! Before a byte of the request is sent: addresses, names, TLS, and our own limits.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use super::parts::{Alone, Bad, Mode, describe, good};
use super::runner::{Case, Expect, Line, line};
use crate::kit::client::{Client, chat_request};
use crate::kit::config::{Gateway, backend};
use crate::kit::deaf::Deaf;
use crate::kit::dns::{Dns, Record};
use crate::kit::script::{Intake, Step, bytes};
use crate::kit::tls::{Cert, TlsFront};
use crate::kit::upstream::Upstream;
use crate::kit::{DEADLINE, KEY};

const HOST: &str = "model.upstream.test";

pub fn cases() -> Vec<Case> {
    vec![
        Case::bad("UP-01", "connection refused", |_| Bad::scripted(Upstream::refusing()))
            .labelled("connect")
            .both(Expect::Safe),
        Case::bad("UP-02", "a connection that is never made", |_| {
            let deaf = Deaf::start();
            Bad::new(backend(&deaf.url()), deaf)
        })
        .labelled("connect_timeout")
        .both(Expect::Safe)
        .with(|gateway| gateway.connect("300ms")),
        Case::bad("UP-03", "reset during the handshake", |_| at_handshake(vec![Step::Reset]))
            .both(Expect::Safe),
        Case::own("UP-04", "the name does not exist", || unresolved(Record::NoSuchName)),
        Case::own("UP-04", "the name server fails", || unresolved(Record::Failure)),
        Case::own("UP-05", "the name server is silent", || unresolved(Record::Silence)),
        Case::own("UP-06", "the name moves to a dead address", moved),
        Case::own("UP-07", "the name leads to this machine", || forbidden(IpAddr::V4(Ipv4Addr::LOCALHOST))),
        Case::own("UP-07", "the name leads to a link-local address", || {
            forbidden(IpAddr::V4(Ipv4Addr::new(169, 254, 169, 254)))
        }),
        Case::bad("UP-08", "the certificate has expired", |_| behind(Cert::Expired))
            .labelled("tls")
            .both(Expect::Safe),
        Case::bad("UP-09", "a certificate for another name", |_| behind(Cert::OtherName))
            .labelled("tls")
            .both(Expect::Safe),
        Case::bad("UP-10", "an unknown CA", |_| behind(Cert::OtherCa)).labelled("tls").both(Expect::Safe),
        // With TLS 1.3 the backend says so only after the handshake.
        Case::bad("UP-10", "a client certificate is wanted and there is none", |_| behind(Cert::WantsClient))
            .both(Expect::Elsewhere),
        Case::bad("UP-11", "silence after the client's hello", |_| at_handshake(vec![Step::Stall]))
            .labelled("connect_timeout")
            .both(Expect::Safe)
            .with(|gateway| gateway.connect("300ms")),
        // A fatal alert: no agreement.
        Case::bad("UP-12", "no common version", |_| {
            at_handshake(vec![
                Step::Pause(Duration::from_millis(20)),
                bytes(*b"\x15\x03\x03\x00\x02\x02\x46"),
                Step::Stall,
            ])
        })
        .labelled("tls")
        .both(Expect::Safe),
        Case::own("UP-14", "no file descriptor is left", no_descriptor),
    ]
}

/// A backend by `https` where this happens as soon as there is a connection.
fn at_handshake(steps: Vec<Step>) -> Bad {
    let upstream = Upstream::with_intake(Intake::Nothing, move |_| steps.clone());
    Bad::new(backend(&format!("https://{}/v1", upstream.addr())), upstream)
}

/// A good backend behind a certificate that is not.
fn behind(cert: Cert) -> Bad {
    let upstream = good("behind a bad certificate");
    let front = TlsFront::start(upstream.addr(), cert, &["http/1.1"]);
    Bad::new(front.backend(""), (front, upstream))
}

fn named(dns: &Dns) -> Gateway {
    let resolver = format!("[ \"{}\" ]", dns.addr());
    Gateway::new().server("dns", &resolver).pool_line("resolve: 1s").connect("500ms")
}

/// A backend whose name has no address, alone and before a good one.
fn unresolved(record: Record) -> Vec<Line> {
    let dns = Dns::start();
    dns.set(HOST, record);
    let other = good("elsewhere");
    let unknown = backend(&format!("http://{HOST}:9/v1"));
    let line_of = |mode: Mode| {
        let alone = Alone::start(named(&dns), std::slice::from_ref(&unknown));
        let began = Instant::now();
        let spare = describe(&alone.daemon.client().chat(&mode.ask("spare")), mode, "spare");
        let quick = if began.elapsed() < Duration::from_secs(4) { "at once" } else { "late" };
        let seen = alone.ask(mode);
        let pair = Alone::start(named(&dns), &[unknown.clone(), backend(&other.url())]);
        line(
            mode.label(),
            "spare 200 spare at once; alone 502 upstream_unavailable; pair 200 elsewhere",
            format!("spare {spare} {quick}; alone {seen}; pair {}", pair.ask(mode)),
        )
    };
    Mode::BOTH.map(line_of).into()
}

/// A name that leads to a good address, then to a dead one, then back.
fn moved() -> Vec<Line> {
    let (dns, upstream, other) = (Dns::start(), good("by name"), good("elsewhere"));
    let at = |last: u8| Record::Addresses(vec![IpAddr::V4(Ipv4Addr::new(127, 0, 0, last))], 1);
    dns.set(HOST, at(1));
    let by_name = backend(&format!("http://{HOST}:{}/v1", upstream.addr().port()));
    let gateway = named(&dns).pool_line("local_addresses: true");
    let alone = Alone::start(gateway.clone(), std::slice::from_ref(&by_name));
    let pair = Alone::start(gateway, &[by_name, backend(&other.url())]);
    let before = alone.ask(Mode::Whole);
    dns.set(HOST, at(77));
    std::thread::sleep(Duration::from_millis(2500));
    let during: Vec<_> = (0..4).map(|_| pair.ask(Mode::Stream)).collect();
    let failed = during.iter().filter(|seen| !seen.starts_with("200 ")).count();
    dns.set(HOST, at(1));
    let since = Instant::now();
    let mut after = alone.ask(Mode::Whole);
    while after != "200 by name" && since.elapsed() < DEADLINE {
        std::thread::sleep(Duration::from_millis(250));
        after = alone.ask(Mode::Whole);
    }
    vec![line(
        "both",
        "before 200 by name; moved 0 of 4 failed; back 200 by name",
        format!("before {before}; moved {failed} of 4 failed; back {after}"),
    )]
}

/// A name that leads where names may not lead.
fn forbidden(address: IpAddr) -> Vec<Line> {
    let (dns, upstream) = (Dns::start(), good("forbidden"));
    dns.set(HOST, Record::Addresses(vec![address], 1));
    let by_name = backend(&format!("http://{HOST}:{}/v1", upstream.addr().port()));
    let alone = Alone::start(named(&dns), &[by_name]);
    let line_of = |mode: Mode| {
        let seen = alone.ask(mode);
        let seen = format!("alone {seen}, {} connections", upstream.connections());
        line(mode.label(), "alone 502 upstream_unavailable, 0 connections", seen)
    };
    Mode::BOTH.map(line_of).into()
}

/// Clients take all descriptors: what needs another one is told so, and all is well when they leave.
fn no_descriptor() -> Vec<Line> {
    let upstream = good("enough");
    let gateway = Gateway::new().max_files(96).connect("500ms").first_byte("2s");
    let alone = Alone::start(gateway, &[backend(&upstream.url())]);
    let listen = alone.daemon.addr();
    let mut clients = Vec::new();
    // The kernel takes connections that the process can no longer accept; those are not answered.
    let models = format!("GET /v1/models HTTP/1.1\r\nHost: gateway\r\nAuthorization: Bearer {KEY}\r\n\r\n");
    for _ in 0..128 {
        let Ok(mut client) = Client::try_connect(listen) else { break };
        client.patience(Duration::from_millis(500));
        let answered = client.try_send(models.as_bytes()).and_then(|()| client.try_read()).is_ok();
        clients.push(client);
        if !answered {
            break;
        }
    }
    let full = if clients.len() < 128 { "full" } else { "not full" };
    // The last one but the unanswered has a connection; its request needs another one, upwards.
    let served = clients.len().saturating_sub(2);
    let refused = clients.get_mut(served).map_or("nobody".to_owned(), |client| {
        client.patience(DEADLINE);
        describe(&client.chat(&Mode::Whole.ask("alone")), Mode::Whole, "alone")
    });
    drop(clients);
    let since = Instant::now();
    let mut after = String::new();
    while after != "200 enough" && since.elapsed() < DEADLINE {
        std::thread::sleep(Duration::from_millis(50));
        after = once(listen).unwrap_or_else(|e| e.to_string());
    }
    vec![line(
        "whole",
        "full; 502 upstream_unavailable; after 200 enough",
        format!("{full}; {refused}; after {after}"),
    )]
}

/// One request on a connection of its own; an error when there is none to be had.
fn once(listen: SocketAddr) -> io::Result<String> {
    let mut client = Client::try_connect(listen)?;
    client.try_send(&chat_request(KEY, &Mode::Whole.ask("alone")))?;
    client.try_read().map(|answer| describe(&answer, Mode::Whole, "alone"))
}
