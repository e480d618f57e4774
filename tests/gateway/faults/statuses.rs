//! What a backend says by its status and by an error: about us, about the request, about itself.

use super::parts::{
    Alone, EVENTS, JSON, Mode, SECRET, describe, error, error_event, error_with, good, stream_of,
};
use super::runner::{Case, Expect, Line, line};
use crate::kit::config::{Gateway, backend};
use crate::kit::script::{Step, chunk, head, whole};
use crate::kit::upstream::Upstream;

const BAD_REQUEST: Expect = Expect::Refused(400, "invalid_request");
const BLOCKED: Expect = Expect::Refused(403, "content_blocked");
const OVERLOADED: &str = "The model is overloaded. Please try again later.";

pub fn cases() -> Vec<Case> {
    let status = |status: u16| move |_| error(status, "some_code", "This failed.");
    let plain = |id, what, code: u16, expect| Case::script(id, what, status(code)).both(expect);
    let mut cases = vec![
        plain("UP-31", "400 with text", 400, BAD_REQUEST),
        Case::own("UP-32", "400, the conversation is too long", || {
            too_long(error(400, "context_length_exceeded", "Too long."))
        }),
        Case::own("UP-32", "400, too long, told in words", || {
            too_long(error(400, "", "This model's maximum context length is 8192 tokens."))
        }),
        Case::script("UP-33", "400 content_filter", |_| error(400, "content_filter", "Filtered.")).both(BLOCKED),
        Case::script("UP-33", "400 content_policy_violation", |_| {
            error(400, "content_policy_violation", "Not allowed.")
        })
        .both(BLOCKED),
        Case::script("UP-33", "400 with an inner code", |_| {
            let body = format!(
                "{{\"error\":{{\"message\":\"{SECRET}\",\"type\":null,\"param\":\"prompt\",\"code\":\"content_filter\",\
                 \"status\":400,\"innererror\":{{\"code\":\"ResponsibleAIPolicyViolation\"}}}}}}"
            );
            whole(400, &[JSON], &body)
        })
        .both(BLOCKED),
        Case::script("UP-33", "403 content_filter", |_| error(403, "content_filter", "Filtered.")).both(BLOCKED),
        Case::own("UP-34", "a refused credential is not used again", credential_out),
        plain("UP-35", "404", 404, Expect::Safe),
        plain("UP-35", "405", 405, Expect::Safe),
        plain("UP-36", "408", 408, Expect::Once),
        plain("UP-36", "413", 413, BAD_REQUEST),
        plain("UP-36", "422", 422, BAD_REQUEST),
        plain("UP-36", "409", 409, Expect::Once),
        plain("UP-36", "424", 424, Expect::Once),
        plain("UP-36", "425", 425, Expect::Once),
        Case::own("UP-36", "400 for a parameter: the next route", || unsupported(400, "unsupported_parameter")),
        Case::own("UP-36", "422 for a value: the next route", || unsupported(422, "unsupported_value")),
        Case::script("UP-37", "429, Retry-After: 1", |_| {
            error_with(429, &[("Retry-After", "1")], "rate_limit_exceeded", "Slow down.")
        })
        .labelled("status_429").both(Expect::Limited(3)),
        Case::script("UP-37", "498", status(498)).both(Expect::Limited(3)),
        Case::script("UP-37", "429, no quota", |_| error(429, "insufficient_quota", "You have no credit."))
            .both(Expect::Safe),
        plain("UP-39", "500", 500, Expect::Once),
        Case::script("UP-39", "500, and nothing is sent again", status(500))
            .both(Expect::Refused(502, "upstream_unavailable"))
            .with(|gateway| gateway.pool_line("retry: { resend: 0 }")),
        Case::script("UP-39", "500, and much is sent again", status(500))
            .both(Expect::Safe)
            .with(|gateway| gateway.pool_line("retry: { resend: 2 }")),
        Case::script("UP-40", "502 with a page", |_| {
            whole(502, &[("Content-Type", "text/html")], &format!("<html><h1>{SECRET}</h1></html>"))
        })
        .labelled("status_5xx").both(Expect::Once),
        plain("UP-41", "503", 503, Expect::Once),
        plain("UP-41", "504", 504, Expect::Once),
        Case::script("UP-41", "503, overloaded", |_| error(503, "overloaded", OVERLOADED)).both(Expect::Limited(2)),
        Case::script("UP-42", "529", status(529)).both(Expect::Limited(2)),
        Case::script("UP-42", "500 around a 429", |_| {
            let body = format!(
                "[{{\"error\":{{\"code\":429,\"message\":\"{SECRET}\",\"status\":\"RESOURCE_EXHAUSTED\"}}}}]"
            );
            whole(500, &[JSON], &body)
        })
        .both(Expect::Limited(3)),
        Case::script("UP-42", "503 around a 429", |_| {
            let body = format!(
                "{{\"error\":{{\"code\":429,\"message\":\"{SECRET}\",\"status\":\"RESOURCE_EXHAUSTED\"}}}}"
            );
            whole(503, &[JSON], &body)
        })
        .both(Expect::Limited(3)),
        Case::script("UP-43", "200 with an error", |mode| match mode {
            Mode::Whole => whole(200, &[JSON], &format!("{{\"error\":{{\"message\":\"{SECRET}\"}}}}")),
            Mode::Stream => stream_of(&[&error_event()]),
        })
        .labelled("error_in_answer").both(Expect::Once),
        Case::script("UP-44", "200 text/html", |_| {
            whole(200, &[("Content-Type", "text/html")], &format!("<html>{SECRET}</html>"))
        })
        .labelled("bad_content_type").both(Expect::Once),
        Case::script("UP-82", "JSON for a stream", |_| Mode::Whole.answer("ok")).labelled("bad_content_type").stream(Expect::Once),
        Case::script("UP-83", "events for a whole answer", |_| {
            vec![head(200, &EVENTS), chunk(Mode::Stream.body("ok")), Step::Close]
        })
        .whole(Expect::Once),
    ];
    let after = ["3600", "99999999999999999999", "-5", "Wed, 21 Oct 2015 07:28:00 GMT", "soon", ""];
    cases.extend(after.into_iter().map(|value| {
        Case::script("UP-38", "429 with an odd Retry-After", move |_| {
            error_with(429, &[("Retry-After", value)], "rate_limit_exceeded", "Slow down.")
        })
        .both(Expect::Limited(3))
    }));
    for (what, code) in [("401", 401), ("402", 402), ("407", 407)] {
        cases.push(plain("UP-34", what, code, Expect::Safe).labelled("status_auth"));
    }
    // A firewall's word on one prompt, perhaps.
    cases.push(plain("UP-34", "403", 403, Expect::Once).labelled("status_auth"));
    cases
}

/// 400, and the sentence names the reason.
fn too_long(steps: Vec<Step>) -> Vec<Line> {
    let (bad, other) = (Upstream::always(steps), good("elsewhere"));
    let alone = Alone::start(Gateway::new(), &[backend(&bad.url()), backend(&other.url())]);
    let line_of = |mode: Mode| {
        let answer = alone.daemon.client().chat(&mode.ask("alone"));
        let named = answer.text().contains("context_length_exceeded");
        let named = if named { "named" } else { "not named" };
        let asked = other.requests().len();
        // The next request begins at the other backend.
        alone.daemon.client().chat(&mode.ask("alone"));
        let seen = format!("{}, {named}, the other {asked}", describe(&answer, mode, "alone"));
        let expected = match mode {
            Mode::Whole => "400 invalid_request, named, the other 0",
            Mode::Stream => "400 invalid_request, named, the other 1",
        };
        line(mode.label(), expected, seen)
    };
    Mode::BOTH.map(line_of).into()
}

fn credential_out() -> Vec<Line> {
    let bad = Upstream::always(error(401, "invalid_api_key", "Wrong key."));
    let other = good("elsewhere");
    let alone = Alone::start(Gateway::new(), &[backend(&bad.url()), backend(&other.url())]);
    let seen: Vec<String> = (0..6).map(|_| alone.ask(Mode::Whole)).collect();
    let good = seen.iter().filter(|seen| *seen == "200 elsewhere").count();
    let counted = alone.daemon.metric_sum("byname_upstream_credential_refused_total", &[("pool", "alone")]);
    let seen = format!("{good} of 6 good, {} refused, {counted} counted", bad.requests().len());
    vec![line("whole", "6 of 6 good, 1 refused, 1 counted", seen)]
}

/// Not another backend of the same kind, which would say the same, but another route.
fn unsupported(status: u16, code: &'static str) -> Vec<Line> {
    let line_of = |mode: Mode| {
        let refuse = || Upstream::always(error(status, code, "Not here."));
        let (one, two, next, spare) = (refuse(), refuse(), good("next"), good("spare"));
        let daemon = Gateway::new()
            .pool("first", &[&one, &two])
            .pool("second", &[&next])
            .pool("spare", &[&spare])
            .alias("alone", &[("first", "a"), ("second", "b")])
            .alias("spare", &[("spare", "c")])
            .start();
        let seen = super::runner::ask(&daemon, mode, "alone");
        let seen = format!("{seen}, {} refused", one.requests().len() + two.requests().len());
        line(mode.label(), "200 next, 1 refused", seen)
    };
    Mode::BOTH.map(line_of).into()
}
