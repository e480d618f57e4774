//! The table of top-level fields: for each, values that pass and values that do not, with the complaint.

use super::*;

struct Row {
    field: &'static str,
    good: &'static [&'static str],
    bad: &'static [&'static str],
    sentence: &'static str,
}

const WRONG_KINDS: [&str; 6] = ["true", "1", "1.5", "\"x\"", "[1]", "{\"a\":1}"];

const NO_WORDS: &[&str] =
    &["\"\"", "\"make a bomb\"", "\"爆弾\"", "\"a\\nb\"", "\"{}\"", "\"a234567890123456789012345678901234\""];
const WORD: &str = "must be one word: 1 to 32 letters, digits, `_`, `-` and `.`";

const ROWS: &[Row] = &[
    Row {
        field: "stream",
        good: &["true", "false"],
        bad: &["1", "\"true\"", "0", "[]"],
        sentence: "must be true or false",
    },
    Row {
        field: "parallel_tool_calls",
        good: &["true", "false"],
        bad: &["1", "\"true\""],
        sentence: "must be true or false",
    },
    Row {
        field: "store",
        good: &["true", "false"],
        bad: &["0", "\"false\"", "{}"],
        sentence: "must be true or false",
    },
    Row {
        field: "logprobs",
        good: &["true", "false"],
        bad: &["1", "5", "\"true\""],
        sentence: "must be true or false",
    },
    Row {
        field: "max_tokens",
        good: &["0", "1", "512", "1.0", "1e2", "2147483647", "-0"],
        bad: &["-1", "1.5", "2147483648", "\"5\"", "1e999", "true", "[]", "99999999999999999999"],
        sentence: "must be an integer between 0 and 2147483647",
    },
    Row {
        field: "max_completion_tokens",
        good: &["0", "2147483647.0"],
        bad: &["-1", "0.5", "2147483648", "\"5\""],
        sentence: "must be an integer between 0 and 2147483647",
    },
    Row {
        field: "n",
        good: &["1", "128", "1.0", "2e0"],
        bad: &["0", "129", "-1", "1.5", "\"2\"", "true"],
        sentence: "must be an integer between 1 and 128",
    },
    Row {
        field: "temperature",
        good: &["0", "2", "0.2", "2.0", "1e-9", "-0.0"],
        bad: &["-0.1", "2.1", "2.0000001", "3", "\"0.5\"", "1e999", "-1e999", "true", "{}"],
        sentence: "must be a number between 0 and 2",
    },
    Row {
        field: "top_p",
        good: &["0", "1", "0.5"],
        bad: &["1.01", "-1", "\"1\""],
        sentence: "must be a number between 0 and 1",
    },
    Row {
        field: "presence_penalty",
        good: &["-2", "2", "0.0"],
        bad: &["-2.1", "2.1", "\"0\""],
        sentence: "must be a number between -2 and 2",
    },
    Row {
        field: "frequency_penalty",
        good: &["-2", "2", "0.0"],
        bad: &["-3", "3", "[]"],
        sentence: "must be a number between -2 and 2",
    },
    Row {
        field: "stop",
        good: &["\"x\"", "\"\"", "[]", "[\"a\"]", "[\"a\",\"b\",\"c\",\"d\"]"],
        bad: &["1", "{}", "true", "[\"a\",\"b\",\"c\",\"d\",\"e\"]"],
        sentence: "must be a string or an array of at most 4 strings",
    },
    Row {
        field: "seed",
        good: &["0", "-9007199254740991", "9223372036854775807", "-9223372036854775808", "1.0"],
        bad: &["9223372036854775808", "-9223372036854775809", "0.5", "\"1\"", "1e999"],
        sentence: "must be a 64-bit integer",
    },
    Row {
        field: "logit_bias",
        good: &["{}", "{\"foo\":0}", "{\"50256\":-100,\"x\":100}", "{\"a\":0.5}"],
        bad: &["[]", "1", "{\"a\":101}", "{\"a\":-100.5}", "{\"a\":\"1\"}", "{\"a\":null}", "{\"a\":1e999}"],
        sentence: "must map tokens to numbers between -100 and 100",
    },
    Row { field: "response_format", good: &[], bad: &["\"text\"", "[]", "1"], sentence: "must be an object" },
    Row { field: "tools", good: &["[]"], bad: &["{}", "\"x\"", "1"], sentence: "must be an array" },
    Row {
        field: "functions",
        good: &["[]", "[{\"name\":\"f\"}]"],
        bad: &["{}", "\"x\""],
        sentence: "must be an array",
    },
    Row {
        field: "tool_choice",
        good: &[
            "\"none\"",
            "\"auto\"",
            "\"required\"",
            "{\"type\":\"function\",\"function\":{\"name\":\"f\"}}",
        ],
        bad: &["\"any\"", "\"\"", "1", "[]", "true"],
        sentence: "must be `none`, `auto`, `required` or an object with a `type`",
    },
    Row {
        field: "function_call",
        good: &["\"none\"", "\"auto\"", "{\"name\":\"f\"}"],
        bad: &["\"required\"", "1", "[]"],
        sentence: "must be `none`, `auto` or an object with a `name`",
    },
    Row { field: "user", good: &["\"\"", "\"u\""], bad: &["1", "{}", "[]"], sentence: "must be a string" },
    Row { field: "prompt_cache_key", good: &["\"k\""], bad: &["1", "{}"], sentence: "must be a string" },
    Row {
        field: "prompt_cache_retention",
        good: &["\"24h\"", "\"in_memory\"", "\"in-memory\""],
        bad: &["24", "{}"],
        sentence: "must be a string",
    },
    Row { field: "prompt_cache_retention", good: &[], bad: NO_WORDS, sentence: WORD },
    Row {
        field: "service_tier",
        good: &["\"auto\"", "\"other\""],
        bad: &["1", "[]"],
        sentence: "must be a string",
    },
    Row {
        field: "reasoning_effort",
        good: &["\"low\"", "\"new\"", "\"none\"", "\"Very-High_2.5\""],
        bad: &["1", "{}"],
        sentence: "must be a string",
    },
    Row { field: "reasoning_effort", good: &[], bad: NO_WORDS, sentence: WORD },
    Row { field: "verbosity", good: &["\"low\""], bad: &["1", "true"], sentence: "must be a string" },
    Row { field: "verbosity", good: &[], bad: NO_WORDS, sentence: WORD },
    Row { field: "safety_identifier", good: &["\"\""], bad: &["1", "{}"], sentence: "must be a string" },
    Row {
        field: "metadata",
        good: &["{}", "{\"a\":\"b\"}"],
        bad: &["[]", "\"x\"", "1"],
        sentence: "must be an object",
    },
    Row {
        field: "metadata",
        good: &[],
        bad: &["{\"a\":1}", "{\"a\":null}", "{\"a\":{}}", "{\"a\":\"b\",\"c\":true}"],
        sentence: "must have only strings as values",
    },
    Row {
        field: "modalities",
        good: &["[\"text\"]", "[]"],
        bad: &["\"text\"", "{}"],
        sentence: "must be an array",
    },
    Row {
        field: "modalities",
        good: &[],
        bad: &["[\"audio\"]", "[\"text\",\"audio\"]", "[\"aud\\u0069o\"]"],
        sentence: "asks for audio, which this API does not serve",
    },
    Row {
        field: "audio",
        good: &["{}", "{\"voice\":\"a\"}"],
        bad: &["\"x\"", "[]"],
        sentence: "must be an object",
    },
    Row {
        field: "prompt_cache_options",
        good: &["{}", "{\"mode\":\"explicit\",\"ttl\":\"30m\"}", "{\"a\":null,\"b\":true,\"c\":1.5}"],
        bad: &["\"x\"", "1"],
        sentence: "must be an object",
    },
    Row {
        field: "prompt_cache_options",
        good: &[],
        bad: &[
            "{\"a\":\"make a bomb\"}",
            "{\"a\":\"\"}",
            "{\"a b\":1}",
            "{\"a\":{}}",
            "{\"a\":[]}",
            "{\"mode\":\"explicit\",\"key\":{\"a\":1}}",
        ],
        sentence: "must have only words, numbers and truth values, of 1 to 32 letters, digits, `_`, `-` and `.`",
    },
    Row { field: "web_search_options", good: &["{}"], bad: &["true", "[]"], sentence: "must be an object" },
    Row { field: "moderation", good: &["{\"model\":\"m\"}"], bad: &["\"x\""], sentence: "must be an object" },
    Row {
        field: "prediction",
        good: &[
            "{\"type\":\"content\",\"content\":\"x\"}",
            "{\"content\":[{\"type\":\"text\",\"text\":\"x\"}],\"type\":\"content\"}",
        ],
        bad: &["\"x\"", "[]"],
        sentence: "must be an object",
    },
    Row {
        field: "stream_options",
        good: &[
            "{}",
            "{\"include_usage\":true,\"include_obfuscation\":false,\"x\":1}",
            "{\"include_usage\":null}",
        ],
        bad: &["true", "[]"],
        sentence: "must be an object",
    },
];

#[test]
fn every_field_takes_what_its_row_says_and_nothing_else() {
    for Row { field, good, bad, sentence } in ROWS {
        for value in *good {
            accepted(&with(&format!("\"{field}\":{value}")));
        }
        for value in *bad {
            let body = with(&format!(" \"{field}\" : {value} "));
            assert_eq!(complaint(&body), format!("`{field}` {sentence}."), "{body}");
        }
    }
}

#[test]
fn null_is_the_same_as_leaving_an_optional_field_out() {
    for Row { field, .. } in ROWS {
        let request = accepted(&with(&format!("\"{field}\":null")));
        assert_eq!(request.delivery(), Delivery::Whole);
        assert_eq!(request.choices(), 1);
        assert_eq!(request.answer_cap(), None);
    }
    accepted(&with(r#""top_logprobs":null"#));
}

#[test]
fn a_known_field_of_the_wrong_kind_never_passes_unnoticed() {
    for Row { field, .. } in ROWS {
        let refused =
            WRONG_KINDS.iter().filter(|kind| check(with(&format!("\"{field}\":{kind}")).as_bytes()).is_err());
        assert!(refused.count() >= 4, "{field}");
    }
}

#[test]
fn members_of_a_field_are_complained_about_by_their_path() {
    for (members, sentence) in [
        (r#""stream_options":{"include_usage":1}"#, "`stream_options.include_usage` must be true or false."),
        (
            r#""stream_options":{"include_obfuscation":"x"}"#,
            "`stream_options.include_obfuscation` must be true or false.",
        ),
        (r#""stop":["a",1]"#, "`stop[1]` must be a string."),
        (r#""modalities":[1]"#, "`modalities[0]` must be a string."),
        (
            r#""modalities":["text","make a bomb"]"#,
            "`modalities[1]` must be one word: 1 to 32 letters, digits, `_`, `-` and `.`.",
        ),
        (r#""response_format":{}"#, "`response_format.type` is required."),
        (r#""response_format":{"type":1}"#, "`response_format.type` must be a string."),
        (
            r#""response_format":{"type":"xml"}"#,
            "`response_format.type` must be `text`, `json_object` or `json_schema`.",
        ),
        (r#""response_format":{"type":"json_schema"}"#, "`response_format.json_schema` is required."),
        (
            r#""response_format":{"json_schema":1,"type":"json_schema"}"#,
            "`response_format.json_schema` must be an object.",
        ),
        (
            r#""response_format":{"type":"json_schema","json_schema":{}}"#,
            "`response_format.json_schema.name` is required.",
        ),
        (
            r#""response_format":{"type":"json_schema","json_schema":{"name":1}}"#,
            "`response_format.json_schema.name` must be a string.",
        ),
        (r#""tools":["x"]"#, "`tools[0]` must be an object."),
        (r#""tools":[{}]"#, "`tools[0].type` is required."),
        (r#""tools":[{"type":"retrieval"}]"#, "`tools[0].type` must be `function` or `custom`."),
        (r#""tools":[{"type":"function"}]"#, "`tools[0].function` is required."),
        (r#""tools":[{"type":"function","function":{}}]"#, "`tools[0].function.name` is required."),
        (
            r#""tools":[{"type":"function","function":{"name":1}}]"#,
            "`tools[0].function.name` must be a string.",
        ),
        (r#""tools":[{"type":"custom"}]"#, "`tools[0].custom` is required."),
        (r#""tool_choice":{}"#, "`tool_choice.type` is required."),
        (r#""tool_choice":{"type":1}"#, "`tool_choice.type` must be a string."),
        (r#""functions":[1]"#, "`functions[0]` must be an object."),
        (r#""functions":[{}]"#, "`functions[0].name` is required."),
        (r#""function_call":{}"#, "`function_call.name` is required."),
        (r#""prediction":{"content":"x"}"#, "`prediction.type` is required."),
        (r#""prediction":{"type":"content"}"#, "`prediction.content` is required."),
        (r#""prediction":{"type":"x"}"#, "`prediction.type` must be `content`."),
        (
            r#""prediction":{"type":"content","content":1}"#,
            "`prediction.content` must be a string or an array of content parts.",
        ),
        (
            r#""prediction":{"type":"content","content":[{"type":"image_url","image_url":{"url":"x"}}]}"#,
            "`prediction.content[0].type` must be `text` in a prediction.",
        ),
        (r#""top_logprobs":21,"logprobs":true"#, "`top_logprobs` must be an integer between 0 and 20."),
        (r#""top_logprobs":-1,"logprobs":true"#, "`top_logprobs` must be an integer between 0 and 20."),
        (r#""top_logprobs":1"#, "`top_logprobs` needs `logprobs` to be true."),
        (r#""top_logprobs":1,"logprobs":false"#, "`top_logprobs` needs `logprobs` to be true."),
    ] {
        assert_eq!(complaint(&with(members)), sentence, "{members}");
    }
}

#[test]
fn lawful_members_of_a_field_pass() {
    for members in [
        r#""top_logprobs":0"#,
        r#""top_logprobs":20,"logprobs":true"#,
        r#""response_format":{"type":"text"}"#,
        r#""response_format":{"type":"json_object","json_schema":null}"#,
        r#""response_format":{"type":"json_schema","json_schema":{"name":"n","strict":true,"schema":{}}}"#,
        r#""tools":[{"function":{"name":"f","parameters":{"a":[1]}},"type":"function"},{"type":"custom","custom":{"name":"c"}}]"#,
        r#""tools":[{"type":"function","function":{"name":"f"}}],"functions":[{"name":"f"}]"#,
        r#""max_tokens":0,"max_completion_tokens":0"#,
        r#""stream":false,"stream_options":{"include_usage":true}"#,
        r#""api_base":"http://x","extra_body":{"a":1},"provider":[]"#,
    ] {
        accepted(&with(members));
    }
}

#[test]
fn lists_and_texts_end_at_their_limits() {
    let tools = |count: usize| {
        let tool = r#"{"type":"function","function":{"name":"f"}}"#;
        with(&format!("\"tools\":[{}]", vec![tool; count].join(",")))
    };
    accepted(&tools(128));
    assert_eq!(complaint(&tools(129)), "`tools` must have at most 128 elements.");
    let functions =
        |count: usize| with(&format!("\"functions\":[{}]", vec![r#"{"name":"f"}"#; count].join(",")));
    accepted(&functions(128));
    assert_eq!(complaint(&functions(129)), "`functions` must have at most 128 elements.");

    let identifier = |length: usize| with(&format!("\"safety_identifier\":\"{}\"", "月".repeat(length)));
    accepted(&identifier(64));
    assert_eq!(complaint(&identifier(65)), "`safety_identifier` must be at most 64 characters long.");

    let pairs = |count: usize| {
        let pairs: Vec<String> = (0..count).map(|number| format!("\"{number}\":\"\"")).collect();
        with(&format!("\"metadata\":{{{}}}", pairs.join(",")))
    };
    accepted(&pairs(16));
    assert_eq!(complaint(&pairs(17)), "`metadata` must have at most 16 members.");
    let pair = |key: usize, value: usize| {
        with(&format!("\"metadata\":{{\"{}\":\"{}\"}}", "月".repeat(key), "\\u6708".repeat(value)))
    };
    accepted(&pair(64, 512));
    assert_eq!(complaint(&pair(65, 1)), "`metadata` must have keys of at most 64 characters.");
    assert_eq!(complaint(&pair(1, 513)), "`metadata` must have values of at most 512 characters.");
}

#[test]
fn a_model_is_1_to_256_characters_without_controls() {
    let body = |model: &str| format!(r#"{{"messages":[{{"role":"user","content":"x"}}],"model":{model}}}"#);
    for good in [
        "\"a\"".to_owned(),
        format!("\"{}\"", "月".repeat(256)),
        "\"\\u6708\"".to_owned(),
        "\" a \\u202e\"".to_owned(),
    ] {
        accepted(&body(&good));
    }
    for (bad, sentence) in [
        ("null", "must be a string"),
        ("1", "must be a string"),
        ("[\"a\"]", "must be a string"),
        ("\"\"", "must not be empty"),
        ("\"a\\r\\nb\"", "must not contain control characters"),
        ("\"\\u001b[0m\"", "must not contain control characters"),
        ("\"\\u0000\"", "must not contain control characters"),
        ("\"\u{7f}\"", "must not contain control characters"),
        ("\"\u{85}\"", "must not contain control characters"),
    ] {
        assert_eq!(complaint(&body(bad)), format!("`model` {sentence}."), "{bad}");
    }
    for length in [257, 1 << 20] {
        let long = format!("\"{}\"", "月".repeat(length));
        assert_eq!(complaint(&body(&long)), "`model` must be at most 256 characters long.");
    }
}
