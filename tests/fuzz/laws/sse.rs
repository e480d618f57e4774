//! One input of the fuzzer: how to ask, where to cut, and a stream.

use byname::error::UpstreamFault;
use byname::wire::completion::Expose;
use byname::wire::sse::{SseRewriter, UsageWanted};
use byname::wire::voice::Voice;
use bytes::BytesMut;

use crate::strict;

/// The first byte says how to ask, the second how many cuts follow, two bytes each; the rest is the
/// stream. Asserts that the cuts do not show and that the output stands the strict reader.
pub(crate) fn holds(input: &[u8]) {
    let Some((&[manner, cuts], rest)) = input.split_first_chunk::<2>() else { return };
    let Some((cuts, stream)) = rest.split_at_checked(usize::from(cuts % 16) * 2) else { return };
    let bit = |n: u8| manner >> n & 1 == 1;
    let usage = if bit(0) { UsageWanted::Yes } else { UsageWanted::No };
    let expose = Expose { logprobs: bit(1), reasoning: bit(2), usage_details: bit(3) };
    let max_event = if bit(4) { 100 } else { 1 << 16 };
    let fresh = || {
        let voice = Voice::new(strict::UUID, strict::CREATED, strict::ALIAS, strict::ids());
        SseRewriter::new(voice, usage, expose, max_event)
    };

    let whole = run(fresh(), &[stream]);
    assert_eq!(run(fresh(), &pieces(stream, cuts)), whole, "the cuts show");
    assert_eq!(run(fresh(), &stream.chunks(1).collect::<Vec<_>>()), whole, "single bytes show");

    let output = std::str::from_utf8(&whole.0).expect("the output is UTF-8");
    if let Err(why) = strict::read(output, usage, expose) {
        panic!("{why}\n{output}");
    }
    assert_eq!(output.ends_with("data: [DONE]\n\n"), whole.1.is_ok(), "{output}");
}

fn run(mut rewriter: SseRewriter, pieces: &[&[u8]]) -> (Vec<u8>, Result<(), UpstreamFault>) {
    let mut out = BytesMut::new();
    let pushed = pieces.iter().try_for_each(|piece| rewriter.push(piece, &mut out));
    let verdict = pushed.and_then(|()| rewriter.finish(&mut out));
    // A stream that is over stays as it is.
    let len = out.len();
    assert_eq!(rewriter.push(b"data: {}\n\n", &mut out), verdict);
    assert_eq!(rewriter.finish(&mut out), verdict);
    assert_eq!(out.len(), len);
    (out.to_vec(), verdict)
}

fn pieces<'a>(mut stream: &'a [u8], cuts: &[u8]) -> Vec<&'a [u8]> {
    let mut pieces = Vec::new();
    for cut in cuts.chunks_exact(2) {
        let at = cut.iter().fold(0, |at, byte| at * 256 + usize::from(*byte));
        let (piece, rest) = stream.split_at(at % (stream.len() + 1));
        pieces.push(piece);
        stream = rest;
    }
    pieces.push(stream);
    pieces
}
