//! What happens after a failed attempt: another backend, or a refusal.

use crate::error::UpstreamFault;

/// What the client has of the answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sent {
    /// Nothing: the failure can still be hidden.
    Nothing,
    /// Part of the answer: it can only be told.
    Some,
}

/// What to do after a failed attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub enum Verdict {
    TryNext,
    Refuse,
}

/// Judges a failed attempt; `left` is how many attempts the request still has.
pub fn judge(fault: UpstreamFault, sent: Sent, left: usize) -> Verdict {
    match sent {
        Sent::Some => return Verdict::Refuse,
        Sent::Nothing if left == 0 => return Verdict::Refuse,
        Sent::Nothing => {}
    }
    match fault {
        // The request itself is at fault, or its time is up: nobody else would do better.
        UpstreamFault::RejectedRequest(_)
        | UpstreamFault::ContextOverflow
        | UpstreamFault::TotalTimeout
        | UpstreamFault::NoBackend => Verdict::Refuse,
        UpstreamFault::Connect
        | UpstreamFault::ConnectTimeout
        | UpstreamFault::Tls
        | UpstreamFault::FirstByteTimeout
        | UpstreamFault::IdleTimeout
        | UpstreamFault::Reset
        | UpstreamFault::BadResponse
        | UpstreamFault::Status(_)
        | UpstreamFault::BadContentType
        | UpstreamFault::BadEncoding
        | UpstreamFault::BadJson
        | UpstreamFault::BadShape
        | UpstreamFault::ErrorInAnswer
        | UpstreamFault::EventTooLarge
        | UpstreamFault::TooLarge
        | UpstreamFault::Truncated => Verdict::TryNext,
    }
}

/// What a backend's status says of it; `None` for a success.
pub fn status(status: u16) -> Option<UpstreamFault> {
    match status {
        200 => None,
        // It has read the request and will not have it. 401, 403 and 404 are about our key and our
        // configuration, so they are not the client's fault.
        400 | 413 | 422 => Some(UpstreamFault::RejectedRequest(status)),
        other => Some(UpstreamFault::Status(other)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_tried_again_once_the_client_has_a_part_or_the_attempts_are_spent() {
        for fault in [UpstreamFault::Connect, UpstreamFault::Status(503), UpstreamFault::Truncated] {
            assert_eq!(judge(fault, Sent::Nothing, 1), Verdict::TryNext);
            assert_eq!(judge(fault, Sent::Nothing, 0), Verdict::Refuse);
            assert_eq!(judge(fault, Sent::Some, 9), Verdict::Refuse);
        }
    }

    #[test]
    fn a_request_that_a_backend_refused_goes_nowhere_else() {
        for code in [400, 413, 422] {
            let fault = status(code).unwrap();
            assert_eq!(judge(fault, Sent::Nothing, 5), Verdict::Refuse, "{code}");
        }
        for code in [201, 204, 301, 401, 402, 403, 404, 408, 429, 500, 503, 529] {
            let fault = status(code).unwrap();
            assert_eq!(judge(fault, Sent::Nothing, 5), Verdict::TryNext, "{code}");
        }
        assert_eq!(status(200), None);
    }
}
