//! What is left, as clients are told: the `x-ratelimit-*` headers.

use std::fmt::Write;
use std::time::Duration;

/// What is left of the tightest limit of each kind; nothing where there is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Standing {
    pub requests: Option<Left>,
    pub tokens: Option<Left>,
}

/// What is left of one limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Left {
    pub limit: u64,
    pub remaining: u64,
    /// Until all of it is there again.
    pub reset: Duration,
}

impl Standing {
    /// Takes a limit of requests into account.
    pub fn requests(&mut self, limit: u64, used: u64, reset: Duration) {
        tighten(&mut self.requests, Left { limit, remaining: limit.saturating_sub(used), reset });
    }

    /// Takes a limit of tokens into account.
    pub fn tokens(&mut self, limit: u64, used: u64, reset: Duration) {
        tighten(&mut self.tokens, Left { limit, remaining: limit.saturating_sub(used), reset });
    }
}

fn tighten(known: &mut Option<Left>, new: Left) {
    if known.is_none_or(|known| new.remaining < known.remaining) {
        *known = Some(new);
    }
}

/// A duration as OpenAI writes it: `0s`, `120ms`, `7.5s`, `6m0s`.
pub fn written(time: Duration) -> String {
    let millis = time.as_millis();
    let mut text = String::with_capacity(12);
    let (minutes, rest) = (millis / 60_000, millis % 60_000);
    // Writing to a String cannot fail.
    let _ = match (minutes, rest) {
        (0, 0) => write!(text, "0s"),
        (0, 1..1000) => write!(text, "{rest}ms"),
        (0, _) => seconds(&mut text, rest),
        (minutes, _) => write!(text, "{minutes}m").and_then(|()| seconds(&mut text, rest)),
    };
    text
}

fn seconds(text: &mut String, millis: u128) -> std::fmt::Result {
    let (whole, part) = (millis / 1000, millis % 1000);
    if part == 0 {
        return write!(text, "{whole}s");
    }
    let part = format!("{part:03}");
    write!(text, "{whole}.{}s", part.trim_end_matches('0'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_written_as_openai_does() {
        for (millis, text) in [
            (0, "0s"),
            (1, "1ms"),
            (120, "120ms"),
            (1000, "1s"),
            (7500, "7.5s"),
            (7050, "7.05s"),
            (59_999, "59.999s"),
            (60_000, "1m0s"),
            (360_000, "6m0s"),
            (90_250, "1m30.25s"),
        ] {
            assert_eq!(written(Duration::from_millis(millis)), text);
        }
    }

    #[test]
    fn the_tightest_limit_is_told() {
        let mut standing = Standing::default();
        standing.requests(100, 20, Duration::from_secs(3));
        standing.requests(50, 10, Duration::from_secs(9));
        standing.requests(60, 0, Duration::from_secs(1));
        assert_eq!(standing.requests, Some(Left { limit: 50, remaining: 40, reset: Duration::from_secs(9) }));
        assert_eq!(standing.tokens, None);
        standing.tokens(10, 99, Duration::ZERO);
        assert_eq!(standing.tokens.map(|left| left.remaining), Some(0));
    }
}
