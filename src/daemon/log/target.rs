//! What a log is written to: the standard streams, or a file. Writing waits for no reader longer than a moment.

use std::fs::{File, OpenOptions};
use std::io::{Error, ErrorKind, IsTerminal, Result, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{FileType, Mode, OFlags, fchmod, fstat};

use crate::config::plan::LogTarget;
use crate::proxy::lines::{Priorities, Sink};

/// As much fits into a pipe or a socket that says that it has room (PIPE_BUF in pipe(7)).
const ROOM: usize = 4096;
/// How long a reader is waited for before somebody else is asked what to do.
const MOMENT: Timespec = Timespec { tv_sec: 0, tv_nsec: 100_000_000 };
/// Who called, when and for what is nobody's business but the owner's and the group's.
const MODE: u32 = 0o640;

/// One target, open.
pub struct Target {
    reader: Reader,
    priorities: Priorities,
}

/// Who takes what is written.
#[derive(Debug)]
enum Reader {
    /// The log is off.
    Nobody,
    /// The system.
    System(File),
    /// Somebody at the other end of a pipe, a socket or a terminal, who may be slow.
    Somebody(File),
}

impl Target {
    /// The target of a log that is off: what was open before is let go of.
    pub fn nobody() -> Self {
        Self { reader: Reader::Nobody, priorities: Priorities::Hidden }
    }

    /// Opens a target. A file is appended to, and made if there is none.
    ///
    /// # Errors
    /// Those of the system; for a named pipe also that nobody reads it.
    pub fn open(target: &LogTarget) -> Result<Self> {
        match target {
            LogTarget::Stdout => Self::stream(std::io::stdout()),
            LogTarget::Stderr => Self::stream(std::io::stderr()),
            LogTarget::File(path) => file(path).and_then(Self::of),
        }
    }

    /// A standard stream as a file of our own, so that nothing of it is kept in a buffer.
    fn stream(stream: impl AsFd) -> Result<Self> {
        Self::of(File::from(stream.as_fd().try_clone_to_owned()?))
    }

    fn of(file: File) -> Result<Self> {
        let stat = fstat(&file)?;
        let reader = match FileType::from_raw_mode(stat.st_mode) {
            FileType::Fifo | FileType::Socket => Reader::Somebody(file),
            FileType::CharacterDevice if file.is_terminal() => Reader::Somebody(file),
            _ => Reader::System(file),
        };
        // As sd-daemon(3) and systemd.exec(5) have it: `device:inode` of the stream that is the journal's.
        let journal = std::env::var("JOURNAL_STREAM");
        let same = journal.is_ok_and(|stream| stream == format!("{}:{}", stat.st_dev, stat.st_ino));
        let priorities = if same { Priorities::Shown } else { Priorities::Hidden };
        Ok(Self { reader, priorities })
    }
}

impl Sink for Target {
    fn write(&mut self, bytes: &[u8]) -> Result<usize> {
        match &mut self.reader {
            Reader::Nobody => Ok(bytes.len()),
            Reader::System(file) => file.write(bytes),
            Reader::Somebody(file) => {
                let room = poll(&mut [PollFd::new(file, PollFlags::OUT)], Some(&MOMENT))?;
                if room == 0 {
                    return Err(ErrorKind::WouldBlock.into());
                }
                file.write(bytes.get(..ROOM).unwrap_or(bytes))
            }
        }
    }

    fn priorities(&self) -> Priorities {
        self.priorities
    }
}

/// A file of a log. One that is made here is the group's to read, whatever the umask is; the mode of one that was
/// there is its owner's affair.
fn file(path: &Path) -> Result<File> {
    match appending(path, Make::No) {
        Err(why) if why.kind() == ErrorKind::NotFound => {
            let file = appending(path, Make::Yes)?;
            // Some file systems have no modes; that is no reason to be without a log.
            let _ = fchmod(&file, Mode::from_raw_mode(MODE));
            Ok(file)
        }
        other => other,
    }
}

/// Whether a file that is not there is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Make {
    Yes,
    No,
}

fn appending(path: &Path, make: Make) -> Result<File> {
    // Without waiting for whoever should read a named pipe.
    let flags = i32::try_from(OFlags::NONBLOCK.bits() | OFlags::NOCTTY.bits()).unwrap_or_default();
    OpenOptions::new().append(true).create(make == Make::Yes).mode(MODE).custom_flags(flags).open(path)
}

/// Why a target could not be opened, as far as can be told without making a file.
pub fn obstacle(target: &LogTarget) -> Option<Error> {
    let LogTarget::File(path) = target else { return None };
    match appending(path, Make::No) {
        Ok(_) => None,
        Err(why) if why.kind() == ErrorKind::NotFound => {
            let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty());
            let there = directory.unwrap_or(Path::new("."));
            match std::fs::metadata(there) {
                Ok(there) if there.is_dir() => None,
                Ok(_) => Some(ErrorKind::NotADirectory.into()),
                Err(why) => Some(why),
            }
        }
        Err(why) => Some(why),
    }
}
