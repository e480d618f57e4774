//! `traceparent`: which trace a request belongs to (W3C Trace Context, level 1).
//!
//! Malformed ones are no context at all. Never keeps a byte that is not part of an id.

use std::fmt::Write;

/// The id of a trace; not all zeros.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TraceId([u8; 16]);

/// The id of a span; not all zeros.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SpanId([u8; 8]);

/// Whether the caller keeps its own part of the trace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sampled {
    Yes,
    No,
}

/// Where in which trace a request stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TraceContext {
    pub trace: TraceId,
    /// The span that asks.
    pub span: SpanId,
    pub sampled: Sampled,
}

/// The length of version 00.
const LENGTH: usize = 55;
/// The bit of `trace-flags` that says that the caller keeps its part.
const SAMPLED: u8 = 1;

impl TraceId {
    /// `None` for zeros, which are no id.
    pub fn new(id: [u8; 16]) -> Option<Self> {
        (id != [0; 16]).then_some(Self(id))
    }

    pub fn bytes(&self) -> &[u8; 16] {
        &self.0
    }

    /// 32 hexadecimal digits.
    pub fn hex(&self) -> String {
        hex(&self.0)
    }
}

impl SpanId {
    /// `None` for zeros, which are no id.
    pub fn new(id: [u8; 8]) -> Option<Self> {
        (id != [0; 8]).then_some(Self(id))
    }

    pub fn bytes(&self) -> &[u8; 8] {
        &self.0
    }
}

impl TraceContext {
    /// Reads a `traceparent`. Of a later version, only what version 00 has.
    pub fn read(value: &[u8]) -> Option<Self> {
        let (known, more) = value.split_at_checked(LENGTH)?;
        let (version, rest) = known.split_at_checked(2)?;
        let [version] = unhex(version)?;
        let later_is_fine = more.is_empty() || (version != 0 && more.first() == Some(&b'-'));
        if version == 0xff || !later_is_fine {
            return None;
        }
        let (trace, rest) = field(rest, 32)?;
        let (span, rest) = field(rest, 16)?;
        let (flags, _) = field(rest, 2)?;
        let [flags] = unhex(flags)?;
        Some(Self {
            trace: TraceId::new(unhex(trace)?)?,
            span: SpanId::new(unhex(span)?)?,
            sampled: if flags & SAMPLED == 0 { Sampled::No } else { Sampled::Yes },
        })
    }

    /// As a `traceparent` of version 00.
    pub fn written(&self) -> String {
        let flags = match self.sampled {
            Sampled::Yes => "01",
            Sampled::No => "00",
        };
        format!("00-{}-{}-{flags}", self.trace.hex(), hex(&self.span.0))
    }
}

/// A hyphen, and a field of this length after it.
fn field(text: &[u8], length: usize) -> Option<(&[u8], &[u8])> {
    text.strip_prefix(b"-")?.split_at_checked(length)
}

/// Small hexadecimal digits, exactly as many as there is room for; the standard allows no large ones.
fn unhex<const N: usize>(text: &[u8]) -> Option<[u8; N]> {
    let mut bytes = [0; N];
    if text.len() != 2 * N {
        return None;
    }
    for (byte, pair) in bytes.iter_mut().zip(text.chunks_exact(2)) {
        for digit in pair {
            let value = match digit {
                b'0'..=b'9' => digit - b'0',
                b'a'..=b'f' => digit - b'a' + 10,
                _ => return None,
            };
            *byte = *byte << 4 | value;
        }
    }
    Some(bytes)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(2 * bytes.len()), |mut text, byte| {
        // Writing to a String cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    #[test]
    fn a_good_one_is_read_and_written_as_it_was() {
        let read = TraceContext::read(GOOD.as_bytes()).unwrap();
        assert_eq!(read.sampled, Sampled::Yes);
        assert_eq!(read.written(), GOOD);
        assert_eq!(read.trace.hex(), "0af7651916cd43dd8448eb211c80319c");
        let other = TraceContext::read(GOOD.replace("-01", "-02").as_bytes()).unwrap();
        assert_eq!(other.sampled, Sampled::No);
        assert!(other.written().ends_with("-00"));
    }

    #[test]
    fn a_later_version_counts_as_far_as_it_is_known() {
        let later = GOOD.replace("00-0", "cc-0");
        for good in [later.clone(), format!("{later}-more"), format!("{later}-")] {
            assert!(TraceContext::read(good.as_bytes()).is_some(), "{good}");
        }
        assert!(TraceContext::read(format!("{later}more").as_bytes()).is_none());
    }

    #[test]
    fn a_malformed_one_is_none_at_all() {
        let bad = [
            String::new(),
            "00".to_owned(),
            GOOD[..54].to_owned(),
            format!("{GOOD}-"),
            format!("{GOOD} "),
            GOOD.replace("00-0", "ff-0"),
            GOOD.replace("0af7651916cd43dd8448eb211c80319c", "00000000000000000000000000000000"),
            GOOD.replace("b7ad6b7169203331", "0000000000000000"),
            GOOD.to_uppercase(),
            GOOD.replace('-', "_"),
            GOOD.replace("0af", "0ag"),
            GOOD.replace("-01", "-0x"),
            "日".repeat(55),
        ];
        for bad in bad {
            assert_eq!(TraceContext::read(bad.as_bytes()), None, "{bad}");
        }
    }
}
