//! Comparing with what a file says. `UPDATE=1` writes the file anew instead; then `git diff` is the test.

use std::path::Path;

/// Panics with both texts when `actual` is not what the file holds.
pub fn compare(file: &Path, actual: &str) {
    if let Some(difference) = difference(file, actual) {
        panic!("{difference}");
    }
}

/// Both texts, when `actual` is not what the file holds.
pub fn difference(file: &Path, actual: &str) -> Option<String> {
    if std::env::var_os("UPDATE").is_some_and(|value| value == "1") {
        std::fs::write(file, actual).unwrap_or_else(|e| panic!("cannot write {}: {e}", file.display()));
        return None;
    }
    let expected = match std::fs::read_to_string(file) {
        Ok(expected) => expected,
        Err(e) => return Some(format!("cannot read {}: {e}\n--- got\n{actual}", file.display())),
    };
    let line = expected.lines().zip(actual.lines()).take_while(|(e, a)| e == a).count() + 1;
    (expected != actual).then(|| {
        format!(
            "{} differs from line {line} on.\n--- expected\n{expected}--- got\n{actual}--- UPDATE=1 takes the new text.\n",
            file.display()
        )
    })
}
