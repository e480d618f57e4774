//! Configurations with one policy, `p`, for the alias `general` of `acme`; the alias `free` has none.

use crate::kit::config::{Gateway, digest};
use crate::kit::daemon::Daemon;
use crate::kit::upstream::Upstream;
use crate::kit::{KEY, KEY_GLOBEX, MODEL};

/// A configuration.
#[derive(Debug, Clone)]
pub struct Setup {
    backends: Vec<String>,
    policy: String,
    alias: String,
    tenant: String,
    /// Other tenants.
    others: String,
    server: String,
    environment: Vec<(String, String)>,
    /// How long a backend may be silent.
    silence: &'static str,
    /// How long a request may take.
    total: &'static str,
}

impl Setup {
    /// The policy is the inside of a YAML map.
    pub fn new(upstreams: &[&Upstream], policy: &str) -> Self {
        let backends = upstreams.iter().map(|one| format!("{{ url: \"{}\" }}", one.url())).collect();
        Self {
            backends,
            policy: policy.to_owned(),
            alias: String::new(),
            tenant: String::new(),
            others: String::new(),
            server: String::new(),
            environment: Vec::new(),
            silence: "8s",
            total: "30s",
        }
    }

    /// A line of the alias.
    pub fn alias(mut self, line: &str) -> Self {
        self.alias.push_str(&format!("        {line}\n"));
        self
    }

    /// A line of the tenant.
    pub fn tenant(mut self, line: &str) -> Self {
        self.tenant.push_str(&format!("    {line}\n"));
        self
    }

    /// Another tenant, with the same policy for its `general`.
    pub fn globex(mut self) -> Self {
        self.others = format!(
            "  globex:\n    keys:\n      web: {{ sha256: \"{}\" }}\n    models:\n      general:\n        \
             policy: p\n        routes: [ {{ pool: main, model: \"{MODEL}\" }} ]\n",
            digest(KEY_GLOBEX),
        );
        self
    }

    /// A line of the server.
    pub fn server(mut self, line: &str) -> Self {
        self.server.push_str(&format!("  {line}\n"));
        self
    }

    /// An environment variable of the process.
    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    /// How long a backend may be silent: `500ms`.
    pub fn silence(mut self, duration: &'static str) -> Self {
        self.silence = duration;
        self
    }

    /// How long a whole request may take: `1s`.
    pub fn total(mut self, duration: &'static str) -> Self {
        self.total = duration;
        self
    }

    pub fn gateway(&self) -> Gateway {
        let Self { backends, policy, alias, tenant, others, server, environment, silence, total } = self;
        let routes = format!("routes: [ {{ pool: main, model: \"{MODEL}\" }} ]");
        let gateway = Gateway::new().config_text(&format!(
            "server:\n  listen: \"{{listen}}\"\n  admin: \"{{admin}}\"\n{server}pools:\n  main:\n    \
             backends: [ {} ]\n    balance: round_robin\n    \
             timeouts: {{ connect: 2s, first_byte: {silence}, idle: {silence}, total: {total} }}\n\
             policies:\n  p: {{ {policy} }}\ntenants:\n  acme:\n{tenant}    \
             keys:\n      web: {{ sha256: \"{}\" }}\n    models:\n      \
             general:\n        policy: p\n        {routes}\n{alias}      free:\n        {routes}\n{others}",
            backends.join(", "),
            digest(KEY),
        ));
        environment.iter().fold(gateway, |gateway, (name, value)| gateway.env(name, value))
    }

    pub fn start(&self) -> Daemon {
        self.gateway().start()
    }
}
