//! What a content policy costs: per KB of a prompt, and per chunk of a stream, without patterns, with ten, with a
//! thousand.
//!
//! `cargo bench --bench content` prints it as a table. A prompt is measured as the gate meets it, a JSON body
//! whose texts are found, decoded, folded and matched; beside it stands what checking that body costs anyway. A
//! chunk is measured as it goes through the rewriter of streams.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a bench that cannot measure stops")]

use std::hint::black_box;
use std::sync::Arc;
use std::time::{Duration, Instant};

use byname::names::PolicyName;
use byname::rules::content::{Allowed, Answers, Matcher, Pattern, Policy};
use byname::wire::completion::Expose;
use byname::wire::ids::{Ids, Root};
use byname::wire::request::check;
use byname::wire::sse::{SseRewriter, UsageWanted};
use byname::wire::voice::Voice;
use bytes::BytesMut;

#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// A KB of prompt with a thousand patterns, in microseconds.
const GOAL: f64 = 5.0;
/// The size of the prompts, in bytes.
const PROMPT: usize = 100_000;

const ENGLISH: &str = "The committee met on Tuesday to review the quarterly figures, and although the discussion was long, \
                       it ended with an agreement on most of the open questions. Nobody raised the matter of the budget. ";
const JAPANESE: &str = "委員会は火曜日に四半期の数字を確認するために集まり、議論は長引いたが、残された問題のほとんどについて合意に達した。\
                        予算の話をする人はいなかった。ガイドラインは来月までに改訂される。";
const CODE: &str = "fn total(items: &[Item]) -> u64 {\n    items.iter().map(|item| item.price * item.count).sum()\n}\n\n\
                    let path = \"C:\\\\data\\\\input.csv\";\n";

/// Words that no text here has, made like words.
fn words(count: usize) -> Vec<Pattern> {
    const FIRST: [&str; 10] = ["bar", "con", "de", "ex", "for", "in", "mon", "per", "re", "tra"];
    const MIDDLE: [&str; 10] = ["bo", "ci", "du", "fa", "gi", "lo", "mi", "pe", "su", "ta"];
    const LAST: [&str; 10] = ["ber", "dine", "gon", "lex", "mert", "nax", "pol", "rik", "sten", "zor"];
    let word = |n: usize| {
        format!("{}{}{}{}", FIRST[n % 10], MIDDLE[n / 10 % 10], MIDDLE[n / 1000 % 10], LAST[n / 100 % 10])
    };
    let kana = |n: usize| {
        format!("{}爆{}", ['危', '禁', '毒', '銃'][n % 4], char::from_u32(0x4e00 + n as u32).unwrap())
    };
    (0..count).map(|n| Pattern::word(&if n % 5 == 4 { kana(n) } else { word(n) }).unwrap()).collect()
}

/// Expressions as operators write them.
fn regexes(count: usize) -> Vec<Pattern> {
    let source = |n: usize| match n % 5 {
        0 => format!(r"\bproject\s?(falcon|eagle|kestrel){n}\b"),
        1 => format!(r"secret{n}.{{0,30}}plan"),
        2 => format!(r"(?i)api[_-]?key{n}\s{{0,3}}[:=]"),
        3 => format!(r"(customer|account|invoice) (no|number)\.? {n}\d{{4}}"),
        _ => format!(r"爆弾{n}の(作り方|材料)"),
    };
    (0..count).map(|n| Pattern::regex(&source(n)).unwrap()).collect()
}

/// Expressions that can begin with anything: the worst there is.
fn loose() -> Vec<Pattern> {
    let sources = [
        r"[a-z0-9._%+-]{1,64}@corp\.example",
        r"\b\d{3}-\d{2}-\d{4}\b",
        r"\b(?:\d{4}[ -]?){3}\d{4}\b",
        r"\w{1,20}ing the (king|queen)\b",
        r"[A-Z]{2}\d{2}(?: ?[A-Z0-9]{4}){3,6}",
        r"\b[13][a-km-zA-HJ-NP-Z1-9]{25,34}\b",
        r"\S{1,30}\.onion\b",
        r".{1,10}の爆弾",
        r"\b\d{1,3}\.\d{1,3}\.\d{1,3}\.\d{1,3}\b",
        r"[0-9a-f]{32,64}!",
    ];
    sources.iter().map(|source| Pattern::regex(source).unwrap()).collect()
}

/// A thousand expressions that begin alike.
fn alike(source: &str) -> Vec<Pattern> {
    (0..1_000).map(|n| Pattern::regex(&source.replace('@', &n.to_string())).unwrap()).collect()
}

/// A thousand that begin alike, and of which each goes on in a way of its own: what cannot be looked for together.
fn parting() -> Vec<Pattern> {
    (0..1_000).map(|n| Pattern::regex(&format!("secret.{{0,{}}}plan{n}!", n % 100 + 1)).unwrap()).collect()
}

fn one(source: &str) -> Vec<Pattern> {
    vec![Pattern::regex(source).unwrap()]
}

const EMAIL: &str = r"\b[A-Za-z0-9._%+-]{1,64}@[A-Za-z0-9.-]{1,100}\.[A-Za-z]{2,10}\b";

/// Patterns, and texts that nearly match them all the time.
fn hostile() -> Vec<(&'static str, Vec<Pattern>, &'static str)> {
    let secrets = "secret 1 secret plan secrets and secret plan 77 of secret secretsecret planning ";
    vec![
        ("1,000 words", words(1_000), "barbobo conciber dedu tramil "),
        (
            "1,000 expressions",
            regexes(1_000),
            "secret1 secret6 project eagle0x customer no 3x api_key2 爆弾4の secret11 secret16 ",
        ),
        (
            "1,000 of one beginning, which is there now and then",
            alike("api[_ -]?key.{0,20}service@q"),
            "Put your api_key into the file, and mind that the api key is not the password of the service. ",
        ),
        ("1,000 of one beginning, over and over", alike("secret.{0,30}plan@x"), "secret "),
        ("1,000 of one beginning, in many ways", alike("secret.{0,30}plan@x"), secrets),
        ("1,000 of one beginning that part behind it", parting(), secrets),
        (
            "10 expressions that begin with anything",
            loose(),
            "killing the the 192.168.1.x DE12 3456 a.b@corp. 123-45- ",
        ),
        ("an e-mail address", one(EMAIL), "a.a@a.a.a.a.aaaaaaaaaaaaaaaaa0"),
        (r".{1,500}bomb\b", one(r".{1,500}bomb\b"), "aabombs "),
    ]
}

fn policy(patterns: Vec<Pattern>) -> Policy {
    Policy {
        name: PolicyName::new("p"),
        denied: Some(Arc::new(Matcher::new(patterns).unwrap())),
        answers: Answers::Screened,
        max_prompt_tokens: None,
        media: Allowed::ALL,
        moderation: None,
    }
}

fn main() {
    // Without `--bench` cargo is testing, and one short look is enough.
    let benching = std::env::args().any(|word| word == "--bench");
    let (rounds, length) =
        if benching { (7, Duration::from_millis(60)) } else { (1, Duration::from_millis(2)) };
    let policies: Vec<(&str, Option<Policy>)> = vec![
        ("no policy", None),
        ("10 words", Some(policy(words(10)))),
        ("10 expressions", Some(policy(regexes(10)))),
        ("1,000 words", Some(policy(words(1_000)))),
        ("1,000 expressions", Some(policy(regexes(1_000)))),
        (
            "500 words and 500 expressions",
            Some(policy([words(500), regexes(500)].into_iter().flatten().collect())),
        ),
        ("10,000 words", Some(policy(words(10_000)))),
        ("10 expressions that begin with anything", Some(policy(loose()))),
    ];

    println!("µs a KB of prompt ({} KB), median of {rounds} rounds\n", PROMPT / 1000);
    println!("| | English | Japanese | code |\n|---|---:|---:|---:|");
    let bodies = [ENGLISH, JAPANESE, CODE].map(body);
    let checked = bodies.each_ref().map(|body| {
        micros_a_kb(body, rounds, length, || {
            black_box(check(body.as_bytes()).is_ok());
        })
    });
    println!("| beside it: checking the body | {:.2} | {:.2} | {:.2} |", checked[0], checked[1], checked[2]);
    let mut worst = 0.0;
    for (name, policy) in &policies {
        let cost = bodies.each_ref().map(|body| {
            micros_a_kb(body, rounds, length, || {
                if let Some(policy) = black_box(policy.as_ref()) {
                    assert!(!policy.forbids(body.as_bytes()), "{name}");
                }
            })
        });
        println!("| {name} | {:.2} | {:.2} | {:.2} |", cost[0], cost[1], cost[2]);
        if name.starts_with("1,000") {
            worst = cost.into_iter().fold(worst, f64::max);
        }
    }

    println!("\nµs a KB of a prompt that is made of nothing but beginnings of what is forbidden\n");
    println!("| | hostile |\n|---|---:|");
    for (name, patterns, begin) in hostile() {
        let (policy, body) = (policy(patterns), body(begin));
        let cost = micros_a_kb(&body, rounds, length, || {
            assert!(!policy.forbids(body.as_bytes()), "{name}");
        });
        println!("| {name} | {cost:.2} |");
    }
    // Ever new, so that nothing that was remembered is of use.
    for (name, patterns) in [
        ("1,000 of one beginning, never the same", alike("secret.{0,30}plan@!")),
        ("1,000 of one beginning that part behind it, never the same", parting()),
        (r"[a-z]e.{0,500}bomb, never the same", one(r"[a-z]e.{0,500}bomb")),
    ] {
        let (policy, body) = (policy(patterns), request(&restless()));
        let cost = micros_a_kb(&body, rounds, length, || {
            assert!(!policy.forbids(body.as_bytes()), "{name}");
        });
        println!("| {name} | {cost:.2} |");
    }

    println!("\nµs a chunk of such a stream\n");
    println!("| | hostile |\n|---|---:|");
    for (name, patterns, begin) in hostile() {
        let (policy, chunks) = (policy(patterns), chunks(begin));
        let cost = (0..rounds)
            .map(|_| repeat(length, || stream(Some(&policy), &chunks)) / chunks.len() as f64 / 1000.0);
        println!("| {name} | {:.2} |", median(&mut cost.collect::<Vec<_>>()));
    }

    println!("\nµs a chunk of a stream (a token, some 5 bytes of text), rewriting included\n");
    println!("| | English | Japanese |\n|---|---:|---:|");
    for (name, policy) in &policies {
        let cost = [ENGLISH, JAPANESE].map(|text| {
            let chunks = chunks(text);
            let one = || stream(policy.as_ref(), &chunks);
            median(
                &mut (0..rounds)
                    .map(|_| repeat(length, one) / chunks.len() as f64 / 1000.0)
                    .collect::<Vec<_>>(),
            )
        });
        println!("| {name} | {:.2} | {:.2} |", cost[0], cost[1]);
    }
    let word = if worst < GOAL { "met" } else { "missed" };
    println!("\ngoal: a thousand patterns below {GOAL:.0} µs a KB of prompt: {worst:.2} µs, {word}");
}

/// A request that says this text over and over.
fn body(text: &str) -> String {
    request(&text.repeat(PROMPT / text.len() + 1))
}

/// Beginnings of what is forbidden, in an order that does not come again.
fn restless() -> String {
    const PIECES: [&str; 8] = ["secret", " plan", "a1", " ", "secret ", "12", "@corp.", "xy"];
    let mut random = 7_u64;
    let pieces = (0..PROMPT / 4).map(|_| {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        PIECES[(random >> 61) as usize]
    });
    pieces.collect()
}

/// A request that says this text.
fn request(text: &str) -> String {
    let escaped = serde_json::to_string(text).unwrap();
    format!(r#"{{"model":"general","messages":[{{"role":"user","content":{escaped}}}]}}"#)
}

/// The events of a stream that says this text, a few characters at a time.
fn chunks(text: &str) -> Vec<String> {
    let letters: Vec<char> = text.chars().cycle().take(2_000).collect();
    let size = if text.is_ascii() { 5 } else { 2 };
    let said =
        letters.chunks(size).map(|piece| serde_json::to_string(&piece.iter().collect::<String>()).unwrap());
    said.map(|said| {
        format!(
            "data: {{\"id\":\"chatcmpl-1\",\"object\":\"chat.completion.chunk\",\"created\":1,\"model\":\"m\",\
             \"choices\":[{{\"index\":0,\"delta\":{{\"content\":{said}}},\"finish_reason\":null}}]}}\n\n"
        )
    })
    .collect()
}

fn stream(policy: Option<&Policy>, chunks: &[String]) {
    let voice = Voice::new(
        "2f8c0b9e-6a1d-4c2e-9b3a-7d5e1f0a2b3c",
        1,
        "general",
        Arc::new(Ids::new(&Root::new(b"s"), "acme", "general")),
    );
    let sieve = policy.and_then(Policy::sieve);
    let mut rewriter = SseRewriter::new(voice, UsageWanted::No, Expose::default(), 1 << 20).sifted(sieve);
    let mut out = BytesMut::with_capacity(1 << 16);
    for chunk in chunks {
        out.clear();
        rewriter.push(chunk.as_bytes(), &mut out).unwrap();
        black_box(&out);
    }
}

fn micros_a_kb(body: &str, rounds: usize, length: Duration, what: impl Fn()) -> f64 {
    let kb = body.len() as f64 / 1000.0;
    median(&mut (0..rounds).map(|_| repeat(length, &what) / 1000.0 / kb).collect::<Vec<_>>())
}

/// Nanoseconds for one of these.
fn repeat(length: Duration, what: impl Fn()) -> f64 {
    let began = Instant::now();
    let mut done = 0;
    while began.elapsed() < length {
        what();
        done += 1;
    }
    began.elapsed().as_nanos() as f64 / f64::from(done)
}

fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
