//! What a backend did wrong, in our words. For logs, metrics and the choice of another backend; never for a client.

/// What a backend's own error names as its cause.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Reason {
    /// The conversation is longer than the model accepts.
    ContextOverflow,
    /// The provider's content policy forbids the prompt or the answer.
    ContentPolicy,
    /// Our account is out of credit or out of quota: waiting does not help.
    Quota,
    /// The backend has no room at the moment, whoever asks.
    Capacity,
    /// We ask too often, or for too much at once: waiting helps.
    RateLimited,
    /// Our key is missing, wrong or spent, or may not do this.
    BadCredential,
    /// A parameter or a value that this model does not take, though another may.
    Unsupported,
    /// No such model, deployment or route: our configuration is at fault.
    NoSuchModel,
    /// Something else, or nothing that could be understood.
    Other,
}

impl Reason {
    /// A label for logs, from a closed set.
    pub fn label(self) -> &'static str {
        match self {
            Self::ContextOverflow => "context_overflow",
            Self::ContentPolicy => "content_policy",
            Self::Quota => "quota",
            Self::Capacity => "capacity",
            Self::RateLimited => "rate_limited",
            Self::BadCredential => "bad_credential",
            Self::Unsupported => "unsupported",
            Self::NoSuchModel => "no_such_model",
            Self::Other => "other",
        }
    }
}

/// What a backend's own error says, as far as it is understood.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Said {
    /// The cause that it names.
    pub reason: Reason,
    /// The HTTP status that it names, from 400 to 599; it may differ from that of the answer around it.
    pub status: Option<u16>,
}

impl Said {
    /// An error that does not tell why.
    pub const NOTHING: Self = Self { reason: Reason::Other, status: None };
}

/// What a backend did wrong. For logs, metrics and the choice of another backend; never for a client.
///
/// Aligned so that an `AtomicCell` of an optional one is one machine word and needs no lock.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(align(8))]
pub enum UpstreamFault {
    /// No backend is left to ask.
    NoBackend,
    /// All backends that could be asked want to be left alone for a while.
    AllBusy,
    /// Connection refused or reset while connecting.
    Connect,
    /// The connection was not made in time.
    ConnectTimeout,
    /// The TLS handshake failed.
    Tls,
    /// The backend says that it has not begun with the request: a refused HTTP/2 stream, or a GOAWAY that
    /// does not cover it (RFC 9113, 8.7).
    NotTaken,
    /// No useful byte of the answer in time.
    FirstByteTimeout,
    /// Silence between two events of a stream.
    IdleTimeout,
    /// The request as a whole took too long.
    TotalTimeout,
    /// The connection broke while we sent or waited.
    Reset,
    /// The answer is not HTTP, or has a status that no answer may have.
    BadResponse,
    /// The answer has a status that is not the one it should have, and a reason if its body names one.
    Status { status: u16, reason: Reason },
    /// Neither `application/json` nor `text/event-stream` where it was due.
    BadContentType,
    /// Compressed, although we asked for it not to be.
    BadEncoding,
    /// Not JSON, or not UTF-8.
    BadJson,
    /// JSON, but not a completion.
    BadShape,
    /// A success status around an error object, or an error event in a stream; and what it says.
    ErrorInAnswer(Said),
    /// One event is larger than `max_event`.
    EventTooLarge,
    /// The whole answer is larger than `max_response`.
    TooLarge,
    /// The answer ended before it was complete.
    Truncated,
    /// We had to leave before it was: nobody's fault but ours.
    DrainOver,
    /// The answer says what a content policy of ours forbids. The backend has done its work.
    AnswerForbidden,
    /// A moderator whom we asked forbids the request. The backend has done nothing wrong.
    Flagged,
    /// No moderator could be asked whether the request may go on, and without one it may not.
    NotModerated,
}

const _: () = assert!(size_of::<UpstreamFault>() <= 8 && size_of::<Option<UpstreamFault>>() <= 8);

impl UpstreamFault {
    /// A label for metrics and logs, from a closed set.
    pub fn label(self) -> &'static str {
        match self {
            Self::NoBackend => "no_backend",
            Self::AllBusy => "all_busy",
            Self::Connect => "connect",
            Self::ConnectTimeout => "connect_timeout",
            Self::Tls => "tls",
            Self::NotTaken => "not_taken",
            Self::FirstByteTimeout => "first_byte_timeout",
            Self::IdleTimeout => "idle_timeout",
            Self::TotalTimeout => "total_timeout",
            Self::Reset => "reset",
            Self::BadResponse => "bad_response",
            Self::Status { reason: Reason::ContextOverflow, .. } => "context_overflow",
            Self::Status { reason: Reason::ContentPolicy, .. } => "content_policy",
            Self::Status { reason: Reason::Quota, .. } => "quota",
            Self::Status { status: 401 | 402 | 403 | 407, .. }
            | Self::Status { reason: Reason::BadCredential, .. } => "status_auth",
            Self::Status { status: 400 | 413 | 422, .. } => "rejected",
            Self::Status { status: 429, .. } => "status_429",
            Self::Status { status: 400..=499, .. } => "status_4xx",
            Self::Status { status: 500..=599, .. } => "status_5xx",
            Self::Status { .. } => "status_other",
            Self::BadContentType => "bad_content_type",
            Self::BadEncoding => "bad_encoding",
            Self::BadJson => "bad_json",
            Self::BadShape => "bad_shape",
            Self::ErrorInAnswer(_) => "error_in_answer",
            Self::EventTooLarge => "event_too_large",
            Self::TooLarge => "too_large",
            Self::Truncated => "truncated",
            Self::DrainOver => "drain_over",
            Self::AnswerForbidden => "answer_forbidden",
            Self::Flagged => "flagged",
            Self::NotModerated => "not_moderated",
        }
    }
}

#[cfg(test)]
mod tests {
    use crossbeam_utils::atomic::AtomicCell;

    use super::*;

    #[test]
    fn a_fault_is_kept_without_a_lock_whatever_it_carries() {
        assert!(AtomicCell::<Option<UpstreamFault>>::is_lock_free());
        let cell = AtomicCell::new(None);
        let said = Said { reason: Reason::ContentPolicy, status: Some(403) };
        for fault in [
            UpstreamFault::ErrorInAnswer(said),
            UpstreamFault::Status { status: 599, reason: Reason::Quota },
            UpstreamFault::NoBackend,
        ] {
            cell.store(Some(fault));
            assert_eq!(cell.load(), Some(fault));
        }
        assert_eq!(UpstreamFault::ErrorInAnswer(said).label(), "error_in_answer");
    }
}
