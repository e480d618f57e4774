//! Section 8: what makes a request (what would be something else in HTTP/1.1 is among the abuses).

use super::super::asks::{CHAT, MODELS, block_with, body, with};
use super::super::frames::{self, flag};
use super::super::scene::Scene;
use super::{Rule, begin, rule, stream};
use crate::kit::client::ask;

const REFUSED: &str = "reset PROTOCOL_ERROR; open";

pub fn rules() -> Vec<Rule> {
    vec![
        rule("8.1", "a request in many frames of DATA", "200; open", |scene| {
            stream(scene, |id| {
                let text = body(&ask("general"));
                let data: Vec<u8> = text.chunks(10).flat_map(|piece| frames::data(id, piece)).collect();
                [begin(id), data, frames::last_data(id, b"")].concat()
            })
        }),
        rule("8.1", "HEAD: no body", "200, 0 bytes; open", |scene| {
            let mut raw = scene.open();
            let id = raw.ask(&with(&MODELS, ":method", "HEAD"), b"");
            let answer = raw.answer(id);
            let bytes = raw.heard().streams.get(&id).map_or(0, |told| told.data.len());
            format!("{answer}, {bytes} bytes; {}", raw.fate())
        }),
        rule("8.1.1", "a length, and no body", REFUSED, |scene| {
            fields(scene, &frames::block(&with(&MODELS, "content-length", "5")))
        }),
        rule("8.2.2", "te: trailers", "200; open", |scene| {
            fields(scene, &frames::block(&with(&MODELS, "te", "trailers")))
        }),
        rule("8.2.3", "a cookie in pieces", "200; open", |scene| {
            fields(scene, &block_with(&with(&MODELS, "cookie", "a=b"), &frames::field(b"cookie", b"c=d")))
        }),
        rule("8.3", "an unknown field with a colon", "GOAWAY PROTOCOL_ERROR and closed", |scene| {
            fields(scene, &frames::block(&with(&MODELS, ":unknown", "x")))
        }),
        rule("8.3", ":status in a request", REFUSED, |scene| {
            fields(scene, &frames::block(&with(&MODELS, ":status", "200")))
        }),
        rule("8.3", "a field with a colon after one without", REFUSED, |scene| {
            let (path, rest) = (MODELS[2], [MODELS[0], MODELS[1], MODELS[3], MODELS[4]]);
            fields(scene, &block_with(&rest, &frames::field(path.0.as_bytes(), path.1.as_bytes())))
        }),
        rule("8.3.1", "no :method", REFUSED, |scene| without(scene, ":method")),
        rule("8.3.1", "no :scheme", REFUSED, |scene| without(scene, ":scheme")),
        rule("8.3.1", "no :path", REFUSED, |scene| without(scene, ":path")),
        rule("8.3.1", "an empty :path", REFUSED, |scene| changed(scene, ":path", "")),
        rule("8.3.1", "no :authority, but host", "200; open", |scene| {
            let mut fields = MODELS;
            fields[3] = ("host", "gateway");
            // Fields with a colon come first.
            fields.swap(3, 4);
            self::fields(scene, &frames::block(&fields))
        }),
        rule("8.3.1", ":authority with a user", "400; open", |scene| {
            changed(scene, ":authority", "user@gateway")
        }),
        rule("8.3.1", ":path that is a whole URL", REFUSED, |scene| {
            changed(scene, ":path", "http://elsewhere/v1/models")
        }),
        rule("8.3.1", ":path with a fragment", "200; open", |scene| changed(scene, ":path", "/v1/models#x"))
            .letter("a malformed request"),
        rule("8.3.1", "a scheme that nobody knows", "200; open", |scene| changed(scene, ":scheme", "gopher")),
        rule("8.3.1", "OPTIONS *", "404 not_found; open", |scene| {
            let block = frames::block(&with(&with(&MODELS, ":method", "OPTIONS"), ":path", "*"));
            fields(scene, &block)
        }),
        rule("8.5", "CONNECT", "405 method_not_allowed; open", |scene| {
            let connect = [(":method", "CONNECT"), (":authority", "elsewhere:443"), CHAT[4]];
            fields(scene, &frames::block(&connect))
        }),
        rule("8.5", "CONNECT with :path", REFUSED, |scene| changed(scene, ":method", "CONNECT")),
        rule("8.5", "CONNECT with :protocol (RFC 8441)", REFUSED, |scene| {
            let connect = with(&with(&MODELS, ":method", "CONNECT"), ":protocol", "websocket");
            let mut connect = connect;
            let last = connect.len() - 1;
            connect.swap(4, last);
            fields(scene, &frames::block(&connect))
        }),
        rule("9.1", "500 requests, one after the other", "500 times 200; open", |scene| {
            let mut raw = scene.open();
            let good = (0..500)
                .filter(|_| {
                    let id = raw.ask(&MODELS, b"");
                    raw.answer(id) == "200"
                })
                .count();
            format!("{good} times 200; {}", raw.fate())
        }),
    ]
}

/// A request without a body that has this head.
fn fields(scene: &Scene, block: &[u8]) -> String {
    stream(scene, |id| frames::headers(id, flag::END_STREAM, block))
}

fn without(scene: &Scene, name: &str) -> String {
    let rest: Vec<(&str, &str)> = MODELS.into_iter().filter(|(known, _)| *known != name).collect();
    fields(scene, &frames::block(&rest))
}

fn changed(scene: &Scene, name: &'static str, value: &'static str) -> String {
    fields(scene, &frames::block(&with(&MODELS, name, value)))
}
