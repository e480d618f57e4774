//! The two allow-lists: what goes up to a backing model, what comes down to a client.
//!
//! Both heads are built from nothing. No header of a client reaches a backend, and no header of a
//! backend reaches a client, because neither is ever copied.

use http::Method;
use http::header::{self, HeaderName, HeaderValue};
use pingora_http::RequestHeader;
use zeroize::Zeroizing;

use crate::names::Secret;

/// `x-request-id`, on every answer and every upstream request.
pub const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// Tells nginx-like front proxies not to collect a stream.
pub const X_ACCEL_BUFFERING: HeaderName = HeaderName::from_static("x-accel-buffering");

/// Who we say we are to a backend.
const USER_AGENT: &str = concat!("byname/", env!("CARGO_PKG_VERSION"));

/// What a URL's host and port are in a `Host` header; `usual` is the port that its scheme does without.
pub fn host(host: &str, port: u16, usual: u16) -> String {
    let bracketed = if host.contains(':') { format!("[{host}]") } else { host.to_owned() };
    if port == usual { bracketed } else { format!("{bracketed}:{port}") }
}

/// Where a request goes on a backend, and how we say who we are. It differs by dialect.
pub struct Door {
    target: String,
    credential: Option<(HeaderName, HeaderValue)>,
}

impl Door {
    /// OpenAI's own: the model is named in the body, the key is a bearer token. `None` when the key
    /// cannot stand in a header.
    pub fn openai(base_path: &str, key: Option<&Secret>) -> Option<Self> {
        Self::of(&format!("{base_path}/chat/completions"), key)
    }

    /// One endpoint, which takes the key as a bearer token. `None` when the key cannot stand in a header.
    pub fn of(path: &str, key: Option<&Secret>) -> Option<Self> {
        let credential = match key {
            Some(key) => {
                Some((header::AUTHORIZATION, sensitive(&Zeroizing::new(format!("Bearer {}", key.reveal())))?))
            }
            None => None,
        };
        Some(Self { target: path.to_owned(), credential })
    }

    /// Azure's: the model is a deployment in the path, the version of the API stands in the query, and
    /// the key has a header of its own.
    pub fn azure(base_path: &str, deployment: &str, api_version: &str, key: Option<&Secret>) -> Option<Self> {
        let deployment = percent_encoded(deployment);
        let target =
            format!("{base_path}/openai/deployments/{deployment}/chat/completions?api-version={api_version}");
        let credential = match key {
            Some(key) => Some((HeaderName::from_static("api-key"), sensitive(key.reveal())?)),
            None => None,
        };
        Some(Self { target, credential })
    }
}

fn sensitive(text: &str) -> Option<HeaderValue> {
    let mut value = HeaderValue::from_str(text).ok()?;
    value.set_sensitive(true);
    Some(value)
}

/// A path segment with all but the unreserved characters escaped (RFC 3986, 2.3).
fn percent_encoded(text: &str) -> String {
    text.bytes().fold(String::with_capacity(text.len()), |mut out, byte| {
        use std::fmt::Write;
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            // Writing to a String cannot fail.
            let _ = write!(out, "%{byte:02X}");
        }
        out
    })
}

/// The head that goes up to one backend for one model: constant, but for the body's length and the request's id.
#[derive(Debug, Clone)]
pub struct UpwardHead(RequestHeader);

impl UpwardHead {
    /// `host` is what the `Host` header says. `None` when a part cannot stand in a head.
    pub fn new(host: &str, door: &Door) -> Option<Self> {
        let mut head = RequestHeader::build_no_case(Method::POST, door.target.as_bytes(), Some(8)).ok()?;
        let mut insert = |name: HeaderName, value: HeaderValue| head.insert_header(name, value).ok();
        insert(header::HOST, HeaderValue::from_str(host).ok()?)?;
        insert(header::USER_AGENT, HeaderValue::from_static(USER_AGENT))?;
        insert(header::ACCEPT, HeaderValue::from_static("application/json, text/event-stream"))?;
        // Compressed answers would have to be unpacked before they can be checked.
        insert(header::ACCEPT_ENCODING, HeaderValue::from_static("identity"))?;
        insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"))?;
        if let Some((name, value)) = &door.credential {
            insert(name.clone(), value.clone())?;
        }
        Some(Self(head))
    }

    /// The head of an active check of the same backend: a GET on this path, with the same credential.
    pub fn check(host: &str, path: &str, door: &Door) -> Option<RequestHeader> {
        let mut head = RequestHeader::build_no_case(Method::GET, path.as_bytes(), Some(4)).ok()?;
        let mut insert = |name: HeaderName, value: HeaderValue| head.insert_header(name, value).ok();
        insert(header::HOST, HeaderValue::from_str(host).ok()?)?;
        insert(header::USER_AGENT, HeaderValue::from_static(USER_AGENT))?;
        insert(header::ACCEPT, HeaderValue::from_static("*/*"))?;
        if let Some((name, value)) = &door.credential {
            insert(name.clone(), value.clone())?;
        }
        Some(head)
    }

    /// The head for a body of this length that belongs to no client's request alone.
    ///
    /// # Errors
    /// Never: the header is well-formed.
    pub fn question(&self, length: usize) -> pingora_error::Result<RequestHeader> {
        let mut head = self.0.clone();
        head.insert_header(header::CONTENT_LENGTH, HeaderValue::from(length))?;
        Ok(head)
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
        let door = Door::openai("/v1", Some(&Secret::new("s3cret"))).unwrap();
        let head = UpwardHead::new("h:1", &door).unwrap();
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
        assert!(Door::openai("", Some(&Secret::new("line\nbreak"))).is_none());
    }

    #[test]
    fn azure_has_the_deployment_in_the_path_and_the_key_in_its_own_header() {
        let door = Door::azure("", "gpt 4/ü", "2024-10-21", Some(&Secret::new("s3cret"))).unwrap();
        let head = UpwardHead::new("r.example", &door).unwrap();
        assert!(!format!("{head:?}").contains("s3cret"));
        let head = head.for_body(7, HeaderValue::from_static("id")).unwrap();
        let target = head.uri.path_and_query().unwrap().as_str();
        assert_eq!(target, "/openai/deployments/gpt%204%2F%C3%BC/chat/completions?api-version=2024-10-21");
        assert_eq!(head.headers["api-key"], "s3cret");
        assert!(!head.headers.contains_key(header::AUTHORIZATION));
        let check = UpwardHead::check("r.example", "/status?full=1", &door).unwrap();
        assert_eq!((&check.method, check.uri.to_string().as_str()), (&Method::GET, "/status?full=1"));
        assert_eq!(check.headers["api-key"], "s3cret");
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
