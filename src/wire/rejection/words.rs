//! The codes, types and statuses that servers put into their errors.

use crate::error::Reason;

/// What a code or type means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Meaning {
    /// It is used for this alone. No phrase changes that, also not where it is `Other`.
    Certain(Reason),
    /// It is used for this among other things: a phrase may know better.
    Vague(Reason),
}

/// No code is longer, in bytes.
const LONGEST: usize = 96;

/// Reads a code or type. `None` for what is unknown, and for what servers say of everything, such as
/// `invalid_request_error`.
pub(super) fn meaning(word: &str) -> Option<Meaning> {
    use Meaning::{Certain, Vague};
    use Reason::{BadCredential, Capacity, ContentPolicy, ContextOverflow, NoSuchModel, Other};
    use Reason::{Quota, RateLimited, Unsupported};

    let plain = plain(word)?;
    let meaning = match plain.as_str() {
        "invalidapikey"
        | "incorrectapikey"
        | "apikeyinvalid"
        | "apikeyexpired"
        | "missingapikey"
        | "invalidauthentication"
        | "authentication"
        | "authenticationfailed"
        | "unauthorized"
        | "unauthenticated"
        | "invalidsubscriptionkey"
        | "accountdeactivated"
        | "expiredtoken"
        | "invalidtoken"
        | "unrecognizedclient"
        | "invalidsignature"
        | "missingauthenticationtoken"
        | "unsupportedcountryregionterritory" => Certain(BadCredential),
        "permission" | "permissiondenied" | "accessdenied" | "accessterminated" | "forbidden"
        | "requestforbidden" => Vague(BadCredential),

        "insufficientquota"
        | "insufficientcredits"
        | "insufficientbalance"
        | "exceededcurrentquota"
        | "paymentrequired"
        | "arrearage"
        | "servicequotaexceeded" => Certain(Quota),
        "quotaexceeded" => Vague(Quota),
        _ if plain.starts_with("billing") => Certain(Quota),

        "responsibleaipolicyviolation"
        | "contentblocked"
        | "prohibitedcontent"
        | "datainspectionfailed"
        | "guardrailintervened" => Certain(ContentPolicy),
        _ if ["contentfilter", "contentpolicy", "cyberpolicy", "moderation"]
            .iter()
            .any(|start| plain.starts_with(start)) =>
        {
            Certain(ContentPolicy)
        }

        "contextlengthexceeded" | "contextwindowexceeded" | "exceedcontextsize" => Certain(ContextOverflow),

        "modelnotready" | "slowdown" | "serverbusy" => Certain(Capacity),
        _ if plain.contains("overloaded") || plain.contains("capacity") => Certain(Capacity),

        "resourceexhausted" | "toomanyrequests" => Certain(RateLimited),
        _ if plain.starts_with("ratelimit") || plain.starts_with("throttl") => Certain(RateLimited),

        "modelnotfound" | "unknownmodel" | "nosuchmodel" | "modelnotexist" | "unsupportedmodel"
        | "deploymentnotfound" => Certain(NoSuchModel),
        "notfound" | "resourcenotfound" => Vague(NoSuchModel),

        "unsupportedparameter"
        | "unsupportedvalue"
        | "unknownparameter"
        | "unsupportedparams"
        | "extraforbidden" => Certain(Unsupported),
        "notsupported" => Vague(Unsupported),

        // What is wrong with one parameter, in messages that quote it.
        "invalidvalue" | "invalidtype" | "missingrequiredparameter" | "stringtoolong" | "emptyarray" => {
            Certain(Other)
        }
        _ if ["abovemax", "belowmin"].iter().any(|side| plain.contains(side)) => Certain(Other),

        _ => return None,
    };
    Some(meaning)
}

/// A code without what servers differ in: case, separators, a namespace before it, a site or a final
/// `error` or `exception` behind it. `None` for prose.
fn plain(word: &str) -> Option<String> {
    if word.len() > LONGEST || word.contains(|c: char| !c.is_ascii_graphic()) {
        return None;
    }
    let word = word.rsplit_once('#').map_or(word, |(_, name)| name);
    let word = word.split_once(':').map_or(word, |(name, _)| name);
    let mut plain: String = word.chars().filter(char::is_ascii_alphanumeric).collect();
    plain.make_ascii_lowercase();
    for end in ["exception", "error"] {
        if let Some(start) = plain.strip_suffix(end) {
            plain.truncate(start.len());
        }
    }
    Some(plain)
}

/// The HTTP status that a code is: a decimal number from 400 to 599, or one of gRPC's words.
pub(super) fn status(word: &str) -> Option<u16> {
    match word {
        "INVALID_ARGUMENT" => Some(400),
        "UNAUTHENTICATED" => Some(401),
        "PERMISSION_DENIED" => Some(403),
        "NOT_FOUND" => Some(404),
        "RESOURCE_EXHAUSTED" => Some(429),
        "INTERNAL" => Some(500),
        "UNAVAILABLE" => Some(503),
        "DEADLINE_EXCEEDED" => Some(504),
        number if number.bytes().all(|byte| byte.is_ascii_digit()) => {
            number.parse().ok().filter(|status| (400..=599).contains(status))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_is_known_however_it_is_spelt() {
        for word in [
            "rate_limit_exceeded",
            "RateLimitError",
            "rate-limited",
            "ThrottlingException",
            "com.amazon.coral.availability#ThrottlingException",
            "ThrottlingException:http://internal.invalid/",
        ] {
            assert_eq!(meaning(word), Some(Meaning::Certain(Reason::RateLimited)), "{word}");
        }
        for word in ["", "error", "invalid_request_error", "api_error", "no #overloaded", "é", "400"] {
            assert_eq!(meaning(word), None, "{word}");
        }
        assert_eq!(meaning(&"overloaded".repeat(10)), None);
    }

    #[test]
    fn only_an_error_status_is_a_status() {
        for (word, expected) in [
            ("400", Some(400)),
            ("599", Some(599)),
            ("UNAVAILABLE", Some(503)),
            ("399", None),
            ("600", None),
            ("", None),
            ("-401", None),
            ("+401", None),
            ("401.0", None),
            ("4e2", None),
            ("99999999999", None),
            ("unavailable", None),
        ] {
            assert_eq!(status(word), expected, "{word}");
        }
    }
}
