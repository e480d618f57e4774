use super::*;
use crate::wire::weigh::weigh;

/// What one message with this content is estimated at.
fn estimated(content: &str) -> u64 {
    let content = serde_json::to_string(content).unwrap();
    let body = format!(r#"{{"model":"general","messages":[{{"role":"user","content":{content}}}]}}"#);
    prompt(weigh(body.as_bytes()))
}

/// Checks an estimate against what a tokenizer makes of such a text.
fn fits(content: &str, bytes_per_token: f64) {
    let ratio = estimated(content) as f64 / (content.len() as f64 / bytes_per_token);
    assert!((0.6..=1.6).contains(&ratio), "{ratio:.2} {content}");
}

const ENGLISH: &str = "The harbour office opens at seven, and by then the first boats have already come back. \
    Nobody who works there writes much down: prices are called across the quay, buyers nod, and boxes of ice \
    and mackerel change hands before the sun is properly up. When the wind turns to the north the whole trade \
    moves indoors, where it is warmer but slower, and where people start to argue about last winter's debts. \
    A visitor once asked how they remember all of it. The clerk pointed at the kettle and said that anyone \
    who forgets what he owes has to make the tea, and that there had been very little tea so far this year.";

const JAPANESE: &str = "先月の売上は前年同月を少し上回りましたが、地域ごとの差が大きくなっています。関東では新しい店舗が\
    順調に伸びている一方で、北海道では大雪の影響で配送が三日ほど遅れ、お客様からの問い合わせが増えました。来月は在庫の\
    配置を見直し、倉庫を二か所に分けて運用する予定です。あわせて、問い合わせ窓口の人数を増やし、返信までの時間を半日以内に\
    短くすることを目標にします。詳しい数字は別の資料にまとめましたので、会議の前に目を通しておいてください。";

const CODE: &str = r#"/// Finds the longest stretch of days on which it rained.
fn longest_rain(days: &[Day]) -> Option<Range<usize>> {
    let mut best: Option<Range<usize>> = None;
    let mut start = None;
    for (index, day) in days.iter().enumerate() {
        match (day.rain_mm > 0.0, start) {
            (true, None) => start = Some(index),
            (false, Some(from)) => {
                let length = best.as_ref().map_or(0, |range| range.len());
                if index - from > length {
                    best = Some(from..index);
                }
                start = None;
            }
            _ => {}
        }
    }
    best
}
"#;

/// Letters of base64 without a pattern.
fn base64() -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut seed = 42_u64;
    let mut next = || {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        char::from(LETTERS[(seed >> 58) as usize])
    };
    (0..2000).map(|_| next()).collect()
}

fn dense_json() -> String {
    let row =
        |n: u64| format!(r#"{{"id":{},"ok":true,"xy":[{}.5,-{}],"tag":"k{n}"}}"#, 7919 * n, n * 31, n * 7);
    format!("[{}]", (1..40).map(row).collect::<Vec<_>>().join(","))
}

#[test]
fn estimates_of_all_sorts_of_text_are_near_a_tokenizers_count() {
    fits(ENGLISH, 4.55);
    fits(JAPANESE, 3.17);
    fits(CODE, 3.51);
    fits(&base64(), 1.47);
    fits(&dense_json(), 4.0 * 0.58);
}

#[test]
fn escaping_a_text_does_not_change_its_estimate() {
    let plain = format!("\"{JAPANESE}\"");
    let escaped: String = JAPANESE.encode_utf16().map(|unit| format!("\\u{unit:04x}")).collect();
    assert_eq!(weigh(plain.as_bytes()), weigh(format!("\"{escaped}\"").as_bytes()));
}

#[test]
fn every_kind_has_its_factor_and_the_sum_is_rounded_up() {
    let none = Weight::default();
    for (weight, tokens) in [
        (none, 0),
        (Weight { letters: 46, ..none }, 10),
        (Weight { letters: 1, ..none }, 1),
        (Weight { digits: 20, ..none }, 10),
        (Weight { marks: 18, ..none }, 10),
        (Weight { ideographs: 10, ..none }, 9),
        (Weight { packed: 15, ..none }, 10),
        (Weight { messages: 3, ..none }, 12),
        (Weight { media: 2, ..none }, 2000),
        (Weight { letters: 46, digits: 1, ideographs: 1, ..none }, 12),
        (Weight { ideographs: u64::MAX, media: u64::MAX, ..none }, u64::MAX),
    ] {
        assert_eq!(prompt(weight), tokens, "{weight:?}");
    }
}

#[test]
fn an_answer_is_estimated_by_its_script() {
    let of =
        |text: &str| estimate(Delivered { bytes: text.len() as u64, chars: text.chars().count() as u64 });
    assert_eq!(of(""), 0);
    assert_eq!(of("a"), 1);
    assert_eq!(of("twelve chars"), 3);
    assert_eq!(of("月次レポート"), 6);
    assert_eq!(of("月次 report"), 4);
}
