//! A stream of events, split by exact bytes. It repairs nothing: what is not as it must be shows in the parts.

use serde_json::Value;

/// The events of a body, each with its closing empty line. A rest without one stands last.
pub fn events(body: &[u8]) -> Vec<String> {
    let text = std::str::from_utf8(body).expect("a stream of events is UTF-8");
    text.split_inclusive("\n\n").map(str::to_owned).collect()
}

/// What stands behind `data: ` in each event that is exactly `data: …\n\n`; anything else panics.
pub fn data(body: &[u8]) -> Vec<String> {
    events(body)
        .iter()
        .map(|event| {
            event
                .strip_prefix("data: ")
                .and_then(|rest| rest.strip_suffix("\n\n"))
                .filter(|data| !data.contains(['\n', '\r']))
                .unwrap_or_else(|| panic!("not one `data: ` line and an empty one: {event:?}"))
                .to_owned()
        })
        .collect()
}

/// The JSON of each event but a final `[DONE]`.
pub fn chunks(body: &[u8]) -> Vec<Value> {
    let mut data = data(body);
    if data.last().is_some_and(|last| last == "[DONE]") {
        data.pop();
    }
    data.iter().map(|d| serde_json::from_str(d).unwrap_or_else(|e| panic!("not JSON ({e}): {d}"))).collect()
}

/// The text of choice 0, put together.
pub fn text(body: &[u8]) -> String {
    chunks(body).iter().filter_map(|chunk| chunk["choices"][0]["delta"]["content"].as_str()).collect()
}
