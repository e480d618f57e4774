//! Where a secret is to be found, such as a backend's key. It never stands in a configuration itself, and if it
//! does, it is not shown.

use super::path::file;
use crate::config::at::At;
use crate::config::complaint::{Complaints, Told};
use crate::config::form::{Field, Form, may};
use crate::config::plan::SecretRef;
use crate::config::raw::{Kind, Value};

pub(super) const FIELDS: &[Field] = &[
    may("env", Form::Text, "the name of an environment variable"),
    may("file", Form::Text, "the path of a file"),
    may("credential", Form::Text, "the name of a systemd credential"),
];
/// A reference to a secret.
pub(super) const FORM: Form = Form::OneOf(FIELDS);

const MEND: &str = "write one of { env: NAME }, { file: PATH } and { credential: NAME }";

/// Reads `{ env: NAME }`, `{ file: PATH }` or `{ credential: NAME }`.
pub(super) fn secret(at: &At<'_>, out: &mut Complaints) -> Result<SecretRef, Told> {
    if let Value::Scalar(scalar) = at.value()
        && scalar.kind() != Kind::Nothing
    {
        let wrong = "a secret must not be written into a configuration, which is copied and shown around";
        return Err(at.complain(out, wrong, MEND));
    }
    let fields = at.fields_near_secret(FIELDS, out)?;
    match (fields.get("env"), fields.get("file"), fields.get("credential")) {
        (Some(at), None, None) => env(&at, out),
        (None, Some(at), None) => file(&at, "/etc/byname/demo.key", out).map(SecretRef::File),
        (None, None, Some(at)) => credential(&at, out),
        (None, None, None) => Err(at.complain(out, "does not say where the secret is", MEND)),
        (Some(_), _, _) | (None, Some(_), Some(_)) => {
            Err(at.complain(out, "says more than one place where the secret is", MEND))
        }
    }
}

/// Names that a shell can set, so that a pasted secret is not taken for one.
fn env(at: &At<'_>, out: &mut Complaints) -> Result<SecretRef, Told> {
    let name = at.text(out)?;
    let good = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    if good && name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_') {
        return Ok(SecretRef::Env(name.to_owned()));
    }
    let mend = "write the name of one, made of A-Z a-z 0-9 and _, not its value";
    Err(at.complain(out, "is not the name of an environment variable", mend))
}

fn credential(at: &At<'_>, out: &mut Complaints) -> Result<SecretRef, Told> {
    let name = at.text(out)?;
    if matches!(name, "" | "." | "..") || name.contains(['/', '\0']) {
        let mend = "write the name from the unit's LoadCredential=, without slashes";
        return Err(at.complain(out, "is not the name of a credential", mend));
    }
    Ok(SecretRef::Credential(name.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::at::tests::{complaint, reading};

    #[test]
    fn a_secret_is_told_by_where_it_is() {
        assert_eq!(reading("{ env: DEMO_KEY }", secret), Ok(SecretRef::Env("DEMO_KEY".to_owned())));
        assert_eq!(reading("{ file: /a/b }", secret), Ok(SecretRef::File("/a/b".into())));
        assert_eq!(reading("{ credential: demo }", secret), Ok(SecretRef::Credential("demo".to_owned())));
    }

    #[test]
    fn a_secret_in_the_wrong_place_is_refused_and_not_shown() {
        for text in [
            "sk-hunter2",
            "4711",
            "{ env: sk-hunter2 }",
            "{ env: '' }",
            "{ env: 1A }",
            "{ credential: a/hunter2 }",
            "{ credential: .. }",
            "{ file: '' }",
            "{ file: hunter2/ }",
            "{}",
            "{ env: A, file: b }",
            "{ file: b, credential: c }",
            "{ env: A, credential: c }",
            "[hunter2]",
            "{ hunter2 }",
            "{ hunter2: hunter2 }",
        ] {
            let shown = complaint(text, secret);
            assert!(!shown.contains("hunter2") && !shown.contains("4711"), "{shown}");
        }
    }
}
