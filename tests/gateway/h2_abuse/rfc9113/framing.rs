//! Sections 3 and 4: how a connection begins, the form of frames, and header blocks (RFC 7541).

use super::super::asks::{CHAT, MODELS, block_with, body};
use super::super::frames::{self, MAX_FRAME, flag, kind, set};
use super::super::scene::Scene;
use super::{PROTOCOL, Rule, SIZE, begin, both, chat, connection, rule, stream};
use crate::kit::DEADLINE;
use crate::kit::client::ask;

/// The example of RFC 7541, C.4.1: `GET http www.example.com /`, Huffman coded.
const EXAMPLE: [u8; 17] =
    [0x82, 0x86, 0x84, 0x41, 0x8c, 0xf1, 0xe3, 0xc2, 0xe5, 0xf2, 0x3a, 0x6b, 0xa0, 0xab, 0x90, 0xf4, 0xff];

pub fn rules() -> Vec<Rule> {
    [begins(), forms(), blocks(), tables()].into_iter().flatten().collect()
}

fn begins() -> Vec<Rule> {
    vec![
        rule("3.3", "HTTP/1.1 with Upgrade: h2c", "200 and no 101", |scene| {
            let mut client = scene.daemon.client();
            let head = "GET /v1/models HTTP/1.1\r\nHost: g\r\nAuthorization: Bearer bn-test-acme\r\n\
                        Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n\r\n";
            client.send(head.as_bytes());
            format!("{} and no 101", client.read().status)
        }),
        rule("3.4", "a preface that is wrong at its end", "400 invalid_request; closed", |scene| {
            let mut client = scene.daemon.client();
            client.send(b"PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n");
            let answer = client.read();
            let closed = if client.is_closed() { "closed" } else { "open" };
            let code = answer.json()["error"]["code"].as_str().unwrap_or("no code").to_owned();
            format!("{} {code}; {closed}", answer.status)
        }),
        rule("3.4", "PING where SETTINGS must come first", "open", |scene| {
            let mut raw = scene.bare();
            let _ = raw.send(&[frames::PREFACE, &frames::ping(*b"too soon")].concat());
            raw.fate()
        })
        .letter("a connection error"),
        rule("3.4", "a request before the server's SETTINGS have come", "200; open", |scene| {
            let mut raw = scene.bare();
            let id = raw.next();
            let first = [(set::HEADER_TABLE_SIZE, 0)];
            let _ = raw.send(&[frames::PREFACE, &frames::settings(&first), &chat(id)].concat());
            both(&mut raw, id)
        }),
        rule(
            "3.4",
            "the server's SETTINGS: 100 streams, heads of 256 KiB",
            "[(3, 100), (6, 262144)]",
            |scene| {
                let raw = scene.open();
                raw.wait(DEADLINE, |heard| heard.settings_frames > 0);
                format!("{:?}", raw.heard().settings)
            },
        ),
    ]
}

fn forms() -> Vec<Rule> {
    vec![
        rule("4.1", "frames of unknown types, on the connection and on a stream", "200; open", |scene| {
            stream(scene, |id| {
                let unknown = |stream| frames::frame(0x16, 0xff, stream, b"whatever");
                [unknown(0), begin(id), unknown(id), last(id), unknown(id), unknown(id + 2)].concat()
            })
        }),
        rule("4.1", "a reserved bit that is set", "200; open", |scene| {
            stream(scene, |id| {
                let block = frames::block(&MODELS);
                frames::headers(id | 0x8000_0000, flag::END_STREAM, &block)
            })
        }),
        rule("4.1", "flags that PING does not know", "open", |scene| {
            connection(scene, &frames::frame(kind::PING, 0xfe, 0, &[0; 8]))
        }),
        rule("4.2", "DATA of 16,384 bytes", "200; open", |scene| {
            let text = body(&format!("{:MAX_FRAME$}", ask("general")));
            stream(scene, |id| [begin(id), frames::last_data(id, &text)].concat())
        }),
        rule("4.2", "DATA of 16,385 bytes", SIZE, |scene| {
            let text = body(&format!("{:1$}", ask("general"), MAX_FRAME + 1));
            stream(scene, |id| [begin(id), frames::last_data(id, &text)].concat())
        }),
        rule("4.2", "HEADERS of 16,385 bytes", SIZE, |scene| {
            let block = block_with(&MODELS, &frames::field(b"x", &[b'a'; MAX_FRAME]));
            let block = &block[..=MAX_FRAME];
            stream(scene, |id| frames::frame(kind::HEADERS, flag::END_HEADERS, id, block))
        }),
        rule("4.2", "a frame that says it has 2^24-1 bytes", SIZE, |scene| {
            connection(scene, &frames::frame_saying(0xff_ffff, 0x16, 0, 0, b"and so on"))
        }),
        rule("4.2", "half a frame, then the end", "closed", |scene| {
            let mut raw = scene.open();
            let _ = raw.send(&frames::ping([0; 8])[..12]);
            raw.half_close();
            raw.ended(DEADLINE)
        }),
    ]
}

fn blocks() -> Vec<Rule> {
    vec![
        rule("4.3", "a block in three frames", "200; open", |scene| {
            stream(scene, |id| {
                let block = frames::block(&MODELS);
                let (a, b) = (block.len() / 3, block.len() / 2);
                [
                    frames::frame(kind::HEADERS, flag::END_STREAM, id, &block[..a]),
                    frames::frame(kind::CONTINUATION, flag::NONE, id, &block[a..b]),
                    frames::frame(kind::CONTINUATION, flag::END_HEADERS, id, &block[b..]),
                ]
                .concat()
            })
        }),
        rule("4.3", "PING between HEADERS and CONTINUATION", PROTOCOL, |scene| {
            torn(scene, |_| frames::ping([0; 8]))
        }),
        rule("4.3", "DATA between HEADERS and CONTINUATION", PROTOCOL, |scene| {
            torn(scene, |id| frames::data(id, b"x"))
        }),
        rule("4.3", "another stream's HEADERS between HEADERS and CONTINUATION", PROTOCOL, |scene| {
            torn(scene, |id| frames::headers(id + 2, flag::END_STREAM, &frames::block(&MODELS)))
        }),
        rule("4.3", "another stream's CONTINUATION after HEADERS", PROTOCOL, |scene| {
            torn(scene, |id| frames::frame(kind::CONTINUATION, flag::END_HEADERS, id + 2, b""))
        }),
        rule("4.3", "an unknown frame between HEADERS and CONTINUATION", PROTOCOL, |scene| {
            torn(scene, |id| frames::frame(0x16, 0, id, b""))
        }),
        rule("6.10", "CONTINUATION after END_HEADERS", PROTOCOL, |scene| {
            stream(scene, |id| {
                let more = frames::frame(kind::CONTINUATION, flag::END_HEADERS, id, b"");
                [begin(id), more].concat()
            })
        }),
        rule("6.10", "CONTINUATION on stream 0", PROTOCOL, |scene| {
            connection(scene, &frames::frame(kind::CONTINUATION, flag::END_HEADERS, 0, b""))
        }),
    ]
}

fn tables() -> Vec<Rule> {
    vec![
        rule("HPACK", "the RFC's example, Huffman coded (no key)", "404 not_found; open", |scene| {
            stream(scene, |id| frames::headers(id, flag::END_STREAM, &EXAMPLE))
        }),
        rule("HPACK", "a field that was learnt with another request", "200 and 200; open", |scene| {
            let mut raw = scene.open();
            let (plain, secret) = (&MODELS[..4], MODELS[4]);
            let learnt = frames::learnt(secret.0.as_bytes(), secret.1.as_bytes());
            let answers = [learnt, frames::indexed(62)].map(|last| {
                let id = raw.next();
                let _ = raw.send(&frames::headers(id, flag::END_STREAM, &block_with(plain, &last)));
                raw.answer(id)
            });
            format!("{}; {}", answers.join(" and "), raw.fate())
        }),
        rule("HPACK", "index 0", PROTOCOL, |scene| ends_with(scene, &[0x80])).letter("COMPRESSION_ERROR"),
        rule("HPACK", "an index that nothing was learnt for", PROTOCOL, |scene| {
            ends_with(scene, &frames::indexed(62))
        })
        .letter("COMPRESSION_ERROR"),
        rule("HPACK", "an integer without end", PROTOCOL, |scene| ends_with(scene, &[0xff; 16]))
            .letter("COMPRESSION_ERROR"),
        rule("HPACK", "a string that is longer than its block", PROTOCOL, |scene| {
            ends_with(
                scene,
                &[&[0][..], &frames::string(b"x"), &frames::integer(0, 7, 100), b"short"].concat(),
            )
        })
        .letter("COMPRESSION_ERROR"),
        rule("HPACK", "Huffman code that is EOS, and one with too much padding", PROTOCOL, |scene| {
            let value = |coded: &[u8]| {
                let length = frames::integer(0x80, 7, coded.len());
                [&[0][..], &frames::string(b"x"), &length, coded].concat()
            };
            let (eos, padding) =
                (ends_with(scene, &value(&[0xff; 4])), ends_with(scene, &value(&[0x07, 0xff])));
            if eos == padding { eos } else { format!("{eos} and {padding}") }
        })
        .letter("COMPRESSION_ERROR"),
        rule("HPACK", "a table that is larger than allowed", PROTOCOL, |scene| {
            starts_with(scene, &frames::table_size(4097))
        })
        .letter("COMPRESSION_ERROR"),
        rule("HPACK", "a table's size after a field", PROTOCOL, |scene| {
            ends_with(scene, &frames::table_size(0))
        })
        .letter("COMPRESSION_ERROR"),
        rule("HPACK", "a table's size before the first field", "200; open", |scene| {
            starts_with(scene, &frames::table_size(100))
        }),
    ]
}

/// The end of a chat request.
fn last(id: u32) -> Vec<u8> {
    frames::last_data(id, &body(&ask("general")))
}

/// A block that something comes into.
fn torn(scene: &Scene, between: fn(u32) -> Vec<u8>) -> String {
    stream(scene, |id| {
        let block = frames::block(&CHAT);
        let (first, rest) = block.split_at(20);
        [
            frames::frame(kind::HEADERS, flag::END_STREAM, id, first),
            between(id),
            frames::frame(kind::CONTINUATION, flag::END_HEADERS, id, rest),
        ]
        .concat()
    })
}

/// A good block and this behind it.
fn ends_with(scene: &Scene, piece: &[u8]) -> String {
    stream(scene, |id| frames::headers(id, flag::END_STREAM, &block_with(&MODELS, piece)))
}

/// A good block and this before it.
fn starts_with(scene: &Scene, piece: &[u8]) -> String {
    let block = [piece, &frames::block(&MODELS)].concat();
    stream(scene, |id| frames::headers(id, flag::END_STREAM, &block))
}
