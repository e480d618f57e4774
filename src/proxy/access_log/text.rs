//! The line of a request for people: a time, then `name=value` with quotes where a value needs them.

use std::fmt::Display;
use std::io::Write;

use super::Line;

impl Line<'_> {
    /// Writes the line without its break.
    pub(super) fn tell(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(self.time.as_bytes());
        let mut say = |name: &str, value: Option<&dyn Display>| {
            if let Some(value) = value {
                // Writing to memory cannot fail.
                let _ = write!(out, " {name}={}", quoted(value.to_string()));
            }
        };
        let tokens = self.tokens;
        say("request_id", Some(&self.request_id));
        say("trace_id", shown(&self.trace_id));
        say("status", Some(&self.status));
        say("tenant", shown(&self.tenant));
        say("key", shown(&self.key));
        say("alias", shown(&self.alias));
        say("code", shown(&self.code));
        say("reason", shown(&self.reason));
        say("moderation", shown(&self.moderation));
        say("backend", shown(&self.backend));
        say("attempts", Some(&self.attempts));
        say("bytes_up", Some(&self.bytes_up));
        say("bytes_down", Some(&self.bytes_down));
        say("prompt_tokens", shown(&tokens.and_then(|tokens| tokens.prompt_tokens)));
        say("completion_tokens", shown(&tokens.map(|tokens| tokens.completion_tokens)));
        say("token_source", shown(&tokens.map(|tokens| tokens.token_source)));
        say("charged_tokens", shown(&self.charged_tokens));
        say("first_token_ms", shown(&self.first_token_ms));
        say("duration_ms", Some(&self.duration_ms));
    }
}

fn shown(value: &Option<impl Display>) -> Option<&dyn Display> {
    value.as_ref().map(|value| value as &dyn Display)
}

/// In quotes, unless it is one plain word.
fn quoted(value: String) -> String {
    let plain = |c: char| !c.is_whitespace() && !c.is_control() && !matches!(c, '"' | '=' | '\\');
    if !value.is_empty() && value.chars().all(plain) { value } else { format!("{value:?}") }
}

#[cfg(test)]
mod tests {
    use super::super::{Line, Tokens};

    #[test]
    fn a_line_has_what_there_is_and_quotes_where_they_are_due() {
        let line = Line {
            time: "1970-01-01T00:00:00.000Z".to_owned(),
            request_id: "id",
            trace_id: None,
            tenant: Some("acme"),
            key: Some("web"),
            alias: Some("two words\n日本"),
            status: 200,
            code: None,
            reason: None,
            moderation: None,
            backend: Some("[::1]:80"),
            attempts: 2,
            bytes_up: 3,
            bytes_down: 4,
            tokens: Some(Tokens { prompt_tokens: None, completion_tokens: 5, token_source: "estimated" }),
            charged_tokens: Some(6),
            first_token_ms: None,
            duration_ms: 1.25,
        };
        let mut text = Vec::new();
        line.tell(&mut text);
        assert_eq!(
            String::from_utf8(text).unwrap(),
            "1970-01-01T00:00:00.000Z request_id=id status=200 tenant=acme key=web alias=\"two words\\n日本\" \
             backend=[::1]:80 attempts=2 bytes_up=3 bytes_down=4 completion_tokens=5 token_source=estimated \
             charged_tokens=6 duration_ms=1.25"
        );
    }
}
