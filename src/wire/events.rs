//! Server-sent events out of bytes, as the WHATWG describes them.
//!
//! Promises the same events however the network cut the bytes, in bounded memory, without a copy for
//! an event that arrived in one piece. Never looks into the data.

use std::borrow::Cow;
use std::mem;

use memchr::{memchr, memchr2};

use crate::error::UpstreamFault;

/// Cuts a stream of bytes into events.
///
/// The size of an event is that of its lines since the blank line before it, comments included, each
/// counted with one byte for its end (be it LF, CR or both) and without the blank line that closes it.
#[derive(Debug)]
pub(super) struct Splitter {
    /// The lines of an event that has not arrived whole, each ended by LF; the last may lack its end.
    /// Never longer than `max`.
    carry: Vec<u8>,
    state: Carry,
    max: usize,
    /// A byte order mark at the very start, or what has been seen of it.
    start: Start,
    last: Last,
}

#[derive(Debug, Clone, Copy)]
enum Carry {
    /// Belongs to the event that is arriving.
    Filling,
    /// Was handed out, and goes when the next bytes come.
    Handed,
}

#[derive(Debug, Clone, Copy)]
enum Start {
    /// So many bytes of the mark have matched.
    Mark(usize),
    Over,
}

/// The last byte seen: an LF behind a CR belongs to the same line end, even in another piece.
#[derive(Debug, Clone, Copy)]
enum Last {
    Cr,
    Other,
}

const MARK: &[u8] = b"\xef\xbb\xbf";

impl Splitter {
    /// Takes no event larger than `max` bytes.
    pub(super) fn new(max: usize) -> Self {
        Self { carry: Vec::new(), state: Carry::Filling, max, start: Start::Mark(0), last: Last::Other }
    }

    /// The lines of the next event that ends in `piece`, which is shortened by what was used. `None`
    /// when the piece is used up.
    ///
    /// # Errors
    /// `EventTooLarge`, as soon as it is certain.
    pub(super) fn next<'s, 'p: 's>(
        &'s mut self,
        piece: &mut &'p [u8],
    ) -> Result<Option<&'s [u8]>, UpstreamFault> {
        if let Carry::Handed = mem::replace(&mut self.state, Carry::Filling) {
            self.carry.clear();
        }
        self.skip_mark(piece);
        self.skip_line_feed(piece);
        if self.carry.is_empty() {
            match self.whole(piece)? {
                Some(lines) => return Ok(Some(lines)),
                None if piece.is_empty() => return Ok(None),
                None => {}
            }
        }
        self.fill(piece)
    }

    /// Finds an event that begins and ends in the piece. Leaves the piece at the start of an event.
    fn whole<'a>(&mut self, piece: &mut &'a [u8]) -> Result<Option<&'a [u8]>, UpstreamFault> {
        let mut size = 0;
        let mut rest = *piece;
        while let Some((line, ending, after)) = split_line(rest) {
            if !line.is_empty() {
                size += line.len() + 1;
                self.check(size)?;
                rest = after;
                continue;
            }
            let lines = piece.get(..piece.len() - rest.len()).unwrap_or_default();
            *piece = after;
            self.last = ending.last(after);
            if !lines.is_empty() {
                return Ok(Some(lines));
            }
            (rest, size) = (after, 0);
        }
        Ok(None)
    }

    /// Copies lines until an event ends or the piece does.
    fn fill(&mut self, piece: &mut &[u8]) -> Result<Option<&[u8]>, UpstreamFault> {
        while let Some((line, ending, after)) = split_line(piece) {
            *piece = after;
            self.last = ending.last(after);
            let at_line_start = matches!(self.carry.last(), None | Some(b'\n'));
            if line.is_empty() && at_line_start {
                if self.carry.is_empty() {
                    continue;
                }
                self.state = Carry::Handed;
                return Ok(Some(&self.carry));
            }
            self.check(self.carry.len() + line.len() + 1)?;
            self.carry.extend_from_slice(line);
            self.carry.push(b'\n');
        }
        if !piece.is_empty() {
            self.check(self.carry.len() + piece.len())?;
            self.carry.extend_from_slice(piece);
            *piece = &[];
        }
        Ok(None)
    }

    fn check(&self, size: usize) -> Result<(), UpstreamFault> {
        if size > self.max { Err(UpstreamFault::EventTooLarge) } else { Ok(()) }
    }

    fn skip_mark(&mut self, piece: &mut &[u8]) {
        while let Start::Mark(seen) = self.start {
            match (MARK.get(seen), piece.split_first()) {
                (Some(_), None) => return,
                (Some(due), Some((byte, after))) if byte == due => {
                    *piece = after;
                    self.start = Start::Mark(seen + 1);
                }
                (Some(_), Some(_)) => {
                    // It was none: its bytes begin the first line.
                    self.carry.extend(MARK.iter().take(seen));
                    self.start = Start::Over;
                }
                (None, _) => self.start = Start::Over,
            }
        }
    }

    fn skip_line_feed(&mut self, piece: &mut &[u8]) {
        if let (Last::Cr, Some((first, after))) = (self.last, piece.split_first()) {
            self.last = Last::Other;
            if *first == b'\n' {
                *piece = after;
            }
        }
    }
}

/// How a line ended.
#[derive(Debug, Clone, Copy)]
enum Ending {
    Cr,
    LfOrBoth,
}

impl Ending {
    /// What has to be remembered when this was the last line end of a piece, and `after` follows.
    fn last(self, after: &[u8]) -> Last {
        match self {
            Self::Cr if after.is_empty() => Last::Cr,
            Self::Cr | Self::LfOrBoth => Last::Other,
        }
    }
}

/// The first line, how it ended, and what follows; `None` if no line ends here.
fn split_line(bytes: &[u8]) -> Option<(&[u8], Ending, &[u8])> {
    let (line, rest) = bytes.split_at_checked(memchr2(b'\n', b'\r', bytes)?)?;
    match rest {
        [b'\r', b'\n', after @ ..] | [b'\n', after @ ..] => Some((line, Ending::LfOrBoth, after)),
        [_, after @ ..] => Some((line, Ending::Cr, after)),
        [] => None,
    }
}

/// What the lines of an event amount to. Names, ids and retry times are not kept.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Event<'a> {
    /// Comments, or data without a word in it.
    Nothing,
    /// `[DONE]`.
    Done,
    /// The upstream calls it an error: its data, whatever that is.
    Error(Cow<'a, [u8]>),
    /// One JSON document, if all is well.
    Data(Cow<'a, [u8]>),
}

impl<'a> Event<'a> {
    /// Reads the lines of one event.
    pub(super) fn read(lines: &'a [u8]) -> Self {
        let mut data: Option<Cow<'a, [u8]>> = None;
        let mut name: &[u8] = b"";
        let mut rest = lines;
        while !rest.is_empty() {
            let (line, _, after) = split_line(rest).unwrap_or((rest, Ending::LfOrBoth, &[]));
            rest = after;
            match field(line) {
                (b"data", value) => match &mut data {
                    None => data = Some(Cow::Borrowed(value)),
                    Some(data) => {
                        let data = data.to_mut();
                        data.push(b'\n');
                        data.extend_from_slice(value);
                    }
                },
                (b"event", value) => name = value,
                _ => {}
            }
        }
        match data {
            None => Self::Nothing,
            Some(data) if name == b"error" => Self::Error(data),
            Some(data) => match data.trim_ascii() {
                b"" => Self::Nothing,
                b"[DONE]" => Self::Done,
                _ => Self::Data(data),
            },
        }
    }
}

/// Name and value of a line. A comment is a field without a name, which nobody asks for.
fn field(line: &[u8]) -> (&[u8], &[u8]) {
    if let Some(value) = line.strip_prefix(b"data:") {
        return (b"data", value.strip_prefix(b" ").unwrap_or(value));
    }
    match memchr(b':', line).and_then(|at| line.split_at_checked(at)) {
        Some((name, value)) => {
            let value = value.strip_prefix(b":").unwrap_or(value);
            (name, value.strip_prefix(b" ").unwrap_or(value))
        }
        None => (line, b""),
    }
}

#[cfg(test)]
mod tests;
