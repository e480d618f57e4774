//! Clients that wait: for a window that they never open, with a body that they never send, and with streams that
//! run when the gateway is to stop.

use std::thread;
use std::time::{Duration, Instant};

use super::asks::{CHAT, MODELS, body};
use super::frames::{self, flag, set};
use super::scene::Scene;
use super::table::Case;
use super::wire::{Raw, request};
use crate::kit::DEADLINE;
use crate::kit::client::{ask, ask_stream};
use crate::kit::upstream::Upstream;

/// A stream that cannot be written to is ended after `write_timeout` twice: once for the event, and once for the last
/// words. It counts as ended in time by then, which only a machine that hangs can miss; all deadlines of these cases
/// that could be taken for it are longer.
const ENDED: Duration = Duration::from_secs(8);
/// What the answers of 100 streams need, KiB, when each has 300 KB: as they come, and as they go.
const ANSWERS: u64 = 128 * 1024;

pub fn cases() -> Vec<Case> {
    vec![
        Case::new(
            "H2-21",
            "a stream of events whose window is never opened (write_timeout 1s)",
            "200, reset CANCEL in time; its backend left in time; open",
            |scene| {
                let mut raw = scene.open_with(&[(set::INITIAL_WINDOW_SIZE, 0)]);
                let id = raw.ask(&CHAT, &body(&ask_stream("endless")));
                let reset = reset_in_time(&raw, id);
                format!("{reset}; {}; {}", left_in_time(&scene.endless), raw.fate())
            },
        )
        .with(|gateway| gateway.server("write_timeout", "1s")),
        Case::new(
            "H2-21",
            "20 streams of events on a socket that is not read (write_timeout 1s)",
            "20 backends asked; 20 left",
            |scene| {
                let mut raw = scene.deaf(&[(set::INITIAL_WINDOW_SIZE, frames::MAX_WINDOW)]);
                for _ in 0..20 {
                    raw.ask(&CHAT, &body(&ask_stream("endless")));
                }
                let asked = scene.endless.wait_requests(20).len();
                // For as long as the kernel takes something, however little, the client is not late.
                let left = (0..asked).filter(|n| scene.endless.wait_closed(*n, DEADLINE)).count();
                format!("{asked} backends asked; {left} left")
            },
        )
        .growth(16 * 1024)
        .with(|gateway| gateway.server("write_timeout", "1s")),
        Case::new(
            "H2-21",
            "100 answers of 300 KB on a socket that is read when it is too late (write_timeout 2s)",
            "none left, none whole",
            |scene| {
                let mut raw = scene.deaf(&[(set::INITIAL_WINDOW_SIZE, frames::MAX_WINDOW)]);
                let streams: Vec<u32> = (0..100).map(|_| raw.next()).collect();
                // All at once: the first answers are late when `write_timeout` is over, whoever is still to ask.
                let asks: Vec<u8> =
                    streams.iter().flat_map(|id| request(*id, &CHAT, &body(&ask("large")))).collect();
                let _ = raw.send(&asks);
                scene.large.wait_requests(100);
                // When all have been given up; a busy machine needs long for a hundred.
                let left = scene.quiet("byname_in_flight");
                raw.listen();
                // Whatever the gateway still has comes before its last word.
                raw.fate();
                let whole = streams.iter().filter(|id| raw.answer(**id) == "200").count();
                // What the kernel had taken arrives; the rest was let go.
                format!("{left}, {} whole", if whole <= 12 { "none".to_owned() } else { whole.to_string() })
            },
        )
        .growth(ANSWERS)
        .with(|gateway| gateway.server("write_timeout", "2s")),
        Case::new(
            "H2-22",
            "a window that is opened by 1 byte ten times a second (write_timeout 1s)",
            "200, reset CANCEL in time; its backend left in time; open",
            |scene| {
                let mut raw = scene.open_with(&[(set::INITIAL_WINDOW_SIZE, 0)]);
                let id = raw.ask(&CHAT, &body(&ask_stream("endless")));
                let since = Instant::now();
                while since.elapsed() < ENDED && !over(&raw, id) {
                    let _ = raw.send(&frames::window_update(id, 1));
                    thread::sleep(Duration::from_millis(100));
                }
                format!("{}; {}; {}", reset_in_time(&raw, id), left_in_time(&scene.endless), raw.fate())
            },
        )
        .with(|gateway| gateway.server("write_timeout", "1s")),
        Case::new(
            "H2-31",
            "HEADERS and no body (body_timeout 1s), 100 streams",
            "100 times 408 request_timeout; no backend asked; open",
            |scene| {
                let mut raw = scene.open();
                let streams: Vec<u32> = (0..100).map(|_| begun(&mut raw)).collect();
                let words = streams.iter().filter(|id| raw.answer(**id) == "408 request_timeout").count();
                let asked = scene.silent.requests().len();
                let asked = if asked == 0 { "no".to_owned() } else { asked.to_string() };
                format!("{words} times 408 request_timeout; {asked} backend asked; {}", raw.fate())
            },
        )
        .growth(16 * 1024)
        .with(|gateway| gateway.body_timeout("1s")),
        Case::new(
            "H2-31",
            "a body of 1 byte ten times a second (body_timeout 1s)",
            "408 request_timeout; open",
            |scene| {
                let mut raw = scene.open();
                let id = begun(&mut raw);
                let since = Instant::now();
                while since.elapsed() < ENDED && !over(&raw, id) {
                    let _ = raw.send(&frames::data(id, b" "));
                    thread::sleep(Duration::from_millis(100));
                }
                format!("{}; {}", raw.answer(id), raw.fate())
            },
        )
        .with(|gateway| gateway.body_timeout("1s")),
        Case::new(
            "H2-33",
            "20 streams run when the gateway is told to stop",
            "GOAWAY for streams to come; another stream 503 service_unavailable; 20 of 20 answered 200; \
             GOAWAY NO_ERROR with the last stream, and closed; exit 0",
            drained,
        )
        .ends(),
    ]
}

/// A request whose body is still to come.
fn begun(raw: &mut Raw) -> u32 {
    let id = raw.next();
    let _ = raw.send(&frames::headers(id, flag::NONE, &frames::block(&CHAT)));
    id
}

fn over(raw: &Raw, id: u32) -> bool {
    raw.wait(Duration::ZERO, |heard| heard.streams.get(&id).is_some_and(|told| told.reset.is_some()))
}

fn reset_in_time(raw: &Raw, id: u32) -> String {
    let reset = |heard: &super::heard::Heard| heard.streams.get(&id).is_some_and(|told| told.reset.is_some());
    let in_time = raw.wait(ENDED, reset);
    format!("{} {}", raw.answer(id), if in_time { "in time" } else { "too late" })
}

fn left_in_time(upstream: &Upstream) -> &'static str {
    if upstream.wait_closed(0, ENDED) { "its backend left in time" } else { "its backend not left" }
}

fn drained(scene: &mut Scene) -> String {
    let mut raw = scene.open();
    let streams: Vec<u32> = (0..20).map(|_| raw.ask(&CHAT, &body(&ask_stream("held")))).collect();
    scene.held.wait_requests(20);
    scene.daemon.terminate();
    let announced = raw.wait(DEADLINE, |heard| {
        heard.goaways.first().is_some_and(|(last, code, _)| (*last, *code) == (frames::MAX_WINDOW, 0))
    });
    let announced = if announced { "GOAWAY for streams to come" } else { "no GOAWAY" };
    // Sent before the announcement was read, as it were (RFC 9113, 6.8).
    let late = raw.ask(&MODELS, b"");
    let late = raw.answer(late);
    scene.held.open("go");
    let good = streams.iter().filter(|id| raw.answer(**id) == "200").count();
    // As from afar: the last GOAWAY is due when the gateway knows that the first has been read.
    thread::sleep(Duration::from_millis(100));
    for ping in raw.heard().pings {
        let _ = raw.send(&frames::pong(ping));
    }
    raw.wait(DEADLINE, |heard| heard.end.is_some());
    let heard = raw.heard();
    let last = match heard.goaways.last() {
        Some((last, 0, _)) if *last < frames::MAX_WINDOW => "GOAWAY NO_ERROR with the last stream",
        Some(_) | None => "no last GOAWAY",
    };
    let closed = if heard.end.is_some() { "closed" } else { "open" };
    let exit = scene.daemon.wait().code().map_or_else(|| "by a signal".to_owned(), |code| code.to_string());
    format!(
        "{announced}; another stream {late}; {good} of 20 answered 200; {last}, and {closed}; exit {exit}"
    )
}
