//! One gateway for all places, its backends, and questions that say what is to be answered.

use std::collections::HashSet;
use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream};
use std::sync::{Arc, Mutex};

use super::answer::{Answer, Mode};
use super::canary::{KINDS, OTHER, PROMPT, ROUTED, Writing};
use super::odd::{self, Odd};
use super::places::{Word, places};
use crate::kit::client::request;
use crate::kit::collector::Collector;
use crate::kit::config::{Gateway, digest};
use crate::kit::daemon::Daemon;
use crate::kit::dns::{Dns, Record};
use crate::kit::folder::Folder;
use crate::kit::h2::H2Client;
use crate::kit::upstream::Upstream;
use crate::kit::{DEADLINE, KEY, KEY_GLOBEX};

/// Who says this is left alone for a while, so each of its tokens has a pool of its own.
const BUSY: usize = 40;

/// What a request says that its answer is to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Token {
    pub place: usize,
    pub writing: Writing,
    pub mode: Mode,
}

impl Token {
    fn numbers(self) -> (usize, usize, usize) {
        let mode = Mode::ALL.iter().position(|one| *one == self.mode).unwrap_or_default();
        (self.place, self.writing.number(), mode)
    }

    /// The alias that leads to this place.
    pub fn alias(self) -> String {
        let (place, writing, mode) = self.numbers();
        if place == BUSY {
            return format!("lone-{writing}-{mode}");
        }
        if !odd::ODD.iter().any(|(odd, _)| *odd == place) {
            return "main".to_owned();
        }
        // What fails before anything is sent fails once alone, and once before another backend.
        let pair = matches!(place, 54..=56) && mode >= 2;
        format!("{}-{place}-{writing}", if pair { "pair" } else { "odd" })
    }

    /// The request's body.
    pub fn body(self) -> String {
        let (place, writing, mode) = self.numbers();
        let stream = match self.mode {
            Mode::Whole => false,
            Mode::Stream | Mode::Middle => true,
            Mode::Before => writing % 2 == 0,
        };
        let alias = self.alias();
        format!(
            r#"{{"model":"{alias}","messages":[{{"role":"user","content":"{PROMPT} @{place}/{writing}/{mode}@"}}],"stream":{stream},"logprobs":true}}"#
        )
    }
}

/// The token in a request's bytes, between whatever else may be in them.
pub fn token(bytes: &[u8]) -> Option<Token> {
    String::from_utf8_lossy(bytes).split('@').find_map(|part| {
        let mut numbers = part.split('/').map_while(|number| number.parse().ok());
        let mut next = || numbers.next();
        let (place, writing, mode): (usize, usize, usize) = (next()?, next()?, next()?);
        Some(Token { place, writing: *Writing::ALL.get(writing)?, mode: *Mode::ALL.get(mode)? })
    })
}

/// All tokens of a place.
pub fn tokens(place: usize) -> impl Iterator<Item = Token> {
    let each = move |writing| Mode::ALL.map(move |mode| Token { place, writing, mode });
    Writing::ALL.into_iter().flat_map(each)
}

/// A gateway between such backends.
pub struct Scene {
    pub daemon: Daemon,
    pub main: Upstream,
    pub odd: Vec<Odd>,
    /// Who gets the spans of all requests.
    pub collector: Collector,
    /// What the main backend has answered.
    planted: Arc<Mutex<HashSet<(usize, usize, usize)>>>,
    _folder: Folder,
    _dns: Dns,
}

impl Scene {
    pub fn start() -> Self {
        let dns = Dns::start();
        let planted = Arc::<Mutex<HashSet<_>>>::default();
        let record = Arc::clone(&planted);
        let all = places();
        let main = Upstream::start(move |seen| {
            let Some(token) = token(&seen.body) else { return Answer::default().steps(Mode::Whole) };
            record.lock().expect("no script panics").insert(token.numbers());
            let place = all.iter().find(|place| place.number == token.place);
            let word = Word::new(token.writing, token.mode);
            // The other backend of a pair just answers.
            let usual = if seen.wants_stream() { Mode::Stream } else { Mode::Whole };
            place
                .map_or_else(|| Answer::default().steps(usual), |place| place.answer(&word).steps(token.mode))
        });
        dns.set(&main_host(), Record::Addresses(vec![IpAddr::V4(Ipv4Addr::LOCALHOST)], 60));
        let odd = odd::all(&dns);
        let folder = Folder::new("test-oracle");
        let secret = folder.join("upstream.key");
        std::fs::write(&secret, KINDS.map(|(_, word)| word).join("-")).expect("a file");
        let secret = secret.display().to_string();
        let collector = Collector::start(&[200]);
        let more = format!("sample: 100%, headers: {{ x-key: {{ file: \"{secret}\" }} }}");
        let text = config(&main, &odd, &dns, &secret) + &collector.section(&more) + "\n";
        let daemon = Gateway::new().config_text(&text).env("BYNAME_LOG", "trace").start();
        Self { daemon, main, odd, collector, planted, _folder: folder, _dns: dns }
    }

    /// Whether the backend has said what it was asked for.
    pub fn was_planted(&self, token: Token) -> bool {
        self.planted.lock().expect("no script panics").contains(&token.numbers())
    }

    /// A text without the names that operators have given backends, and how often they were in it: that much is meant.
    pub fn unnamed(&self, text: &[u8]) -> (String, usize) {
        let mut times = 0;
        let text = String::from_utf8_lossy(text).into_owned();
        let rest = self.names().iter().fold(text, |rest, name| {
            times += rest.matches(name.as_str()).count();
            rest.replace(name.as_str(), "<named>")
        });
        (rest, times)
    }

    fn names(&self) -> Vec<String> {
        let of = |url: &str| url.split('/').nth(2).unwrap_or_default().to_owned();
        let hosts = |name: String| {
            [name.rsplit_once(':').map_or_else(|| name.clone(), |(host, _)| host.to_owned()), name]
        };
        let mut names = hosts(format!("{}:{}", main_host(), self.main.addr().port())).to_vec();
        names.extend(self.odd.iter().flat_map(|odd| hosts(of(&odd.url))));
        // Hosts have no case, and are told in lower case.
        names.extend(names.iter().map(|name| name.to_lowercase()).collect::<Vec<_>>());
        // The longest first, so that none is cut in two.
        names.sort_by_key(|name| std::cmp::Reverse(name.len()));
        names
    }
}

fn main_host() -> String {
    format!("main.{}", Writing::Plain.host())
}

fn config(main: &Upstream, odd: &[Odd], dns: &Dns, secret: &str) -> String {
    let usual = "    local_addresses: true\n    retry: { attempts: 2, resend: 0, budget: 100% }\n    \
                 breaker: { failures: 1000, error_rate: 100%, open: 100ms, max_open: 100ms, slow_start: 0s }\n";
    let mut pools = format!(
        "  main:\n    backends: [ {{ url: \"http://{}:{}/v1\", key: {{ file: \"{secret}\" }} }} ]\n{usual}",
        main_host(),
        main.addr().port()
    );
    let model = |writing: Writing| format!("'{}'", writing.write(ROUTED));
    let plain = model(Writing::Plain);
    let mut aliases = format!(
        "      main: {{ expose: [ usage_details ], routes: [ {{ pool: main, model: {plain} }} ] }}\n"
    );
    for lone in tokens(BUSY) {
        let (alias, host, port) = (lone.alias(), main_host(), main.addr().port());
        pools += &format!("  {alias}:\n    backends: [ {{ url: \"http://{host}:{port}/v1\" }} ]\n{usual}");
        aliases += &format!("      {alias}: {{ routes: [ {{ pool: {alias}, model: {plain} }} ] }}\n");
    }
    for Odd { place, writing, backend, more, .. } in odd {
        let at = writing.number();
        pools += &format!("  p{place}-{at}:\n    backends: [ {backend} ]\n{usual}");
        if !more.is_empty() {
            pools += &format!("    {more}\n");
        }
        let model = model(*writing);
        let route = format!("{{ pool: p{place}-{at}, model: {model} }}");
        aliases += &format!("      odd-{place}-{at}: {{ routes: [ {route} ] }}\n");
        aliases += &format!(
            "      pair-{place}-{at}: {{ routes: [ {route}, {{ pool: main, model: {plain} }} ] }}\n"
        );
    }
    format!(
        "server:\n  listen: {{ address: \"{{listen}}\", h2c: true }}\n  admin: \"{{admin}}\"\n  dns: [ \"{}\" ]\n\
         pools:\n{pools}tenants:\n  acme:\n    keys: {{ web: {{ sha256: \"{}\" }} }}\n    models:\n{aliases}  \
         {OTHER}:\n    keys: {{ {OTHER}: {{ sha256: \"{}\" }} }}\n    models:\n      {OTHER}: {{ display_name: {OTHER}, \
         routes: [ {{ pool: main, model: {plain} }} ] }}\n",
        dns.addr(),
        digest(KEY),
        digest(KEY_GLOBEX)
    )
}

/// All that comes back over HTTP/1.1: as it came, and then the body without its chunks.
pub fn ask(to: SocketAddr, head: &[(&str, &str)], method: &str, path: &str, body: &[u8]) -> Vec<u8> {
    let bearer = format!("Bearer {KEY}");
    let ours = [("Authorization", bearer.as_str()), ("Connection", "close")];
    let mut stream = TcpStream::connect(to).expect("somebody listens");
    stream.set_read_timeout(Some(DEADLINE)).expect("a socket option");
    stream.write_all(&request(method, path, &[&ours, head].concat(), body)).expect("our bytes are taken");
    let mut raw = Vec::new();
    // A reset is an end like any other here.
    let _ = stream.read_to_end(&mut raw);
    let body = dechunked(&raw);
    raw.extend(body);
    raw
}

/// The same over HTTP/2.
pub fn ask_h2(client: &H2Client, method: &str, path: &str, body: &[u8]) -> Vec<u8> {
    let bearer = format!("Bearer {KEY}");
    let headers = [("authorization", bearer.as_str()), ("content-type", "application/json")];
    let body: &[&[u8]] = if body.is_empty() { &[] } else { &[body] };
    let answer = client.request(method, path, &headers, body);
    let head = answer.headers.iter().map(|(name, value)| format!("{name}: {value}\n")).collect::<String>();
    [format!("{} {:?}\n{head}\n", answer.status, answer.end).into_bytes(), answer.body()].concat()
}

fn dechunked(raw: &[u8]) -> Vec<u8> {
    let find = |bytes: &[u8], what: &[u8]| bytes.windows(what.len()).position(|window| window == what);
    let (mut out, mut rest) = (Vec::new(), raw);
    while rest.starts_with(b"HTTP/1.1 1") {
        let Some(end) = find(rest, b"\r\n\r\n") else { return out };
        rest = &rest[end + 4..];
    }
    let Some(end) = find(rest, b"\r\n\r\n") else { return out };
    rest = &rest[end + 4..];
    while let Some(end) = find(rest, b"\r\n") {
        let line = String::from_utf8_lossy(&rest[..end]);
        let Ok(size) = usize::from_str_radix(line.split(';').next().unwrap_or_default(), 16) else { break };
        let Some(chunk) = rest.get(end + 2..end + 2 + size) else { break };
        out.extend_from_slice(chunk);
        rest = rest.get(end + 4 + size..).unwrap_or_default();
    }
    out
}
