//! Forgets the series of backends and aliases that are no more configured.

use std::collections::{HashMap, HashSet};

use prometheus::core::{Collector, MetricVec, MetricVecBuilder};

use super::Metrics;

/// Whose series there are: those of configured backends and aliases.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Present {
    /// Pool and backend.
    pub backends: HashSet<(String, String)>,
    /// Tenant and alias; an empty alias stands for requests that named none.
    pub aliases: HashSet<(String, String)>,
    /// Content policies.
    pub policies: HashSet<String>,
}

impl Metrics {
    /// Forgets the series of those that are no more. Requests of theirs that still run go on uncounted.
    pub fn forget(&self, before: &Present, now: &Present) {
        let gone: HashSet<_> = before.backends.difference(&now.backends).collect();
        if !gone.is_empty() {
            self.backends.strike(&gone);
            let of = ["pool", "backend"];
            drop_series(&self.attempts, of, &gone);
            drop_series(&self.upstream_latency, of, &gone);
            drop_series(&self.credential_refused, of, &gone);
            drop_series(&self.health_checks, of, &gone);
            drop_series(&self.lookups, of, &gone);
            for gauge in [&self.upstream_up, &self.upstream_breaker, &self.upstream_in_flight] {
                drop_series(gauge, of, &gone);
            }
        }
        self.policies.forget(&before.policies.difference(&now.policies).collect());
        let gone: HashSet<_> = before.aliases.difference(&now.aliases).collect();
        if !gone.is_empty() {
            self.aliases.strike(&gone);
            let of = ["tenant", "model"];
            for counter in [&self.requests, &self.tokens, &self.refusals, &self.reserved, &self.settled] {
                drop_series(counter, of, &gone);
            }
            for histogram in [&self.duration, &self.overhead, &self.first_token, &self.between] {
                drop_series(histogram, of, &gone);
            }
            drop_series(&self.in_flight, of, &gone);
        }
    }
}

/// Drops the series of a metric whose two labels `of` say that they belong to somebody who is gone.
fn drop_series<T: MetricVecBuilder>(metric: &MetricVec<T>, of: [&str; 2], gone: &HashSet<&(String, String)>) {
    for family in metric.collect() {
        for series in family.get_metric() {
            let labels: HashMap<&str, &str> =
                series.get_label().iter().map(|label| (label.name(), label.value())).collect();
            let [one, other] = of.map(|name| labels.get(name).map_or("", |value| value).to_owned());
            if gone.contains(&(one, other)) {
                // It was there a moment ago; if it is not, so much the better.
                let _ = metric.remove(&labels);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_no_more_configured_is_no_more_shown() {
        let metrics = Metrics::new().unwrap();
        let pair = |one: &str, other: &str| (one.to_owned(), other.to_owned());
        for alias in ["general", "secure"] {
            metrics.alias("acme", alias).answered(200);
        }
        for backend in ["a:1", "b:1"] {
            metrics.backend("p", backend).failed("reset");
        }
        let backends = HashSet::from([pair("p", "a:1"), pair("p", "b:1")]);
        let aliases = HashSet::from([pair("acme", "general"), pair("acme", "secure")]);
        for policy in ["strict", "lax"] {
            metrics.policies.has_moderator(policy);
        }
        let policies = HashSet::from(["strict".to_owned(), "lax".to_owned()]);
        let before = Present { backends, aliases, policies };
        let now = Present {
            backends: HashSet::from([pair("p", "a:1")]),
            aliases: HashSet::from([pair("acme", "general")]),
            policies: HashSet::from(["strict".to_owned()]),
        };
        metrics.forget(&before, &now);
        let text = String::from_utf8(metrics.render()).unwrap();
        assert!(["general", "a:1", "strict"].iter().all(|kept| text.contains(kept)), "{text}");
        assert!(!["secure", "b:1", "lax"].iter().any(|gone| text.contains(gone)), "{text}");
    }

    /// All that is shown of `gone`.
    fn lines(metrics: &Metrics, gone: &str) -> Vec<String> {
        let text = String::from_utf8(metrics.render()).unwrap();
        text.lines().filter(|line| line.contains(gone)).map(str::to_owned).collect()
    }

    #[test]
    fn what_still_runs_of_those_who_are_gone_is_not_shown_again() {
        let metrics = Metrics::new().unwrap();
        let pair = |one: &str, other: &str| (one.to_owned(), other.to_owned());
        let before = Present {
            backends: HashSet::from([pair("gone", "b:1")]),
            aliases: HashSet::from([pair("gone", "long")]),
            policies: HashSet::from(["gone".to_owned()]),
        };
        let (alias, backend) = (metrics.alias("gone", "long"), metrics.backend("gone", "b:1"));
        metrics.policies.has_moderator("gone");
        let count = |alias: &crate::metrics::AliasMetrics, backend: &crate::metrics::BackendMetrics| {
            alias.answered(200);
            alias.answered(418);
            alias.refused(&crate::error::GatewayError::Draining);
            alias.settled(3, 4);
            alias.used(1, 2, crate::metrics::TokenSource::Estimated);
            for histogram in [&alias.duration, &alias.overhead, &alias.first_token, &alias.between] {
                histogram.observe(1.0);
            }
            backend.failed("reset");
            backend.checked("ok");
            backend.looked_up("ok");
            metrics.policies.moderated("gone", crate::metrics::Moderated::Clean, 0.1);
            metrics.policies.unjudged("gone");
        };
        metrics.forget(&before, &Present::default());
        count(&alias, &backend);
        assert_eq!(lines(&metrics, "gone"), Vec::<String>::new());
        // Of the same names there are others now, and the old ones count nothing of theirs.
        let (anew, backend_anew) = (metrics.alias("gone", "long"), metrics.backend("gone", "b:1"));
        metrics.policies.has_moderator("gone");
        count(&anew, &backend_anew);
        alias.settled(3, 4);
        backend.failed("reset");
        let shown = lines(&metrics, "gone").join("\n");
        for line in [
            r#"byname_tokens_reserved_total{model="long",tenant="gone"} 3"#,
            r#"byname_upstream_attempts_total{backend="b:1",outcome="reset",pool="gone"} 1"#,
            r#"byname_refusals_total{fault="gateway",model="long",reason="service_unavailable",tenant="gone"} 1"#,
            r#"byname_moderations_total{outcome="clean",policy="gone"} 1"#,
        ] {
            assert!(shown.contains(line), "{line}\n{shown}");
        }
    }

    #[test]
    fn who_stays_is_counted_by_the_same_handles() {
        let metrics = Metrics::new().unwrap();
        let alias = metrics.alias("acme", "general");
        alias.duration.observe(1.0);
        assert_eq!(metrics.alias("acme", "general").answered_so_far(), 1);
    }
}
