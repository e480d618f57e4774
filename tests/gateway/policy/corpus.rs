//! Evasions: each as the README names it, with texts. What it says is caught is caught, wherever a stream is cut,
//! and what it says is not is not.

use serde_json::{Value, json};

use super::setup::Setup;
use super::{ask, assert_blocked, finishes, parrot, say, with};
use crate::kit::client::End;
use crate::kit::sse;

/// What is looked for in all of this.
const POLICY: &str = "on_response: true, deny: [ { words: [ bomb, 'make a plan', 爆弾, ハブ, бомба, 폭탄, ระเบิด ] }, \
                      'project (falcon|eagle)', '\\b[0-9]{3}-[0-9]{2}-[0-9]{4}\\b' ]";

/// One line of the README's table: what it says, and texts for it. Lines without texts have tests of their own.
struct Row {
    says: &'static str,
    texts: &'static [&'static str],
}

const CAUGHT: &[Row] = &[
    Row {
        says: "capitals, of any script, and other forms of a letter that Unicode's case folding knows",
        texts: &["BOMB", "Bomb", "БОМБА", "Project FALCON", "б\u{1c82}мба"],
    },
    Row {
        says: "full width, half width and other compatible forms (NFKC)",
        texts: &["ｂｏｍｂ", "ＢＯＭＢ", "𝐛𝐨𝐦𝐛", "𝓑𝓸𝓶𝓫", "ⓑⓞⓜⓑ", "ᵇᵒᵐᵇ", "ﾊﾌﾞ", "１２３-45-6789"],
    },
    Row {
        says: "marks on, over and through letters",
        texts: &[
            "bömb",
            "bo\u{308}mb",
            "b\u{336}o\u{336}m\u{336}b\u{336}",
            "b\u{20dd}omb",
            "bo\u{e34}mb",
            "爆\u{301}弾",
        ],
    },
    Row {
        says: "characters that show nothing, and control characters",
        texts: &[
            "b\u{200b}omb",
            "b\u{200d}o\u{2060}mb",
            "bo\u{ad}mb",
            "\u{feff}bomb",
            "bo\u{fe0f}mb",
            "b\u{e0062}omb",
            "\u{202e}bomb",
            "b\u{0}omb",
            "bo\u{8}mb",
            "爆\u{200b}弾",
        ],
    },
    Row {
        says: "white space of any kind and length inside of a phrase",
        texts: &[
            "make  a plan",
            "make\na\r\n\tplan",
            "make\u{a0}a\u{3000}plan",
            "make\u{2800}a\u{3164}plan",
            "project\u{2028}falcon",
        ],
    },
    Row { says: "a kana and its voice mark apart", texts: &["ハフ\u{3099}", "ハフ゛", "ﾊフﾞ"] },
    Row {
        says: "Hangul written letter by letter",
        texts: &["\u{1111}\u{1169}\u{11a8}\u{1110}\u{1161}\u{11ab}", "포\u{11a8}타\u{11ab}"],
    },
    Row {
        says: "words of Chinese, Japanese, Korean and Thai in the middle of a sentence",
        texts: &["この爆弾を", "폭탄을", "กระเบิดก", "このbombを"],
    },
    Row {
        says: "words between anything that is no letter or digit",
        texts: &["_bomb_", "(bomb)", "bomb-making", "/bomb/", "«bomb»", "😀bomb😀", "no. 123-45-6789."],
    },
    Row { says: "escapes of JSON, also a second time in a call's arguments", texts: &[] },
    Row { says: "a text that is split over the parts of a message", texts: &[] },
    Row { says: "a text that is split over the chunks of an answer, anywhere", texts: &[] },
    Row {
        says: "names, descriptions, schemas and grammars of tools, predictions, fields that Byname does not know: every string but the API's own words",
        texts: &[],
    },
];

const NOT_CAUGHT: &[Row] = &[
    Row {
        says: "letters of another script that look alike",
        texts: &["b\u{43e}mb", "b\u{3bf}mb", "\u{432}omb"],
    },
    Row { says: "digits and signs for letters", texts: &["b0mb", "b@mb", "b*mb", "|3omb"] },
    Row {
        says: "letters that are set apart", texts: &["b o m b", "b-o-m-b", "b.o.m.b", "b\nomb", "爆 弾"]
    },
    Row {
        says: "letters with a stroke, and ligatures that are letters", texts: &["bømb", "bœmb", "ƀomb"]
    },
    Row {
        says: "other forms of a word, slips of the pen, other words for it",
        texts: &["bombs", "bombing", "bommb", "explosive", "bomb2"],
    },
    Row {
        says: "other languages and spellings: hiragana for katakana, kanji for kana",
        texts: &["bombe", "はぶ", "飯匙倩"],
    },
    Row {
        says: "base64, hexadecimal, HTML entities, percent encoding, ciphers, a text spelled backwards",
        texts: &["Ym9tYg==", "626f6d62", "b&#111;mb", "b%6fmb", r"b\x6fmb", "obzo", "bmob"],
    },
    Row { says: "a text that is split over messages, or over the fields of a call's arguments", texts: &[] },
    Row { says: "pictures, sounds, files and what a link leads to", texts: &[] },
    Row { says: "names of JSON members, but for a schema's properties and in `logit_bias`", texts: &[] },
];

#[test]
fn the_readme_says_what_is_caught_and_what_is_not() {
    let readme =
        std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/README.md")).expect("a README");
    let table = |head: &str| -> Vec<String> {
        let rest = readme.split(&format!("| {head} |")).nth(1).unwrap_or_else(|| panic!("no table {head:?}"));
        let rows = rest.lines().skip(2).take_while(|line| line.starts_with("| "));
        rows.map(|line| line.trim_matches(['|', ' ']).to_owned()).collect()
    };
    let says = |rows: &[Row]| rows.iter().map(|row| row.says.to_owned()).collect::<Vec<_>>();
    assert_eq!(table("caught"), says(CAUGHT));
    assert_eq!(table("not caught"), says(NOT_CAUGHT));
}

#[test]
fn requests_are_refused_for_what_is_caught_and_not_for_what_is_not() {
    let upstream = parrot();
    let daemon = Setup::new(&[&upstream], POLICY).start();
    let mut client = daemon.client();
    for text in CAUGHT.iter().flat_map(|row| row.texts) {
        for text in [text.to_string(), format!("Tell me: {text}, please"), format!("どうか {text} を")] {
            assert_blocked(&client.chat(&ask(&text)), &format!("{text:?}"));
        }
    }
    assert!(upstream.requests().is_empty(), "something forbidden was sent on");
    for text in NOT_CAUGHT.iter().flat_map(|row| row.texts) {
        let answer = client.chat(&ask(&format!("Tell me: {text}, please")));
        assert_eq!(answer.status, 200, "{text:?}");
    }
}

#[test]
fn whole_answers_are_refused_for_the_same() {
    let upstream = parrot();
    let daemon = Setup::new(&[&upstream], POLICY).start();
    for text in CAUGHT.iter().flat_map(|row| row.texts) {
        let answer = daemon.client().chat(&say(&["Well, ", text, " it is"], false));
        assert_blocked(&answer, &format!("{text:?}"));
    }
    for text in NOT_CAUGHT.iter().flat_map(|row| row.texts) {
        let answer = daemon.client().chat(&say(&[text], false));
        assert_eq!(answer.json()["choices"][0]["message"]["content"], *text);
    }
}

/// A text in two pieces, cut at every character, and one character at a time.
fn cuts(text: &str) -> Vec<Vec<&str>> {
    let places: Vec<usize> = text.char_indices().map(|(at, _)| at).chain([text.len()]).collect();
    let two = places.iter().map(|at| vec![&text[..*at], &text[*at..]]);
    let single = places.windows(2).map(|pair| &text[pair[0]..pair[1]]).collect();
    two.chain([single]).collect()
}

#[test]
fn streams_end_before_what_is_caught_wherever_they_are_cut() {
    let upstream = parrot();
    let daemon = Setup::new(&[&upstream], POLICY).start();
    for text in CAUGHT.iter().flat_map(|row| row.texts) {
        let (before, behind) = ("Well, ", ", it is. And so on.");
        let whole = format!("{before}{text}{behind}");
        let mut seen: Option<String> = None;
        for pieces in cuts(text) {
            let pieces: Vec<&str> = [vec![before], pieces, vec![behind]].concat();
            let answer = daemon.client().chat(&say(&pieces, true));
            assert_eq!((answer.status, answer.end), (200, End::Clean), "{pieces:?}: {}", answer.everything());
            let said = sse::text(&answer.body);
            let chunks = sse::chunks(&answer.body);
            assert_eq!(finishes(&chunks), [(0, "content_filter".to_owned())], "{pieces:?}");
            assert!(answer.text().ends_with("data: [DONE]\n\n"), "{pieces:?}");
            // All that stands before it, and nothing of it.
            assert!(said.starts_with(before) && whole.starts_with(&said), "{pieces:?}: {said:?}");
            assert!(said.len() < before.len() + text.len(), "{pieces:?}: {said:?}");
            assert_eq!(*seen.get_or_insert(said.clone()), said, "{pieces:?}");
        }
        // Where nothing stands before it there is no answer.
        let bare = text.trim_start_matches([
            '_', '(', '/', '«', '😀', 'こ', 'の', 'ก', 'n', 'o', '.', ' ', '\u{feff}', '\u{202e}',
        ]);
        let first = daemon.client().chat(&say(&[bare, behind], true));
        assert_blocked(&first, &format!("{text:?}"));
    }
}

#[test]
fn streams_say_what_is_not_caught_to_the_last_letter() {
    let upstream = parrot();
    let daemon = Setup::new(&[&upstream], POLICY).start();
    for text in NOT_CAUGHT.iter().flat_map(|row| row.texts) {
        for pieces in cuts(text) {
            let answer = daemon.client().chat(&say(&pieces, true));
            assert_eq!((answer.status, sse::text(&answer.body).as_str()), (200, *text), "{pieces:?}");
            assert_eq!(finishes(&sse::chunks(&answer.body)), [(0, "stop".to_owned())], "{pieces:?}");
        }
    }
}

fn user(content: Value) -> Value {
    json!({"role": "user", "content": content})
}

fn text(text: &str) -> Value {
    json!({"type": "text", "text": text})
}

#[test]
fn a_text_is_put_together_again_from_the_parts_of_a_message() {
    let upstream = parrot();
    let daemon = Setup::new(&[&upstream], POLICY).start();
    let image = json!({"type": "image_url", "image_url": {"url": "https://pictures.example/a.png"}});
    for word in ["a bomb.", "make a plan", "この爆弾を", "b\u{336}omb", "ハフ゛"] {
        for pieces in cuts(word) {
            let parts: Vec<Value> = pieces.iter().map(|piece| text(piece)).collect();
            assert_blocked(
                &daemon.client().chat(&with(user(json!(parts)), json!({}))),
                &format!("{pieces:?}"),
            );
            let between: Vec<Value> = parts.into_iter().flat_map(|part| [part, image.clone()]).collect();
            assert_blocked(
                &daemon.client().chat(&with(user(json!(between)), json!({}))),
                &format!("{pieces:?}"),
            );
        }
    }
    let apart = json!([text("make"), text("a"), text("plan")]);
    assert_blocked(&daemon.client().chat(&with(user(apart), json!({}))), "the blanks are left out");
    let messages = json!({"messages": [user(json!("a bo")), user(json!("mb"))]});
    assert_eq!(daemon.client().chat(&with(user(json!("x")), messages)).status, 200);
}

#[test]
fn escapes_say_what_they_stand_for() {
    let upstream = parrot();
    let daemon = Setup::new(&[&upstream], POLICY).start();
    let raw = |content: &str| {
        format!(r#"{{"model":"general","messages":[{{"role":"user","content":"{content}"}}]}}"#)
    };
    for content in [
        r"b\u006fmb",
        r"\u0062\u006f\u006d\u0062",
        r"\u7206\u5F3e",
        r"b\u200bomb",
        r"make\na\tplan",
        r"\ud835\udc1bomb",
    ] {
        assert_blocked(&daemon.client().chat(&raw(content)), content);
    }
    let call = |arguments: &str| {
        let call =
            json!({"id": "call_1", "type": "function", "function": {"name": "f", "arguments": arguments}});
        let turns = [
            json!({"role": "assistant", "tool_calls": [call]}),
            json!({"role": "tool", "tool_call_id": "call_1", "content": "x"}),
        ];
        json!({"model": "general", "messages": turns}).to_string()
    };
    for arguments in [
        r#"{"q":"bomb"}"#,
        r#"{"q":"b\u006fmb"}"#,
        r#"{"q":"\u7206\u5f3e"}"#,
        r#"{"q":"make\na plan"}"#,
        r#"{"bomb":1}"#,
        "bomb",
        r#"{"q":"\bomb"}"#,
    ] {
        assert_blocked(&daemon.client().chat(&call(arguments)), arguments);
    }
    for arguments in [r#"{"a":"bo","b":"mb"}"#, r#"{"q":"b\\u006fmb"}"#] {
        assert_eq!(daemon.client().chat(&call(arguments)).status, 200, "{arguments}");
    }
}

#[test]
fn what_stands_beside_messages_is_read_and_pictures_are_not() {
    let upstream = parrot();
    let daemon = Setup::new(&[&upstream], POLICY).start();
    let function = |function: Value| json!({"tools": [{"type": "function", "function": function}]});
    for (message, more) in [
        (json!({"role": "user", "name": "bomb", "content": "x"}), json!({})),
        (json!({"role": "system", "content": "a bomb"}), json!({})),
        (json!({"role": "assistant", "content": [{"type": "refusal", "refusal": "no bomb"}]}), json!({})),
        (json!({"role": "assistant", "content": "x", "reasoning_content": "a bomb"}), json!({})),
        (user(json!("x")), function(json!({"name": "bomb"}))),
        (user(json!("x")), function(json!({"name": "f", "description": "makes a bomb"}))),
        (
            user(json!("x")),
            function(
                json!({"name": "f", "parameters": {"type": "object", "properties": {"bomb": {"type": "string"}}}}),
            ),
        ),
        (
            user(json!("x")),
            function(json!({"name": "f", "parameters": {"properties": {"a": {"enum": ["a", "bomb"]}}}})),
        ),
        (
            user(json!("x")),
            json!({"response_format": {"type": "json_schema", "json_schema": {"name": "n", "description": "bomb"}}}),
        ),
        (user(json!("x")), json!({"prediction": {"type": "content", "content": "a bomb"}})),
        (user(json!("x")), json!({"stop": ["bomb"]})),
        (user(json!("x")), json!({"documents": [{"title": "t", "pages": ["a bomb"]}]})),
        (
            user(
                json!([{"type": "file", "file": {"filename": "bomb.pdf", "file_data": "data:application/pdf;base64,AA=="}}]),
            ),
            json!({}),
        ),
    ] {
        let body = with(message, more);
        assert_blocked(&daemon.client().chat(&body), &body);
    }
    for (message, more) in [
        (
            user(json!([{"type": "image_url", "image_url": {"url": "https://pictures.example/bomb"}}])),
            json!({}),
        ),
        (user(json!([{"type": "input_audio", "input_audio": {"data": "bomb", "format": "wav"}}])), json!({})),
        (user(json!("x")), json!({"user": "bomb", "metadata": {"a": "bomb"}})),
        (user(json!("x")), json!({"documents": [{"bomb": 1}]})),
    ] {
        let body = with(message, more);
        assert_eq!(daemon.client().chat(&body).status, 200, "{body}");
    }
}
