//! What the roles need, and what content may be made of.

use super::*;

#[test]
fn lawful_messages_pass() {
    for message in [
        r#"{"role":"system","content":"x"}"#,
        r#"{"role":"developer","content":""}"#,
        r#"{"content":[{"text":"x","type":"text"}],"role":"system"}"#,
        r#"{"role":"user","content":"x","name":"bob","extra":{"a":[1]}}"#,
        r#"{"role":"user","content":[{"type":"text","text":"x","cache_control":{"type":"ephemeral"}}]}"#,
        r#"{"role":"user","content":[{"type":"image_url","image_url":{"url":"https://x/y.png","detail":"low"}}]}"#,
        r#"{"role":"user","content":[{"type":"input_audio","input_audio":{"data":"AA==","format":"wav"}}]}"#,
        r#"{"role":"assistant","content":"x","audio":null,"refusal":null}"#,
        r#"{"role":"user","content":[{"type":"file","file":{"file_data":"AA==","file_id":null}},{"type":"text","text":"","image_url":null}]}"#,
        r#"{"role":"assistant"}"#,
        r#"{"role":"assistant","content":null,"refusal":null,"tool_calls":null,"audio":null}"#,
        r#"{"role":"assistant","content":"x","refusal":"no","reasoning_content":"r"}"#,
        r#"{"role":"assistant","content":[{"type":"refusal","refusal":"no"},{"type":"text","text":"x"}]}"#,
        r#"{"role":"assistant","tool_calls":[{"id":"c","type":"function","function":{"name":"f","arguments":"{}"}}]}"#,
        r#"{"role":"assistant","tool_calls":[{"function":{"name":"f","arguments":""}}]}"#,
        r#"{"role":"assistant","tool_calls":[{"id":"c","type":"custom","custom":{"name":"f","input":"x"}}]}"#,
        r#"{"role":"assistant","tool_calls":[],"function_call":{"name":"f","arguments":"{}"}}"#,
        r#"{"role":"tool","content":"x","tool_call_id":"c"}"#,
        r#"{"role":"tool","content":[{"type":"text","text":"x"}],"tool_call_id":"c"}"#,
        r#"{"role":"function","name":"f","content":null}"#,
        r#"{"role":"function","name":"f","content":"x"}"#,
        r#"{"r\u006fle":"us\u0065r","content":"\ud83d\ude00\u0000"}"#,
    ] {
        accepted(&talk(&format!("[{message}]")));
    }
}

#[test]
fn an_unlawful_message_is_complained_about_by_its_path() {
    const ROLE: &str = "must be `developer`, `system`, `user`, `assistant`, `tool` or `function`";
    for (message, field, wrong) in [
        ("1", "", "must be an object"),
        ("null", "", "must be an object"),
        ("{}", ".role", "is required"),
        (r#"{"role":null,"content":"x"}"#, ".role", "is required"),
        (r#"{"role":1,"content":"x"}"#, ".role", "must be a string"),
        (r#"{"role":"User","content":"x"}"#, ".role", ROLE),
        (r#"{"role":"","content":"x"}"#, ".role", ROLE),
        (r#"{"role":"user"}"#, ".content", "is required"),
        (r#"{"role":"user","content":null}"#, ".content", "is required"),
        (r#"{"role":"system","content":null}"#, ".content", "is required"),
        (r#"{"role":"developer"}"#, ".content", "is required"),
        (r#"{"role":"tool","tool_call_id":"c"}"#, ".content", "is required"),
        (r#"{"role":"tool","content":"x"}"#, ".tool_call_id", "is required"),
        (r#"{"role":"tool","content":"x","tool_call_id":1}"#, ".tool_call_id", "must be a string"),
        (r#"{"role":"function","content":"x"}"#, ".name", "is required"),
        (r#"{"role":"function","name":"f"}"#, ".content", "is required; it may be null"),
        (r#"{"role":"function","name":"f","content":[]}"#, ".content", "must be a string or null"),
        (r#"{"role":"user","content":1}"#, ".content", "must be a string or an array of content parts"),
        (r#"{"role":"user","content":{}}"#, ".content", "must be a string or an array of content parts"),
        (r#"{"role":"user","content":[]}"#, ".content", "must have at least one part"),
        (r#"{"role":"system","content":[]}"#, ".content", "must have at least one part"),
        (r#"{"role":"user","content":["x"]}"#, ".content[0]", "must be an object"),
        (r#"{"role":"user","content":[{}]}"#, ".content[0].type", "is required"),
        (r#"{"role":"user","content":[{"type":1}]}"#, ".content[0].type", "must be a string"),
        (
            r#"{"role":"user","content":[{"type":"video_url"}]}"#,
            ".content[0].type",
            "must be `text`, `image_url`, `input_audio`, `file` or `refusal`",
        ),
        (r#"{"role":"user","content":[{"type":"text"}]}"#, ".content[0].text", "is required"),
        (r#"{"role":"user","content":[{"type":"text","text":null}]}"#, ".content[0].text", "is required"),
        (r#"{"role":"user","content":[{"type":"text","text":1}]}"#, ".content[0].text", "must be a string"),
        (
            r#"{"role":"user","content":[{"type":"text","text":"a"},{"type":"image_url"}]}"#,
            ".content[1].image_url",
            "is required",
        ),
        (
            r#"{"role":"user","content":[{"type":"image_url","image_url":"x"}]}"#,
            ".content[0].image_url",
            "must be an object",
        ),
        (
            r#"{"role":"user","content":[{"type":"image_url","image_url":{}}]}"#,
            ".content[0].image_url.url",
            "is required",
        ),
        (
            r#"{"role":"user","content":[{"type":"image_url","image_url":{"url":1}}]}"#,
            ".content[0].image_url.url",
            "must be a string",
        ),
        (
            r#"{"role":"user","content":[{"type":"input_audio","input_audio":{"data":""}}]}"#,
            ".content[0].input_audio.format",
            "is required",
        ),
        (
            r#"{"role":"user","content":[{"type":"input_audio","input_audio":{"format":""}}]}"#,
            ".content[0].input_audio.data",
            "is required",
        ),
        (
            r#"{"role":"user","content":[{"type":"file","file":"x"}]}"#,
            ".content[0].file",
            "must be an object",
        ),
        (
            r#"{"role":"user","content":[{"type":"file","file":{"filename":"a","file_id":"file-1"}}]}"#,
            ".content[0].file.file_id",
            "must not be given, as this API keeps no files; send `file_data`",
        ),
        (
            r#"{"role":"user","content":[{"type":"text","text":"a","file":{"file_id":{}}}]}"#,
            ".content[0].file.file_id",
            "must not be given, as this API keeps no files; send `file_data`",
        ),
        (
            r#"{"role":"assistant","audio":{"id":"audio-1"}}"#,
            ".audio",
            "must not be given, as this API keeps no sounds; send its text as `content`",
        ),
        (
            r#"{"role":"user","content":[{"type":"refusal","refusal":"x"}]}"#,
            ".content[0].type",
            "must not be `refusal` in a message of this role",
        ),
        (
            r#"{"content":[{"type":"text","text":"a"},{"type":"file","file":{}}],"role":"system"}"#,
            ".content[1].type",
            "must be `text` in a message of this role",
        ),
        (r#"{"role":"user","content":"x","name":1}"#, ".name", "must be a string"),
        (r#"{"role":"assistant","refusal":1}"#, ".refusal", "must be a string"),
        (r#"{"role":"assistant","tool_calls":{}}"#, ".tool_calls", "must be an array"),
        (r#"{"role":"assistant","tool_calls":[1]}"#, ".tool_calls[0]", "must be an object"),
        (r#"{"role":"assistant","tool_calls":[{"id":1}]}"#, ".tool_calls[0].id", "must be a string"),
        (
            r#"{"role":"assistant","tool_calls":[{"type":"x"}]}"#,
            ".tool_calls[0].type",
            "must be `function` or `custom`",
        ),
        (
            r#"{"role":"assistant","tool_calls":[{"function":{"name":"f","arguments":{}}}]}"#,
            ".tool_calls[0].function.arguments",
            "must be a string",
        ),
        (
            r#"{"role":"assistant","tool_calls":[{"function":{"arguments":""}}]}"#,
            ".tool_calls[0].function.name",
            "is required",
        ),
        (r#"{"role":"assistant","function_call":"auto"}"#, ".function_call", "must be an object"),
        (r#"{"role":"user","content":"x","role":"system"}"#, ".role", "must not be given twice"),
        (r#"{"role":"user","content":"x","c\u006fntent":"y"}"#, ".content", "must not be given twice"),
        (r#"{"role":"user","content":"x","a":1,"\u0061":1}"#, "", "must not have the same member twice"),
        (
            r#"{"role":"user","content":[{"type":"text","text":"x","text":"y"}]}"#,
            ".content[0].text",
            "must not be given twice",
        ),
    ] {
        let body = talk(&format!(r#"[{{"role":"user","content":"hi"}},{message}]"#));
        assert_eq!(complaint(&body), format!("`messages[1]{field}` {wrong}."), "{body}");
    }
}

#[test]
fn messages_are_a_list_with_something_in_it() {
    for messages in ["null", "{}", "\"hi\"", "1"] {
        assert_eq!(complaint(&talk(messages)), "`messages` must be an array.");
    }
    assert_eq!(complaint(&talk("[]")), "`messages` must have at least one message.");
    let many = vec![r#"{"role":"user","content":"x"}"#; 10_000].join(",");
    assert_eq!(accepted(&talk(&format!("[{many}]"))).messages(), 10_000);
}

#[test]
fn each_medium_is_found_where_it_stands_first() {
    let text = r#"{"type":"text","text":"a"}"#;
    let image = r#"{"type":"image_url","image_url":{"url":"http://a"}}"#;
    let sound = r#"{"type":"input_audio","input_audio":{"data":"A","format":"wav"}}"#;
    let file = r#"{"type":"file","file":{"file_data":"AA=="}}"#;
    let body = format!(
        r#"{{"model":"m","messages":[{{"role":"user","content":"a"}},{{"role":"user","content":[{text},{sound},{sound}]}},{{"role":"user","content":[{image},{sound}]}}]}}"#
    );
    let request = check(body.as_bytes()).unwrap();
    assert_eq!(request.holds(Media::Audio).as_deref(), Some("messages[1].content[1].type"));
    assert_eq!(request.holds(Media::Image).as_deref(), Some("messages[2].content[0].type"));
    assert_eq!(request.holds(Media::File), None);
    let body =
        format!(r#"{{"model":"m","messages":[{{"role":"tool","tool_call_id":"c","content":[{file}]}}]}}"#);
    assert_eq!(
        check(body.as_bytes()).unwrap().holds(Media::File).as_deref(),
        Some("messages[0].content[0].type")
    );
}
