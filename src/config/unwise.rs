//! What works and is unwise: told by `-t`, by a start and by a reload, and never a reason to refuse.
//!
//! Pure, as the whole room is: whether a name resolves to a public address is not asked here, and the time is told.

use std::net::IpAddr;
use std::time::SystemTime;

use super::place::{Fault, Way, Weight};
use super::plan::{
    Access, Boot, KeyPlan, ListenAddress, ModelPlan, Plan, PolicyPlan, PoolPlan, Scheme, TenantPlan,
};
use super::url::is_near;
use crate::names::KeyDigest;

/// How many warnings of one kind are told. Who has more of them has a habit, not a slip.
const MOST: usize = 20;
/// The digest of `bn-demo-key`, which stands in the examples.
const DEMO_KEY: &str = "d2168e0a4ff5eaaa7cd0442c47f613ec1c91478ae6738369bc0cb861f2690b32";

/// Whom the listeners let in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Audience {
    /// Whoever is on this machine.
    Local,
    /// Others, too.
    Others,
}

/// Everything that is unwise about a plan, kind by kind.
pub fn unwise(plan: &Plan) -> Vec<Fault> {
    let mut all = Vec::new();
    let audience = audience(&plan.boot);
    if audience == Audience::Others {
        all.extend(demo_model(&plan.boot));
        few(&mut all, "keys", each_key(plan).filter_map(|(way, key)| demo_key(way, key)));
        few(&mut all, "keys", each_key(plan).filter_map(|(way, key)| everlasting(way, key)));
    }
    few(&mut all, "backends", plan.pools.iter().flat_map(readable_backends));
    all.extend(readable_store(plan));
    all.extend(readable_traces(plan));
    all.extend(one_body(plan));
    few(&mut all, "moderators", plan.policies.iter().filter_map(readable_moderator));
    few(&mut all, "aliases", plan.tenants.iter().flat_map(|tenant| unlimited(plan, tenant)));
    all
}

/// Keys that are refused since before `now`, though whoever reads the file takes them for keys. Told by `-t` alone.
pub fn expired(plan: &Plan, now: SystemTime) -> Vec<Fault> {
    let over = each_key(plan).filter_map(|(way, key)| {
        let at = key.expires.filter(|at| *at <= now)?;
        let wrong = format!("expired on {}", humantime::format_rfc3339_seconds(at));
        Some(fault(way.field("expires"), wrong, "remove the key, or write a later time"))
    });
    let mut all = Vec::new();
    few(&mut all, "keys", over);
    all
}

/// Tells the first ones, and how many there are beyond them.
fn few(all: &mut Vec<Fault>, what: &str, mut faults: impl Iterator<Item = Fault>) {
    let before = all.len();
    all.extend(faults.by_ref().take(MOST));
    let more = faults.count();
    if more > 0
        && let Some(last) = all.get_mut(before..).and_then(<[Fault]>::last_mut)
    {
        last.wrong.push_str(&format!(" (and so with {more} more {what})"));
    }
}

fn fault(way: Way, wrong: impl Into<String>, mend: impl Into<String>) -> Fault {
    Fault { way, wrong: wrong.into(), mend: mend.into(), weight: Weight::Unwise }
}

fn audience(boot: &Boot) -> Audience {
    let local = boot.listen.iter().all(|listener| match &listener.address {
        ListenAddress::Tcp(address) => address.ip().to_canonical().is_loopback(),
        ListenAddress::Unix { .. } => true,
    });
    if local { Audience::Local } else { Audience::Others }
}

fn demo_model(boot: &Boot) -> Option<Fault> {
    boot.demo_model?;
    let wrong = "starts the demo model in a gateway that others reach, and it makes its answers up";
    Some(fault(Way::to("server").field("demo_model"), wrong, "remove it, and the routes that lead to it"))
}

/// Those that may be used.
fn each_key(plan: &Plan) -> impl Iterator<Item = (Way, &KeyPlan)> {
    plan.tenants.iter().filter(|tenant| tenant.access == Access::Open).flat_map(|tenant| {
        let keys = || Way::to("tenants").field(tenant.id.as_str()).field("keys");
        let open = tenant.keys.iter().filter(|key| key.access == Access::Open);
        open.map(move |key| (keys().field(key.id.as_str()), key))
    })
}

fn demo_key(way: Way, key: &KeyPlan) -> Option<Fault> {
    let public = KeyDigest::from_hex(DEMO_KEY) == Some(key.digest);
    let wrong = "is the digest of `bn-demo-key`, which everybody knows";
    public.then(|| {
        fault(way.field("sha256"), wrong, "`byname keygen` prints a key of your own, and its digest")
    })
}

fn everlasting(way: Way, key: &KeyPlan) -> Option<Fault> {
    let mend = "write `expires`, such as 2027-06-30T00:00:00Z, and hand out another key before that";
    key.expires.is_none().then(|| fault(way, "never expires", mend))
}

/// What others can read on the way, since it goes over plain HTTP and farther than a private network.
fn readable(way: Way, scheme: Scheme, host: &str, what: &str) -> Option<Fault> {
    let plain = scheme == Scheme::Http && reach(host) == Reach::Public;
    plain.then(|| {
        let wrong = format!("is plain HTTP to a public address: {what} can be read on the way");
        fault(way, wrong, "write https, or reach it through a private network")
    })
}

fn readable_backends(pool: &PoolPlan) -> impl Iterator<Item = Fault> {
    pool.backends.iter().enumerate().filter_map(|(index, backend)| {
        let way = Way::to("pools").field(pool.name.as_str()).field("backends").item(index).field("url");
        readable(way, backend.scheme, &backend.host, "prompts, answers and its key")
    })
}

fn readable_store(plan: &Plan) -> Option<Fault> {
    let store = plan.store.as_ref().filter(|store| !store.tls && reach(&store.host) == Reach::Public)?;
    let what = if store.password.is_some() { "its password and all counts" } else { "all counts" };
    let wrong = format!("is a public address without TLS: {what} can be read and changed on the way");
    Some(fault(Way::to("limits_store").field("redis"), wrong, "write rediss://, or use a private network"))
}

/// Traces have no content, but the names of tenants, pools, backends and their models.
fn readable_traces(plan: &Plan) -> Option<Fault> {
    let traces = plan.tracing.as_ref()?;
    let what = if traces.headers.is_empty() { "traces" } else { "`headers` and traces" };
    readable(Way::to("tracing").field("endpoint"), traces.scheme, &traces.host, what)
}

/// One tenant's longest body is more than its half, and it may send that.
fn one_body(plan: &Plan) -> Option<Fault> {
    let tight = plan.tenants.len() > 1 && plan.clients.max_buffered / 2 < plan.caps.max_body;
    let wrong = "has no room for two bodies of `max_body`: with one, a tenant keeps the others out";
    tight.then(|| fault(Way::to("server").field("max_buffered"), wrong, "raise it, or lower `max_body`"))
}

fn readable_moderator(policy: &PolicyPlan) -> Option<Fault> {
    let moderator = policy.moderator.as_ref()?;
    let way = Way::to("policies").field(policy.name.as_str()).field("moderator").field("url");
    readable(way, moderator.scheme, &moderator.host, "prompts and its key")
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reach {
    /// This machine, a private network, or a name that only one of those knows.
    Near,
    Public,
}

/// Where a host is, as far as its name tells. A name with dots is taken for public unless its ending is one of those
/// that only private networks use (RFC 6761, 6762, 8375; `.internal` by ICANN's resolution of 2024).
fn reach(host: &str) -> Reach {
    const PRIVATE: [&str; 8] =
        [".localhost", ".local", ".internal", ".lan", ".home.arpa", ".test", ".example", ".invalid"];
    let near = match host.parse::<IpAddr>() {
        Ok(address) => is_near(address),
        Err(_) => !host.contains('.') || PRIVATE.iter().any(|end| host.ends_with(end)),
    };
    if near { Reach::Near } else { Reach::Public }
}

/// Aliases for which nothing limits what one key can spend.
fn unlimited<'p>(plan: &'p Plan, tenant: &'p TenantPlan) -> impl Iterator<Item = Fault> + 'p {
    let by_tenant = !tenant.limits.is_empty();
    let by_keys = tenant.keys.iter().all(|key| !key.limits.is_empty());
    let limited_pool = |name: &crate::names::PoolName| {
        plan.pools.iter().any(|pool| pool.name == *name && !pool.limits.is_empty())
    };
    let free = move |model: &&ModelPlan| {
        let by_pools = model.routes.iter().all(|route| limited_pool(&route.pool));
        !(by_tenant || by_keys || !model.limits.is_empty() || by_pools)
    };
    tenant.models.iter().filter(free).map(|model| {
        let way = Way::to("tenants").field(tenant.id.as_str()).field("models").field(model.alias.as_str());
        let mend = "write `limits` for it, its tenant or its keys, such as { requests_per_minute: 600, concurrent: 50 }";
        fault(way, "has no limits: one client may use up all of the backends", mend)
    })
}

#[cfg(test)]
mod tests {
    use super::super::{Source, place, read};
    use super::*;

    /// What is said of a configuration, with places.
    fn said(text: &str) -> Vec<String> {
        let source = Source { name: "t".to_owned(), text: text.to_owned() };
        let plan = read(&source, &[]).unwrap_or_else(|told| panic!("{told}"));
        let told = place::located(&[source], &unwise(&plan)).to_string();
        told.lines().map(str::to_owned).collect()
    }

    fn text(server: &str, key: &str, of_tenant: &str, url: &str) -> String {
        format!(
            "server: {{ {server} }}\npools:\n  p:\n    backends: [ {{ url: \"{url}\" }} ]\ntenants:\n  acme:\n    \
             keys: {{ web: {{ sha256: {key} }} }}\n    {of_tenant}\n    models: {{ general: {{ routes: [ {{ pool: p, \
             model: m }} ] }} }}\n"
        )
    }

    const LIMITS: &str = "limits: { concurrent: 9 }";
    const NEAR: &str = "http://10.0.0.1/v1";

    #[test]
    fn what_stays_on_the_machine_is_quiet() {
        let local = "listen: [ 127.0.0.1:8080, unix:/run/a.sock ], demo_model: 127.0.0.1:8081";
        assert_eq!(said(&text(local, DEMO_KEY, LIMITS, NEAR)), [""; 0]);
    }

    #[test]
    fn a_gateway_that_others_reach_has_no_demo_and_keys_that_end() {
        let public = "listen: 0.0.0.0:8080, demo_model: 127.0.0.1:8081";
        let said = said(&text(public, DEMO_KEY, LIMITS, NEAR));
        assert_eq!(said.len(), 3, "{said:#?}");
        assert!(said[0].starts_with("t:1:45: server.demo_model: starts the demo model"), "{said:#?}");
        assert!(
            said.iter()
                .any(|line| line.contains("tenants.acme.keys.web.sha256: is the digest of `bn-demo-key`"))
        );
        assert!(
            said.iter().any(|line| line.contains("tenants.acme.keys.web: never expires; write `expires`"))
        );
    }

    #[test]
    fn plain_http_stays_in_private_networks() {
        let local = "listen: 127.0.0.1:8080";
        let of = |url: &str| said(&text(local, DEMO_KEY, LIMITS, url)).len();
        for near in ["http://127.0.0.1/v1", "http://[fd00::1]/v1", "http://vllm/v1", "http://a.internal/v1"] {
            assert_eq!(of(near), 0, "{near}");
        }
        assert_eq!(of("https://api.models.com/v1"), 0);
        for far in ["http://8.8.8.8/v1", "http://[2001:db8::1]/v1", "http://api.models.com/v1"] {
            assert_eq!(of(far), 1, "{far}");
        }
        let store = "limits_store: { redis: redis://store.models.com }\n";
        let said = said(&format!("{store}{}", text(local, DEMO_KEY, LIMITS, NEAR)));
        assert!(
            said[0].starts_with("t:1:24: limits_store.redis: is a public address without TLS"),
            "{said:#?}"
        );
    }

    #[test]
    fn traces_in_plain_http_stay_in_private_networks() {
        let rest = text("listen: 127.0.0.1:8080", DEMO_KEY, LIMITS, NEAR);
        let of = |url: &str, more: &str| said(&format!("tracing: {{ endpoint: \"{url}\"{more} }}\n{rest}"));
        for near in
            ["http://127.0.0.1:4318/v1/traces", "http://otel/v1/traces", "https://t.models.com/v1/traces"]
        {
            assert_eq!(of(near, ""), [""; 0], "{near}");
        }
        let far = "http://t.models.com/v1/traces";
        let told = "t:1:22: tracing.endpoint: is plain HTTP to a public address: ";
        assert!(of(far, "")[0].starts_with(&format!("{told}traces can be read")));
        let headers = ", headers: { authorization: { env: TOKEN } }";
        assert!(of(far, headers)[0].starts_with(&format!("{told}`headers` and traces can be read")));
    }

    #[test]
    fn tenants_have_room_for_a_body_each() {
        let one =
            text("max_body: 1MiB, max_buffered: 2097151, listen: 127.0.0.1:8080", DEMO_KEY, LIMITS, NEAR);
        assert_eq!(said(&one), [""; 0]);
        let other = "  globex: { limits: { concurrent: 9 }, keys: {}, models: {} }\n";
        let told = said(&format!("{one}{other}"));
        assert_eq!(told.len(), 1, "{told:#?}");
        assert!(told[0].starts_with("t:1:41: server.max_buffered: has no room for two bodies"), "{told:#?}");
        assert_eq!(said(&format!("{one}{other}").replace("2097151", "2MiB")), [""; 0]);
    }

    #[test]
    fn an_alias_is_limited_by_somebody() {
        let free = text("listen: 127.0.0.1:8080", DEMO_KEY, "", NEAR);
        let told = said(&free);
        assert_eq!(told.len(), 1, "{told:#?}");
        assert!(told[0].contains("tenants.acme.models.general: has no limits"), "{told:#?}");
        for limited in [
            free.replace("backends:", "limits: { concurrent: 1 }\n    backends:"),
            free.replace("{ sha256:", "{ limits: { concurrent: 1 }, sha256:"),
            free.replace("{ routes:", "{ limits: { concurrent: 1 }, routes:"),
        ] {
            assert_eq!(said(&limited), [""; 0], "{limited}");
        }
    }

    #[test]
    fn a_key_that_is_over_is_told_of_unless_nobody_may_use_it() {
        let of = |key: &str, at: &str| {
            let text = text("listen: 127.0.0.1:8080", key, LIMITS, NEAR);
            let plan = read(&Source { name: "t".to_owned(), text }, &[]).unwrap();
            expired(&plan, humantime::parse_rfc3339(at).unwrap())
        };
        let key = format!("{DEMO_KEY}, expires: 2026-03-01T00:00:00Z");
        assert_eq!(of(&key, "2026-02-28T23:59:59Z"), []);
        let told = of(&key, "2026-03-01T00:00:00Z");
        assert_eq!(told.len(), 1);
        assert_eq!(
            format!("{}: {}", told[0].way, told[0].wrong),
            "tenants.acme.keys.web.expires: expired on 2026-03-01T00:00:00Z"
        );
        assert_eq!(of(&format!("{key}, disabled: true"), "2027-01-01T00:00:00Z"), []);
        assert_eq!(of(DEMO_KEY, "2027-01-01T00:00:00Z"), []);
    }

    #[test]
    fn a_habit_is_told_in_a_few_lines() {
        let keys: String = (0..MOST + 5).map(|n| format!("k{n}: {{ sha256: \"{n:064x}\" }}, ")).collect();
        let text = text("listen: 0.0.0.0:8080", &"a".repeat(64), LIMITS, NEAR);
        let said = said(&text.replace("keys: { ", &format!("keys: {{ {keys}")));
        assert_eq!(said.len(), MOST);
        assert!(
            said.iter().any(|line| line.contains("never expires (and so with 6 more keys); ")),
            "{said:#?}"
        );
    }
}
