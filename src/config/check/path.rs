//! The paths of files and directories that somebody else will open.

use std::path::PathBuf;

use crate::config::at::At;
use crate::config::complaint::{Complaints, Told};
use crate::config::raw::Value;

/// Reads the path of a file; `example` is for the complaint. A pasted key or certificate is none, and is
/// not shown.
pub(super) fn file(at: &At<'_>, example: &str, out: &mut Complaints) -> Result<PathBuf, Told> {
    let path = text(at, "the path of a file", example, out)?;
    if path.contains("-----BEGIN") {
        let mend = format!("put it into a file and write its path, such as {example}");
        return Err(at.complain(out, "is the content of a file, not its path", mend));
    }
    if path.contains(char::is_control) || path.is_empty() || path.ends_with('/') {
        return Err(at.complain(out, "is not the path of a file", format!("write one, such as {example}")));
    }
    Ok(PathBuf::from(path))
}

/// Reads the path of a directory, with a slash at its end or without; `example` is for the complaint.
pub(super) fn directory(at: &At<'_>, example: &str, out: &mut Complaints) -> Result<PathBuf, Told> {
    let path = text(at, "the path of a directory", example, out)?;
    if path.contains(char::is_control) || path.is_empty() {
        let mend = format!("write one, such as {example}");
        return Err(at.complain(out, "is not the path of a directory", mend));
    }
    Ok(PathBuf::from(path))
}

fn text<'a>(at: &At<'a>, due: &str, example: &str, out: &mut Complaints) -> Result<&'a str, Told> {
    match at.value() {
        Value::Scalar(_) | Value::Refused(_) => at.text(out),
        other @ (Value::List(_) | Value::Map(_)) => {
            Err(at.unlike(other, due, &format!("write the path alone, such as {example}"), out))
        }
    }
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

    #[test]
    fn a_directory_may_end_with_a_slash() {
        let read = |at: &At<'_>, out: &mut Complaints| directory(at, "/a/b", out);
        for good in ["/var/lib/byname", "/var/lib/byname/", "state", ".", "/"] {
            assert_eq!(reading(good, read), Ok(PathBuf::from(good)), "{good}");
        }
        for bad in ["''", "\"a\\0\"", "\"a\\n\"", "42", "~", "{ directory: a }"] {
            assert!(reading(bad, read).is_err(), "{bad}");
        }
        assert_eq!(
            complaint("[a]", read),
            "must be the path of a directory, not a list; write the path alone, such as /a/b"
        );
    }
}
