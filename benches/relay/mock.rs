//! The backing model: a raw-socket HTTP/1.1 server that costs as little as it can.
//!
//! Promises: keep-alive; a 1 KB completion, or a stream if the body has `"stream":true`, as many chunks and
//! as far apart as the prompt says (`chunks=100 pace_ms=10`), each chunk its own write; a model list for any
//! GET. Never checks a key and never keeps a prompt: it looks at a body's first bytes and counts the rest.

use std::net::{SocketAddr, TcpListener};
use std::thread;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, interval_at};

use crate::answer::{Framing, Tail, find};

/// Runs until the process is killed. Each thread has its own runtime, and all accept from one socket.
pub fn serve(listen: SocketAddr, threads: usize) -> ! {
    let listener = TcpListener::bind(listen).unwrap();
    listener.set_nonblocking(true).unwrap();
    let workers: Vec<_> = (0..threads.max(1))
        .map(|_| {
            let listener = listener.try_clone().unwrap();
            thread::spawn(move || work(listener))
        })
        .collect();
    for worker in workers {
        worker.join().unwrap();
    }
    unreachable!("a worker accepts for ever")
}

fn work(listener: TcpListener) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let listener = tokio::net::TcpListener::from_std(listener).unwrap();
        loop {
            if let Ok((stream, _)) = listener.accept().await {
                let _ = stream.set_nodelay(true);
                // An error is the other side gone, which is how every connection here ends.
                tokio::spawn(async move { converse(stream).await.ok() });
            }
        }
    });
}

async fn converse(mut stream: TcpStream) -> std::io::Result<()> {
    let mut buffer = vec![0; 64 * 1024];
    let completion = with_length(&completion());
    let models = with_length(MODELS);
    loop {
        match read_request(&mut stream, &mut buffer).await? {
            Asked::Nothing => return Ok(()),
            Asked::Models => stream.write_all(&models).await?,
            Asked::Completion => stream.write_all(&completion).await?,
            Asked::Stream(order) => send_stream(&mut stream, order).await?,
        }
    }
}

enum Asked {
    Nothing,
    Models,
    Completion,
    Stream(Order),
}

#[derive(Clone, Copy)]
struct Order {
    chunks: u64,
    pace: Duration,
    usage: Usage,
}

#[derive(Clone, Copy)]
enum Usage {
    Wanted,
    Unwanted,
}

async fn read_request(stream: &mut TcpStream, buffer: &mut [u8]) -> std::io::Result<Asked> {
    let mut filled = 0;
    let head = loop {
        let read = stream.read(&mut buffer[filled..]).await?;
        if read == 0 {
            return Ok(Asked::Nothing);
        }
        filled += read;
        if let Some(at) = find(&buffer[..filled], b"\r\n\r\n") {
            break at + 4;
        }
    };
    if buffer.starts_with(b"GET ") {
        return Ok(Asked::Models);
    }
    let framing = Framing::of(&buffer[..head]);
    // Bodies that ask for a stream are small; of the others nothing is worth looking at.
    while filled < head + 2048 && !framing.is_whole(&buffer[head..filled], filled - head) {
        match stream.read(&mut buffer[filled..]).await? {
            0 => return Ok(Asked::Nothing),
            read => filled += read,
        }
    }
    let asked = understand(&buffer[head..filled]);
    let mut body = filled - head;
    let mut tail = Tail::default();
    tail.take(&buffer[head..filled]);
    while !framing.is_whole(&tail.0, body) {
        match stream.read(buffer).await? {
            0 => return Ok(Asked::Nothing),
            read => {
                body += read;
                tail.take(&buffer[..read]);
            }
        }
    }
    Ok(asked)
}

fn understand(body: &[u8]) -> Asked {
    let opening = &body[..body.len().min(4096)];
    if find(opening, br#""stream":true"#).is_none() && find(opening, br#""stream": true"#).is_none() {
        return Asked::Completion;
    }
    let usage = if find(opening, br#""include_usage""#).is_some() { Usage::Wanted } else { Usage::Unwanted };
    let pace = Duration::from_millis(number_after(opening, b"pace_ms=").unwrap_or(0));
    Asked::Stream(Order { chunks: number_after(opening, b"chunks=").unwrap_or(100), pace, usage })
}

fn number_after(text: &[u8], name: &[u8]) -> Option<u64> {
    let rest = &text[find(text, name)? + name.len()..];
    let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
    std::str::from_utf8(&rest[..digits]).ok()?.parse().ok()
}

async fn send_stream(stream: &mut TcpStream, order: Order) -> std::io::Result<()> {
    let middle = chunked(&event(r#"{"content":" another word"}"#, "null"));
    let mut first = STREAM_HEAD.to_vec();
    first.extend(chunked(&event(r#"{"role":"assistant","content":"Here"}"#, "null")));
    let mut last = chunked(&event("{}", r#""stop""#));
    if let Usage::Wanted = order.usage {
        last.extend(chunked(USAGE_EVENT));
    }
    last.extend(chunked("data: [DONE]\n\n"));
    last.extend(b"0\r\n\r\n");

    stream.write_all(&first).await?;
    // Ticks that were missed are made up for, so that a stream takes as long as it should.
    let mut ticks = (!order.pace.is_zero()).then(|| interval_at(Instant::now() + order.pace, order.pace));
    for _ in 2..order.chunks {
        if let Some(ticks) = &mut ticks {
            ticks.tick().await;
        }
        stream.write_all(&middle).await?;
    }
    stream.write_all(&last).await
}

fn event(delta: &str, finish: &str) -> String {
    format!(
        "data: {{\"id\":\"chatcmpl-upstream-0123456789abcdef\",\"object\":\"chat.completion.chunk\",\
         \"created\":1767225600,\"model\":\"upstream-large-2026-01\",\"system_fingerprint\":\"fp_0123456789\",\
         \"choices\":[{{\"index\":0,\"delta\":{delta},\"logprobs\":null,\"finish_reason\":{finish}}}]}}\n\n"
    )
}

fn chunked(data: &str) -> Vec<u8> {
    format!("{:x}\r\n{data}\r\n", data.len()).into_bytes()
}

/// A completion of 1 KB.
fn completion() -> String {
    let around = completion_saying("").len();
    completion_saying(&"All of it in a few plain words. ".repeat(64)[..1024 - around])
}

fn completion_saying(text: &str) -> String {
    format!(
        "{{\"id\":\"chatcmpl-upstream-0123456789abcdef\",\"object\":\"chat.completion\",\
         \"created\":1767225600,\"model\":\"upstream-large-2026-01\",\"choices\":[{{\"index\":0,\
         \"message\":{{\"role\":\"assistant\",\"content\":\"{text}\",\"refusal\":null}},\"logprobs\":null,\
         \"finish_reason\":\"stop\"}}],\"usage\":{{\"prompt_tokens\":250,\"completion_tokens\":150,\
         \"total_tokens\":400}},\"system_fingerprint\":\"fp_0123456789\"}}"
    )
}

fn with_length(body: &str) -> Vec<u8> {
    let length = body.len();
    format!("HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n{body}")
        .into_bytes()
}

const STREAM_HEAD: &[u8] =
    b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncache-control: no-cache\r\n\
    transfer-encoding: chunked\r\n\r\n";

const USAGE_EVENT: &str = "data: {\"id\":\"chatcmpl-upstream-0123456789abcdef\",\
    \"object\":\"chat.completion.chunk\",\"created\":1767225600,\"model\":\"upstream-large-2026-01\",\
    \"choices\":[],\"usage\":{\"prompt_tokens\":20,\"completion_tokens\":100,\"total_tokens\":120}}\n\n";

const MODELS: &str = r#"{"object":"list","data":[{"id":"upstream-large-2026-01","object":"model","created":1767225600,"owned_by":"upstream"}]}"#;
