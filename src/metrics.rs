//! What is counted. One [`Metrics`] is made at the start and handed down; labels are configured names
//! and closed enums only, and their handles are made when a configuration first has them.

mod buckets;
mod closed;
mod connections;
mod ends;
mod forget;
mod handles;
mod late;
mod policies;
mod process;
mod tally;

use std::sync::Arc;

use prometheus::core::Collector;
use prometheus::{
    Encoder, Gauge, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts,
    Registry, TextEncoder,
};

use self::buckets::{BETWEEN, DURATION, FIRST_TOKEN, OVERHEAD, STORE};
pub use self::closed::{CapMetrics, LogMetrics, ReloadMetrics, TraceMetrics};
pub use self::connections::ConnectionMetrics;
pub use self::ends::EndMetrics;
pub use self::forget::Present;
use self::handles::BySource;
pub use self::handles::{AliasMetrics, BackendMetrics};
pub use self::late::LateHistogram;
use self::late::{ByWord, LateCounter, Roll};
pub use self::policies::{Moderated, PolicyMetrics};
pub use self::process::ProcessMetrics;
pub use self::tally::Tally;

/// Every status that a client can get, and 499 for a client that left.
const STATUSES: [u16; 14] = [200, 400, 401, 403, 404, 405, 408, 413, 429, 431, 499, 500, 502, 503];

/// Every metric of the process.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    aliases: Roll<AliasMetrics>,
    backends: Roll<BackendMetrics>,
    requests: IntCounterVec,
    duration: HistogramVec,
    overhead: HistogramVec,
    first_token: HistogramVec,
    between: HistogramVec,
    tokens: IntCounterVec,
    in_flight: IntGaugeVec,
    /// Of requests that name no alias, which are never relayed: it is not shown.
    in_flight_unnamed: IntGauge,
    refusals: IntCounterVec,
    attempts: IntCounterVec,
    upstream_latency: HistogramVec,
    upstream_up: IntGaugeVec,
    upstream_breaker: IntGaugeVec,
    upstream_in_flight: IntGaugeVec,
    credential_refused: IntCounterVec,
    health_checks: IntCounterVec,
    lookups: IntCounterVec,
    limit_remaining: IntGaugeVec,
    reserved: IntCounterVec,
    settled: IntCounterVec,
    store_seconds: HistogramVec,
    /// Of content policies.
    pub policies: PolicyMetrics,
    /// Whether the store of shared limits answers: 1, or 0. See [`Metrics::show_store`].
    pub store_up: IntGauge,
    /// Changes of counts that the store of shared limits never got.
    pub store_dropped: IntCounter,
    /// Requests of all tenants that are being served now.
    pub serving: IntGauge,
    /// Attempts after the first of a request.
    pub retries: IntCounter,
    /// Retries that did not happen because an alias's budget was used up.
    pub retries_denied: IntCounter,
    /// Kept connections that turned out to be dead, so that a request was sent once more.
    pub stale_connections: IntCounter,
    /// Clients that left before their answer was complete.
    pub disconnects: IntCounter,
    /// Lines of a log that nobody will read: the reader was too slow, or the disk full.
    pub log_lines_dropped: LogMetrics,
    /// Panics of any thread: faults of this program.
    pub panics: IntCounter,
    /// Traces of requests, by what became of them.
    pub traces: TraceMetrics,
    /// Bytes of request bodies that are held in memory now; set when somebody asks.
    pub body_bytes: IntGauge,
    /// How often a cap on sizes refused something.
    pub caps: CapMetrics,
    pub connections: ConnectionMetrics,
    /// When certificates and keys end; set when somebody asks.
    pub ends: EndMetrics,
    /// What the process takes of the machine; set when somebody asks.
    pub process: ProcessMetrics,
    /// Configurations taken since the start, the first included.
    pub config_generation: IntGauge,
    /// Whether the last reload was taken: 1, or 0.
    pub reload_successful: IntGauge,
    /// How reloads ended.
    pub reloads: ReloadMetrics,
    /// How handing over to a new process ended.
    pub upgrades: ReloadMetrics,
}

/// A metric that `registry` shows from now on.
fn registered<T: Collector + Clone + 'static>(registry: &Registry, metric: T) -> prometheus::Result<T> {
    registry.register(Box::new(metric.clone()))?;
    Ok(metric)
}

/// How a token count was learnt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TokenSource {
    /// The backing model said it.
    Upstream,
    /// Counted by us from what was delivered, because the model did not say.
    Estimated,
}

impl TokenSource {
    /// The label's text.
    pub fn label(self) -> &'static str {
        match self {
            Self::Upstream => "upstream",
            Self::Estimated => "estimated",
        }
    }
}

impl Metrics {
    /// Creates and registers all metrics.
    ///
    /// # Errors
    /// Only when a name here is malformed or taken twice, which the first test of a build shows.
    pub fn new() -> prometheus::Result<Self> {
        let registry = Registry::new_custom(Some("byname".into()), None)?;
        let counter = |name: &str, help: &str| registered(&registry, IntCounter::new(name, help)?);
        let counters = |name: &str, help: &str, labels: &[&str]| {
            registered(&registry, IntCounterVec::new(Opts::new(name, help), labels)?)
        };
        let gauge = |name: &str, help: &str| registered(&registry, IntGauge::new(name, help)?);
        let gauges = |name: &str, help: &str, labels: &[&str]| {
            registered(&registry, IntGaugeVec::new(Opts::new(name, help), labels)?)
        };
        let histogram = |name: &str, help: &str, labels: &[&str], buckets: &[f64]| {
            let opts = HistogramOpts::new(name, help).buckets(buckets.to_vec());
            registered(&registry, HistogramVec::new(opts, labels)?)
        };
        let build = Opts::new("build_info", "Always 1.").const_label("version", env!("CARGO_PKG_VERSION"));
        registered(&registry, Gauge::with_opts(build)?)?.set(1.0);
        let tenant_model = &["tenant", "model"];
        let pool_backend = &["pool", "backend"];
        Ok(Self {
            requests: counters("requests_total", "Answered requests.", &["tenant", "model", "code"])?,
            duration: histogram(
                "request_duration_seconds",
                "From the request's head to the answer's end.",
                tenant_model,
                DURATION,
            )?,
            first_token: histogram(
                "time_to_first_token_seconds",
                "From the request's head to the first useful byte of its answer.",
                tenant_model,
                FIRST_TOKEN,
            )?,
            overhead: histogram(
                "overhead_seconds",
                "Our own share of a relayed request's time, without any waiting.",
                tenant_model,
                OVERHEAD,
            )?,
            between: histogram(
                "inter_chunk_seconds",
                "From one useful piece of a stream to the next.",
                tenant_model,
                BETWEEN,
            )?,
            tokens: counters("tokens_total", "Tokens used.", &["tenant", "model", "kind", "source"])?,
            refusals: counters(
                "refusals_total",
                "Refused requests.",
                &["tenant", "model", "reason", "fault"],
            )?,
            attempts: counters(
                "upstream_attempts_total",
                "Requests sent to backends.",
                &["pool", "backend", "outcome"],
            )?,
            upstream_latency: histogram(
                "upstream_latency_seconds",
                "From the start of an attempt to the head of its answer.",
                pool_backend,
                FIRST_TOKEN,
            )?,
            upstream_up: gauges("upstream_up", "Whether a backend can be asked now: 1, or 0.", pool_backend)?,
            upstream_breaker: gauges(
                "upstream_breaker",
                "A backend's breaker: 0 closed, 1 half open, 2 open. The best of its addresses.",
                pool_backend,
            )?,
            upstream_in_flight: gauges(
                "upstream_in_flight",
                "Requests that are with a backend now.",
                pool_backend,
            )?,
            credential_refused: counters(
                "upstream_credential_refused_total",
                "How often a backend refused our credential.",
                pool_backend,
            )?,
            health_checks: counters(
                "upstream_checks_total",
                "Active health checks.",
                &["pool", "backend", "outcome"],
            )?,
            lookups: counters(
                "upstream_lookups_total",
                "Lookups of a backend's name.",
                &["pool", "backend", "outcome"],
            )?,
            limit_remaining: gauges(
                "limit_remaining",
                "What is left of a limit.",
                &["tenant", "model", "limit"],
            )?,
            reserved: counters(
                "tokens_reserved_total",
                "Tokens taken from limits before a request was asked, by estimate.",
                tenant_model,
            )?,
            settled: counters("tokens_settled_total", "Tokens that those requests came to.", tenant_model)?,
            store_seconds: {
                let metric = histogram(
                    "limits_store_seconds",
                    "How long the store of shared limits took to answer.",
                    &["outcome"],
                    STORE,
                )?;
                for outcome in ["ok", "full", "timeout", "error"] {
                    metric.with_label_values(&[outcome]);
                }
                metric
            },
            policies: PolicyMetrics::new(&registry)?,
            store_up: IntGauge::new(
                "limits_store_up",
                "Whether the store of shared limits answers: 1, or 0.",
            )?,
            store_dropped: counter(
                "limits_store_changes_dropped_total",
                "Changes of counts that the store of shared limits never got.",
            )?,
            serving: gauge("serving", "Requests of all tenants being served now.")?,
            retries: counter("retries_total", "Attempts after the first of a request.")?,
            retries_denied: counter(
                "retry_budget_exhausted_total",
                "Retries that did not happen because their alias's budget was used up.",
            )?,
            stale_connections: counter(
                "stale_connections_total",
                "Requests sent once more because a kept connection was dead.",
            )?,
            disconnects: counter(
                "client_disconnects_total",
                "Clients that left before their answer was complete.",
            )?,
            log_lines_dropped: LogMetrics::of(&counters(
                "log_lines_dropped_total",
                "Lines of a log dropped because their reader was too slow, or the disk full.",
                &["log"],
            )?),
            panics: counter("panics_total", "Panics: faults of this program, each with an event.")?,
            traces: TraceMetrics::of(&counters(
                "traces_total",
                "Traces of requests: sent, dropped, failed.",
                &["outcome"],
            )?),
            body_bytes: gauge("body_bytes", "Bytes of request bodies held in memory now.")?,
            config_generation: gauge("config_generation", "Configurations taken since the start.")?,
            reload_successful: {
                let gauge = gauge(
                    "config_last_reload_successful",
                    "Whether the last reload was taken: 1, or 0. 1 before the first.",
                )?;
                gauge.set(1);
                gauge
            },
            reloads: ReloadMetrics::of(&counters(
                "config_reloads_total",
                "Reloads by how they ended: ok, or refused.",
                &["outcome"],
            )?),
            upgrades: ReloadMetrics::of(&counters(
                "upgrades_total",
                "Upgrades of this process by how they ended: ok, or refused.",
                &["outcome"],
            )?),
            caps: CapMetrics::of(&counters(
                "cap_exceeded_total",
                "How often a configured cap refused something.",
                &["cap"],
            )?),
            connections: ConnectionMetrics::new(&registry)?,
            ends: EndMetrics::new(&registry)?,
            process: ProcessMetrics::new()?,
            in_flight: gauges("in_flight", "Requests being relayed now, by alias.", tenant_model)?,
            in_flight_unnamed: IntGauge::new("in_flight_unnamed", "Always 0.")?,
            aliases: Roll::default(),
            backends: Roll::default(),
            registry,
        })
    }

    /// Shows from now on whether the store of shared limits answers: there is one. Called once.
    ///
    /// # Errors
    /// It is shown already.
    pub fn show_store(&self) -> prometheus::Result<()> {
        self.registry.register(Box::new(self.store_up.clone()))
    }

    /// The Prometheus text format.
    pub fn render(&self) -> Vec<u8> {
        let mut text = Vec::with_capacity(16 * 1024);
        // Writing to memory fails for malformed families only, and those were refused in `new`.
        let mut families = self.registry.gather();
        families.extend(self.process.gather());
        if let Err(error) = TextEncoder::new().encode(&families, &mut text) {
            log::error!("metrics cannot be rendered: {error}");
        }
        text
    }

    /// The handles of one alias; an empty model stands for requests that named none. They are the same until it is
    /// forgotten.
    pub fn alias(&self, tenant: &str, model: &str) -> Arc<AliasMetrics> {
        self.aliases.of(tenant, model, |owner| {
            let histogram = |all| LateHistogram::new(&owner, all);
            let tokens =
                |kind, source: TokenSource| LateCounter::new(&owner, &self.tokens, &[kind, source.label()]);
            let by_source = |kind| BySource {
                upstream: tokens(kind, TokenSource::Upstream),
                estimated: tokens(kind, TokenSource::Estimated),
            };
            AliasMetrics {
                requests: self.requests.clone(),
                by_status: Default::default(),
                refusals: ByWord::new(&owner, &self.refusals),
                duration: histogram(&self.duration),
                overhead: histogram(&self.overhead),
                first_token: histogram(&self.first_token),
                between: histogram(&self.between),
                in_flight: match model {
                    "" => self.in_flight_unnamed.clone(),
                    named => self.in_flight.with_label_values(&[tenant, named]),
                },
                reserved: LateCounter::new(&owner, &self.reserved, &[]),
                settled: LateCounter::new(&owner, &self.settled, &[]),
                prompt: by_source("prompt"),
                completion: by_source("completion"),
                owner: owner.clone(),
            }
        })
    }

    /// Says what is left of limits now: tenant, model, limit, and how much. Forgets limits that are no more.
    pub fn remaining<'a>(&self, all: impl Iterator<Item = (&'a str, &'a str, String, u64)>) {
        self.limit_remaining.reset();
        for (tenant, model, limit, left) in all {
            let left = i64::try_from(left).unwrap_or(i64::MAX);
            self.limit_remaining.with_label_values(&[tenant, model, &limit]).set(left);
        }
    }

    /// Counts an answer of the store of shared limits; `outcome` comes from a closed set.
    pub fn store_answered(&self, outcome: &'static str, seconds: f64) {
        self.store_seconds.with_label_values(&[outcome]).observe(seconds);
    }

    /// The handles of one backend; the same until it is forgotten.
    pub fn backend(&self, pool: &str, backend: &str) -> Arc<BackendMetrics> {
        let labels = &[pool, backend];
        self.backends.of(pool, backend, |owner| BackendMetrics {
            ok: self.attempts.with_label_values(&[pool, backend, "ok"]),
            attempts: ByWord::new(&owner, &self.attempts),
            latency: self.upstream_latency.with_label_values(labels),
            up: self.upstream_up.with_label_values(labels),
            breaker: self.upstream_breaker.with_label_values(labels),
            in_flight: self.upstream_in_flight.with_label_values(labels),
            credential_refused: self.credential_refused.with_label_values(labels),
            checks: ByWord::new(&owner, &self.health_checks),
            lookups: ByWord::new(&owner, &self.lookups),
        })
    }
}

#[cfg(test)]
mod tests;
