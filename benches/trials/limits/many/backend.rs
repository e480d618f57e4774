//! Backends that mostly answer, and say what they used.

use std::time::Duration;

use tokio::time::sleep;

use super::dice;
use crate::http::{Connection, answer, failure};

/// What becomes of a request.
enum Fate {
    Good,
    Refuses,
    HangsUp,
    /// Half an answer.
    Breaks,
}

fn fate(number: usize) -> Fate {
    match dice(number, "fate", 100) {
        0..4 => Fate::Refuses,
        4..6 => Fate::HangsUp,
        6..12 => Fate::Breaks,
        _ => Fate::Good,
    }
}

/// Serves one connection.
pub async fn treat(mut connection: Connection) {
    while let Ok(Some(request)) = connection.read().await {
        let number = request.number();
        sleep(Duration::from_millis(dice(number, "delay", 15) as u64)).await;
        let written = match (fate(number), request.wants_stream()) {
            (Fate::Refuses, _) => connection.write(&failure("500 Internal Server Error")).await,
            (Fate::HangsUp, _) => return,
            (Fate::Good, false) => connection.write(&whole(number)).await,
            (Fate::Good, true) => speak(&mut connection, number, true).await,
            (Fate::Breaks, stream) => {
                let _ = if stream {
                    speak(&mut connection, number, false).await
                } else {
                    let whole = whole(number);
                    connection.write(&whole[..whole.len() - 40]).await
                };
                return;
            }
        };
        if written.is_err() {
            return;
        }
    }
}

fn usage(number: usize) -> String {
    let (prompt, completion) = (1 + dice(number, "prompt", 50), 1 + dice(number, "completion", 30));
    let total = prompt + completion;
    format!(r#"{{"prompt_tokens":{prompt},"completion_tokens":{completion},"total_tokens":{total}}}"#)
}

fn whole(number: usize) -> Vec<u8> {
    answer(
        "200 OK",
        &format!(
            r#"{{"id":"chatcmpl-1","object":"chat.completion","created":1767225600,"model":"m","choices":[{{"index":0,"message":{{"role":"assistant","content":"All is well.","refusal":null}},"logprobs":null,"finish_reason":"stop"}}],"usage":{}}}"#,
            usage(number)
        ),
    )
}

async fn speak(connection: &mut Connection, number: usize, to_the_end: bool) -> std::io::Result<()> {
    let head = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n";
    connection.write(head.as_bytes()).await?;
    for event in 0..1 + dice(number, "events", 6) {
        let role = if event == 0 { r#""role":"assistant","# } else { "" };
        let choice =
            format!(r#"[{{"index":0,"delta":{{{role}"content":"word after word "}},"finish_reason":null}}]"#);
        connection.write(&chunk(&choice, "null")).await?;
        sleep(Duration::from_millis(dice(number, "pace", 5) as u64)).await;
    }
    if !to_the_end {
        return Ok(());
    }
    connection.write(&chunk(r#"[{"index":0,"delta":{},"finish_reason":"stop"}]"#, "null")).await?;
    connection.write(&chunk("[]", &usage(number))).await?;
    connection.write(b"e\r\ndata: [DONE]\n\n\r\n0\r\n\r\n").await
}

fn chunk(choices: &str, usage: &str) -> Vec<u8> {
    let event = format!(
        "data: {{\"id\":\"chatcmpl-1\",\"object\":\"chat.completion.chunk\",\"created\":1767225600,\
         \"model\":\"m\",\"choices\":{choices},\"usage\":{usage}}}\n\n"
    );
    format!("{:x}\r\n{event}\r\n", event.len()).into_bytes()
}
