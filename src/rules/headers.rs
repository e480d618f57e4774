//! The two allow-lists: what goes up to a backing model, what comes down to a client.
//!
//! Both heads are built from nothing. No header of a client reaches a backend, and no header of a
//! backend reaches a client, because neither is ever copied.

use http::Method;
use http::header::{self, HeaderName, HeaderValue};
use pingora_http::RequestHeader;

use crate::names::Secret;

/// `x-request-id`, on every answer and every upstream request.
pub const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// Tells nginx-like front proxies not to collect a stream.
pub const X_ACCEL_BUFFERING: HeaderName = HeaderName::from_static("x-accel-buffering");

/// Who we say we are to a backend.
const USER_AGENT: &str = concat!("byname/", env!("CARGO_PKG_VERSION"));

/// The head that goes up to one backend: constant, but for the body's length and the request's id.
#[derive(Debug, Clone)]
pub struct UpwardHead(RequestHeader);

impl UpwardHead {
    /// `host` is what the `Host` header says; `base_path` is what stands before `/chat/completions`.
    /// `None` when a part cannot stand in a head.
    pub fn new(host: &str, base_path: &str, key: Option<&Secret>) -> Option<Self> {
        let path = format!("{base_path}/chat/completions");
        let mut head = RequestHeader::build_no_case(Method::POST, path.as_bytes(), Some(8)).ok()?;
        let mut insert = |name: HeaderName, value: HeaderValue| head.insert_header(name, value).ok();
        insert(header::HOST, HeaderValue::from_str(host).ok()?)?;
        insert(header::USER_AGENT, HeaderValue::from_static(USER_AGENT))?;
        insert(header::ACCEPT, HeaderValue::from_static("application/json, text/event-stream"))?;
        // Compressed answers would have to be unpacked before they can be checked.
        insert(header::ACCEPT_ENCODING, HeaderValue::from_static("identity"))?;
        insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"))?;
        if let Some(key) = key {
            let mut value = HeaderValue::from_str(&format!("Bearer {}", key.reveal())).ok()?;
            value.set_sensitive(true);
            insert(header::AUTHORIZATION, value)?;
        }
        Some(Self(head))
    }

    /// The head for a body of this length.
    ///
    /// # Errors
    /// Never: both headers are well-formed.
    pub fn for_body(&self, length: usize, request_id: HeaderValue) -> pingora_error::Result<RequestHeader> {
        let mut head = self.0.clone();
        head.insert_header(header::CONTENT_LENGTH, HeaderValue::from(length))?;
        head.insert_header(X_REQUEST_ID, request_id)?;
        Ok(head)
    }
}

/// What an answer of ours is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Downward {
    /// A JSON body of known length.
    Json,
    /// Server-sent events of unknown length.
    Events,
}

impl Downward {
    /// The headers of such an answer, without framing, date and request id.
    pub fn headers(self) -> &'static [(HeaderName, HeaderValue)] {
        static JSON: [(HeaderName, HeaderValue); 2] = [
            (header::CONTENT_TYPE, HeaderValue::from_static("application/json")),
            (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
        ];
        static EVENTS: [(HeaderName, HeaderValue); 3] = [
            (header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream")),
            (header::CACHE_CONTROL, HeaderValue::from_static("no-cache")),
            (X_ACCEL_BUFFERING, HeaderValue::from_static("no")),
        ];
        match self {
            Self::Json => &JSON,
            Self::Events => &EVENTS,
        }
    }
}

/// Whether a `Content-Type` is JSON: `application/json`, any case, any parameters.
pub fn is_json(content_type: &[u8]) -> bool {
    is_media_type(content_type, b"application/json")
}

/// Whether a `Content-Type` is an event stream.
pub fn is_event_stream(content_type: &[u8]) -> bool {
    is_media_type(content_type, b"text/event-stream")
}

fn is_media_type(value: &[u8], wanted: &[u8]) -> bool {
    let essence = value.split(|b| *b == b';').next().unwrap_or(value);
    essence.trim_ascii().eq_ignore_ascii_case(wanted)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_that_goes_up_has_these_headers_and_no_others() {
        let head = UpwardHead::new("h:1", "/v1", Some(&Secret::new("s3cret"))).unwrap();
        assert!(!format!("{head:?}").contains("s3cret"));
        let head = head.for_body(7, HeaderValue::from_static("id")).unwrap();
        assert_eq!((&head.method, head.uri.path()), (&Method::POST, "/v1/chat/completions"));
        let names: Vec<_> = head.headers.keys().map(|name| name.as_str()).collect();
        let expected = [
            "host",
            "user-agent",
            "accept",
            "accept-encoding",
            "content-type",
            "authorization",
            "content-length",
            "x-request-id",
        ];
        assert_eq!(names, expected);
        assert!(UpwardHead::new("h", "", Some(&Secret::new("line\nbreak"))).is_none());
    }

    #[test]
    fn a_media_type_is_compared_without_case_and_parameters() {
        for good in [
            "application/json",
            "Application/JSON",
            "application/json; charset=utf-8",
            "application/json ;a=b",
        ] {
            assert!(is_json(good.as_bytes()), "{good}");
        }
        for bad in [
            "",
            "text/plain",
            "application/json5",
            "application/problem+json",
            "json",
            "application/json,text/plain",
        ] {
            assert!(!is_json(bad.as_bytes()), "{bad}");
        }
        assert!(is_event_stream(b"text/event-stream; charset=utf-8"));
    }
}
