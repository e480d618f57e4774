//! Hundreds of tenants and backends: the page stays small and right.

use std::fmt::Write as _;

use super::{chat, html, json, named};
use crate::kit::answers::json_answer;
use crate::kit::config::{Gateway, digest};
use crate::kit::upstream::Upstream;

const TENANTS: usize = 500;
const POOLS: usize = 20;
const BACKENDS: usize = 10;

fn key(tenant: usize) -> String {
    format!("bn-test-many-{tenant}")
}

/// A configuration with one backend that answers and 200 that nobody asks.
fn text(upstream: &Upstream) -> String {
    let mut text = "server: { listen: \"{listen}\", admin: \"{admin}\" }\npools:\n".to_owned();
    for pool in 0..POOLS {
        let _ = writeln!(text, "  pool-{pool}:\n    backends:");
        for backend in 0..BACKENDS {
            let number = 2000 + pool * BACKENDS + backend;
            let _ = writeln!(text, "      - {{ url: \"http://127.0.0.2:{number}/v1\" }}");
        }
    }
    let _ = writeln!(text, "  live: {{ backends: [ {{ url: \"{}\" }} ] }}\ntenants:", upstream.url());
    for tenant in 0..TENANTS {
        let _ = write!(
            text,
            "  tenant-{tenant}:\n    keys: {{ web: {{ sha256: \"{}\" }} }}\n    \
             limits: {{ requests_per_minute: 600, tokens_per_minute: 1000000, concurrent: 20 }}\n    models:\n",
            digest(&key(tenant))
        );
        for alias in ["general", "secure", "coding"] {
            let _ = writeln!(text, "      {alias}: {{ routes: [ {{ pool: live, model: large }} ] }}");
        }
    }
    text
}

#[test]
fn with_500_tenants_and_200_backends_it_is_small_and_right() {
    let upstream = Upstream::always(json_answer("ok"));
    let daemon = Gateway::new().config_text(&text(&upstream)).start();
    for _ in 0..3 {
        assert_eq!(daemon.client().chat_as(&key(321), &chat("coding")).status, 200);
    }
    let status = json(&daemon, "/status");
    assert_eq!(status["tenants"].as_array().map(Vec::len), Some(TENANTS));
    let backends = status["pools"].as_array().expect("a list").iter().map(|pool| pool["backends"].as_array());
    assert_eq!(backends.map(|all| all.map_or(0, Vec::len)).sum::<usize>(), POOLS * BACKENDS + 1);
    let busy = named(&status["tenants"], "tenant-321");
    assert_eq!((&busy["requests"], &named(&busy["aliases"], "coding")["requests"]), (&3.into(), &3.into()));
    assert_eq!(named(&status["tenants"], "tenant-320")["requests"], 0);

    let page = html(&daemon, "/status");
    assert!(page.len() < 1_000_000, "{} bytes", page.len());
    assert!(page.contains("450 more tenants"));
    for tenant in 0..TENANTS {
        assert!(page.contains(&format!("href=\"/status?tenant=tenant-{tenant}\"")), "tenant-{tenant}");
    }
    let told = (0..POOLS * BACKENDS).filter(|number| page.contains(&format!("127.0.0.2:{}", 2000 + number)));
    // One page has room for 200, and links to the rest.
    assert!(told.count() >= POOLS * BACKENDS - 1 && page.contains(&upstream.addr().to_string()));
    // The one with traffic is the first of its table.
    let table = page.split("<h2 id=\"tenants\">").nth(1).expect("the table of tenants");
    assert_eq!(table.split("?tenant=").nth(1).and_then(|rest| rest.split('"').next()), Some("tenant-321"));

    let page = html(&daemon, "/status?tenant=tenant-499");
    assert!(page.contains("tenant-499") && page.contains("coding") && !page.contains("tenant-498"));
    assert!(page.len() < 50_000, "{} bytes", page.len());
    let found = json(&daemon, "/status?find=tenant-49");
    assert_eq!(found["tenants"].as_array().map(Vec::len), Some(11));
}

/// Whoever looks, clients are served: the page is made elsewhere.
#[test]
fn looking_keeps_nobody_waiting() {
    let upstream = Upstream::always(json_answer("ok"));
    let daemon = Gateway::new().config_text(&text(&upstream)).start();
    std::thread::scope(|scope| {
        let lookers: Vec<_> = (0..8).map(|_| scope.spawn(|| html(&daemon, "/status").len())).collect();
        for _ in 0..50 {
            assert_eq!(daemon.client().chat_as(&key(1), &chat("general")).status, 200);
            assert_eq!(daemon.ask_admin("/healthz").status, 200);
        }
        assert!(lookers.into_iter().all(|looker| looker.join().is_ok_and(|length| length < 1_000_000)));
    });
    assert_eq!(named(&json(&daemon, "/status")["tenants"], "tenant-1")["requests"], 50);
}

/// What nobody has asked for is not on the page of metrics, and whoever scrapes it keeps nobody waiting.
#[test]
fn the_page_of_metrics_is_small_and_made_elsewhere() {
    let upstream = Upstream::always(json_answer("ok"));
    let daemon = Gateway::new().config_text(&text(&upstream)).start();
    let scrape = || daemon.ask_admin("/metrics").text();
    let page = scrape();
    let series = page.lines().filter(|line| !line.starts_with('#')).count();
    // In flight and what is left of limits for 1500 aliases and 500 tenants, and some 20 of each backend.
    assert!(series < 10_000 && page.len() < 1_000_000, "{series} series, {} bytes", page.len());
    assert!(!page.contains("byname_request_duration_seconds_bucket"));
    std::thread::scope(|scope| {
        let scrapes: Vec<_> = (0..8).map(|_| scope.spawn(scrape)).collect();
        for _ in 0..20 {
            assert_eq!(daemon.ask_admin("/healthz").status, 200);
        }
        let left = |page: &str| page.matches("byname_limit_remaining{").count();
        for page in scrapes.into_iter().filter_map(|scrape| scrape.join().ok()) {
            assert_eq!(left(&page), 3 * TENANTS, "two pages were made at once");
        }
    });
}
