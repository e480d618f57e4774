//! What the page of metrics shows.

use super::*;

#[test]
fn an_alias_shows_only_the_statuses_that_it_has_answered() {
    let metrics = Metrics::new().unwrap();
    let alias = metrics.alias("acme", "general");
    alias.answered(200);
    alias.answered(200);
    alias.answered(502);
    alias.used(3, 4, TokenSource::Upstream);
    let text = String::from_utf8(metrics.render()).unwrap();
    assert!(text.contains(r#"byname_requests_total{code="200",model="general",tenant="acme"} 2"#), "{text}");
    assert!(text.contains(r#"byname_requests_total{code="502",model="general",tenant="acme"} 1"#));
    assert!(!text.contains(r#"code="404""#));
    let tokens =
        r#"byname_tokens_total{kind="completion",model="general",source="upstream",tenant="acme"} 4"#;
    assert!(text.contains(tokens));
}

/// The lines of the page that are of an alias, without the comments.
fn series(metrics: &Metrics, model: &str) -> usize {
    let text = String::from_utf8(metrics.render()).unwrap();
    let label = format!("model=\"{model}\"");
    text.lines().filter(|line| line.contains(&label)).count()
}

/// The README says how many.
#[test]
fn an_alias_that_nobody_asks_for_costs_one_series_and_no_alias_none() {
    let metrics = Metrics::new().unwrap();
    let (alias, unnamed) = (metrics.alias("acme", "general"), metrics.alias("acme", ""));
    assert_eq!((series(&metrics, "general"), series(&metrics, "")), (1, 0));
    unnamed.answered(400);
    unnamed.duration.observe(0.1);
    unnamed.refused(&crate::error::GatewayError::NoSuchModel);
    alias.answered(200);
    alias.settled(1, 1);
    alias.used(1, 1, TokenSource::Upstream);
    for histogram in [&alias.duration, &alias.overhead, &alias.first_token, &alias.between] {
        histogram.observe(0.1);
    }
    assert_eq!((series(&metrics, "general"), series(&metrics, "")), (IN_USE, UNNAMED));
    let readme = include_str!("../../README.md");
    let said = format!("An alias has one series until it is first asked for, and about {IN_USE} then");
    assert!(readme.contains(&said), "the README does not say: {said}");
}

const IN_USE: usize = 68;
const UNNAMED: usize = 21;
