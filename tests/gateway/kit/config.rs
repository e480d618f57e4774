//! The configuration of a gateway under test: sensible defaults, and a method for what a test wants otherwise.
//!
//! Two tenants: `acme` (aliases `general`, `secure`, and five keys) and `globex` (aliases `general`, `private`),
//! one pool `main` with the given backends. [`Gateway::config_text`] puts any other text in place of all this.

use std::fmt::Write as _;
use std::net::SocketAddr;

use sha2::{Digest, Sha256};

use super::daemon::Daemon;
use super::upstream::Upstream;
use super::{KEY, KEY_CHAT_ONLY, KEY_EXPIRED, KEY_GLOBEX, KEY_MODELS_ONLY, MODEL, MODEL_GLOBEX};

/// A gateway that is not yet started.
#[derive(Debug, Clone, Default)]
pub struct Gateway {
    server: Vec<(String, String)>,
    timeouts: Vec<(String, String)>,
    attempts: Option<usize>,
    pool_lines: Vec<String>,
    backends: Vec<String>,
    pools: Vec<(String, Vec<String>)>,
    aliases: Vec<(String, String)>,
    expose: Option<String>,
    key_limits: String,
    tenant_limits: String,
    text: Option<String>,
    environment: Vec<(String, String)>,
    listener: Listener,
    listeners: Vec<String>,
    files: Option<usize>,
    first: Option<&'static str>,
    sections: Vec<String>,
}

/// What the public listener speaks.
#[derive(Debug, Clone, Copy, Default)]
enum Listener {
    /// HTTP/1.1.
    #[default]
    Http1,
    /// HTTP/1.1, and HTTP/2 by prior knowledge.
    Both,
}

impl Gateway {
    /// The defaults, without a backend.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a backend to pool `main`.
    pub fn backend(self, upstream: &Upstream) -> Self {
        self.backend_at(&upstream.url())
    }

    /// Adds a backend to pool `main` by its base URL, such as `http://127.0.0.1:1/v1`.
    pub fn backend_at(mut self, url: &str) -> Self {
        self.backends.push(backend(url));
        self
    }

    /// Adds a backend to pool `main`, with the secret that we authenticate with there.
    pub fn backend_with_key(mut self, upstream: &Upstream, key: &str) -> Self {
        let name = format!("BYNAME_TEST_SECRET_{}", self.environment.len());
        self.backends.push(format!("{{ url: \"{}\", key: {{ env: {name} }} }}", upstream.url()));
        self.env(&name, key)
    }

    /// Adds a pool.
    pub fn pool(mut self, name: &str, upstreams: &[&Upstream]) -> Self {
        self.pools
            .push((name.to_owned(), upstreams.iter().map(|upstream| backend(&upstream.url())).collect()));
        self
    }

    /// Adds a pool whose backends are written out, such as `{ url: "https://…", h2: true }`.
    pub fn pool_of(mut self, name: &str, backends: &[String]) -> Self {
        self.pools.push((name.to_owned(), backends.to_vec()));
        self
    }

    /// How many files and sockets the process may have open.
    pub fn max_files(mut self, files: usize) -> Self {
        self.files = Some(files);
        self
    }

    /// Adds an alias to `acme`; `routes` are pairs of a pool and a model, in order of priority.
    pub fn alias(mut self, alias: &str, routes: &[(&str, &str)]) -> Self {
        let routes: Vec<_> =
            routes.iter().map(|(pool, model)| format!("{{ pool: {pool}, model: \"{model}\" }}")).collect();
        self.aliases.push((alias.to_owned(), routes.join(", ")));
        self
    }

    /// What `general` may say beyond the plain answer: `reasoning, logprobs`.
    pub fn expose(mut self, what: &str) -> Self {
        self.expose = Some(what.to_owned());
        self
    }

    /// Limits of acme's key: `requests_per_minute: 200`.
    pub fn key_limits(mut self, limits: &str) -> Self {
        limits.clone_into(&mut self.key_limits);
        self
    }

    /// Limits of each tenant, such as `requests_per_minute: 600`.
    pub fn tenant_limits(mut self, limits: &str) -> Self {
        limits.clone_into(&mut self.tenant_limits);
        self
    }

    /// Sets any key of the `server` section to a YAML value. The last word stands.
    pub fn server(mut self, key: &str, value: &str) -> Self {
        self.server.retain(|(known, _)| known != key);
        self.server.push((key.to_owned(), value.to_owned()));
        self
    }

    /// Cap on a request's body: `64KiB`.
    pub fn max_body(self, size: &str) -> Self {
        self.server("max_body", size)
    }

    /// Cap on a request's head.
    pub fn max_head(self, size: &str) -> Self {
        self.server("max_head", size)
    }

    /// Cap on one event of a stream.
    pub fn max_event(self, size: &str) -> Self {
        self.server("max_event", size)
    }

    /// Cap on a whole JSON answer.
    pub fn max_response(self, size: &str) -> Self {
        self.server("max_response", size)
    }

    /// How long a request's body may take: `500ms`.
    pub fn body_timeout(self, duration: &str) -> Self {
        self.server("body_timeout", duration)
    }

    /// How long running streams may go on after SIGTERM.
    pub fn drain(self, duration: &str) -> Self {
        self.server("drain", duration)
    }

    /// How long connecting to a backend may take.
    pub fn connect(self, duration: &str) -> Self {
        self.timeout("connect", duration)
    }

    /// How long the first useful byte of an answer may take.
    pub fn first_byte(self, duration: &str) -> Self {
        self.timeout("first_byte", duration)
    }

    /// How long a stream may be silent.
    pub fn idle(self, duration: &str) -> Self {
        self.timeout("idle", duration)
    }

    /// How long a request may take in all. Make the others no longer than this.
    pub fn total(self, duration: &str) -> Self {
        self.timeout("total", duration)
    }

    /// How many backends are asked at most for one request.
    pub fn attempts(mut self, attempts: usize) -> Self {
        self.attempts = Some(attempts);
        self
    }

    /// Adds a line to every pool, such as `forward_fields: [top_k]`.
    pub fn pool_line(mut self, line: &str) -> Self {
        self.pool_lines.push(line.to_owned());
        self
    }

    /// Lets the public listener take HTTP/2 by prior knowledge too.
    pub fn h2c(mut self) -> Self {
        self.listener = Listener::Both;
        self
    }

    /// Adds a listener, as the configuration writes it: `unix:/path`, or `{ address: "…", tls: … }`.
    pub fn listen_also(mut self, entry: &str) -> Self {
        self.listeners.push(entry.to_owned());
        self
    }

    /// Adds a top-level section: `log: { level: warn }`.
    pub fn section(mut self, text: &str) -> Self {
        self.sections.push(text.to_owned());
        self
    }

    /// Sets an environment variable of the process.
    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Takes this text for the whole configuration; `{listen}` and `{admin}` in it become addresses.
    pub fn config_text(mut self, text: &str) -> Self {
        self.text = Some(text.to_owned());
        self
    }

    /// Starts the process and waits until it is ready. Panics with its words when it does not come up.
    pub fn start(&self) -> Daemon {
        Daemon::start(self)
    }

    /// The configuration as text for these addresses.
    pub fn text(&self, listen: SocketAddr, admin: SocketAddr) -> String {
        match &self.text {
            Some(text) => {
                text.replace("{listen}", &listen.to_string()).replace("{admin}", &admin.to_string())
            }
            None => self.default_text(listen, admin),
        }
    }

    pub(super) fn environment(&self) -> &[(String, String)] {
        &self.environment
    }

    /// What a shell does before the process begins: `umask 0077`.
    pub fn first(mut self, words: &'static str) -> Self {
        self.first = Some(words);
        self
    }

    /// All that a shell has to do before the process begins.
    pub(super) fn shell(&self) -> Option<String> {
        let files = self.files.map(|files| format!("ulimit -n {files}"));
        let all: Vec<_> = files.into_iter().chain(self.first.map(str::to_owned)).collect();
        (!all.is_empty()).then(|| all.join(" && "))
    }

    fn timeout(mut self, key: &str, duration: &str) -> Self {
        self.timeouts.retain(|(known, _)| known != key);
        self.timeouts.push((key.to_owned(), duration.to_owned()));
        self
    }

    fn default_text(&self, listen: SocketAddr, admin: SocketAddr) -> String {
        let listen = match self.listener {
            Listener::Http1 => format!("\"{listen}\""),
            Listener::Both => format!("{{ address: \"{listen}\", h2c: true }}"),
        };
        let listen = match self.listeners.as_slice() {
            [] => listen,
            more => format!("[ {listen}, {} ]", more.join(", ")),
        };
        let mut text = format!("server:\n  listen: {listen}\n  admin: \"{admin}\"\n");
        for (key, value) in &self.server {
            line(&mut text, &format!("  {key}: {value}"));
        }
        for section in &self.sections {
            line(&mut text, section);
        }
        line(&mut text, "pools:");
        if !self.backends.is_empty() {
            self.write_pool(&mut text, "main", &self.backends);
        }
        for (name, backends) in &self.pools {
            self.write_pool(&mut text, name, backends);
        }
        line(&mut text, "tenants:");
        self.write_acme(&mut text);
        self.write_globex(&mut text);
        text
    }

    fn write_pool(&self, text: &mut String, name: &str, backends: &[String]) {
        line(text, &format!("  {name}:\n    backends: [ {} ]", backends.join(", ")));
        let timeout = |key: &str, default: &str| {
            let own = self.timeouts.iter().find(|(known, _)| known == key).map(|(_, value)| value.as_str());
            format!("{key}: {}", own.unwrap_or(default))
        };
        let timeouts = [
            timeout("connect", "2s"),
            timeout("first_byte", "8s"),
            timeout("idle", "8s"),
            timeout("total", "30s"),
        ];
        line(text, &format!("    timeouts: {{ {} }}", timeouts.join(", ")));
        if let Some(attempts) = self.attempts {
            line(text, &format!("    retry: {{ attempts: {attempts} }}"));
        }
        for more in &self.pool_lines {
            line(text, &format!("    {more}"));
        }
    }

    fn write_acme(&self, text: &mut String) {
        line(text, &format!("  acme:\n    limits: {{ {} }}\n    keys:", self.tenant_limits));
        line(text, &limited_key("web", KEY, "[chat, models]", &self.key_limits));
        line(text, &key("chat-only", KEY_CHAT_ONLY, "[chat]"));
        line(text, &key("models-only", KEY_MODELS_ONLY, "[models]"));
        let expired = digest(KEY_EXPIRED);
        line(text, &format!("      old: {{ sha256: \"{expired}\", expires: 2020-01-01T00:00:00Z }}"));
        if self.backends.is_empty() && self.aliases.is_empty() {
            return;
        }
        line(text, "    models:");
        if !self.backends.is_empty() {
            let route = format!("{{ pool: main, model: \"{MODEL}\" }}");
            line(text, &alias("general", "General", "汎用的な業務向けアシスタント。", &route));
            if let Some(expose) = &self.expose {
                line(text, &format!("        expose: [ {expose} ]"));
            }
            line(text, &alias("secure", "Secure", "機密性の高い業務向けの厳格な構成。", &route));
        }
        for (name, routes) in &self.aliases {
            line(text, &alias(name, name, "", routes));
        }
    }

    fn write_globex(&self, text: &mut String) {
        line(text, &format!("  globex:\n    limits: {{ {} }}\n    keys:", self.tenant_limits));
        line(text, &key("web", KEY_GLOBEX, "[chat, models]"));
        if self.backends.is_empty() {
            return;
        }
        line(text, "    models:");
        let route = format!("{{ pool: main, model: \"{MODEL_GLOBEX}\" }}");
        line(text, &alias("general", "General", "Another tenant's.", &route));
        line(text, &alias("private", "Private", "Only for this tenant.", &route));
    }
}

/// What a configuration stores of a key.
pub fn digest(key: &str) -> String {
    Sha256::digest(key.as_bytes()).iter().fold(String::new(), |mut hex, byte| {
        let _ = write!(hex, "{byte:02x}");
        hex
    })
}

/// A backend with nothing but its base URL.
pub fn backend(url: &str) -> String {
    format!("{{ url: \"{url}\" }}")
}

fn key(id: &str, key: &str, scopes: &str) -> String {
    limited_key(id, key, scopes, "")
}

fn limited_key(id: &str, key: &str, scopes: &str, limits: &str) -> String {
    format!("      {id}: {{ sha256: \"{}\", scopes: {scopes}, limits: {{ {limits} }} }}", digest(key))
}

fn alias(name: &str, display_name: &str, description: &str, routes: &str) -> String {
    format!(
        "      \"{name}\":\n        display_name: \"{display_name}\"\n        description: \"{description}\"\n        \
         routes: [ {routes} ]"
    )
}

fn line(text: &mut String, line: &str) {
    text.push_str(line);
    text.push('\n');
}
