//! Lines on their way to a log. Taking one never blocks: lines gather in memory, up to a cap, and a thread of
//! their own writes them. What a slow reader or a full disk leaves no room for is dropped and counted.

use std::io::{Error, ErrorKind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use prometheus::IntCounter;

/// Lines that wait for their writer, in bytes. At 400 bytes a line that is some 10,000 requests.
const MAX_PENDING: usize = 4 * 1024 * 1024;
/// How often one who waits for the last line looks.
const LOOK: Duration = Duration::from_millis(5);

/// Where lines end up.
pub trait Sink: Send {
    /// Writes what it can, and says how much. `WouldBlock` means that it has waited in vain for a moment.
    ///
    /// # Errors
    /// Why nothing was written.
    fn write(&mut self, bytes: &[u8]) -> Result<usize, Error>;

    /// Whether each line begins with its priority.
    fn priorities(&self) -> Priorities;
}

/// Whether lines begin with `<N>`, as sd-daemon(3) has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Priorities {
    Shown,
    #[default]
    Hidden,
}

/// How much a line matters, as syslog(3) counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Priority {
    Error,
    Warning,
    Info,
    Debug,
}

impl Priority {
    /// What a line for the journal begins with.
    pub fn prefix(self) -> &'static [u8] {
        match self {
            Self::Error => b"<3>",
            Self::Warning => b"<4>",
            Self::Info => b"<6>",
            Self::Debug => b"<7>",
        }
    }
}

/// The lines of one log. Clones share it.
#[derive(Clone)]
pub struct Lines(Arc<Shared>);

struct Shared {
    pending: Mutex<Pending>,
    more: Condvar,
    /// Lines that nobody will read.
    dropped: IntCounter,
}

#[derive(Default)]
struct Pending {
    /// For the sink that is written to.
    before: Vec<u8>,
    /// The sink that is next, if it is to change.
    sink: Option<Box<dyn Sink>>,
    /// For the latest sink.
    lines: Vec<u8>,
    priorities: Priorities,
    taken: u64,
    /// Lines that are off our hands; see [`Lines::flush`].
    done: u64,
}

/// What a writer takes at a time.
#[derive(Default)]
struct Batch {
    before: Vec<u8>,
    sink: Option<Box<dyn Sink>>,
    lines: Vec<u8>,
    upto: u64,
}

/// How long a reader that is stuck gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Waiting {
    /// Until another sink is there.
    UntilReplaced,
    /// One moment: there is another.
    Moment,
}

/// Whether the last line that a sink got is complete.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum LastLine {
    Whole,
    Torn,
}

impl Lines {
    /// A log without a sink: lines wait for one. `dropped` counts those that are lost.
    pub fn new(dropped: IntCounter) -> Self {
        Self(Arc::new(Shared { pending: Mutex::default(), more: Condvar::new(), dropped }))
    }

    fn pending(&self) -> MutexGuard<'_, Pending> {
        self.0.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a line, with its line break, or drops it where there is no room.
    pub fn push(&self, priority: Priority, line: &[u8]) {
        let mut pending = self.pending();
        if pending.before.len() + pending.lines.len() + line.len() > MAX_PENDING {
            drop(pending);
            self.0.dropped.inc();
            return;
        }
        let wake = pending.lines.is_empty();
        if pending.priorities == Priorities::Shown {
            pending.lines.extend_from_slice(priority.prefix());
        }
        pending.lines.extend_from_slice(line);
        pending.taken += 1;
        drop(pending);
        if wake {
            self.0.more.notify_one();
        }
    }

    /// Goes on with another sink. Lines that were taken before go to the one before, if it takes them.
    pub fn go_to(&self, sink: Box<dyn Sink>) {
        let mut pending = self.pending();
        let lines = std::mem::take(&mut pending.lines);
        pending.before.extend_from_slice(&lines);
        pending.priorities = sink.priorities();
        pending.sink = Some(sink);
        drop(pending);
        self.0.more.notify_one();
    }

    /// Writes lines for ever; after each batch it lets them gather for a moment, so that it costs one system call
    /// for many lines.
    pub fn write(&self, gather: Duration) -> ! {
        let (mut batch, mut sink, mut last) = (Batch::default(), None, LastLine::Whole);
        loop {
            self.next(&mut batch);
            let patience = if batch.sink.is_some() { Waiting::Moment } else { Waiting::UntilReplaced };
            self.deliver(&batch.before, patience, &mut sink, &mut last);
            if let Some(next) = batch.sink.take() {
                (sink, last) = (Some(next), LastLine::Whole);
            }
            self.deliver(&batch.lines, Waiting::UntilReplaced, &mut sink, &mut last);
            batch.before.clear();
            batch.lines.clear();
            self.pending().done = batch.upto;
            std::thread::sleep(gather);
        }
    }

    fn next(&self, batch: &mut Batch) {
        let nothing = |now: &mut Pending| now.lines.is_empty() && now.before.is_empty() && now.sink.is_none();
        let pending = self.0.more.wait_while(self.pending(), nothing);
        let mut pending = pending.unwrap_or_else(PoisonError::into_inner);
        std::mem::swap(&mut pending.lines, &mut batch.lines);
        std::mem::swap(&mut pending.before, &mut batch.before);
        batch.sink = pending.sink.take();
        batch.upto = pending.taken;
    }

    /// Writes whole lines; what cannot be written is lost and counted, and what follows begins on a line of its own.
    fn deliver(&self, bytes: &[u8], wait: Waiting, sink: &mut Option<Box<dyn Sink>>, last: &mut LastLine) {
        let Some(sink) = sink else { return self.lose(bytes) };
        let mut rest = bytes;
        while !rest.is_empty() {
            let torn = *last == LastLine::Torn && rest.len() == bytes.len();
            match sink.write(if torn { b"\n" } else { rest }) {
                Ok(1) if torn => *last = LastLine::Whole,
                Ok(written) if written > 0 => {
                    let (done, left) = rest.split_at(written.min(rest.len()));
                    *last = if done.ends_with(b"\n") { LastLine::Whole } else { LastLine::Torn };
                    rest = left;
                }
                Err(why) if why.kind() == ErrorKind::Interrupted => {}
                // A slow reader gets its time, unless somebody else is to read.
                Err(why)
                    if why.kind() == ErrorKind::WouldBlock
                        && wait == Waiting::UntilReplaced
                        && self.pending().sink.is_none() => {}
                Ok(_) | Err(_) => return self.lose(rest),
            }
        }
    }

    fn lose(&self, bytes: &[u8]) {
        let lines = memchr::memchr_iter(b'\n', bytes).count();
        self.0.dropped.inc_by(lines as u64);
    }

    /// Waits until everything taken so far is off our hands, but no longer than `patience`.
    pub fn flush(&self, patience: Duration) {
        let end = Instant::now() + patience;
        let goal = self.pending().taken;
        while self.pending().done < goal && Instant::now() < end {
            std::thread::sleep(LOOK);
        }
    }
}

#[cfg(test)]
mod tests;
