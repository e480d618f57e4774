//! What was written, what it means, what runs.
//!
//! A configuration is text first. `yaml` turns it into a tree whose values know where they stand
//! (`raw`); `check` turns the tree into a [`plan::Plan`], or into everything that is wrong with
//! it ([`Complaints`]), each with file, line, column, path and mend.
//!
//! Text comes in, values go out: this room opens no file, asks no clock, reads no environment and
//! never shows a secret.

mod at;
pub mod changed;
mod check;
mod complaint;
pub mod form;
pub mod live;
mod naming;
pub mod place;
pub mod plan;
mod raw;
pub mod snapshot;
mod units;
pub mod unwise;
mod url;
mod yaml;

pub use complaint::{Complaint, Complaints, Mark};

pub use check::FIELDS;
use complaint::File;
use plan::Plan;

/// The largest text that is taken, in bytes: room for the largest tree, and a bound for whoever reads the file.
pub const MAX_TEXT: usize = 64 << 20;

/// A configuration file that has been read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    /// What complaints call it; usually its path.
    pub name: String,
    /// All of it.
    pub text: String,
}

/// What `main` means, together with the files that its `include:` patterns found.
///
/// # Errors
/// Everything that is wrong with any of them, in the order of the files and of their lines.
pub fn read(main: &Source, included: &[Source]) -> Result<Plan, Complaints> {
    let mut out = Complaints::default();
    let trees: Vec<_> = std::iter::once(main)
        .chain(included)
        .enumerate()
        .map(|(order, source)| {
            let file = File { order, name: &source.name };
            (file, yaml::tree(file, &source.text, &mut out))
        })
        .collect();
    let plan = check::plan(&trees, &mut out);
    match plan {
        Ok(plan) if out.is_empty() => Ok(plan),
        Ok(_) | Err(_) => Err(out.sorted()),
    }
}

/// The patterns under `include:`, in order; what is wrong with them is for [`read`] to say.
pub fn includes(main: &Source) -> Vec<String> {
    let mut unsaid = Complaints::default();
    let file = File { order: 0, name: &main.name };
    match yaml::tree(file, &main.text, &mut unsaid) {
        Ok(root) => check::includes(file, &root),
        Err(_) => Vec::new(),
    }
}

/// The directory under `server.run_dir`, if one is written; what is wrong with the rest is for [`read`] to say.
pub fn run_dir(main: &Source) -> Option<std::path::PathBuf> {
    let mut unsaid = Complaints::default();
    let file = File { order: 0, name: &main.name };
    let root = yaml::tree(file, &main.text, &mut unsaid).ok()?;
    check::run_dir(file, &root)
}
