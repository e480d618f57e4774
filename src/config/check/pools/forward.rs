//! The `forward_fields:` of a pool: what a client may say to its backends without our understanding it.

use crate::config::at::{At, every};
use crate::config::complaint::{Complaints, Told, quoted};

/// The request fields that Byname checks, rewrites, uses itself or knowingly drops. None of them can
/// be forwarded as it is.
const HANDLED: [&str; 37] = [
    "model",
    "messages",
    "stream",
    "stream_options",
    "max_tokens",
    "max_completion_tokens",
    "temperature",
    "top_p",
    "presence_penalty",
    "frequency_penalty",
    "n",
    "stop",
    "seed",
    "logit_bias",
    "logprobs",
    "top_logprobs",
    "response_format",
    "tools",
    "tool_choice",
    "parallel_tool_calls",
    "functions",
    "function_call",
    "user",
    "safety_identifier",
    "prompt_cache_key",
    "prompt_cache_retention",
    "prompt_cache_options",
    "metadata",
    "store",
    "service_tier",
    "reasoning_effort",
    "verbosity",
    "modalities",
    "audio",
    "prediction",
    "web_search_options",
    "moderation",
];

/// Reads the list.
pub(super) fn forward_fields(at: &At<'_>, out: &mut Complaints) -> Result<Vec<String>, Told> {
    let mut seen: Vec<String> = Vec::new();
    every(at.items(out)?.map(|at| {
        let name = at.text(out)?;
        if name.is_empty() {
            return Err(at.complain(out, "is empty", "write the name of a request field"));
        }
        if HANDLED.contains(&name) {
            let wrong = format!("{} is a field that Byname handles itself", quoted(name));
            return Err(at.complain(
                out,
                wrong,
                "remove it; only fields that Byname does not know are listed here",
            ));
        }
        if seen.iter().any(|other| other == name) {
            return Err(at.complain(out, format!("{} is listed twice", quoted(name)), "keep one of them"));
        }
        seen.push(name.to_owned());
        Ok(name.to_owned())
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::at::tests::reading;

    #[test]
    fn only_unknown_request_fields_can_be_forwarded() {
        assert_eq!(
            reading("[top_k, min_p]", forward_fields),
            Ok(vec!["top_k".to_owned(), "min_p".to_owned()])
        );
        for bad in ["[model]", "[temperature]", "['']", "[a, a]", "[1]", "a"] {
            assert!(reading(bad, forward_fields).is_err(), "{bad}");
        }
    }
}
