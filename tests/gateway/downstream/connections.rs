//! Many connections: made and dropped, kept for too long, more than there is room for.

use std::net::TcpStream;
use std::time::Duration;

use super::parts::{PATIENCE, WRITTEN, farewell, many, strict};
use crate::faults::parts::{Mode, describe, good};
use crate::faults::runner::{Case, Line, line};
use crate::kit::KEY;
use crate::kit::client::{Client, ask, chat_request};
use crate::kit::process::{descriptors, soon};

pub fn cases() -> Vec<Case> {
    vec![
        Case::own("DN-18", "connections that come and go", churn),
        Case::own("DN-19", "more idle connections than seats", idle),
        Case::own("DN-20", "a connection that is kept for ever", || vec![requests(), idleness()]),
        Case::own("DN-29", "no file descriptor is left", none_left),
    ]
}

fn ok(client: &mut Client) -> String {
    describe(&client.chat(&ask("general")), Mode::Whole, "general")
}

fn churn() -> Vec<Line> {
    let upstream = good("ok");
    let daemon = strict(&upstream).start();
    let (open, clients) = (descriptors(daemon.pid()), many(2000));
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| (0..clients / 4).for_each(|_| drop(TcpStream::connect(daemon.addr()))));
        }
        for _ in 0..20 {
            assert_eq!(ok(&mut daemon.client()), "200 ok", "while others come and go");
        }
    });
    // The connection to the backend may be kept.
    let back = soon(5 * PATIENCE, || descriptors(daemon.pid()) <= open + 4);
    let back = if back { "descriptors back" } else { "descriptors leaked" };
    let gone = soon(PATIENCE, || daemon.metric_sum("byname_connections", &[]) == 0.0);
    let gone = if gone { "no connection left" } else { "connections left" };
    let seen = format!("{back}, {gone}, then {}", ok(&mut daemon.client()));
    vec![line("h1", "descriptors back, no connection left, then 200 ok", seen)]
}

/// Whether a connection that has nothing to say has been closed.
fn is_open(client: &Client) -> bool {
    client.patience(Duration::from_millis(20));
    let still = matches!(client.peek(), Err(error) if error.kind() == std::io::ErrorKind::WouldBlock);
    client.patience(crate::kit::DEADLINE);
    still
}

/// Those who have been idle for longest leave first, and whoever works is left alone.
fn idle() -> Vec<Line> {
    const MORE: usize = 20;
    let upstream = crate::kit::upstream::Upstream::start(|seen| {
        if seen.text().contains("Hello") {
            crate::kit::answers::json_answer("ok")
        } else {
            super::parts::paused("go")
        }
    });
    // One after the other; more would outlast the stream that runs beside them.
    let seats = many(50).min(200);
    let daemon = strict(&upstream)
        .server("max_connections", &seats.to_string())
        .server("max_connections_per_address", "1000000")
        .start();
    let mut busy = daemon.client();
    busy.send(&chat_request(KEY, &crate::kit::client::ask_stream("general").replace("Hello", "busy")));
    let head = busy.read_head();
    let connect = |_: usize| {
        let mut client = daemon.client();
        assert_eq!(ok(&mut client), "200 ok");
        // Idleness is counted in milliseconds.
        std::thread::sleep(Duration::from_millis(2));
        client
    };
    let mut first: Vec<_> = (1..seats).map(connect).collect();
    // The oldest of them works again, and is now the youngest.
    first.rotate_left(1);
    let young = first.last_mut().expect("some");
    assert_eq!(ok(young), "200 ok");
    let more: Vec<_> = (0..MORE).map(connect).collect();
    std::thread::sleep(Duration::from_millis(100));
    let closed: Vec<_> = first.iter().map(|client| !is_open(client)).collect();
    let cleared = closed.iter().filter(|closed| **closed).count();
    let order = if closed[..cleared].iter().all(|closed| *closed) { "the oldest" } else { "out of order" };
    let enough =
        if (MORE..=2 * MORE).contains(&cleared) { "as many as came" } else { "more or less than came" };
    let stay = if more.iter().all(is_open) { "who came stay" } else { "who came left" };
    upstream.open("go");
    let busy = describe(&busy.rest(head).expect("the rest"), Mode::Stream, "general");
    let refused = daemon.metric_sum("byname_connections_refused_total", &[]);
    let seen = format!("closed: {order}, {enough}; {stay}; who works {busy}; {refused} refused");
    vec![line(
        "h1",
        "closed: the oldest, as many as came; who came stay; who works 200 one two; 0 refused",
        seen,
    )]
}

fn requests() -> Line {
    let upstream = good("ok");
    let daemon = strict(&upstream).server("max_requests", "3").start();
    let mut client = daemon.client();
    let mut said = Vec::new();
    for mode in [Mode::Whole, Mode::Stream, Mode::Whole] {
        let answer = client.chat(&mode.ask("general"));
        said.push(format!("{} {}", answer.status, answer.header("connection").unwrap_or_default()));
    }
    let closed = if client.is_closed() { "closed" } else { "open" };
    line(
        "requests",
        "200 keep-alive, 200 keep-alive, 200 close, closed",
        format!("{}, {closed}", said.join(", ")),
    )
}

fn idleness() -> Line {
    let upstream = good("ok");
    let daemon = strict(&upstream).server("keep_alive", WRITTEN).start();
    let mut client = daemon.client();
    let first = ok(&mut client);
    let end = farewell(&mut client, std::time::Instant::now());
    line("seconds", "200 ok, closed in time", format!("{first}, {end}"))
}

/// Nobody new is let in, whoever is in is served, and all is well when some have left.
fn none_left() -> Vec<Line> {
    const FILES: usize = 120;
    let upstream = good("ok");
    let daemon = strict(&upstream).server("header_timeout", "60s").max_files(FILES).start();
    let mut inside = daemon.client();
    let before = ok(&mut inside);
    let crowd: Vec<_> = (0..2 * FILES).map(|_| Client::try_connect(daemon.addr())).collect();
    let full = soon(5 * PATIENCE, || descriptors(daemon.pid()) >= FILES - 1);
    let full = if full { "all taken" } else { "some free" };
    let during = ok(&mut inside);
    drop(crowd);
    let after = soon(10 * PATIENCE, || {
        Client::try_connect(daemon.addr()).is_ok_and(|mut client| {
            client.patience(PATIENCE);
            client.try_send(&chat_request(KEY, &ask("general"))).is_ok()
                && client.try_read().is_ok_and(|answer| answer.status == 200)
        })
    });
    let after = if after { "new ones are served again" } else { "new ones are not served" };
    let seen = format!("{before}; {full}; who is in {during}; then {after}");
    vec![line("h1", "200 ok; all taken; who is in 200 ok; then new ones are served again", seen)]
}
