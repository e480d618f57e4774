//! The `tenants:` section, of the main file and of included ones: keys, aliases and their routes.

use std::collections::HashMap;

use super::keys::{self, Digests, access, keys};
use super::limits::{Kept, LASTING, PASSING, lasting, passing};
use super::queue::{self, alias_waits, queue, tenant_waits};
use crate::config::at::{At, Named, every};
use crate::config::complaint::{Complaints, Told, nearest, quoted};
use crate::config::form::{Field, Form, may, must};
use crate::config::naming::{MAX_ALIAS, MAX_MODEL, alias, free_text, identifier};
use crate::config::plan::{Access, LimitRules, ModelPlan, RoutePlan, TenantPlan};
use crate::names::{Alias, ModelName, PolicyName, PoolName, TenantId};
use crate::wire::completion::Expose;

/// More tenants than this belong on more than one machine, and a list of them is more likely a slip.
const MAX_TENANTS: usize = 100_000;
/// A description is a sentence or two in a list of models, in characters.
const MAX_DESCRIPTION: usize = 4096;

pub(super) const FIELDS: &[Field] = &[
    must("keys", Form::Named(&Form::Section(keys::FIELDS), 0), "of clients, by names for logs"),
    may(
        "models",
        Form::Named(&Form::Section(MODEL_FIELDS), 0),
        "the aliases, in the order of GET /v1/models",
    ),
    may("disabled", Form::Truth, "whether all of its keys are refused as if they were not here"),
    may("limits", Form::Section(LASTING), "of all keys together"),
];
const ROUTE_FIELDS: &[Field] = &[
    must("pool", Form::Text, "one under `pools`"),
    must("model", Form::Text, "what the backing model calls itself"),
];
const MODEL_FIELDS: &[Field] = &[
    may("display_name", Form::Text, "the alias unless written"),
    may("description", Form::Text, "a sentence or two"),
    must("routes", Form::List(&Form::Section(ROUTE_FIELDS), 1), "in order of priority"),
    may(
        "expose",
        Form::List(&Form::Words(&["reasoning", "logprobs", "usage_details"]), 0),
        "what is otherwise kept back",
    ),
    may("policy", Form::Text, "one under `policies`"),
    may("limits", Form::Section(PASSING), "of this alias alone"),
    may(
        "queue",
        Form::Section(queue::FIELDS),
        "for requests that some `concurrent` is in the way of; refused unless written",
    ),
];

/// What the tenants of all files have in common.
pub(super) struct Seen<'a> {
    known: Known<'a>,
    tenants: HashMap<String, String>,
    digests: Digests,
}

/// What tenants may refer to.
pub(super) struct Known<'a> {
    /// `None` when the section could not be read, so that every route would be wrong.
    pub(super) pools: Option<Vec<&'a str>>,
    /// The same of policies.
    pub(super) policies: Option<Vec<&'a str>>,
    /// Pools that limit `concurrent`; `None` when nobody can tell.
    pub(super) waiting: Option<Vec<PoolName>>,
    pub(super) kept: Kept,
}

impl<'a> Seen<'a> {
    /// No tenant yet.
    pub(super) fn new(known: Known<'a>) -> Self {
        Self { known, tenants: HashMap::new(), digests: Digests::new() }
    }
}

/// Reads the tenants of one file; at least one.
pub(super) fn tenants(
    at: &At<'_>,
    seen: &mut Seen<'_>,
    out: &mut Complaints,
) -> Result<Vec<TenantPlan>, Told> {
    let named = at.named(out)?;
    if named.len() == 0 {
        return Err(at.complain(out, "is empty", "write at least one tenant"));
    }
    if seen.tenants.len() + named.len() > MAX_TENANTS {
        let wrong = format!("there are more than {MAX_TENANTS} tenants");
        return Err(at.complain(out, wrong, "serve some of them from another instance"));
    }
    every(named.map(|named| tenant(&named, seen, out)))
}

fn tenant(named: &Named<'_>, seen: &mut Seen<'_>, out: &mut Complaints) -> Result<TenantPlan, Told> {
    let id = identifier(named, out).and_then(|id| match seen.tenants.insert(id.to_owned(), named.place()) {
        Some(first) => {
            let wrong = format!("this tenant is already at {first}");
            Err(named.complain(out, wrong, "keep all of a tenant in one place"))
        }
        None => Ok(id),
    });
    let fields = named.value.fields(FIELDS, out)?;
    let keys = fields
        .need(
            "keys",
            "a tenant without keys cannot be used; `byname keygen` prints a key and its digest",
            out,
        )
        .and_then(|at| keys(&at, &mut seen.digests, seen.known.kept, out));
    let limits = fields.or("limits", LimitRules::default(), out, |at, out| lasting(at, seen.known.kept, out));
    let waits = tenant_waits(&limits, &keys);
    let models = fields.or("models", Vec::new(), out, |at, out| {
        every(at.named(out)?.map(|named| model(&named, seen, waits, out)))
    });
    let access = fields.or("disabled", Access::Open, out, access);
    Ok(TenantPlan { id: TenantId::new(id?), access: access?, keys: keys?, models: models?, limits: limits? })
}

/// `waits` is whether a request of the tenant may have to wait, whatever it asks for.
fn model(named: &Named<'_>, seen: &Seen<'_>, waits: bool, out: &mut Complaints) -> Result<ModelPlan, Told> {
    let alias = alias(named, out);
    let fields = named.value.fields(MODEL_FIELDS, out)?;
    let display_name = match fields.get("display_name") {
        Some(at) => free_text(&at, MAX_ALIAS, out),
        None => alias,
    };
    let description = fields.or("description", String::new(), out, description);
    let routes = fields
        .need("routes", "write at least one, such as [ { pool: demo, model: some-model } ]", out)
        .and_then(|at| routes(&at, seen.known.pools.as_deref(), out));
    let expose = fields.or("expose", Expose::default(), out, expose);
    let policies = seen.known.policies.as_deref();
    let policy = fields.or("policy", None, out, |at, out| policy(at, policies, out).map(Some));
    let limits = fields.or("limits", LimitRules::default(), out, passing);
    let waits = waits || alias_waits(&limits, &routes, seen.known.waiting.as_deref());
    let queue = fields.or("queue", None, out, |at, out| queue(at, waits, out).map(Some));
    Ok(ModelPlan {
        alias: Alias::new(alias?),
        display_name: display_name?.to_owned(),
        description: description?,
        routes: routes?,
        expose: expose?,
        policy: policy?,
        limits: limits?,
        queue: queue?,
    })
}

fn policy(at: &At<'_>, policies: Option<&[&str]>, out: &mut Complaints) -> Result<PolicyName, Told> {
    known(at, "policy", "policies", policies, out).map(PolicyName::new)
}

/// The name of one of these; `None` when nobody can tell which there are.
fn known<'a>(
    at: &At<'a>,
    kind: &str,
    section: &str,
    names: Option<&[&str]>,
    out: &mut Complaints,
) -> Result<&'a str, Told> {
    let name = at.text(out)?;
    let Some(names) = names.filter(|names| !names.contains(&name)) else { return Ok(name) };
    let mend = match nearest(name, names.iter().copied()) {
        Some(near) => format!("did you mean {}?", quoted(near)),
        None => format!("write the name of one under `{section}:`"),
    };
    Err(at.complain(out, format!("there is no {kind} named {}", quoted(name)), mend))
}

fn description(at: &At<'_>, out: &mut Complaints) -> Result<String, Told> {
    let text = at.text(out)?;
    if text.chars().nth(MAX_DESCRIPTION).is_some() {
        return Err(at.complain(out, format!("is longer than {MAX_DESCRIPTION} characters"), "shorten it"));
    }
    Ok(text.to_owned())
}

fn routes(at: &At<'_>, pools: Option<&[&str]>, out: &mut Complaints) -> Result<Vec<RoutePlan>, Told> {
    let items = at.items(out)?;
    if items.len() == 0 {
        return Err(at.complain(
            out,
            "is empty",
            "write at least one, such as { pool: demo, model: some-model }",
        ));
    }
    let mut seen: Vec<RoutePlan> = Vec::new();
    every(items.map(|at| {
        let route = route(&at, pools, out)?;
        if seen.contains(&route) {
            return Err(at.complain(out, "is the same route as one before it", "remove it"));
        }
        seen.push(route.clone());
        Ok(route)
    }))
}

fn route(at: &At<'_>, pools: Option<&[&str]>, out: &mut Complaints) -> Result<RoutePlan, Told> {
    let fields = at.fields(ROUTE_FIELDS, out)?;
    let pool = fields
        .need("pool", "write the name of one under `pools:`", out)
        .and_then(|at| known(&at, "pool", "pools", pools, out));
    let model = fields
        .need("model", "write what the backing model calls itself", out)
        .and_then(|at| free_text(&at, MAX_MODEL, out));
    Ok(RoutePlan { pool: PoolName::new(pool?), model: ModelName::new(model?) })
}

fn expose(at: &At<'_>, out: &mut Complaints) -> Result<Expose, Told> {
    const PARTS: [&str; 3] = ["reasoning", "logprobs", "usage_details"];
    let mut all = Expose::default();
    let parts = every(at.items(out)?.map(|at| {
        let name = at.text(out)?;
        let part = match name {
            "reasoning" => &mut all.reasoning,
            "logprobs" => &mut all.logprobs,
            "usage_details" => &mut all.usage_details,
            other => {
                let mend = match nearest(other, PARTS) {
                    Some(near) => format!("did you mean '{near}'?"),
                    None => format!("known here: {}", PARTS.join(", ")),
                };
                return Err(at.complain(out, format!("there is no {} to expose", quoted(other)), mend));
            }
        };
        if std::mem::replace(part, true) {
            return Err(at.complain(out, "is listed twice", "keep one of them"));
        }
        Ok(())
    }));
    parts.map(|_| all)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::at::tests::{complaint, reading};

    fn seen() -> Seen<'static> {
        Seen::new(Known {
            pools: Some(vec!["demo", "small"]),
            policies: Some(vec!["strict"]),
            waiting: Some(vec![PoolName::new("small")]),
            kept: Kept::No,
        })
    }

    #[test]
    fn an_alias_is_its_own_display_name() {
        let text = "{ acme: { keys: {}, models: { a/b: { routes: [ { pool: demo, model: m } ] } } } }";
        let read = reading(text, |at, out| tenants(at, &mut seen(), out)).unwrap();
        let model = read.first().and_then(|tenant| tenant.models.first()).unwrap();
        assert_eq!((model.display_name.as_str(), model.description.as_str()), ("a/b", ""));
        assert_eq!(model.expose, Expose::default());
    }

    #[test]
    fn an_alias_may_have_a_policy_that_there_is() {
        let text = |policy: &str| {
            format!(
                "{{ acme: {{ keys: {{}}, models: {{ general: {{ policy: {policy}, \
                 routes: [ {{ pool: demo, model: m }} ] }} }} }} }}"
            )
        };
        let read = reading(&text("strict"), |at, out| tenants(at, &mut seen(), out)).unwrap();
        assert_eq!(read[0].models[0].policy, Some(PolicyName::new("strict")));
        let told = |policy: &str| complaint(&text(policy), |at, out| tenants(at, &mut seen(), out));
        assert!(told("strickt").ends_with("there is no policy named 'strickt'; did you mean 'strict'?"));
        assert!(told("other").ends_with("named 'other'; write the name of one under `policies:`"));
    }

    #[test]
    fn a_queue_needs_something_to_wait_for() {
        let text = |of_tenant: &str, of_key: &str, of_alias: &str, pool: &str| {
            let key = format!("web: {{ sha256: {}, limits: {of_key} }}", "a".repeat(64));
            let routes = format!("[ {{ pool: demo, model: m }}, {{ pool: {pool}, model: n }} ]");
            format!(
                "{{ acme: {{ limits: {of_tenant}, keys: {{ {key} }}, \
                 models: {{ general: {{ limits: {of_alias}, queue: {{}}, routes: {routes} }} }} }} }}"
            )
        };
        const ONE: &str = "{ concurrent: 1 }";
        for good in [
            text(ONE, "{}", "{}", "demo"),
            text("{}", ONE, "{}", "demo"),
            text("{}", "{}", ONE, "demo"),
            text("{}", "{}", "{}", "small"),
        ] {
            let read = reading(&good, |at, out| tenants(at, &mut seen(), out)).unwrap();
            assert!(read.iter().flat_map(|tenant| &tenant.models).all(|model| model.queue.is_some()));
        }
        let bad = text("{ requests_per_minute: 1 }", "{}", "{}", "demo");
        let told = complaint(&bad, |at, out| tenants(at, &mut seen(), out));
        assert!(told.contains("acme.models.general.queue: would never be used"), "{told}");
        // Where nobody can tell, nothing is said of the queue.
        for other in ["{ concurrent: 0 }", "{ concurent: 1 }"] {
            let told = complaint(&text(other, "{}", "{}", "demo"), |at, out| tenants(at, &mut seen(), out));
            assert!(!told.contains("queue"), "{told}");
        }
    }

    #[test]
    fn what_is_exposed_is_named() {
        let read = reading("[usage_details, reasoning]", expose);
        assert_eq!(read, Ok(Expose { reasoning: true, logprobs: false, usage_details: true }));
        for bad in ["[reasonning]", "[logprobs, logprobs]", "logprobs", "[all]"] {
            assert!(reading(bad, expose).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_hundred_thousand_tenants_are_taken_and_one_more_is_not() {
        let many = |count: usize| (0..count).map(|n| format!("t{n}: {{ keys: {{}} }}\n")).collect::<String>();
        let read = reading(&many(MAX_TENANTS), |at, out| tenants(at, &mut seen(), out));
        assert_eq!(read.map(|tenants| tenants.len()), Ok(MAX_TENANTS));
        assert_eq!(
            complaint(&many(MAX_TENANTS + 1), |at, out| tenants(at, &mut seen(), out)),
            "there are more than 100000 tenants; serve some of them from another instance"
        );
    }
}
