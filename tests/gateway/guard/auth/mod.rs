//! Keys: how they are written, what they may, when they begin and end, and that nothing else identifies anybody.

mod elsewhere; // where keys do not go, and what is none
mod kept_out; // who has none
mod lives; // from when, until when, for what
mod written; // how they are said

use std::rc::Rc;

use super::{Case, row, table, told};
use crate::faults::parts::good;
use crate::kit::client::{Response, ask, request};
use crate::kit::config::Gateway;
use crate::kit::daemon::Daemon;
use crate::kit::upstream::Upstream;

const UNKNOWN: &str = "401 invalid_api_key";
/// Keys that nobody has, said in these rows.
const STRANGE: &str = "bn-strange-0123456789abcdef";

/// The gateway of the rows that change nothing.
struct Scene {
    daemon: Daemon,
    upstream: Upstream,
}

impl Scene {
    fn start() -> Rc<Self> {
        let upstream = good("good");
        let daemon = Gateway::new()
            .backend_with_key(&upstream, "the-gateway-s-own-key")
            .server("unknown_keys_per_minute", "1000000")
            .env("BYNAME_LOG", "trace")
            .start();
        Rc::new(Self { daemon, upstream })
    }

    /// The answer to a chat with these headers.
    fn with(&self, headers: &[(&str, &str)]) -> Response {
        let mut client = self.daemon.client();
        client.send(&request("POST", "/v1/chat/completions", headers, ask("general").as_bytes()));
        client.read()
    }

    fn authorized(&self, value: &str) -> String {
        told(&self.with(&[("Authorization", value)]))
    }

    /// All of these values, which must come to the same.
    fn all(&self, values: &[&str]) -> String {
        let mut seen: Vec<_> = values.iter().map(|value| self.authorized(value)).collect();
        seen.dedup();
        seen.join(", ")
    }
}

#[test]
fn thirty_six_cases_of_keys() {
    let scene = Scene::start();
    let rows =
        [written::cases(&scene), lives::cases(&scene), kept_out::cases(&scene), elsewhere::cases(&scene)];
    table("Keys", "AU", 36, rows.into_iter().flatten().collect());
}

/// A row that needs the common scene.
fn of(
    scene: &Rc<Scene>,
    id: &'static str,
    what: &'static str,
    expected: &'static str,
    run: impl FnOnce(&Scene) -> String + 'static,
) -> Case {
    let scene = Rc::clone(scene);
    row(id, what, expected, move || run(&scene))
}

fn same(seen: &str, expected: &str) -> Result<(), String> {
    if seen == expected { Ok(()) } else { Err(seen.to_owned()) }
}
