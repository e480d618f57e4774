//! They leave while no backend works for them: during the wait before the second attempt, or while its
//! backend is being connected to. No backend can see that; the end of a request is what its line in the
//! access log says.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use tokio::net::TcpStream;
use tokio::runtime::Handle;
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio::time::sleep;

use super::{CLIENTS, Sightings, report, some_time};
use crate::gateway::{Gateway, backends};
use crate::goals::{Goals, Times};
use crate::http::{Connection, ask, completion, failure};
use crate::upstream::{self, Unreachable};

/// Between two clients' arrivals. All of them come before the first connecting attempt is given up, because
/// a few of those open the breaker.
const APART: Duration = Duration::from_millis(5);
/// An attempt that begins so soon after its client has left may not have known of it.
const NEWS: Duration = Duration::from_millis(5);

/// When a client left.
struct Left {
    number: usize,
    at: Instant,
    wall: SystemTime,
}

pub async fn run(upstreams: &Handle, goals: &mut Goals) {
    let unreachable = Unreachable::new();
    let connecting = Some(unreachable.address);
    for (name, second) in [("between attempts", None), ("while the second connects", connecting)] {
        let refused: Arc<Vec<Notify>> = Arc::new((0..CLIENTS).map(|_| Notify::new()).collect());
        let told = Arc::clone(&refused);
        let first = upstream::start(upstreams, move |connection| refuse(connection, Arc::clone(&told)));
        let seen = Sightings::default();
        let noting = Arc::clone(&seen);
        let last = upstream::start(upstreams, move |connection| serve(connection, Arc::clone(&noting)));
        let gateway = Gateway::start(&pools(first, second, last), &aliases(second.is_some()));
        let mut clients = JoinSet::new();
        for number in 0..CLIENTS {
            // During the wait means at once; it is 25 ms at most.
            let stay = if second.is_some() {
                Duration::from_millis(50) + some_time(number, 100)
            } else {
                Duration::ZERO
            };
            clients.spawn(visit(gateway.address, number, Arc::clone(&refused), stay));
        }
        let left = clients.join_all().await;
        sleep(Duration::from_secs(4)).await;
        let log = gateway.log();
        drop(gateway);

        let seen = seen.lock().unwrap();
        let later = |of: &&(usize, Instant)| {
            left.iter().any(|client| client.number == of.0 && of.1 > client.at + NEWS)
        };
        let later = seen.iter().filter(later).count();
        let times = left.iter().filter_map(|client| ended(&log, client));
        report(name, &Times::new(times), later, goals);
        let early = log.iter().filter(|line| line.contains(r#""attempts":1,"#)).count();
        println!("| … too early, with the first attempt | {early} | | | | |");
        println!("| … asked on within {} ms | {} | | | | |", NEWS.as_millis(), seen.len() - later);
    }
}

fn pools(first: SocketAddr, second: Option<SocketAddr>, last: SocketAddr) -> String {
    let pool = |address| format!("{{ retry: {{ budget: 100% }}, backends: {} }}", backends(&[address]));
    let second = second.map(|second| format!("second: {}, ", pool(second))).unwrap_or_default();
    format!("{{ first: {}, {second}last: {} }}", pool(first), pool(last))
}

/// An alias for each client, so that its line in the log can be found.
fn aliases(with_second: bool) -> String {
    let second = if with_second { "{ pool: second, model: m }, " } else { "" };
    let routes = format!("[ {{ pool: first, model: m }}, {second}{{ pool: last, model: m }} ]");
    let each: Vec<String> = (0..CLIENTS).map(|n| format!("client{n}: {{ routes: {routes} }}")).collect();
    format!("{{ {} }}", each.join(", "))
}

/// Asks, and leaves so long after the first backend has refused.
async fn visit(to: SocketAddr, number: usize, refused: Arc<Vec<Notify>>, stay: Duration) -> Left {
    sleep(APART * u32::try_from(number).unwrap()).await;
    let mut connection = Connection::new(TcpStream::connect(to).await.unwrap());
    connection.write(&ask(&format!("client{number}"), number, false)).await.unwrap();
    refused[number].notified().await;
    if !stay.is_zero() {
        sleep(stay).await;
    }
    let left = Left { number, at: Instant::now(), wall: SystemTime::now() };
    drop(connection);
    left
}

/// Refuses everything in a way that says nothing of its health.
async fn refuse(mut connection: Connection, told: Arc<Vec<Notify>>) {
    while let Ok(Some(request)) = connection.read().await {
        if connection.write(&failure("501 Not Implemented")).await.is_err() {
            return;
        }
        told[request.number()].notify_one();
    }
}

async fn serve(mut connection: Connection, seen: Sightings) {
    while let Ok(Some(request)) = connection.read().await {
        seen.lock().unwrap().push((request.number(), Instant::now()));
        if connection.write(&completion()).await.is_err() {
            return;
        }
    }
}

/// How long after the client left its request ended: at most, because the log's times are whole milliseconds.
/// Nothing unless it ended as one whose client had left.
fn ended(log: &[String], client: &Left) -> Option<Duration> {
    let alias = format!(r#""alias":"client{}","#, client.number);
    let line = log.iter().find(|line| line.contains(&alias))?;
    let line: serde_json::Value = serde_json::from_str(line).ok()?;
    if line.get("status")?.as_u64()? != 499 {
        return None;
    }
    let arrived = humantime::parse_rfc3339(line.get("time")?.as_str()?).ok()?;
    let took = Duration::from_secs_f64(line.get("duration_ms")?.as_f64()? / 1e3);
    Some((arrived + took + Duration::from_millis(1)).duration_since(client.wall).unwrap_or_default())
}
