//! What a moderator is asked and how it answers, in the words of OpenAI's moderation API.

use serde::{Deserialize, Serialize};

use super::scan::{Kind, Malformed, Scanner};
use super::sieve::Verdict;

/// What a text costs in memory besides its bytes: its place, its allocation.
const OF_A_TEXT: usize = 64;
/// What a body has besides its texts, at most.
const FRAME: usize = 96;

/// One question.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Question {
    /// About texts, each of which gets a result of its own.
    Texts(Vec<String>),
    /// About one picture, by its address, which may be all of it (`data:`). Services take one in a question.
    Picture(String),
}

#[derive(Serialize)]
struct Body<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    model: Option<&'a str>,
    input: Input<'a>,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Input<'a> {
    Texts(&'a [String]),
    Parts([Part<'a>; 1]),
}

#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Part<'a> {
    ImageUrl { image_url: Address<'a> },
}

#[derive(Serialize)]
struct Address<'a> {
    url: &'a str,
}

#[derive(Deserialize)]
struct Answer {
    results: Vec<Outcome>,
}

#[derive(Deserialize)]
struct Outcome {
    flagged: bool,
}

/// Why an answer is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NoVerdict {
    /// It is not that of a moderation API.
    Nonsense,
    /// It does not have a result for each of what was asked about, and no more.
    Results { asked: usize, given: usize },
}

impl Question {
    /// The body that asks it.
    pub fn body(&self, model: Option<&str>) -> Vec<u8> {
        let input = match self {
            Self::Texts(texts) => Input::Texts(texts),
            Self::Picture(url) => Input::Parts([Part::ImageUrl { image_url: Address { url } }]),
        };
        let mut body = Vec::with_capacity(self.written() + model.map_or(0, written));
        // Plain texts always serialise.
        match serde_json::to_writer(&mut body, &Body { model, input }) {
            Ok(()) => body,
            Err(_) => Vec::new(),
        }
    }

    /// How many results its answer has.
    pub fn results(&self) -> usize {
        match self {
            Self::Texts(texts) => texts.len(),
            Self::Picture(_) => 1,
        }
    }

    /// How many bytes it takes in memory, about, with its body.
    pub fn weight(&self) -> usize {
        let own = |text: &String| text.len() + OF_A_TEXT;
        self.written()
            + match self {
                Self::Texts(texts) => texts.iter().map(own).sum(),
                Self::Picture(url) => own(url),
            }
    }

    /// How many bytes its body takes at most, without the name of a model.
    fn written(&self) -> usize {
        FRAME
            + match self {
                Self::Texts(texts) => texts.iter().map(|text| written(text)).sum(),
                Self::Picture(url) => written(url),
            }
    }

    /// What its answer says: whether any result is flagged.
    ///
    /// # Errors
    /// When nothing is flagged, and something may not have been judged.
    pub fn verdict(&self, answer: &[u8]) -> Result<Verdict, NoVerdict> {
        let answer: Answer = serde_json::from_slice(answer).map_err(|_| NoVerdict::Nonsense)?;
        let (asked, given) = (self.results(), answer.results.len());
        if answer.results.iter().any(|outcome| outcome.flagged) {
            Ok(Verdict::Forbidden)
        } else if given == asked {
            Ok(Verdict::Clean)
        } else {
            Err(NoVerdict::Results { asked, given })
        }
    }
}

/// What a text takes in a body, with its quotes and a comma.
fn written(text: &str) -> usize {
    const QUOTES: usize = 3;
    let each = |byte: u8| match byte {
        b'"' | b'\\' | b'\n' | b'\r' | b'\t' | 0x08 | 0x0c => 2,
        // As \u0001.
        0..0x20 => 6,
        _ => 1,
    };
    QUOTES + text.bytes().map(each).sum::<usize>()
}

/// The addresses of all pictures in the messages of a checked body, in its order.
pub fn pictures(body: &[u8]) -> Vec<String> {
    let mut found = Vec::new();
    if let Ok(text) = std::str::from_utf8(body) {
        // A body that has not been checked gives what could be read of it.
        let _ = inside(&mut Scanner::new(text), &["messages", "content", "image_url", "url"], &mut found);
    }
    found
}

/// Reads along a path of members, through whatever arrays there are, to the strings at its end.
fn inside(scanner: &mut Scanner<'_>, path: &[&str], found: &mut Vec<String>) -> Result<(), Malformed> {
    match (scanner.peek()?, path.split_first()) {
        (Kind::Array, Some(_)) => scanner.array(|scanner, _| inside(scanner, path, found)).map(|_| ()),
        (Kind::Object, Some((first, rest))) => scanner.object(|scanner, entry| {
            if entry.name.decode() == *first { inside(scanner, rest, found) } else { scanner.skip() }
        }),
        (Kind::String, None) => {
            found.push(scanner.string()?.decode().into_owned());
            Ok(())
        }
        _ => scanner.skip(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(texts: &[&str]) -> Question {
        Question::Texts(texts.iter().map(|text| (*text).to_owned()).collect())
    }

    #[test]
    fn the_question_is_a_list_of_texts_or_one_picture() {
        let two = texts(&["one \"1\"", "二"]);
        assert_eq!(two.body(None), r#"{"input":["one \"1\"","二"]}"#.as_bytes());
        assert_eq!(texts(&["1"]).body(Some("omni")), br#"{"model":"omni","input":["1"]}"#);
        let picture = Question::Picture("data:,x".to_owned());
        assert_eq!(
            picture.body(Some("omni")),
            br#"{"model":"omni","input":[{"type":"image_url","image_url":{"url":"data:,x"}}]}"#
        );
    }

    #[test]
    fn a_question_weighs_what_it_and_its_body_take() {
        let controls: String = (0..128_u8).map(char::from).collect();
        let picture = |url: &str| Question::Picture(url.to_owned());
        let long = "\u{1}".repeat(100_000);
        for question in [
            texts(&[]),
            texts(&[""]),
            texts(&["one \"1\"", "二"]),
            texts(&[&controls]),
            texts(&[&long]),
            picture(&long),
        ] {
            for model in [None, Some("omni \"1\"")] {
                let body = question.body(model);
                assert_eq!(body.capacity(), question.written() + model.map_or(0, written), "it has grown");
                assert!(body.len() <= body.capacity() && body.len() + FRAME + 8 > body.capacity());
            }
        }
        assert!((700_000..701_000).contains(&texts(&[&long]).weight()));
    }

    #[test]
    fn one_flag_is_enough_and_all_must_be_judged() {
        let good = r#"{"id":"modr-1","model":"m","results":[{"flagged":false,"categories":{"hate":false}}]}"#;
        let missing = |given| Err(NoVerdict::Results { asked: 1, given });
        for (body, verdict) in [
            (good, Ok(Verdict::Clean)),
            (r#"{"results":[{"flagged":true}]}"#, Ok(Verdict::Forbidden)),
            (r#"{"results":[{"flagged":false},{"flagged":true}]}"#, Ok(Verdict::Forbidden)),
            (r#"{"results":[{"flagged":false},{"flagged":false}]}"#, missing(2)),
            (r#"{"results":[]}"#, missing(0)),
            (r#"{"results":[{"flagged":"no"}]}"#, Err(NoVerdict::Nonsense)),
            (r#"{"error":{"message":"overloaded"}}"#, Err(NoVerdict::Nonsense)),
            ("", Err(NoVerdict::Nonsense)),
        ] {
            assert_eq!(texts(&["x"]).verdict(body.as_bytes()), verdict, "{body}");
            assert_eq!(Question::Picture("x".to_owned()).verdict(body.as_bytes()), verdict, "{body}");
        }
        let short = Err(NoVerdict::Results { asked: 2, given: 1 });
        assert_eq!(texts(&["x", "y"]).verdict(good.as_bytes()), short);
    }

    #[test]
    fn pictures_are_found_wherever_messages_have_them() {
        let body = r#"{"image_url":{"url":"a"},"messages":[
            {"role":"user","content":[{"type":"image_url","image_url":{"url":"b\u002f","detail":"low"}},{"type":"text","text":"x"}]},
            {"role":"user","content":"x"},
            {"role":"user","content":[{"type":"text","text":"y","image_url":{"url":"c"}}],"image_url":{"url":"d"}}]}"#;
        assert_eq!(pictures(body.as_bytes()), ["b/", "c"]);
        for body in ["", "{", "[]", r#"{"messages":[{"content":[{"image_url":{"url":"#] {
            assert!(pictures(body.as_bytes()).is_empty(), "{body}");
        }
    }
}
