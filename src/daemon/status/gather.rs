//! Collects what the status says from where it is known.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Instant, SystemTime};

use super::attention;
use super::facts::{
    AddressFacts, AliasFacts, BackendFacts, Configuration, Connections, Facts, KeyFacts, Latency, LimitFacts,
    ModeratorFacts, PoolFacts, RouteFacts, Strangers, TenantFacts, Tokens, Traffic, state,
};
use super::history::{History, Waits, Who};
use super::look::Look;
use super::losses;
use crate::config::snapshot::{Snapshot, Tenant};
use crate::daemon::admin::unready;
use crate::daemon::keeper::Keeper;
use crate::daemon::observe::left;
use crate::daemon::process;
use crate::daemon::reload::{Reloader, Report};
use crate::metrics::{AliasMetrics, Tally};
use crate::names::TenantId;
use crate::proxy::door::seats::Seats;
use crate::proxy::life::{Life, Stage};
use crate::rules::auth::Principal;
use crate::rules::breaker::State;
use crate::rules::catalog::AliasEntry;
use crate::rules::content::Moderation;
use crate::rules::failover;
use crate::rules::limits::book::{Book, Limit, When};
use crate::rules::limits::period::Today;
use crate::rules::pools::{Member, Pool};
use crate::rules::store;
use crate::rules::vitals::{Kind, Vitals};

/// Where everything is known.
pub struct Sources {
    pub reloader: Arc<Reloader>,
    pub life: Arc<Life>,
    pub seats: Arc<Seats>,
    /// Who keeps budgets on this machine's disk, if they are kept there.
    pub keeper: Option<Arc<Keeper>>,
    /// When the process began.
    pub began: Instant,
    pub history: History,
}

/// What one look needs.
struct Scene<'s> {
    snapshot: &'s Snapshot,
    history: &'s History,
    attempts: Tally,
    refusals: Tally,
    when: When,
}

impl Sources {
    /// What is so now, as far as somebody wants to see it.
    pub fn facts(&self, look: &Look, now: Instant) -> Facts {
        let snapshot = self.reloader.live.load();
        let metrics = &self.reloader.metrics;
        let today = SystemTime::now();
        let when = When { now: snapshot.origin.tick(now), today: Today::at(today) };
        let scene = Scene {
            snapshot: &snapshot,
            history: &self.history,
            attempts: metrics.attempts(),
            refusals: metrics.refusals(),
            when,
        };
        let census = self.seats.census();
        let stage = self.life.stage();
        let pace = self.history.pace(&Who::Everyone);
        let mut facts = Facts {
            version: env!("CARGO_PKG_VERSION"),
            process: std::process::id(),
            uptime_seconds: now.saturating_duration_since(self.began).as_secs(),
            memory_bytes: process::resident(),
            stage: match stage {
                Stage::Starting => "starting",
                Stage::Serving => "serving",
                Stage::HandedOver => "handed_over",
                Stage::Stopping => "stopping",
            },
            not_ready: unready(stage, &snapshot),
            serving: metrics.serving.get(),
            requests_per_second: pace.per_second,
            connections: Connections { idle: census.idle, busy: census.busy },
            configuration: self.configuration(),
            limits_store: snapshot.limiting.store.as_ref().map(|store| match store.state() {
                store::State::Up => "up",
                store::State::Down => "down",
            }),
            attention: Vec::new(),
            pools: snapshot.pools.iter().map(|pool| scene.pool(pool)).collect(),
            tenants: scene.tenants(),
            strangers: Strangers {
                requests: snapshot.nobody.answered_so_far(),
                reasons: scene.refusals.of("", ""),
            },
            moderators: moderators(&snapshot, now),
            losses: losses::notices(self),
            pace,
            now: today,
        };
        facts.attention = attention::notices(&facts, &self.reloader.ends());
        facts.pools.retain(|pool| look.has_pool(&pool.name, pool.backends.iter().map(|b| b.name.as_str())));
        facts.tenants.retain(|of| look.has_tenant(&of.name, of.aliases.iter().map(|a| a.name.as_str())));
        facts
    }

    fn configuration(&self) -> Configuration {
        let Report { at, complaints, warnings, generation } = self.reloader.report();
        Configuration {
            file: self.reloader.file.display().to_string(),
            generation,
            in_use: self.reloader.in_use(),
            at: humantime::format_rfc3339_seconds(at).to_string(),
            last_reload: if complaints.is_empty() { "taken" } else { "refused" },
            complaints,
            warnings,
        }
    }

    /// Takes what has been counted so far into the history.
    pub fn remember(&self, now: Instant) {
        let snapshot = self.reloader.live.load();
        let attempts = self.reloader.metrics.attempts();
        let (mut counts, mut waits) = (Vec::new(), Vec::new());
        for pool in &snapshot.pools {
            let mut sum = 0;
            for backend in &pool.backends {
                let count = attempts.of(pool.name.as_str(), backend.name.as_str()).values().sum();
                sum += count;
                counts.push((Who::Backend(pool.name.clone(), backend.name.clone()), count));
            }
            counts.push((Who::Pool(pool.name.clone()), sum));
        }
        let mut everyone = snapshot.nobody.answered_so_far();
        for tenant in &snapshot.tenants {
            let mut sum = tenant.unnamed.answered_so_far();
            for entry in tenant.catalog.entries() {
                let count = entry.metrics.answered_so_far();
                sum += count;
                let who = Who::Alias(tenant.id.clone(), entry.alias.clone());
                waits.push((who.clone(), first_tokens(&entry.metrics)));
                counts.push((who, count));
            }
            everyone += sum;
            counts.push((Who::Tenant(tenant.id.clone()), sum));
        }
        counts.push((Who::Everyone, everyone));
        counts.extend(losses::so_far(&self.reloader.metrics));
        self.history.look(now, counts.into_iter());
        self.history.look_at_waits(waits.into_iter());
    }
}

impl Scene<'_> {
    fn pool(&self, pool: &Arc<Pool>) -> PoolFacts {
        let members = pool.members();
        let backends: Vec<_> = (0..pool.backends.len())
            .filter_map(|index| {
                let own: Vec<_> = members.iter().filter(|member| member.backend == index).cloned().collect();
                self.backend(pool, index, &own)
            })
            .collect();
        let pace = self.history.pace(&Who::Pool(pool.name.clone()));
        PoolFacts {
            name: pool.name.to_string(),
            balance: pool.balance.label(),
            usable: backends.iter().filter(|backend| backend.up).count(),
            attempts_per_second: pace.per_second,
            limits: pool
                .gate
                .as_ref()
                .map(|gate| self.limits(&gate.book, Some(&gate.limit)))
                .unwrap_or_default(),
            backends,
            pace,
        }
    }

    fn backend(&self, pool: &Pool, index: usize, own: &[Arc<Member>]) -> Option<BackendFacts> {
        let backend = pool.backends.get(index)?;
        let now = self.when.now;
        let addresses: Vec<_> = own.iter().map(|member| self.address(pool, member)).collect();
        let condition = own.iter().map(|member| pool.condition(member, now).0).min();
        let best = own.iter().map(|member| member.vitals.breaker.state(now)).min();
        let outcomes = self.attempts.of(pool.name.as_str(), backend.name.as_str());
        let attempts: u64 = outcomes.values().sum();
        let ok = outcomes.get("ok").copied().unwrap_or(0);
        let failures = outcomes.iter().filter(|(outcome, _)| failover::blames(outcome)).map(|(_, n)| n).sum();
        let pace = self.history.pace(&Who::Backend(pool.name.clone(), backend.name.clone()));
        Some(BackendFacts {
            name: backend.name.to_string(),
            up: addresses.iter().any(|address| address.up),
            state: state(condition),
            breaker: breaker(best.unwrap_or(State::Closed)),
            credential: if backend.credential.is_usable(now) { "good" } else { "refused" },
            in_flight: own.iter().map(|member| member.vitals.in_flight()).sum(),
            latency_ms: slowest(own),
            attempts,
            attempts_per_second: pace.per_second,
            failures,
            other_ends: attempts.saturating_sub(ok).saturating_sub(failures),
            outcomes,
            weight: backend.weight,
            addresses,
            condition,
            pace,
        })
    }

    fn address(&self, pool: &Pool, member: &Member) -> AddressFacts {
        let (condition, up) = pool.condition(member, self.when.now);
        AddressFacts {
            address: member.address.to_string(),
            up,
            state: state(Some(condition)),
            breaker: breaker(member.vitals.breaker.state(self.when.now)),
            in_flight: member.vitals.in_flight(),
            latency_ms: latency(&member.vitals),
        }
    }

    fn tenants(&self) -> Vec<TenantFacts> {
        let mut keys: Vec<Vec<&Principal>> = self.snapshot.tenants.iter().map(|_| Vec::new()).collect();
        for caller in self.snapshot.keys.principals() {
            if let Some(own) = keys.get_mut(caller.tenant_index) {
                own.push(caller);
            }
        }
        self.snapshot.tenants.iter().zip(keys).map(|(tenant, keys)| self.tenant(tenant, keys)).collect()
    }

    fn tenant(&self, tenant: &Tenant, mut keys: Vec<&Principal>) -> TenantFacts {
        let mut aliases: Vec<_> = tenant.catalog.entries().map(|entry| self.alias(tenant, entry)).collect();
        aliases.sort_by(|one, other| one.name.cmp(&other.name));
        keys.sort_by(|one, other| one.key.cmp(&other.key));
        let mut traffic = self.traffic(&Who::Tenant(tenant.id.clone()), (&tenant.id, ""), &tenant.unnamed);
        aliases.iter().for_each(|alias| traffic.add(&alias.traffic));
        TenantFacts {
            name: tenant.id.to_string(),
            traffic,
            limits: self.limits(&tenant.book, tenant.limit.as_ref()),
            aliases,
            keys: keys.into_iter().map(|key| self.key(tenant, key)).collect(),
        }
    }

    fn alias(&self, tenant: &Tenant, entry: &AliasEntry) -> AliasFacts {
        let who = Who::Alias(tenant.id.clone(), entry.alias.clone());
        let first_token = self.history.mean_wait(&who, first_tokens(&entry.metrics));
        let routes = entry.routes.iter().map(|route| RouteFacts {
            pool: route.pool.name.to_string(),
            // It is a JSON literal of ours, so it can be read back.
            model: serde_json::from_str(route.model.as_str()).unwrap_or_default(),
        });
        AliasFacts {
            name: entry.alias.to_string(),
            traffic: self.traffic(&who, (&tenant.id, entry.alias.as_str()), &entry.metrics),
            first_token_ms: first_token.map(|seconds| tenths(seconds * 1e3)),
            limits: self.limits(&tenant.book, entry.limit.as_ref()),
            routes: routes.collect(),
        }
    }

    /// What was counted of an alias, or of requests that named none, at the pace of `who`.
    fn traffic(&self, who: &Who, (tenant, alias): (&TenantId, &str), metrics: &AliasMetrics) -> Traffic {
        let pace = self.history.pace(who);
        let reasons = self.refusals.of(tenant.as_str(), alias);
        let (prompt, completion) = metrics.tokens_so_far();
        Traffic {
            requests: metrics.answered_so_far(),
            requests_per_second: pace.per_second,
            refusals: reasons.values().sum(),
            reasons,
            tokens: Tokens { prompt, completion },
            in_flight: metrics.in_flight.get(),
            pace,
        }
    }

    fn key(&self, tenant: &Tenant, key: &Principal) -> KeyFacts {
        KeyFacts {
            name: key.key.to_string(),
            expires: key.expires.map(|at| humantime::format_rfc3339_seconds(at).to_string()),
            limits: self.limits(&tenant.book, key.limit.as_ref()),
            ends: key.expires,
        }
    }

    fn limits(&self, book: &Book, limit: Option<&Limit>) -> Vec<LimitFacts> {
        let all = limit.into_iter().flat_map(|limit| {
            left(book, limit, self.when).filter_map(|(kind, left)| {
                let most = limit.rules.of(kind)?;
                Some(LimitFacts { limit: kind.label(), most, left })
            })
        });
        all.collect()
    }
}

/// The moderators that fail, by the names of their policies.
fn moderators(snapshot: &Snapshot, now: Instant) -> Vec<ModeratorFacts> {
    let entries = snapshot.tenants.iter().flat_map(|tenant| tenant.catalog.entries());
    let policies = entries.filter_map(|entry| entry.policy.as_ref());
    let all: BTreeMap<&str, &Moderation> =
        policies.filter_map(|policy| Some((policy.name.as_str(), policy.moderation.as_ref()?))).collect();
    let failing = all.into_iter().filter_map(|(policy, moderation)| {
        let trouble = moderation.standing.trouble()?;
        Some(ModeratorFacts {
            policy: policy.to_owned(),
            on_failure: moderation.on_failure,
            since: now.saturating_duration_since(trouble.since),
            last: now.saturating_duration_since(trouble.last),
            why: trouble.why,
        })
    });
    failing.collect()
}

fn breaker(state: State) -> &'static str {
    match state {
        State::Closed => "closed",
        State::HalfOpen => "half_open",
        State::Open => "open",
    }
}

fn first_tokens(metrics: &AliasMetrics) -> Waits {
    let (count, sum) = metrics.first_tokens_so_far();
    Waits { count, sum }
}

fn latency(vitals: &Vitals) -> Latency {
    let known = |kind| {
        let nanos = vitals.speed(kind).latency.nanos();
        (nanos > 0.0).then(|| tenths(nanos / 1e6))
    };
    Latency { stream: known(Kind::Stream), whole: known(Kind::Whole) }
}

/// What the slowest of its addresses takes.
fn slowest(members: &[Arc<Member>]) -> Latency {
    let all = members.iter().map(|member| latency(&member.vitals));
    all.fold(Latency::default(), |worst, one| {
        let later = |one: Option<f64>, other: Option<f64>| match (one, other) {
            (Some(one), Some(other)) => Some(one.max(other)),
            (one, other) => one.or(other),
        };
        Latency { stream: later(worst.stream, one.stream), whole: later(worst.whole, one.whole) }
    })
}

fn tenths(n: f64) -> f64 {
    (n * 10.0).round() / 10.0
}
