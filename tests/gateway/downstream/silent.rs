//! Clients that do not say what they have begun to say, alone and in crowds.

use std::io::Write;
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use socket2::{Domain, Socket, Type};

use super::parts::{AT_LATEST, PATIENCE, WRITTEN, count, farewell, kept, many, settled, strict, told};
use crate::faults::parts::{Mode, describe, good};
use crate::faults::runner::{Case, Line, line};
use crate::kit::KEY;
use crate::kit::client::{Client, ask, chat_request, request};
use crate::kit::config::Gateway;
use crate::kit::h2::H2Client;
use crate::kit::process::soon;

pub fn cases() -> Vec<Case> {
    vec![
        Case::own("DN-01", "connects and says nothing", || vec![wordless(false), wordless(true)]),
        Case::own("DN-02", "a head byte by byte", || vec![dripping(false), dripping(true), dripping_again()]),
        Case::own("DN-03", "a crowd with endless heads", || vec![crowd(), crowd_of_one()]),
        Case::own("DN-04", "a crowd with endless bodies", || vec![bodies(), body_over_http2()]),
        Case::own("DN-06", "a thousand ranges", ranges),
    ]
}

/// A gateway whose public listener speaks HTTP/2 too, or not.
fn also(gateway: Gateway, h2c: bool) -> (Gateway, &'static str) {
    if h2c { (gateway.h2c(), "h2c") } else { (gateway, "h1") }
}

fn wordless(h2c: bool) -> Line {
    let upstream = good("ok");
    let (gateway, mode) = also(strict(&upstream), h2c);
    let daemon = gateway.start();
    let since = Instant::now();
    line(mode, "closed in time", farewell(&mut daemon.client(), since))
}

/// Sends bytes one at a time, until there is an answer or an end.
fn drip(client: &mut Client, bytes: &[u8]) -> String {
    client.patience(Duration::from_millis(100));
    let since = Instant::now();
    for byte in bytes {
        if client.try_send(&[*byte]).is_err() {
            break;
        }
        match client.try_read_head() {
            Ok(head) => {
                let answer = client.rest(head).expect("its body");
                let words = format!("{} {}", told(&answer), kept(since.elapsed()));
                client.patience(crate::kit::DEADLINE);
                return format!("{words}, then {}", if client.is_closed() { "closed" } else { "open" });
            }
            Err(error) if matches!(error.kind(), std::io::ErrorKind::WouldBlock) => {}
            Err(_) => break,
        }
    }
    format!("closed {}", kept(since.elapsed()))
}

fn dripping(h2c: bool) -> Line {
    let upstream = good("ok");
    let (gateway, mode) = also(strict(&upstream), h2c);
    let daemon = gateway.start();
    let head = chat_request(KEY, &ask("general"));
    line(mode, "408 request_timeout in time, then closed", drip(&mut daemon.client(), &head))
}

/// The second head of a connection has as long from its first byte.
fn dripping_again() -> Line {
    let upstream = good("ok");
    let daemon = strict(&upstream).start();
    let mut client = daemon.client();
    let first = describe(&client.chat(&ask("general")), Mode::Whole, "general");
    std::thread::sleep(PATIENCE + PATIENCE / 2);
    let head = chat_request(KEY, &ask("general"));
    let seen = format!("{first}, then {}", drip(&mut client, &head));
    line("later", "200 ok, then 408 request_timeout in time, then closed", seen)
}

/// Connections that send a byte of a head now and then, from an address of their own, while something happens.
fn beside<T>(daemon: SocketAddr, clients: usize, from: Ipv4Addr, work: impl FnOnce() -> T) -> (usize, T) {
    let (all_there, over) = (AtomicBool::new(false), AtomicBool::new(false));
    let connect = || -> std::io::Result<TcpStream> {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
        socket.bind(&SocketAddr::from((from, 0)).into())?;
        socket.connect(&daemon.into())?;
        socket.set_nonblocking(true)?;
        let mut stream = TcpStream::from(socket);
        stream.write_all(b"POST /v1/chat/completions HTTP/1.1\r\nX: ")?;
        Ok(stream)
    };
    std::thread::scope(|scope| {
        let crowd = scope.spawn(|| {
            let mut all: Vec<_> = (0..clients).map(|_| connect()).collect();
            all_there.store(true, Ordering::Relaxed);
            let mut cut = 0;
            while !over.load(Ordering::Relaxed) {
                for place in &mut all {
                    let alive = place.as_mut().is_ok_and(|stream| stream.write_all(b"x").is_ok());
                    if !alive {
                        // Whoever was cut comes again.
                        cut += 1;
                        *place = connect();
                    }
                }
                std::thread::sleep(Duration::from_millis(100));
            }
            cut
        });
        assert!(
            soon(3 * crate::kit::DEADLINE, || all_there.load(Ordering::Relaxed)),
            "the crowd has not come"
        );
        std::thread::sleep(Duration::from_millis(500));
        let done = work();
        over.store(true, Ordering::Relaxed);
        (crowd.join().expect("no client of the crowd panics"), done)
    })
}

/// New clients, one after the other, and how many were served.
fn newcomers(daemon: &crate::kit::daemon::Daemon, clients: usize) -> usize {
    let serve = |_: &usize| {
        Client::try_connect(daemon.addr())
            .and_then(|mut client| {
                client.try_send(&chat_request(KEY, &ask("general")))?;
                client.try_read()
            })
            .is_ok_and(|answer| answer.status == 200)
    };
    (0..clients).filter(serve).count()
}

/// More slow clients than seats: those who have said nothing for longest make room.
fn crowd() -> Line {
    let upstream = good("ok");
    let clients = many(400);
    let seats = clients * 3 / 4;
    let daemon = strict(&upstream)
        .server("max_connections", &seats.to_string())
        .server("max_connections_per_address", "1000000")
        .start();
    let (cut, (served, within)) = beside(daemon.addr(), clients, Ipv4Addr::LOCALHOST, || {
        let served = newcomers(&daemon, 200);
        // Who was asked to leave is gone in a moment; the crowd still wants all seats.
        (served, soon(crate::kit::DEADLINE, || daemon.metric_sum("byname_connections", &[]) <= seats as f64))
    });
    let cut = if cut >= clients / 4 { "crowd cut" } else { "crowd kept" };
    let seats = if within { "within the seats" } else { "beyond the seats" };
    line(
        "seats",
        "200 of 200 served, crowd cut, within the seats",
        format!("{served} of 200 served, {cut}, {seats}"),
    )
}

/// One address takes no more than its share.
fn crowd_of_one() -> Line {
    let upstream = good("ok");
    let clients = many(400);
    let daemon = strict(&upstream).server("max_connections_per_address", &(clients / 2).to_string()).start();
    let (_, served) = beside(daemon.addr(), clients, Ipv4Addr::new(127, 0, 0, 2), || newcomers(&daemon, 200));
    let refused =
        daemon.metric_sum("byname_connections_refused_total", &[("reason", "max_connections_per_address")]);
    let refused =
        if refused >= (clients / 2) as f64 { "half of the crowd turned away" } else { "crowd let in" };
    line(
        "address",
        "200 of 200 served, half of the crowd turned away",
        format!("{served} of 200 served, {refused}"),
    )
}

/// The first byte of a body, and then one now and then.
fn bodies() -> Line {
    let upstream = good("ok");
    let clients = many(100).min(1000);
    let daemon = strict(&upstream).start();
    let head = request(
        "POST",
        "/v1/chat/completions",
        &[("Authorization", &format!("Bearer {KEY}"))],
        &[b'{'; 100_000],
    );
    let beginning = &head[..head.len() - 99_999];
    let mut all: Vec<_> = (0..clients)
        .map(|_| {
            let mut client = daemon.client();
            client.send(beginning);
            client
        })
        .collect();
    let since = Instant::now();
    while since.elapsed() < PATIENCE - Duration::from_millis(200) {
        all.iter_mut().for_each(|client| drop(client.try_send(b"{")));
        std::thread::sleep(Duration::from_millis(100));
    }
    let mut answers: Vec<_> = all
        .iter_mut()
        .map(|client| {
            let words = client.try_read().map_or("closed".to_owned(), |answer| told(&answer));
            format!("{words} {}", kept(since.elapsed()))
        })
        .collect();
    answers.dedup();
    let closed = if all.iter_mut().all(Client::is_closed) { "closed" } else { "open" };
    let answers = answers.join(" or ");
    let seen =
        format!("{answers}, then {closed}; {} upstream; {}", upstream.requests().len(), settled(&daemon));
    line("h1", "408 request_timeout in time, then closed; 0 upstream; nothing left", seen)
}

/// A stream whose body never comes; the others of its connection are not held up.
fn body_over_http2() -> Line {
    let upstream = good("ok");
    let daemon = strict(&upstream).h2c().start();
    let client = H2Client::connect(daemon.addr());
    let key = format!("Bearer {KEY}");
    let headers = [("authorization", key.as_str()), ("content-type", "application/json")];
    let late = [&headers[..], &[("content-length", "1000")]].concat();
    let mut stream = client.open_unfinished("POST", "/v1/chat/completions", &late, b"{");
    let body = ask("general");
    let other = client.request("POST", "/v1/chat/completions", &headers, &[body.as_bytes()]).status;
    let status = stream.head().map_or(0, |(status, _)| status);
    let seen = format!("{status}; the other {other}; {}", settled(&daemon));
    line("h2", "408; the other 200; nothing left", seen)
}

fn ranges() -> Vec<Line> {
    let upstream = good("ok");
    let daemon = strict(&upstream).start();
    let body = ask("general");
    let ranges = format!("bytes={}", vec!["0-"; 1000].join(","));
    let key = format!("Bearer {KEY}");
    let mut client = daemon.client();
    client.send(&request(
        "POST",
        "/v1/chat/completions",
        &[("Authorization", &key), ("Range", &ranges), ("If-Range", "\"x\"")],
        body.as_bytes(),
    ));
    let seen = describe(&client.read(), Mode::Whole, "general");
    let passed = upstream.requests().iter().filter(|seen| seen.header("range").is_some()).count();
    vec![line(
        "whole",
        "200 ok, passed on: none",
        format!("{seen}, passed on: {}", if passed == 0 { "none" } else { "some" }),
    )]
}

#[test]
fn a_connection_without_a_request_is_closed_when_it_has_been_idle() {
    let upstream = good("ok");
    let daemon = strict(&upstream).server("keep_alive", WRITTEN).h2c().start();
    let mut client = daemon.client();
    assert_eq!(client.chat(&ask("general")).status, 200);
    assert_eq!(farewell(&mut client, Instant::now()), "closed in time");
    let client = H2Client::connect(daemon.addr());
    let bearer = [("authorization", "Bearer bn-test-acme")];
    assert_eq!(client.request("GET", "/v1/models", &bearer, &[]).status, 200);
    let since = Instant::now();
    let open = || daemon.metric_sum("byname_connections", &[]);
    while open() > 0.0 && since.elapsed() < AT_LATEST {
        client.live(Duration::from_millis(20));
    }
    assert_eq!(kept(since.elapsed()), "in time", "HTTP/2");
    assert_eq!(count(daemon.metric_sum("byname_connections_cut_total", &[]), 0), "all");
}
