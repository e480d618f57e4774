//! A collector of traces: takes OTLP over HTTP and decodes it with OpenTelemetry's own messages.

use std::io::Write;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Instant;

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message;

use super::DEADLINE;
use super::http::{Framing, Head, Inbox};

/// What was posted.
#[derive(Debug, Clone)]
pub struct Post {
    pub head: Head,
    pub body: Vec<u8>,
    pub said: ExportTraceServiceRequest,
}

/// A running collector.
pub struct Collector {
    address: SocketAddr,
    posts: Arc<Mutex<Vec<Post>>>,
}

impl Collector {
    /// Answers posts with these statuses in turn, and the last one for all that follow.
    pub fn start(statuses: &'static [u16]) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a loopback port");
        let address = listener.local_addr().expect("a bound socket has an address");
        let posts = Arc::<Mutex<Vec<Post>>>::default();
        let seen = posts.clone();
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let post = read(&stream);
                let mut seen = seen.lock().expect("nobody panics with it");
                let status = statuses[seen.len().min(statuses.len() - 1)];
                seen.push(post);
                let answer = format!("HTTP/1.1 {status} Whatever\r\nContent-Length: 0\r\n\r\n");
                let _ = (&stream).write_all(answer.as_bytes());
            }
        });
        Self { address, posts }
    }

    /// What a configuration says of it, with these fields besides.
    pub fn section(&self, more: &str) -> String {
        format!("tracing: {{ endpoint: \"http://{}/v1/traces\", {more} }}", self.address)
    }

    /// All posts so far.
    pub fn posts(&self) -> Vec<Post> {
        self.posts.lock().expect("nobody panics with it").clone()
    }

    /// Waits until so many spans have come, and gives them all.
    pub fn wait_spans(&self, at_least: usize) -> Vec<Span> {
        let since = Instant::now();
        loop {
            let spans: Vec<_> = self.posts().iter().flat_map(spans).collect();
            if spans.len() >= at_least {
                return spans;
            }
            assert!(since.elapsed() < DEADLINE, "{at_least} spans were due, these came: {spans:?}");
            thread::sleep(std::time::Duration::from_millis(20));
        }
    }
}

/// All spans of a post.
pub fn spans(post: &Post) -> Vec<Span> {
    let resources = post.said.resource_spans.iter();
    resources.flat_map(|of| &of.scope_spans).flat_map(|of| of.spans.clone()).collect()
}

/// What an attribute of a span says, as text; lists in brackets.
pub fn attribute(span: &Span, key: &str) -> Option<String> {
    let found = span.attributes.iter().find(|pair| pair.key == key)?;
    shown(found.value.as_ref()?.value.as_ref()?)
}

fn shown(value: &Value) -> Option<String> {
    match value {
        Value::StringValue(text) => Some(text.clone()),
        Value::BoolValue(truth) => Some(truth.to_string()),
        Value::IntValue(number) => Some(number.to_string()),
        Value::DoubleValue(number) => Some(number.to_string()),
        Value::ArrayValue(all) => {
            let all: Vec<_> = all.values.iter().filter_map(|one| shown(one.value.as_ref()?)).collect();
            Some(format!("[{}]", all.join(", ")))
        }
        _ => None,
    }
}

/// An id as it is written.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A span for people: times from `zero` on, in milliseconds.
pub fn printed(span: &Span, zero: u64) -> String {
    let ms = |at: u64| (at - zero) as f64 / 1e6;
    let mut text = format!(
        "{} kind={} trace={} span={} parent={} from {:.3} ms to {:.3} ms status={}\n",
        span.name,
        span.kind,
        hex(&span.trace_id),
        hex(&span.span_id),
        hex(&span.parent_span_id),
        ms(span.start_time_unix_nano),
        ms(span.end_time_unix_nano),
        span.status.as_ref().map_or(0, |status| status.code)
    );
    for pair in &span.attributes {
        text.push_str(&format!("    {} = {}\n", pair.key, attribute(span, &pair.key).unwrap_or_default()));
    }
    text
}

fn read(mut stream: &TcpStream) -> Post {
    stream.set_read_timeout(Some(DEADLINE)).expect("a timeout");
    let mut inbox = Inbox::default();
    let head = inbox.head(&mut stream).expect("a head").expect("a post");
    let Some(Framing::Length(length)) = head.framing() else { panic!("a post without its length") };
    let body = inbox.exactly(length, &mut stream).expect("a whole post");
    let said = ExportTraceServiceRequest::decode(&*body).expect("OTLP in protobuf");
    Post { head, body, said }
}
