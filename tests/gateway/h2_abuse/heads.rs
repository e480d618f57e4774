//! Heads that are no HTTP (RFC 9113, 8.2 and 8.3): what would be something else in HTTP/1.1 must not get through.

use std::collections::BTreeSet;

use super::asks::{CHAT, MODELS, block_with, body, with};
use super::frames::{self, flag};
use super::scene::Scene;
use super::table::Case;
use crate::kit::client::ask;

/// A name and a value as bytes.
type Field = (&'static [u8], &'static [u8]);

const REFUSED: &str = "reset PROTOCOL_ERROR, open";
const GONE: &str = "no answer, GOAWAY PROTOCOL_ERROR and closed";

pub fn cases() -> Vec<Case> {
    vec![
        Case::new("H2-19", "a name of zero length", GONE, |scene| {
            each(scene, [(b"".as_slice(), b"value".as_slice()), (b"", b"")])
        }),
        Case::new(
            "H2-19",
            "values of zero length, 5,000 and 257 in a head",
            "431 headers_too_large, open",
            |scene| {
                all([5000, 257 - 2]
                    .map(|more| head(scene, &block_with(&CHAT, &frames::field(b"x", b"").repeat(more)))))
            },
        ),
        Case::new("H2-19", "values of zero length, 256 in a head", "200; open", |scene| {
            let mut raw = scene.open();
            let id = raw.next();
            let block = block_with(&MODELS, &frames::field(b"x", b"").repeat(256 - 1));
            let _ = raw.send(&frames::headers(id, flag::END_STREAM, &block));
            format!("{}; {}", raw.answer(id), raw.fate())
        }),
        Case::new("H2-24", "a length that is not the body's: more, less, none", REFUSED, |scene| {
            let length = ask("silent").len();
            let lengths = [length + 1, length - 1, 0].map(|length| length.to_string());
            all(lengths
                .iter()
                .map(|length| head(scene, &frames::block(&with(&CHAT, "content-length", length)))))
        }),
        Case::new("H2-24", "two lengths, and one that is no number", REFUSED, |scene| {
            let length = ask("silent").len().to_string();
            let twice = with(&CHAT, "content-length", &length);
            let other = frames::field(b"content-length", b"7");
            let signed = format!("+{length}");
            let bad = ["-1", "0x10", "1e1", "", &signed, "18446744073709551616"];
            let mut words = vec![head(scene, &block_with(&twice, &other))];
            words.extend(bad.map(|bad| head(scene, &frames::block(&with(&CHAT, "content-length", bad)))));
            all(words)
        }),
        Case::new("H2-25", "fields of a connection that HTTP/2 does not have", REFUSED, |scene| {
            each(
                scene,
                [
                    (b"connection".as_slice(), b"close".as_slice()),
                    (b"connection", b"authorization"),
                    (b"transfer-encoding", b"chunked"),
                    (b"transfer-encoding", b"identity"),
                    (b"upgrade", b"websocket"),
                    (b"keep-alive", b"timeout=5"),
                    (b"proxy-connection", b"keep-alive"),
                    (b"te", b"gzip"),
                ],
            )
        }),
        Case::new("H2-26", "names with capitals", GONE, |scene| {
            each(
                scene,
                [(b"X-Upper".as_slice(), b"1".as_slice()), (b"Authorization", b"Bearer bn-test-acme")],
            )
        }),
        Case::new("H2-27", "names with CR, LF, NUL, a colon or a blank", GONE, |scene| {
            each(
                scene,
                [
                    (b"x\r\nx-more".as_slice(), b"1".as_slice()),
                    (b"x\rx", b"1"),
                    (b"x\nx", b"1"),
                    (b"x\0x", b"1"),
                    (b"x:x", b"1"),
                    (b"x x", b"1"),
                    (b"x\x7f", b"1"),
                    (b"x\xc3\xa4", b"1"),
                ],
            )
        }),
        Case::new("H2-27", "values with CR, LF or NUL", GONE, |scene| {
            each(
                scene,
                [
                    (b"x".as_slice(), b"1\r\nx-more: 2".as_slice()),
                    (b"x", b"1\r\n\r\nGET / HTTP/1.1\r\n\r\n"),
                    (b"x", b"1\r2"),
                    (b"x", b"1\n2"),
                    (b"x", b"1\x002"),
                ],
            )
        }),
        Case::new("H2-28", "a method with a blank or CR LF", GONE, |scene| {
            let methods = ["POST /v1/models", "POST\r\nx: y", "", "PO\0ST"];
            all(methods.map(|method| head(scene, &frames::block(&with(&CHAT, ":method", method)))))
        }),
        Case::new("H2-28", "a path with a blank, CR LF or NUL, or none", REFUSED, |scene| {
            let paths = [
                "/v1/chat/completions HTTP/1.1",
                "/v1/chat/completions\r\nx: y",
                "/v1/chat/completions\n",
                "/v1/chat/\0completions",
                "",
            ];
            all(paths.map(|path| head(scene, &frames::block(&with(&CHAT, ":path", path)))))
        }),
        Case::new("H2-29", ":authority and host that differ, or two hosts", "400, open", |scene| {
            let other = with(&CHAT, "host", "elsewhere");
            let twice = block_with(&other, &frames::field(b"host", b"gateway"));
            all([head(scene, &frames::block(&other)), head(scene, &twice)])
        }),
        Case::new("H2-29", "two of :path, :method, :scheme or :authority", REFUSED, |scene| {
            let names = [":path", ":method", ":scheme", ":authority"];
            all(names.map(|name| {
                let value = CHAT.iter().find(|(known, _)| *known == name).map_or("", |(_, value)| value);
                let twice = frames::field(name.as_bytes(), value.as_bytes());
                head(scene, &[twice, frames::block(&CHAT)].concat())
            }))
        }),
        // The library does not see that these are malformed; but trailers end where they came in.
        Case::new(
            "H2-30",
            "trailers with :path, :method, :authority, :status, or plain ones",
            "200, open; none of it goes up",
            |scene| {
                let fields: [Field; 5] = [
                    (b":path", b"/v1/canary"),
                    (b":method", b"CANARY"),
                    (b":authority", b"canary"),
                    (b":status", b"299"),
                    (b"x-trailer", b"canary"),
                ];
                let words = all(fields.map(|(name, value)| trailers(scene, &frames::field(name, value))));
                let found = scene.quick.requests().iter().any(|seen| {
                    let all = [seen.head.raw.clone(), seen.body.clone()].concat();
                    let all = String::from_utf8_lossy(&all).to_lowercase();
                    ["canary", "x-trailer"].iter().any(|word| all.contains(word))
                });
                format!("{words}; {} of it goes up", if found { "SOME" } else { "none" })
            },
        ),
        Case::new(
            "H2-30",
            "trailers with a field of a connection, and trailers without END_STREAM",
            REFUSED,
            |scene| {
                let field = frames::field(b"connection", b"close");
                all([trailers(scene, &field), trailers_that(scene, flag::NONE, &frames::field(b"x", b"y"))])
            },
        ),
    ]
}

/// A chat request with each of these fields, on a connection of its own.
fn each<const N: usize>(scene: &Scene, fields: [Field; N]) -> String {
    all(fields.map(|(name, value)| head(scene, &block_with(&CHAT, &frames::field(name, value)))))
}

/// A chat request with this head on a new connection: what came of it and of the connection.
fn head(scene: &Scene, block: &[u8]) -> String {
    let before = asked(scene);
    let mut raw = scene.open();
    let id = raw.next();
    let bytes = [frames::headers(id, flag::NONE, block), frames::last_data(id, &body(&ask("silent")))];
    let _ = raw.send(&bytes.concat());
    let words = format!("{}, {}", raw.answer(id), raw.fate());
    if asked(scene) == before { words } else { format!("{words}, AND A BACKEND ASKED") }
}

fn asked(scene: &Scene) -> usize {
    scene.silent.requests().len()
}

fn trailers(scene: &Scene, block: &[u8]) -> String {
    trailers_that(scene, flag::END_STREAM, block)
}

fn trailers_that(scene: &Scene, flags: u8, block: &[u8]) -> String {
    let mut raw = scene.open();
    let id = raw.next();
    let bytes = [
        frames::headers(id, flag::NONE, &frames::block(&CHAT)),
        frames::data(id, &body(&ask("general"))),
        frames::headers(id, flags, block),
    ];
    let _ = raw.send(&bytes.concat());
    format!("{}, {}", raw.answer(id), raw.fate())
}

/// What was the same every time, or all that it was.
fn all(words: impl IntoIterator<Item = String>) -> String {
    let words: BTreeSet<String> = words.into_iter().collect();
    words.into_iter().collect::<Vec<_>>().join(" or ")
}
