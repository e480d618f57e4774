//! The directory of what a running daemon shows to others on this machine: its control socket and its process id.
//!
//! It is private: whoever can write there could take the listening sockets over.

use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};

/// What files are called in a directory that is one daemon's alone.
const PLAIN: &str = "byname";

/// Where the control socket and the process id are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunDir {
    directory: PathBuf,
    /// What files there are called; several daemons of one user may share a directory.
    stem: String,
}

impl RunDir {
    /// The directory that a configuration names, that systemd made for us, or that fits the user. It is told
    /// by its name alone; [`RunDir::make`] makes it.
    pub fn of(configured: Option<&Path>, config_file: &Path) -> Self {
        let given = std::env::var_os("RUNTIME_DIRECTORY").map(|all| {
            let first = all.to_string_lossy().split(':').next().unwrap_or_default().to_owned();
            PathBuf::from(first)
        });
        if let Some(directory) = configured.map(Path::to_owned).or(given) {
            return Self { directory, stem: PLAIN.to_owned() };
        }
        let uid = rustix::process::getuid();
        let directory = if uid.is_root() {
            PathBuf::from("/run/byname")
        } else {
            match std::env::var_os("XDG_RUNTIME_DIR") {
                Some(home) => PathBuf::from(home).join("byname"),
                None => std::env::temp_dir().join(format!("byname-{}", uid.as_raw())),
            }
        };
        // The process after us is started with the same file.
        let file = config_file.canonicalize().unwrap_or_else(|_| config_file.to_owned());
        // The next version must come to the same name, so it must not be a hash of the day.
        let digest = ring::digest::digest(&ring::digest::SHA256, file.as_os_str().as_bytes());
        let stem = digest.as_ref().iter().take(8).map(|byte| format!("{byte:02x}")).collect();
        Self { directory, stem }
    }

    /// Where a running daemon listens, for one who asks it from a terminal: the unit's daemon has the plain
    /// name in the directory where others have one by their file.
    pub fn find(configured: Option<&Path>, config_file: &Path) -> Self {
        let own = Self::of(configured, config_file);
        let plain = Self { directory: own.directory.clone(), stem: PLAIN.to_owned() };
        let answers = |dir: &Self| std::os::unix::net::UnixStream::connect(dir.control()).is_ok();
        if !answers(&own) && answers(&plain) { plain } else { own }
    }

    /// Makes the directory if it is not there, and makes sure that it is ours alone.
    ///
    /// # Errors
    /// Why it cannot be used.
    pub fn make(&self) -> Result<(), String> {
        let told = |why: &dyn std::fmt::Display| format!("{}: {why}", self.directory.display());
        let mut builder = std::fs::DirBuilder::new();
        match builder.recursive(true).mode(0o700).create(&self.directory) {
            Ok(()) => {}
            Err(why) if why.kind() == std::io::ErrorKind::AlreadyExists => {}
            Err(why) => return Err(told(&why)),
        }
        let data = std::fs::symlink_metadata(&self.directory).map_err(|why| told(&why))?;
        if !data.is_dir() {
            return Err(told(&"is no directory"));
        }
        if data.uid() != rustix::process::geteuid().as_raw() {
            return Err(told(&"belongs to another user"));
        }
        if data.mode() & 0o022 != 0 {
            return Err(told(&"others may write there; chmod go-w"));
        }
        Ok(())
    }

    /// Where a running daemon can be spoken to.
    pub fn control(&self) -> PathBuf {
        self.directory.join(format!("{}.sock", self.stem))
    }

    /// Where its process id stands.
    pub fn pid_file(&self) -> PathBuf {
        self.directory.join(format!("{}.pid", self.stem))
    }

    /// Writes our process id down.
    pub fn write_pid(&self) {
        let (file, text) = (self.pid_file(), format!("{}\n", std::process::id()));
        let draft = file.with_extension("pid.new");
        if let Err(why) = std::fs::write(&draft, text).and_then(|()| std::fs::rename(&draft, &file)) {
            log::warn!("{}: cannot be written: {why}", file.display());
        }
    }

    /// Removes what we have put there.
    pub fn clear(&self) {
        for file in [self.control(), self.pid_file()] {
            // It may never have been made.
            let _ = std::fs::remove_file(file);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::daemon::scratch::Scratch;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn it_is_ours_alone_or_not_used() {
        let scratch = Scratch::new();
        let directory = scratch.path().join("a/b");
        let run = RunDir::of(Some(&directory), Path::new("x.yaml"));
        run.make().unwrap();
        assert_eq!(std::fs::metadata(&directory).unwrap().mode() & 0o777, 0o700);
        run.make().unwrap();
        std::fs::set_permissions(&directory, std::fs::Permissions::from_mode(0o777)).unwrap();
        assert!(run.make().unwrap_err().contains("others may write"));
        let file = scratch.path().join("f");
        std::fs::write(&file, "").unwrap();
        assert!(RunDir::of(Some(&file), Path::new("x.yaml")).make().is_err());
    }

    #[test]
    fn it_is_the_same_for_the_same_file() {
        let of = |file: &str| RunDir::of(None, Path::new(file)).control();
        assert_eq!(of("Cargo.toml"), of("./Cargo.toml"));
        assert_ne!(of("Cargo.toml"), of("Cargo.lock"));
    }
}
