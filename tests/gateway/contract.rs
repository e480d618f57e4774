//! The API document as cases: each `NAME.request` under `tests/contract` is played as it stands, and the answer
//! must be `NAME.response`: status, headers and body, and no header that is not written there.
//!
//! The folder of a case says what stands behind the aliases: `answering` a model that answers, `failing` one that
//! never does. Times and ids are written `<uuid>`, `<created>` and `<date>` once they have the right shape.

use std::fs;
use std::path::{Path, PathBuf};

use crate::kit::answers::{error_answer, json_answer, sse_answer};
use crate::kit::client::{Response, ask_stream, chat_request};
use crate::kit::config::Gateway;
use crate::kit::daemon::Daemon;
use crate::kit::process::soon;
use crate::kit::script::Step;
use crate::kit::upstream::Upstream;
use crate::kit::{DEADLINE, KEY, golden};

mod volatile;

#[test]
fn every_case_is_answered_as_written_when_the_model_answers() {
    let upstream = answering();
    let daemon = Gateway::new()
        .backend(&upstream)
        .alias("team/日本語 α", &[("main", "upstream-large-2026-01")])
        .body_timeout("1s")
        .start();
    play(&daemon, "answering");
}

#[test]
fn every_case_is_answered_as_written_when_the_model_fails() {
    let upstream = Upstream::start(|_| error_answer(500));
    let daemon = Gateway::new().backend(&upstream).start();
    play(&daemon, "failing");
}

#[test]
fn a_request_that_comes_while_the_gateway_drains_is_answered_503() {
    let upstream = Upstream::always(vec![Step::Stall]);
    let mut daemon = Gateway::new().backend(&upstream).drain("30s").start();
    let mut busy = daemon.client();
    busy.send(&chat_request(KEY, &ask_stream("general")));
    upstream.wait_requests(1);
    let late_request = request_bytes(&folder("draining").join("late.request"));
    let (first, rest) = late_request.split_at(30);
    let mut late = daemon.client();
    late.send(first);
    // Accepted: what still waits to be when the listener is closed is reset.
    assert!(soon(DEADLINE, || daemon.metric_sum("byname_connections", &[]) == 2.0));
    daemon.terminate();
    daemon.wait_unready();
    late.send(rest);
    golden::compare(&folder("draining").join("late.response"), &written(&late.read()));
    assert!(late.is_closed());
    daemon.signal("INT");
    daemon.wait();
}

/// A model that says what the API document's example says, whole or streamed.
fn answering() -> Upstream {
    Upstream::start(|seen| {
        if seen.wants_stream() {
            sse_answer(&["要点は", "次の3つ", "です。…"])
        } else {
            json_answer("要点は次の3つです。…")
        }
    })
}

fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/contract").join(name)
}

fn play(daemon: &Daemon, name: &str) {
    let mut cases: Vec<PathBuf> = fs::read_dir(folder(name))
        .expect("the folder of cases")
        .map(|entry| entry.expect("an entry of the folder").path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "request"))
        .collect();
    cases.sort();
    assert!(!cases.is_empty(), "no cases in {name}");
    let faults: Vec<String> = cases.iter().filter_map(|case| fault_of(daemon, case)).collect();
    assert!(faults.is_empty(), "{} of {} cases differ\n{}", faults.len(), cases.len(), faults.join("\n"));
}

/// Plays one case. All are played even when one differs, so that a change shows as a whole.
fn fault_of(daemon: &Daemon, case: &Path) -> Option<String> {
    let mut client = daemon.client();
    let request = request_bytes(case);
    client.send(&request);
    let answer =
        if request.starts_with(b"HEAD ") { Ok(client.read_without_body()) } else { client.try_read() };
    let said = match answer {
        Ok(answer) => written(&answer),
        Err(e) => format!("no answer: {e}\n"),
    };
    golden::difference(&case.with_extension("response"), &said)
}

/// A request file as bytes: line breaks of its head as HTTP has them, `<NAME*COUNT>` spelt out, the length filled in.
fn request_bytes(case: &Path) -> Vec<u8> {
    let text = fs::read_to_string(case).unwrap_or_else(|e| panic!("cannot read {}: {e}", case.display()));
    let (head, body) = text.split_once("\n\n").unwrap_or((&text, ""));
    let body = body.strip_suffix('\n').unwrap_or(body);
    let mut head = filled(head.trim_end()).replace('\n', "\r\n");
    if !body.is_empty() && !head.to_ascii_lowercase().contains("content-length:") {
        head.push_str(&format!("\r\nContent-Length: {}", body.len()));
    }
    format!("{head}\r\n\r\n{body}").into_bytes()
}

/// Replaces `<x*40000>` by 40000 times `x`.
fn filled(head: &str) -> String {
    let spelt_out = || {
        let (before, rest) = head.split_once('<')?;
        let (what, after) = rest.split_once('>')?;
        let (letter, count) = what.split_once('*')?;
        Some(format!("{before}{}{after}", letter.repeat(count.parse().ok()?)))
    };
    spelt_out().unwrap_or_else(|| head.to_owned())
}

/// A response as its file writes it: status, headers by name, and the body.
fn written(answer: &Response) -> String {
    let mut headers: Vec<String> = answer
        .head
        .headers
        .iter()
        .map(|(name, value)| volatile::header(name, value, answer.body.len()))
        .collect();
    headers.sort();
    format!("{}\n{}\n\n{}\n", answer.status, headers.join("\n"), volatile::body(&answer.text()))
}
