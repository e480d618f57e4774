//! What an HTTP/2 server has said, frame by frame, and what became of each stream in words.

use std::collections::BTreeMap;

use serde_json::Value;

use super::frames::{self, code_name, flag, kind};

/// What is kept of one stream's data.
const KEPT: usize = 1 << 20;

/// What has come.
#[derive(Debug, Clone, Default)]
pub struct Heard {
    pub streams: BTreeMap<u32, Told>,
    /// SETTINGS of the server, in order.
    pub settings: Vec<(u16, u32)>,
    pub settings_frames: usize,
    pub settings_acks: usize,
    pub pings: Vec<[u8; 8]>,
    pub pongs: usize,
    pub last_pong: [u8; 8],
    /// Last stream, code and words of each GOAWAY.
    pub goaways: Vec<(u32, u32, String)>,
    /// By how much each window was opened; stream 0 is the connection.
    windows: BTreeMap<u32, usize>,
    pub end: Option<End>,
}

/// What has come on a stream.
#[derive(Debug, Clone, Default)]
pub struct Told {
    pub status: Option<u16>,
    pub data: Vec<u8>,
    pub end: Ended,
    pub reset: Option<u32>,
}

/// Whether END_STREAM has come.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Ended {
    #[default]
    Not,
    Cleanly,
}

/// How a connection ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    Closed,
    Reset,
}

impl Told {
    pub fn is_over(&self) -> bool {
        self.end == Ended::Cleanly || self.reset.is_some()
    }

    /// In words.
    pub fn words(&self) -> String {
        let code = serde_json::from_slice::<Value>(&self.data).ok();
        let code = code.and_then(|body| body["error"]["code"].as_str().map(str::to_owned));
        let mut words = match (self.status, code) {
            (None, _) => String::new(),
            (Some(status), None) => status.to_string(),
            (Some(status), Some(code)) => format!("{status} {code}"),
        };
        match (self.end, self.reset) {
            (Ended::Cleanly, None | Some(frames::code::NO_ERROR)) => {}
            (_, Some(code)) => {
                words += if words.is_empty() { "" } else { ", " };
                words += &format!("reset {}", code_name(code));
            }
            (Ended::Not, None) if words.is_empty() => "no answer".clone_into(&mut words),
            (Ended::Not, None) => words += ", no end",
        }
        words
    }
}

impl Heard {
    /// How many bytes may have been sent on a stream by now; stream 0 is the connection.
    pub fn window(&self, stream: u32) -> usize {
        frames::FIRST_WINDOW as usize + self.windows.get(&stream).copied().unwrap_or_default()
    }

    pub fn take(&mut self, frame: &[u8]) {
        let (head, payload) = frame.split_at(9);
        let (flags, stream) = (head[4], number(&head[5..9]));
        let first: Option<[u8; 8]> = payload.get(..8).and_then(|first| first.try_into().ok());
        match head[3] {
            kind::SETTINGS if flags & flag::ACK != 0 => self.settings_acks += 1,
            kind::SETTINGS => {
                self.settings_frames += 1;
                let pairs = payload.chunks_exact(6);
                let value = |pair: &[u8]| (u16::from_be_bytes([pair[0], pair[1]]), number(&pair[2..]));
                self.settings.extend(pairs.map(value));
            }
            kind::PING if flags & flag::ACK != 0 => {
                self.pongs += 1;
                self.last_pong = first.unwrap_or_default();
            }
            kind::PING => self.pings.extend(first),
            kind::GOAWAY => {
                let words = String::from_utf8_lossy(&payload[8..]).into_owned();
                self.goaways.push((number(&payload[..4]), number(&payload[4..8]), words));
            }
            kind::HEADERS => {
                let told = self.streams.entry(stream).or_default();
                told.status = told.status.or_else(|| status(payload));
                told.ended(flags);
            }
            kind::DATA => {
                let told = self.streams.entry(stream).or_default();
                let room = KEPT.saturating_sub(told.data.len());
                told.data.extend_from_slice(&payload[..payload.len().min(room)]);
                told.ended(flags);
            }
            kind::WINDOW_UPDATE => *self.windows.entry(stream).or_default() += number(payload) as usize,
            kind::RST_STREAM => {
                // The first says why; frames that were on their way may bring another.
                self.streams.entry(stream).or_default().reset.get_or_insert(number(payload));
            }
            _ => {}
        }
    }
}

impl Told {
    fn ended(&mut self, flags: u8) {
        if flags & flag::END_STREAM != 0 {
            self.end = Ended::Cleanly;
        }
    }
}

/// The status of a header block: always its first field, after sizes of the table.
fn status(block: &[u8]) -> Option<u16> {
    const KNOWN: [u16; 7] = [200, 204, 206, 304, 400, 404, 500];
    let sizes = block.iter().take_while(|byte| **byte & 0xe0 == 0x20).count();
    match &block[sizes..] {
        [byte @ 0x88..=0x8e, ..] => KNOWN.get(usize::from(byte - 0x88)).copied(),
        // A literal, learnt or not, whose name is the static table's eighth.
        [0x48 | 0x08 | 0x18, length, rest @ ..] => {
            let value = rest.get(..usize::from(length & 0x7f))?;
            let digits = if length & 0x80 == 0 { value.to_vec() } else { digits(value)? };
            String::from_utf8(digits).ok()?.parse().ok()
        }
        _ => None,
    }
}

/// Three digits in Huffman's code (RFC 7541, appendix B): `0` to `2` have five bits, the others six.
fn digits(coded: &[u8]) -> Option<Vec<u8>> {
    let mut bits = coded.iter().flat_map(|byte| (0..8).rev().map(move |at| (byte >> at) & 1));
    let mut take = |count: usize, from: u8| -> Option<u8> {
        (0..count).try_fold(from, |sum, _| bits.next().map(|bit| (sum << 1) | bit))
    };
    (0..3)
        .map(|_| {
            let five = take(5, 0)?;
            if five < 3 {
                return Some(b'0' + five);
            }
            take(1, five)?.checked_sub(0b01_1001).map(|above| b'3' + above)
        })
        .collect()
}

/// The length of the first frame with its head, when it is there whole.
pub fn whole_frame(bytes: &[u8]) -> Option<usize> {
    let head = bytes.get(..9)?;
    let length = 9 + number(&head[..3]) as usize;
    (bytes.len() >= length).then_some(length)
}

fn number(bytes: &[u8]) -> u32 {
    bytes.iter().fold(0, |sum, &byte| (sum << 8) | u32::from(byte))
}
