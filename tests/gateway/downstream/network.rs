//! What happens on the way: cables, segments, urgent bytes.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::process::Command;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use nix::sched::{CloneFlags, unshare};
use socket2::SockRef;

use super::parts::{flood, settled, strict};
use crate::faults::parts::{Mode, describe, good};
use crate::faults::runner::{Case, Line, line};
use crate::kit::KEY;
use crate::kit::answers::sse_head;
use crate::kit::client::{Client, ask, ask_stream, chat_request};
use crate::kit::process::soon;
use crate::kit::script::{Step, chunk};
use crate::kit::upstream::Upstream;

pub fn cases() -> Vec<Case> {
    vec![
        Case::own("DN-17", "a cable is pulled", || vec![pulled("busy", flood), pulled("calm", calm)]),
        Case::own("DN-24", "a request in segments of one byte", segments),
        Case::own("DN-25", "urgent data (segments sent twice are the kernel's, and need netem)", urgent),
    ]
}

/// A stream with an event now and then, so that no buffer fills.
fn calm() -> Vec<Step> {
    let mut steps = vec![sse_head()];
    for _ in 0..200 {
        steps.extend([chunk(crate::faults::parts::delta("x")), Step::Pause(Duration::from_millis(100))]);
    }
    steps
}

/// A client in a network of its own, behind a cable that is pulled while a stream runs.
fn pulled(mode: &'static str, stream: fn() -> Vec<Step>) -> Line {
    // A thread's network is its children's too; the rest of the tests is not to notice.
    let test = std::thread::spawn(move || pulled_here(stream));
    match test.join().expect("no panic in the other network") {
        Ok(seen) => line(mode, "begun; backend left within 8 s; nothing left", seen),
        Err(why) => line(mode, format!("not here: {why}"), format!("not here: {why}")),
    }
}

fn pulled_here(stream: fn() -> Vec<Step>) -> io::Result<String> {
    let (ours, theirs) = (Ipv4Addr::new(10, 231, 7, 1), Ipv4Addr::new(10, 231, 7, 2));
    unshare(CloneFlags::CLONE_NEWNET).map_err(|_| io::Error::other("a network of one's own needs root"))?;
    ip("link set lo up")?;
    ip("link add gateway type veth peer name client")?;
    let (commands, todo) = mpsc::channel::<Option<SocketAddr>>();
    let (tell, told) = mpsc::channel::<String>();
    let client = std::thread::spawn(move || -> io::Result<()> {
        unshare(CloneFlags::CLONE_NEWNET)
            .map_err(|_| io::Error::other("a network of one's own needs root"))?;
        let _ = tell.send(nix::unistd::gettid().to_string());
        let Ok(Some(address)) = todo.recv() else { return Ok(()) };
        ip(&format!("addr add {theirs}/24 dev client"))?;
        ip("link set client up")?;
        let mut client = Client::try_connect(address)?;
        client.send(&chat_request(KEY, &ask_stream("general")));
        client.read_head();
        let begun = client.event().is_some();
        ip("link set client down")?;
        let _ = tell.send(if begun { "begun".to_owned() } else { "not begun".to_owned() });
        // The connection stays as it is until all is over.
        let _ = todo.recv();
        Ok(())
    });
    let tid = told.recv().map_err(|_| io::Error::other("the client's network was not made"))?;
    ip(&format!("link set client netns {tid}"))?;
    ip(&format!("addr add {ours}/24 dev gateway"))?;
    ip("link set gateway up")?;
    let upstream = Upstream::always(stream());
    let address = SocketAddr::from((ours, crate::kit::ports::free().port()));
    let daemon = strict(&upstream).listen_also(&format!("\"{address}\"")).idle("30s").start();
    let _ = commands.send(Some(address));
    let begun = told.recv_timeout(Duration::from_secs(10)).unwrap_or_else(|_| "no stream".to_owned());
    let since = Instant::now();
    let left = if upstream.wait_closed(0, Duration::from_secs(8)) {
        "backend left within 8 s".to_owned()
    } else {
        format!("backend kept for {:.0?}", since.elapsed())
    };
    let settled = settled(&daemon);
    drop(commands);
    client.join().map_err(|_| io::Error::other("the client panicked"))??;
    Ok(format!("{begun}; {left}; {settled}"))
}

fn ip(arguments: &str) -> io::Result<()> {
    let output = Command::new("ip").args(arguments.split(' ')).output()?;
    if output.status.success() {
        return Ok(());
    }
    Err(io::Error::other(format!("ip {arguments}: {}", String::from_utf8_lossy(&output.stderr).trim())))
}

fn segments() -> Vec<Line> {
    let line_of = |mode: Mode| {
        let upstream = good("ok");
        let daemon = strict(&upstream).start();
        let mut client = daemon.client();
        let body = mode.ask("general");
        client.send_in_pieces(&chat_request(KEY, &body), 1);
        let answer = describe(&client.read(), mode, "general");
        let all = upstream.requests();
        let same = all.first().is_some_and(|seen| seen.json()["messages"][0]["content"] == "Hello");
        let same = if same { "the same" } else { "another" };
        let again = describe(&client.chat(&body), mode, "general");
        line(
            mode.label(),
            "200 ok; 1 upstream, the same; then 200 ok",
            format!("{answer}; {} upstream, {same}; then {again}", all.len()),
        )
    };
    Mode::BOTH.map(line_of).into()
}

/// The byte that is urgent is none of the stream's.
fn urgent() -> Vec<Line> {
    let upstream = good("ok");
    let daemon = strict(&upstream).start();
    let mut client = daemon.client();
    let request = chat_request(KEY, &ask("general"));
    let (one, other) = request.split_at(request.len() - 20);
    client.send(one);
    // The kernel gives out what is before such a byte and no more; a runtime that is told of arrivals once takes
    // that for all that there is (tokio, with epoll). What follows comes when it has been read.
    let read = || daemon.metric("byname_body_bytes") > Some(0.0);
    assert!(soon(crate::kit::DEADLINE, read), "the gateway does not read");
    let sent = SockRef::from(&*client.stream()).send_out_of_band(b"!").expect("urgent data can be sent");
    assert_eq!(sent, 1);
    client.send(other);
    let answer = describe(&client.read(), Mode::Whole, "general");
    let all = upstream.requests();
    let same = all.first().is_some_and(|seen| seen.json()["messages"][0]["content"] == "Hello");
    let same = if same { "the same" } else { "another" };
    vec![line("whole", "200 ok; 1 upstream, the same", format!("{answer}; {} upstream, {same}", all.len()))]
}
