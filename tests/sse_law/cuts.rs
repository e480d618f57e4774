//! Every stream, in every line ending, cut in every way: into single bytes, into any two pieces, and,
//! where the stream is short, into any three.

use byname::wire::sse::{SseRewriter, UsageWanted};
use bytes::BytesMut;

use crate::{EXPOSE_ALL, MAX_EVENT, Outcome, rewriter, run, streams, voice};

/// Streams up to this size are cut into three: the number of ways grows with its square.
const SHORT: usize = 700;

fn with_line_ends(stream: &[u8], ending: &[u8]) -> Vec<u8> {
    stream.split(|byte| *byte == b'\n').collect::<Vec<_>>().join(ending)
}

fn fresh() -> SseRewriter {
    rewriter(UsageWanted::Yes, EXPOSE_ALL)
}

fn obeys_the_law(ending: &[u8]) {
    for (name, stream) in streams() {
        let whole = run(fresh(), [stream.as_slice()]);
        let stream = with_line_ends(&stream, ending);
        assert_eq!(run(fresh(), [stream.as_slice()]), whole, "{name}, uncut");
        assert_eq!(run(fresh(), stream.chunks(1)), whole, "{name}, byte by byte");
        for first in 0..=stream.len() {
            let (head, rest) = stream.split_at(first);
            assert_eq!(run(fresh(), [head, rest]), whole, "{name}, cut at {first}");
            if stream.len() <= SHORT {
                in_three(&name, head, rest, &whole);
            }
        }
    }
}

fn in_three(name: &str, head: &[u8], rest: &[u8], whole: &Outcome) {
    let mut out = BytesMut::with_capacity(whole.output.len());
    let voice = voice();
    for second in 1..rest.len() {
        let (middle, tail) = rest.split_at(second);
        let mut rewriter = SseRewriter::new(voice.clone(), UsageWanted::Yes, EXPOSE_ALL, MAX_EVENT);
        out.clear();
        let verdict = [head, middle, tail]
            .into_iter()
            .try_for_each(|piece| rewriter.push(piece, &mut out))
            .and_then(|()| rewriter.finish(&mut out));
        assert!(
            verdict == whole.verdict && out == whole.output.as_bytes(),
            "{name}, cut at {} and {second} later: {verdict:?}\n{}",
            head.len(),
            String::from_utf8_lossy(&out)
        );
    }
}

#[test]
fn the_cut_does_not_show_with_line_feeds() {
    obeys_the_law(b"\n");
}

#[test]
fn the_cut_does_not_show_with_both() {
    obeys_the_law(b"\r\n");
}

#[test]
fn the_cut_does_not_show_with_carriage_returns() {
    obeys_the_law(b"\r");
}
