//! Configurations with limits in any place: one tenant `acme` with two keys, another one `globex`.

use crate::kit::config::{Gateway, digest};
use crate::kit::daemon::Daemon;
use crate::kit::upstream::Upstream;
use crate::kit::{KEY, KEY_GLOBEX, MODEL};

/// The other key of `acme`, named `app`. That of [`KEY`] is `web`.
pub const KEY_APP: &str = "bn-test-acme-app";

/// A configuration with limits. Every `limits` is the inside of a YAML map.
#[derive(Debug, Clone, Default)]
pub struct Setup {
    server: String,
    store: String,
    pools: String,
    tenant: String,
    web: String,
    app: String,
    aliases: String,
    globex: String,
}

impl Setup {
    /// One pool `main` without limits and an alias `general` with these.
    pub fn alias_limits(upstream: &Upstream, limits: &str) -> Self {
        Self::new().pool("main", &[upstream], "").alias("general", &["main"], limits)
    }

    pub fn new() -> Self {
        Self::default()
    }

    /// A line of the `server` section.
    pub fn server(mut self, line: &str) -> Self {
        self.server.push_str(&format!("  {line}\n"));
        self
    }

    /// The inside of `limits_store`.
    pub fn store(mut self, inside: &str) -> Self {
        self.store = format!("limits_store: {{ {inside} }}\n");
        self
    }

    pub fn pool(mut self, name: &str, upstreams: &[&Upstream], limits: &str) -> Self {
        let backends: Vec<_> = upstreams.iter().map(|one| format!("{{ url: \"{}\" }}", one.url())).collect();
        self.pools.push_str(&format!(
            "  {name}:\n    backends: [ {} ]\n    balance: round_robin\n    \
             timeouts: {{ connect: 2s, first_byte: 9s, idle: 9s, total: 30s }}\n    limits: {{ {limits} }}\n",
            backends.join(", ")
        ));
        self
    }

    /// An alias of `acme`.
    pub fn alias(self, name: &str, pools: &[&str], limits: &str) -> Self {
        self.alias_with(name, pools, limits, "")
    }

    /// An alias of `acme` whose requests wait: `wait: 2s, depth: 100`.
    pub fn queued(self, name: &str, pools: &[&str], limits: &str, queue: &str) -> Self {
        self.alias_with(name, pools, limits, &format!("        queue: {{ {queue} }}\n"))
    }

    fn alias_with(mut self, name: &str, pools: &[&str], limits: &str, more: &str) -> Self {
        self.aliases.push_str(&alias(name, pools, limits));
        self.aliases.push_str(more);
        self
    }

    /// An alias of `globex`.
    pub fn globex(mut self, name: &str, pools: &[&str], limits: &str) -> Self {
        self.globex.push_str(&alias(name, pools, limits));
        self
    }

    pub fn tenant(mut self, limits: &str) -> Self {
        self.tenant = limits.to_owned();
        self
    }

    /// Limits of [`KEY`].
    pub fn web(mut self, limits: &str) -> Self {
        self.web = limits.to_owned();
        self
    }

    /// Limits of [`KEY_APP`].
    pub fn app(mut self, limits: &str) -> Self {
        self.app = limits.to_owned();
        self
    }

    pub fn gateway(&self) -> Gateway {
        let Self { server, store, pools, tenant, web, app, aliases, globex } = self;
        let key = |id: &str, key: &str, limits: &str| {
            format!("      {id}: {{ sha256: \"{}\", limits: {{ {limits} }} }}\n", digest(key))
        };
        let models = |aliases: &str| match aliases {
            "" => String::new(),
            some => format!("    models:\n{some}"),
        };
        Gateway::new().config_text(&format!(
            "server:\n  listen: \"{{listen}}\"\n  admin: \"{{admin}}\"\n{server}{store}pools:\n{pools}\
             tenants:\n  acme:\n    limits: {{ {tenant} }}\n    keys:\n{}{}{}  globex:\n    keys:\n{}{}",
            key("web", KEY, web),
            key("app", KEY_APP, app),
            models(aliases),
            key("web", KEY_GLOBEX, ""),
            models(globex),
        ))
    }

    pub fn start(&self) -> Daemon {
        self.gateway().start()
    }
}

fn alias(name: &str, pools: &[&str], limits: &str) -> String {
    let routes: Vec<_> = pools.iter().map(|pool| format!("{{ pool: {pool}, model: \"{MODEL}\" }}")).collect();
    format!("      {name}:\n        routes: [ {} ]\n        limits: {{ {limits} }}\n", routes.join(", "))
}
