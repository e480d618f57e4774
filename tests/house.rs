//! The house's rules as a test: imports point down only, sockets and files stay where they belong, and
//! the request path has no way to panic.

#![allow(clippy::unwrap_used, reason = "a test that cannot read the sources has failed")]

use std::fs;
use std::path::{Path, PathBuf};

/// Every room and its floor, lowest first.
const FLOORS: &[(&str, u8)] = &[
    ("names", 0),
    ("error", 0),
    ("metrics", 0),
    ("wire", 1),
    ("rules", 2),
    ("config", 3),
    ("proxy", 4),
    ("daemon", 5),
];

/// What may only be named on these floors, and why.
const KEPT: &[(&str, &[u8], &str)] = &[
    ("std::fs", &[5], "files belong to daemon/"),
    ("std::net::Tcp", &[5], "sockets belong to daemon/"),
    ("tokio::net", &[4, 5], "sockets belong to proxy/ and daemon/"),
    ("std::env::var", &[5], "the environment belongs to daemon/"),
    ("SystemTime::now", &[4, 5], "time is an argument below proxy/"),
    ("Instant::now", &[4, 5], "time is an argument below proxy/"),
    ("pingora_proxy::", &[4], "only proxy/ knows Pingora's proxy"),
    ("pingora_core", &[4, 5], "the pure rooms know no framework"),
    ("structopt", &[5], "the command line belongs to daemon/cli.rs"),
    ("serde_json::Value", &[5], "the request path builds no trees"),
    ("process::exit", &[5], "only the daemon ends the process"),
];

struct Source {
    path: PathBuf,
    room: String,
    /// Without the tests at its end.
    code: String,
}

fn sources() -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut found = Vec::new();
    walk(&root, &mut |path| {
        let inside = path.strip_prefix(&root).unwrap().to_path_buf();
        let first = inside.iter().next().unwrap().to_string_lossy();
        let room = first.trim_end_matches(".rs").to_string();
        let text = fs::read_to_string(path).unwrap();
        let is_test = path.ends_with("tests.rs") || inside.components().any(|c| c.as_os_str() == "tests");
        if room != "main" && room != "lib" && !is_test {
            let code = text.split("#[cfg(test)]").next().unwrap().to_string();
            found.push(Source { path: inside, room, code });
        }
    });
    assert!(found.len() > 20, "the sources were not found");
    found
}

fn walk(folder: &Path, visit: &mut impl FnMut(&Path)) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            walk(&path, visit);
        } else if path.extension().is_some_and(|e| e == "rs") {
            visit(&path);
        }
    }
}

fn floor(room: &str) -> Option<u8> {
    FLOORS.iter().find(|(name, _)| *name == room).map(|(_, floor)| *floor)
}

/// Lines of code, without comments, with their numbers.
fn lines(source: &Source) -> impl Iterator<Item = (usize, &str)> {
    source
        .code
        .lines()
        .enumerate()
        .map(|(n, line)| (n + 1, line.split("//").next().unwrap_or(line)))
        .filter(|(_, line)| !line.trim().is_empty())
}

#[test]
fn every_room_stands_on_a_floor() {
    for source in sources() {
        assert!(floor(&source.room).is_some(), "{}: no such room", source.path.display());
    }
}

#[test]
fn imports_point_down() {
    let mut climbing = Vec::new();
    for source in sources() {
        let here = floor(&source.room).unwrap();
        for (number, line) in lines(&source) {
            for rest in line.split("crate::").skip(1) {
                let room: String = rest.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
                if floor(&room).is_some_and(|there| there > here) {
                    climbing.push(format!("{}:{number}: {} uses {room}", source.path.display(), source.room));
                }
            }
        }
    }
    assert!(climbing.is_empty(), "imports climb:\n{}", climbing.join("\n"));
}

#[test]
fn sockets_files_clocks_and_the_environment_stay_where_they_belong() {
    let mut strays = Vec::new();
    for source in sources() {
        let here = floor(&source.room).unwrap();
        for (number, line) in lines(&source) {
            for (word, floors, why) in KEPT {
                if line.contains(word) && !floors.contains(&here) {
                    strays.push(format!("{}:{number}: {word}: {why}", source.path.display()));
                }
            }
        }
    }
    assert!(strays.is_empty(), "{}", strays.join("\n"));
}

#[test]
fn the_session_trait_is_implemented_in_the_held_session_alone() {
    for source in sources() {
        let held = source.path.starts_with("proxy/held");
        assert!(
            held || !source.code.contains("custom::server"),
            "{}: only proxy/held may know the session trait",
            source.path.display()
        );
    }
}

/// What writes to a client, and the only files that may: the renderer, the held session that passes on what the filters
/// gave, and the one that says that a body may come (`100 Continue`).
const WRITERS: &[(&str, &[&str])] = &[
    ("write_response_header", &["proxy/reply.rs", "proxy/held/mod.rs", "proxy/held/session.rs"]),
    ("write_response_body", &["proxy/reply.rs", "proxy/held/mod.rs", "proxy/held/session.rs"]),
    ("write_response_trailers", &["proxy/held/session.rs"]),
    ("response_duplex_vec", &["proxy/held/session.rs"]),
    ("write_body", &["proxy/held/session.rs"]),
    ("finish_body", &["proxy/held/mod.rs", "proxy/held/session.rs"]),
    ("write_continue_response", &["proxy/intake.rs"]),
    ("respond_error", &[]),
    ("write_error_response", &[]),
    ("write_response_tasks", &[]),
    ("ResponseHeader::build", &["proxy/reply.rs"]),
];

/// Where code looks into what a backend sent, and the only files that may: its head is read there by name, and its body
/// is given to `wire/`, which builds something else from it.
const READERS: &[(&str, &[&str])] = &[
    ("head.headers.get(", &["proxy/answer.rs"]),
    ("SseRewriter::new", &["proxy/answer.rs"]),
    ("completion::rewrite", &["proxy/answer.rs"]),
    ("rejection::classify", &["proxy/answer.rs", "wire/answer.rs", "wire/sse.rs", "wire/tool_calls.rs"]),
    (".append_header(", &[]),
];

#[test]
fn every_byte_to_a_client_is_built_in_one_place() {
    let mut strays = Vec::new();
    for source in sources().iter().filter(|source| source.room != "daemon") {
        let path = source.path.to_string_lossy().replace('\\', "/");
        for (number, line) in lines(source) {
            for (word, files) in WRITERS.iter().chain(READERS) {
                if line.contains(word) && !files.contains(&path.as_str()) {
                    strays.push(format!("{path}:{number}: {word}"));
                }
            }
        }
    }
    assert!(strays.is_empty(), "{}", strays.join("\n"));
}

/// What the filters hand to the held session: a head that is replaced whole, and a body that is either nothing or what
/// was built from the backend's.
#[test]
fn nothing_of_a_backend_is_passed_on_as_it_came() {
    let all = sources();
    let file =
        |name: &str| all.iter().find(|source| source.path == Path::new(name)).expect("a file of proxy/");
    // The function alone, so that the look is at the filter that makes the head.
    let proxy = file("proxy/mod.rs");
    let filter = proxy.code.split("async fn response_filter(").nth(1).unwrap();
    let filter = filter.split("\n    }").next().unwrap();
    assert!(filter.contains("*head = reply::head("), "the head of an answer is not replaced:\n{filter}");
    assert!(!filter.contains("head.headers"), "a backend's header is looked at:\n{filter}");
    let mut strays = Vec::new();
    for source in all.iter().filter(|source| source.room == "proxy") {
        for (number, line) in lines(source) {
            let set = line.split("*piece = ").nth(1).or_else(|| line.split("*body = ").nth(1));
            let built = [
                "None;",
                "Some(last.freeze());",
                "Some(done.body);",
                "Some(out.freeze());",
                "Some(relay.outgoing.clone());",
            ];
            if set.is_some_and(|set| !built.contains(&set.trim())) {
                strays.push(format!("{}:{number}: {}", source.path.display(), line.trim()));
            }
        }
    }
    assert!(strays.is_empty(), "a body is made of something else:\n{}", strays.join("\n"));
    // Each of the three ways through an answer takes the backend's bytes away before it gives its own.
    let answer = file("proxy/answer.rs");
    for way in ["fn refusal(", "fn whole(", "fn events("] {
        let body = answer.code.split(way).nth(1).unwrap().split("\n}").next().unwrap();
        assert!(body.contains("piece.take()"), "{way}: a backend's bytes stay where the client's are to be");
    }
}

#[test]
fn the_rooms_of_the_request_path_have_no_way_to_panic() {
    let ways = [".unwrap()", ".expect(", "panic!(", "unreachable!(", concat!("to", "do!("), "assert!("];
    let mut found = Vec::new();
    for source in sources().iter().filter(|s| matches!(s.room.as_str(), "wire" | "rules" | "proxy")) {
        for (number, line) in lines(source) {
            if ways.iter().any(|way| line.contains(way)) {
                found.push(format!("{}:{number}: {}", source.path.display(), line.trim()));
            }
        }
    }
    assert!(found.is_empty(), "{}", found.join("\n"));
}

#[test]
fn files_have_one_subject() {
    for source in sources() {
        let length = source.code.lines().count();
        assert!(length <= 450, "{}: {length} lines: two subjects?", source.path.display());
        assert!(source.code.starts_with("//!"), "{}: does not say what it promises", source.path.display());
    }
}
