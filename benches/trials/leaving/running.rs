//! They leave while a backend works for them: before its answer, or in the middle of its stream.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;
use tokio::runtime::Handle;
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval, sleep};

use super::{CLIENTS, Sightings, report, some_time};
use crate::gateway::{Gateway, ONE_ALIAS, backends};
use crate::goals::{Goals, Times};
use crate::http::{Connection, ask};
use crate::upstream;

/// Between two events of a stream.
const PACE: Duration = Duration::from_millis(50);
/// Between two clients' arrivals.
const APART: Duration = Duration::from_millis(10);

pub async fn run(upstreams: &Handle, goals: &mut Goals) {
    for (name, stream) in [("before the head", false), ("mid-stream", true)] {
        let (asked, closed) = (Sightings::default(), Sightings::default());
        let addresses = [(); 2].map(|()| {
            let (asked, closed) = (Arc::clone(&asked), Arc::clone(&closed));
            upstream::start(upstreams, move |connection| {
                treat(connection, Arc::clone(&asked), Arc::clone(&closed))
            })
        });
        let pools = format!("{{ main: {{ backends: {} }} }}", backends(&addresses));
        let gateway = Gateway::start(&pools, ONE_ALIAS);
        let mut clients = JoinSet::new();
        for number in 0..CLIENTS {
            clients.spawn(visit(gateway.address, number, stream));
        }
        let mut left = clients.join_all().await;
        left.sort_unstable();
        sleep(Duration::from_secs(3)).await;
        drop(gateway);

        let closed = closed.lock().unwrap();
        let times = left.iter().filter_map(|(number, gone)| {
            let (_, at) = closed.iter().find(|(closed, _)| closed == number)?;
            Some(at.saturating_duration_since(*gone))
        });
        let asked = asked.lock().unwrap();
        report(name, &Times::new(times), asked.len().saturating_sub(CLIENTS), goals);
    }
}

/// Asks, waits for a while, and leaves; says when.
async fn visit(to: std::net::SocketAddr, number: usize, stream: bool) -> (usize, Instant) {
    sleep(APART * u32::try_from(number).unwrap()).await;
    let mut connection = TcpStream::connect(to).await.unwrap();
    tokio::io::AsyncWriteExt::write_all(&mut connection, &ask("general", number, stream)).await.unwrap();
    if stream {
        let mut text = Vec::new();
        while !text.windows(6).any(|window| window == b"data: ") {
            let read = connection.read_buf(&mut text).await.unwrap();
            assert!(read > 0, "a stream ended: {}", String::from_utf8_lossy(&text));
        }
    }
    sleep(Duration::from_millis(200) + some_time(number, 500)).await;
    let gone = Instant::now();
    drop(connection);
    (number, gone)
}

/// Never answers, or streams for ever; notes when the other side closes.
async fn treat(mut connection: Connection, asked: Sightings, closed: Sightings) {
    while let Ok(Some(request)) = connection.read().await {
        let number = request.number();
        asked.lock().unwrap().push((number, Instant::now()));
        if request.wants_stream() {
            speak(&mut connection).await;
        } else {
            connection.until_closed().await;
        }
        closed.lock().unwrap().push((number, Instant::now()));
    }
}

/// Streams until the other side has closed.
async fn speak(connection: &mut Connection) {
    let head = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n";
    let event = concat!(
        r#"data: {"id":"chatcmpl-1","object":"chat.completion.chunk","created":1767225600,"model":"upstream","#,
        r#""choices":[{"index":0,"delta":{"role":"assistant","content":"word "},"finish_reason":null}]}"#,
        "\n\n"
    );
    let chunk = format!("{:x}\r\n{event}\r\n", event.len());
    let (mut from, mut into) = connection.stream.split();
    let write = async {
        let mut ticks = interval(PACE);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        if tokio::io::AsyncWriteExt::write_all(&mut into, head.as_bytes()).await.is_err() {
            return;
        }
        loop {
            ticks.tick().await;
            if tokio::io::AsyncWriteExt::write_all(&mut into, chunk.as_bytes()).await.is_err() {
                return;
            }
        }
    };
    let mut byte = [0];
    tokio::select! {
        () = write => {}
        _ = from.read(&mut byte) => {}
    }
}
