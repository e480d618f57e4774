//! Which requests are traced, and what a trace is when it is finished.
//!
//! Names, times, counts and reasons. Never a key, a prompt or an answer: there is no place for them here.

use std::fmt;
use std::sync::Arc;
use std::time::SystemTime;

use crate::wire::trace_context::{Sampled, SpanId, TraceContext, TraceId};

/// Which requests are traced, and who takes the traces.
#[derive(Debug)]
pub struct Tracing {
    pub share: Share,
    /// None where contexts are passed on and nothing else.
    pub collector: Option<Arc<dyn Collector>>,
}

/// Takes finished traces, or drops and counts them; never waits.
pub trait Collector: Send + Sync + fmt::Debug {
    fn take(&self, trace: Trace);

    /// Hands on what there is before the process ends, and waits for that, but not for long.
    fn hurry(&self);
}

/// Whether a pool's backends learn of a request's trace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Passing {
    Passed,
    Kept,
}

/// A share of all requests: of 2^48 numbers, those below this one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Share(u64);

impl Share {
    const ALL: u64 = 1 << 48;

    /// Nobody.
    pub const NONE: Self = Self(0);

    /// At most 100.
    pub fn percent(percent: u8) -> Self {
        Self(Self::ALL / 100 * u64::from(percent.min(100)) + if percent >= 100 { Self::ALL % 100 } else { 0 })
    }

    /// Whether a request belongs to it. `random` is of the request, evenly spread, of 128 bits: the first 48 decide,
    /// since the last 56 are what later samplers go by (W3C Trace Context, level 2).
    ///
    /// A caller that does not keep its own part wants none of ours. One that does has no more than its share: a
    /// client cannot make us trace more.
    pub fn takes(self, random: u128, caller: Option<&TraceContext>) -> bool {
        let wanted = caller.is_none_or(|caller| caller.sampled == Sampled::Yes);
        wanted && random >> 80 < u128::from(self.0)
    }
}

/// All spans of one request.
#[derive(Debug)]
pub struct Trace {
    pub id: TraceId,
    /// The request's own span first.
    pub spans: Vec<Span>,
}

/// One thing that took time.
#[derive(Debug)]
pub struct Span {
    pub id: SpanId,
    pub parent: Parent,
    pub side: Side,
    pub name: String,
    pub start: SystemTime,
    pub end: SystemTime,
    pub attributes: Vec<(&'static str, Value)>,
    pub outcome: Outcome,
}

/// Whose part a span is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Parent {
    Nobody,
    /// A span of the client's.
    Theirs(SpanId),
    Ours(SpanId),
}

/// Which side of a call a span is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// We are asked.
    Server,
    /// We ask.
    Client,
}

/// Whether it failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    Fine,
    Failed,
}

/// What an attribute says.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    Text(String),
    Word(&'static str),
    Words(Vec<&'static str>),
    Number(u64),
    /// In seconds.
    Seconds(f64),
    Truth(bool),
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOP: u128 = u128::MAX;

    fn caller(flags: &str) -> TraceContext {
        let text = format!("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-{flags}");
        TraceContext::read(text.as_bytes()).unwrap()
    }

    #[test]
    fn a_share_is_what_it_says() {
        assert!(!Share::percent(0).takes(0, None) && !Share::NONE.takes(0, None));
        assert!(Share::percent(100).takes(TOP, None) && Share::percent(255).takes(TOP, None));
        let some = Share::percent(25);
        let taken = (0..1000u128).filter(|n| some.takes(n * (TOP / 1000), None)).count();
        assert!((249..=251).contains(&taken), "{taken}");
    }

    #[test]
    fn a_caller_can_have_less_and_never_more() {
        assert!(!Share::percent(100).takes(0, Some(&caller("00"))));
        assert!(Share::percent(100).takes(TOP, Some(&caller("01"))));
        assert!(!Share::percent(1).takes(TOP, Some(&caller("01"))));
        assert!(Share::percent(1).takes(0, Some(&caller("01"))));
    }
}
