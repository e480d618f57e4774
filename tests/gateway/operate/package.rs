//! What systemd is told, and what it is given to read.

use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use super::daemons::Site;
use super::reloads::{Field, serving};
use super::upgrades::answers;

/// A socket that hears what systemd would.
pub struct Ear {
    socket: UnixDatagram,
    path: PathBuf,
    heard: Mutex<String>,
}

impl Ear {
    pub fn new(site: &Site) -> Self {
        let path = site.folder.join("notify");
        let socket = UnixDatagram::bind(&path).expect("a socket");
        socket.set_read_timeout(Some(Duration::from_millis(100))).expect("a socket option");
        Self { socket, path, heard: Mutex::default() }
    }

    pub fn path(&self) -> String {
        self.path.display().to_string()
    }

    /// Waits for a message with these words that has not been waited for, and gives it.
    pub fn wait_for(&self, words: &str) -> String {
        let since = Instant::now();
        let mut message = [0; 4096];
        loop {
            if let Ok(length) = self.socket.recv(&mut message) {
                let text = String::from_utf8_lossy(&message[..length]).into_owned();
                self.heard.lock().expect("nobody panics").push_str(&text);
                if text.contains(words) {
                    return text;
                }
            }
            let heard = self.heard.lock().expect("nobody panics").clone();
            assert!(since.elapsed() < Duration::from_secs(15), "{words} did not come; heard:\n{heard}");
        }
    }

    /// How many messages with these words come in this time.
    pub fn count(&self, words: &str, within: Duration) -> usize {
        let since = Instant::now();
        let (mut message, mut times) = ([0; 4096], 0);
        while since.elapsed() < within {
            if let Ok(length) = self.socket.recv(&mut message) {
                times += usize::from(String::from_utf8_lossy(&message[..length]).contains(words));
            }
        }
        times
    }
}

#[test]
fn systemd_is_told_of_every_step() {
    let field = Field::new(10, 50);
    let mut site = Site::new();
    let ear = Ear::new(&site);
    site.env.push(("NOTIFY_SOCKET".to_owned(), ear.path()));
    site.write(&site.generation(0, &field.farm.url(), ""));
    let mut process = site.spawn(&[]);
    let ready = ear.wait_for("READY=1");
    // It serves from that moment on, and a HUP does not kill it.
    answers(&site);
    assert!(ready.contains("STATUS=serving, configuration 1"), "{ready}");
    process.signal("HUP");
    let reloading = ear.wait_for("RELOADING=1");
    assert!(reloading.contains("MONOTONIC_USEC="), "{reloading}");
    assert!(ear.wait_for("READY=1").contains("configuration 2"));
    site.write("pools: [");
    process.signal("HUP");
    ear.wait_for("RELOADING=1");
    let refused = ear.wait_for("READY=1");
    assert!(
        refused.contains("configuration 2; reload refused: ") && refused.contains("byname.yaml:1:"),
        "{refused}"
    );
    // `systemctl reload` asks in another way, and must not wait for ever.
    assert_eq!(site.run(&["reload"]).status.code(), Some(64));
    ear.wait_for("RELOADING=1");
    ear.wait_for("READY=1");
    process.signal("TERM");
    assert!(ear.wait_for("STOPPING=1").contains("STATUS=stopping"));
    assert_eq!(process.wait(Duration::from_secs(5)).code(), Some(0));
}

#[test]
fn the_watchdog_is_fed_while_the_gateway_answers_and_not_when_it_does_not() {
    let field = Field::new(1, 1);
    let mut site = Site::new();
    let ear = Ear::new(&site);
    site.env.push(("NOTIFY_SOCKET".to_owned(), ear.path()));
    site.env.push(("WATCHDOG_USEC".to_owned(), "600000".to_owned()));
    site.write(&site.generation(0, &field.farm.url(), ""));
    let mut process = site.spawn(&[]);
    ear.wait_for("READY=1");
    assert!(ear.count("WATCHDOG=1", Duration::from_secs(2)) >= 5);
    process.signal("STOP");
    assert!(ear.count("WATCHDOG=1", Duration::from_secs(1)) <= 1);
    process.signal("CONT");
    ear.wait_for("WATCHDOG=1");
    process.signal("TERM");
    process.wait(Duration::from_secs(5));
}

#[test]
fn a_reload_by_command_says_what_came_of_it() {
    let field = Field::new(1, 1);
    let (site, _process) = serving(&field, "");
    let good = site.run(&["reload"]);
    assert!(
        good.status.success() && String::from_utf8_lossy(&good.stdout).contains("configuration 2 is taken")
    );
    site.write(&site.generation(0, &field.farm.url(), "  thread: 3\n"));
    let bad = site.run(&["reload"]);
    let told = String::from_utf8_lossy(&bad.stderr);
    assert_eq!(bad.status.code(), Some(64));
    assert!(
        told.contains("byname.yaml:4:3: server.thread: there is no such field; did you mean 'threads'?"),
        "{told}"
    );
}

fn units() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("systemd")
}

/// A copy of the units whose program is the one under test.
fn staged(site: &Site) -> Vec<PathBuf> {
    ["byname.service", "low-ports/byname.socket"]
        .iter()
        .map(|unit| {
            let text = std::fs::read_to_string(units().join(unit)).expect("a unit");
            let staged = site.folder.join(Path::new(unit).file_name().expect("a file's name"));
            let text = text.replace("/usr/bin/byname", env!("CARGO_BIN_EXE_byname"));
            // The manual is where the package puts it.
            let text: String = text
                .lines()
                .filter(|line| !line.starts_with("Documentation="))
                .map(|line| format!("{line}\n"))
                .collect();
            std::fs::write(&staged, text).expect("a file");
            staged
        })
        .collect()
}

#[test]
fn the_units_are_clean_and_little_exposed() {
    let site = Site::new();
    let staged = staged(&site);
    let verify =
        Command::new("systemd-analyze").args(["verify", "--recursive-errors=yes"]).args(&staged).output();
    let verify = verify.expect("systemd-analyze is installed; run tests/setup.sh");
    let said = [verify.stdout, verify.stderr].concat();
    assert!(verify.status.success() && said.is_empty(), "{}", String::from_utf8_lossy(&said));
    let exposure = Command::new("systemd-analyze")
        .args(["security", "--offline=true", "--no-pager", "--threshold=12"])
        .arg(&staged[0])
        .output()
        .expect("systemd-analyze is installed");
    let said = String::from_utf8_lossy(&exposure.stdout).into_owned();
    let level =
        said.lines().find(|line| line.contains("Overall exposure level")).unwrap_or("no figure").to_owned();
    println!("{level}");
    assert!(exposure.status.success(), "{level}");
}

/// The manual's pages are clean, the package installs them, and they leave nothing out.
#[test]
fn the_manual_is_clean_and_whole() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let package = std::fs::read_to_string(root.join("Cargo.toml")).expect("it is there");
    for name in ["byname.8", "byname.yaml.5"] {
        let page = root.join("conf/man").join(name);
        assert!(package.contains(&format!("\"conf/man/{name}\"")), "{name} is not in the package");
        let lint = Command::new("mandoc").args(["-Tlint", "-Wwarning"]).arg(&page).output();
        let lint = lint.expect("mandoc is installed; run tests/setup.sh");
        let said = String::from_utf8_lossy(&lint.stdout).into_owned();
        assert!(lint.status.success() && said.is_empty(), "{said}");
    }
    let of_program = std::fs::read_to_string(root.join("conf/man/byname.8")).expect("a page");
    let help = Command::new(env!("CARGO_BIN_EXE_byname")).arg("--help").output().expect("help").stdout;
    let help = String::from_utf8_lossy(&help).into_owned();
    let words = help.split(|c: char| !(c.is_alphanumeric() || c == '-'));
    for option in words.filter_map(|word| word.strip_prefix("--")) {
        assert!(of_program.contains(&format!(", -{option}")), "--{option} is not in byname.8");
    }
    let of_file = std::fs::read_to_string(root.join("conf/man/byname.yaml.5")).expect("a page");
    told_of(byname::config::FIELDS, &of_file);
}

/// Every field stands in the page, with what the tables say of it.
fn told_of(fields: &[byname::config::form::Field], page: &str) {
    use byname::config::form::Form;
    for field in fields {
        assert!(page.contains(&format!(".It Ic {} :", field.name)), "{} is not in byname.yaml.5", field.name);
        let mut form = &field.form;
        while let Form::List(of, _) | Form::Named(of, _) = form {
            form = of;
        }
        match form {
            Form::Section(fields) => told_of(fields, page),
            Form::Text | Form::Like(_) | Form::Digest | Form::Truth | Form::Whole(..) | Form::Duration => {}
            Form::Size | Form::Percent | Form::Words(_) | Form::Either(_) | Form::OneOf(_) => {}
            Form::List(..) | Form::Named(..) => {}
        }
    }
}

/// What the unit says agrees with what the program does.
#[test]
fn the_unit_waits_longer_than_the_daemon_drains() {
    let text = std::fs::read_to_string(units().join("byname.service")).expect("the unit");
    let seconds = |name: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('='));
        line.and_then(|value| value.trim_end_matches('s').parse::<u64>().ok()).expect("a number of seconds")
    };
    let full = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("conf/full.yaml"))
        .expect("it is there");
    assert!(full.contains("drain: 60s") && seconds("TimeoutStopSec") > 60 + 5);
    assert!(text.contains("RestartPreventExitStatus=64") && text.contains("Type=notify\n"));
}

/// Logs in files: the unit may write them, the package rotates them, and what is written about it is one place.
#[test]
fn logs_can_be_files_and_are_rotated() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let text =
        |name: &str| std::fs::read_to_string(root.join(name)).unwrap_or_else(|why| panic!("{name}: {why}"));
    let unit = text("systemd/byname.service");
    for line in ["LogsDirectory=byname\n", "LogsDirectoryMode=0750\n", "ProtectSystem=strict\n"] {
        assert!(unit.contains(line), "{line}");
    }
    let package = text("Cargo.toml");
    assert!(package.contains("[\"systemd/byname.logrotate\", \"etc/logrotate.d/byname\", \"644\"]"));
    assert!(package.contains("\"/etc/logrotate.d/byname\"]"), "what an operator changes there is kept");
    let rotation = text("systemd/byname.logrotate");
    assert!(rotation.contains("\n/var/log/byname/*.log {\n") && rotation.ends_with("}\n"), "{rotation}");
    assert!(rotation.contains("systemctl reload byname.service"), "{rotation}");
    assert!(text("README.md").contains("{ file: /var/log/byname/access.log }"));
}

/// systemd's socket activation: sockets at 3 and up, for the process whose id stands in `LISTEN_PID`.
#[test]
fn sockets_that_systemd_has_opened_are_taken() {
    let field = Field::new(1, 1);
    let site = Site::new();
    site.write(&site.generation(0, &field.farm.url(), ""));
    // Python passes a socket as descriptor 3 and becomes the program.
    let script = "import os, socket, sys\n\
        host, port = sys.argv[1].rsplit(':', 1)\n\
        s = socket.socket(); s.bind((host, int(port))); s.listen()\n\
        os.dup2(s.fileno(), 3); os.set_inheritable(3, True)\n\
        os.environ.update(LISTEN_FDS='1', LISTEN_PID=str(os.getpid()))\n\
        os.execv(sys.argv[2], sys.argv[2:])\n";
    let mut child = Command::new("python3")
        .args(["-c", script, &site.listen.to_string(), env!("CARGO_BIN_EXE_byname"), "-c"])
        .arg(site.config())
        .env("RUNTIME_DIRECTORY", site.folder.join("run"))
        .spawn()
        .expect("python3");
    let since = Instant::now();
    while site.pid().is_none() {
        assert!(since.elapsed() < Duration::from_secs(30), "it does not serve");
        std::thread::sleep(Duration::from_millis(20));
    }
    answers(&site);
    child.kill().expect("our own child");
    child.wait().expect("our own child");
}
