//! Binaries that change while requests run: RL-15 to RL-18.

use std::os::unix::fs::PermissionsExt;
use std::time::{Duration, Instant};

use super::crowd::{self, Shorts, faults};
use super::daemons::{Process, Site, pause, signal};
use super::reloads::{Field, finish, open, serving};
use crate::kit::client::{Client, ask};
use crate::kit::process::descriptors;
use crate::kit::table::Table;

pub fn cases(table: &mut Table) {
    table.case("RL-15", "10 upgrades, 100 open streams, 200 requests/s", ten_upgrades);
    table.case("RL-16", "the new one cannot run", || {
        let field = Field::new(1, 1);
        let (site, mut process) = serving(&field, "");
        let good = std::fs::read_to_string(site.config()).expect("our own file");
        for bad in ["pools: [", "server: { listen: \"127.0.0.1:1\" }"] {
            site.write(bad);
            let mut next = site.spawn(&["--upgrade"]);
            assert_eq!(next.wait(Duration::from_secs(10)).code(), Some(64), "{}", next.said());
        }
        // It has the sockets already when it finds out.
        site.write(
            &good
                .replace("general: {", "general: { description: x, ")
                .replace("backends: [ { ", "backends: [ { key: { file: /nowhere/at/all }, "),
        );
        let mut next = site.spawn(&["--upgrade"]);
        assert_eq!(next.wait(Duration::from_secs(10)).code(), Some(64), "{}", next.said());
        process.wait_for("did not take over");
        answers(&site);
        assert_eq!(site.metric("byname_upgrades_total{outcome=\"refused\"}"), 1.0);
        "64, and the old one goes on".to_owned()
    });
    table.case("RL-17", "the new one is killed after it took the sockets", || {
        let field = Field::new(40, 50);
        let (site, mut process) = serving(&field, "");
        let stream = open(&site, "general");
        // Names that nobody resolves keep it busy between the sockets and its word.
        let text = site
            .generation(0, &field.farm.url(), "")
            .replace("tenants:", "  slow:\n    backends: [ { url: \"http://nobody.test:1/v1\" } ]\ntenants:");
        let silent = std::net::UdpSocket::bind("127.0.0.1:0").expect("a socket");
        let dns = format!("  dns: [ \"{}\" ]\n", silent.local_addr().expect("an address"));
        site.write(&text.replace("pools:", &format!("{dns}pools:")));
        let mut next = site.spawn(&["--upgrade"]);
        process.wait_for("takes over");
        std::thread::sleep(Duration::from_millis(300));
        assert!(next.runs(), "{}", next.said());
        next.signal("KILL");
        let since = Instant::now();
        process.wait_for("did not take over");
        let recovered = since.elapsed();
        answers(&site);
        finish(stream);
        site.write(&site.generation(0, &field.farm.url(), ""));
        let mut next = site.start(&["--upgrade"]);
        process.wait(Duration::from_secs(10));
        answers(&site);
        assert!(next.runs());
        format!("the old one goes on after {} ms; the next try succeeds", recovered.as_millis())
    });
    table.case("RL-18", "20 upgrades in a row", || {
        let field = Field::new(1, 1);
        let (site, mut process) = serving(&field, "");
        answers(&site);
        let before = descriptors(process.pid());
        for _ in 0..20 {
            let next = site.start(&["--upgrade"]);
            assert_eq!(process.wait(Duration::from_secs(10)).code(), Some(0));
            process = next;
            answers(&site);
        }
        let after = descriptors(process.pid());
        let left = std::fs::read_dir(site.folder.join("run")).expect("the run directory").count();
        assert!(after <= before + 3, "{before} open files, then {after}");
        assert_eq!(left, 2, "files in the run directory");
        format!("{before} open files before, {after} after; a socket and a pid file")
    });
}

/// `byname -d` and QUIT, in the order that Pingora's manual has, and the other way round.
#[test]
fn quit_hands_over_whoever_comes_first() {
    let field = Field::new(1, 1);
    let (site, mut old) = serving(&field, "");
    old.signal("QUIT");
    old.wait_for("waiting for a process");
    let mut new = site.start(&["-u"]);
    assert_eq!(old.wait(Duration::from_secs(10)).code(), Some(0));
    let mut third = site.spawn(&["-u"]);
    // It may have gone already.
    let _ = std::process::Command::new("sh").args(["-c", &format!("kill -QUIT {} 2>&1", new.pid())]).output();
    third.wait_for("serving on");
    assert_eq!(new.wait(Duration::from_secs(10)).code(), Some(0));
    answers(&site);
    assert_eq!(site.pid(), Some(third.pid()));
}

#[test]
fn nobody_to_take_over_from_is_told() {
    let field = Field::new(1, 1);
    let site = Site::new();
    site.write(&site.generation(0, &field.farm.url(), ""));
    let output = site.run(&["-u"]);
    assert_eq!(output.status.code(), Some(64));
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(told.contains("no process runs that could hand over"), "{told}");
    assert_eq!(site.run(&["reload"]).status.code(), Some(69));
}

#[test]
fn in_the_background_it_serves_when_the_command_returns() {
    let field = Field::new(1, 1);
    let site = Site::new();
    site.write(&site.generation(0, &field.farm.url(), ""));
    let first = site.run(&["-d"]);
    assert!(first.status.success(), "{}", String::from_utf8_lossy(&first.stderr));
    answers(&site);
    let old = site.pid().expect("a pid file");
    let second = site.run(&["-d", "-u"]);
    assert!(second.status.success(), "{}", String::from_utf8_lossy(&second.stderr));
    answers(&site);
    let new = site.pid().expect("a pid file");
    assert_ne!(old, new);
    signal(new, "TERM");
    let since = Instant::now();
    while site.pid().is_some() {
        assert!(since.elapsed() < Duration::from_secs(5), "it goes on");
        pause();
    }
    site.write("pools: [");
    let bad = site.run(&["-d"]);
    assert_eq!(bad.status.code(), Some(64));
    assert!(String::from_utf8_lossy(&bad.stderr).contains("byname.yaml:1:"), "{bad:?}");
}

/// What is used of a day is counted once, whichever process settles it.
#[test]
fn counts_of_days_go_on_in_the_next_process() {
    let field = Field::new(20, 100);
    let site = Site::new();
    let text = site.generation(0, &field.farm.url(), "  state_dir: state\n");
    site.write(&text.replace("requests_per_minute: 1000000", "tokens_per_day: 100000"));
    let mut old = site.start(&[]);
    let left = || site.metric("byname_limit_remaining{limit=\"tokens_per_day\"");
    answers(&site);
    // This one reserves more than it will come to, and ends in the old process.
    let stream = open(&site, "general");
    let mut new = site.start(&["-u"]);
    answers(&site);
    finish(stream);
    assert_eq!(old.wait(Duration::from_secs(10)).code(), Some(0), "{}", old.said());
    assert!(!old.said().contains("is lost"), "{}", old.said());
    let counted = left();
    new.signal("TERM");
    new.wait(Duration::from_secs(5));
    let _next = site.start(&[]);
    assert_eq!(left(), counted, "what the next process has kept");
    // Two short answers of 2 tokens each, and one stream that is estimated: far less than it had reserved.
    let used = 100_000.0 - counted;
    assert!((5.0..200.0).contains(&used), "{used} tokens");
}

/// A new process that is told to go before it serves leaves what is the old one's alone.
#[test]
fn a_new_one_that_is_interrupted_takes_nothing_with_it() {
    let field = Field::new(1, 1);
    let site = Site::new();
    let text = site.generation(0, &field.farm.url(), "  state_dir: state\n");
    let text = text.replace("requests_per_minute: 1000000", "tokens_per_day: 100000");
    site.write(&text);
    let mut old = site.start(&[]);
    // It finds out that it cannot run when it has the sockets and the counts already.
    site.write(&text.replace("backends: [ { ", "backends: [ { key: { env: BYNAME_NOT_SET }, "));
    let mut next = site.spawn(&["-u"]);
    assert_eq!(next.wait(Duration::from_secs(10)).code(), Some(64), "{}", next.said());
    old.wait_for("budgets are kept again");
    // And one that is stopped while it looks names up.
    let silent = std::net::UdpSocket::bind("127.0.0.1:0").expect("a socket");
    let dns = format!("  dns: [ \"{}\" ]\n", silent.local_addr().expect("an address"));
    let slow = "  slow:\n    backends: [ { url: \"http://nobody.test:1/v1\" } ]\ntenants:";
    site.write(&text.replace("pools:", &format!("{dns}pools:")).replace("tenants:", slow));
    let mut next = site.spawn(&["-u"]);
    old.wait_for_times("takes over", 2);
    std::thread::sleep(Duration::from_millis(200));
    next.signal("INT");
    next.wait(Duration::from_secs(10));
    old.wait_for_times("did not take over", 2);
    assert_eq!(site.pid(), Some(old.pid()));
    answers(&site);
    site.write(&text);
    site.reload();
}

/// With many listeners each has to be proven, while the old process takes its share of the proofs.
#[test]
fn many_listeners_are_handed_over() {
    let field = Field::new(1, 1);
    let site = Site::new();
    let text = site.generation(0, &field.farm.url(), "");
    let more: Vec<_> = (0..11).map(|_| format!("\"{}\"", crate::kit::ports::free())).collect();
    let one = format!("\"{}\"", site.listen);
    site.write(&text.replacen(&one, &format!("[ {one}, {} ]", more.join(", ")), 1));
    let mut old = site.start(&[]);
    let _new = site.start(&["-u"]);
    assert_eq!(old.wait(Duration::from_secs(10)).code(), Some(0));
    answers(&site);
}

/// Under systemd the process itself starts the file that stands in its place.
#[test]
fn under_systemd_quit_starts_the_next_one() {
    let field = Field::new(1, 1);
    let mut site = Site::new();
    let ear = super::package::Ear::new(&site);
    site.env.push(("NOTIFY_SOCKET".to_owned(), ear.path()));
    site.write(&site.generation(0, &field.farm.url(), ""));
    let mut old = site.start(&[]);
    ear.wait_for("READY=1");
    old.signal("QUIT");
    let told = ear.wait_for("MAINPID=");
    let new: u32 =
        told.split("MAINPID=").nth(1).and_then(|rest| rest.lines().next()?.parse().ok()).expect("a pid");
    assert_eq!(old.wait(Duration::from_secs(10)).code(), Some(0));
    ear.wait_for("READY=1");
    answers(&site);
    assert_eq!(site.pid(), Some(new));
    signal(new, "TERM");
    ear.wait_for("STOPPING=1");
}

#[test]
fn the_run_directory_is_private() {
    let field = Field::new(1, 1);
    let (site, _process) = serving(&field, "");
    let mode = |path: &str| {
        std::fs::metadata(site.folder.join(path)).expect("it is there").permissions().mode() & 0o777
    };
    assert_eq!((mode("run"), mode("run/byname.sock")), (0o700, 0o600));
}

pub fn answers(site: &Site) {
    let answer = Client::connect(site.listen).chat(&ask("general"));
    assert_eq!(answer.status, 200, "{}", answer.text());
}

fn ten_upgrades() -> String {
    let field = Field::new(20, 100);
    let (site, process) = serving(&field, "");
    let mut processes: Vec<Process> = vec![process];
    let (streams, shorts) = field.runtime.block_on(async {
        let shorts = Shorts::start(site.listen, 200);
        let mut streams = Vec::new();
        for round in 0..12 {
            // Those of two rounds are open together: 100 and more all the time.
            streams.extend((0..100).map(|_| tokio::spawn(crowd::stream(site.listen))));
            tokio::time::sleep(Duration::from_millis(600)).await;
            if (1..=10).contains(&round) {
                let next = tokio::task::block_in_place(|| site.start(&["--upgrade"]));
                processes.push(next);
            }
        }
        let mut fates = Vec::new();
        for stream in streams {
            fates.push(stream.await.expect("no client panics"));
        }
        (fates, shorts.end().await)
    });
    assert_eq!((faults(&streams), faults(&shorts)), (Vec::new(), Vec::new()));
    let last = processes.pop().expect("one serves");
    for process in &mut processes {
        assert_eq!(process.wait(Duration::from_secs(70)).code(), Some(0), "{}", process.said());
    }
    assert_eq!(site.pid(), Some(last.pid()));
    format!(
        "{} streams and {} requests: none failed; {} old ones left with 0",
        streams.len(),
        shorts.len(),
        processes.len()
    )
}
