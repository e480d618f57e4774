//! Fifty faults of a configuration, each met three ways: by `-t`, at a start, and on a reload of a daemon that
//! serves a stream meanwhile. Each is told with file, line, column and path, and what runs goes on.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::process::{Command, Output};
use std::time::Duration;

use super::daemons::{Process, Site};
use super::reloads::{Field, finish, open};
use super::upgrades::answers;
use crate::kit::config::digest;
use crate::kit::table::Table;
use crate::kit::{KEY, ports};

/// What becomes of a fault one way.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Then {
    /// 64, with the complaint.
    Refused,
    /// It is taken, with the complaint as a warning.
    Warned,
    /// It is taken, and nothing is said: it is no fault this way.
    Taken,
}
use Then::{Refused, Taken, Warned};

/// A daemon that serves, a place to start another one, and what is good.
struct Ground {
    field: Field,
    serving: Site,
    starting: Site,
    process: Process,
    generation: f64,
    refused: f64,
}

impl Ground {
    fn new() -> Self {
        let field = Field::new(1200, 50);
        let (serving, starting) = (Site::new(), Site::new());
        serving.write(&serving.generation(0, &field.farm.url(), ""));
        let process = serving.start(&[]);
        Self { field, serving, starting, process, generation: 1.0, refused: 0.0 }
    }

    fn good(&self, site: &Site) -> String {
        site.generation(0, &self.field.farm.url(), "")
    }

    /// Meets a fault all three ways. `put` puts it into a folder that has a good configuration; `told` is how its
    /// complaint begins after the file's folder: `byname.yaml:3:5: server.listen: `, `*` standing for any number.
    fn meet(&mut self, put: impl Fn(&Site, &str), told: &str, then: [Then; 3]) -> String {
        let [test, start, reload] = then;
        for site in [&self.serving, &self.starting] {
            tidy(site);
            site.write(&self.good(site));
            put(site, &self.good(site));
        }
        let tested = self.starting.run(&["-t"]);
        expect("-t", &tested, test, told);
        let first = String::from_utf8_lossy(&tested.stderr).lines().next().unwrap_or_default().to_owned();
        let mut started = self.starting.spawn(&[]);
        match start {
            Refused => {
                let status = started.wait(Duration::from_secs(20));
                assert_eq!(status.code(), Some(64), "start: {}", started.said());
                assert!(holds(&started.said(), told), "start: {} does not say {told}", started.said());
            }
            Warned => {
                started.wait_for("serving on");
                assert!(holds(&started.said(), told), "start: {} does not say {told}", started.said());
            }
            Taken => started.wait_for("serving on"),
        }
        drop(started);
        expect("reload", &self.serving.run(&["reload"]), reload, told);
        match reload {
            Refused => self.refused += 1.0,
            Warned | Taken => self.generation += 1.0,
        }
        assert!(self.process.runs(), "the daemon is gone: {}", self.process.said());
        let metric = |name: &str| self.serving.metric(name);
        assert_eq!(metric("byname_config_generation"), self.generation);
        assert_eq!(metric("byname_config_reloads_total{outcome=\"refused\"}"), self.refused);
        assert_eq!(metric("byname_config_last_reload_successful"), f64::from(u8::from(reload != Refused)));
        answers(&self.serving);
        let shown = first
            .split_once("byname-site-")
            .and_then(|(_, rest)| rest.split_once('/'))
            .map_or(&*first, |p| p.1);
        shown.chars().take(150).collect()
    }

    fn refused(&mut self, put: impl Fn(&Site, &str), told: &str) -> String {
        self.meet(put, told, [Refused; 3])
    }

    /// A fault that is one text in place of another.
    fn replaced(&mut self, old: &str, new: &str, told: &str) -> String {
        self.refused(
            |site, good| {
                assert!(good.contains(old), "there is no {old}");
                site.write(&good.replacen(old, new, 1));
            },
            told,
        )
    }
}

fn expect(way: &str, output: &Output, then: Then, told: &str) {
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    let code = if then == Refused { 64 } else { 0 };
    assert_eq!(output.status.code(), Some(code), "{way}: {said}");
    match (then, way) {
        // What a reload warns of stands among the daemon's events.
        (Taken, _) | (Warned, "reload") => {}
        (Refused | Warned, _) => assert!(holds(&said, told), "{way}: {said} does not say {told}"),
    }
}

/// Whether a text has a line with these words, `*` standing for any number.
fn holds(text: &str, words: &str) -> bool {
    text.lines().any(|line| {
        let mut rest = line;
        words.split('*').enumerate().all(|(place, part)| {
            let digits = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
            let found =
                if place == 0 { rest.find(part) } else { rest[digits..].starts_with(part).then_some(digits) };
            found.map(|at| rest = &rest[at + part.len()..]).is_some()
        })
    })
}

/// Removes what the fault before has left.
fn tidy(site: &Site) {
    for entry in fs::read_dir(&*site.folder).expect("our own folder").map_while(Result::ok) {
        let name = entry.file_name().to_string_lossy().into_owned();
        if name == "run" || name.starts_with("events") {
            continue;
        }
        let is_folder = entry.file_type().is_ok_and(|kind| kind.is_dir());
        let _ = if is_folder { fs::remove_dir_all(entry.path()) } else { fs::remove_file(entry.path()) };
    }
}

fn file(site: &Site, name: &str, bytes: &[u8], mode: u32) {
    let path = site.folder.join(name);
    fs::create_dir_all(path.parent().expect("a folder")).expect("our own folder");
    fs::write(&path, bytes).expect("a file");
    fs::set_permissions(&path, fs::Permissions::from_mode(mode)).expect("our own file");
}

/// With a key for the backend, from here.
fn keyed(good: &str, secret: &str) -> String {
    good.replacen("backends: [ { ", &format!("backends: [ {{ key: {secret}, "), 1)
}

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

#[test]
fn fifty_faults_are_told_three_ways_and_nothing_else_changes() {
    let title = "Faults of a configuration: 50 cases, by -t, at a start and on a reload";
    let mut table = Table::new(title, "OPERATE");
    let mut ground = Ground::new();
    let stream = open(&ground.serving, "general");
    files(&mut table, &mut ground);
    fields(&mut table, &mut ground);
    secrets(&mut table, &mut ground);
    values(&mut table, &mut ground);
    sockets(&mut table, &mut ground);
    names(&mut table, &mut ground);
    table.case("CF-50", "written in place while it is read, 60 times", || written_in_place(&ground));
    drop(ground.process);
    drop(stream);
    table.done("CF", 50);
}

/// The stream that was open all the time is whole, whatever was refused.
#[test]
fn a_stream_outlives_a_hundred_refusals() {
    let field = Field::new(40, 50);
    let site = Site::new();
    site.write(&site.generation(0, &field.farm.url(), ""));
    let _process = site.start(&[]);
    let stream = open(&site, "general");
    site.write("tenants: [");
    for _ in 0..100 {
        assert_eq!(site.run(&["reload"]).status.code(), Some(64));
    }
    assert!(finish(stream) >= 40);
}

fn files(table: &mut Table, ground: &mut Ground) {
    let remove = |site: &Site| fs::remove_file(site.config()).expect("our own file");
    let whole = "byname.yaml:1:1: whole file: cannot be read: ";
    table.case("CF-01", "file missing", || ground.refused(|site, _| remove(site), whole));
    table.case(
        "CF-02",
        if is_root() { "a link to nowhere (root may read everything)" } else { "file unreadable" },
        || {
            ground.refused(
                |site, good| {
                    remove(site);
                    if is_root() {
                        symlink("nowhere", site.config()).expect("a link");
                    } else {
                        file(site, "byname.yaml", good.as_bytes(), 0);
                    }
                },
                whole,
            )
        },
    );
    table.case("CF-03", "a directory", || {
        let put = |site: &Site, _: &str| {
            remove(site);
            fs::create_dir(site.config()).expect("a folder");
        };
        ground.refused(put, &format!("{whole}it is a directory"))
    });
    table.case("CF-04", "empty file", || {
        ground.refused(|site, _| site.write(""), "byname.yaml:1:1: whole file: is empty")
    });
    table.case("CF-05", "truncated in the middle", || {
        ground.refused(|site, good| site.write(&good[..good.len() - 30]), "byname.yaml:*:*: ")
    });
    table.case("CF-06", "tabs", || ground.replaced("  main:", "\tmain:", "byname.yaml:*:*: "));
    table.case("CF-07", "broken JSON include", || {
        ground.refused(
            |site, good| {
                file(site, "more.json", br#"{"tenants": {"globex": }"#, 0o644);
                site.write(&format!("{good}include: [ more.json ]\n"));
            },
            "more.json:1:",
        )
    });
    table.case("CF-08", "invalid UTF-8", || {
        let put = |site: &Site, good: &str| {
            file(site, "byname.yaml", &[good.as_bytes(), b"# \xff\n"].concat(), 0o644)
        };
        ground.refused(put, &format!("{whole}it is not UTF-8 in line 13"))
    });
    table.case("CF-09", "NUL byte", || {
        ground.refused(
            |site, good| site.write(&good.replace("main:", "ma\0in:")),
            "byname.yaml:5:*: whole file: holds a control character",
        )
    });
    table.case("CF-10", "100 MiB", || {
        let put = |site: &Site, good: &str| {
            let big = fs::OpenOptions::new().write(true).open(site.config()).expect("our own file");
            big.set_len(100 << 20).expect("room");
            assert!(!good.is_empty());
        };
        ground.refused(put, &format!("{whole}it is larger than"))
    });
    table.case("CF-11", "anchors that multiply", || {
        let bomb = "a: &a [x, x, x]\nb: &b [*a, *a, *a]\nc: [*b, *b, *b]\n";
        ground.refused(|site, good| site.write(&format!("{bomb}{good}")), "byname.yaml:1:*: ")
    });
    table.case("CF-12", "10,000 levels", || {
        ground.refused(
            |site, good| {
                site.write(&format!("{good}include: {}{}\n", "[".repeat(10_000), "]".repeat(10_000)))
            },
            "byname.yaml:13:*: ",
        )
    });
    table.case("CF-48", "include outside of the directory, and a link in a circle", || {
        let told = ground.refused(
            |site, good| site.write(&format!("{good}include: [ ../elsewhere.yaml ]\n")),
            "byname.yaml:13:*: include[0]: leads out of the directory",
        );
        ground.refused(
            |site, good| {
                symlink("circle.yaml", site.folder.join("circle.yaml")).expect("a link");
                site.write(&format!("{good}include: [ circle.yaml ]\n"));
            },
            "byname.yaml:13:*: include[0]: cannot be read: ",
        );
        ground.refused(
            |site, good| {
                symlink("/etc/hostname", site.folder.join("out.yaml")).expect("a link");
                site.write(&format!("{good}include: [ \"*.yaml\" ]\n"));
            },
            "byname.yaml:13:*: include[0]: cannot be read: ",
        );
        told
    });
}

fn fields(table: &mut Table, ground: &mut Ground) {
    table.case("CF-13", "unknown field at the top", || {
        ground.replaced("pools:", "colour: red\npools:", "byname.yaml:4:1: colour: there is no such field")
    });
    table.case("CF-14", "a slip in a nested field", || {
        ground.replaced(
            "backends:",
            "backend:",
            "byname.yaml:6:5: pools.main.backend: there is no such field; did you mean 'backends'?",
        )
    });
    table.case("CF-15", "a field twice", || {
        ground.replaced(
            "  admin:",
            "  threads: 2\n  threads: 2\n  admin:",
            "byname.yaml:4:3: server: 'threads' is written twice",
        )
    });
    table.case("CF-16", "wrong types: text, `yes`, 0777, 1:30", || {
        let mut told = String::new();
        for (field, value) in
            [("threads", "two"), ("openai_models", "yes"), ("threads", "0777"), ("drain", "1:30")]
        {
            let new = format!("  {field}: {value}\n  admin:");
            told = ground.replaced("  admin:", &new, &format!("byname.yaml:3:*: server.{field}: "));
        }
        told
    });
    table.case("CF-17", "a route to a pool that is not there", || {
        ground.replaced(
            "pool: main",
            "pool: mian",
            "byname.yaml:12:*: tenants.acme.models.general.routes[0].pool: ",
        )
    });
    table.case("CF-18", "a key that grants what there is not", || {
        ground.replaced(
            "keys: { web: { ",
            "keys: { web: { scopes: [ chats ], ",
            "byname.yaml:9:*: tenants.acme.keys.web.scopes[0]: ",
        )
    });
    table.case("CF-19", "a pool without a backend", || {
        let put = |site: &Site, good: &str| {
            let (before, rest) = good.split_once("backends: [").expect("it is there");
            let after = rest.split_once('\n').expect("a line").1;
            site.write(&format!("{before}backends: []\n{after}"));
        };
        ground.refused(put, "byname.yaml:6:*: pools.main.backends: ")
    });
    table.case("CF-20", "two tenants with one key", || {
        let put = |site: &Site, good: &str| {
            site.write(&format!("{good}  globex:\n    keys: {{ web: {{ sha256: \"{}\" }} }}\n", digest(KEY)));
        };
        ground.refused(put, "byname.yaml:14:*: tenants.globex.keys.web.sha256: ")
    });
    table.case("CF-21", "a key in clear", || {
        ground.replaced(&digest(KEY), KEY, "byname.yaml:9:*: tenants.acme.keys.web.sha256: ")
    });
    table.case("CF-22", "a digest of another length, and of another kind", || {
        ground.replaced(&digest(KEY), "sha512:00", "byname.yaml:9:*: tenants.acme.keys.web.sha256: ");
        ground.replaced(&digest(KEY), &digest(KEY)[..63], "byname.yaml:9:*: tenants.acme.keys.web.sha256: ")
    });
}

fn secrets(table: &mut Table, ground: &mut Ground) {
    let key = "byname.yaml:6:*: pools.main.backends[0].key: ";
    table.case("CF-23", "secret file missing", || {
        ground.refused(|site, good| site.write(&keyed(good, "{ file: nowhere.key }")), key)
    });
    table.case("CF-24", "secret file that everyone can read: taken, with a warning", || {
        let put = |site: &Site, good: &str| {
            file(site, "open.key", b"hunter2\n", 0o644);
            site.write(&keyed(good, "{ file: open.key }"));
        };
        ground.meet(put, &format!("{key}open.key can be read by everyone"), [Warned; 3])
    });
    table.case("CF-25", "secret empty, with a line end, of 1 MiB, not set", || {
        let with = |bytes: Vec<u8>| {
            move |site: &Site, good: &str| {
                file(site, "a.key", &bytes, 0o600);
                site.write(&keyed(good, "{ file: a.key }"));
            }
        };
        ground.refused(with(b"\n".to_vec()), &format!("{key}the secret is empty"));
        ground.refused(with(vec![b'x'; 1 << 20]), &format!("{key}a.key: is larger than"));
        ground.meet(with(b"hunter2\n".to_vec()), "", [Taken; 3]);
        // A terminal's environment is not the daemon's.
        let unset = |site: &Site, good: &str| site.write(&keyed(good, "{ env: BYNAME_NOT_SET }"));
        ground.meet(
            unset,
            &format!("{key}the environment variable BYNAME_NOT_SET is not set"),
            [Warned, Refused, Refused],
        );
        for site in [&mut ground.serving, &mut ground.starting] {
            site.env.push(("INVOCATION_ID".to_owned(), "0".to_owned()));
        }
        let told = ground.refused(unset, &format!("{key}the environment variable BYNAME_NOT_SET is not set"));
        for site in [&mut ground.serving, &mut ground.starting] {
            site.env.pop();
        }
        told
    });
}

fn values(table: &mut Table, ground: &mut Ground) {
    let url = "byname.yaml:6:*: pools.main.backends[0].url: ";
    let to = |ground: &mut Ground, value: &str, told: &str| {
        let old = format!("\"{}\"", ground.field.farm.url());
        ground.replaced(&old, &format!("\"{value}\""), told)
    };
    table.case("CF-26", "a URL with a password", || to(ground, "http://user:hunter2@127.0.0.1:1/v1", url));
    table.case("CF-27", "certificates for a backend without TLS", || {
        ground.replaced(
            "backends: [ { ",
            "backends: [ { tls: { ca: ca.pem }, ",
            "byname.yaml:6:*: pools.main.backends[0].tls",
        )
    });
    table.case("CF-28", "no host, port 0, port 70000", || {
        to(ground, "http:///v1", url);
        to(ground, "http://127.0.0.1:0/v1", url);
        to(ground, "http://127.0.0.1:70000/v1", url)
    });
    table.case("CF-29", "a backend twice", || {
        let url = ground.field.farm.url();
        ground.replaced(
            "backends: [ ",
            &format!("backends: [ {{ url: \"{url}\" }}, "),
            "byname.yaml:6:*: pools.main.backends[1]: ",
        )
    });
    table.case("CF-30", "weights 0, negative, not a number", || {
        let mut told = String::new();
        for weight in ["0", "-1", ".nan"] {
            told = ground.replaced(
                "backends: [ { ",
                &format!("backends: [ {{ weight: {weight}, "),
                "byname.yaml:6:*: pools.main.backends[0].weight: ",
            );
        }
        told
    });
    table.case("CF-31", "limits 0, negative, 10/fortnight", || {
        let mut told = String::new();
        for limit in ["0", "-1", "10/fortnight"] {
            told = ground.replaced(
                "requests_per_minute: 1000000",
                &format!("requests_per_minute: {limit}"),
                "byname.yaml:10:*: tenants.acme.limits.requests_per_minute: ",
            );
        }
        told
    });
    table.case("CF-32", "timeouts without a unit, 0, negative, ten years", || {
        let mut told = String::new();
        for time in ["5", "0s", "-1s", "3650d"] {
            told = ground.replaced(
                "    backends:",
                &format!("    timeouts: {{ idle: {time} }}\n    backends:"),
                "byname.yaml:6:*: pools.main.timeouts.idle: ",
            );
        }
        told
    });
    table.case("CF-33", "connecting may take longer than all", || {
        ground.replaced(
            "    backends:",
            "    timeouts: { connect: 5s, total: 2s }\n    backends:",
            "byname.yaml:6:*: pools.main.timeouts.connect: ",
        )
    });
    table.case("CF-34", "a body larger than all bodies together", || {
        ground.replaced(
            "  admin:",
            "  max_body: 64MiB\n  max_buffered: 32MiB\n  admin:",
            "byname.yaml:*:*: server.max_buffered: ",
        )
    });
    table.case("CF-40", "a listener's certificate: missing, expired, of another key, its key locked", || {
        tls(ground)
    });
    table.case("CF-41", "an empty CA bundle", || {
        let old = format!("url: \"{}\"", ground.field.farm.url());
        let put = move |site: &Site, good: &str| {
            file(site, "ca.pem", b"", 0o644);
            site.write(&good.replacen(&old, "url: \"https://127.0.0.1:1/v1\", tls: { ca: ca.pem }", 1));
        };
        ground.refused(put, "byname.yaml:6:*: pools.main.backends[0].tls.ca: ")
    });
    table.case("CF-42", "a fallback in a circle: routes are a list, so only one twice", || {
        let route = "{ pool: main, model: gen-0 }";
        ground.replaced(
            route,
            &format!("{route}, {{ pool: main, model: b }}, {route}"),
            "byname.yaml:12:*: tenants.acme.models.general.routes[2]: ",
        )
    });
    table.case("CF-43", "a fallback to itself", || {
        let route = "{ pool: main, model: gen-0 }";
        ground.replaced(
            route,
            &format!("{route}, {route}"),
            "byname.yaml:12:*: tenants.acme.models.general.routes[1]: ",
        )
    });
    table.case("CF-47", "a version of tomorrow", || {
        ground.replaced("server:", "version: 99\nserver:", "byname.yaml:1:1: version: there is no such field")
    });
    table.case("CF-49", "good, and every backend is down: taken, without loss", || {
        let gone = ports::free();
        let put = move |site: &Site, good: &str| {
            let down = format!("  gone:\n    health: {{ interval: 100ms, timeout: 100ms }}\n    backends: [ {{ url: \"http://{gone}/v1\" }} ]\n");
            site.write(&good.replace("tenants:", &format!("{down}tenants:")));
        };
        ground.meet(put, "", [Taken; 3])
    });
}

/// A certificate of a listener's own for each of these, and its key.
fn tls(ground: &mut Ground) -> String {
    let make = |expired: bool| {
        let mut params = rcgen::CertificateParams::new(vec!["gateway.test".to_owned()]).expect("a good name");
        if expired {
            params.not_before = rcgen::date_time_ymd(2020, 1, 1);
            params.not_after = rcgen::date_time_ymd(2020, 2, 1);
        }
        let key = rcgen::KeyPair::generate().expect("a key");
        (params.self_signed(&key).expect("a certificate").pem(), key.serialize_pem())
    };
    let (good, key) = make(false);
    let (old, old_key) = make(true);
    let locked = "-----BEGIN ENCRYPTED PRIVATE KEY-----\nMAA=\n-----END ENCRYPTED PRIVATE KEY-----\n";
    let mut told = String::new();
    for (cert, key, field) in [
        (None, &*key, "cert"),
        (Some(&*old), &*old_key, "cert"),
        (Some(&*good), &*old_key, "key"),
        (Some(&*good), locked, "key"),
    ] {
        let put = |site: &Site, text: &str| {
            if let Some(cert) = cert {
                file(site, "tls.crt", cert.as_bytes(), 0o644);
            }
            file(site, "tls.key", key.as_bytes(), 0o600);
            let listen = format!("\"{}\"", site.listen);
            let with = format!("{{ address: {listen}, tls: {{ cert: tls.crt, key: tls.key }} }}");
            site.write(&text.replacen(&listen, &with, 1));
        };
        // Whether a listener speaks TLS is for a start to say, so the complaint of a reload is another one.
        let [test, start] =
            [format!("byname.yaml:2:*: server.listen[0].tls.{field}: "), "byname.yaml:2:".to_owned()];
        told = ground.refused(put, &start);
        assert!(holds(&format!("byname.yaml:{}", told.trim_start_matches("byname.yaml:")), &test), "{told}");
    }
    told
}

fn sockets(table: &mut Table, ground: &mut Ground) {
    table.case("CF-35", "an address in use: told at a start; a reload does not change addresses", || {
        let other = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        let taken = other.local_addr().expect("an address");
        let put = move |site: &Site, good: &str| {
            site.write(&good.replacen(&site.listen.to_string(), &taken.to_string(), 1))
        };
        ground.meet(put, "byname.yaml:2:11: server.listen", [Taken, Refused, Refused])
    });
    table.case("CF-36", "a port below 1024 without the capability", || {
        let site = Site::new();
        let good = ground.good(&site);
        site.write(&good.replacen(&site.listen.to_string(), "127.0.0.1:81", 1));
        let first = fs::read_to_string("/proc/sys/net/ipv4/ip_unprivileged_port_start").unwrap_or_default();
        let mut command = Command::new(if is_root() { "setpriv" } else { "env" });
        if is_root() {
            command.args(["--bounding-set=-net_bind_service", "--inh-caps=-net_bind_service"]);
        }
        let output = command
            .args([env!("CARGO_BIN_EXE_byname"), "-c"])
            .arg(site.config())
            .env("RUNTIME_DIRECTORY", site.folder.join("run"));
        if first.trim().parse::<u32>().unwrap_or(1024) <= 81 {
            return "not here: this system lets everyone have every port".to_owned();
        }
        let output = output.output().expect("it can be started");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(64), "{said}");
        assert!(
            said.contains("byname.yaml:2:11: server.listen") && said.contains("CAP_NET_BIND_SERVICE"),
            "{said}"
        );
        "64, and told how to get it".to_owned()
    });
    table.case("CF-37", "other listeners on a reload", || {
        let (other, old) = (ports::free(), ground.serving.listen);
        let put = move |site: &Site, good: &str| {
            // The place where nothing runs may have it.
            let new = if site.listen == old { other.to_string() } else { ports::free().to_string() };
            site.write(&good.replacen(&site.listen.to_string(), &new, 1));
        };
        let told = format!(
            "byname.yaml:2:11: server.listen: cannot be changed by a reload: it is {old} and would be {other}"
        );
        ground.meet(put, &told, [Taken, Taken, Refused]);
        told
    });
    table.case("CF-38", "two listeners with one address", || {
        let put = |site: &Site, good: &str| {
            let listen = format!("\"{}\"", site.listen);
            site.write(&good.replacen(&listen, &format!("[ {listen}, {listen} ]"), 1));
        };
        ground.refused(put, "byname.yaml:2:*: server.listen[1]: overlaps")
    });
    table.case("CF-39", "the operator's pages on a public address", || {
        let put = |site: &Site, good: &str| {
            site.write(&good.replacen(&site.admin.to_string(), &format!("0.0.0.0:{}", site.admin.port()), 1));
        };
        ground.refused(put, "byname.yaml:3:*: server.admin: ")
    });
}

fn names(table: &mut Table, ground: &mut Ground) {
    table.case("CF-44", "an alias that looks like a pattern: it is a name, and means itself", || {
        let put = |site: &Site, good: &str| {
            let more = "      \"gen(*\": { routes: [ { pool: main, model: m } ] }\n";
            site.write(&format!("{good}{more}"));
        };
        ground.meet(put, "", [Taken; 3])
    });
    table.case("CF-45", "an alias with control characters, and one of 1 MiB", || {
        ground.replaced("general:", "\"gen\\u0007eral\":", "byname.yaml:12:*: tenants.acme.models.");
        let long = "a".repeat(1 << 20);
        ground.refused(
            move |site, good| site.write(&good.replace("general:", &format!("\"{long}\":"))),
            "byname.yaml:12:*: ",
        )
    });
    table.case("CF-46", "100,001 tenants", || {
        let many = |site: &Site, good: &str| {
            let tenants: String = (0..100_001)
                .map(|n| {
                    format!(
                        "  t{n}: {{}}
"
                    )
                })
                .collect();
            site.write(&format!("{good}{tenants}"));
        };
        ground.refused(many, "byname.yaml:*:*: ")
    });
}

/// A writer that writes in place, line by line, while it is read: what is taken is one of what was written.
fn written_in_place(ground: &Ground) -> String {
    let site = &ground.serving;
    tidy(site);
    let texts =
        [site.generation(1, &ground.field.farm.url(), ""), site.generation(2, &ground.field.farm.url(), "")];
    let over = std::sync::atomic::AtomicBool::new(false);
    let (mut taken, mut refused) = (0, 0);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for number in (0..2).cycle() {
                if over.load(std::sync::atomic::Ordering::Relaxed) {
                    return;
                }
                write_slowly(&site.config(), &texts[number]);
            }
        });
        let _over = Over(&over);
        for _ in 0..60 {
            match site.run(&["reload"]).status.code() {
                Some(0) => {
                    taken += 1;
                    let answer = crate::kit::client::Client::connect(site.listen)
                        .chat(&crate::kit::client::ask("general"));
                    let (text, limit) =
                        (answer.text(), answer.header("x-ratelimit-limit-requests").map(str::to_owned));
                    let whole = [("gen-1", "1000001"), ("gen-2", "1000002")];
                    assert!(
                        whole.iter().any(|(model, of)| text.contains(model) && limit.as_deref() == Some(of)),
                        "half of one was taken: {text} {limit:?}"
                    );
                }
                Some(64) => refused += 1,
                other => panic!("{other:?}"),
            }
        }
    });
    assert!(taken + refused == 60);
    format!("{taken} taken whole, {refused} refused")
}

/// Ends the writer, however the reader ends.
struct Over<'a>(&'a std::sync::atomic::AtomicBool);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.store(true, std::sync::atomic::Ordering::Relaxed);
    }
}

fn write_slowly(path: &Path, text: &str) {
    use std::io::Write;
    let mut file = fs::File::create(path).expect("our own file");
    for line in text.split_inclusive('\n') {
        file.write_all(line.as_bytes()).expect("room");
        std::thread::sleep(Duration::from_micros(200));
    }
    drop(file);
    std::thread::sleep(Duration::from_millis(30));
}
