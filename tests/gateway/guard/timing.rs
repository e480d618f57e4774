//! What a clock could tell: two ways timed in turn, over one connection, and whether their means differ.

use std::net::SocketAddr;
use std::time::Instant;

use crate::kit::client::Client;

/// Of the samples of each way, the slowest part is left out: it is the machine's.
const KEPT: f64 = 0.9;

/// Welch's t of two ways of asking, and of one of them with itself, which tells what the machine adds. With nothing
/// added, a t beyond 2.6 would come by chance once in a hundred times.
pub fn compare(to: SocketAddr, one: &[u8], other: &[u8]) -> String {
    let (t, means, samples) = welch(to, one, other);
    let (own, _, _) = welch(to, one, one);
    format!("timed | Welch's t {t:.2}, with itself {own:.2}; {samples} samples each, means {means}")
}

fn welch(to: SocketAddr, one: &[u8], other: &[u8]) -> (f64, String, usize) {
    let samples = std::env::var("SAMPLES").ok().and_then(|number| number.parse().ok()).unwrap_or(2000_usize);
    let mut client = Client::connect(to);
    let mut times = [Vec::new(), Vec::new()];
    // Which goes first changes, so that neither always has the other's warmth.
    for round in 0..samples + 50 {
        let order = if round % 2 == 0 { [0, 1] } else { [1, 0] };
        for way in order {
            let began = Instant::now();
            client.send(if way == 0 { one } else { other });
            client.read();
            if round >= 50 {
                times[way].push(began.elapsed().as_secs_f64() * 1e6);
            }
        }
    }
    let [(first, spread, n), (second, other_spread, m)] = times.map(summary);
    let t = (first - second) / (spread / n + other_spread / m).sqrt();
    (t, format!("{first:.1} and {second:.1} us"), samples)
}

/// Mean, variance and number of the quicker part.
fn summary(mut times: Vec<f64>) -> (f64, f64, f64) {
    times.sort_unstable_by(f64::total_cmp);
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a part of a length")]
    times.truncate((times.len() as f64 * KEPT) as usize);
    let n = times.len() as f64;
    let mean = times.iter().sum::<f64>() / n;
    let variance = times.iter().map(|time| (time - mean).powi(2)).sum::<f64>() / (n - 1.0);
    (mean, variance, n)
}
