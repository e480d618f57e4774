//! Invented streams: random answers in random spellings, with secrets wherever a backing model could
//! put one. No secret may come out, and every text must.

use std::fmt::Write as _;

use byname::wire::completion::Expose;
use byname::wire::sse::UsageWanted;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};
use serde_json::{Value, json};

use crate::{EXPOSE_ALL, rewriter, run, strict};

/// Stands in every place that we do not pass on; the letters occur nowhere else.
const SECRET: &str = "QXZ";

#[derive(Debug, Clone)]
struct Delta {
    choice: u64,
    text: Text,
    call: u64,
    logprobs: bool,
    spelling: Spelling,
    noise: Vec<Noise>,
}

#[derive(Debug, Clone)]
enum Text {
    Content(String),
    Parts(String),
    Refusal(String),
    Reasoning(String),
    Arguments(String),
    Role,
}

/// How the JSON is written.
#[derive(Debug, Clone, Copy)]
enum Spelling {
    Compact,
    Pretty,
    Ascii,
}

/// What stands before an event.
#[derive(Debug, Clone, Copy)]
enum Noise {
    Comment,
    Id,
    Name,
    Retry,
    Unknown,
    Ping,
    FilterChunk,
}

fn deltas() -> impl Strategy<Value = Vec<Delta>> {
    // Control characters, quotes, wide letters; never the letters of the secret.
    let text = || "[a-pあ-ん要点😀\\u{0}-\\u{1f}\"\\\\/\\u{7f}\\u{2028}]{1,12}";
    let told = prop_oneof![
        text().prop_map(Text::Content),
        text().prop_map(Text::Parts),
        text().prop_map(Text::Refusal),
        text().prop_map(Text::Reasoning),
        text().prop_map(Text::Arguments),
        Just(Text::Role),
    ];
    let spelling = select(vec![Spelling::Compact, Spelling::Pretty, Spelling::Ascii]);
    let noise = select(vec![
        Noise::Comment,
        Noise::Id,
        Noise::Name,
        Noise::Retry,
        Noise::Unknown,
        Noise::Ping,
        Noise::FilterChunk,
    ]);
    let delta = (0..3u64, told, 0..4u64, any::<bool>(), spelling, vec(noise, 0..3));
    let delta = delta.prop_map(|(choice, text, call, logprobs, spelling, noise)| Delta {
        choice,
        text,
        call,
        logprobs,
        spelling,
        noise,
    });
    vec(delta, 1..8)
}

/// The chunk, with a secret in every member that is not on the list.
fn chunk(delta: &Delta) -> Value {
    let said = match &delta.text {
        Text::Content(text) => json!({"content": text, "audio": SECRET}),
        Text::Parts(text) => json!({"content": [
            {"type": "image_url", "text": SECRET},
            {"type": "text", "text": text, "annotations": [SECRET]},
        ]}),
        Text::Refusal(text) => json!({"refusal": text, SECRET: SECRET}),
        Text::Reasoning(text) => json!({"reasoning": text, "reasoning_details": [{"text": SECRET}]}),
        Text::Arguments(text) => json!({"tool_calls": [{
            "index": delta.call,
            "id": format!("{SECRET}-{}", delta.call),
            "type": SECRET,
            "extra_content": {"signature": SECRET},
            "function": {"name": "f", "arguments": text, "strict": SECRET},
        }]}),
        Text::Role => json!({"role": SECRET, "content": ""}),
    };
    let logprobs = json!({"content": [{
        "token": "a", "logprob": -0.5, "bytes": [97], "id": SECRET,
        "top_logprobs": [{"token": "b", "logprob": -1, SECRET: SECRET}],
    }], "meta": SECRET});
    let choice = json!({
        "index": delta.choice,
        "delta": said,
        "finish_reason": null,
        "logprobs": if delta.logprobs { logprobs } else { Value::Null },
        "native_finish_reason": SECRET,
        "content_filter_results": {SECRET: {"severity": SECRET}},
    });
    json!({
        "id": SECRET,
        "object": SECRET,
        "created": SECRET,
        "model": SECRET,
        "provider": {"name": [SECRET, {"deep": SECRET}]},
        "system_fingerprint": SECRET,
        "choices": [choice],
        "usage": {"prompt_tokens": 1, "completion_tokens": 2, "cost": SECRET,
            "prompt_tokens_details": {"cached_tokens": 1, "rack": SECRET}},
        "x_groq": {"id": SECRET},
    })
}

fn spell(value: &Value, spelling: Spelling) -> String {
    match spelling {
        Spelling::Compact => value.to_string(),
        Spelling::Pretty => format!("{value:#}"),
        Spelling::Ascii => value.to_string().chars().fold(String::new(), |mut ascii, letter| {
            match letter {
                ' '..='~' => ascii.push(letter),
                _ => letter.encode_utf16(&mut [0; 2]).iter().for_each(|unit| {
                    write!(ascii, "\\u{unit:04X}").expect("a String takes everything");
                }),
            }
            ascii
        }),
    }
}

fn event(json: &str) -> String {
    json.lines().map(|line| format!("data: {line}\n")).collect::<String>() + "\n"
}

fn stream(deltas: &[Delta]) -> String {
    let mut stream = String::new();
    for delta in deltas {
        let mut ahead = String::new();
        for noise in &delta.noise {
            match noise {
                Noise::Comment => ahead += &format!(": {SECRET}\n"),
                Noise::Id => ahead += &format!("id: {SECRET}\n"),
                Noise::Name => ahead += &format!("event: {SECRET}\n"),
                Noise::Retry => ahead += &format!("retry:{SECRET}\n"),
                Noise::Unknown => ahead += &format!("{SECRET}: {SECRET}\n{SECRET}\n"),
                Noise::Ping => stream += &format!(": {SECRET}\n\nevent: {SECRET}\ndata: {{}}\n\n"),
                Noise::FilterChunk => {
                    let chunk = json!({"choices": [], "model": "", "prompt_filter_results": [SECRET]});
                    stream += &event(&chunk.to_string());
                }
            }
        }
        stream += &ahead;
        stream += &event(&spell(&chunk(delta), delta.spelling));
    }
    let end = json!({"model": SECRET, "choices": [{"index": 0, "delta": {}, "finish_reason": "stop", "stop_reason": SECRET}]});
    stream + &event(&end.to_string()) + "data: [DONE]\n\n"
}

/// The texts under one name, in order, from what was sent or from what came out.
fn sent(deltas: &[Delta], pick: fn(&Text) -> Option<&String>) -> String {
    deltas.iter().filter_map(|delta| pick(&delta.text)).cloned().collect()
}

fn came(chunks: &[Value], pointer: &str) -> String {
    let choices = chunks.iter().filter_map(|chunk| chunk.get("choices")?.as_array()).flatten();
    choices.filter_map(|choice| choice.pointer(pointer)?.as_str()).collect()
}

/// The output without the ids of calls, whose letters are as good as random.
fn without_ids(output: &str) -> String {
    let cut = |part: &str| part.split_once('"').map_or(String::new(), |(_, rest)| rest.to_owned());
    output
        .split("\"id\":\"call_")
        .enumerate()
        .map(|(n, part)| if n == 0 { part.to_owned() } else { cut(part) })
        .collect()
}

proptest! {
    #[test]
    fn no_secret_comes_out_and_every_text_does(
        deltas in deltas(),
        everything in any::<bool>(),
        ending in select(vec!["\n", "\r\n", "\r"]),
        cuts in vec(any::<Index>(), 0..6),
    ) {
        let (usage, expose) = if everything {
            (UsageWanted::Yes, EXPOSE_ALL)
        } else {
            (UsageWanted::No, Expose::default())
        };
        let stream = stream(&deltas).replace('\n', ending);
        let whole = run(rewriter(usage, expose), [stream.as_bytes()]);
        prop_assert_eq!(whole.verdict, Ok(()));
        prop_assert!(!without_ids(&whole.output).contains(SECRET), "{}", whole.output);
        prop_assert!(whole.output.ends_with("data: [DONE]\n\n"));

        let mut at: Vec<usize> = cuts.iter().map(|cut| cut.index(stream.len() + 1)).collect();
        at.extend([0, stream.len()]);
        at.sort_unstable();
        let pieces = at.windows(2).map(|pair| &stream.as_bytes()[pair[0]..pair[1]]);
        prop_assert_eq!(&run(rewriter(usage, expose), pieces), &whole);

        let chunks = strict::read(&whole.output, usage, expose).map_err(TestCaseError::fail)?;
        let content = sent(&deltas, |text| match text {
            Text::Content(text) | Text::Parts(text) => Some(text),
            Text::Refusal(_) | Text::Reasoning(_) | Text::Arguments(_) | Text::Role => None,
        });
        prop_assert_eq!(came(&chunks, "/delta/content"), content);
        let refusal = sent(&deltas, |text| if let Text::Refusal(text) = text { Some(text) } else { None });
        prop_assert_eq!(came(&chunks, "/delta/refusal"), refusal);
        let arguments = sent(&deltas, |text| if let Text::Arguments(text) = text { Some(text) } else { None });
        prop_assert_eq!(came(&chunks, "/delta/tool_calls/0/function/arguments"), arguments);
        let reasoning = sent(&deltas, |text| if let Text::Reasoning(text) = text { Some(text) } else { None });
        let shown = if everything { reasoning } else { String::new() };
        prop_assert_eq!(came(&chunks, "/delta/reasoning_content"), shown);
    }
}
