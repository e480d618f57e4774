//! The status page from outside: its JSON, its HTML, and what a real browser makes of it.

mod attention; // what is said first
mod browser; // a headless Chromium looks at it
mod forms; // who gets what, and what a page may load
mod many; // hundreds of tenants and backends
mod members; // the JSON's members and their values

use serde_json::Value;

use crate::kit::client::{Client, Response};
use crate::kit::daemon::Daemon;

/// An ordinary request for an alias.
fn chat(model: &str) -> String {
    serde_json::json!({"model": model, "messages": [{"role": "user", "content": "Hello"}]}).to_string()
}

/// What a client that accepts this gets from the admin listener.
fn ask(daemon: &Daemon, method: &str, path: &str, accept: Option<&str>) -> Response {
    let mut client = Client::connect(daemon.admin());
    let accept = accept.map(|accept| format!("Accept: {accept}\r\n")).unwrap_or_default();
    client.send(
        format!("{method} {path} HTTP/1.1\r\nHost: admin\r\n{accept}Connection: close\r\n\r\n").as_bytes(),
    );
    if method == "HEAD" { client.read_without_body() } else { client.read() }
}

/// What a browser says that it accepts.
const BROWSER: &str = "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,*/*;q=0.8";

/// The page as a browser gets it.
fn html(daemon: &Daemon, path: &str) -> String {
    let answer = ask(daemon, "GET", path, Some(BROWSER));
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(answer.header("content-type"), Some("text/html; charset=utf-8"));
    answer.text()
}

fn json(daemon: &Daemon, path: &str) -> Value {
    let answer = ask(daemon, "GET", path, None);
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.json()
}

/// The one of a list that has this name.
fn named<'v>(list: &'v Value, name: &str) -> &'v Value {
    let found = list.as_array().expect("a list").iter().find(|one| one["name"] == name);
    found.unwrap_or_else(|| panic!("{name} is not in {list}"))
}
