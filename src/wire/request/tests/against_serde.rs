//! Our reading against serde_json's: on the same bytes, the two must agree about what is JSON.
//!
//! `check` refuses more: what our API forbids, members that come twice, and bodies that are no request.
//! It accepts one thing more than serde_json's `Value`: numbers too large for an `f64` where we do not read
//! them. The generators here make none, so that the law is plain.

use proptest::prelude::*;
use serde_json::Value;

use super::*;

fn member() -> impl Strategy<Value = String> {
    prop_oneof![
        Just(r#""n":2"#.to_owned()),
        Just(r#""stop":["\n","\ud83d\ude00"]"#.to_owned()),
        Just(r#""temperature":0.7"#.to_owned()),
        Just(
            r#""tools":[{"type":"function","function":{"name":"f","parameters":{"a":[true,null]}}}]"#
                .to_owned()
        ),
        ("[a-z]{3,8}", value()).prop_map(|(name, value)| format!("\"x{name}\":{value}")),
    ]
}

fn value() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        Just("null".to_owned()),
        any::<bool>().prop_map(|flag| flag.to_string()),
        any::<i64>().prop_map(|number| number.to_string()),
        (-1e9..1e9).prop_map(|number: f64| number.to_string()),
        any::<String>().prop_map(|text| Value::from(text).to_string()),
        Just(r#""\u3042\ud83d\ude00""#.to_owned()),
    ];
    leaf.prop_recursive(5, 40, 5, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(|items| format!("[ {} ]", items.join(" ,"))),
            prop::collection::vec((any::<String>(), inner), 0..5).prop_map(|members| {
                let members: Vec<String> = members
                    .iter()
                    .map(|(name, value)| format!("{}: {value}", Value::from(name.as_str())))
                    .collect();
                format!("{{{}}}", members.join(",\n"))
            }),
        ]
    })
}

fn body() -> impl Strategy<Value = String> {
    prop::collection::vec(member(), 0..4).prop_map(|members| {
        let more: String = members.iter().map(|member| format!(",{member}")).collect();
        format!(r#"{{"messages":[{{"role":"user","content":"月次\n"}}],"model":"general"{more}}}"#)
    })
}

/// Bytes that matter to a JSON reader come up more often than chance would have them.
fn byte() -> impl Strategy<Value = u8> {
    prop_oneof![prop::sample::select(&b"{}[]\",:\\u0123456789dDcCeE+-. \n\ttrufalsn"[..]), any::<u8>(),]
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_value_of_an_unknown_member_passes(value in value()) {
        accepted(&with(&format!("\"unknown\":{value}")));
    }

    #[test]
    fn what_passes_is_json_to_serde_too_and_what_is_not_json_to_serde_does_not_pass(
        body in body(),
        changes in prop::collection::vec((any::<prop::sample::Index>(), byte(), 0..3_u8), 1..3),
    ) {
        let mut bytes = body.into_bytes();
        for (at, byte, way) in changes {
            let at = at.index(bytes.len());
            match way {
                0 => bytes[at] = byte,
                1 => bytes.insert(at, byte),
                _ => drop(bytes.remove(at)),
            }
        }
        let theirs = serde_json::from_slice::<Value>(&bytes);
        let out_of_range = theirs.as_ref().is_err_and(|why| why.to_string().contains("out of range"));
        match check(&bytes) {
            Ok(request) if !out_of_range => {
                let value = theirs.expect("accepted, so it must be JSON");
                prop_assert_eq!(Some(request.alias()), value["model"].as_str());
                prop_assert_eq!(Some(request.messages()), value["messages"].as_array().map(Vec::len));
            }
            Ok(_) => {}
            Err(why) if why.field.is_empty() && !why.wrong.contains("twice") && !why.wrong.contains("object") => {
                prop_assert!(theirs.is_err(), "{why} but serde accepts");
            }
            Err(_) => {}
        }
    }

    #[test]
    fn an_accepted_body_is_refused_when_cut(body in body(), at in any::<prop::sample::Index>()) {
        if check(body.as_bytes()).is_ok() {
            prop_assert!(check(&body.as_bytes()[..at.index(body.len())]).is_err());
        }
    }

    #[test]
    fn arbitrary_bytes_are_refused_and_nothing_else_happens(bytes in prop::collection::vec(byte(), 0..200)) {
        prop_assert!(check(&bytes).is_err());
    }
}
