//! HTTP/2 frames byte by byte (RFC 9113, sections 4 and 6), and header blocks without Huffman coding (RFC 7541).
//! Everything can be written, right or wrong.

/// What a client says first (RFC 9113, 3.4).
pub const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// The largest payload that a server takes by default, bytes (RFC 9113, 6.5.2).
pub const MAX_FRAME: usize = 16_384;
/// The largest window, bytes (RFC 9113, 6.9.1).
pub const MAX_WINDOW: u32 = 0x7fff_ffff;
/// The window at the beginning, bytes.
pub const FIRST_WINDOW: u32 = 65_535;

/// Types of frames.
pub mod kind {
    pub const DATA: u8 = 0;
    pub const HEADERS: u8 = 1;
    pub const PRIORITY: u8 = 2;
    pub const RST_STREAM: u8 = 3;
    pub const SETTINGS: u8 = 4;
    pub const PUSH_PROMISE: u8 = 5;
    pub const PING: u8 = 6;
    pub const GOAWAY: u8 = 7;
    pub const WINDOW_UPDATE: u8 = 8;
    pub const CONTINUATION: u8 = 9;
    /// RFC 9218, 7.1.
    pub const PRIORITY_UPDATE: u8 = 0x10;
}

/// Flags of frames.
pub mod flag {
    pub const NONE: u8 = 0;
    pub const ACK: u8 = 1;
    pub const END_STREAM: u8 = 1;
    pub const END_HEADERS: u8 = 4;
    pub const PADDED: u8 = 8;
    pub const PRIORITY: u8 = 0x20;
}

/// Names of settings (RFC 9113, 6.5.2).
pub mod set {
    pub const HEADER_TABLE_SIZE: u16 = 1;
    pub const ENABLE_PUSH: u16 = 2;
    pub const MAX_CONCURRENT_STREAMS: u16 = 3;
    pub const INITIAL_WINDOW_SIZE: u16 = 4;
    pub const MAX_FRAME_SIZE: u16 = 5;
    pub const MAX_HEADER_LIST_SIZE: u16 = 6;
}

/// Codes of RST_STREAM and GOAWAY (RFC 9113, 7).
pub mod code {
    pub const NO_ERROR: u32 = 0;
    pub const CANCEL: u32 = 8;
}

/// The name of a code.
pub fn code_name(code: u32) -> String {
    const NAMES: [&str; 14] = [
        "NO_ERROR",
        "PROTOCOL_ERROR",
        "INTERNAL_ERROR",
        "FLOW_CONTROL_ERROR",
        "SETTINGS_TIMEOUT",
        "STREAM_CLOSED",
        "FRAME_SIZE_ERROR",
        "REFUSED_STREAM",
        "CANCEL",
        "COMPRESSION_ERROR",
        "CONNECT_ERROR",
        "ENHANCE_YOUR_CALM",
        "INADEQUATE_SECURITY",
        "HTTP_1_1_REQUIRED",
    ];
    let name = usize::try_from(code).ok().and_then(|at| NAMES.get(at));
    name.map_or_else(|| format!("code {code}"), |name| (*name).to_owned())
}

/// A frame whose length is that of its payload.
pub fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    frame_saying(payload.len(), kind, flags, stream, payload)
}

/// A frame that says this length, whatever follows.
pub fn frame_saying(length: usize, kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(length).expect("a length of 24 bits").to_be_bytes();
    let mut frame = vec![length[1], length[2], length[3], kind, flags];
    frame.extend_from_slice(&stream.to_be_bytes());
    frame.extend_from_slice(payload);
    frame
}

/// SETTINGS with these values.
pub fn settings(values: &[(u16, u32)]) -> Vec<u8> {
    let mut payload = Vec::new();
    for (name, value) in values {
        payload.extend_from_slice(&name.to_be_bytes());
        payload.extend_from_slice(&value.to_be_bytes());
    }
    frame(kind::SETTINGS, flag::NONE, 0, &payload)
}

/// The answer to SETTINGS.
pub fn settings_ack() -> Vec<u8> {
    frame(kind::SETTINGS, flag::ACK, 0, &[])
}

pub fn ping(payload: [u8; 8]) -> Vec<u8> {
    frame(kind::PING, flag::NONE, 0, &payload)
}

/// The answer to PING.
pub fn pong(payload: [u8; 8]) -> Vec<u8> {
    frame(kind::PING, flag::ACK, 0, &payload)
}

pub fn window_update(stream: u32, increment: u32) -> Vec<u8> {
    frame(kind::WINDOW_UPDATE, flag::NONE, stream, &increment.to_be_bytes())
}

pub fn reset(stream: u32, code: u32) -> Vec<u8> {
    frame(kind::RST_STREAM, flag::NONE, stream, &code.to_be_bytes())
}

pub fn priority(stream: u32, depends_on: u32, weight: u8) -> Vec<u8> {
    let mut payload = depends_on.to_be_bytes().to_vec();
    payload.push(weight);
    frame(kind::PRIORITY, flag::NONE, stream, &payload)
}

pub fn goaway(last: u32, code: u32) -> Vec<u8> {
    frame(kind::GOAWAY, flag::NONE, 0, &[last.to_be_bytes(), code.to_be_bytes()].concat())
}

pub fn data(stream: u32, bytes: &[u8]) -> Vec<u8> {
    frame(kind::DATA, flag::NONE, stream, bytes)
}

/// DATA that ends its stream.
pub fn last_data(stream: u32, bytes: &[u8]) -> Vec<u8> {
    frame(kind::DATA, flag::END_STREAM, stream, bytes)
}

/// A header block as HEADERS and as many CONTINUATION as it needs. `flags` beyond END_HEADERS.
pub fn headers(stream: u32, flags: u8, block: &[u8]) -> Vec<u8> {
    let mut pieces = block.chunks(MAX_FRAME).peekable();
    let first = pieces.next().unwrap_or_default();
    let end = |more: bool| if more { flag::NONE } else { flag::END_HEADERS };
    let mut bytes = frame(kind::HEADERS, flags | end(pieces.peek().is_some()), stream, first);
    while let Some(piece) = pieces.next() {
        bytes.extend(frame(kind::CONTINUATION, end(pieces.peek().is_some()), stream, piece));
    }
    bytes
}

/// An integer with a prefix of so many bits (RFC 7541, 5.1). `pattern` are the bits before it.
pub fn integer(pattern: u8, bits: u32, value: usize) -> Vec<u8> {
    let full = (1_usize << bits) - 1;
    let byte = |value: usize| u8::try_from(value).expect("a byte");
    if value < full {
        return vec![pattern | byte(value)];
    }
    let mut bytes = vec![pattern | byte(full)];
    let mut rest = value - full;
    while rest >= 0x80 {
        bytes.push(byte(rest % 0x80 + 0x80));
        rest /= 0x80;
    }
    bytes.push(byte(rest));
    bytes
}

/// A string as it is.
pub fn string(bytes: &[u8]) -> Vec<u8> {
    [integer(0, 7, bytes.len()), bytes.to_vec()].concat()
}

/// A field that nobody's table learns (RFC 7541, 6.2.2).
pub fn field(name: &[u8], value: &[u8]) -> Vec<u8> {
    [vec![0], string(name), string(value)].concat()
}

/// A field that goes into the table (RFC 7541, 6.2.1).
pub fn learnt(name: &[u8], value: &[u8]) -> Vec<u8> {
    [vec![0x40], string(name), string(value)].concat()
}

/// A field from a table (RFC 7541, 6.1); the first of the dynamic one is 62.
pub fn indexed(place: usize) -> Vec<u8> {
    integer(0x80, 7, place)
}

/// A new size of the table (RFC 7541, 6.3).
pub fn table_size(size: usize) -> Vec<u8> {
    integer(0x20, 5, size)
}

/// Fields in a row.
pub fn block(fields: &[(&str, &str)]) -> Vec<u8> {
    fields.iter().flat_map(|(name, value)| field(name.as_bytes(), value.as_bytes())).collect()
}
