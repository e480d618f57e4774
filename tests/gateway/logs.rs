//! Where lines go and in which form, what a reload changes, and what a full disk or a reader that sleeps costs: lines.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;
use std::process::Command;

use serde_json::Value;

use crate::kit::answers::json_answer;
use crate::kit::client::{Client, ask};
use crate::kit::config::Gateway;
use crate::kit::folder::Folder;
use crate::kit::process::soon;
use crate::kit::upstream::Upstream;
use crate::kit::{CANARY_PROMPT, DEADLINE, KEY};

/// Waits until a file has so many lines.
fn lines(file: &Path, at_least: usize) -> Vec<String> {
    let mut text = String::new();
    let there = soon(DEADLINE, || {
        text = fs::read_to_string(file).unwrap_or_default();
        text.lines().count() >= at_least && text.ends_with('\n')
    });
    assert!(there, "{at_least} lines were due in {}:\n{text}", file.display());
    text.lines().map(str::to_owned).collect()
}

/// Waits until a file says this.
fn told(file: &Path, words: &str) {
    let text = || fs::read_to_string(file).unwrap_or_default();
    assert!(soon(DEADLINE, || text().contains(words)), "{words} is not in {}:\n{}", file.display(), text());
}

/// Whether a process has a file open.
fn has_open(pid: u32, file: &Path) -> bool {
    let mut all = fs::read_dir(format!("/proc/{pid}/fd")).expect("a process").flatten();
    all.any(|fd| fs::read_link(fd.path()).is_ok_and(|link| link == file))
}

#[test]
fn a_full_disk_costs_lines_and_no_request() {
    let upstream = Upstream::always(json_answer("ok"));
    let section = "log: { access: { file: /dev/full }, events: { file: /dev/full } }";
    let mut daemon = Gateway::new().backend(&upstream).section(section).start();
    let mut client = daemon.client();
    for _ in 0..50 {
        assert_eq!(client.chat(&ask("general")).status, 200);
    }
    daemon.wait_metric("byname_log_lines_dropped_total{log=\"access\"}", 50.0);
    daemon.reload();
    let dropped = || daemon.metric("byname_log_lines_dropped_total{log=\"events\"}") != Some(0.0);
    assert!(soon(DEADLINE, dropped), "no event was dropped");
    daemon.terminate();
    assert!(daemon.wait().success());
}

#[test]
fn a_pipe_that_nobody_reads_costs_lines_and_no_request() {
    let folder = Folder::new("logs");
    let pipe = folder.join("pipe");
    assert!(Command::new("mkfifo").arg(&pipe).status().expect("mkfifo").success());
    // Somebody has it open, and sleeps. Opened for both, so that the test need not wait for a writer.
    let _sleeper = fs::OpenOptions::new().read(true).write(true).open(&pipe).expect("a pipe");
    let upstream = Upstream::always(json_answer("ok"));
    let target = format!("{{ file: \"{}\" }}", pipe.display());
    let gateway = Gateway::new().backend(&upstream);
    let stuck = gateway.clone().section(&format!("log: {{ access: {target}, events: {target} }}"));
    let daemon = stuck.start();
    let mut client = daemon.client();
    // More than the 64 KiB that fit into a pipe.
    for _ in 0..300 {
        assert_eq!(client.chat(&ask("general")).status, 200);
    }
    // Another target frees both logs, and what was stuck is counted.
    daemon.reload_to(&gateway);
    assert_eq!(client.chat(&ask("general")).status, 200);
    assert_eq!(daemon.log_lines(1).len(), 1);
    assert!(daemon.metric("byname_log_lines_dropped_total{log=\"access\"}").unwrap() > 0.0);
    // And one that leaves while it is stuck leaves in time.
    let mut leaving = stuck.start();
    let mut client = leaving.client();
    for _ in 0..300 {
        assert_eq!(client.chat(&ask("general")).status, 200);
    }
    leaving.terminate();
    assert!(leaving.wait().success());
}

#[test]
fn a_reload_changes_level_form_and_target_and_opens_files_anew() {
    let folder = Folder::new("logs");
    let (access, events) = (folder.join("access.log"), folder.join("events.log"));
    let upstream = Upstream::always(json_answer("ok"));
    let gateway = Gateway::new().backend(&upstream).env("BYNAME_LOG", "error");
    let mut daemon = gateway.start();
    assert_eq!(daemon.client().chat(&ask("general")).status, 200);
    assert_eq!(daemon.log_lines(1).len(), 1);
    assert_eq!(daemon.stderr(), "", "the environment's level holds where none is written");

    let files = format!(
        "log: {{ level: info, access: {{ file: \"{}\" }}, events: {{ file: \"{}\" }} }}",
        access.display(),
        events.display()
    );
    daemon.reload_to(&gateway.clone().section(&files));
    assert_eq!(daemon.client().chat(&ask("general")).status, 200);
    let line: Value = serde_json::from_str(&lines(&access, 1)[0]).expect("JSON");
    assert_eq!(line["alias"], "general");
    told(&events, "configuration 2 is taken");
    assert_eq!(fs::metadata(&access).expect("a file").mode() & 0o777, 0o640);

    // Rotated: what comes after the reload is in a file of the old name.
    let old = folder.join("access.log.1");
    fs::rename(&access, &old).expect("renamed");
    assert_eq!(daemon.client().chat(&ask("general")).status, 200);
    assert_eq!(lines(&old, 2).len(), 2);
    let text = files.replace("level: info", "level: info, format: text");
    daemon.reload_to(&gateway.clone().section(&text));
    assert_eq!(daemon.client().chat(&ask("general")).status, 200);
    told(&access, " status=200 tenant=acme key=web alias=general ");
    assert_eq!(lines(&old, 2).len(), 2);
    told(&events, "Z info  configuration 3 is taken");

    // A target that cannot be opened refuses the reload, and everything goes on.
    let nowhere = text.replace("access.log", "none/access.log");
    daemon.rewrite_config(&gateway.clone().section(&nowhere));
    daemon.signal("HUP");
    daemon.wait_metric("byname_config_reloads_total{outcome=\"refused\"}", 1.0);
    told(&events, "log.access: ");

    let off = "log: { level: off, access: off }";
    daemon.reload_to(&gateway.clone().section(off));
    assert_eq!(daemon.metric("byname_config_generation"), Some(4.0), "the refused one is none");
    assert_eq!(daemon.client().chat(&ask("general")).status, 200);
    // Somebody may want to take the disk away.
    assert!(soon(DEADLINE, || !has_open(daemon.pid(), &access)), "a log that is off keeps its file");
    daemon.terminate();
    assert!(daemon.wait().success());
    assert_eq!((daemon.log_lines(1).len(), daemon.stderr().as_str()), (1, ""));
    assert_eq!(lines(&access, 1).len(), 1);
}

#[test]
fn the_last_lines_are_written_before_the_process_ends() {
    let upstream = Upstream::always(json_answer("ok"));
    let mut daemon = Gateway::new().backend(&upstream).start();
    let mut client = daemon.client();
    for _ in 0..20 {
        assert_eq!(client.chat(&ask("general")).status, 200);
    }
    daemon.signal("INT");
    assert!(daemon.wait().success());
    assert_eq!(daemon.log_lines(20).len(), 20);
    daemon.wait_for("stopped");
}

#[test]
fn lines_for_the_journal_begin_with_their_priority() {
    let folder = Folder::new("logs");
    // What the journal's socket is to systemd, this file is here: the stream of that device and inode.
    let journal = folder.join("journal");
    let stat = fs::File::create(&journal).and_then(|file| file.metadata()).expect("a file");
    let upstream = Upstream::always(json_answer("ok"));
    let target = format!("{{ file: \"{}\" }}", journal.display());
    let gateway = Gateway::new()
        .backend(&upstream)
        .section(&format!("log: {{ access: {target}, events: {target} }}"))
        .env("JOURNAL_STREAM", &format!("{}:{}", stat.dev(), stat.ino()));
    let daemon = gateway.start();
    assert_eq!(daemon.client().chat(&ask("general")).status, 200);
    daemon.rewrite_config(&Gateway::new().config_text("server: 1"));
    daemon.signal("HUP");
    daemon.wait_metric("byname_config_reloads_total{outcome=\"refused\"}", 1.0);
    // A line of the access log is written a moment after its answer, by whoever has the time.
    told(&journal, "\"alias\":\"general\"");
    told(&journal, "\"level\":\"error\"");
    let told = lines(&journal, 3);
    assert!(
        told.iter().any(|line| line.starts_with("<6>{") && line.contains("\"alias\":\"general\"")),
        "{told:?}"
    );
    assert!(
        told.iter().any(|line| line.starts_with("<3>{") && line.contains("\"level\":\"error\"")),
        "{told:?}"
    );
}

#[test]
fn no_log_holds_a_secret_in_text_either() {
    let upstream = Upstream::always(json_answer("secret words"));
    let daemon = Gateway::new()
        .backend_with_key(&upstream, "upstream-secret-key")
        .section("log: { level: debug, format: text }")
        .env("BYNAME_LOG", "trace")
        .start();
    assert_eq!(daemon.client().chat(&ask("general").replace("Hello", CANARY_PROMPT)).status, 200);
    assert!(soon(DEADLINE, || daemon.stdout().contains("status=200")), "{}", daemon.stdout());
    let logs = daemon.stdout() + &daemon.stderr();
    for secret in [KEY, "upstream-secret-key", CANARY_PROMPT, "secret words"] {
        assert!(!logs.contains(secret), "{secret} is in the log:\n{logs}");
    }
}

#[test]
fn what_pingora_says_of_a_malformed_head_does_not_repeat_it() {
    let upstream = Upstream::always(json_answer("ok"));
    let daemon = Gateway::new().backend(&upstream).env("BYNAME_LOG", "trace").start();
    // Its server for pages tells of one at the level of errors, and with all its bytes.
    let mut client = Client::connect(daemon.admin());
    client.send(format!("GET / metrics HTTP/9.1\r\nAuthorization: Bearer {KEY}\r\n\r\n").as_bytes());
    daemon.wait_for("its words may hold what was sent");
    assert!(!daemon.stderr().contains(KEY), "{}", daemon.stderr());
}

#[test]
fn a_log_is_for_its_group_whatever_the_umask_is() {
    let folder = Folder::new("logs");
    let (access, kept) = (folder.join("access.log"), folder.join("events.log"));
    fs::write(&kept, "").expect("a file");
    fs::set_permissions(&kept, fs::Permissions::from_mode(0o600)).expect("its owner's");
    let upstream = Upstream::always(json_answer("ok"));
    let files = format!(
        "log: {{ access: {{ file: \"{}\" }}, events: {{ file: \"{}\" }} }}",
        access.display(),
        kept.display()
    );
    // As the unit has it.
    let daemon = Gateway::new().backend(&upstream).section(&files).first("umask 0077").start();
    assert_eq!(daemon.client().chat(&ask("general")).status, 200);
    lines(&access, 1);
    let mode = |file: &Path| fs::metadata(file).expect("a file").mode() & 0o777;
    assert_eq!(mode(&access), 0o640);
    assert_eq!(mode(&kept), 0o600, "one that is there is as its owner wants it");
}

#[test]
fn an_event_that_a_request_has_caused_has_its_id() {
    let (dead, good) = (Upstream::refusing(), Upstream::always(json_answer("ok")));
    let daemon = Gateway::new().backend(&dead).backend(&good).start();
    let event = || daemon.stderr().lines().find(|line| line.contains("is let go of at")).map(str::to_owned);
    let mut asked = 0;
    while event().is_none() {
        assert!(asked < 200, "{}", daemon.stderr());
        assert_eq!(daemon.client().chat(&ask("general")).status, 200);
        asked += 1;
    }
    let event: Value = serde_json::from_str(&event().expect("it came")).expect("JSON");
    let lines = daemon.log_lines(asked);
    assert!(event["request_id"].is_string(), "{event}");
    assert!(lines.iter().any(|line| line["request_id"] == event["request_id"]), "{event}: {lines:?}");
}
