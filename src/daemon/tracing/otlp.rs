//! Traces in OTLP's protobuf: the messages of `opentelemetry/proto/collector/trace/v1`, as far as we fill them.

use std::time::{SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use prost::{Message, Oneof};

use crate::rules::trace::{self, Outcome, Parent, Side, Trace};

/// SPAN_KIND_SERVER, SPAN_KIND_CLIENT, STATUS_CODE_ERROR.
const KIND_SERVER: i32 = 2;
const KIND_CLIENT: i32 = 3;
const STATUS_ERROR: i32 = 2;
/// The parent's sampled flag, and whether it is known to be remote, or not.
const SAMPLED: u32 = 1;
const KNOWN: u32 = 0x100;
const REMOTE: u32 = 0x200;

#[derive(Clone, PartialEq, Message)]
struct Request {
    #[prost(message, repeated, tag = "1")]
    resource_spans: Vec<ResourceSpans>,
}

#[derive(Clone, PartialEq, Message)]
struct ResourceSpans {
    #[prost(message, optional, tag = "1")]
    resource: Option<Resource>,
    #[prost(message, repeated, tag = "2")]
    scope_spans: Vec<ScopeSpans>,
}

#[derive(Clone, PartialEq, Message)]
struct Resource {
    #[prost(message, repeated, tag = "1")]
    attributes: Vec<KeyValue>,
}

#[derive(Clone, PartialEq, Message)]
struct ScopeSpans {
    #[prost(message, optional, tag = "1")]
    scope: Option<Scope>,
    #[prost(message, repeated, tag = "2")]
    spans: Vec<Span>,
}

#[derive(Clone, PartialEq, Message)]
struct Scope {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(string, tag = "2")]
    version: String,
}

#[derive(Clone, PartialEq, Message)]
struct Span {
    #[prost(bytes = "vec", tag = "1")]
    trace_id: Vec<u8>,
    #[prost(bytes = "vec", tag = "2")]
    span_id: Vec<u8>,
    #[prost(bytes = "vec", tag = "4")]
    parent_span_id: Vec<u8>,
    #[prost(string, tag = "5")]
    name: String,
    #[prost(int32, tag = "6")]
    kind: i32,
    #[prost(fixed64, tag = "7")]
    start: u64,
    #[prost(fixed64, tag = "8")]
    end: u64,
    #[prost(message, repeated, tag = "9")]
    attributes: Vec<KeyValue>,
    #[prost(message, optional, tag = "15")]
    status: Option<Status>,
    #[prost(fixed32, tag = "16")]
    flags: u32,
}

#[derive(Clone, PartialEq, Message)]
struct Status {
    #[prost(int32, tag = "3")]
    code: i32,
}

#[derive(Clone, PartialEq, Message)]
struct KeyValue {
    #[prost(string, tag = "1")]
    key: String,
    #[prost(message, optional, tag = "2")]
    value: Option<AnyValue>,
}

#[derive(Clone, PartialEq, Message)]
struct AnyValue {
    #[prost(oneof = "Any", tags = "1, 2, 3, 4, 5")]
    value: Option<Any>,
}

#[derive(Clone, PartialEq, Oneof)]
enum Any {
    #[prost(string, tag = "1")]
    Text(String),
    #[prost(bool, tag = "2")]
    Truth(bool),
    #[prost(int64, tag = "3")]
    Number(i64),
    #[prost(double, tag = "4")]
    Real(f64),
    #[prost(message, tag = "5")]
    Many(Many),
}

#[derive(Clone, PartialEq, Message)]
struct Many {
    #[prost(message, repeated, tag = "1")]
    values: Vec<AnyValue>,
}

/// The body of one post.
pub fn encoded(traces: &[Trace]) -> Bytes {
    let ours = |key, value: &str| attribute(key, Any::Text(value.to_owned()));
    let version = env!("CARGO_PKG_VERSION");
    let spans = traces.iter().flat_map(|trace| trace.spans.iter().map(|of| span(trace, of))).collect();
    let scope = Scope { name: "byname".to_owned(), version: version.to_owned() };
    let resource =
        Resource { attributes: vec![ours("service.name", "byname"), ours("service.version", version)] };
    let scope_spans = vec![ScopeSpans { scope: Some(scope), spans }];
    Request { resource_spans: vec![ResourceSpans { resource: Some(resource), scope_spans }] }
        .encode_to_vec()
        .into()
}

fn span(trace: &Trace, of: &trace::Span) -> Span {
    let (parent, remote) = match of.parent {
        Parent::Nobody => (Vec::new(), KNOWN),
        Parent::Theirs(span) => (span.bytes().to_vec(), KNOWN | REMOTE),
        Parent::Ours(span) => (span.bytes().to_vec(), KNOWN),
    };
    Span {
        trace_id: trace.id.bytes().to_vec(),
        span_id: of.id.bytes().to_vec(),
        parent_span_id: parent,
        name: of.name.clone(),
        kind: match of.side {
            Side::Server => KIND_SERVER,
            Side::Client => KIND_CLIENT,
        },
        start: nanos(of.start),
        end: nanos(of.end),
        attributes: of.attributes.iter().map(|(key, value)| attribute(key, any(value))).collect(),
        status: match of.outcome {
            Outcome::Fine => None,
            Outcome::Failed => Some(Status { code: STATUS_ERROR }),
        },
        flags: SAMPLED | remote,
    }
}

fn attribute(key: &str, value: Any) -> KeyValue {
    KeyValue { key: key.to_owned(), value: Some(AnyValue { value: Some(value) }) }
}

fn any(value: &trace::Value) -> Any {
    match value {
        trace::Value::Text(text) => Any::Text(text.clone()),
        trace::Value::Word(word) => Any::Text((*word).to_owned()),
        trace::Value::Words(words) => {
            let one = |word: &&str| AnyValue { value: Some(Any::Text((*word).to_owned())) };
            Any::Many(Many { values: words.iter().map(one).collect() })
        }
        trace::Value::Number(number) => Any::Number(i64::try_from(*number).unwrap_or(i64::MAX)),
        trace::Value::Seconds(seconds) => Any::Real(*seconds),
        trace::Value::Truth(truth) => Any::Truth(*truth),
    }
}

fn nanos(time: SystemTime) -> u64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}
