//! The weighing against a simple one, which reads strings with serde_json and characters one at a time.

use proptest::prelude::*;

use super::*;

/// The simple weighing of a legal JSON text.
fn simply(json: &str) -> Weight {
    let mut weight = Weight::default();
    // The strings so far, and whether they were names.
    let mut strings: Vec<(String, bool)> = Vec::new();
    let mut audio_names_at = None;
    let mut rest = json;
    while let Some(first) = rest.chars().next() {
        if first != '"' {
            count(&mut weight, first);
            rest = &rest[first.len_utf8()..];
            continue;
        }
        let (raw, said) = string(rest);
        rest = &rest[raw.len()..];
        let is_name = rest.trim_ascii_start().starts_with(':');
        weight.marks += 2;
        let name = strings.last().filter(|(_, is_name)| *is_name && !raw_is_first(json, rest, raw));
        let name = name.map_or("", |(name, _)| name.as_str());
        let in_audio = audio_names_at.is_some_and(|at| strings.len() - at <= 4);
        let may_be_medium =
            ["url", "file_data"].contains(&name) && raw.starts_with("\"data:") || in_audio && name == "data";
        if may_be_medium && said.chars().all(is_dense) {
            weight.media += 1;
            audio_names_at = audio_names_at.filter(|_| name != "data");
        } else {
            if in_audio && name == "data" {
                audio_names_at = None;
            }
            runs(&mut weight, &said);
        }
        if is_name && said == "role" {
            weight.messages += 1;
        }
        if is_name && said == "input_audio" {
            audio_names_at = Some(strings.len());
        }
        strings.push((said, is_name));
    }
    weight
}

/// Whether the string `raw` that ends where `rest` begins has no colon before it.
fn raw_is_first(json: &str, rest: &str, raw: &str) -> bool {
    let before = &json[..json.len() - rest.len() - raw.len()];
    !before.trim_ascii_end().ends_with(':')
}

/// The string at the beginning, with its quotes, and what it says.
fn string(text: &str) -> (&str, String) {
    let mut escaped = false;
    for (at, letter) in text.char_indices().skip(1) {
        match letter {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => return (&text[..=at], serde_json::from_str(&text[..=at]).unwrap()),
            _ => {}
        }
    }
    panic!("no end: {text}")
}

fn runs(weight: &mut Weight, said: &str) {
    for run in said.split_inclusive(|letter| !is_dense(letter)) {
        let dense = run.chars().take_while(|letter| is_dense(*letter)).count();
        let skip = if dense > 64 { dense } else { 0 };
        weight.packed += skip as u64;
        run.chars().skip(skip).for_each(|letter| count(weight, letter));
    }
}

fn is_dense(letter: char) -> bool {
    letter.is_ascii() && !letter.is_ascii_whitespace() && letter != '"'
}

fn count(weight: &mut Weight, letter: char) {
    *match letter {
        '0'..='9' => &mut weight.digits,
        'a'..='z' | 'A'..='Z' | ' ' | '\n' | '\r' | '\t' | '\u{c}' => &mut weight.letters,
        '\u{2e80}'.. => &mut weight.ideographs,
        _ => &mut weight.marks,
    } += 1;
}

fn agree(json: &str) {
    assert_eq!(weigh(json.as_bytes()), simply(json), "{json}");
}

/// Text that meets all classes and has runs around the length that matters.
fn text() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        "[a-zA-Z ,.0-9]{0,40}",
        "[月次レポート한😀é€\u{2e7f}\u{2e80}]{0,30}",
        "[!-~]{55,75}",
        "[A-Za-z0-9+/]{60,200}",
        "[\\\\\"/\n\t\u{8}\u{c}\u{1}]{0,5}",
        any::<String>(),
    ];
    prop::collection::vec(piece, 0..6).prop_map(|pieces| pieces.concat())
}

/// The text as a JSON string, with some characters escaped though they need not be.
fn written(text: &str, every: usize) -> String {
    let mut json = String::from("\"");
    for (index, letter) in text.chars().enumerate() {
        if every > 0 && index % every == 0 {
            let mut units = [0; 2];
            letter.encode_utf16(&mut units).iter().for_each(|unit| json.push_str(&format!("\\u{unit:04x}")));
        } else if letter == '/' && every % 2 == 1 {
            json.push_str("\\/");
        } else {
            let plain = serde_json::to_string(&letter).unwrap();
            json.push_str(&plain[1..plain.len() - 1]);
        }
    }
    json.push('"');
    json
}

fn string_of_any_kind() -> impl Strategy<Value = String> {
    let name = prop::sample::select(vec!["role", "url", "data", "format", "input_audio", "file_data", "x"]);
    prop_oneof![
        (text(), 0_usize..9).prop_map(|(text, every)| written(&text, every)),
        text().prop_map(|text| written(&format!("data:{text}"), 0)),
        "[A-Za-z0-9+/]{0,200}".prop_map(|text| written(&format!("data:a/b;base64,{text}"), 5)),
        name.prop_map(|name| written(name, 0)),
    ]
}

/// JSON of strings and numbers, in objects or not, with white space.
fn json() -> impl Strategy<Value = String> {
    let space = || "[ \n\t\r]{0,3}";
    let member = (space(), string_of_any_kind(), space(), space(), string_of_any_kind())
        .prop_map(|(a, name, b, c, value)| format!("{a}{name}{b}:{c}{value}"));
    let element = prop_oneof![
        string_of_any_kind(),
        any::<f64>().prop_map(|n| format!("{n:?}")),
        "(true|null|[0-9]{80})"
    ];
    prop_oneof![
        prop::collection::vec(member, 0..8).prop_map(|members| format!("{{{}}}", members.join(","))),
        prop::collection::vec(element, 0..8).prop_map(|elements| format!("[{}]", elements.join(" ,"))),
    ]
}

proptest! {
    #[test]
    fn any_json_weighs_what_it_weighs_simply(json in json()) {
        prop_assert_eq!(weigh(json.as_bytes()), simply(&json), "{}", json);
    }

    #[test]
    fn any_string_weighs_what_it_weighs_simply(text in text(), every in 0_usize..9) {
        let json = written(&text, every);
        prop_assert_eq!(weigh(json.as_bytes()), simply(&json), "{}", json);
    }

    #[test]
    fn what_is_no_json_is_weighed_without_harm(bytes in prop::collection::vec(any::<u8>(), 0..300), text in "[\"\\\\a :{]{0,300}") {
        weigh(&bytes);
        weigh(text.as_bytes());
    }
}

#[test]
fn an_escape_is_one_character_wherever_a_block_ends_in_it() {
    for escape in
        [r"\n", "\\\"", r"\\", r"\/", r"\b", r"\u0041", r"\u0037", r"\u00e9", r"\u3042", r"\ud83d\ude00"]
    {
        for before in 0..200 {
            for fill in ["a", "7", "-", "a b", "月", "é"] {
                let text = |count: usize| fill.chars().cycle().take(count).collect::<String>();
                agree(&format!("\"{}{escape}{}\"", text(before), text(before % 70)));
            }
        }
    }
}

#[test]
fn a_run_is_packed_from_65_on_wherever_it_stands() {
    for before in 0..130 {
        for length in [63, 64, 65, 66, 127, 128, 129, 300] {
            for (left, right) in [
                ("\"", "\""),
                ("\"月", "月\""),
                ("\" ", "\\n\""),
                ("\"\\\"", "\\\"\""),
                ("\"\\u0041", "\\/\""),
            ] {
                let json =
                    format!("[{}{left}{}{right}]", " ".repeat(before), "0aZ+".repeat(75).split_at(length).0);
                agree(&json);
                let more = if left.ends_with('1') { 2 } else { 0 };
                let packed = if length + more > 64 { length + more } else { 0 };
                assert_eq!(weigh(json.as_bytes()).packed, packed as u64, "{json}");
            }
        }
    }
}

#[test]
fn numbers_and_punctuation_outside_of_strings_are_no_run() {
    let json = format!("[{}0]", "1,[2],{},".repeat(50));
    assert_eq!(weigh(json.as_bytes()).packed, 0);
    agree(&json);
}

#[test]
fn json_in_a_string_is_not_packed() {
    let inner = format!("{{{}\\\"z\\\":0}}", "\\\"name\\\":[1,2,3],".repeat(50));
    assert_eq!(weigh(format!("\"{inner}\"").as_bytes()).packed, 0);
}

#[test]
fn media_count_by_number_and_not_by_length() {
    let blob = "iVBORw0KGgo".repeat(100);
    for (part, media) in [
        (format!(r#"{{"type":"image_url","image_url":{{"url":"data:image/png;base64,{blob}"}}}}"#), 1),
        (format!(r#"{{"type":"image_url","image_url":{{"url" : "data:image\/png;base64,{blob}"}}}}"#), 1),
        (format!(r#"{{"type":"input_audio","input_audio":{{"data":"{blob}","format":"wav"}}}}"#), 1),
        (format!(r#"{{"type":"input_audio","input_audio": {{"format":"wav", "data": "{blob}"}}}}"#), 1),
        (
            format!(
                r#"{{"type":"file","file":{{"filename":"a","file_data":"data:application/pdf;base64,{blob}"}}}}"#
            ),
            1,
        ),
        (r#"{"type":"image_url","image_url":{"url":"https://example.com/data:1.png"}}"#.to_string(), 0),
        (r#"{"type":"text","text":"data: this is a text"}"#.to_string(), 0),
        (format!(r#"{{"type":"text","text":"data:image/png;base64,{blob}"}}"#), 0),
        (r#"{"url":"data:a text that only looks like one"}"#.to_string(), 0),
        (format!(r#"{{"url":"data:a,{blob} and words"}}"#), 0),
    ] {
        agree(&part);
        let weight = weigh(part.as_bytes());
        assert_eq!(weight.media, media, "{part}");
        assert!(media == 0 || weight.packed == 0, "{part}");
    }
}

#[test]
fn every_message_has_a_role() {
    let json = r#"{"model":"role","messages":[{"role":"user","content":"role"},{"content":"\"role\":", "role" : "role"}]}"#;
    assert_eq!(weigh(json.as_bytes()).messages, 2);
    agree(json);
}

#[test]
fn every_cut_of_a_text_is_weighed_right() {
    let text = "月次 report: 3つの要点。 déjà vu €5 \u{2e80}\u{2e7f} 😀 A1b2C3d4E5f6G7h8I9j0K1l2M3n4O5p6Q7r8S9t0U1v2W3x4Y5z6A7b8C9d0E1f2G3 ok";
    let letters = text.chars().collect::<Vec<_>>();
    for from in 0..letters.len() {
        for to in from..=letters.len() {
            agree(&written(&letters[from..to].iter().collect::<String>(), 0));
        }
    }
}
