use proptest::prelude::*;
use serde_json::Value;

use super::super::ids::{Root, SALT};
use super::super::request::check;
use super::*;

fn spliced(body: &str, forward: &[&str], logprobs: Logprobs) -> String {
    let request = check(body.as_bytes()).unwrap_or_else(|why| panic!("{why} {body}"));
    let model = JsonText::new("back\"ing");
    let forward = Forward::new(forward.iter().copied());
    let edits = Edits { model: &model, forward: &forward, logprobs, patches: &[] };
    String::from_utf8(splice(body.as_bytes(), &request, &edits).to_vec()).unwrap()
}

fn plain(body: &str) -> String {
    spliced(body, &[], Logprobs::Hidden)
}

const TALK: &str = r#""messages":[{"role":"user","content":"hi"}]"#;

#[test]
fn only_the_model_changes_in_an_ordinary_body() {
    let body = "\n{ \"model\" : \"general\" ,\n \"messages\":\t[{\"role\":\"user\",\"content\":\"\\u6708\\/次\"}] , \"temperature\":1.0e0 }\n";
    assert_eq!(plain(body), body.replace("\"general\"", r#""back\"ing""#));
}

#[test]
fn a_dropped_member_takes_one_comma_along_wherever_it_stands() {
    for (body, result) in [
        (format!(r#"{{"user":"u","model":"m",{TALK}}}"#), format!(r#"{{"model":"back\"ing",{TALK}}}"#)),
        (format!(r#"{{"model":"m","user":"u",{TALK}}}"#), format!(r#"{{"model":"back\"ing",{TALK}}}"#)),
        (format!(r#"{{"model":"m",{TALK},"user":"u"}}"#), format!(r#"{{"model":"back\"ing",{TALK}}}"#)),
        (
            format!(
                r#"{{"a":1,"user":"u","b":{{}}, "model":"m","c":[],"store":false ,{TALK},"d":"","e":null }}"#
            ),
            format!(r#"{{ "model":"back\"ing",{TALK}}}"#),
        ),
    ] {
        assert_eq!(plain(&body), result, "{body}");
    }
}

#[test]
fn fields_that_end_at_the_gateway_are_dropped_and_the_others_stay() {
    for member in [
        r#""stream_options":{"include_usage":true}"#,
        r#""user":"u""#,
        r#""us\u0065r":"u""#,
        r#""safety_identifier":"u""#,
        r#""metadata":{"a":"b"}"#,
        r#""store":true"#,
        r#""service_tier":"auto""#,
        r#""moderation":{}"#,
        r#""web_search_options":{}"#,
        r#""audio":{}"#,
        r#""audio":null"#,
        r#""prompt_cache_key":"k""#,
        r#""stop":[]"#,
        r#""tools":[ ]"#,
        r#""functions":[]"#,
        r#""logprobs":true"#,
        r#""top_logprobs":0"#,
        r#""unknown":1"#,
    ] {
        let body = format!(r#"{{"model":"m",{TALK},{member}}}"#);
        assert_eq!(plain(&body), format!(r#"{{"model":"back\"ing",{TALK}}}"#), "{member}");
    }
    for member in [
        r#""stream":false"#,
        r#""stream":null"#,
        r#""max_tokens":1"#,
        r#""max_completion_tokens":1"#,
        r#""max_tokens":1,"max_completion_tokens":null"#,
        r#""temperature":null"#,
        r#""top_p":1"#,
        r#""presence_penalty":0"#,
        r#""frequency_penalty":0"#,
        r#""n":1"#,
        r#""stop":null"#,
        r#""stop":["x"]"#,
        r#""seed":1"#,
        r#""logit_bias":{}"#,
        r#""response_format":{"type":"text"}"#,
        r#""tools":null"#,
        r#""tool_choice":"none""#,
        r#""parallel_tool_calls":true"#,
        r#""functions":[{"name":"f"}]"#,
        r#""function_call":"none""#,
        r#""prompt_cache_retention":"24h""#,
        r#""prompt_cache_options":{}"#,
        r#""reasoning_effort":"low""#,
        r#""verbosity":"low""#,
        r#""modalities":["text"]"#,
        r#""prediction":{"type":"content","content":"x"}"#,
    ] {
        let body = format!(r#"{{"model":"m",{TALK},{member}}}"#);
        assert_eq!(plain(&body), format!(r#"{{"model":"back\"ing",{TALK},{member}}}"#));
    }
}

#[test]
fn of_two_answer_limits_the_newer_goes_on() {
    for members in
        [r#""max_tokens":1,"max_completion_tokens":2"#, r#""max_completion_tokens":2,"max_tokens":null"#]
    {
        let body = format!(r#"{{"model":"m",{TALK},{members}}}"#);
        assert_eq!(plain(&body), format!(r#"{{"model":"back\"ing",{TALK},"max_completion_tokens":2}}"#));
    }
}

#[test]
fn a_stream_is_asked_for_its_usage_whatever_the_client_asked_for() {
    for (options, after) in [("", ""), (r#","stream_options":{"include_usage":false}"#, ""), ("", " \n")] {
        let body = format!(r#"{{"model":"m",{TALK},"stream":true{options}{after}}}"#);
        assert_eq!(
            plain(&body),
            format!(
                r#"{{"model":"back\"ing",{TALK},"stream":true{after},"stream_options":{{"include_usage":true}}}}"#
            )
        );
    }
}

#[test]
fn log_probabilities_are_asked_for_only_where_they_are_shown() {
    let body = format!(r#"{{"model":"m","logprobs":true,{TALK},"top_logprobs":3}}"#);
    assert_eq!(plain(&body), format!(r#"{{"model":"back\"ing",{TALK}}}"#));
    assert_eq!(spliced(&body, &[], Logprobs::Exposed), body.replace("\"m\"", r#""back\"ing""#));
}

#[test]
fn unknown_members_go_on_by_the_name_they_mean() {
    let body = format!(r#"{{"x":{{"a": 1}}, "\u0079" : 1e999,"model":"m","z":0,{TALK}}}"#);
    assert_eq!(plain(&body), format!(r#"{{"model":"back\"ing",{TALK}}}"#));
    assert_eq!(
        spliced(&body, &["y", "x", "y", "none"], Logprobs::Hidden),
        format!(r#"{{"x":{{"a": 1}}, "\u0079" : 1e999,"model":"back\"ing",{TALK}}}"#)
    );
    let listed = format!(r#"{{"model":"m",{TALK},"user":"u"}}"#);
    assert!(!spliced(&listed, &["user"], Logprobs::Hidden).contains("user\":\"u"));
}

#[test]
fn a_name_of_any_spelling_becomes_a_json_string() {
    for name in ["gpt", "", "a\"b\\c/d", "\0\u{1f}\n\t\u{7f}", "月次\u{2028}😀", "</script>"] {
        let json = JsonText::new(name);
        assert_eq!(serde_json::from_str::<String>(json.as_str()).unwrap(), name);
    }
}

/// What goes up when names are put into another form.
fn named(body: &str, ids: &Ids) -> String {
    let request = check(body.as_bytes()).unwrap_or_else(|why| panic!("{why} {body}"));
    let patches = patches(body.as_bytes(), &request, ids);
    let edits = Edits {
        model: &JsonText::new("m"),
        forward: &Forward::default(),
        logprobs: Logprobs::Hidden,
        patches: &patches,
    };
    let result = splice(body.as_bytes(), &request, &edits);
    String::from_utf8(result.to_vec()).unwrap()
}

fn ids() -> Ids {
    Ids::new(&Root::new(b"secret"), "acme", "general")
}

#[test]
fn ids_of_tool_calls_go_up_as_the_model_gave_them_and_nothing_else_changes() {
    let ids = ids();
    let (one, two) = (ids.downward([1; SALT], "toolu \"1\""), ids.downward([1; SALT], "f:0"));
    let body = |one: &str, two: &str, none: &str| {
        format!(
            r#"{{ "messages":[{{"role":"user","content":"call_x tool_call_id"}},
            {{"role":"assistant","tool_calls":[{{"id" : {one},"function":{{"name":"f","arguments":"{{\"id\":{none}}}"}}}},
              {{"type":"function","function":{{"name":"g","arguments":""}},"id":{two}}},{{"id":null}}]}},
            {{"tool_call_id": {two} ,"role":"tool","content":"a"}},{{"role":"tool","content":[],"tool_call_id":{one}}}],
            "model":"m" , "temperature":1.0}}"#
        )
    };
    let quoted = |id: &str| format!("\"{id}\"");
    let escaped = quoted(&one).replace("call_", "c\\u0061ll_");
    assert_eq!(
        named(&body(&quoted(&one), &quoted(&two), "1"), &ids),
        body(r#""toolu \"1\"""#, "\"f:0\"", "1")
    );
    assert_eq!(named(&body(&escaped, &quoted(&two), "1"), &ids), body(r#""toolu \"1\"""#, "\"f:0\"", "1"));
}

#[test]
fn an_id_that_is_not_ours_is_short_and_the_same_in_both_places() {
    for foreign in ["toolu_1", "", "call_0123456789012345678901234567890123456789"] {
        let body = format!(
            r#"{{"model":"m","messages":[{{"role":"assistant","tool_calls":[{{"id":"{foreign}"}}]}},{{"role":"tool","content":"","tool_call_id":"{foreign}"}}]}}"#
        );
        let sent: Value = serde_json::from_str(&named(&body, &ids())).unwrap();
        let id = sent["messages"][0]["tool_calls"][0]["id"].as_str().unwrap();
        assert!(id.len() == 29 && id.starts_with("call_"), "{id}");
        assert_eq!(sent["messages"][1]["tool_call_id"], id);
    }
}

#[test]
fn customers_go_up_under_another_name_and_only_if_there_are_any() {
    let people = r#""user":"anna","safety_identifier":"\u0061nna","prompt_cache_key":"k""#;
    let sent: Value =
        serde_json::from_str(&named(&format!(r#"{{"model":"m",{people},{TALK}}}"#), &ids())).unwrap();
    assert_eq!(sent["user"], ids().person("anna"));
    assert_eq!(sent["safety_identifier"], sent["user"]);
    assert_eq!(sent["prompt_cache_key"], ids().person("k"));
    let nobody =
        r#""user":null,"safety_identifier":null,"prompt_cache_key":null,"metadata":{"a":"b"},"store":true"#;
    assert_eq!(
        named(&format!(r#"{{"model":"m",{nobody},{TALK}}}"#), &ids()),
        format!(r#"{{"model":"m",{TALK}}}"#)
    );
}

#[test]
fn more_names_than_any_conversation_has_are_refused() {
    let body = |calls: usize| {
        let calls = vec![r#"{"id":""}"#; calls].join(",");
        format!(r#"{{"model":"m","messages":[{{"role":"assistant","tool_calls":[{calls}]}}]}}"#)
    };
    assert!(check(body(16_384).as_bytes()).is_ok());
    let why = check(body(16_385).as_bytes()).unwrap_err();
    assert_eq!(why.field, "messages[0].tool_calls[16384].id");
}

#[test]
fn the_result_has_no_spare_room() {
    let body = format!(r#"{{"model":"m",{TALK},"user":"u","stream":true}}"#);
    let request = check(body.as_bytes()).unwrap();
    let edits = Edits {
        model: &JsonText::new("x"),
        forward: &Forward::default(),
        logprobs: Logprobs::Hidden,
        patches: &[],
    };
    let spliced = splice(body.as_bytes(), &request, &edits);
    assert_eq!(spliced.len(), spliced.try_into_mut().unwrap().capacity());
}

#[test]
fn a_body_that_is_not_the_requests_own_does_no_harm() {
    let body = format!(r#"{{"model":"m",{TALK},"x":1,"\u0079":2}}"#);
    let request = check(body.as_bytes()).unwrap();
    let edits = Edits {
        model: &JsonText::new("x"),
        forward: &Forward::new(["x", "y"]),
        logprobs: Logprobs::Hidden,
        patches: &[],
    };
    for other in ["", "{", &body[..20], &"あ".repeat(100), &"\"".repeat(100)] {
        splice(other.as_bytes(), &request, &edits);
    }
}

/// One generated member: how it is written, and whether it is to go on as it is.
#[derive(Debug, Clone)]
struct Made {
    name: &'static str,
    value: String,
    kept: bool,
}

fn space() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec!["", "", " ", "\n  ", "\t\r\n"])
}

/// Members other than `model`, `messages` and `stream`, each at most once and in any order.
fn members() -> impl Strategy<Value = Vec<Made>> {
    let made = |name: &'static str, value: &str, kept| Made { name, value: value.to_owned(), kept };
    let all = vec![
        made("\"temperature\"", "1.50e-0", true),
        made("\"top\\u005fp\"", "0.10", true),
        made("\"n\"", "1E0", true),
        made("\"stop\"", "[\"}\",\",\\\"user\\\":\"]", true),
        made("\"seed\"", "null", true),
        made("\"max_completion_tokens\"", "7", true),
        made("\"max_tokens\"", "8", false),
        made("\"stream_options\"", "{\"include_usage\":false}", false),
        made("\"\\u0075ser\"", "\"model\"", false),
        made("\"metadata\"", "{\"a\":\"{\"}", false),
        made("\"store\"", "null", false),
        made("\"tools\"", "[ \n]", false),
        made("\"logprobs\"", "false", false),
        made("\"unknown\"", "[{\"model\":\"x\"},\"]\",[]]", false),
        made("\"\"", "{\"\\\"\":{}}", false),
        made("\"kept\"", "{\"user\":1, \"a\":[1.0,\"\\ud83d\\ude00\"]}", true),
        made("\"k\\u0065pt too\"", "12345678901234567890", true),
    ];
    let count = all.len();
    prop::sample::subsequence(all, 0..=count).prop_shuffle()
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn kept_bytes_are_the_clients_own_and_the_meaning_is_that_of_parsing_and_editing(
        members in members(),
        spaces in prop::collection::vec(space(), 100),
        stream in prop::sample::select(vec!["true", "false", "null"]),
        places in any::<[prop::sample::Index; 3]>(),
    ) {
        let mut members = members;
        let newer = members.iter().any(|member| member.name.contains("max_completion"));
        for member in members.iter_mut().filter(|member| member.name == "\"max_tokens\"") {
            member.kept = !newer;
        }
        let required = [
            Made { name: "\"stream\"", value: stream.to_owned(), kept: true },
            Made { name: "\"messages\"", value: r#"[ {"role":"user","content":"\u6708"} ]"#.to_owned(), kept: true },
            Made { name: "\"mod\\u0065l\"", value: "\"general\"".to_owned(), kept: true },
        ];
        for (made, place) in required.into_iter().zip(places) {
            members.insert(place.index(members.len() + 1), made);
        }

        // The same text twice: as the client writes it, and as the backing model should get it.
        let mut spaces = spaces.into_iter().cycle();
        let mut space = || spaces.next().unwrap_or_default();
        let (before, after) = (space(), space());
        let (mut sent, mut due) = (Vec::new(), Vec::new());
        for Made { name, value, kept } in &members {
            let (a, b, c, d) = (space(), space(), space(), space());
            sent.push(format!("{a}{name}{b}:{c}{value}{d}"));
            let value = if name.contains("mod") { "\"backing\"" } else { value };
            due.extend(kept.then(|| format!("{a}{name}{b}:{c}{value}{d}")));
        }
        if stream == "true" {
            due.push(r#""stream_options":{"include_usage":true}"#.to_owned());
        }
        let sent = format!("{before}{{{}}}{after}", sent.join(","));
        let due = format!("{before}{{{}}}{after}", due.join(","));

        let request = check(sent.as_bytes()).unwrap();
        let model = JsonText::new("backing");
        let forward = Forward::new(["kept", "kept too"]);
        let edits = Edits { model: &model, forward: &forward, logprobs: Logprobs::Hidden, patches: &[] };
        let result = splice(sent.as_bytes(), &request, &edits);
        prop_assert_eq!(std::str::from_utf8(&result), Ok(due.as_str()));

        let mut edited: Value = serde_json::from_str(&sent).unwrap();
        let object = edited.as_object_mut().unwrap();
        for name in ["stream_options", "user", "metadata", "store", "tools", "logprobs", "unknown", ""] {
            object.remove(name);
        }
        if newer {
            object.remove("max_tokens");
        }
        object.insert("model".to_owned(), "backing".into());
        if stream == "true" {
            object.insert("stream_options".to_owned(), serde_json::json!({ "include_usage": true }));
        }
        prop_assert_eq!(serde_json::from_slice::<Value>(&result).unwrap(), edited);

        // A second gateway of the same configuration would change nothing any more.
        let again = check(&result).unwrap();
        prop_assert_eq!(splice(&result, &again, &edits), result);
    }
}
