//! Reads secrets from where a configuration says they are.

use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use crate::config::place::{Fault, Way, Weight};
use crate::config::plan::SecretRef;
use crate::names::Secret;

/// The largest secret that is read, in bytes.
const MAX_SECRET: u64 = 64 * 1024;
/// Room for an ordinary secret, in bytes.
const ORDINARY: usize = 4096;
/// The permission that lets everyone read a file.
const READ_BY_ALL: u32 = 0o004;

/// Why a secret cannot be read, without a word of it.
#[derive(Debug)]
pub struct Unread {
    pub wrong: String,
    pub mend: &'static str,
    pub weight: Weight,
}

impl Unread {
    /// As a fault of the field that says where the secret is.
    pub fn at(self, way: Way) -> Fault {
        let Self { wrong, mend, weight } = self;
        Fault { way, wrong, mend: mend.to_owned(), weight }
    }
}

/// Reads one.
///
/// # Errors
/// Why it cannot be read.
pub fn secret(reference: &SecretRef) -> Result<Secret, Unread> {
    let elsewhere = |wrong: String, mend| Unread { wrong, mend, weight: Weight::Elsewhere };
    let text = match reference {
        SecretRef::Env(name) => Zeroizing::new(std::env::var(name).map_err(|_| {
            let wrong = format!("the environment variable {name} is not set, or not UTF-8");
            elsewhere(wrong, "set it where Byname is started")
        })?),
        SecretRef::File(path) => read(path)?,
        SecretRef::Credential(name) => {
            let directory = std::env::var_os("CREDENTIALS_DIRECTORY").ok_or_else(|| {
                let wrong = format!("there is no $CREDENTIALS_DIRECTORY for credential {name}");
                elsewhere(wrong, "add LoadCredential= to the unit")
            })?;
            read(&PathBuf::from(directory).join(name))?
        }
    };
    let text = text.strip_suffix('\n').unwrap_or(&text);
    let text = text.strip_suffix('\r').unwrap_or(text);
    if text.is_empty() {
        let wrong = "the secret is empty".to_owned();
        return Err(Unread { wrong, mend: "put the secret there", weight: Weight::Obstacle });
    }
    Ok(Secret::new(text))
}

/// What is unwise about where a secret is kept, as the field at `way` says.
pub fn unwise(reference: &SecretRef, way: Way) -> Option<Fault> {
    let SecretRef::File(path) = reference else { return None };
    let mode = std::fs::metadata(path).ok()?.permissions().mode();
    (mode & READ_BY_ALL != 0).then(|| Fault {
        way,
        wrong: format!("{} can be read by everyone", path.display()),
        mend: "take the permission away: chmod o-r".to_owned(),
        weight: Weight::Unwise,
    })
}

fn read(path: &Path) -> Result<Zeroizing<String>, Unread> {
    let unread = |why: String| Unread {
        wrong: format!("{}: {why}", path.display()),
        mend: "see to the file, its name and who may read it",
        weight: Weight::Obstacle,
    };
    let file = std::fs::File::open(path).map_err(|why| unread(why.to_string()))?;
    // Wiped when it is copied; what it grows out of on its way is not, so it gets room at once.
    let mut text = Zeroizing::new(String::with_capacity(ORDINARY));
    file.take(MAX_SECRET + 1).read_to_string(&mut text).map_err(|why| unread(why.to_string()))?;
    if text.len() as u64 > MAX_SECRET {
        return Err(unread(format!("is larger than {MAX_SECRET} bytes: is this the right file?")));
    }
    Ok(text)
}
