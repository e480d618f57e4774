//! Looking for words in bytes, in whatever way they are written there.
//!
//! All writings are looked for, whichever was planted: text is taken out of gzip, JSON's and URLs' escapes are
//! resolved, and hex and base64 are looked for as what the words become in them.

use std::io::Read;
use std::sync::LazyLock;

use flate2::read::GzDecoder;
use memchr::memmem::Finder;

use super::canary::{ANSWER, CREATED, KINDS, OTHER, PROMPT, RESET, ROUTED, WAIT, Writing, base64};
use crate::kit::{KEY, KEY_GLOBEX};

/// More is not taken out of one piece of gzip.
const UNPACKED: u64 = 1 << 20;
/// Gzip within gzip within gzip.
const DEPTH: usize = 3;

/// Where words were found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hit {
    pub word: &'static str,
    pub how: &'static str,
    /// What stands around it.
    pub near: String,
}

/// Whose eyes a surface is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reader {
    /// Neither what a provider is known by, nor halves of it, nor its numbers, nor another tenant, nor paths of ours.
    Client,
    /// Neither what a provider is known by, nor a route's model, nor a client's key, prompt or answer.
    Operator,
    /// The same, but for the models of routes: the page shows what is configured.
    Page,
}

struct Needle {
    word: &'static str,
    how: &'static str,
    case: Case,
    finder: Finder<'static>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Case {
    Any,
    Exact,
}

static CLIENT: LazyLock<Vec<Needle>> = LazyLock::new(|| {
    let mut needles = provider();
    for (_, word) in KINDS {
        let (first, second) = word.split_at(word.len() / 2);
        for half in [first, second] {
            needles.extend(forms(half, "half a word"));
        }
    }
    needles.extend(forms(OTHER, "another tenant"));
    needles.extend(forms(ROUTED, "a route's model"));
    let numbers = [CREATED.to_owned(), WAIT.to_owned(), RESET.to_string(), format!("{RESET:x}")];
    needles.extend(numbers.iter().map(|number| needle(number, "a number", "plain", Case::Any)));
    let paths = [env!("CARGO_MANIFEST_DIR"), "byname-test-", ".cargo/registry", "127.0.0.1"];
    needles.extend(paths.iter().map(|path| needle(path, "a path or an address", "plain", Case::Any)));
    needles
});

static OPERATOR: LazyLock<Vec<Needle>> = LazyLock::new(|| {
    let mut needles = page();
    needles.extend(forms(ROUTED, "a route's model"));
    needles
});

static PAGE: LazyLock<Vec<Needle>> = LazyLock::new(page);

fn page() -> Vec<Needle> {
    let mut needles = provider();
    let clients =
        [(PROMPT, "a prompt"), (ANSWER, "an answer"), (KEY, "a client's key"), (KEY_GLOBEX, "a key")];
    needles.extend(clients.iter().flat_map(|(word, what)| forms(word, what)));
    needles
}

fn provider() -> Vec<Needle> {
    KINDS.iter().flat_map(|(kind, word)| forms(word, kind)).collect()
}

/// What a word becomes in each writing that is not resolved beforehand.
fn forms(word: &str, what: &'static str) -> Vec<Needle> {
    let upper = word.to_ascii_uppercase();
    let mut needles = vec![needle(word, what, "plain", Case::Any)];
    for text in [word, upper.as_str()] {
        needles.push(needle(&Writing::Hex.write(text), what, "hex", Case::Any));
        for before in 0..3 {
            let whole = base64(&[&b".."[..before], text.as_bytes()].concat());
            // Without the signs that also hang on what stands before and behind.
            let from = (before * 8).div_ceil(6);
            let to = (before + text.len()) * 8 / 6;
            let core = &whole[from..to];
            needles.push(needle(core, what, "base64", Case::Exact));
            if core.contains(['+', '/']) {
                let url = core.replace('+', "-").replace('/', "_");
                needles.push(needle(&url, what, "base64", Case::Exact));
            }
        }
    }
    needles
}

fn needle(text: &str, word: &'static str, how: &'static str, case: Case) -> Needle {
    let text = if case == Case::Any { text.to_ascii_lowercase() } else { text.to_owned() };
    Needle { word, how, case, finder: Finder::new(text.as_bytes()).into_owned() }
}

/// The first word that a reader may not see.
pub fn find(bytes: &[u8], reader: Reader) -> Option<Hit> {
    let needles = match reader {
        Reader::Client => &*CLIENT,
        Reader::Operator => &*OPERATOR,
        Reader::Page => &*PAGE,
    };
    within(bytes, needles, DEPTH)
}

fn within(bytes: &[u8], needles: &[Needle], depth: usize) -> Option<Hit> {
    let plain = bytes.to_ascii_lowercase();
    let mut views = vec![("", bytes.to_vec(), plain)];
    for (how, resolve) in [("json", unescape as fn(&[u8]) -> Option<Vec<u8>>), ("percent", unpercent)] {
        if let Some(view) = resolve(bytes) {
            let lower = view.to_ascii_lowercase();
            views.push((how, view, lower));
        }
    }
    for (resolved, exact, lower) in &views {
        for needle in needles {
            let hay = if needle.case == Case::Any { lower } else { exact };
            if let Some(at) = needle.finder.find(hay) {
                let how = if resolved.is_empty() { needle.how } else { resolved };
                let near = &exact[at.saturating_sub(80)..(at + 80).min(exact.len())];
                return Some(Hit {
                    word: needle.word,
                    how,
                    near: String::from_utf8_lossy(near).into_owned(),
                });
            }
        }
    }
    if depth == 0 {
        return None;
    }
    packed(bytes)
        .iter()
        .find_map(|inside| within(inside, needles, depth - 1))
        .map(|hit| Hit { how: "gzip", ..hit })
}

/// What all gzip in it unpacks to, whether it stands there as bytes or in base64.
fn packed(bytes: &[u8]) -> Vec<Vec<u8>> {
    let starts = |magic: &'static [u8]| memchr::memmem::find_iter(bytes, magic).collect::<Vec<_>>();
    let raw = starts(b"\x1f\x8b\x08").into_iter().map(|at| bytes[at..].to_vec());
    // Only where it begins a group of four signs can it be told so; the others have been looked for as bytes.
    let coded = starts(b"H4sI").into_iter().map(|at| unbase64(&bytes[at..]));
    raw.chain(coded)
        .map(|packed| {
            let mut out = Vec::new();
            // What is cut unpacks as far as it goes.
            let _ = GzDecoder::new(packed.as_slice()).take(UNPACKED).read_to_end(&mut out);
            out
        })
        .filter(|out| !out.is_empty())
        .collect()
}

/// Up to the first sign that is none of base64.
fn unbase64(text: &[u8]) -> Vec<u8> {
    let value = |sign: u8| match sign {
        b'A'..=b'Z' => Some(sign - b'A'),
        b'a'..=b'z' => Some(sign - b'a' + 26),
        b'0'..=b'9' => Some(sign - b'0' + 52),
        b'+' | b'-' => Some(62),
        b'/' | b'_' => Some(63),
        _ => None,
    };
    let signs: Vec<u8> = text.iter().map_while(|sign| value(*sign)).collect();
    let group = |four: &[u8]| {
        let all = four.iter().fold(0_u32, |all, six| all << 6 | u32::from(*six)) << (6 * (4 - four.len()));
        all.to_be_bytes()[1..four.len().max(1)].to_vec()
    };
    signs.chunks(4).flat_map(group).collect()
}

/// With `\u0061` resolved; nothing when there is none.
fn unescape(bytes: &[u8]) -> Option<Vec<u8>> {
    resolve(bytes, b"\\u", 4)
}

/// With `%61` resolved; nothing when there is none.
fn unpercent(bytes: &[u8]) -> Option<Vec<u8>> {
    resolve(bytes, b"%", 2)
}

fn resolve(bytes: &[u8], sign: &[u8], digits: usize) -> Option<Vec<u8>> {
    memchr::memmem::find(bytes, sign)?;
    let (mut out, mut rest) = (Vec::with_capacity(bytes.len()), bytes);
    while let Some(first) = rest.first() {
        let code = rest.strip_prefix(sign).and_then(|behind| behind.get(..digits));
        let code = code.and_then(|code| std::str::from_utf8(code).ok());
        match code
            .and_then(|code| u32::from_str_radix(code, 16).ok())
            .and_then(|code| u8::try_from(code).ok())
        {
            Some(byte) => {
                out.push(byte);
                rest = &rest[sign.len() + digits..];
            }
            None => {
                out.push(*first);
                rest = &rest[1..];
            }
        }
    }
    Some(out)
}

#[test]
fn every_word_is_found_in_every_writing_and_nothing_is_found_in_nothing() {
    for writing in Writing::ALL {
        for (kind, word) in KINDS {
            for before in 0..4 {
                let text = format!("{}{}-etc", &"...."[..before], writing.write(word));
                let hit = find(text.as_bytes(), Reader::Client);
                assert_eq!(hit.as_ref().map(|hit| hit.word), Some(kind), "{writing:?} {word} in {text:?}");
                let packed = super::canary::gzip(text.as_bytes());
                assert!(find(&packed, Reader::Operator).is_some(), "{writing:?} {word} in gzip");
            }
        }
        assert!(find(writing.host().as_bytes(), Reader::Client).is_some(), "{writing:?} as a host");
    }
    assert_eq!(find(b"data: {\"id\":\"chatcmpl-0f3a\",\"model\":\"general\"} 100%", Reader::Client), None);
    assert_eq!(base64(b"ab"), "YWI=");
    assert_eq!(unbase64(b"YWI="), b"ab");
}
