//! The law of streams: what the client gets does not depend on how the network cut what came.
//!
//! Every file in `tests/data/sse` is a stream of some backing model, beside what must come of it.

#![expect(clippy::expect_used, clippy::panic, reason = "a test stops at the first surprise")]

mod cuts;
mod golden;
mod invention;
#[path = "../fuzz/laws/sse.rs"]
mod law;
mod seeds;
mod strict;

use byname::error::UpstreamFault;
use byname::wire::completion::Expose;
use byname::wire::sse::{SseRewriter, UsageWanted};
use byname::wire::voice::Voice;
use bytes::BytesMut;

/// No stream of these tests has a larger event.
const MAX_EVENT: usize = 1 << 16;

const EXPOSE_ALL: Expose = Expose { logprobs: true, reasoning: true, usage_details: true };

/// What came of a stream.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Outcome {
    output: String,
    verdict: Result<(), UpstreamFault>,
}

fn voice() -> Voice {
    Voice::new(strict::UUID, strict::CREATED, strict::ALIAS, strict::ids())
}

fn rewriter(usage: UsageWanted, expose: Expose) -> SseRewriter {
    SseRewriter::new(voice(), usage, expose, MAX_EVENT)
}

/// Feeds the pieces and ends the stream.
fn run<'a>(mut rewriter: SseRewriter, pieces: impl IntoIterator<Item = &'a [u8]>) -> Outcome {
    let mut out = BytesMut::new();
    let pushed = pieces.into_iter().try_for_each(|piece| rewriter.push(piece, &mut out));
    let verdict = pushed.and_then(|()| rewriter.finish(&mut out));
    Outcome { output: String::from_utf8(out.to_vec()).expect("the output is UTF-8"), verdict }
}

/// All streams, by name, in a fixed order. Their line ends are LF.
fn streams() -> Vec<(String, Vec<u8>)> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/sse");
    let mut streams: Vec<_> = std::fs::read_dir(folder)
        .expect("the streams are there")
        .map(|entry| entry.expect("the folder can be read").path())
        .filter(|path| path.extension().is_some_and(|kind| kind == "txt"))
        .map(|path| {
            let name = path.file_stem().and_then(|name| name.to_str()).expect("a plain name").to_owned();
            (name, std::fs::read(&path).expect("the stream can be read"))
        })
        .collect();
    streams.sort();
    assert!(streams.len() > 20);
    streams
}
