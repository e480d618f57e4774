//! Whose words come over shared connections: TN-05 to TN-10.

use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Mutex;
use std::time::Duration;

use super::{A, B, content, echo, pool, shared};
use crate::faults::parts::{Mode, h2_answer, h2_start};
use crate::guard::nonces::Outcome;
use crate::guard::nonces::crowd::Seen;
use crate::guard::{Case, row, told};
use crate::kit::answers::json_answer;
use crate::kit::client::{ask, ask_stream, chat_request, request};
use crate::kit::h2_upstream::{H2Step, H2Upstream};
use crate::kit::upstream::Upstream;

pub fn cases(crowd: &Rc<Outcome>) -> Vec<Case> {
    let of = |id, what, seen: fn(&Outcome) -> String| {
        let crowd = Rc::clone(crowd);
        row(id, what, "0 foreign, 0 crossed, 0 broken, 0 lost", move || {
            let Outcome { requests, seen: found, crossed, .. } = &*crowd;
            let (foreign, broken) = (found.foreign.len(), found.broken.len());
            let lost = requests.abs_diff(found.all());
            let wrong: Vec<_> = found.foreign.iter().chain(&found.broken).take(5).cloned().collect();
            let aside = format!("{} {}", seen(&crowd), wrong.join("; "));
            format!(
                "{foreign} foreign, {crossed} crossed, {broken} broken, {lost} lost | {}",
                aside.trim_end()
            )
        })
    };
    vec![
        of("TN-05", "a nonce each, three in ten leave at any byte", |crowd| {
            let Seen { left, own, mixed, .. } = &crowd.seen;
            let within = mixed.len();
            format!("{} requests, {left} left, {own} with their own nonce, {within} mixed up within a tenant", crowd.requests)})
        .note("NONCES=1000000, or `cargo bench --bench trials -- nonce`, for a million"),
        of("TN-06", "the same with faults of backends", |crowd| {
            format!("{:?}, {} streams told of an error", crowd.seen.statuses, crowd.seen.told)
        }),
        of("TN-07", "the same with a reload each second", |crowd| format!("{} reloads", crowd.reloads)),
        row("TN-08", "a backend that is one answer behind", "a: model-a; b: 10 of 10 model-b; 0 foreign", {
            let crowd = Rc::clone(crowd);
            move || {
                // The first answer of a connection comes again for every later request: what a second answer to
                // one request looks like to whoever asks next.
                let firsts = Mutex::new(HashMap::<usize, String>::new());
                let upstream = Upstream::start(move |seen| {
                    let name = seen.json()["model"].as_str().unwrap_or_default().to_owned();
                    let mut firsts = firsts.lock().expect("no script panics");
                    json_answer(firsts.entry(seen.connection).or_insert(name))
                });
                let daemon = shared("", &pool("main", &upstream), "");
                let a = content(&daemon, A);
                let good = (0..10).filter(|_| content(&daemon, A) == "model-a" && content(&daemon, B) == "model-b");
                format!("a: {a}; b: {} of 10 model-b; {} foreign", good.count(), crowd.seen.foreign.len())
            }
        })
        .note("a kept HTTP/1.1 connection serves one tenant; of the crowd's requests three in a hundred are answered twice"),
        row(
            "TN-09",
            "what is left of A's body is not read for B",
            "401 invalid_api_key, then 200 model-b, then nothing",
            || {
                let upstream = echo();
                let daemon = shared("", &pool("main", &upstream), "");
                let mut client = daemon.client();
                // A front proxy may send both over one connection.
                let inner =
                    format!("GET /v1/models HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {A}\r\n\r\n");
                let bearer = ("Authorization", "Bearer bn-nobody");
                client.send(&request("POST", "/v1/chat/completions", &[bearer], inner.as_bytes()));
                let first = told(&client.read());
                let second = client.chat_as(B, &ask("general"));
                let content = second.json()["choices"][0]["message"]["content"].clone();
                let rest = if client.nothing_yet() { "nothing" } else { "more" };
                format!(
                    "{first}, then {} {}, then {rest}",
                    second.status,
                    content.as_str().unwrap_or_default()
                )
            },
        ),
        row("TN-10", "one HTTP/2 connection to a backend; A does not read", "20 of 20 of B", || {
            let upstream = H2Upstream::start(|seen| {
                if seen.json()["messages"][0]["content"] != "flood" {
                    return h2_answer(if seen.wants_stream() { Mode::Stream } else { Mode::Whole }, "calm");
                }
                let mut steps = h2_start(Mode::Stream, "flood");
                steps.push(H2Step::Repeat(crate::faults::parts::delta(&"x".repeat(1000)).into(), 20_000));
                steps.push(H2Step::End);
                steps
            });
            let daemon = shared("", &format!("main: {{ backends: [ {} ] }}", upstream.backend()), "");
            let stuck: Vec<_> = (0..4)
                .map(|_| {
                    let mut client = daemon.client();
                    client.narrow();
                    client.send(&chat_request(A, &ask_stream("general").replace("Hello", "flood")));
                    client
                })
                .collect();
            std::thread::sleep(Duration::from_millis(300));
            let good = (0..20).filter(|_| content(&daemon, B) == "calm").count();
            drop(stuck);
            format!("{good} of 20 of B | {} connections", upstream.connections())
        }),
    ]
}
