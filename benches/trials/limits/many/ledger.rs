//! What was charged by the log, line by line, and what the counters say is left.

use std::collections::BTreeMap;

use serde_json::Value;

use super::{CONCURRENT, REQUESTS_PER_MINUTE, TOKENS};
use crate::gateway::Gateway;
use crate::goals::Goals;

/// What the log's lines come to.
#[derive(Default)]
pub struct Charged {
    lines: usize,
    requests: u64,
    tokens: u64,
    /// By alias: `line` and `door`.
    by_alias: BTreeMap<String, (u64, u64)>,
    /// By how requests ended: how many, and what they were charged.
    kinds: BTreeMap<String, (usize, u64)>,
}

impl Charged {
    /// Adds up what each line says that it cost: nothing if no backend was asked or if we failed, otherwise
    /// what the backend said, if it did.
    pub fn by(log: &[String]) -> Charged {
        let mut charged = Charged { lines: log.len(), ..Charged::default() };
        for line in log {
            let line: Value = serde_json::from_str(line).unwrap();
            let number = |name: &str| line.get(name).and_then(Value::as_u64);
            let text = |name: &str| line.get(name).and_then(Value::as_str);
            let (status, attempts) = (number("status").unwrap(), number("attempts").unwrap());
            let failed = status >= 500;
            let said = text("token_source") == Some("upstream");
            let completion = number("completion_tokens").unwrap_or(0);
            let cost = number("charged_tokens");
            assert!(cost.is_none() || (attempts > 0 && !failed), "{line}");
            if let (Some(cost), true) = (cost, said) {
                assert_eq!(cost, number("prompt_tokens").unwrap() + completion, "{line}");
            }
            let asked = if attempts > 0 { "asked" } else { "not asked" };
            let source = text("token_source").unwrap_or("no answer");
            let kind = format!("{status} {} | {asked} | {source}", text("reason").unwrap_or(""));
            let kind = charged.kinds.entry(kind).or_default();
            kind.0 += 1;
            let Some(cost) = cost else { continue };
            kind.1 += cost;
            charged.requests += 1;
            charged.tokens += cost;
            let alias = charged.by_alias.entry(text("alias").unwrap().to_owned()).or_default();
            *alias = (alias.0 + 1, alias.1 + cost);
        }
        charged
    }

    pub fn print(&self) {
        println!("\n| by the log | backend | tokens by | requests | charged |\n|---|---|---|---:|---:|");
        self.kinds.iter().for_each(|(kind, (count, tokens))| println!("| {kind} | {count} | {tokens} |"));
        println!("\n{} lines: {} requests and {} tokens charged", self.lines, self.requests, self.tokens);
    }
}

/// What is left of every limit, by the metrics.
pub struct Left {
    settled: u64,
    windows: Vec<Window>,
}

struct Window {
    whose: &'static str,
    kind: &'static str,
    /// Used now.
    used: u64,
}

/// An entity, and its labels: model, and what stands before the limit's kind.
const ENTITIES: [(&str, &str, &str); 4] =
    [("tenant", "", ""), ("key", "", "web/"), ("line", "line", ""), ("door", "door", "")];
const POOLS: [&str; 2] = ["main", "spare"];

impl Left {
    pub async fn of(gateway: &Gateway) -> Left {
        let settled = gateway.sum("byname_tokens_settled_total", |_| true).await as u64;
        let mut windows = Vec::new();
        for (whose, model, before) in ENTITIES {
            for (kind, limit) in [
                ("requests_per_minute", REQUESTS_PER_MINUTE),
                ("tokens_per_minute", TOKENS),
                ("tokens_per_day", TOKENS),
                ("tokens_per_month", TOKENS),
            ] {
                if model.is_empty() || kind.ends_with("minute") {
                    let left = left(gateway, "acme", model, &format!("{before}{kind}")).await;
                    windows.push(Window { whose, kind, used: limit - left });
                }
            }
        }
        for whose in POOLS {
            for (kind, limit) in [("requests_per_minute", REQUESTS_PER_MINUTE), ("tokens_per_minute", TOKENS)]
            {
                let left = left(gateway, "", "", &format!("{whose}/{kind}")).await;
                windows.push(Window { whose, kind, used: limit - left });
            }
        }
        Left { settled, windows }
    }

    /// Compares.
    pub fn judge(&self, charged: &Charged, in_time: bool, goals: &mut Goals) {
        println!("\n| | limit | used | charged |\n|---|---|---:|---:|");
        let whole = (charged.requests, charged.tokens);
        let of_alias = |alias: &str| charged.by_alias.get(alias).copied().unwrap_or_default();
        let mut pools = (0, 0);
        for Window { whose, kind, used } in &self.windows {
            let of_requests = kind.starts_with("requests");
            let (requests, tokens) = match *whose {
                "tenant" | "key" => whole,
                "line" | "door" => of_alias(whose),
                // Each has a part of it.
                _ => {
                    *if of_requests { &mut pools.0 } else { &mut pools.1 } += used;
                    println!("| {whose} | {kind} | {used} | |");
                    continue;
                }
            };
            let expected = if of_requests { requests } else { tokens };
            println!("| {whose} | {kind} | {used} | {expected} |");
            if kind.ends_with("minute") && !in_time {
                println!("| … not judged: its minute was over | | | |");
                continue;
            }
            let found = format!("{used} used, {expected} charged");
            goals.enter(format!("many: {kind} of {whose} is exact"), found, *used == expected);
        }
        if in_time {
            let found = format!("{} and {} used, {} and {} charged", pools.0, pools.1, whole.0, whole.1);
            // A pool counts every attempt that is sent to it, and of tokens what its answers used.
            let exact = pools.1 == whole.1 && pools.0 >= whole.0;
            goals.enter(
                "many: both pools together have the tokens, and a request for each attempt",
                found,
                exact,
            );
        }
        let found = format!("{} settled, {} charged", self.settled, charged.tokens);
        goals.enter("many: the metric of settled tokens agrees", found, self.settled == charged.tokens);
    }
}

/// How many slots of any limit are not back.
pub async fn slots_taken(gateway: &Gateway) -> f64 {
    let mut taken = 0.0;
    for (whose, most) in CONCURRENT {
        let left = match ENTITIES.iter().find(|(entity, ..)| *entity == whose) {
            Some((_, model, before)) => left(gateway, "acme", model, &format!("{before}concurrent")).await,
            None => left(gateway, "", "", &format!("{whose}/concurrent")).await,
        };
        taken += (most - left) as f64;
    }
    taken
}

async fn left(gateway: &Gateway, tenant: &str, model: &str, limit: &str) -> u64 {
    let labels = [format!("tenant=\"{tenant}\""), format!("model=\"{model}\""), format!("limit=\"{limit}\"")];
    let wanted = |found: &str| labels.iter().all(|label| found.contains(label.as_str()));
    gateway.sum("byname_limit_remaining", wanted).await as u64
}
