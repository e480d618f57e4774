//! Every way we say no, and what the caller sees of it.
//!
//! [`GatewayError::public`] is the only place where a refusal gets a status, a code and words.
//! What a client may not know has no room in [`Public`]; it stays in the error, for the log.

mod upstream;

use std::borrow::Cow;
use std::fmt;
use std::time::Duration;

pub use upstream::{Reason, Said, UpstreamFault};

use crate::names::Alias;

/// A request that is not going to be answered by a backing model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum GatewayError {
    /// The body is not a chat completion request that we could pass on.
    BadRequest(BadRequest),
    /// No key, a malformed one, an unknown one or an expired one: one answer for all.
    NoKey,
    /// The key is good but may not do this.
    NoScope(Scope),
    /// Unknown alias, or another tenant's: the same answer for both.
    NoSuchModel,
    /// No such route.
    UnknownPath,
    /// The route exists; `allow` is the value of the `Allow` header.
    WrongMethod { allow: &'static str },
    /// The body did not arrive in time.
    TooSlow,
    /// The head did not arrive in time.
    HeadTooSlow,
    /// The body is larger than `max_body`.
    TooLarge,
    /// The header block is larger than `max_head`.
    HeadTooLarge,
    /// The head is not HTTP that we accept.
    BadHead,
    /// The body's framing is broken: a bad chunk, or an end too early.
    BadFraming,
    /// The backing model refused the request itself.
    Rejected(Rejection),
    /// A content policy forbids the request, or its answer.
    Blocked(Blocker),
    /// A limit of ours is used up; there is room again after `wait`. `jitter` is what a client may wait longer.
    Limited { alias: Alias, limit: &'static str, wait: Duration, jitter: Duration },
    /// Too many requests without a good key came from this address.
    Flood,
    /// All backing models are busy; one of them will take requests again after this time.
    Busy { alias: Alias, wait: Duration },
    /// No backing model gave a usable answer.
    UpstreamDown { alias: Alias, fault: UpstreamFault },
    /// We are about to stop.
    Draining,
    /// Request bodies of all clients together would take more than `max_buffered`.
    OutOfMemory,
    /// Those of its tenant would take more than the tenant's share of it.
    OutOfShare,
    /// A fault of ours. The text is for the log.
    Internal(&'static str),
}

/// Why a backing model refused a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rejection {
    /// The conversation is longer than it accepts.
    ContextOverflow,
    /// Anything else.
    Other,
}

/// Whose word it is that something is forbidden, and of what. The client is told the same whoever it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Blocker {
    /// The backing model's own policy.
    Backend,
    /// A policy of ours, of the request.
    Prompt,
    /// A policy of ours, of the answer.
    Answer,
    /// The moderator that a policy of ours names.
    Moderator,
    /// Nobody: that moderator did not answer, and without its word nothing may go on.
    NoModerator,
    /// Nobody: a part of the request is of a kind that the moderator cannot judge.
    Unjudged,
}

impl Blocker {
    /// Why, as a metric label and log field.
    pub fn label(self) -> &'static str {
        match self {
            Self::Backend => "blocked_upstream",
            Self::Prompt => "blocked_prompt",
            Self::Answer => "blocked_answer",
            Self::Moderator => "blocked_by_moderator",
            Self::NoModerator => "moderator_failed",
            Self::Unjudged => "blocked_unjudged",
        }
    }
}

/// What a key may be used for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Scope {
    /// `POST /v1/chat/completions`.
    Chat,
    /// `GET /v1/models` and `GET /v1/models/{id}`.
    Models,
}

/// Why a request body was refused: the field by its name in our API, and what is wrong with it.
///
/// Both are our own words, so that nothing that a client sent is echoed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BadRequest {
    /// The field, such as `messages[2].role`; empty when the body as a whole is wrong.
    pub field: Cow<'static, str>,
    /// What is wrong, as a predicate: `must be a string`.
    pub wrong: &'static str,
}

impl BadRequest {
    /// A complaint about the body as a whole; `wrong` is a whole sentence without its full stop.
    pub const fn body(wrong: &'static str) -> Self {
        Self { field: Cow::Borrowed(""), wrong }
    }

    /// A complaint about one field.
    pub fn field(field: impl Into<Cow<'static, str>>, wrong: &'static str) -> Self {
        Self { field: field.into(), wrong }
    }
}

impl fmt::Display for BadRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.field.is_empty() {
            write!(f, "{}.", self.wrong)
        } else {
            write!(f, "`{}` {}.", self.field, self.wrong)
        }
    }
}

/// Whose fault a refusal is, as a metric label.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Fault {
    Caller,
    Policy,
    Upstream,
    Gateway,
}

impl Fault {
    /// The label's text.
    pub fn label(self) -> &'static str {
        match self {
            Self::Caller => "caller",
            Self::Policy => "policy",
            Self::Upstream => "upstream",
            Self::Gateway => "gateway",
        }
    }
}

/// What a client learns of a refusal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Public {
    /// HTTP status.
    pub status: u16,
    /// `error.type`.
    pub kind: &'static str,
    /// `error.message`.
    pub message: Cow<'static, str>,
    /// `error.code`.
    pub code: &'static str,
    /// Headers that belong to this refusal alone.
    pub headers: Vec<(&'static str, Cow<'static, str>)>,
}

/// The least and the most that a client is told to wait.
const SHORTEST_WAIT: Duration = Duration::from_secs(1);
const LONGEST_WAIT: Duration = Duration::from_secs(60);

const CALLER: &str = "invalid_request_error";

impl GatewayError {
    /// The row of the API's error table for this refusal.
    pub fn public(&self) -> Public {
        let (status, kind, code, message): (u16, _, _, Cow<'static, str>) = match self {
            Self::BadRequest(why) => {
                (400, CALLER, "invalid_request", format!("Invalid chat completion request. {why}").into())
            }
            Self::BadFraming => (
                400,
                CALLER,
                "invalid_request",
                "Invalid chat completion request. The body's framing is broken.".into(),
            ),
            Self::Rejected(Rejection::Other) => (
                400,
                CALLER,
                "invalid_request",
                "Invalid chat completion request. The model refused it.".into(),
            ),
            Self::Rejected(Rejection::ContextOverflow) => (
                400,
                CALLER,
                "invalid_request",
                "Invalid chat completion request. The conversation is longer than this model accepts \
                 (context_length_exceeded)."
                    .into(),
            ),
            Self::BadHead => (400, CALLER, "invalid_request", "Malformed HTTP request.".into()),
            Self::NoKey => (401, CALLER, "invalid_api_key", "Missing or invalid API key.".into()),
            Self::NoScope(Scope::Chat) => (
                403,
                CALLER,
                "insufficient_scope",
                "This API key is not authorized to invoke chat completions.".into(),
            ),
            Self::NoScope(Scope::Models) => {
                (403, CALLER, "insufficient_scope", "This API key is not authorized to list models.".into())
            }
            Self::NoSuchModel => {
                (404, "model_not_found", "model_not_found", "The requested model was not found.".into())
            }
            Self::UnknownPath => (404, CALLER, "not_found", "Unknown path.".into()),
            Self::WrongMethod { .. } => {
                (405, CALLER, "method_not_allowed", "This method is not allowed here.".into())
            }
            Self::TooSlow => {
                (408, CALLER, "request_timeout", "The request body did not arrive in time.".into())
            }
            Self::HeadTooSlow => {
                (408, CALLER, "request_timeout", "The request headers did not arrive in time.".into())
            }
            Self::TooLarge => (413, CALLER, "request_too_large", "The request body is too large.".into()),
            Self::HeadTooLarge => {
                (431, CALLER, "headers_too_large", "The request headers are too large.".into())
            }
            Self::Blocked(_) => {
                (403, CALLER, "content_blocked", "Your request was blocked by a content policy.".into())
            }
            Self::Flood => {
                (429, "rate_limited", "rate_limited", "Too many requests without a valid API key.".into())
            }
            Self::Limited { alias, .. } | Self::Busy { alias, .. } => (
                429,
                "rate_limited",
                "rate_limited",
                format!("The requested model alias '{alias}' is temporarily unavailable.").into(),
            ),
            Self::UpstreamDown { alias, .. } => (
                502,
                "upstream_unavailable",
                "upstream_unavailable",
                format!("The requested model alias '{alias}' is temporarily unavailable.").into(),
            ),
            Self::Draining => (
                503,
                "service_unavailable",
                "service_unavailable",
                "The service is restarting. Please retry.".into(),
            ),
            // The same for both, so that nobody learns from it what others do.
            Self::OutOfMemory | Self::OutOfShare => (
                503,
                "service_unavailable",
                "service_unavailable",
                "The service is busy. Please retry.".into(),
            ),
            Self::Internal(_) => (500, "server_error", "internal_error", "Internal error.".into()),
        };
        let headers = match self {
            Self::NoKey => vec![("www-authenticate", "Bearer".into())],
            Self::WrongMethod { allow } => vec![("allow", (*allow).into())],
            Self::Draining | Self::OutOfMemory | Self::OutOfShare => vec![("retry-after", "1".into())],
            Self::Busy { wait, .. } => waits((*wait).clamp(SHORTEST_WAIT, LONGEST_WAIT), Duration::ZERO),
            Self::Limited { wait, jitter, .. } => waits((*wait).max(SHORTEST_WAIT), *jitter),
            Self::Flood => waits(LONGEST_WAIT, Duration::ZERO),
            Self::BadRequest(_)
            | Self::BadFraming
            | Self::Rejected(_)
            | Self::BadHead
            | Self::NoScope(_)
            | Self::NoSuchModel
            | Self::UnknownPath
            | Self::TooSlow
            | Self::HeadTooSlow
            | Self::TooLarge
            | Self::HeadTooLarge
            | Self::Blocked(_)
            | Self::UpstreamDown { .. }
            | Self::Internal(_) => Vec::new(),
        };
        Public { status, kind, message, code, headers }
    }

    /// Whose fault it is.
    pub fn fault(&self) -> Fault {
        match self {
            Self::BadRequest(_)
            | Self::BadFraming
            | Self::Rejected(_)
            | Self::BadHead
            | Self::NoKey
            | Self::NoScope(_)
            | Self::NoSuchModel
            | Self::UnknownPath
            | Self::WrongMethod { .. }
            | Self::TooSlow
            | Self::HeadTooSlow
            | Self::TooLarge
            | Self::Flood
            | Self::HeadTooLarge => Fault::Caller,
            Self::Blocked(_) | Self::Limited { .. } | Self::OutOfShare => Fault::Policy,
            Self::Busy { .. } | Self::UpstreamDown { .. } => Fault::Upstream,
            Self::Draining | Self::OutOfMemory | Self::Internal(_) => Fault::Gateway,
        }
    }

    /// Why, as a metric label and log field: the public code, or the backend's fault.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::UpstreamDown { fault, .. } => fault.label(),
            Self::Busy { .. } => "upstream_busy",
            Self::Limited { limit, .. } => limit,
            Self::Flood => "unknown_keys",
            Self::Blocked(who) => who.label(),
            Self::Internal(what) => what,
            Self::BadHead => "malformed_head",
            Self::HeadTooSlow => "slow_head",
            Self::OutOfMemory => "max_buffered",
            Self::OutOfShare => "max_buffered_share",
            Self::BadFraming => "malformed_body",
            Self::Rejected(Rejection::ContextOverflow) => "context_overflow",
            Self::Rejected(Rejection::Other) => "rejected_upstream",
            Self::BadRequest(_)
            | Self::NoKey
            | Self::NoScope(_)
            | Self::NoSuchModel
            | Self::UnknownPath
            | Self::WrongMethod { .. }
            | Self::TooSlow
            | Self::TooLarge
            | Self::HeadTooLarge
            | Self::Draining => self.public().code,
        }
    }
}

impl fmt::Display for GatewayError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.reason())
    }
}

impl std::error::Error for GatewayError {}

/// The headers that say when to come again. A wait that official clients would not keep is told as it is, with
/// the word that they shall not try on their own.
fn waits(wait: Duration, jitter: Duration) -> Vec<(&'static str, Cow<'static, str>)> {
    let mut headers = vec![("retry-after", wait.as_secs_f64().ceil().to_string().into())];
    if wait > LONGEST_WAIT {
        headers.push(("x-should-retry", "false".into()));
    } else {
        // Clients take no more than a minute.
        let wait = (wait + jitter).min(LONGEST_WAIT);
        headers.push(("retry-after-ms", wait.as_millis().to_string().into()));
    }
    headers
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_upstream_fault_never_shows_in_what_the_client_gets() {
        let alias = Alias::new("general");
        let shapes = [
            UpstreamFault::Tls,
            UpstreamFault::Status { status: 401, reason: Reason::Other },
            UpstreamFault::Truncated,
            UpstreamFault::BadJson,
        ]
        .map(|fault| GatewayError::UpstreamDown { alias: alias.clone(), fault }.public());
        assert!(shapes.windows(2).all(|pair| pair[0] == pair[1]));
        assert_eq!(shapes[0].message, "The requested model alias 'general' is temporarily unavailable.");
    }

    #[test]
    fn a_wait_is_told_in_full_seconds_and_in_milliseconds_and_a_long_one_is_not_to_be_waited_for() {
        let headers = |millis, jitter| {
            let limited = GatewayError::Limited {
                alias: Alias::new("general"),
                limit: "requests_per_minute",
                wait: Duration::from_millis(millis),
                jitter: Duration::from_millis(jitter),
            };
            limited
                .public()
                .headers
                .iter()
                .map(|(name, value)| format!("{name}: {value}"))
                .collect::<Vec<_>>()
        };
        assert_eq!(headers(10, 0), ["retry-after: 1", "retry-after-ms: 1000"]);
        assert_eq!(headers(12_345, 100), ["retry-after: 13", "retry-after-ms: 12445"]);
        assert_eq!(headers(60_000, 7000), ["retry-after: 60", "retry-after-ms: 60000"]);
        assert_eq!(headers(86_000_000, 0), ["retry-after: 86000", "x-should-retry: false"]);
    }

    #[test]
    fn a_bad_request_is_the_fixed_sentence_and_one_more() {
        let why = BadRequest::field("messages[2].role", "must be a string");
        assert_eq!(
            GatewayError::BadRequest(why).public().message,
            "Invalid chat completion request. `messages[2].role` must be a string."
        );
    }
}
