//! Tokens of a day and a month: used up, they stay used up, whatever becomes of the process.

use std::thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustix::process::{Pid, Resource, Rlimit, prlimit};

use super::setup::{KEY_APP, Setup};
use super::{ask_with_cap, assert_limited, left, settled, using};
use crate::kit::daemon::Daemon;
use crate::kit::folder::Folder;
use crate::kit::process::soon;
use crate::kit::upstream::Upstream;
use crate::kit::{DEADLINE, KEY};

const DAY: u64 = 24 * 60 * 60;

/// Begins no test so late that it would end on another day.
pub fn well_before_midnight() -> u64 {
    loop {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs();
        let left = DAY - now % DAY;
        if left > 60 {
            return left;
        }
        thread::sleep(Duration::from_secs(left));
    }
}

/// The key `web` has 1,000 tokens a day, its tenant 5,000 a month; they are kept in this folder.
fn setup(upstream: &Upstream, folder: &Folder) -> Setup {
    Setup::new()
        .pool("main", &[upstream], "")
        .alias("general", &["main"], "")
        .tenant("tokens_per_month: 5000")
        .web("tokens_per_day: 1000")
        .server(&format!("state_dir: \"{}\"", folder.display()))
}

fn spend(daemon: &Daemon, key: &str, times: usize) {
    for _ in 0..times {
        assert_eq!(daemon.client().chat_as(key, &ask_with_cap("general", 10)).status, 200);
    }
    settled(daemon);
}

fn of_day(daemon: &Daemon) -> u64 {
    left(daemon, "acme", "", "web/tokens_per_day")
}

fn of_month(daemon: &Daemon) -> u64 {
    left(daemon, "acme", "", "tokens_per_month")
}

#[test]
fn a_day_that_is_used_up_says_so_until_midnight() {
    let left = well_before_midnight();
    let (upstream, folder) = (Upstream::always(using(200, 300)), Folder::new("state"));
    let daemon = setup(&upstream, &folder).start();
    spend(&daemon, KEY, 2);
    assert_eq!((of_day(&daemon), of_month(&daemon)), (0, 4000));
    let refused = daemon.client().chat(&ask_with_cap("general", 10));
    let wait = assert_limited(&refused, "general");
    assert!((left.saturating_sub(60)..=left).contains(&wait), "{wait}, {left} s before midnight");
    // The other key has no such limit, and its tenant has something left.
    spend(&daemon, KEY_APP, 8);
    let wait = assert_limited(&daemon.client().chat_as(KEY_APP, &ask_with_cap("general", 10)), "general");
    assert!(wait + 60 > left, "{wait}, {left} s before midnight");
    assert_eq!(of_month(&daemon), 0);
}

/// The most that a process may write into a file from now on, in bytes; none is as much as it likes.
fn disk(daemon: &Daemon, most: Option<u64>) {
    let id = i32::try_from(daemon.pid()).ok().and_then(Pid::from_raw);
    assert!(id.is_some());
    prlimit(id, Resource::Fsize, Rlimit { current: most, maximum: None }).expect("it is our child");
}

#[test]
fn a_disk_that_is_full_is_heard_of_and_so_is_its_end() {
    well_before_midnight();
    let (upstream, folder) = (Upstream::always(using(100, 300)), Folder::new("state"));
    // As a full disk is: an error, and no signal.
    let daemon = setup(&upstream, &folder).gateway().first("trap '' XFSZ").start();
    let of_budgets = |notice: &String| notice.split(' ').nth(1) == Some("budgets");
    let notices = || daemon.notices().into_iter().filter(of_budgets).collect::<Vec<_>>();
    spend(&daemon, KEY, 1);
    assert_eq!(notices(), Vec::<String>::new());
    disk(&daemon, Some(0));
    spend(&daemon, KEY, 1);
    assert!(soon(DEADLINE, || !notices().is_empty()), "{}", daemon.stderr());
    let told = notices();
    assert!(told.len() == 1 && told[0].contains("a restart forgets what was used since: "), "{told:?}");
    // It is tried on, and not told each time.
    thread::sleep(Duration::from_millis(1500));
    assert_eq!(daemon.stderr().matches("budgets cannot be kept").count(), 1, "{}", daemon.stderr());
    disk(&daemon, None);
    assert!(soon(DEADLINE, || notices().is_empty()), "{}", daemon.stderr());
    daemon.wait_for("budgets are kept again");
    daemon.signal("KILL");
    let mut daemon = daemon;
    daemon.wait();
    let next = setup(&upstream, &folder).start();
    assert_eq!(of_month(&next), 5000 - 2 * 400);
}

#[test]
fn what_was_used_survives_a_restart() {
    well_before_midnight();
    let (upstream, folder) = (Upstream::always(using(100, 300)), Folder::new("state"));
    let setup = setup(&upstream, &folder);
    for round in 1..=2 {
        let mut daemon = setup.start();
        spend(&daemon, KEY, 1);
        assert_eq!((of_day(&daemon), of_month(&daemon)), (1000 - 400 * round, 5000 - 400 * round));
        daemon.terminate();
        assert!(daemon.wait().success());
    }
    let daemon = setup.start();
    assert_eq!((of_day(&daemon), of_month(&daemon)), (200, 4200));
    // More than is left.
    assert_limited(&daemon.client().chat(&ask_with_cap("general", 300)), "general");
    spend(&daemon, KEY, 1);
    assert_limited(&daemon.client().chat(&ask_with_cap("general", 10)), "general");
}

#[test]
fn a_crash_forgets_a_second_at_most() {
    well_before_midnight();
    let (upstream, folder) = (Upstream::always(using(10, 90)), Folder::new("state"));
    let setup = setup(&upstream, &folder);
    let mut daemon = setup.start();
    spend(&daemon, KEY, 3);
    thread::sleep(Duration::from_secs(1));
    spend(&daemon, KEY, 2);
    daemon.signal("KILL");
    daemon.wait();
    let mut daemon = setup.start();
    let left = of_day(&daemon);
    assert!((500..=700).contains(&left), "{left}");
    // What a crash left is a good beginning for what comes after it.
    spend(&daemon, KEY, 1);
    thread::sleep(Duration::from_secs(1));
    daemon.signal("KILL");
    daemon.wait();
    assert_eq!(of_day(&setup.start()), left - 100);
}

#[test]
fn a_request_that_runs_during_the_stop_is_kept_as_what_it_used() {
    well_before_midnight();
    let folder = Folder::new("state");
    let upstream = Upstream::start(|_| {
        let mut steps = vec![crate::kit::script::Step::Wait("go")];
        steps.extend(using(100, 300));
        steps
    });
    let setup = setup(&upstream, &folder);
    let mut daemon = setup.start();
    let mut client = daemon.client();
    client.send(&crate::kit::client::chat_request(KEY, &ask_with_cap("general", 10)));
    upstream.wait_requests(1);
    daemon.terminate();
    daemon.wait_unready();
    upstream.open("go");
    assert_eq!(client.read().status, 200);
    assert!(daemon.wait().success());
    assert_eq!(of_day(&setup.start()), 600);
}
