use std::sync::Arc;

use super::super::ids::{Ids, Root};
use super::super::tracks::Tracks;
use super::*;

fn calls(json: &str) -> Vec<Object<ToolCall<'_>>> {
    serde_json::from_str(json).unwrap()
}

fn ids() -> Ids {
    Ids::new(&Root::new(b"s"), "acme", "m")
}

fn voice() -> Voice {
    Voice::new("2f8c0b9e-6a1d-4c2e-9b3a-7d5e1f0a2b3c", 0, "m", Arc::new(ids()))
}

/// With each id of ours as what it leads back to.
fn led_back(json: &str) -> String {
    let mut parts = json.split("\"call_");
    let mut back = parts.next().unwrap().to_owned();
    for part in parts {
        let (id, rest) = part.split_once('"').unwrap();
        assert_eq!(id.len(), 96, "{id}");
        back += &format!("\"{}\"{rest}", ids().upward(&format!("call_{id}")));
    }
    back
}

fn whole(json: &str) -> Result<String, UpstreamFault> {
    let mut pen = Pen::default();
    write_whole(&mut pen, &voice(), 0, &calls(json))?;
    Ok(led_back(&String::from_utf8(pen.into_bytes()).unwrap()))
}

/// What comes of the pieces of one choice, each by itself.
fn pieces(deltas: &[&str]) -> Result<Vec<String>, UpstreamFault> {
    let mut tracks = Tracks::default();
    let mut written = Vec::new();
    for Object(call) in deltas.iter().flat_map(|json| calls(json)) {
        let place = call.place(tracks.of(0))?;
        if call.tells_nothing(place) {
            continue;
        }
        let mut pen = Pen::default();
        write_piece(&mut pen, &voice(), 0, &call, place)?;
        written.push(led_back(&String::from_utf8(pen.into_bytes()).unwrap()));
    }
    Ok(written)
}

#[test]
fn whole_calls_get_our_ids_and_only_their_known_members() {
    assert_eq!(
        whole(
            r#"[{"id":"toolu_1","type":"function","x":1,"function":{"arguments":"{\"a\": 1}","name":"f","y":2}},
                {"id":"c","type":"custom","custom":{"name":"g","input":"free","z":3}}]"#
        )
        .unwrap(),
        r#""tool_calls":[{"id":"toolu_1","type":"function","function":{"name":"f","arguments":"{\"a\": 1}"}},{"id":"c","type":"custom","custom":{"name":"g","input":"free"}}]"#
    );
}

#[test]
fn arguments_that_came_as_json_become_compact_text() {
    for (arguments, text) in [
        (r#"{ "b" : [ 1.50, "x \u0041\n\"" ] , "a" : null }"#, r#"{"b":[1.50,"x A\n\""],"a":null}"#),
        ("{}", "{}"),
        (r#""{ }""#, "{ }"),
        ("null", "{}"),
    ] {
        let json = format!(r#"[{{"function":{{"name":"f","arguments":{arguments}}}}}]"#);
        let written = format!("{{{}}}", whole(&json).unwrap());
        let value: serde_json::Value = serde_json::from_str(&written).unwrap();
        assert_eq!(value["tool_calls"][0]["function"]["arguments"], text, "{arguments}");
    }
}

#[test]
fn a_lone_surrogate_in_arguments_is_bad_json() {
    for arguments in [r#""\ud800""#, r#"{"a":"\ud800"}"#] {
        let json = format!(r#"[{{"function":{{"name":"f","arguments":{arguments}}}}}]"#);
        assert_eq!(whole(&json), Err(UpstreamFault::BadJson), "{arguments}");
    }
}

#[test]
fn a_call_of_nothing_is_bad_shape() {
    for json in [r#"[{"id":"a"}]"#, r#"[{"function":{"arguments":"{}"}}]"#, r#"[{"custom":{"input":"x"}}]"#] {
        assert_eq!(whole(json), Err(UpstreamFault::BadShape), "{json}");
    }
}

#[test]
fn calls_without_an_id_of_their_own_get_one() {
    let json = r#"[{"id":"a","function":{"name":"f"}},{"id":"a","function":{"name":"f"}},{"function":{"name":"f"}}]"#;
    let written: serde_json::Value = serde_json::from_str(&format!("{{{}}}", whole(json).unwrap())).unwrap();
    let made_up = |n| format!("call_2f8c0b9e6a1d4c2e9b3a7d5e000{n}");
    for (at, id) in ["a".to_owned(), made_up(1), made_up(2)].iter().enumerate() {
        assert_eq!(written["tool_calls"][at]["id"], *id);
    }
}

#[test]
fn pieces_pass_uncut_and_only_the_first_names_its_call() {
    assert_eq!(
        pieces(&[
            r#"[{"index":0,"id":"abc","type":"function","function":{"name":"f"}}]"#,
            r#"[{"index":0,"id":"abc","type":"function","function":{"name":"f","arguments":"{\"a"}}]"#,
            r#"[{"index":0,"function":{"name":"","arguments":""}}]"#,
            r#"[{"index":0,"id":null,"function":{"arguments":"\":\"\\u30"}},{"index":1,"id":"d","type":"custom","custom":{"name":"g"}}]"#,
            r#"[{"index":1,"custom":{"input":"x"}},{"index":2,"function":{"name":"h","arguments":"{}"}}]"#,
        ])
        .unwrap(),
        [
            r#"{"index":0,"id":"abc","type":"function","function":{"name":"f","arguments":""}}"#,
            r#"{"index":0,"function":{"arguments":"{\"a"}}"#,
            r#"{"index":0,"function":{"arguments":"\":\"\\u30"}}"#,
            r#"{"index":1,"id":"d","type":"custom","custom":{"name":"g","input":""}}"#,
            r#"{"index":1,"custom":{"input":"x"}}"#,
            r#"{"index":2,"id":"call_2f8c0b9e6a1d4c2e9b3a7d5e0002","type":"function","function":{"name":"h","arguments":"{}"}}"#,
        ]
    );
}

#[test]
fn an_index_beyond_all_bounds_is_bad_shape() {
    assert!(pieces(&[r#"[{"index":1023}]"#]).is_ok());
    assert_eq!(pieces(&[r#"[{"index":1024}]"#]), Err(UpstreamFault::BadShape));
}
