//! Frames that are cheap to send and cost the gateway something each: memory, processor time, or answers.
//!
//! CVE-2019-9511 to 9518 and CVE-2024-27316 ("CONTINUATION flood") are their family.

use std::thread;
use std::time::Duration;

use super::asks::{CHAT, MODELS, block_with, body, with};
use super::frames::{self, code, flag, kind, set};
use super::scene::Scene;
use super::table::Case;
use super::wire::{Raw, request};
use crate::kit::DEADLINE;
use crate::kit::client::ask;

/// Frames of a flood that is to go on as long as it may.
const FLOOD: usize = 100_000;
/// How many small frames go out in one write.
const BATCH: usize = 500;
/// CONTINUATION frames that a header block may have: 256 KiB in frames of 16 KiB, and a quarter more
/// (`h2`, `calc_max_continuation_frames`).
const CONTINUATIONS: usize = 20;
/// Empty DATA frames that a connection may have (`h2`, `MAX_RECV_EMPTY_DATA_FRAMES`).
const EMPTY_DATA: usize = 100;
/// What a head that never ends may cost, KiB.
const UNFINISHED: u64 = 1024;
/// How long a client that reads nothing tries to write.
const PATIENCE: Duration = Duration::from_millis(300);

pub fn cases() -> Vec<Case> {
    let too_many = "GOAWAY ENHANCE_YOUR_CALM (too_many_continuations) and closed";
    let too_large = "GOAWAY ENHANCE_YOUR_CALM (header_list_way_too_large) and closed";
    vec![
        Case::new("H2-09", "CONTINUATION of 16 KiB without end", too_many, |scene| {
            let fields = frames::field(b"x-flood", &[b'a'; 1000]).repeat(16);
            continuations(scene, &fields)
        })
        .growth(UNFINISHED),
        Case::new(
            "H2-09",
            "CONTINUATION of 16 KiB without end, one value that never ends",
            too_many,
            |scene| {
                let mut raw = scene.open();
                let id = raw.next();
                let begun = [vec![0], frames::string(b"x-flood"), frames::integer(0, 7, 1 << 27)].concat();
                let first = frames::frame(kind::HEADERS, flag::NONE, id, &block_with(&MODELS, &begun));
                let _ = raw.send(&first);
                raw.flood(
                    &frames::frame(kind::CONTINUATION, flag::NONE, id, &[b'a'; frames::MAX_FRAME]),
                    10_000,
                );
                raw.ended(DEADLINE)
            },
        )
        .growth(UNFINISHED),
        Case::new("H2-10", "CONTINUATION of nothing without end", too_many, |scene| {
            continuations(scene, b"")
        })
        .growth(UNFINISHED),
        Case::new(
            "H2-10",
            "as many CONTINUATION of nothing as a head may have, then its end",
            "200; open",
            |scene| {
                let mut raw = scene.open();
                let id = raw.next();
                let nothing = |end| frames::frame(kind::CONTINUATION, end, id, b"");
                let first = frames::frame(kind::HEADERS, flag::END_STREAM, id, &frames::block(&MODELS));
                let bytes = [first, nothing(flag::NONE).repeat(CONTINUATIONS), nothing(flag::END_HEADERS)];
                let _ = raw.send(&bytes.concat());
                format!("{}; {}", raw.answer(id), raw.fate())
            },
        ),
        Case::new(
            "H2-11",
            "HPACK bomb: 4 KB learnt once and named 15,000 times, on 20 connections",
            format!("20 times {too_large}"),
            |scene| {
                let bomb = frames::indexed(62).repeat(15_000);
                times(20, || bombed(scene, &bomb))
            },
        ),
        Case::new(
            "H2-11",
            "heads of 400 KB from a block of 4 KB, 100 of them",
            "100 times 431; open",
            |scene| {
                let mut raw = scene.open();
                let field = frames::learnt(b"x-bomb", &[b'a'; 4000]);
                let first = raw.next();
                let _ = raw.send(&frames::headers(first, flag::END_STREAM, &block_with(&MODELS, &field)));
                let block = block_with(&MODELS, &frames::indexed(62).repeat(100));
                let answers = times(100, || {
                    let id = raw.next();
                    let _ = raw.send(&frames::headers(id, flag::END_STREAM, &block));
                    raw.answer(id)
                });
                format!("{answers}; {}", raw.fate())
            },
        ),
        Case::new(
            "H2-11",
            "heads of 200 KB, 100 at once",
            "100 times 431 headers_too_large; open",
            |scene| {
                let mut raw = scene.open();
                let block = block_with(&MODELS, &frames::field(b"x-large", &[b'a'; 4000]).repeat(50));
                let streams: Vec<u32> = (0..100).map(|_| raw.next()).collect();
                for id in &streams {
                    let _ = raw.send(&frames::headers(*id, flag::END_STREAM, &block));
                }
                let mut streams = streams.into_iter();
                let answers = times(100, || raw.answer(streams.next().unwrap_or_default()));
                format!("{answers}; {}", raw.fate())
            },
        )
        .growth(32 * 1024),
        Case::new(
            "H2-12",
            "the size of the table changes with every head, 2,000 times, and so does ours",
            "2000 times 200; open",
            |scene| {
                let mut raw = scene.open();
                let block = [
                    frames::table_size(0),
                    frames::table_size(4096),
                    frames::block(&MODELS),
                    frames::learnt(b"x-learnt", &[b'a'; 3000]),
                ];
                let block = block.concat();
                let answers = times(2000, || {
                    let id = raw.next();
                    let ours = [0, 4096, u32::MAX, 0].map(|size| (set::HEADER_TABLE_SIZE, size));
                    let ours = frames::settings(&ours);
                    let _ = raw.send(&[ours, frames::headers(id, flag::END_STREAM, &block)].concat());
                    raw.answer(id)
                });
                format!("{answers}; {}", raw.fate())
            },
        ),
        Case::new("H2-13", "100,000 SETTINGS", "all answered; open", |scene| {
            let mut raw = scene.open();
            raw.flood(&frames::settings(&[(set::INITIAL_WINDOW_SIZE, 1000)]).repeat(BATCH), FLOOD / BATCH);
            // One belongs to the greeting.
            let all = raw.wait(DEADLINE, |heard| heard.settings_acks == FLOOD + 1);
            format!("{}; {}", if all { "all answered" } else { "not all answered" }, raw.fate())
        }),
        Case::new("H2-13", "SETTINGS without end, answers not read", "no longer read", |scene| {
            unread(scene, &frames::settings(&[(set::INITIAL_WINDOW_SIZE, 1000)]))
        }),
        Case::new(
            "H2-13",
            "20,000 SETTINGS that change the windows of 100 running streams",
            "all answered; open",
            |scene| {
                const CHANGES: usize = 20_000;
                let mut raw = scene.open();
                let streams: Vec<u8> =
                    (0..100).flat_map(|_| request(raw.next(), &CHAT, &body(&ask("silent")))).collect();
                let _ = raw.send(&streams);
                scene.silent.wait_requests(100);
                let change = [1000, 2000].map(|size| frames::settings(&[(set::INITIAL_WINDOW_SIZE, size)]));
                raw.flood(&change.concat().repeat(BATCH / 2), CHANGES / BATCH);
                let all = raw.wait(DEADLINE, |heard| heard.settings_acks == CHANGES + 1);
                format!("{}; {}", if all { "all answered" } else { "not all answered" }, raw.fate())
            },
        )
        .growth(16 * 1024),
        Case::new("H2-14", "100,000 PING", "all answered; open", |scene| {
            let mut raw = scene.open();
            raw.flood(&frames::ping(*b"abcdefgh").repeat(BATCH), FLOOD / BATCH);
            let all = raw.wait(DEADLINE, |heard| heard.pongs == FLOOD);
            format!("{}; {}", if all { "all answered" } else { "not all answered" }, raw.fate())
        }),
        Case::new("H2-14", "PING without end, answers not read", "no longer read", |scene| {
            unread(scene, &frames::ping(*b"abcdefgh"))
        }),
        Case::new("H2-15", "100 empty DATA frames", "200; open", |scene| empty_data(scene, EMPTY_DATA)),
        Case::new(
            "H2-15",
            "101 empty DATA frames",
            "no answer; GOAWAY ENHANCE_YOUR_CALM (too_many_data_frames) and closed",
            |scene| empty_data(scene, EMPTY_DATA + 1),
        ),
        Case::new(
            "H2-16",
            "a body of 2 KiB in DATA frames of 1 byte, and one byte more than the limit",
            "200; 413 request_too_large; open",
            |scene| {
                let mut raw = scene.open();
                let text = body(&format!("{:2048}", ask("general")));
                let fits = drip(&mut raw, &text);
                let more = drip(&mut raw, &[text, vec![b' ']].concat());
                format!("{fits}; {more}; {}", raw.fate())
            },
        )
        .with(|gateway| gateway.max_body("2KiB")),
        Case::new(
            "H2-17",
            "DATA frames of 1 byte without end, on a stream that was refused",
            "401 invalid_api_key; GOAWAY ENHANCE_YOUR_CALM (too_many_data_frames) and closed",
            |scene| {
                let mut raw = scene.open();
                let id = raw.next();
                let stranger = with(&CHAT, "authorization", "Bearer bn-nobody");
                let _ = raw.send(&frames::headers(id, flag::NONE, &frames::block(&stranger)));
                raw.wait(DEADLINE, |heard| heard.streams.contains_key(&id));
                // As long as the gateway reads on, so that its refusal arrives, and a little more.
                for _ in 0..1000 {
                    if raw.send(&frames::data(id, b"x").repeat(20)).is_err() {
                        break;
                    }
                    thread::sleep(Duration::from_millis(3));
                }
                format!("{}; {}", raw.answer(id), raw.fate())
            },
        ),
        Case::new("H2-18", "100,000 RST_STREAM for a stream that is over", "open; 200", |scene| {
            let mut raw = scene.open();
            let id = raw.ask(&MODELS, b"");
            raw.answer(id);
            raw.flood(&frames::reset(id, code::CANCEL).repeat(BATCH), FLOOD / BATCH);
            let fate = raw.fate();
            let id = raw.ask(&MODELS, b"");
            format!("{fate}; {}", raw.answer(id))
        }),
        Case::new("H2-18", "100,000 PRIORITY", "open; 200", |scene| {
            flooded(scene, &frames::priority(1001, 0, 16))
        }),
        Case::new("H2-18", "PRIORITY for 100,000 streams that nobody opened", "open; 200", |scene| {
            let mut raw = scene.open();
            for first in (0..FLOOD).step_by(BATCH) {
                let ids = (first..first + BATCH).map(|n| u32::try_from(2 * n + 10_001).expect("a stream"));
                let bytes: Vec<u8> = ids.flat_map(|id| frames::priority(id, 0, 16)).collect();
                let _ = raw.send(&bytes);
            }
            let fate = raw.fate();
            let id = raw.ask(&MODELS, b"");
            format!("{fate}; {}", raw.answer(id))
        }),
        Case::new("H2-18", "100,000 PRIORITY_UPDATE", "open; 200", |scene| {
            let update = [&1_u32.to_be_bytes()[..], b"u=1, i"].concat();
            flooded(scene, &frames::frame(kind::PRIORITY_UPDATE, flag::NONE, 0, &update))
        }),
    ]
}

/// A head that never ends.
fn continuations(scene: &Scene, payload: &[u8]) -> String {
    let mut raw = scene.open();
    let id = raw.next();
    let _ = raw.send(&frames::frame(kind::HEADERS, flag::NONE, id, &frames::block(&MODELS)));
    raw.flood(&frames::frame(kind::CONTINUATION, flag::NONE, id, payload), 10_000);
    raw.ended(DEADLINE)
}

/// A head whose fields are learnt first.
fn bombed(scene: &Scene, bomb: &[u8]) -> String {
    let mut raw = scene.open();
    let id = raw.next();
    let piece = [frames::learnt(b"x-bomb", &[b'a'; 4000]), bomb.to_vec()].concat();
    let _ = raw.send(&frames::headers(id, flag::END_STREAM, &block_with(&MODELS, &piece)));
    raw.ended(DEADLINE)
}

fn empty_data(scene: &Scene, count: usize) -> String {
    let mut raw = scene.open();
    let id = raw.next();
    let bytes = [
        frames::headers(id, flag::NONE, &frames::block(&CHAT)),
        frames::data(id, b"").repeat(count),
        frames::last_data(id, &body(&ask("general"))),
    ];
    let _ = raw.send(&bytes.concat());
    format!("{}; {}", raw.answer(id), raw.fate())
}

/// A body byte by byte, no faster than the gateway reads.
fn drip(raw: &mut Raw, body: &[u8]) -> String {
    let id = raw.next();
    let _ = raw.send(&frames::headers(id, flag::NONE, &frames::block(&CHAT)));
    for piece in body.chunks(20) {
        let bytes: Vec<u8> = piece.iter().flat_map(|byte| frames::data(id, &[*byte])).collect();
        // A gateway that is slow to read is not what is tried: the next come when these are in.
        let pongs = raw.heard().pongs;
        let ping = frames::ping(*b"are they");
        if raw.send(&bytes).is_err() || raw.send(&ping).is_err() {
            break;
        }
        raw.wait(DEADLINE, |heard| heard.pongs > pongs || heard.end.is_some());
        thread::sleep(Duration::from_millis(2));
    }
    let _ = raw.send(&frames::last_data(id, b""));
    raw.answer(id)
}

/// A flood of frames that nobody has to answer, then a question.
fn flooded(scene: &Scene, frame: &[u8]) -> String {
    let mut raw = scene.open();
    raw.flood(&frame.repeat(BATCH), FLOOD / BATCH);
    let fate = raw.fate();
    let id = raw.ask(&MODELS, b"");
    format!("{fate}; {}", raw.answer(id))
}

/// A flood that wants answers which nobody reads: sooner or later the gateway has to stop reading.
fn unread(scene: &Scene, frame: &[u8]) -> String {
    let mut raw = scene.deaf(&[]);
    raw.patience(PATIENCE);
    let many = frame.repeat(BATCH);
    let sent = raw.flood(&many, 20 * FLOOD / BATCH);
    // What waits in the kernel is not the gateway's.
    if sent < 20 * FLOOD / BATCH { "no longer read".to_owned() } else { "read without end".to_owned() }
}

/// Does something so often, and says what came of it: the same every time, or each once.
fn times(count: usize, mut work: impl FnMut() -> String) -> String {
    let mut words: Vec<String> = (0..count).map(|_| work()).collect();
    words.sort();
    words.dedup();
    format!("{count} times {}", words.join(" or "))
}
