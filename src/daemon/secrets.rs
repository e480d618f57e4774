//! Reads secrets from where a configuration says they are.

use std::path::{Path, PathBuf};

use crate::config::plan::SecretRef;
use crate::names::Secret;

/// The largest secret that is read, in bytes.
const MAX_SECRET: u64 = 64 * 1024;

/// Reads one.
///
/// # Errors
/// Why it cannot be read, without a word of it.
pub fn secret(reference: &SecretRef) -> Result<Secret, String> {
    let text = match reference {
        SecretRef::Env(name) => std::env::var(name)
            .map_err(|_| format!("the environment variable {name} is not set, or not UTF-8"))?,
        SecretRef::File(path) => read(path)?,
        SecretRef::Credential(name) => {
            let directory = std::env::var_os("CREDENTIALS_DIRECTORY").ok_or_else(|| {
                format!(
                    "credential {name}: there is no $CREDENTIALS_DIRECTORY; add LoadCredential= to the unit"
                )
            })?;
            read(&PathBuf::from(directory).join(name))?
        }
    };
    let text = text.strip_suffix('\n').unwrap_or(&text);
    let text = text.strip_suffix('\r').unwrap_or(text);
    if text.is_empty() { Err("the secret is empty".into()) } else { Ok(Secret::new(text)) }
}

fn read(path: &Path) -> Result<String, String> {
    let unreadable = |why: String| format!("{}: {why}", path.display());
    let size = std::fs::metadata(path).map_err(|e| unreadable(e.to_string()))?.len();
    if size > MAX_SECRET {
        return Err(unreadable(format!("is larger than {MAX_SECRET} bytes: is this the right file?")));
    }
    std::fs::read_to_string(path).map_err(|e| unreadable(e.to_string()))
}
