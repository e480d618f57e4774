//! Reads configuration files from disk: the main one and those that it includes.

use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::config::place::{Fault, Way, located};
use crate::config::plan::Plan;
use crate::config::{self, Complaints, Source};

/// How often a file is read that changes meanwhile.
const TRIES: usize = 50;
/// A file that was written to within this time may be written to again: an editor that writes in place, line by
/// line, leaves what looks whole in between.
const QUIET: Duration = Duration::from_millis(20);

/// A configuration, and what it was read from.
pub struct Loaded {
    pub plan: Plan,
    /// The main file first.
    pub sources: Vec<Source>,
}

impl Loaded {
    /// Faults that were found later, with their places in the files.
    pub fn located(&self, faults: &[Fault]) -> Complaints {
        located(&self.sources, faults)
    }
}

/// Reads and checks a configuration.
///
/// # Errors
/// An unreadable file, or every complaint about the files' content.
pub fn load(file: &Path) -> Result<Loaded, Complaints> {
    let name = file.display().to_string();
    let main = source(file).map_err(|why| {
        let unread = Source { name: name.clone(), text: String::new() };
        located(&[unread], &[unreadable(Way::default(), why)])
    })?;
    let mut faults = Vec::new();
    let mut sources = vec![main];
    for (index, pattern) in sources.first().map(config::includes).unwrap_or_default().iter().enumerate() {
        match included(file.parent().unwrap_or(Path::new("")), pattern) {
            Ok(more) => sources.extend(more),
            Err(why) => faults.push(unreadable(Way::to("include").item(index), why)),
        }
    }
    if !faults.is_empty() {
        return Err(located(&sources, &faults));
    }
    let (main, more) = sources.split_first().ok_or_else(Complaints::default)?;
    let plan = config::read(main, more)?;
    Ok(Loaded { plan, sources })
}

/// The `run_dir` of a configuration that may have faults elsewhere.
pub fn run_dir(file: &Path) -> Option<PathBuf> {
    config::run_dir(&source(file).ok()?)
}

fn unreadable(way: Way, why: String) -> Fault {
    Fault::obstacle(way, format!("cannot be read: {why}"), "see to the file, its name and who may read it")
}

/// The files that a pattern leads to, sorted by name, so that the order does not depend on the file system.
fn included(base: &Path, pattern: &str) -> Result<Vec<Source>, String> {
    let home = if base.as_os_str().is_empty() { Path::new(".") } else { base };
    let home = home.canonicalize().map_err(|why| why.to_string())?;
    let whole = base.join(pattern);
    let paths = glob::glob(&whole.to_string_lossy()).map_err(|why| why.to_string())?;
    let mut found = Vec::new();
    for path in paths {
        let path = path.map_err(|why| format!("{}: {}", why.path().display(), why.error()))?;
        if path.is_dir() {
            continue;
        }
        let named = |why: String| format!("{}: {why}", path.display());
        let real = path.canonicalize().map_err(|why| named(why.to_string()))?;
        if !real.starts_with(&home) {
            return Err(named("leads out of the configuration's directory".to_owned()));
        }
        found.push(source(&path).map_err(named)?);
    }
    let is_plain = !pattern.contains(['*', '?', '[']);
    if found.is_empty() && is_plain {
        return Err(format!("{}: there is no such file", whole.display()));
    }
    Ok(found)
}

fn source(path: &Path) -> Result<Source, String> {
    let mut tries = 0;
    let bytes = loop {
        match read_unchanged(path)? {
            Some(bytes) => break bytes,
            None if tries == TRIES => return Err("it changes while it is read".to_owned()),
            None => {}
        }
        tries += 1;
    };
    let text = String::from_utf8(bytes).map_err(|bad| {
        let good = bad.as_bytes().get(..bad.utf8_error().valid_up_to()).unwrap_or_default();
        let line = good.iter().filter(|byte| **byte == b'\n').count() + 1;
        format!("it is not UTF-8 in line {line}")
    })?;
    Ok(Source { name: path.display().to_string(), text })
}

/// The bytes of a file; `None` if it was written to or replaced meanwhile.
fn read_unchanged(path: &Path) -> Result<Option<Vec<u8>>, String> {
    let told = |why: std::io::Error| why.to_string();
    let mut file = std::fs::File::open(path).map_err(told)?;
    let before = Version::of(&file.metadata().map_err(told)?);
    if file.metadata().map_err(told)?.is_dir() {
        return Err("it is a directory".to_owned());
    }
    if before.size > config::MAX_TEXT as u64 {
        return Err(format!("it is larger than {} bytes", config::MAX_TEXT));
    }
    let mut bytes = Vec::new();
    // A pipe does not say how large it is.
    file.by_ref().take(config::MAX_TEXT as u64 + 1).read_to_end(&mut bytes).map_err(told)?;
    if bytes.len() > config::MAX_TEXT {
        return Err(format!("it is larger than {} bytes", config::MAX_TEXT));
    }
    let written = file.metadata().and_then(|data| data.modified()).map_err(told)?;
    // A time to come is no reason to wait for it.
    let quiet = written.elapsed().map_or(QUIET, |since| since.min(QUIET));
    std::thread::sleep(QUIET - quiet);
    let now = Version::of(&std::fs::metadata(path).map_err(told)?);
    Ok((before == now).then_some(bytes))
}

/// By which a write to a file shows.
#[derive(PartialEq, Eq)]
struct Version {
    file: u64,
    size: u64,
    changed: (i64, i64),
}

impl Version {
    fn of(data: &std::fs::Metadata) -> Self {
        Self { file: data.ino(), size: data.len(), changed: (data.mtime(), data.mtime_nsec()) }
    }
}
