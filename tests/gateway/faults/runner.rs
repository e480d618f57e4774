//! What a row is, and how it is run.
//!
//! A bad backend is met three ways: alone, before a good one (`pair`), and three times over (`three`), which
//! shows how often a request is sent at most. After each request the same gateway must still answer a good one.

use std::thread;
use std::time::{Duration, Instant};

use super::parts::{Bad, Mode, describe, good};
use crate::kit::MODEL;
use crate::kit::config::Gateway;
use crate::kit::daemon::Daemon;
use crate::kit::script::Step;
use crate::kit::table::{NotHere, Only, Row, caught, in_order, judge};
use crate::kit::upstream::Upstream;

/// How many rows run at once; each has a process of its own.
const AT_ONCE: usize = 8;
/// So long that what was written before is read before what is written after.
pub const A_MOMENT: Duration = Duration::from_millis(60);

/// A fault and what must come of it.
pub struct Case {
    pub id: &'static str,
    pub what: &'static str,
    plan: Plan,
}

/// What a row of its own kind expected and saw.
pub struct Line {
    pub mode: &'static str,
    pub expected: String,
    pub seen: String,
}

/// One line for a mode.
pub fn line(mode: &'static str, expected: impl Into<String>, seen: impl Into<String>) -> Line {
    Line { mode, expected: expected.into(), seen: seen.into() }
}

type Make = dyn Fn(Mode) -> Bad + Send + Sync;
type Setup = dyn Fn(Gateway) -> Gateway + Send + Sync;

enum Plan {
    Fault(Fault),
    Own(Box<dyn Fn() -> Vec<Line> + Send + Sync>),
}

struct Fault {
    make: Box<Make>,
    setup: Box<Setup>,
    whole: Option<Expect>,
    stream: Option<Expect>,
    /// The outcome that the attempt is counted under.
    label: Option<&'static str>,
}

/// What must come of a fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expect {
    /// Asked elsewhere as often as attempts allow; 502 in the end.
    Safe,
    /// Asked elsewhere; how often in all is not said.
    Elsewhere,
    /// Asked once more; 502 in the end.
    Once,
    /// Asked elsewhere so often in all; 429 in the end.
    Limited(usize),
    /// Asked nowhere else, and this status and code.
    Refused(u16, &'static str),
    /// It is no fault: 200 with this text.
    Fine(&'static str),
    /// Part of a stream, its text, and an error event; asked nowhere else.
    Cut(&'static str),
}

impl Case {
    /// A fault that an HTTP/1.1 backend has after the whole request was read.
    pub fn script(
        id: &'static str,
        what: &'static str,
        script: impl Fn(Mode) -> Vec<Step> + Send + Sync + 'static,
    ) -> Self {
        Self::bad(id, what, move |mode| Bad::scripted(Upstream::always(script(mode))))
    }

    /// A fault of any backend; nothing is expected until it is said.
    pub fn bad(
        id: &'static str,
        what: &'static str,
        make: impl Fn(Mode) -> Bad + Send + Sync + 'static,
    ) -> Self {
        let setup = |gateway: Gateway| gateway;
        let (make, setup) = (Box::new(make), Box::new(setup));
        let plan = Plan::Fault(Fault { make, setup, whole: None, stream: None, label: None });
        Self { id, what, plan }
    }

    /// A row with a test of its own.
    pub fn own(
        id: &'static str,
        what: &'static str,
        test: impl Fn() -> Vec<Line> + Send + Sync + 'static,
    ) -> Self {
        Self { id, what, plan: Plan::Own(Box::new(test)) }
    }

    /// The same in both modes.
    pub fn both(self, expect: Expect) -> Self {
        self.whole(expect).stream(expect)
    }

    /// What must come of it when the answer is asked for as a whole.
    pub fn whole(mut self, expect: Expect) -> Self {
        if let Plan::Fault(fault) = &mut self.plan {
            fault.whole = Some(expect);
        }
        self
    }

    /// What must come of it when a stream is asked for.
    pub fn stream(mut self, expect: Expect) -> Self {
        if let Plan::Fault(fault) = &mut self.plan {
            fault.stream = Some(expect);
        }
        self
    }

    /// A configuration that differs from the default.
    pub fn with(mut self, change: impl Fn(Gateway) -> Gateway + Send + Sync + 'static) -> Self {
        if let Plan::Fault(fault) = &mut self.plan {
            fault.setup = Box::new(change);
        }
        self
    }

    /// The attempt is counted under this outcome.
    pub fn labelled(mut self, label: &'static str) -> Self {
        if let Plan::Fault(fault) = &mut self.plan {
            fault.label = Some(label);
        }
        self
    }

    fn run(&self) -> Vec<Row> {
        let began = Instant::now();
        let row = |mode, expected: String, seen| Row {
            mode,
            ..Row::new(self.id, self.what, seen).expecting(expected)
        };
        let mut rows: Vec<Row> = match &self.plan {
            Plan::Own(test) => match caught(test) {
                Ok(lines) => {
                    lines.into_iter().map(|line| row(line.mode, line.expected, Ok(line.seen))).collect()
                }
                Err(panic) => vec![row("-", "a test that ends".to_owned(), Err(panic))],
            },
            Plan::Fault(fault) => [(Mode::Whole, fault.whole), (Mode::Stream, fault.stream)]
                .into_iter()
                .filter_map(|(mode, expect)| {
                    let expect = expect?;
                    let seen = caught(|| fault.meet(mode, expect));
                    let label = fault.label.map(|label| format!("; counted as {label}"));
                    let expected = format!("{}{}", expect.words(), label.unwrap_or_default());
                    Some(row(mode.label(), expected, seen))
                })
                .collect(),
        };
        rows.iter_mut().for_each(|row| row.time = began.elapsed());
        rows
    }
}

impl Expect {
    fn words(self) -> String {
        let down = "502 upstream_unavailable";
        let limited = "429 rate_limited after 1..60 s";
        match self {
            Self::Safe => format!("alone {down}; pair 200 elsewhere; three {down}, 3 asked"),
            Self::Elsewhere => format!("alone {down}; pair 200 elsewhere"),
            Self::Once => format!("alone {down}; pair 200 elsewhere; three {down}, 2 asked"),
            Self::Limited(asked) => {
                format!("alone {limited}; pair 200 elsewhere; three {limited}, {asked} asked")
            }
            Self::Refused(status, code) => {
                format!("alone {status} {code}; pair {status} {code}, the other 0")
            }
            Self::Fine(text) => format!("alone 200 {text}"),
            Self::Cut(text) => format!("alone 200 {text} + error; pair 200 {text} + error, the other 0"),
        }
    }
}

impl Fault {
    /// Meets a bad backend in the ways that its expectation needs, and says what came of it.
    fn meet(&self, mode: Mode, expect: Expect) -> String {
        let make = &self.make;
        let (alone, pair) = (make(mode), make(mode));
        let three = [make(mode), make(mode), make(mode)];
        let (other, spare) = (good("elsewhere"), good("spare"));
        let daemon = (self.setup)(Gateway::new())
            .pool_of("alone", std::slice::from_ref(&alone.yaml))
            .pool_of("pair", &[pair.yaml.clone(), crate::kit::config::backend(&other.url())])
            .pool_of("three", &three.each_ref().map(|bad| bad.yaml.clone()))
            .pool("spare", &[&spare])
            .alias("alone", &[("alone", MODEL)])
            .alias("pair", &[("pair", MODEL)])
            .alias("three", &[("three", MODEL)])
            .alias("spare", &[("spare", MODEL)])
            .start();
        let mut seen = format!("alone {}", ask(&daemon, mode, "alone"));
        match expect {
            Expect::Fine(_) => {}
            Expect::Refused(..) | Expect::Cut(_) => {
                seen +=
                    &format!("; pair {}, the other {}", ask(&daemon, mode, "pair"), other.requests().len());
            }
            Expect::Elsewhere => seen += &format!("; pair {}", ask(&daemon, mode, "pair")),
            Expect::Safe | Expect::Once | Expect::Limited(_) => {
                seen += &format!("; pair {}", ask(&daemon, mode, "pair"));
                seen += &format!("; three {}", ask(&daemon, mode, "three"));
                let asked = daemon.metric_sum("byname_upstream_attempts_total", &[("pool", "three")]);
                seen += &format!(", {asked} asked");
            }
        }
        if let Some(label) = self.label {
            seen += &counted(&daemon, label);
        }
        for bad in [&alone, &pair].into_iter().chain(&three) {
            if let Some(complaint) = (bad.check)() {
                seen += &format!("; {complaint}");
            }
        }
        seen
    }
}

/// Under which outcome the only attempt of the pool `alone` was counted. A stream's comes after its last byte.
fn counted(daemon: &Daemon, label: &str) -> String {
    let since = Instant::now();
    let labels = [("pool", "alone"), ("outcome", label)];
    while since.elapsed() < Duration::from_secs(2) {
        if daemon.metric_sum("byname_upstream_attempts_total", &labels) == 1.0 {
            return format!("; counted as {label}");
        }
        thread::sleep(Duration::from_millis(20));
    }
    let page = daemon.ask_admin("/metrics").text();
    let counted = page
        .lines()
        .filter(|line| line.starts_with("byname_upstream_attempts_total{") && line.contains("pool=\"alone\""))
        .filter(|line| !line.ends_with(" 0"))
        .filter_map(|line| line.split("outcome=\"").nth(1)?.split('"').next());
    format!("; counted as {}", counted.collect::<Vec<_>>().join(" and "))
}

/// One request, and then a good one on the same gateway.
pub fn ask(daemon: &Daemon, mode: Mode, alias: &str) -> String {
    let seen = describe(&daemon.client().chat(&mode.ask(alias)), mode, alias);
    let after = describe(&daemon.client().chat(&mode.ask("spare")), mode, "spare");
    if after == "200 spare" { seen } else { format!("{seen} (then {after})") }
}

/// Runs all that `FAULTS` asks for, some at once; prints the table, in the order of ids, and judges it.
pub fn run_all(title: &str, mut cases: Vec<Case>, not_here: &[NotHere]) {
    let only = Only::of("FAULTS");
    cases.retain(|case| only.has(case.id));
    let mut rows = in_order(AT_ONCE, &cases, Case::run).concat();
    rows.sort_by_key(|row| row.id);
    judge(title, "", &rows, not_here);
}
