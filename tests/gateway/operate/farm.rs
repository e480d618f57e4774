//! A backing model that answers with the name of the model that it was asked for, so that every piece of an
//! answer says which configuration it came from.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::sleep;

/// How a stream runs: so many pieces, and the time between two of them.
#[derive(Debug, Clone, Copy)]
pub struct Pace {
    pub pieces: usize,
    pub pause: Duration,
}

/// A running one, on the runtime that it was started on.
pub struct Farm {
    pub address: SocketAddr,
}

impl Farm {
    pub async fn start(pace: Pace) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a loopback port");
        let address = listener.local_addr().expect("a bound socket has an address");
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(async move {
                    // The gateway may leave at any time.
                    let _ = serve(stream, pace).await;
                });
            }
        });
        Self { address }
    }

    pub fn url(&self) -> String {
        format!("http://{}/v1", self.address)
    }
}

async fn serve(mut stream: TcpStream, pace: Pace) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let mut unread = Vec::new();
    loop {
        let head = loop {
            if let Some(at) = unread.windows(4).position(|four| four == b"\r\n\r\n") {
                break at + 4;
            }
            if stream.read_buf(&mut unread).await? == 0 {
                return Ok(());
            }
        };
        let text = String::from_utf8_lossy(&unread[..head]).to_ascii_lowercase();
        let length = text.split("content-length: ").nth(1).and_then(|rest| rest.lines().next());
        let whole = head + length.and_then(|length| length.trim().parse::<usize>().ok()).unwrap_or(0);
        while unread.len() < whole {
            if stream.read_buf(&mut unread).await? == 0 {
                return Ok(());
            }
        }
        let body: serde_json::Value = serde_json::from_slice(&unread[head..whole]).unwrap_or_default();
        unread.drain(..whole);
        let model = body["model"].as_str().unwrap_or("none").to_owned();
        if body["stream"] == true {
            events(&mut stream, &model, pace).await?
        } else {
            answer(&mut stream, &model).await?
        }
    }
}

async fn answer(stream: &mut TcpStream, model: &str) -> std::io::Result<()> {
    let body = format!(
        r#"{{"id":"x","object":"chat.completion","created":1,"model":"{model}","choices":[{{"index":0,"message":{{"role":"assistant","content":"{model}"}},"finish_reason":"stop"}}],"usage":{{"prompt_tokens":1,"completion_tokens":1,"total_tokens":2}}}}"#
    );
    let head = format!(
        "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all(format!("{head}{body}").as_bytes()).await
}

async fn events(stream: &mut TcpStream, model: &str, pace: Pace) -> std::io::Result<()> {
    stream
        .write_all(
            b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n",
        )
        .await?;
    for number in 0..pace.pieces {
        let event = format!(
            "data: {{\"id\":\"x\",\"object\":\"chat.completion.chunk\",\"created\":1,\"model\":\"{model}\",\"choices\":[{{\"index\":0,\"delta\":{{\"content\":\"{model};\"}},\"finish_reason\":null}}]}}\n\n"
        );
        stream.write_all(format!("{:x}\r\n{event}\r\n", event.len()).as_bytes()).await?;
        if number + 1 < pace.pieces {
            sleep(pace.pause).await;
        }
    }
    let last = format!(
        "data: {{\"id\":\"x\",\"object\":\"chat.completion.chunk\",\"created\":1,\"model\":\"{model}\",\"choices\":[{{\"index\":0,\"delta\":{{}},\"finish_reason\":\"stop\"}}]}}\n\ndata: [DONE]\n\n"
    );
    stream.write_all(format!("{:x}\r\n{last}\r\n0\r\n\r\n", last.len()).as_bytes()).await
}
