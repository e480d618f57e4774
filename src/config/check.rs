//! From what was written to what it means.
//!
//! Reads every field of every file and goes on after a fault, so that one reading tells them all.
//! Pure: whether a secret exists, a host resolves or an address is free is for others to find out.

mod dns;
mod keys;
mod limits;
mod log;
mod path;
mod policies;
mod pools;
mod queue;
mod secret;
mod server;
mod store;
mod tenants;
mod tracing;

use super::at::{At, every};
use super::complaint::{Complaints, File, Told};
use super::form::{Field, Form, may};
use super::plan::{Plan, TenantPlan};
use super::raw::Node;

/// What an included file is for.
const TENANTS: &str = "tenants";

/// Every field of a configuration. The main file also needs `pools`; an included one has `tenants` alone.
pub const FIELDS: &[Field] = &[
    may("server", Form::Section(server::FIELDS), "where we listen, and how much a request may cost"),
    may("log", Form::Section(log::FIELDS), "what is told, in which form, and where"),
    may("tracing", Form::Section(tracing::FIELDS), "which requests are traced, and who is told"),
    may("limits_store", Form::Section(store::FIELDS), "what several gateways count together in"),
    may("pools", Form::Named(&Form::Section(pools::FIELDS), 1), "backends that can answer for each other"),
    may(
        "policies",
        Form::Named(&Form::Section(policies::FIELDS), 0),
        "what may be said to aliases, and by them",
    ),
    may(TENANTS, Form::Named(&Form::Section(tenants::FIELDS), 1), "who asks, and what their aliases mean"),
    may(
        "include",
        Form::List(&Form::Text, 0),
        "patterns of files with more `tenants:`, such as tenants.d/*.yaml",
    ),
];

/// A file and its tree, if it has one.
pub(super) type Tree<'a> = (File<'a>, Result<Node, Told>);

/// The plan of a main file, which comes first, and of the files that it includes.
pub(super) fn plan(trees: &[Tree<'_>], out: &mut Complaints) -> Result<Plan, Told> {
    let Some(((file, main), included)) = trees.split_first() else {
        let nowhere = File { order: 0, name: "" };
        return Err(out.add(nowhere, super::complaint::Mark::TOP, &"whole file", "is missing", "name one"));
    };
    let main = match main {
        Ok(node) => At::top(*file, node),
        // Without the pools, an included file could only be misjudged.
        Err(told) => return Err(*told),
    };
    let top = main.fields(FIELDS, out)?;
    let server = server::server(&top.section("server"), out);
    let log = log::log(&top.section("log"), out);
    let tracing = top.or("tracing", None, out, |at, out| tracing::tracing(at, out).map(Some));
    let store = top.or("limits_store", None, out, |at, out| store::store(at, out).map(Some));
    let pools_at = top.need("pools", "write at least one pool with a backend", out);
    let pools = pools_at.and_then(|at| pools::pools(&at, out));
    let policies_at = top.section("policies");
    let policies = policies::policies(&policies_at, out);
    let patterns = top.or("include", Vec::new(), out, patterns);

    let waiting = pools.as_ref().ok().map(|pools| queue::pools_to_wait_for(pools));
    let mut seen = tenants::Seen::new(tenants::Known {
        pools: pools_at.as_ref().ok().and_then(pools::names),
        policies: pools::names(&policies_at),
        waiting,
        kept: limits::kept(&server, &store),
    });
    let mut all: Vec<Result<Vec<TenantPlan>, Told>> = Vec::new();
    if let Some(at) = top.get(TENANTS) {
        all.push(tenants::tenants(&at, &mut seen, out));
    }
    all.extend(included.iter().map(|(file, tree)| included_tenants(*file, tree, &mut seen, out)));
    if all.is_empty() {
        all.push(
            top.need(TENANTS, "write at least one tenant, here or in an included file", out)
                .map(|_| Vec::new()),
        );
    }
    let tenants = every(all.into_iter()).map(|files| files.into_iter().flatten().collect());

    patterns?;
    let server = server?;
    Ok(Plan {
        boot: server.boot,
        certificates: server.certificates,
        caps: server.caps,
        drain: server.drain,
        clients: server.clients,
        openai_models: server.openai_models,
        rate_limit_headers: server.rate_limit_headers,
        unknown_keys_per_minute: server.unknown_keys_per_minute,
        id_secret: server.id_secret,
        store: store?,
        log: log?,
        tracing: tracing?,
        pools: pools?,
        policies: policies?,
        tenants: tenants?,
    })
}

/// The patterns under `include:`, when they can be read.
pub(super) fn includes(file: File<'_>, root: &Node) -> Vec<String> {
    let mut unsaid = Complaints::default();
    let top = At::top(file, root);
    top.fields(FIELDS, &mut unsaid)
        .and_then(|fields| fields.or("include", Vec::new(), &mut unsaid, patterns))
        .unwrap_or_default()
}

/// The directory under `server.run_dir`, when it can be read.
pub(super) fn run_dir(file: File<'_>, root: &Node) -> Option<std::path::PathBuf> {
    let mut unsaid = Complaints::default();
    let top = At::top(file, root);
    let server = top.fields(FIELDS, &mut unsaid).ok()?.get("server")?;
    server::run_dir(&server, &mut unsaid)
}

/// Patterns stay below the directory of the main file, so that a stray one cannot read the rest of the disk.
fn patterns(at: &At<'_>, out: &mut Complaints) -> Result<Vec<String>, Told> {
    const MEND: &str = "write a pattern below this file's directory, such as tenants.d/*.yaml";
    let pattern = |at: At<'_>, out: &mut Complaints| {
        let text = at.text(out)?;
        if text.is_empty() {
            return Err(at.complain(out, "is empty", MEND));
        }
        if text.starts_with('/') || text.split('/').any(|part| part == "..") {
            return Err(at.complain(out, "leads out of the directory", MEND));
        }
        Ok(text.to_owned())
    };
    every(at.items(out)?.map(|at| pattern(at, out)))
}

fn included_tenants(
    file: File<'_>,
    tree: &Result<Node, Told>,
    seen: &mut tenants::Seen<'_>,
    out: &mut Complaints,
) -> Result<Vec<TenantPlan>, Told> {
    let node = match tree {
        Ok(node) => node,
        Err(told) => return Err(*told),
    };
    let top = At::top(file, node);
    let fields = top.fields(&[TENANTS], out)?;
    let at = fields.need(TENANTS, "an included file is a `tenants:` map", out)?;
    tenants::tenants(&at, seen, out)
}
