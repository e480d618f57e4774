//! What must come of each stream, byte for byte: in the `.out` file beside it, with the verdict as its
//! last line. `UPDATE=1 cargo test` writes the files anew; read the difference before you keep it.

use byname::wire::completion::Expose;
use byname::wire::sse::UsageWanted;

use crate::{EXPOSE_ALL, Outcome, rewriter, run, streams, strict};

/// The three ways of asking that each stream is answered in.
const WAYS: [(&str, UsageWanted, Expose); 3] = [
    ("plain", UsageWanted::No, Expose { logprobs: false, reasoning: false, usage_details: false }),
    ("usage", UsageWanted::Yes, Expose { logprobs: false, reasoning: false, usage_details: false }),
    ("everything", UsageWanted::Yes, EXPOSE_ALL),
];

fn told(outcome: &Outcome) -> String {
    match outcome.verdict {
        Ok(()) => format!("{}complete\n", outcome.output),
        Err(fault) => format!("{}{}\n", outcome.output, fault.label()),
    }
}

#[test]
fn every_stream_becomes_what_its_file_says() {
    for (name, stream) in streams() {
        let told: String = WAYS
            .iter()
            .map(|(way, usage, expose)| {
                let outcome = run(rewriter(*usage, *expose), [stream.as_slice()]);
                format!("== {way}\n{}", told(&outcome))
            })
            .collect();
        let path = format!("{}/tests/data/sse/{name}.out", env!("CARGO_MANIFEST_DIR"));
        if std::env::var_os("UPDATE").is_some() {
            std::fs::write(&path, &told).expect("the file can be written");
        }
        let expected = std::fs::read_to_string(&path).unwrap_or_default();
        assert_eq!(told, expected, "{name}");
    }
}

#[test]
fn every_output_stands_the_strict_reader() {
    for (name, stream) in streams() {
        for (way, usage, expose) in WAYS {
            let outcome = run(rewriter(usage, expose), [stream.as_slice()]);
            let read = strict::read(&outcome.output, usage, expose);
            assert!(read.is_ok(), "{name}, {way}: {read:?}");
            let ends = outcome.output.ends_with("data: [DONE]\n\n");
            assert_eq!(ends, outcome.verdict.is_ok(), "{name}, {way}");
        }
    }
}
