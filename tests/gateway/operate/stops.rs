//! How a daemon leaves: RL-19 to RL-22.

use std::time::{Duration, Instant};

use super::daemons::Site;
use super::reloads::{Field, finish, open, serving};
use super::upgrades::answers;
use crate::kit::KEY;
use crate::kit::client::{Client, ask, chat_request};
use crate::kit::table::Table;

pub fn cases(table: &mut Table) {
    table.case("RL-19", "TERM with streams shorter and longer than `drain`", || {
        let (short, long) = (Field::new(20, 50), Field::new(400, 50));
        let site = Site::new();
        let text = site.generation(0, &short.farm.url(), "  drain: 4s\n");
        let two = text
            .replace(
                "tenants:",
                &format!("  long:\n    backends: [ {{ url: \"{}\" }} ]\ntenants:", long.farm.url()),
            )
            .replace("models:\n", "models:\n      long: { routes: [ { pool: long, model: gen-1 } ] }\n");
        site.write(&two);
        let mut process = site.start(&[]);
        let (ends, cut) = (open(&site, "general"), open(&site, "long"));
        let mut kept = Client::connect(site.listen);
        assert_eq!(kept.chat(&ask("general")).status, 200);
        process.signal("TERM");
        process.wait_for("TERM: stopping");
        let since = Instant::now();
        // One that was on its way already.
        kept.send(&chat_request(KEY, &ask("general")));
        let refused = kept.read();
        assert_eq!(
            (refused.status, refused.header("connection")),
            (503, Some("close")),
            "{}",
            refused.text()
        );
        assert_eq!(site.admin_page("/readyz"), (503, "not ready: stopping\n".to_owned()));
        assert!(finish(ends) >= 15);
        let last = words(cut);
        assert!(last.contains("\"error\""), "{last}");
        assert_eq!(process.wait(Duration::from_secs(10)).code(), Some(0));
        let took = since.elapsed();
        assert!(took > Duration::from_millis(3500), "{took:?}");
        format!(
            "503 and close, one ends whole, one with an error event; exit 0 after {:.1} s",
            took.as_secs_f64()
        )
    });
    table.case("RL-20", "TERM when idle, alone and with a kept connection", || {
        let field = Field::new(1, 1);
        let times = [false, true].map(|kept| {
            let (site, mut process) = serving(&field, "");
            let mut client = Client::connect(site.listen);
            if kept {
                assert_eq!(client.chat(&ask("general")).status, 200);
            }
            let since = Instant::now();
            process.signal("TERM");
            assert_eq!(process.wait(Duration::from_secs(5)).code(), Some(0));
            format!("{} ms", since.elapsed().as_millis())
        });
        format!("exit 0 after {}", times.join(" and "))
    });
    table.case("RL-21", "a second TERM, and INT", || {
        let field = Field::new(400, 50);
        let mut times = Vec::new();
        for (first, second) in [("TERM", "TERM"), ("TERM", "INT"), ("INT", "")] {
            let (site, mut process) = serving(&field, "");
            let _stream = open(&site, "general");
            process.signal(first);
            let since = Instant::now();
            if !second.is_empty() {
                process.wait_for("TERM: stopping");
                std::thread::sleep(Duration::from_millis(100));
                assert!(process.runs());
                process.signal(second);
            }
            assert_eq!(process.wait(Duration::from_secs(5)).code(), Some(0));
            times.push(format!("{first} {second} {} ms", since.elapsed().as_millis()));
        }
        times.join(", ")
    });
    table.case("RL-22", "KILL with 200 streams, and a start", || {
        let field = Field::new(200, 50);
        let (site, mut process) = serving(&field, "");
        let streams: Vec<_> = (0..200).map(|_| open(&site, "general")).collect();
        process.signal("KILL");
        process.wait(Duration::from_secs(5));
        let since = Instant::now();
        let _next = site.start(&[]);
        let took = since.elapsed();
        answers(&site);
        drop(streams);
        assert!(took < Duration::from_secs(2), "{took:?}");
        format!("serves after {} ms; no stale socket is in the way", took.as_millis())
    });
}

/// The last event of a stream, which must end cleanly.
fn words(mut client: Client) -> String {
    let mut last = String::new();
    while let Some(event) = client.event() {
        last = event;
    }
    last
}

/// A stream that is silent when the time to drain is over is told so as well.
#[test]
fn a_silent_stream_gets_its_error_event_too() {
    let field = Field::new(2, 30_000);
    let (site, mut process) = serving(&field, "  drain: 1500ms\n");
    let stream = open(&site, "general");
    std::thread::sleep(Duration::from_millis(300));
    process.signal("TERM");
    let since = Instant::now();
    let last = words(stream);
    assert!(last.contains("\"error\"") && last.contains("upstream_unavailable"), "{last}");
    assert_eq!(process.wait(Duration::from_secs(5)).code(), Some(0));
    assert!(since.elapsed() < Duration::from_secs(4), "{:?}", since.elapsed());
}

/// One that has sent nothing yet is refused as any other that comes now.
#[test]
fn a_request_that_waits_for_its_backend_is_told_503() {
    let upstream = crate::kit::upstream::Upstream::always(vec![crate::kit::script::Step::Stall]);
    let site = Site::new();
    site.write(&site.generation(0, &upstream.url(), "  drain: 1s\n"));
    let mut process = site.start(&[]);
    let mut client = Client::connect(site.listen);
    client.send(&chat_request(KEY, &ask("general")));
    upstream.wait_requests(1);
    process.signal("TERM");
    let answer = client.read();
    assert_eq!((answer.status, answer.header("connection")), (503, Some("close")), "{}", answer.text());
    assert!(answer.text().contains("service_unavailable"));
    assert_eq!(process.wait(Duration::from_secs(5)).code(), Some(0));
}

/// A body that is still coming when the time to drain is over is told so.
#[test]
fn a_body_that_never_ends_is_told_503_when_the_time_is_over() {
    let field = Field::new(1, 1);
    let (site, mut process) = serving(&field, "  drain: 1s\n");
    let request = chat_request(KEY, &ask("general"));
    let mut client = Client::connect(site.listen);
    client.send(&request[..request.len() - 10]);
    std::thread::sleep(Duration::from_millis(200));
    process.signal("TERM");
    let answer = client.read();
    assert_eq!((answer.status, answer.header("connection")), (503, Some("close")), "{}", answer.text());
    assert_eq!(process.wait(Duration::from_secs(6)).code(), Some(0));
}
