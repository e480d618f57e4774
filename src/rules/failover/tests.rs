//! The table, read aloud.

use super::*;
use crate::error::Said;
use crate::rules::retry::RetryRules;

const RULES: RetryRules = RetryRules { attempts: 3, resend: 1, budget: 20, on_timeout: true };

fn status(status: u16, reason: Reason) -> Meaning {
    judge(UpstreamFault::Status { status, reason })
}

#[test]
fn what_a_client_did_wrong_goes_nowhere_else_and_blames_nobody() {
    for code in [400, 413, 422] {
        let said = status(code, Reason::Other);
        assert_eq!(said, meaning(Again::Never, Blame::Nobody, Told::Rejected(Rejection::Other)), "{code}");
    }
    for code in [400, 413, 422, 500] {
        let said = status(code, Reason::ContextOverflow);
        assert_eq!(said.told, Told::Rejected(Rejection::ContextOverflow), "{code}");
        assert_eq!((said.again, said.blame), (Again::Never, Blame::Nobody), "{code}");
    }
    for code in [200, 400, 403, 500] {
        let said = status(code, Reason::ContentPolicy);
        assert_eq!(said, meaning(Again::Never, Blame::Nobody, Told::Blocked(Blocker::Backend)), "{code}");
    }
    assert_eq!(status(400, Reason::Unsupported).again, Again::OtherRoute);
    // Larger than its whole minute allows.
    assert_eq!(status(429, Reason::Unsupported).again, Again::OtherRoute);
}

#[test]
fn our_own_credential_is_never_the_clients_fault() {
    for (code, reason) in [
        (401, Reason::Other),
        (402, Reason::Other),
        (407, Reason::Other),
        (403, Reason::BadCredential),
        (429, Reason::Quota),
    ] {
        let said = status(code, reason);
        let sure = meaning(Again::Safe, Blame::Credential(Sure::Yes), Told::Unavailable);
        assert_eq!(said, sure, "{code} {reason:?}");
    }
    // These may be about this one request: it is not asked everywhere.
    for (code, reason) in [(403, Reason::Other), (400, Reason::BadCredential), (400, Reason::Quota)] {
        let said = status(code, reason);
        let perhaps = meaning(Again::Unsure, Blame::Credential(Sure::Perhaps), Told::Unavailable);
        assert_eq!(said, perhaps, "{code} {reason:?}");
    }
}

#[test]
fn a_busy_backend_is_told_apart_from_a_failing_one() {
    for (code, reason) in [(429, Reason::Other), (429, Reason::RateLimited), (498, Reason::Other)] {
        assert_eq!(status(code, reason), meaning(Again::Safe, Blame::Busy, Told::Busy), "{code}");
    }
    for (code, reason) in [(529, Reason::Other), (503, Reason::Capacity), (500, Reason::RateLimited)] {
        assert_eq!(status(code, reason), meaning(Again::Unsure, Blame::Busy, Told::Busy), "{code}");
    }
    for code in [500, 502, 503, 504, 520, 599, 408, 201, 204, 304 - 200, 999] {
        assert_eq!(status(code, Reason::Other), UNAVAILABLE, "{code}");
    }
}

#[test]
fn our_configuration_is_never_the_clients_fault_and_no_failure() {
    for (code, reason) in [
        (404, Reason::Other),
        (405, Reason::Other),
        (410, Reason::Other),
        (501, Reason::Other),
        (400, Reason::NoSuchModel),
    ] {
        assert_eq!(status(code, reason), meaning(Again::Safe, Blame::Absent, Told::Unavailable), "{code}");
    }
    assert_eq!(status(302, Reason::Other).again, Again::Never);
}

#[test]
fn an_error_inside_a_success_means_what_it_says() {
    let inside = |status, reason| judge(UpstreamFault::ErrorInAnswer(Said { reason, status }));
    assert_eq!(inside(None, Reason::Other), UNAVAILABLE);
    assert_eq!(inside(Some(429), Reason::Other).told, Told::Busy);
    assert_eq!(inside(None, Reason::ContentPolicy).told, Told::Blocked(Blocker::Backend));
    assert_eq!(inside(Some(401), Reason::Other).blame, Blame::Credential(Sure::Yes));
    assert_eq!(inside(Some(400), Reason::Other).told, Told::Rejected(Rejection::Other));
}

fn after(again: Again, attempts: usize, unsure: usize) -> Verdict {
    verdict(again, Sent::Nothing, Spent { attempts, unsure }, &RULES)
}

#[test]
fn the_safe_go_on_as_long_as_there_are_attempts_and_the_unsure_once() {
    assert_eq!(after(Again::Safe, 1, 0), Verdict::TryNext);
    assert_eq!(after(Again::Safe, 2, 1), Verdict::TryNext);
    assert_eq!(after(Again::Safe, 3, 0), Verdict::Refuse);
    assert_eq!(after(Again::Unsure, 1, 1), Verdict::TryNext);
    assert_eq!(after(Again::Unsure, 2, 1), Verdict::TryNext);
    assert_eq!(after(Again::Unsure, 2, 2), Verdict::Refuse);
    assert_eq!(after(Again::OtherRoute, 1, 0), Verdict::TryOtherRoute);
    assert_eq!(after(Again::Never, 1, 0), Verdict::Refuse);
}

#[test]
fn patience_is_for_the_operator_to_decide() {
    assert_eq!(after(Again::OutOfTime, 1, 1), Verdict::TryNext);
    assert_eq!(after(Again::OutOfTime, 2, 2), Verdict::Refuse);
    let spent = Spent { attempts: 1, unsure: 1 };
    let strict = RetryRules { on_timeout: false, ..RULES };
    assert_eq!(verdict(Again::OutOfTime, Sent::Nothing, spent, &strict), Verdict::Refuse);
    assert_eq!(verdict(Again::Unsure, Sent::Nothing, spent, &strict), Verdict::TryNext);
}

#[test]
fn nothing_is_asked_again_once_the_client_has_a_part() {
    for again in [Again::Safe, Again::Unsure, Again::OutOfTime, Again::OtherRoute] {
        assert_eq!(verdict(again, Sent::Some, Spent { attempts: 1, unsure: 0 }, &RULES), Verdict::Refuse);
    }
}

#[test]
fn the_last_chance_is_known_before_it_is_taken() {
    let last = |attempts, unsure| is_last_chance(Spent { attempts, unsure }, &RULES);
    assert!(!last(1, 0));
    assert!(last(1, 1), "it is sent again once");
    assert!(last(2, 0), "three in all");
}

#[test]
fn an_outcome_blames_a_backend_if_one_of_its_usual_faults_does() {
    use UpstreamFault::*;
    let reasons = [
        Reason::ContextOverflow,
        Reason::ContentPolicy,
        Reason::Quota,
        Reason::Capacity,
        Reason::RateLimited,
        Reason::BadCredential,
        Reason::Unsupported,
        Reason::NoSuchModel,
        Reason::Other,
    ];
    let mut all = vec![
        NoBackend,
        AllBusy,
        Connect,
        ConnectTimeout,
        Tls,
        NotTaken,
        FirstByteTimeout,
        IdleTimeout,
        TotalTimeout,
        Reset,
        BadResponse,
        BadContentType,
        BadEncoding,
        BadJson,
        BadShape,
        ErrorInAnswer(Said::NOTHING),
        EventTooLarge,
        TooLarge,
        Truncated,
        DrainOver,
        AnswerForbidden,
        Flagged,
        NotModerated,
    ];
    for reason in reasons {
        let usual = [400, 404, 408, 413, 422, 429, 451, 500, 502, 503, 529];
        all.extend(usual.map(|status| Status { status, reason }));
    }
    let mut blamed = std::collections::BTreeMap::<_, bool>::new();
    for fault in all {
        *blamed.entry(fault.label()).or_default() |= judge(fault).blame != Blame::Nobody;
    }
    // A 400 for a model that the backend does not have is rare; other rejections are the caller's.
    blamed.insert("rejected", false);
    for (label, expected) in blamed {
        assert_eq!(blames(label), expected, "{label}");
    }
    assert!(["ok", "client_left", "stale_connection"].into_iter().all(|label| !blames(label)));
}
