//! Section 6: what each type of frame may hold.

use std::time::Duration;

use super::super::asks::{CHAT, MODELS, body};
use super::super::frames::{self, MAX_FRAME, MAX_WINDOW, code, flag, kind, set};
use super::super::scene::Scene;
use super::{PROTOCOL, Rule, after_request, begin, both, connection, rule, stream};
use crate::kit::DEADLINE;
use crate::kit::client::{ask, ask_stream};

/// What was not sent by then is not sent.
const QUIET: Duration = Duration::from_millis(250);

pub fn rules() -> Vec<Rule> {
    [bodies(), heads(), small(), settings(), windows()].into_iter().flatten().collect()
}

fn bodies() -> Vec<Rule> {
    vec![
        rule("6.1", "DATA on stream 0", PROTOCOL, |scene| connection(scene, &frames::data(0, b"x"))),
        rule("6.1", "DATA with padding", "200; open", |scene| {
            stream(scene, |id| [begin(id), padded(id, 200, 200)].concat())
        }),
        rule("6.1", "DATA with more padding than there is", PROTOCOL, |scene| {
            stream(scene, |id| {
                let flags = flag::PADDED | flag::END_STREAM;
                [begin(id), frames::frame(kind::DATA, flags, id, &[5, 0, 0, 0, 0])].concat()
            })
        }),
        rule("6.1", "DATA that is padded and has no length of it", PROTOCOL, |scene| {
            stream(scene, |id| [begin(id), frames::frame(kind::DATA, flag::PADDED, id, &[])].concat())
        }),
    ]
}

fn heads() -> Vec<Rule> {
    vec![
        rule("6.2", "HEADERS with padding and priority", "200; open", |scene| {
            stream(scene, |id| {
                let payload = [&[10][..], &[0, 0, 0, 0, 255], &frames::block(&MODELS), &[0; 10]].concat();
                let flags = flag::END_STREAM | flag::END_HEADERS | flag::PADDED | flag::PRIORITY;
                frames::frame(kind::HEADERS, flags, id, &payload)
            })
        }),
        rule("6.2", "HEADERS with more padding than there is", PROTOCOL, |scene| {
            stream(scene, |id| {
                let payload = [&[255][..], &frames::block(&MODELS[..2])].concat();
                frames::frame(kind::HEADERS, flag::END_HEADERS | flag::PADDED, id, &payload)
            })
        }),
        rule("6.6", "PUSH_PROMISE from a client", PROTOCOL, |scene| {
            after_request(scene, |id| {
                let payload = [&(id + 1).to_be_bytes()[..], &frames::block(&MODELS)].concat();
                frames::frame(kind::PUSH_PROMISE, flag::END_HEADERS, id, &payload)
            })
        }),
    ]
}

fn small() -> Vec<Rule> {
    vec![
        rule("6.3", "PRIORITY on stream 0", PROTOCOL, |scene| connection(scene, &frames::priority(0, 1, 1))),
        rule("6.4", "RST_STREAM on stream 0", PROTOCOL, |scene| connection(scene, &frames::reset(0, 8))),
        rule("6.4", "RST_STREAM of 3 bytes", PROTOCOL, |scene| {
            stream(scene, |id| [begin(id), frames::frame(kind::RST_STREAM, 0, id, &[0; 3])].concat())
        })
        .letter("FRAME_SIZE_ERROR"),
        rule("6.7", "PING, and its answer", "the same 8 bytes", |scene| {
            let mut raw = scene.open();
            let _ = raw.send(&frames::ping(*b"8 bytes!"));
            let same = raw.wait(DEADLINE, |heard| heard.last_pong == *b"8 bytes!");
            if same { "the same 8 bytes".to_owned() } else { format!("{:?}", raw.heard().last_pong) }
        }),
        rule("6.7", "an answer to a PING that nobody sent", "no answer; open", |scene| {
            let mut raw = scene.open();
            let _ = raw.send(&frames::pong(*b"unasked!"));
            let fate = raw.fate();
            let answer = if raw.heard().pongs == 1 { "no answer" } else { "AN ANSWER" };
            format!("{answer}; {fate}")
        }),
        rule("6.7", "PING on a stream", PROTOCOL, |scene| {
            connection(scene, &frames::frame(kind::PING, 0, 1, &[0; 8]))
        }),
        rule("6.7", "PING of 7 bytes", PROTOCOL, |scene| {
            connection(scene, &frames::frame(kind::PING, 0, 0, &[0; 7]))
        })
        .letter("FRAME_SIZE_ERROR"),
        rule("6.8", "GOAWAY on a stream", PROTOCOL, |scene| {
            connection(scene, &frames::frame(kind::GOAWAY, 0, 1, &[0; 8]))
        }),
        rule("6.8", "GOAWAY while a stream runs", "200; GOAWAY NO_ERROR and closed", |scene| {
            let mut raw = scene.open();
            let id = raw.ask(&CHAT, &body(&ask("general")));
            let _ = raw.send(&frames::goaway(0, code::NO_ERROR));
            let answer = raw.answer(id);
            format!("{answer}; {}", raw.ended(DEADLINE))
        }),
    ]
}

fn settings() -> Vec<Rule> {
    vec![
        rule("6.5", "SETTINGS, and their answer", "answered; open", |scene| {
            let mut raw = scene.open();
            let answered = raw.wait(DEADLINE, |heard| heard.settings_acks == 1);
            format!("{}; {}", if answered { "answered" } else { "not answered" }, raw.fate())
        }),
        rule("6.5", "an answer to SETTINGS with a payload", PROTOCOL, |scene| {
            connection(scene, &frames::frame(kind::SETTINGS, flag::ACK, 0, &[0; 6]))
        })
        .letter("FRAME_SIZE_ERROR"),
        rule("6.5", "an answer to SETTINGS that nobody sent", PROTOCOL, |scene| {
            connection(scene, &frames::settings_ack())
        }),
        rule("6.5", "SETTINGS on a stream", PROTOCOL, |scene| {
            connection(scene, &frames::frame(kind::SETTINGS, 0, 1, &[]))
        }),
        rule("6.5", "SETTINGS of 5 bytes", PROTOCOL, |scene| {
            connection(scene, &frames::frame(kind::SETTINGS, 0, 0, &[0; 5]))
        })
        .letter("FRAME_SIZE_ERROR"),
        rule("6.5.2", "ENABLE_PUSH of 2", PROTOCOL, |scene| set_to(scene, set::ENABLE_PUSH, 2)),
        rule("6.5.2", "INITIAL_WINDOW_SIZE of 2^31", PROTOCOL, |scene| {
            set_to(scene, set::INITIAL_WINDOW_SIZE, MAX_WINDOW + 1)
        })
        .letter("FLOW_CONTROL_ERROR"),
        rule("6.5.2", "MAX_FRAME_SIZE of 16,383", PROTOCOL, |scene| {
            set_to(scene, set::MAX_FRAME_SIZE, 16_383)
        }),
        rule("6.5.2", "MAX_FRAME_SIZE of 2^24", PROTOCOL, |scene| {
            set_to(scene, set::MAX_FRAME_SIZE, 1 << 24)
        }),
        rule("6.5.2", "settings that nobody knows", "open", |scene| set_to(scene, 0xfefe, u32::MAX)),
        rule("6.5.2", "no streams and no heads for the server to send", "200; open", |scene| {
            let settings = [(set::MAX_CONCURRENT_STREAMS, 0), (set::MAX_HEADER_LIST_SIZE, 1)];
            let mut raw = scene.open_with(&settings);
            let id = raw.ask(&MODELS, b"");
            both(&mut raw, id)
        }),
    ]
}

fn windows() -> Vec<Rule> {
    vec![
        rule("6.9", "WINDOW_UPDATE of 0 for the connection", PROTOCOL, |scene| {
            connection(scene, &frames::window_update(0, 0))
        }),
        rule("6.9", "WINDOW_UPDATE of 3 bytes", PROTOCOL, |scene| {
            connection(scene, &frames::frame(kind::WINDOW_UPDATE, 0, 0, &[0; 3]))
        })
        .letter("FRAME_SIZE_ERROR"),
        rule(
            "6.9.1",
            "a connection's window beyond 2^31-1",
            "GOAWAY FLOW_CONTROL_ERROR and closed",
            |scene| connection(scene, &frames::window_update(0, MAX_WINDOW)),
        ),
        rule("6.9.1", "a stream's window beyond 2^31-1", "reset FLOW_CONTROL_ERROR; open", |scene| {
            stream(scene, |id| [super::silent(id), frames::window_update(id, MAX_WINDOW)].concat())
        }),
        rule("6.9.2", "a window of 1 byte: no more comes", "1 byte, then 2; open", |scene| {
            let mut raw = scene.open_with(&[(set::INITIAL_WINDOW_SIZE, 1)]);
            let id = raw.ask(&MODELS, b"");
            let come = |bytes: usize| {
                raw.wait(DEADLINE, |heard| {
                    heard.streams.get(&id).is_some_and(|told| told.data.len() == bytes)
                })
            };
            let first = come(1) && !raw.wait(QUIET, |heard| heard.streams[&id].data.len() > 1);
            let _ = raw.send(&frames::window_update(id, 1));
            let come = |bytes: usize| {
                raw.wait(DEADLINE, |heard| {
                    heard.streams.get(&id).is_some_and(|told| told.data.len() == bytes)
                })
            };
            let second = come(2) && !raw.wait(QUIET, |heard| heard.streams[&id].data.len() > 2);
            let words = if first && second { "1 byte, then 2" } else { "something else" };
            format!("{words}; {}", raw.fate())
        }),
        rule("6.9.2", "a window that SETTINGS make negative, and open again", "200; open", |scene| {
            let mut raw = scene.open_with(&[(set::INITIAL_WINDOW_SIZE, 10)]);
            let id = raw.ask(&CHAT, &body(&ask_stream("general")));
            raw.wait(DEADLINE, |heard| heard.streams.get(&id).is_some_and(|told| told.data.len() == 10));
            let _ = raw.send(&frames::settings(&[(set::INITIAL_WINDOW_SIZE, 0)]));
            let _ = raw.send(&frames::window_update(id, 10));
            let _ = raw.send(&frames::settings(&[(set::INITIAL_WINDOW_SIZE, 100_000)]));
            both(&mut raw, id)
        }),
        rule(
            "6.9.2",
            "INITIAL_WINDOW_SIZE that lifts a stream's window beyond 2^31-1",
            "GOAWAY FLOW_CONTROL_ERROR and closed",
            |scene| {
                let mut raw = scene.open();
                let id = raw.ask(&CHAT, &body(&ask("silent")));
                let _ = raw.send(&frames::window_update(id, MAX_WINDOW - frames::FIRST_WINDOW));
                let _ = raw.send(&frames::settings(&[(set::INITIAL_WINDOW_SIZE, frames::FIRST_WINDOW + 1)]));
                raw.fate()
            },
        ),
        rule("6.9", "a body that is 1 byte longer than the window", "FLOW_CONTROL_ERROR", |scene| {
            // Unless the gateway has read some of it and said so first: then again.
            let tries = (0..20).map(|_| {
                stream(scene, |id| [begin(id), frames::data(id, &[b' '; MAX_FRAME]).repeat(4)].concat())
            });
            let found = tries.into_iter().find(|words| words.contains("FLOW_CONTROL_ERROR"));
            found.map_or("never refused", |_| "FLOW_CONTROL_ERROR").to_owned()
        }),
        rule("6.9", "a body that is four times as long as the window, as it opens", "200; open", |scene| {
            let mut raw = scene.open();
            let text = body(&(ask("general") + &" ".repeat(16 * MAX_FRAME)));
            let id = raw.next();
            let _ = raw.send(&begin(id));
            let mut sent = 0;
            for piece in text.chunks(8192) {
                sent += piece.len();
                let open =
                    |heard: &super::super::heard::Heard| heard.window(id) >= sent && heard.window(0) >= sent;
                if !raw.wait(DEADLINE, open) {
                    break;
                }
                let _ = raw.send(&frames::data(id, piece));
            }
            let _ = raw.send(&frames::last_data(id, b""));
            both(&mut raw, id)
        }),
        rule("6.9", "padding that is four times as long as the window", "200; open", |scene| {
            let mut raw = scene.open();
            let id = raw.next();
            let _ = raw.send(&begin(id));
            let mut sent = 0;
            for _ in 0..4 * 256 {
                sent += 1 + 300 + 255;
                let open =
                    |heard: &super::super::heard::Heard| heard.window(id) >= sent && heard.window(0) >= sent;
                if !raw.wait(DEADLINE, open) {
                    break;
                }
                let payload = [&[255][..], &[b' '; 300], &[0; 255]].concat();
                let _ = raw.send(&frames::frame(kind::DATA, flag::PADDED, id, &payload));
            }
            let _ = raw.send(&frames::last_data(id, &body(&ask("general"))));
            both(&mut raw, id)
        }),
    ]
}

/// The end of a chat request, with padding.
fn padded(id: u32, says: u8, has: usize) -> Vec<u8> {
    let payload = [&[says][..], &body(&ask("general")), &vec![0; has]].concat();
    frames::frame(kind::DATA, flag::PADDED | flag::END_STREAM, id, &payload)
}

fn set_to(scene: &Scene, name: u16, value: u32) -> String {
    connection(scene, &frames::settings(&[(name, value)]))
}
