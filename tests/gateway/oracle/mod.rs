//! The leak oracle: words that nobody but an operator may read, in each of 64 places where a backing model or the
//! way to it can say them, in seven writings and four modes, and a search for them, in any writing, in everything
//! that comes out of the gateway. What a model says as its answer is not a place: it may say what it likes.
//!
//! The oracle is tried as well: a relay that passes everything on stands in the gateway's place, and must be
//! caught at every place. `ORACLE=17,58` looks at these places alone.

mod answer; // an answer with room for a word in every place
mod canary; // the words and their writings
mod gateway; // what is about the process: configurations, pages, logs, spans, files, its end
mod odd; // places that are in no answer
mod places; // places that are in an answer
mod relay; // what a gateway must not be
mod scene; // one gateway, its backends, and questions
mod search; // looking for the words

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Instant;

use self::canary::Writing;
use self::odd::{ODD, Odd};
use self::relay::{Ends, Target};
use self::scene::{Scene, Token, ask, ask_h2, tokens};
use self::search::{Hit, Reader, find};
use crate::kit::h2::H2Client;
use crate::kit::table::{Only, tell};

/// How many places there are.
const PLACES: usize = 64;
/// Writings times modes.
const EACH: usize = 28;
/// Clients at once.
const CLIENTS: usize = 8;
/// Of the places, those where the relay has nothing to pass on.
const NOT_RELAYED: [(usize, &str); 4] = [
    (55, "the relay asks no resolver; its text is written into a line of a log"),
    (61, "the relay has no configuration; the complaint is written into a line of a log"),
    (63, "the relay checks no health; the detail is written into a page of its state"),
    (64, "the relay has no crash; the report is written into a file"),
];

/// What became of a place.
#[derive(Debug, Default)]
struct Row {
    checks: usize,
    searched: usize,
    hits: Vec<(Token, Hit)>,
    unplanted: Vec<Token>,
    /// How often each status came.
    statuses: BTreeMap<String, usize>,
}

fn names() -> BTreeMap<usize, &'static str> {
    let mut all: BTreeMap<_, _> = places::places().iter().map(|place| (place.number, place.what)).collect();
    all.extend(ODD);
    all.extend([(61, "a configuration that is refused"), (64, "a crash")]);
    all
}

fn chosen() -> Vec<usize> {
    let only = Only::of("ORACLE");
    names().into_keys().filter(|place| only.has(&place.to_string())).collect()
}

/// What a place is asked with: a completion, or in turn the ways of asking for models.
fn question(token: Token) -> (&'static str, String, Vec<u8>) {
    if token.place != 62 {
        return ("POST", "/v1/chat/completions".to_owned(), token.body().into_bytes());
    }
    match token.mode {
        answer::Mode::Whole => ("GET", "/v1/models".to_owned(), Vec::new()),
        answer::Mode::Stream => ("HEAD", "/v1/models".to_owned(), Vec::new()),
        answer::Mode::Before => ("GET", format!("/v1/models/odd-62-{}", token.writing.number()), Vec::new()),
        answer::Mode::Middle => {
            ("GET", format!("/v1/models/{}", token.writing.write("nobody").replace(' ', "")), Vec::new())
        }
    }
}

/// Runs this for every token of the places, several at once.
fn run(
    places: &[usize],
    one: impl Fn(&mut Option<H2Client>, Token, &mut Row) + Sync,
) -> BTreeMap<usize, Row> {
    let all: Vec<Token> = places.iter().flat_map(|place| tokens(*place)).collect();
    let (next, rows) = (AtomicUsize::new(0), Mutex::new(BTreeMap::<usize, Row>::new()));
    thread::scope(|scope| {
        for _ in 0..CLIENTS {
            scope.spawn(|| {
                let mut client = None;
                while let Some(token) = all.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let mut row = Row::default();
                    one(&mut client, *token, &mut row);
                    rows.lock().expect("no thread panics").entry(token.place).or_default().add(row);
                }
            });
        }
    });
    rows.into_inner().expect("no thread panics")
}

impl Row {
    fn add(&mut self, other: Self) {
        self.checks += other.checks;
        self.searched += other.searched;
        self.hits.extend(other.hits);
        self.unplanted.extend(other.unplanted);
        other
            .statuses
            .into_iter()
            .for_each(|(status, count)| *self.statuses.entry(status).or_default() += count);
    }

    fn look(&mut self, token: Token, bytes: &[u8], reader: Reader) {
        self.searched += 1;
        self.hits.extend(find(bytes, reader).map(|hit| (token, hit)));
    }
}

fn status(answer: &[u8]) -> String {
    let head = String::from_utf8_lossy(&answer[..answer.len().min(12)]).into_owned();
    head.split(' ').nth(1).unwrap_or("none").to_owned()
}

#[test]
fn all_places_are_there() {
    assert_eq!(names().into_keys().collect::<Vec<_>>(), (1..=PLACES).collect::<Vec<_>>());
    assert_eq!(Writing::ALL.len() * answer::Mode::ALL.len(), EACH);
}

#[test]
fn nothing_leaks_at_any_place_in_any_writing_and_mode() {
    let began = Instant::now();
    gateway::allow_core_files();
    let mut scene = Scene::start();
    let places = chosen();
    let answered: Vec<usize> = places.iter().copied().filter(|place| ![61, 64].contains(place)).collect();
    let mut rows = run(&answered, |client, token, row| {
        row.checks = 1;
        let (method, path, body) = question(token);
        let kind = [("Content-Type", "application/json")];
        let kind = if body.is_empty() { &kind[..] } else { &[] };
        let answer = ask(scene.daemon.addr(), kind, method, &path, &body);
        *row.statuses.entry(status(&answer)).or_default() += 1;
        row.look(token, &answer, Reader::Client);
        let client = client.get_or_insert_with(|| H2Client::connect(scene.daemon.addr()));
        row.look(token, &ask_h2(client, method, &path, &body), Reader::Client);
        let is_odd = ODD.iter().any(|(place, _)| *place == token.place);
        if !is_odd && !scene.was_planted(token) {
            row.unplanted.push(token);
        }
    });
    if places.contains(&61) {
        rows.insert(61, gateway::refused_configurations(&scene));
    }
    let (surfaces, mut wrong) = gateway::surfaces(&scene);
    if places.contains(&64) {
        rows.insert(64, gateway::crash(&mut scene));
    }
    let mut text = format!("\n{:>2} {:<40} checks answers hits  seen\n", "", "place");
    for (place, row) in &rows {
        let seen: Vec<_> = row.statuses.iter().map(|(status, count)| format!("{status}: {count}")).collect();
        let _ = writeln!(
            text,
            "{place:>2} {:<40} {:>6} {:>7} {:>4}  {}",
            names()[place],
            row.checks,
            row.searched,
            row.hits.len(),
            seen.join(", ")
        );
    }
    text += &surfaces;
    let sum = |of: fn(&Row) -> usize| rows.values().map(of).sum::<usize>();
    print!("{text}");
    tell(&format!(
        "{} places x {} writings x {} modes: {} checks, {} answers searched, {} hits, {} not planted, in {:.1} s\n",
        rows.len(),
        Writing::ALL.len(),
        answer::Mode::ALL.len(),
        sum(|row| row.checks),
        sum(|row| row.searched),
        sum(|row| row.hits.len()),
        sum(|row| row.unplanted.len()),
        began.elapsed().as_secs_f64()
    ));
    for row in rows.values() {
        wrong.extend(row.hits.iter().map(|(token, hit)| format!("{token:?}: {hit:?}")));
        wrong.extend(row.unplanted.iter().map(|token| format!("{token:?} was never said")));
    }
    assert_eq!(sum(|row| row.checks), rows.len() * EACH);
    wrong.truncate(40);
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn a_relay_that_passes_everything_on_is_caught_at_every_place() {
    let scene = Scene::start();
    let main = Target { address: scene.main.addr(), url: scene.main.url(), ca: None, ends: Ends::Closing };
    let mut targets = std::collections::HashMap::from([("main".to_owned(), main)]);
    for Odd { place, writing, address, url, ca, .. } in &scene.odd {
        let at = writing.number();
        let ends = if *place == 57 { Ends::Silent } else { Ends::Closing };
        let target = Target { address: *address, url: url.clone(), ca: ca.clone(), ends };
        for kind in ["odd", "pair"] {
            targets.insert(format!("{kind}-{place}-{at}"), target.clone());
        }
    }
    targets.extend(tokens(40).map(|lone| (lone.alias(), targets["main"].clone())).collect::<Vec<_>>());
    let relay = relay::start(targets);
    let rows = run(&chosen(), |_, token, row| {
        row.checks = 1;
        if NOT_RELAYED.iter().any(|(place, _)| *place == token.place) {
            let text = token.writing.all();
            let line = format!(r#"{{"level":"warn","message":"backend a of pool b: {text}"}}"#);
            row.look(token, line.as_bytes(), Reader::Operator);
            return;
        }
        let (_, _, body) = question(token);
        let alias = format!("odd-{}-{}", token.place, token.writing.number());
        let (method, path) =
            if token.place == 62 { ("GET", "/v1/models") } else { ("POST", "/v1/chat/completions") };
        row.look(token, &ask(relay, &[("X-Alias", &alias)], method, path, &body), Reader::Client);
    });
    let caught = |row: &Row| row.hits.len() == row.checks;
    let mut text = String::from("\nthe oracle, tried with a relay that passes everything on\n");
    let mut missed = Vec::new();
    for (place, row) in &rows {
        let why = NOT_RELAYED.iter().find(|(not, _)| not == place).map_or("", |(_, why)| why);
        let _ = writeln!(
            text,
            "{place:>2} {:<40} {:>2} of {:>2} caught  {why}",
            names()[place],
            row.hits.len(),
            row.checks
        );
        if !caught(row) {
            let seen: Vec<_> = row.hits.iter().map(|(token, _)| *token).collect();
            let not: Vec<_> = tokens(*place).filter(|token| !seen.contains(token)).collect();
            missed.push(format!("{place}: {not:?}"));
        }
    }
    let relayed =
        rows.iter().filter(|(place, row)| caught(row) && !NOT_RELAYED.iter().any(|(not, _)| not == *place));
    print!("{text}");
    tell(&format!(
        "{} of {} places caught in every writing and mode: {} by the relay, {} by words planted where it has none\n",
        rows.len() - missed.len(),
        rows.len(),
        relayed.count(),
        rows.keys().filter(|place| NOT_RELAYED.iter().any(|(not, _)| not == *place)).count()
    ));
    assert!(missed.is_empty(), "not caught: {}", missed.join("; "));
}
