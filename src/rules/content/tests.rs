use super::*;
use crate::wire::moderation::Question;
use crate::wire::sieve::{Judge, Part, Verdict, Writing};

fn policy(words: &[&str], answers: Answers) -> Policy {
    let patterns = words.iter().map(|word| Pattern::word(word).unwrap()).collect();
    Policy {
        name: PolicyName::new("p"),
        denied: Some(Arc::new(Matcher::new(patterns).unwrap())),
        answers,
        max_prompt_tokens: None,
        media: Allowed::ALL,
        moderation: None,
    }
}

fn forbids(message: &str) -> bool {
    let policy = policy(&["bomb", "make a plan"], Answers::Free);
    policy.forbids(format!(r#"{{"model":"m","messages":[{message}]}}"#).as_bytes())
}

#[test]
fn what_a_request_says_is_looked_at_in_all_its_spellings() {
    for message in [
        r#"{"role":"user","content":"a bomb"}"#,
        r#"{"role":"user","content":"a b\u006fmb"}"#,
        r#"{"role":"user","content":[{"type":"text","text":"a bo"},{"type":"text","text":"mb"}]}"#,
        r#"{"role":"user","content":[{"type":"text","text":"make a"},{"type":"text","text":"plan"}]}"#,
        r#"{"role":"assistant","tool_calls":[{"function":{"name":"f","arguments":"{\"q\":\"b\\u006fmb\"}"}}]}"#,
        r#"{"role":"assistant","tool_calls":[{"function":{"name":"f","arguments":"\\bomb"}}]}"#,
        r#"{"role":"assistant","tool_calls":[{"function":{"name":"bomb","arguments":"{}"}}]}"#,
    ] {
        assert!(forbids(message), "{message}");
    }
    for message in [
        r#"{"role":"user","content":"a bo mb"}"#,
        r#"{"role":"user","content":"bombs"}"#,
        r#"{"role":"user","content":"bo"},{"role":"user","content":"mb"}"#,
    ] {
        assert!(!forbids(message), "{message}");
    }
}

#[test]
fn what_nobody_waits_for_any_more_is_not_looked_at() {
    let policy = policy(&["bomb"], Answers::Free);
    let body = br#"{"model":"m","messages":[{"role":"user","content":"bomb"}]}"#;
    let stop = Stop::default();
    assert_eq!(policy.forbids_within(body, Work::until(stop.clone())), Some(true));
    stop.say();
    assert_eq!(policy.forbids_within(body, Work::until(stop.clone())), None);
    assert_eq!(policy.forbids_within(body, Work::of(1_000_000).or_until(stop)), None);
}

#[test]
fn nobody_looks_at_answers_unless_they_are_to_be_screened() {
    assert!(policy(&["bomb"], Answers::Free).sieve().is_none());
    let mut sieve = policy(&["bomb"], Answers::Screened).sieve().unwrap();
    let mut told = String::new();
    // Each text of each choice is one of its own.
    assert_eq!(sieve.piece(0, Part::Content, "a bo", &mut told), Verdict::Clean);
    assert_eq!(sieve.piece(0, Part::Refusal, "mb", &mut told), Verdict::Clean);
    assert_eq!(sieve.piece(1, Part::Content, "mb", &mut told), Verdict::Clean);
    assert_eq!(told, "a mm");
    assert_eq!(sieve.piece(0, Part::Arguments(0), r#"{"q":"\u0062o"#, &mut told), Verdict::Clean);
    let mut rest = Vec::new();
    assert_eq!(sieve.end(0, &mut |part, text| rest.push((part, text.to_owned()))), Verdict::Clean);
    let kept = [(Part::Content, "bo"), (Part::Refusal, "b"), (Part::Arguments(0), r"\u0062o")];
    assert_eq!(rest, kept.map(|(part, text)| (part, text.to_owned())));
    assert_eq!(sieve.piece(1, Part::Input(0), "bom", &mut told), Verdict::Clean);
    assert_eq!(sieve.piece(1, Part::Input(0), "b!", &mut told), Verdict::Forbidden);
}

#[test]
fn of_a_whole_answer_what_is_long_or_takes_long_is_put_off() {
    assert!(policy(&["bomb"], Answers::Free).glance(100, 100).is_none());
    let glance = |bytes, work| policy(&["bomb"], Answers::Screened).glance(bytes, work).unwrap();
    let mut soon = glance(12, 100);
    assert_eq!(soon.whole(Writing::Plain, "a book"), Verdict::Clean);
    assert_eq!(soon.whole(Writing::Json, r"b\u006fmb"), Verdict::Clean);
    let put_off = soon.put_off().unwrap();
    assert_eq!((put_off.bytes(), put_off.forbids_within(Work::of(100))), (9, Some(true)));
    let stop = Stop::default();
    stop.say();
    assert_eq!(put_off.forbids_within(Work::until(stop)), None);
    let mut soon = glance(15, 100);
    assert_eq!(soon.whole(Writing::Plain, "a book"), Verdict::Clean);
    assert_eq!(soon.whole(Writing::Json, r"b\u006fmb"), Verdict::Forbidden);
    assert!(soon.put_off().is_none());
    // What takes more work than there is, however short.
    let mut hard = policy(&[], Answers::Screened);
    let patterns = vec![Pattern::regex("[ab]{2}.{0,200}[xy]z").unwrap()];
    hard.denied = Some(Arc::new(Matcher::new(patterns).unwrap()));
    let mut soon = hard.glance(100, 10).unwrap();
    assert_eq!(soon.whole(Writing::Plain, "abbaxz"), Verdict::Clean);
    assert!(soon.put_off().unwrap().forbids());
}

#[test]
fn an_answer_of_a_thousand_texts_is_none() {
    let mut sieve = policy(&["bomb"], Answers::Screened).sieve().unwrap();
    let mut told = String::new();
    let clean =
        (0..2000).take_while(|n| sieve.piece(*n, Part::Content, "a", &mut told) == Verdict::Clean).count();
    assert_eq!(clean, 1024);
}

#[test]
fn a_moderator_is_asked_about_all_that_a_model_reads() {
    let texts = |body: &str| match questions(body.as_bytes(), Allowed::ALL).as_slice() {
        [] => Vec::new(),
        [Question::Texts(texts)] => texts.clone(),
        other => panic!("{other:?}"),
    };
    let body = r#"{"messages":[{"role":"system","content":"one"},{"role":"user","name":"n","content":[
        {"type":"text","text":"two"},{"type":"text","text":"three"}]},{"role":"assistant","content":""}],"model":"m"}"#;
    assert_eq!(texts(body), ["one", "n", "twothree"]);
    let calls = r#"{"messages":[{"role":"assistant","refusal":"no","reasoning_content":"hm","tool_calls":[
        {"id":"a","type":"function","function":{"name":"f","arguments":"{\"q\":\"\\u0062\"}"}},
        {"id":"b","type":"custom","custom":{"name":"g","input":"free"}}]}]}"#;
    assert_eq!(texts(calls), ["no\nhm\nf", "{\"q\":\"\\u0062\"}\n{\"q\":\"b\"}", "g\nfree"]);
    let tools = r#"{"messages":[{"role":"user","content":"hi"}],"tools":[{"type":"function","function":{"name":"f",
        "description":"does","parameters":{"type":"object","properties":{"city":{"enum":["here"]}}}}}]}"#;
    assert_eq!(texts(tools), ["hi", "f\ndoes\ncity\nhere"]);
    assert_eq!(texts(r#"{"messages":[{"role":"assistant","content":""}]}"#), Vec::<String>::new());
}

#[test]
fn pictures_are_asked_about_one_by_one_if_the_moderator_can_judge_them() {
    let body = br#"{"messages":[{"role":"user","content":[{"type":"image_url","image_url":{"url":"u"}},
        {"type":"text","text":"x"},{"type":"image_url","image_url":{"url":"v"}}]}]}"#;
    let text = Question::Texts(vec!["x".to_owned()]);
    let pictures = ["u", "v"].map(|url| Question::Picture(url.to_owned()));
    let all = [vec![text.clone()], pictures.to_vec()].concat();
    assert_eq!(questions(body, Allowed::ALL), all);
    assert_eq!(questions(body, Allowed { image: false, ..Allowed::ALL }), [text]);
}
