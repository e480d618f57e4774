//! Lists of words in files: read at the start, read again on a reload, and told of when they cannot be.

use std::process::Command;

use super::setup::Setup;
use super::{ask, assert_blocked, parrot};
use crate::kit::daemon::Daemon;
use crate::kit::folder::Folder;

/// A gateway, and the folder with its file of words.
fn start(words: &str) -> (Daemon, Folder) {
    let folder = Folder::new("words");
    let file = folder.join("words.txt");
    std::fs::write(&file, words).expect("a file for the words");
    let upstream = Box::leak(Box::new(parrot()));
    let policy = format!("deny: [ {{ words_file: {} }} ]", file.display());
    (Setup::new(&[upstream], &policy).start(), folder)
}

#[test]
fn a_file_is_read_at_the_start_and_again_on_a_reload() {
    let (daemon, folder) = start("# not these\nbomb\n\nmake a plan\r\n");
    let file = folder.join("words.txt");
    assert_blocked(&daemon.client().chat(&ask("a bomb")), "bomb");
    assert_blocked(&daemon.client().chat(&ask("make a\nplan")), "make a plan");
    assert_eq!(daemon.client().chat(&ask("# not these, a knife")).status, 200);

    std::fs::write(&file, "knife\n").expect("a file for the words");
    daemon.reload();
    assert_blocked(&daemon.client().chat(&ask("a knife")), "knife");
    assert_eq!(daemon.client().chat(&ask("a bomb")).status, 200);

    // What cannot be used changes nothing.
    std::fs::write(&file, "fine\n\u{200b}\n").expect("a file for the words");
    daemon.signal("HUP");
    daemon.wait_metric("byname_config_reloads_total{outcome=\"refused\"}", 1.0);
    assert_blocked(&daemon.client().chat(&ask("a knife")), "knife");
    let place = format!("policies.p.deny[0].words_file: {}:2: says nothing;", file.display());
    daemon.wait_for(&place);
}

#[test]
fn a_file_that_is_not_there_is_told_before_the_start() {
    let upstream = parrot();
    let gateway = Setup::new(&[&upstream], "deny: [ { words_file: /nowhere/words.txt } ]").gateway();
    let folder = Folder::new("words");
    let file = folder.join("byname.yaml");
    let text = gateway.text("127.0.0.1:8080".parse().unwrap(), "127.0.0.1:9090".parse().unwrap());
    std::fs::write(&file, text).expect("a configuration");
    let output = Command::new(env!("CARGO_BIN_EXE_byname"))
        .arg("-t")
        .arg("-c")
        .arg(&file)
        .output()
        .expect("a process");
    let told = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(64), "{told}");
    assert!(told.contains(": policies.p.deny[0].words_file: /nowhere/words.txt: No such file"), "{told}");
}
