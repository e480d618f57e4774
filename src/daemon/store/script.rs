//! The scripts that run inside the server: how they are called, what goes in and what comes out.

use std::time::{Duration, SystemTime};

use redis::aio::MultiplexedConnection;
use redis::{Cmd, ErrorKind, RedisResult, ServerErrorKind};
use ring::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};

use crate::rules::store::{Ask, Change, Span, Verdict};

/// The server counts with floating point; up to here that is exact.
const MOST: u64 = 1 << 53;

/// One script, and the name by which a server that has seen it knows it.
#[derive(Debug)]
pub struct Script {
    text: &'static str,
    name: String,
}

/// What a script is called with.
#[derive(Debug, PartialEq, Eq)]
pub struct Arguments {
    keys: Vec<String>,
    numbers: Vec<i64>,
}

impl Script {
    /// Takes from all counters or none.
    pub fn take() -> Self {
        Self::new(include_str!("take.lua"))
    }

    /// Changes counters.
    pub fn give() -> Self {
        Self::new(include_str!("give.lua"))
    }

    fn new(text: &'static str) -> Self {
        let hash = digest(&SHA1_FOR_LEGACY_USE_ONLY, text.as_bytes());
        Self { text, name: hash.as_ref().iter().map(|byte| format!("{byte:02x}")).collect() }
    }

    /// Runs it by its name, and by its text on a server that does not know it yet. The future borrows
    /// nothing, so it can outlive the request that asked.
    pub fn call(
        &self,
        mut connection: MultiplexedConnection,
        arguments: Arguments,
    ) -> impl Future<Output = RedisResult<Answer>> + Send + 'static {
        let text = self.text;
        let by_name = command("EVALSHA", &self.name, &arguments);
        async move {
            match by_name.query_async(&mut connection).await {
                Err(error) if error.kind() == ErrorKind::Server(ServerErrorKind::NoScript) => {
                    command("EVAL", text, &arguments).query_async(&mut connection).await
                }
                answer => answer,
            }
        }
    }
}

/// What a script says.
pub type Answer = Vec<i64>;

fn command(verb: &str, script: &str, arguments: &Arguments) -> Cmd {
    let mut command = redis::cmd(verb);
    command.arg(script).arg(arguments.keys.len()).arg(&arguments.keys).arg(&arguments.numbers);
    command
}

/// What `take.lua` is told of these asks.
pub fn taking(prefix: &str, asks: &[Ask], now: SystemTime) -> Arguments {
    let mut arguments =
        Arguments { keys: Vec::with_capacity(asks.len() + 1), numbers: Vec::with_capacity(asks.len() * 5) };
    arguments.keys.push(format!("{prefix}:born"));
    for ask in asks {
        // A day that is over by this clock has a last millisecond: 0 would mean a minute.
        let left = left(ask.window, now).map_or(0, |left| left.max(1));
        arguments.keys.push(name(prefix, &ask.key, ask.window));
        arguments.numbers.extend([
            number(ask.limit),
            number(ask.amount.min(ask.limit)),
            number(ask.local),
            number(ask.share),
            number(left),
        ]);
    }
    arguments
}

/// What `give.lua` is told of these changes. Those of days and months that are over are left out.
pub fn giving<'a>(prefix: &str, changes: impl Iterator<Item = &'a Change>, now: SystemTime) -> Arguments {
    let mut arguments = Arguments { keys: Vec::new(), numbers: Vec::new() };
    for change in changes {
        let left = left(change.window, now);
        if left == Some(0) {
            continue;
        }
        let age = millis(now.duration_since(change.taken_at).unwrap_or_default());
        let most = number(MOST);
        arguments.keys.push(name(prefix, &change.key, change.window));
        arguments.numbers.extend([change.amount.clamp(-most, most), number(age), number(left.unwrap_or(0))]);
    }
    arguments
}

impl Arguments {
    /// Whether there is nothing to call for.
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }
}

/// What `take.lua` answered to so many asks; nothing if that makes no sense.
pub fn verdict(answer: &[i64], asked: usize) -> Option<Verdict> {
    let (&[which, wait], remaining) = answer.split_first_chunk()?;
    let remaining: Vec<u64> = remaining.iter().map(|left| u64::try_from(*left).unwrap_or(0)).collect();
    if remaining.len() != asked {
        return None;
    }
    if which == 0 {
        return Some(Verdict::Taken { remaining });
    }
    let which = usize::try_from(which).ok()?.checked_sub(1).filter(|which| *which < asked)?;
    Some(Verdict::Full { which, wait: Duration::from_millis(u64::try_from(wait).ok()?), remaining })
}

fn name(prefix: &str, key: &str, window: Span) -> String {
    match window {
        Span::Minute => format!("{prefix}:{key}"),
        Span::Day { number } => format!("{prefix}:{key}:d{number}"),
        Span::Month { number } => format!("{prefix}:{key}:m{number}"),
    }
}

/// The milliseconds until a day or a month ends, rounded up; nothing for a minute.
fn left(window: Span, now: SystemTime) -> Option<u64> {
    let left = match window {
        Span::Minute => return None,
        Span::Day { .. } | Span::Month { .. } => {
            window.end().map_or(Duration::MAX, |end| end.duration_since(now).unwrap_or_default())
        }
    };
    Some(millis(left.saturating_add(Duration::from_nanos(999_999))))
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

fn number(value: u64) -> i64 {
    i64::try_from(value.min(MOST)).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests;
