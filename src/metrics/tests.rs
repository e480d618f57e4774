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
