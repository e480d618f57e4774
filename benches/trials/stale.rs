//! A backend that closes kept connections at the worst moment: no client may notice, and nobody is answered
//! twice.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use socket2::SockRef;
use tokio::net::TcpStream;
use tokio::runtime::Handle;
use tokio::task::JoinSet;

use crate::Size;
use crate::gateway::{Gateway, ONE_ALIAS, backends};
use crate::goals::Goals;
use crate::http::{Connection, ask, completion};
use crate::upstream;

const CLIENTS: usize = 8;

/// How the backend is done with a connection.
#[derive(Clone, Copy, PartialEq)]
enum Farewell {
    /// Reads the second request and closes without a byte.
    AtReuse,
    /// The same with a reset.
    Reset,
    /// Closes right after its first answer, which races with the next request.
    AtOnce,
}

/// What the backend saw.
#[derive(Default)]
struct Seen {
    requests: AtomicUsize,
    /// How often each request was answered.
    answered: Mutex<HashMap<usize, usize>>,
}

pub async fn run(upstreams: &Handle, goals: &mut Goals, size: Size) {
    let requests = match size {
        Size::Full => 10_000,
        Size::Brief => 200,
    };
    println!(
        "\nstale: {requests} requests on {CLIENTS} client connections; the backend answers once a connection\n"
    );
    println!(
        "| it closes | client errors | read by the backend | answered | answered twice | stale connections | retries | attempts that failed otherwise | time |\n|---|---:|---:|---:|---:|---:|---:|---:|---:|"
    );
    let ways = [
        ("at the moment of reuse", Farewell::AtReuse),
        ("at the moment of reuse, by reset", Farewell::Reset),
        ("right after its answer", Farewell::AtOnce),
    ];
    for (name, farewell) in ways {
        let began = Instant::now();
        let seen = Arc::new(Seen::default());
        let shared = Arc::clone(&seen);
        let address =
            upstream::start(upstreams, move |connection| treat(connection, farewell, Arc::clone(&shared)));
        let gateway =
            Gateway::start(&format!("{{ main: {{ backends: {} }} }}", backends(&[address])), ONE_ALIAS);
        let errors = ask_all(gateway.address, requests).await;
        let count = |metric: &'static str| gateway.sum(metric, |_| true);
        let stale = count("byname_stale_connections_total").await;
        let retries = count("byname_retries_total").await;
        let otherwise = gateway
            .sum("byname_upstream_attempts_total", |labels| {
                !labels.contains(r#"outcome="ok""#) && !labels.contains("stale_connection")
            })
            .await;
        let answered = std::mem::take(&mut *seen.answered.lock().unwrap());
        let twice = answered.values().filter(|times| **times > 1).count();
        println!(
            "| {name} | {} | {} | {} | {twice} | {stale} | {retries} | {otherwise} | {:.1} s |",
            errors.len(),
            seen.requests.load(Relaxed),
            answered.values().sum::<usize>(),
            began.elapsed().as_secs_f64()
        );
        if let Some(first) = errors.first() {
            println!("\nthe first error: {first}\n");
        }
        goals.enter(format!("stale, {name}: no client error"), errors.len().to_string(), errors.is_empty());
        let exact = twice == 0 && answered.len() + errors.len() == requests;
        goals.enter(
            format!("stale, {name}: each request answered once"),
            format!("{} answered, {twice} twice", answered.len()),
            exact,
        );
        goals.enter(
            format!("stale, {name}: nothing else failed"),
            format!("{otherwise} attempts"),
            otherwise == 0.0,
        );
    }
}

async fn treat(mut connection: Connection, farewell: Farewell, seen: Arc<Seen>) {
    let Ok(Some(request)) = connection.read().await else { return };
    seen.requests.fetch_add(1, Relaxed);
    *seen.answered.lock().unwrap().entry(request.number()).or_default() += 1;
    if connection.write(&completion()).await.is_err() || farewell == Farewell::AtOnce {
        return;
    }
    if let Ok(Some(_)) = connection.read().await {
        seen.requests.fetch_add(1, Relaxed);
        if farewell == Farewell::Reset {
            SockRef::from(&connection.stream).set_linger(Some(Duration::ZERO)).unwrap();
        }
    }
}

/// Asks so many times on kept connections, each client one request after the other; says what went wrong.
async fn ask_all(to: SocketAddr, requests: usize) -> Vec<String> {
    let mut clients = JoinSet::new();
    for client in 0..CLIENTS {
        clients.spawn(async move {
            let mut errors = Vec::new();
            let mut kept = None;
            for number in (client..requests).step_by(CLIENTS) {
                let mut connection = match kept.take() {
                    Some(connection) => connection,
                    None => Connection::new(TcpStream::connect(to).await.unwrap()),
                };
                match once(&mut connection, number).await {
                    Ok(true) => kept = Some(connection),
                    Ok(false) => {}
                    Err(what) => errors.push(format!("request {number}: {what}")),
                }
            }
            errors
        });
    }
    clients.join_all().await.concat()
}

/// Asks once. Says whether the connection can be used again.
async fn once(connection: &mut Connection, number: usize) -> Result<bool, String> {
    connection.write(&ask("general", number, false)).await.map_err(|error| error.to_string())?;
    let answer = connection.read().await.map_err(|error| error.to_string())?;
    let answer = answer.ok_or("the connection was closed")?;
    match answer.status() {
        200 => Ok(!answer.is_last()),
        other => Err(format!("{other}: {}", answer.body)),
    }
}
