//! What a reload cannot change: sockets and threads that only a start can make.

use std::fmt::Display;

use super::place::{Fault, Way};
use super::plan::{ListenAddress, Listener, Plan, Speaks, StorePlan};

/// Every field that differs between what runs and what was written, and that only a start can change.
pub fn boot_only(runs: &Plan, written: &Plan) -> Vec<Fault> {
    let (old, new) = (&runs.boot, &written.boot);
    let server = |field: &str| Way::to("server").field(field);
    let mut faults = Vec::new();
    let mut compare = |way: Way, same: bool, old: String, new: String| {
        if !same {
            faults.push(refused(way, &old, &new));
        }
    };
    compare(server("listen"), old.listen == new.listen, listeners(&old.listen), listeners(&new.listen));
    compare(server("admin"), old.admin == new.admin, or_none(&old.admin), or_none(&new.admin));
    let demo = (or_none(&old.demo_model), or_none(&new.demo_model));
    compare(server("demo_model"), old.demo_model == new.demo_model, demo.0, demo.1);
    compare(server("threads"), old.threads == new.threads, old.threads.to_string(), new.threads.to_string());
    compare(server("dns"), old.resolvers == new.resolvers, list(&old.resolvers), list(&new.resolvers));
    let path = |path: &Option<std::path::PathBuf>| or_none(&path.as_ref().map(|path| path.display()));
    compare(server("state_dir"), old.state_dir == new.state_dir, path(&old.state_dir), path(&new.state_dir));
    compare(server("run_dir"), old.run_dir == new.run_dir, path(&old.run_dir), path(&new.run_dir));
    compare(Way::to("limits_store"), runs.store == written.store, store(&runs.store), store(&written.store));
    faults
}

fn refused(way: Way, old: &str, new: &str) -> Fault {
    let wrong = if old == new {
        format!("cannot be changed by a reload (it is {old})")
    } else {
        format!("cannot be changed by a reload: it is {old} and would be {new}")
    };
    Fault::obstacle(way, wrong, "put the old value back, or restart Byname")
}

fn or_none(value: &Option<impl Display>) -> String {
    value.as_ref().map_or_else(|| "none".to_owned(), ToString::to_string)
}

fn list(all: &[impl Display]) -> String {
    let all: Vec<_> = all.iter().map(ToString::to_string).collect();
    if all.is_empty() { "none".to_owned() } else { all.join(", ") }
}

fn listeners(all: &[Listener]) -> String {
    let one = |listener: &Listener| {
        let speaks = match listener.speaks {
            Speaks::Http1 => "",
            Speaks::H2c => " with h2c",
            Speaks::Tls => " with tls",
        };
        let mode = match &listener.address {
            ListenAddress::Tcp(_) => String::new(),
            ListenAddress::Unix { mode, .. } => format!(" with mode {mode:04o}"),
        };
        format!("{}{speaks}{mode}", listener.address)
    };
    list(&all.iter().map(one).collect::<Vec<_>>())
}

/// Without its secret, and without what may be long.
fn store(store: &Option<StorePlan>) -> String {
    or_none(&store.as_ref().map(|store| {
        let scheme = if store.tls { "rediss" } else { "redis" };
        format!("{scheme}://{}:{}/{}", store.host, store.port, store.db)
    }))
}
