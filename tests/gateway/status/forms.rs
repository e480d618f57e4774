//! Who gets HTML and who JSON, what a page may load, and that no name becomes markup.

use super::{BROWSER, ask, chat, html, json};
use crate::kit::KEY;
use crate::kit::answers::json_answer;
use crate::kit::config::{Gateway, digest};
use crate::kit::upstream::Upstream;

#[test]
fn a_browser_gets_html_and_everyone_else_json() {
    let upstream = Upstream::always(json_answer("ok"));
    let daemon = Gateway::new().backend(&upstream).start();
    let kind = |path: &str, accept: Option<&str>| {
        let answer = ask(&daemon, "GET", path, accept);
        assert_eq!((answer.status, answer.header("vary")), (200, Some("Accept")));
        assert_eq!(answer.header("cache-control"), Some("no-store"));
        answer.header("content-type").unwrap_or_default().to_owned()
    };
    assert_eq!(kind("/status", None), "application/json");
    assert_eq!(kind("/status", Some("*/*")), "application/json");
    assert_eq!(kind("/status", Some("application/json, text/html;q=0.9")), "application/json");
    assert_eq!(kind("/status", Some(BROWSER)), "text/html; charset=utf-8");
    assert_eq!(kind("/status.json", Some(BROWSER)), "application/json");
    assert_eq!(ask(&daemon, "HEAD", "/status", Some(BROWSER)).status, 200);
    assert_eq!(ask(&daemon, "POST", "/status", Some(BROWSER)).status, 405);
    // It is for operators: clients have no such path.
    assert_eq!(daemon.client().get(KEY, "/status").status, 404);
}

#[test]
fn a_page_is_complete_by_itself() {
    let upstream = Upstream::always(json_answer("ok"));
    let daemon = Gateway::new().backend(&upstream).start();
    let answer = ask(&daemon, "GET", "/status", Some(BROWSER));
    let policy = answer.header("content-security-policy").expect("a policy").to_owned();
    let nonce =
        policy.split("style-src 'nonce-").nth(1).and_then(|rest| rest.split('\'').next()).expect("a nonce");
    assert!(policy.starts_with("default-src 'none'; ") && policy.contains("connect-src 'self'"), "{policy}");
    assert!(policy.contains("frame-ancestors 'none'") && !policy.contains("unsafe"), "{policy}");
    assert_eq!(answer.header("x-content-type-options"), Some("nosniff"));
    let page = answer.text();
    assert_eq!(page.matches(&format!("nonce=\"{nonce}\"")).count(), 2, "style and script");
    let other = ask(&daemon, "GET", "/status", Some(BROWSER));
    assert_ne!(other.header("content-security-policy"), Some(policy.as_str()), "a nonce is used once");
    for elsewhere in
        ["src=", "http://127.0.0.1:1\"", "https://", "@import", "url(", "<iframe", "<img", "style=\""]
    {
        assert!(!page.contains(elsewhere), "{elsewhere}");
    }
    // All of it stands in the document, for those without script.
    for fact in
        ["<title>", "general", "secure", "private", "acme", "globex", "main", "Pools", "Tenants", "serving"]
    {
        assert!(page.contains(fact), "{fact} is not in\n{page}");
    }
    assert!(
        page.contains("<html lang=\"en\">")
            && page.contains("scope=\"col\"")
            && page.contains("scope=\"row\"")
    );
}

/// Names that would be markup if they were not escaped.
const NAMES: [&str; 3] =
    ["<script>alert(1)</script>", "\"><img src=x onerror=alert(1)>", "a&b 'c' </main></style>日本"];

#[test]
fn no_name_becomes_markup() {
    let upstream = Upstream::always(json_answer("ok"));
    let routes = NAMES.map(|name| {
        format!("      {}: {{ routes: [ {{ pool: main, model: {} }} ] }}\n", quoted(name), quoted(name))
    });
    let text = format!(
        "server: {{ listen: \"{{listen}}\", admin: \"{{admin}}\" }}\npools:\n  main: {{ backends: [ {{ url: \"{}\" }} ] }}\n\
         tenants:\n  acme:\n    keys: {{ web: {{ sha256: \"{}\" }} }}\n    models:\n{}",
        upstream.url(),
        digest(KEY),
        routes.concat()
    );
    let daemon = Gateway::new().config_text(&text).start();
    for name in NAMES {
        assert_eq!(daemon.client().chat(&chat(name)).status, 200);
    }
    // A request counts when its client has been answered.
    daemon.wait_metric("byname_serving", 0.0);
    let query = "find=%3Cscript%3E&tenant=%22%3E%3Cscript%3Ealert(2)%3C/script%3E&pool=%3C/style%3E";
    for path in ["/status".to_owned(), "/status?tenant=acme".to_owned(), format!("/status?{query}")] {
        let page = html(&daemon, &path);
        assert_eq!(page.matches("<script").count(), 1, "{path}: only our own");
        // The script names the end of the middle, too.
        assert_eq!(page.matches("</main>").count() + page.matches("</style>").count(), 3, "{path}");
        assert!(!page.contains("<img") && !page.contains("alert(2)</script"), "{path}");
    }
    let page = html(&daemon, "/status");
    assert!(page.contains("&lt;script&gt;alert(1)&lt;/script&gt;") && page.contains("日本"), "{page}");
    let status = json(&daemon, "/status");
    for name in NAMES {
        let alias = super::named(&status["tenants"][0]["aliases"], name);
        assert_eq!((&alias["requests"], &alias["routes"][0]["model"]), (&1.into(), &name.into()));
    }
}

/// A YAML text in double quotes.
fn quoted(text: &str) -> String {
    serde_json::to_string(text).expect("text is JSON")
}

#[test]
fn a_query_shows_a_part() {
    let upstream = Upstream::always(json_answer("ok"));
    let gateway = Gateway::new().backend(&upstream).pool("spare", &[&upstream]);
    let daemon = gateway.tenant_limits("requests_per_minute: 100000").start();
    let names = |path: &str, list: &str| -> Vec<String> {
        let status = json(&daemon, path);
        let all = status[list].as_array().expect("a list").iter();
        all.map(|one| one["name"].as_str().expect("a name").to_owned()).collect()
    };
    assert_eq!(names("/status", "pools"), ["main", "spare"]);
    assert_eq!(names("/status", "tenants"), ["acme", "globex"]);
    assert_eq!(names("/status?tenant=globex", "tenants"), ["globex"]);
    assert!(names("/status?tenant=globex", "pools").is_empty());
    assert_eq!(names("/status?pool=spare", "pools"), ["spare"]);
    assert_eq!(names("/status.json?find=PRIV", "tenants"), ["globex"]);
    assert!(names("/status?tenant=nobody", "tenants").is_empty());
    let page = html(&daemon, "/status?tenant=globex");
    assert!(page.contains("private") && page.contains("Show everything") && !page.contains("acme"), "{page}");
    // A tenant alone has its keys, too, and never what is behind their names.
    assert!(
        page.contains(">Keys<") && page.contains("web") && !page.contains(&digest(crate::kit::KEY_GLOBEX))
    );
}
