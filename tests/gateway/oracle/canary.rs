//! Words that nobody but an operator may read, and the ways in which they are written.

use std::io::Write as _;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use flate2::Compression;
use flate2::write::GzEncoder;

/// What a provider could be known by, one word of each kind. No other text has them, not even their halves.
pub const KINDS: [(&str, &str); 6] = [
    ("host", "hqzvexnorkul"),
    ("region", "rjwxplimtaqe"),
    ("model", "mkvqzordexup"),
    ("key", "kzwyqphlbnto"),
    ("organisation", "owqjzxfedrim"),
    ("deployment", "dxqvkzulopwe"),
];
/// The first of [`KINDS`], as a part of a name.
pub const HOST: &str = "hqzvexnorkul";
/// Stands in the names of models that routes lead to. Of operators' pages, the page of what is configured may show it.
pub const ROUTED: &str = "cfyqwzoptulam";
/// What stands in every prompt, and no log may repeat.
pub const PROMPT: &str = "pwzqkrothemu";
/// What the backing model says, and no log may repeat.
pub const ANSWER: &str = "aqxzwelbiton";
/// Stands in all names of the other tenant.
pub const OTHER: &str = "tzvqxomberly";
/// A moment that nobody but the backend means.
pub const CREATED: &str = "1612345678";
/// How long a backend wants to be left alone; no time of ours is so long.
pub const WAIT: &str = "8675309";
/// A code that a stream of HTTP/2 is reset with.
pub const RESET: u32 = 0xcafe_b0b5;

/// How a word is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Writing {
    Plain,
    /// Upper and lower case in turn.
    Case,
    /// `\u0061`
    Json,
    /// `%61`
    Percent,
    /// Three times, so that it begins at each place of a group of three bytes.
    Base64,
    Hex,
    /// Gzip; in base64 where bytes cannot stand.
    Gzip,
}

impl Writing {
    pub const ALL: [Self; 7] =
        [Self::Plain, Self::Case, Self::Json, Self::Percent, Self::Base64, Self::Hex, Self::Gzip];

    /// Its place in [`Self::ALL`].
    pub fn number(self) -> usize {
        Self::ALL.iter().position(|one| *one == self).unwrap_or_default()
    }

    pub fn label(self) -> &'static str {
        match self {
            Self::Plain => "plain",
            Self::Case => "case",
            Self::Json => "json",
            Self::Percent => "percent",
            Self::Base64 => "base64",
            Self::Hex => "hex",
            Self::Gzip => "gzip",
        }
    }

    /// The text in this writing, in ASCII, without quotes and line breaks.
    pub fn write(self, text: &str) -> String {
        let each = |form: fn(u8) -> String| text.bytes().map(form).collect::<String>();
        match self {
            Self::Plain => text.to_owned(),
            Self::Case => {
                let turned = |(at, c): (usize, char)| if at % 2 == 0 { c.to_ascii_uppercase() } else { c };
                text.chars().enumerate().map(turned).collect()
            }
            Self::Json => each(|byte| format!("\\u{byte:04x}")),
            Self::Percent => each(|byte| format!("%{byte:02x}")),
            Self::Base64 => {
                let at = |before: &str| base64(format!("{before}{text}").as_bytes());
                format!("{} {} {}", at(""), at("."), at(".."))
            }
            Self::Hex => each(|byte| format!("{byte:02x}")),
            Self::Gzip => base64(&gzip(text.as_bytes())),
        }
    }

    /// All words in this writing.
    pub fn all(self) -> String {
        self.write(&KINDS.map(|(_, word)| word).join(" "))
    }

    /// The name of a host with the word in it. A name cannot have every writing; the others have it plain.
    pub fn host(self) -> String {
        match self {
            Self::Plain | Self::Json | Self::Percent | Self::Gzip => format!("{HOST}-{}.test", self.label()),
            Self::Case | Self::Hex => format!("{}.test", self.write(HOST)),
            Self::Base64 => format!("{}.test", base64(HOST.as_bytes()).trim_end_matches('=')),
        }
    }
}

pub fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(bytes).expect("memory takes everything");
    encoder.finish().expect("memory takes everything")
}

/// RFC 4648, section 4.
pub fn base64(bytes: &[u8]) -> String {
    STANDARD.encode(bytes)
}
