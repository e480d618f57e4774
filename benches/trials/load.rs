//! Requests that come by the clock, whatever becomes of those before them.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::{sleep_until, timeout};

use crate::http::{Connection, ask};

/// What became of one request.
#[derive(Clone, Copy)]
pub struct Sample {
    pub sent: Instant,
    pub took: Duration,
    /// 0 is no answer at all.
    pub status: u16,
}

/// Longer than any request here may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// Sends so many requests a second for so long, on kept connections as far as there are idle ones.
pub async fn by_the_clock(to: SocketAddr, per_second: u32, length: Duration) -> Vec<Sample> {
    by_the_clock_of(to, per_second, length, |number| ask("general", number, false)).await
}

/// The same with requests of one's own, by their number.
pub async fn by_the_clock_of(
    to: SocketAddr,
    per_second: u32,
    length: Duration,
    request: impl Fn(usize) -> Vec<u8>,
) -> Vec<Sample> {
    let idle = Arc::<Mutex<Vec<Connection>>>::default();
    let step = Duration::from_secs(1) / per_second;
    let start = Instant::now() + step;
    let mut asked = JoinSet::new();
    let mut samples = Vec::new();
    for number in 0.. {
        let planned = start + step * number;
        if planned >= start + length {
            break;
        }
        // The timer's millisecond is nobody's fault, but being late is ours to count.
        let mut sent = planned;
        if Instant::now() < planned {
            sleep_until(planned.into()).await;
            sent = Instant::now();
        }
        let (idle, request) = (Arc::clone(&idle), request(number as usize));
        asked.spawn(async move {
            let status = timeout(PATIENCE, once(to, &request, &idle)).await;
            Sample { sent, took: sent.elapsed(), status: status.ok().and_then(Result::ok).unwrap_or(0) }
        });
        while let Some(done) = asked.try_join_next() {
            samples.push(done.unwrap());
        }
    }
    samples.extend(asked.join_all().await);
    samples
}

async fn once(to: SocketAddr, request: &[u8], idle: &Mutex<Vec<Connection>>) -> std::io::Result<u16> {
    let kept = {
        let mut idle = idle.lock().unwrap();
        std::iter::from_fn(|| idle.pop()).find(|connection| !connection.is_spent())
    };
    let mut connection = match kept {
        Some(connection) => connection,
        None => Connection::new(TcpStream::connect(to).await?),
    };
    connection.write(request).await?;
    let answer = connection.read().await?.ok_or(std::io::ErrorKind::UnexpectedEof)?;
    if !answer.is_last() {
        idle.lock().unwrap().push(connection);
    }
    Ok(answer.status())
}

/// How often each status came: `200: 600, 502: 3`.
pub fn histogram(samples: &[Sample]) -> String {
    let mut counts = BTreeMap::<u16, usize>::new();
    for sample in samples {
        *counts.entry(sample.status).or_default() += 1;
    }
    let each: Vec<String> = counts.iter().map(|(status, count)| format!("{status}: {count}")).collect();
    each.join(", ")
}
