//! Reads configuration files from disk: the main one and those that it includes.

use std::fmt;
use std::path::{Path, PathBuf};

use crate::config::Complaints;
use crate::config::plan::Plan;
use crate::config::{self, Source};

/// Why there is no plan.
#[derive(Debug)]
pub enum Unloaded {
    /// A file cannot be read.
    File { path: PathBuf, why: String },
    /// The files say something that cannot be.
    Bad(Complaints),
}

impl fmt::Display for Unloaded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File { path, why } => write!(f, "{}: cannot be read: {why}", path.display()),
            Self::Bad(complaints) => write!(f, "{complaints}"),
        }
    }
}

/// Reads and checks a configuration.
///
/// # Errors
/// An unreadable file, or every complaint about the files' content.
pub fn plan(file: &Path) -> Result<Plan, Unloaded> {
    let main = source(file)?;
    let base = file.parent().unwrap_or(Path::new(""));
    let mut included = Vec::new();
    for pattern in config::includes(&main) {
        let pattern = base.join(pattern);
        let unreadable = |why: String| Unloaded::File { path: pattern.clone(), why };
        let paths = glob::glob(&pattern.to_string_lossy()).map_err(|e| unreadable(e.to_string()))?;
        // Sorted by name, so that the order does not depend on the file system.
        for path in paths {
            let path = path.map_err(|e| unreadable(e.to_string()))?;
            if path.is_file() {
                included.push(source(&path)?);
            }
        }
    }
    config::read(&main, &included).map_err(Unloaded::Bad)
}

fn source(path: &Path) -> Result<Source, Unloaded> {
    let unreadable = |why: String| Unloaded::File { path: path.to_path_buf(), why };
    let size = std::fs::metadata(path).map_err(|e| unreadable(e.to_string()))?.len();
    if size > config::MAX_TEXT as u64 {
        return Err(unreadable(format!("it is larger than {} bytes", config::MAX_TEXT as u64)));
    }
    let bytes = std::fs::read(path).map_err(|e| unreadable(e.to_string()))?;
    let text = String::from_utf8(bytes).map_err(|_| unreadable("it is not UTF-8".into()))?;
    Ok(Source { name: path.display().to_string(), text })
}
