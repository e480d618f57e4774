//! What a moderator is asked and how it answers, in the words of OpenAI's moderation API.

use serde::{Deserialize, Serialize};

use super::sieve::Verdict;

#[derive(Serialize)]
struct Question<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    model: Option<&'a str>,
    input: &'a [String],
}

#[derive(Deserialize)]
struct Answer {
    results: Vec<Outcome>,
}

#[derive(Deserialize)]
struct Outcome {
    flagged: bool,
}

/// The body that asks about texts.
pub fn question(model: Option<&str>, texts: &[String]) -> Vec<u8> {
    // Plain texts always serialise.
    serde_json::to_vec(&Question { model, input: texts }).unwrap_or_default()
}

/// What a moderator's answer says: whether any of its results is flagged. `None` when it says nothing.
pub fn answer(body: &[u8]) -> Option<Verdict> {
    let answer: Answer = serde_json::from_slice(body).ok()?;
    let flagged = answer.results.iter().any(|outcome| outcome.flagged);
    let verdict = if flagged { Verdict::Forbidden } else { Verdict::Clean };
    (!answer.results.is_empty()).then_some(verdict)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_question_is_a_list_of_texts() {
        let texts = ["one \"1\"".to_owned(), "二".to_owned()];
        assert_eq!(question(None, &texts), r#"{"input":["one \"1\"","二"]}"#.as_bytes());
        assert_eq!(question(Some("omni"), &texts[..1]), br#"{"model":"omni","input":["one \"1\""]}"#);
    }

    #[test]
    fn one_flag_is_enough_and_no_result_is_no_answer() {
        for (body, verdict) in [
            (
                r#"{"id":"modr-1","model":"m","results":[{"flagged":false,"categories":{"hate":false}}]}"#,
                Some(Verdict::Clean),
            ),
            (r#"{"results":[{"flagged":false},{"flagged":true}]}"#, Some(Verdict::Forbidden)),
            (r#"{"results":[]}"#, None),
            (r#"{"results":[{"flagged":"no"}]}"#, None),
            (r#"{"error":{"message":"overloaded"}}"#, None),
            ("", None),
        ] {
            assert_eq!(answer(body.as_bytes()), verdict, "{body}");
        }
    }
}
