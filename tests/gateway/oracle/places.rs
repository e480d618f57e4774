//! The places in an answer where a backing model can say who it is. What is not in an answer stands in `odd`.

use super::answer::{Answer, Body, Cut, Mode};
use super::canary::{CREATED, KINDS, WAIT, Writing};

/// A place in an answer.
pub struct Place {
    pub number: usize,
    pub what: &'static str,
    plant: fn(&mut Answer, &Word),
}

/// What is planted, and when.
pub struct Word {
    pub writing: Writing,
    pub mode: Mode,
    /// All words in this writing.
    pub text: String,
}

impl Word {
    pub fn new(writing: Writing, mode: Mode) -> Self {
        Self { writing, mode, text: writing.all() }
    }
}

impl Place {
    /// The answer with the word in this place.
    pub fn answer(&self, word: &Word) -> Answer {
        let mut answer = Answer::default();
        if word.mode == Mode::Before {
            answer.status = 500;
            answer.reason = "Internal Server Error".into();
        }
        (self.plant)(&mut answer, word);
        answer
    }
}

fn place(number: usize, what: &'static str, plant: fn(&mut Answer, &Word)) -> Place {
    Place { number, what, plant }
}

fn headers(answer: &mut Answer, word: &Word, names: &[&str]) {
    answer.headers.extend(names.iter().map(|name| format!("{name}: {}", word.text)));
}

/// An error in its place: in the answer to one who wants it whole, in a stream, before and within.
fn error(answer: &mut Answer, word: &Word, error: String) {
    match word.mode {
        Mode::Whole => answer.status = 400,
        Mode::Stream => answer.status = 503,
        Mode::Before | Mode::Middle => {}
    }
    if word.mode == Mode::Stream {
        answer.body = Body::Raw("application/json", format!(r#"{{"error":{error}}}"#).into_bytes());
    }
    answer.error = error;
}

fn raw(answer: &mut Answer, word: &Word, kind: &'static str, text: &str) {
    match word.mode {
        Mode::Whole => answer.status = 400,
        Mode::Stream => answer.status = 502,
        Mode::Before | Mode::Middle => {}
    }
    answer.body = Body::Raw(kind, text.as_bytes().to_vec());
}

fn lines(answer: &mut Answer, lines: String) {
    answer.body = Body::Events;
    answer.lines = lines;
}

/// All places of an answer.
pub fn places() -> Vec<Place> {
    let mut all = heads();
    all.extend(members());
    all.extend(errors());
    all.extend(events());
    all
}

fn heads() -> Vec<Place> {
    vec![
        place(1, "reason of the status", |a, w| a.reason = w.text.clone()),
        place(2, "Server, Via, X-Powered-By", |a, w| headers(a, w, &["Server", "Via", "X-Powered-By"])),
        place(3, "x-ms-region", |a, w| headers(a, w, &["x-ms-region"])),
        place(4, "deployment and served model", |a, w| {
            headers(a, w, &["x-ms-deployment-name", "x-ms-served-model"]);
        }),
        place(5, "request ids", |a, w| headers(a, w, &["apim-request-id", "x-request-id"])),
        place(6, "openai-*", |a, w| {
            headers(a, w, &["openai-organization", "openai-version", "openai-processing-ms"]);
        }),
        place(7, "anthropic-*", |a, w| {
            headers(a, w, &["anthropic-organization-id", "anthropic-ratelimit-requests-limit"]);
        }),
        place(8, "headers of clouds", |a, w| {
            headers(a, w, &["x-amzn-RequestId", "x-goog-api-client", "cf-ray", "x-groq-region"]);
        }),
        place(9, "x-ratelimit-*", |a, w| {
            headers(
                a,
                w,
                &["x-ratelimit-limit-requests", "x-ratelimit-remaining-tokens", "x-ratelimit-reset-requests"],
            );
        }),
        place(10, "Retry-After", |a, w| {
            headers(a, w, &["x-retry-after"]);
            a.headers.push(format!("Retry-After: {WAIT}"));
            a.headers.push(format!("retry-after-ms: {WAIT}"));
        }),
        place(11, "Set-Cookie", |a, w| {
            a.headers.push(format!("Set-Cookie: __cf_bm={}; path=/; HttpOnly", w.text));
        }),
        place(12, "Location", |a, w| a.headers.push(format!("Location: https://host/{}", w.text))),
        place(13, "Link, Alt-Svc", |a, w| headers(a, w, &["Link", "Alt-Svc"])),
        place(14, "WWW-Authenticate", |a, w| {
            a.headers.push(format!("WWW-Authenticate: Bearer realm=\"{}\"", w.text));
        }),
        place(15, "Content-Disposition, Content-Language", |a, w| {
            headers(a, w, &["Content-Disposition", "Content-Language"]);
        }),
        place(16, "policies of browsers", |a, w| {
            headers(a, w, &["Access-Control-Allow-Origin", "Strict-Transport-Security", "NEL", "Report-To"]);
        }),
        place(17, "trailers", |a, w| {
            a.headers.push("Trailer: x-served-by".into());
            a.trailers.push(format!("x-served-by: {}", w.text));
        }),
        place(18, "a head of 1xx", |a, w| {
            a.interim = format!("HTTP/1.1 103 {}\r\nLink: <{}>\r\n\r\n", w.text, w.text);
        }),
        place(19, "a chunk's extension", |a, w| a.extension = format!(";by=\"{}\"", w.text)),
        place(20, "a header's name", |a, w| a.headers.push(format!("x-{}: 1", w.text.replace(' ', "-")))),
    ]
}

fn members() -> Vec<Place> {
    vec![
        place(21, "model", |a, w| a.model = w.text.clone()),
        place(22, "id", |a, w| a.id = format!("{}-1", w.text)),
        place(23, "system_fingerprint", |a, w| a.top = format!(r#""system_fingerprint":"{}","#, w.text)),
        place(24, "provider, service_tier, object", |a, w| {
            a.top = format!(r#""provider":"{0}","service_tier":"{0}","#, w.text);
            a.object = w.text.clone();
        }),
        place(25, "created", |a, w| {
            a.created = CREATED.to_owned();
            a.top = format!(r#""created_by":"{}","#, w.text);
        }),
        place(26, "usage", |a, w| {
            a.usage = format!(
                r#""cost":"{0}","prompt_tokens_details":{{"{0}":1,"cached_tokens":7}},"completion_tokens_details":{{"by":"{0}"}},"#,
                w.text
            );
        }),
        place(27, "members of a message", |a, w| {
            a.inner = format!(
                r#""provider":"{0}","annotations":[{{"by":"{0}"}}],"audio":{{"id":"{0}"}},"reasoning_content":"{0}","#,
                w.text
            );
        }),
        place(28, "filter results", |a, w| {
            a.top = format!(r#""prompt_filter_results":[{{"by":"{}"}}],"#, w.text);
            a.choice = format!(r#""content_filter_results":{{"{}":{{"filtered":false}}}},"#, w.text);
        }),
        place(29, "a tool call's id", |a, w| {
            a.inner = format!(
                r#""tool_calls":[{{"index":0,"id":"{0}-1","by":"{0}","type":"function","function":{{"name":"look","arguments":"{{}}","by":"{0}"}}}}],"#,
                w.text
            );
        }),
        place(30, "logprobs", |a, w| {
            a.logprobs = format!(
                r#"{{"content":[{{"token":"{0}","logprob":-0.1,"bytes":[1],"top_logprobs":[]}}],"by":"{0}"}}"#,
                w.text
            );
        }),
        place(31, "model twice, and escaped", |a, w| {
            a.top = format!(r#""model":"{0}","mod\u0065l":"{0}","#, w.text);
        }),
        place(32, "fifty levels deep", |a, w| {
            a.top = format!(r#""x":{}"{}"{},"#, "[".repeat(50), w.text, "]".repeat(50));
        }),
        place(51, "cut between two reads", |a, w| {
            a.top = format!(r#""system_fingerprint":"{}","#, w.text);
            a.cut = Cut::Pieces(97);
        }),
        place(52, "halves in two events", |a, w| {
            let halves = |at: usize| {
                let half = KINDS.map(|(_, word)| [word.split_at(6).0, word.split_at(6).1][at]).join(" ");
                format!(r#""system_fingerprint":"{}","#, w.writing.write(&half))
            };
            (a.first, a.middle) = (halves(0), halves(1));
            a.inner = a.first.clone();
            a.body = Body::Events;
        }),
        place(53, "a body in gzip", |a, w| {
            a.gzip = true;
            a.headers.push("Content-Encoding: gzip".into());
            a.top = format!(r#""provider":"{}","#, w.text);
        }),
        place(60, "what could make a rewriter fail", |a, w| {
            let depth = "[{\"x\":".repeat(200);
            a.body = Body::Data(format!(
                r#"{{"{0}":{depth}1e999999,"model":"{0}","choices":[{{"index":-1,"delta":{{"content":"\ud800{0}"}},"message":{{"content":"\ud800{0}\u0000"}}"#,
                w.text
            ));
        }),
    ]
}

fn errors() -> Vec<Place> {
    vec![
        place(33, "an error's message", |a, w| {
            error(a, w, format!(r#"{{"message":"{}","type":"server_error","code":null}}"#, w.text));
        }),
        place(34, "an error's type, code, param", |a, w| {
            error(a, w, format!(r#"{{"message":"no","type":"{0}","code":"{0}","param":"{0}"}}"#, w.text));
        }),
        place(35, "an error as a string", |a, w| error(a, w, format!(r#""{}""#, w.text))),
        place(36, "an error within an error", |a, w| {
            error(
                a,
                w,
                format!(
                    r#"{{"message":"no","inner_error":{{"code":"{0}","details":[{{"target":"{0}"}}]}},"details":["{0}"]}}"#,
                    w.text
                ),
            );
        }),
        place(37, "an HTML page", |a, w| {
            raw(
                a,
                w,
                "text/html",
                &format!("<html><head><title>{0}</title></head><body>{0}</body></html>", w.text),
            );
        }),
        place(38, "a plain text", |a, w| raw(a, w, "text/plain", &w.text.clone())),
        place(39, "200 with an error in it", |a, w| {
            a.status = 200;
            let text = format!(r#"{{"error":{{"message":"{0}","code":"{0}"}}}}"#, w.text);
            a.body = Body::Data(text);
        }),
        place(40, "what a limit is told with", |a, w| {
            error(
                a,
                w,
                format!(
                    r#"{{"message":"Rate limit reached for {0} in organization {0} on tokens per min (TPM): Limit 10000, Used 9000. Please try again in 6s. Visit https://{0}/account","type":"tokens","code":"rate_limit_exceeded"}}"#,
                    w.text
                ),
            );
        }),
    ]
}

fn events() -> Vec<Place> {
    vec![
        place(41, "a comment", |a, w| lines(a, format!(": {}\n\n", w.text))),
        place(42, "event:", |a, w| lines(a, format!("event: {}\n", w.text))),
        place(43, "id:", |a, w| lines(a, format!("id: {}\n", w.text))),
        place(44, "retry:", |a, w| lines(a, format!("retry: {}\nretry: {WAIT}\n", w.text))),
        place(45, "a field that nobody knows", |a, w| lines(a, format!("{}: 1\nx-by: {}\n", w.text, w.text))),
        place(46, "data: that is no JSON", |a, w| a.body = Body::Data(w.text.clone())),
        place(47, "the first event", |a, w| {
            a.body = Body::Events;
            a.first = format!(r#""prompt_filter_results":[{{"by":"{0}"}}],"region":"{0}","#, w.text);
        }),
        place(48, "an event in the middle", |a, w| {
            a.body = Body::Events;
            a.middle = format!(r#""obfuscation":"{0}","x_{0}":1,"#, w.text);
        }),
        place(49, "the last event", |a, w| {
            a.body = Body::Events;
            a.last = format!(r#""x_groq":{{"id":"{0}"}},"#, w.text);
            // Where there is no last one, the one before it.
            a.error = format!(r#"{{"message":"no","x_groq":"{}"}}"#, w.text);
        }),
        place(50, "behind [DONE]", |a, w| {
            a.body = Body::Events;
            a.after_done = format!("data: {{\"model\":\"{0}\"}}\n\ndata: {0}\n\n", w.text);
        }),
    ]
}
