//! The paths of files that somebody else will read.

use std::path::PathBuf;

use crate::config::at::At;
use crate::config::complaint::{Complaints, Told};
use crate::config::raw::Value;

/// Reads the path of a file; `example` is for the complaint. A pasted key or certificate is none, and is
/// not shown.
pub(super) fn file(at: &At<'_>, example: &str, out: &mut Complaints) -> Result<PathBuf, Told> {
    let path = match at.value() {
        Value::Scalar(_) | Value::Refused(_) => at.text(out)?,
        other @ (Value::List(_) | Value::Map(_)) => {
            let mend = format!("write the path alone, such as {example}");
            return Err(at.unlike(other, "the path of a file", &mend, out));
        }
    };
    if path.contains("-----BEGIN") {
        let mend = format!("put it into a file and write its path, such as {example}");
        return Err(at.complain(out, "is the content of a file, not its path", mend));
    }
    if path.is_empty() || path.contains(char::is_control) || path.ends_with('/') {
        return Err(at.complain(out, "is not the path of a file", format!("write one, such as {example}")));
    }
    Ok(PathBuf::from(path))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::at::tests::{complaint, reading};

    #[test]
    fn a_path_names_a_file() {
        let read = |at: &At<'_>, out: &mut Complaints| file(at, "/a/b", out);
        for good in ["/etc/byname/ca.crt", "ca.crt", "a b", "'42'", "日本"] {
            assert!(reading(good, read).is_ok(), "{good}");
        }
        for bad in ["''", "/etc/", "\"a\\0\"", "\"a\\nb\"", "42", "[a]", "{ file: a }"] {
            assert!(reading(bad, read).is_err(), "{bad}");
        }
        let pasted = "\"-----BEGIN PRIVATE KEY-----\\nhunter2\"";
        assert_eq!(
            complaint(pasted, read),
            "is the content of a file, not its path; put it into a file and write its path, such as /a/b"
        );
    }
}
