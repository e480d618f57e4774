//! What is about the process: configurations that are refused, its pages, logs, spans and files, and its end.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use nix::sys::resource::{Resource, getrlimit, setrlimit};

use super::answer::Mode;
use super::canary::Writing;
use super::scene::{Scene, Token, tokens};
use super::search::{Reader, find};
use super::{EACH, Row};
use crate::kit::process::soon;

const SPANS: &str = "spans, as OTLP";

/// A secret in each place where one may be written by mistake: in these ways of being told of it.
pub fn refused_configurations(scene: &Scene) -> Row {
    let mut row = Row::default();
    let (file, other) = (scene.daemon.config(), scene.daemon.config().with_file_name("other.yaml"));
    let good = std::fs::read_to_string(&file).expect("our own file");
    for token in tokens(61) {
        row.checks += 1;
        let bad = spoiled(&good, token.writing);
        let said = match token.mode {
            Mode::Whole => said(&other, &bad, &["-t"]),
            Mode::Stream => {
                std::fs::write(&file, &bad).expect("our own file");
                let before =
                    scene.daemon.metric_sum("byname_config_reloads_total", &[("outcome", "refused")]);
                scene.daemon.signal("HUP");
                let refused = || {
                    scene.daemon.metric_sum("byname_config_reloads_total", &[("outcome", "refused")]) > before
                };
                assert!(soon(crate::kit::DEADLINE, refused), "the configuration is not refused");
                std::fs::write(&file, &good).expect("our own file");
                scene.daemon.ask_admin("/status").everything()
            }
            Mode::Before => {
                std::fs::write(&file, &bad).expect("our own file");
                let output = byname(&["reload", "-c", &file.display().to_string()], &file);
                std::fs::write(&file, &good).expect("our own file");
                output
            }
            Mode::Middle => said(&other, &bad, &[]),
        };
        let complaints = said.matches(": ").count();
        assert!(complaints > 2, "it says too little: {said}");
        *row.statuses.entry("refused".to_owned()).or_default() += 1;
        row.look(token, scene.unnamed(said.as_bytes()).0.as_bytes(), Reader::Page);
    }
    row
}

/// Secrets where they do not belong; everything else stays.
fn spoiled(good: &str, writing: Writing) -> String {
    let word = writing.all().replace(' ', "");
    let quoted = format!("'{word}'");
    let pool = format!(
        "pools:\n  spoiled-1:\n    backends: [ {{ url: \"http://127.0.0.1:1/v1\", key: {quoted} }} ]\n  spoiled-2:\n    \
         backends: [ {{ url: \"http://127.0.0.1:1/v1\", key: {{ env: {quoted} }} }} ]\n  spoiled-3:\n    \
         backends: [ {{ url: \"http://user:{}@127.0.0.1:1/v1\" }} ]\n",
        word.replace(|c: char| !c.is_ascii_alphanumeric(), "")
    );
    let keys = format!("keys: {{ spoiled: {{ sha256: {quoted} }}, web: ");
    good.replacen("pools:\n", &pool, 1).replacen("keys: { web: ", &keys, 1)
}

fn said(file: &Path, text: &str, args: &[&str]) -> String {
    std::fs::write(file, text).expect("our own file");
    let name = file.display().to_string();
    byname(&[args, &["-c", &name]].concat(), file)
}

/// All that a short run of the binary says.
fn byname(args: &[&str], file: &Path) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_byname"))
        .args(args)
        .env("RUNTIME_DIRECTORY", file.with_file_name("run"))
        .env("BYNAME_LOG", "trace")
        .stdin(Stdio::null())
        .output()
        .expect("the binary can be started");
    assert!(!output.status.success(), "{args:?} did not refuse it");
    String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned()
}

/// Everything but answers that comes out of a gateway after all that: a line each, and what is wrong.
pub fn surfaces(scene: &Scene) -> (String, Vec<String>) {
    let proc = |name: &str| std::fs::read(format!("/proc/{}/{name}", scene.daemon.pid())).unwrap_or_default();
    // The log's writer lets lines gather for a moment.
    std::thread::sleep(Duration::from_millis(300));
    let page = |path: &str| scene.daemon.ask_admin(path).everything().into_bytes();
    let spans = spans(scene);
    let run: Vec<u8> = files(&scene.daemon.config().with_file_name("run")).concat();
    let all = [
        ("/metrics", page("/metrics")),
        ("/status", page("/status")),
        ("/readyz", page("/readyz")),
        ("/healthz", page("/healthz")),
        ("stdout", scene.daemon.stdout().into_bytes()),
        ("stderr, at trace", scene.daemon.stderr().into_bytes()),
        (SPANS, spans),
        ("the run directory", run),
        ("the command line", proc("cmdline")),
        ("the environment", proc("environ")),
        ("--version and --help", said_by_help()),
    ];
    let (mut text, mut wrong) = (String::new(), Vec::new());
    for (surface, bytes) in all {
        // Backends as the operator has named them are meant; not a word more.
        let (rest, named) = scene.unnamed(&bytes);
        // They tell which model was asked, as the page does.
        let reader = if ["/status", SPANS].contains(&surface) { Reader::Page } else { Reader::Operator };
        let hit = find(rest.as_bytes(), reader);
        let _ = writeln!(
            text,
            "   {surface:<40} {:>9} bytes, {named} times a backend's configured name, {} hits",
            bytes.len(),
            usize::from(hit.is_some())
        );
        wrong.extend(hit.map(|hit| format!("{surface}: {hit:?}")));
    }
    (text, wrong)
}

/// All spans that were sent, a trace of each request.
fn spans(scene: &Scene) -> Vec<u8> {
    let traces = |outcome| scene.daemon.metric_sum("byname_traces_total", &[("outcome", outcome)]);
    let requests = scene.daemon.metric_sum("byname_requests_total", &[]);
    let all_are_there = || traces("sent") + traces("dropped") + traces("failed") >= requests;
    assert!(soon(crate::kit::DEADLINE, all_are_there), "traces are missing");
    assert_eq!((traces("dropped"), traces("failed")), (0.0, 0.0), "of {requests} traces");
    scene.collector.posts().into_iter().flat_map(|post| post.body).collect()
}

fn said_by_help() -> Vec<u8> {
    let run = |arg| {
        Command::new(env!("CARGO_BIN_EXE_byname")).arg(arg).output().expect("the binary can be started")
    };
    ["--version", "--help"].map(|arg| run(arg).stdout).concat()
}

fn files(folder: &Path) -> Vec<Vec<u8>> {
    list(folder)
        .iter()
        .map(|file| {
            [file.display().to_string().into_bytes(), std::fs::read(file).unwrap_or_default()].concat()
        })
        .collect()
}

fn list(folder: &Path) -> Vec<PathBuf> {
    std::fs::read_dir(folder)
        .map_or_else(|_| Vec::new(), |all| all.flatten().map(|entry| entry.path()).collect())
}

/// Lets processes that are started from now on write core files, as far as this one may.
pub fn allow_core_files() {
    if let Ok((_, hard)) = getrlimit(Resource::RLIMIT_CORE) {
        let _ = setrlimit(Resource::RLIMIT_CORE, hard, hard);
    }
}

/// A crash with everything still in memory: nothing is left behind, neither a core file nor a report.
pub fn crash(scene: &mut Scene) -> Row {
    let here = std::env::current_dir().expect("a working directory");
    let own = scene.daemon.config().with_file_name("");
    let folders = [own.clone(), own.join("run"), here];
    let before = folders.each_ref().map(|folder| list(folder));
    let limits = std::fs::read_to_string(format!("/proc/{}/limits", scene.daemon.pid())).unwrap_or_default();
    let core =
        limits.lines().find(|line| line.starts_with("Max core file size")).unwrap_or_default().to_owned();
    let core = core.split_whitespace().nth(4).unwrap_or("unknown").to_owned();
    let stderr = scene.daemon.stderr().len();
    scene.daemon.signal("ABRT");
    let status = scene.daemon.wait();
    let mut row = Row { checks: EACH, ..Row::default() };
    row.statuses.insert(format!("one crash for all ({status}), core files of at most {core} bytes"), 1);
    let token = Token { place: 64, writing: Writing::Plain, mode: Mode::Whole };
    assert_eq!(core, "0", "a core file may be written");
    let new = folders.iter().zip(&before).flat_map(|(folder, before)| {
        list(folder).into_iter().filter(|file| !before.contains(file)).collect::<Vec<_>>()
    });
    let new: Vec<_> = new.collect();
    assert!(new.is_empty(), "a crash leaves {new:?}");
    let words = scene.daemon.stderr();
    row.look(token, words.get(stderr..).unwrap_or_default().as_bytes(), Reader::Operator);
    row
}
