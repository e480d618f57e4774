use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Stdio};
use std::time::{Duration, UNIX_EPOCH};

use super::*;
use crate::daemon::scratch::Scratch;

fn at(days: u64) -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(days * 86_400 + 7)
}

/// 1 January 2026.
const DAY: u64 = 20_454;
const MONTH: u64 = 56 * 12;

fn kept(of_day: u64, of_month: u64) -> Kept {
    Kept { day: (DAY, of_day), month: (MONTH, of_month) }
}

#[test]
fn what_was_saved_is_there_after_the_file_was_closed() {
    let scratch = Scratch::new();
    let dir = scratch.path().join("new/state");
    let budgets = Budgets::open(&dir).unwrap();
    assert_eq!(budgets.load(at(DAY)).unwrap(), []);
    budgets.save(&[("t:acme".into(), kept(1, 2)), ("t:beta".into(), kept(3, 4))]).unwrap();
    budgets.save(&[("t:acme".into(), kept(5, 6))]).unwrap();
    drop(budgets);
    let budgets = Budgets::open(&dir).unwrap();
    let all = vec![("t:acme".to_owned(), kept(5, 6)), ("t:beta".to_owned(), kept(3, 4))];
    assert_eq!(budgets.load(at(DAY)).unwrap(), all);
    assert_eq!(std::fs::metadata(&dir).unwrap().permissions().mode() & 0o777, 0o700);
}

#[test]
fn periods_that_are_over_are_forgotten() {
    let scratch = Scratch::new();
    let budgets = Budgets::open(scratch.path()).unwrap();
    budgets.save(&[("both".into(), kept(1, 2)), ("day".into(), kept(1, 0))]).unwrap();
    let tomorrow = Kept { day: (DAY + 1, 0), month: (MONTH, 2) };
    assert_eq!(budgets.load(at(DAY + 1)).unwrap(), [("both".to_owned(), tomorrow)]);
    assert_eq!(budgets.load(at(DAY)).unwrap(), [("both".to_owned(), kept(1, 2))], "removed for good");
    assert_eq!(budgets.load(at(DAY + 31)).unwrap(), []);
    assert_eq!(budgets.load(at(DAY)).unwrap(), []);
}

#[test]
fn a_clock_that_went_back_forgets_nothing() {
    assert_eq!(kept(1, 2).at(at(DAY - 40)), kept(1, 2));
}

#[test]
fn a_second_process_is_told_who_is_in_its_way() {
    let scratch = Scratch::new();
    let _held = Budgets::open(scratch.path()).unwrap();
    let why = Budgets::open(scratch.path()).err().unwrap();
    assert!(why.contains("budgets.redb: another process has it open; stop that one"), "{why}");
}

#[test]
fn a_damaged_file_is_named_with_what_to_do() {
    let scratch = Scratch::new();
    let path = scratch.path().join(FILE);
    let why = |bytes: &[u8]| {
        std::fs::write(&path, bytes).unwrap();
        Budgets::open(scratch.path()).err()
    };
    let text = why(b"these are not the bytes of a database").unwrap();
    assert!(text.contains("budgets.redb: is damaged, or no database of budgets; move it away"), "{text}");

    std::fs::remove_file(&path).unwrap();
    let budgets = Budgets::open(scratch.path()).unwrap();
    let many: Vec<_> = (0..2000).map(|n| (format!("t:tenant-{n}"), kept(n, n))).collect();
    budgets.save(&many).unwrap();
    drop(budgets);
    let good = std::fs::read(&path).unwrap();
    assert!(why(&good[..good.len() / 3]).is_some(), "cut");
    // A page in the middle of the table.
    let place = good.windows(9).position(|part| part == b"tenant-77").unwrap();
    let mut spoilt = good.clone();
    spoilt[place] ^= 1;
    let text = why(&spoilt).unwrap();
    assert!(text.contains("is damaged"), "{text}");
    assert_eq!(why(&good), None);
}

#[test]
fn a_directory_that_cannot_be_made_is_named() {
    let scratch = Scratch::new();
    let file = scratch.path().join("file");
    std::fs::write(&file, "").unwrap();
    let why = Budgets::open(&file.join("state")).err().unwrap();
    assert!(why.contains("/file/state: cannot be made: ") && why.contains("state_dir"), "{why}");
}

/// Tells the test binary to be the process that is killed.
const SAVES_IN: &str = "BYNAME_TEST_SAVES_IN";

#[test]
fn the_last_acknowledged_save_survives_a_kill() {
    if let Some(dir) = std::env::var_os(SAVES_IN) {
        return save_for_ever(Path::new(&dir));
    }
    let scratch = Scratch::new();
    let mut acknowledged = 0;
    for round in 0..5 {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args([
                "--exact",
                "daemon::budgets::tests::the_last_acknowledged_save_survives_a_kill",
                "--nocapture",
            ])
            .env(SAVES_IN, scratch.path())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut saved =
            || lines.by_ref().find_map(|line| line.ok()?.rsplit_once("saved ")?.1.parse::<u64>().ok());
        for _ in 0..20 + round * 7 {
            acknowledged = saved().expect("the child saves");
        }
        child.kill().unwrap();
        child.wait().unwrap();
        // What it still said before it died.
        while let Some(more) = saved() {
            acknowledged = more;
        }
        let all = Budgets::open(scratch.path()).unwrap().load(at(DAY)).unwrap();
        let used: Vec<u64> = all.iter().map(|(_, kept)| kept.day.1).collect();
        assert_eq!(used.len(), 50);
        assert!(used.iter().all(|n| *n == used[0]), "one save, not parts of two: {used:?}");
        assert!([acknowledged, acknowledged + 1].contains(&used[0]), "{} after {acknowledged}", used[0]);
    }
}

fn save_for_ever(dir: &Path) {
    let budgets = Budgets::open(dir).unwrap();
    let before = budgets.load(at(DAY)).unwrap().first().map_or(0, |(_, kept)| kept.day.1);
    for n in before + 1.. {
        let all: Vec<_> = (0..50).map(|key| (format!("t:{key}"), kept(n, n))).collect();
        budgets.save(&all).unwrap();
        println!("saved {n}");
    }
}
