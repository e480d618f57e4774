use super::*;
use crate::wire::request::check;

/// The texts of a body, each behind a letter for what it is.
fn heard(body: &str) -> Vec<String> {
    check(body.as_bytes()).unwrap_or_else(|why| panic!("{body}: {why}"));
    let mut all = Vec::new();
    texts(body.as_bytes(), &mut |said| {
        all.push(match said {
            Said::Message(text) => format!("M {text}"),
            Said::Apart(text) => format!("P {text}"),
            Said::Beside(text) => format!("B {text}"),
            Said::Arguments(text) => format!("A {text}"),
        });
        ControlFlow::Continue(())
    });
    all
}

fn of_message(message: &str) -> Vec<String> {
    heard(&format!(r#"{{"model":"m","messages":[{message}]}}"#))
}

fn of_field(field: &str) -> Vec<String> {
    let all = heard(&format!(r#"{{"model":"m","messages":[{{"role":"user","content":"hi"}}],{field}}}"#));
    assert_eq!(all[0], "M hi");
    all[1..].to_vec()
}

#[test]
fn every_message_says_its_content() {
    for (message, said) in [
        (r#"{"role":"user","content":"plain"}"#, &["M plain"][..]),
        (r#"{"role":"user","content":"b\u006fmb\n\ud83d\ude00"}"#, &["M bomb\n😀"]),
        (r#"{"role":"system","content":[{"type":"text","text":"one"}]}"#, &["M one"]),
        (
            r#"{"role":"user","content":[{"type":"text","text":"bo"},{"type":"image_url","image_url":{"url":"http://bomb.example"}},{"text":"mb","type":"text"}]}"#,
            &["M bomb", "P bo mb"],
        ),
        (
            r#"{"role":"assistant","content":[{"type":"refusal","refusal":"no"}],"refusal":"never"}"#,
            &["M no", "B never"],
        ),
        (r#"{"role":"assistant","content":null}"#, &[]),
        (r#"{"role":"tool","tool_call_id":"call_1","content":"result"}"#, &["M result"]),
        (r#"{"role":"user","name":"Bob","content":""}"#, &["B Bob", "M "]),
        (
            r#"{"role":"assistant","reasoning_content":"hm","content":"x","annotations":[{"type":"u","title":"t"}]}"#,
            &["B hm", "M x", "B u", "B t"],
        ),
    ] {
        assert_eq!(of_message(message), said, "{message}");
    }
}

#[test]
fn files_and_sounds_say_no_more_than_their_names() {
    let message = r#"{"role":"user","content":[
        {"type":"file","file":{"filename":"plan.pdf","file_data":"data:application/pdf;base64,AA+/\r\nA-_="}},
        {"type":"image_url","image_url":{"url":"https://pictures.example/a?b=c","detail":"low"}},
        {"type":"input_audio","input_audio":{"data":"BBBB","format":"wav"}},
        {"type":"text","text":"look","cache_control":{"type":"ephemeral","note":"n"}}]}"#;
    assert_eq!(of_message(message), ["B plan.pdf", "B n", "M look"]);
}

#[test]
fn what_is_no_picture_and_no_sound_is_read() {
    for (part, said) in [
        (r#"{"type":"image_url","image_url":{"url":"make a bomb"}}"#, &["B make a bomb"][..]),
        (r#"{"type":"image_url","image_url":{"url":"https://a b"}}"#, &["B https://a b"]),
        (r#"{"type":"image_url","image_url":{"url":"https://爆弾"}}"#, &["B https://爆弾"]),
        (
            r#"{"type":"image_url","image_url":{"url":"https://a","detail":"make a bomb"}}"#,
            &["B make a bomb"],
        ),
        (
            r#"{"type":"input_audio","input_audio":{"data":"a bomb","format":"bomb"}}"#,
            &["B a bomb", "B bomb"],
        ),
        (
            r#"{"type":"file","file":{"file_data":"data:text/plain,bomb","x":{"file_data":"AA"}}}"#,
            &["B data:text/plain,bomb", "B AA"],
        ),
        (r#"{"type":"file","file":{"file_data":"data:a bomb;base64,AA"}}"#, &["B data:a bomb;base64,AA"]),
        (r#"{"type":"text","text":"x","file":{"file_data":"a bomb"}}"#, &["B a bomb", "M x"]),
        (r#"{"type":"text","text":"x","image_url":{"url":"a bomb"}}"#, &["B a bomb", "M x"]),
        (r#"{"type":"text","text":"x","id":"a bomb","role":["b"]}"#, &["B a bomb", "B b", "M x"]),
    ] {
        assert_eq!(of_message(&format!(r#"{{"role":"user","content":[{part}]}}"#)), said, "{part}");
    }
}

#[test]
fn a_name_that_gives_things_their_form_hides_nothing() {
    let tool = |parameters: &str| {
        of_field(&format!(
            r#""tools":[{{"type":"function","function":{{"name":"f","parameters":{parameters}}}}}]"#
        ))[1..]
            .to_vec()
    };
    for parameters in [
        r#"{"type":"object","format":"bomb"}"#,
        r#"{"items":{"type":"string","format":"bomb"}}"#,
        r#"{"items":{"type":["string","bomb"]}}"#,
        r#"{"$id":"bomb","$schema":"http://json-schema.org/draft-07/schema#"}"#,
        r#"{"$schema":"bomb"}"#,
        r#"{"$ref":"bomb"}"#,
        r#"{"type":"object","id":{"description":"bomb"}}"#,
        r#"{"mode":["bomb"]}"#,
        r#"{"default":{"type":"bomb","role":1}}"#,
        r#"{"default":{"format":[{"mode":{"type":"bomb"}}]}}"#,
        r#"{"tool_call_id":"bomb","role":null}"#,
        r#"{"role":"bomb"}"#,
    ] {
        assert_eq!(tool(parameters), ["B bomb"], "{parameters}");
    }
    for (field, said) in [
        (
            r#""tools":[{"type":"custom","custom":{"name":"f","format":{"type":"grammar","grammar":{"syntax":"lark","definition":"start: bomb"}}}}]"#,
            &["B f", "B start: bomb"][..],
        ),
        (r#""tools":[{"type":"function","id":"bomb","function":{"name":"f"}}]"#, &["B bomb", "B f"]),
        (
            r#""tool_choice":{"type":"allowed_tools","allowed_tools":{"mode":"bomb","tools":[{"type":"function","name":"f"}]}}"#,
            &["B bomb", "B f"],
        ),
        (r#""tool_choice":"auto","function_call":"none""#, &[]),
        (
            r#""response_format":{"type":"json_schema","json_schema":{"name":"n","schema":{"type":"object","format":"bomb"}}}"#,
            &["B n", "B bomb"],
        ),
        (
            r#""prediction":{"type":"content","content":"x","format":"bomb","role":"y","tool_calls":[{"id":"z"}]}"#,
            &["M x", "B bomb", "B y", "B z"],
        ),
    ] {
        assert_eq!(of_field(field), said, "{field}");
    }
    for (message, said) in [
        (r#"{"role":"user","content":"x","thinking":{"type":"bomb"}}"#, &["M x", "B bomb"][..]),
        (r#"{"role":"user","content":"x","id":"bomb","format":["y"]}"#, &["M x", "B bomb", "B y"]),
        (
            r#"{"role":"assistant","tool_calls":[{"id":"c","type":"function","function":{"name":"f","arguments":"{}","id":"bomb"}}]}"#,
            &["B f", "A {}", "B bomb"],
        ),
    ] {
        assert_eq!(of_message(message), said, "{message}");
    }
}

#[test]
fn words_of_options_are_read_unless_everybody_uses_them() {
    for (field, said) in [
        (r#""reasoning_effort":"low","verbosity":"high","modalities":["text"]"#, &[][..]),
        (r#""reasoning_effort":"bomb""#, &["B bomb"]),
        (r#""verbosity":"bomb""#, &["B bomb"]),
        (r#""modalities":["text","bomb"]"#, &["B bomb"]),
        (r#""prompt_cache_retention":"bomb""#, &["B bomb"]),
        (r#""prompt_cache_retention":"24h","prompt_cache_options":{"mode":"explicit","ttl":"30m"}"#, &[]),
        (r#""prompt_cache_options":{"mode":"bomb"}"#, &["B bomb"]),
        (r#""logit_bias":{"50256":-100,"a bomb":1,"b":2}"#, &["B a bomb", "B b"]),
    ] {
        assert_eq!(of_field(field), said, "{field}");
    }
}

#[test]
fn calls_say_their_names_and_arguments() {
    let message = r#"{"role":"assistant","tool_calls":[
        {"id":"call_1","type":"function","function":{"name":"f","arguments":"{\"q\":\"b\\u006fmb\"}"}},
        {"id":"call_2","type":"custom","custom":{"name":"g","input":"free"}}],
        "function_call":{"name":"h","arguments":"{}"}}"#;
    assert_eq!(of_message(message), ["B f", r#"A {"q":"b\u006fmb"}"#, "B g", "B free", "B h", "A {}"]);
}

#[test]
fn tools_formats_and_predictions_say_what_a_model_reads() {
    let tools = r#""tools":[{"type":"function","function":{"name":"f","description":"does","strict":true,"parameters":
        {"type":"object","properties":{"city":{"type":"string","description":"where","enum":["here"],"format":"date"},
        "properties":{"type":["string","null"]}},"required":["city"]}}}]"#;
    assert_eq!(of_field(tools), ["B f", "B does", "B city", "B where", "B here", "B properties", "B city"]);
    assert_eq!(of_field(r#""functions":[{"name":"f","description":"old"}]"#), ["B f", "B old"]);
    assert_eq!(
        of_field(
            r#""response_format":{"type":"json_schema","json_schema":{"name":"n","schema":{"title":"t"}}}"#
        ),
        ["B n", "B t"]
    );
    assert_eq!(of_field(r#""prediction":{"type":"content","content":"foretold"}"#), ["M foretold"]);
    assert_eq!(of_field(r#""stop":["end"]"#), ["B end"]);
    assert_eq!(of_field(r#""unknown":{"a":[{"b":"c"}],"type":"x"}"#), ["B c", "B x"]);
}

#[test]
fn what_stays_here_says_nothing() {
    let fields = r#""user":"bomb","metadata":{"a":"bomb"},"safety_identifier":"bomb","service_tier":"bomb",
        "prompt_cache_key":"bomb","moderation":{"model":"bomb"},"stream":true,"temperature":1,"audio":{"voice":"bomb"},"web_search_options":{"a":"bomb"}"#;
    assert!(of_field(fields).is_empty());
}

#[test]
fn whoever_has_heard_enough_hears_no_more() {
    let body =
        r#"{"messages":[{"role":"user","content":"one"},{"role":"user","content":"two"}],"model":"m"}"#;
    let mut count = 0;
    texts(body.as_bytes(), &mut |_| {
        count += 1;
        ControlFlow::Break(())
    });
    assert_eq!(count, 1);
}

#[test]
fn what_is_no_body_does_no_harm() {
    for body in [
        "",
        "[",
        "{",
        r#"{"messages":7}"#,
        r#"{"messages":[7,[]]}"#,
        r#"{"messages":[{"content":{}}]"#,
        "\u{feff}",
    ] {
        texts(body.as_bytes(), &mut |_| ControlFlow::Continue(()));
    }
    texts(b"\xff", &mut |_| ControlFlow::Continue(()));
    let deep = format!("{{\"a\":{}", "[".repeat(100_000));
    texts(deep.as_bytes(), &mut |_| ControlFlow::Continue(()));
}
