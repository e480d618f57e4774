//! A panic is an event like others, on one line and through the log that waits for nobody. What it says of itself is
//! not told: the words of one that cut a text in the wrong place quote that text, which may be a prompt.

use std::panic::{self, PanicHookInfo};
use std::thread;

use prometheus::IntCounter;

/// Counts and tells panics from now on; what a panic ends, ends as before.
pub fn watch(counter: &IntCounter) {
    let counter = counter.clone();
    panic::set_hook(Box::new(move |info| {
        counter.inc();
        log::error!("{}", words(info));
    }));
}

/// Where it was, and nothing of what it said.
fn words(info: &PanicHookInfo<'_>) -> String {
    let thread = thread::current();
    let thread = thread.name().unwrap_or("without a name").to_owned();
    // Always there, as the standard library has it today.
    let place = info.location().map_or_else(|| "an unknown place".to_owned(), ToString::to_string);
    format!("a panic at {place} in thread {thread}: a fault of this program, please report it")
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    /// Whether a test runs in a process of its own: a hook is the whole process's.
    const ALONE: &str = "BYNAME_TEST_PANICS";
    const PROMPT: &str = "日本 a prompt that nobody may read";

    #[test]
    fn a_panic_is_one_event_and_quotes_nothing() {
        if std::env::var_os(ALONE).is_some() {
            return alone();
        }
        let name = thread::current().name().map(str::to_owned).expect("a test has a name");
        let run = Command::new(std::env::current_exe().expect("this program"))
            .args(["--exact", &name, "--nocapture", "--test-threads=1"])
            .env(ALONE, "1")
            .env("RUST_BACKTRACE", "full")
            .output()
            .expect("it runs");
        let said = String::from_utf8_lossy(&run.stderr).into_owned();
        assert!(run.status.success(), "{said}");
        let events: Vec<serde_json::Value> =
            said.lines().map(|line| serde_json::from_str(line).expect("each line is an event")).collect();
        let [event] = events.as_slice() else { panic!("{said}") };
        assert_eq!(event["level"], "error");
        let message = event["message"].as_str().expect("a text");
        let (place, thread) = (format!("a panic at {}:", file!()), " in thread cutter: ");
        assert!(message.starts_with(&place) && message.contains(thread), "{message}");
        assert!(!said.contains("prompt") && !said.contains("日本"), "{said}");
    }

    fn alone() {
        super::super::log::start();
        let counter = IntCounter::new("panics", "of this test").expect("a counter");
        watch(&counter);
        let cutter = thread::Builder::new().name("cutter".to_owned());
        let end = std::hint::black_box(1);
        let ended = cutter.spawn(move || PROMPT[..end].len()).expect("a thread").join();
        assert!(ended.is_err());
        assert_eq!(counter.get(), 1);
    }
}
