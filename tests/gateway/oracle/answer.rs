//! An answer of a backing model with room for a word in every place.

use super::canary::ANSWER;
use crate::kit::script::Step;

/// When an answer goes wrong, if it does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    Whole,
    Stream,
    /// An error before the first byte, to one who wants a stream or not in turn.
    Before,
    /// An error in the middle of a stream.
    Middle,
}

impl Mode {
    pub const ALL: [Self; 4] = [Self::Whole, Self::Stream, Self::Before, Self::Middle];
}

/// How a body is made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Body {
    /// A completion, events or an error, as the mode has it.
    Usual,
    /// Events whatever is asked for.
    Events,
    /// These bytes, of this type, in place of JSON or of an event's line.
    Raw(&'static str, Vec<u8>),
    /// Raw bytes as the data of an event, in a stream.
    Data(String),
}

/// How bytes are put on the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cut {
    None,
    /// So many bytes at once.
    Pieces(usize),
}

/// The parts of an answer. What is text goes out as it is.
#[derive(Debug, Clone)]
pub struct Answer {
    pub status: u16,
    pub reason: String,
    pub interim: String,
    /// Whole lines without their ends.
    pub headers: Vec<String>,
    /// Behind each chunk's size.
    pub extension: String,
    /// Whole lines without their ends.
    pub trailers: Vec<String>,
    pub body: Body,
    pub gzip: bool,
    pub cut: Cut,
    pub id: String,
    pub model: String,
    pub created: String,
    pub object: String,
    /// Members, each with its comma behind it: of the whole, of a choice, of the message or delta, of usage.
    pub top: String,
    pub choice: String,
    pub inner: String,
    pub usage: String,
    /// Of the first, a middle, and the last event alone.
    pub first: String,
    pub middle: String,
    pub last: String,
    pub logprobs: String,
    /// The `error` member.
    pub error: String,
    /// Lines before each event, with their ends.
    pub lines: String,
    pub after_done: String,
}

impl Default for Answer {
    fn default() -> Self {
        Self {
            status: 200,
            reason: "OK".into(),
            interim: String::new(),
            headers: Vec::new(),
            extension: String::new(),
            trailers: Vec::new(),
            body: Body::Usual,
            gzip: false,
            cut: Cut::None,
            id: "chatcmpl-1".into(),
            model: "large".into(),
            created: "1700000000".into(),
            object: "chat.completion".into(),
            top: String::new(),
            choice: String::new(),
            inner: String::new(),
            usage: String::new(),
            first: String::new(),
            middle: String::new(),
            last: String::new(),
            logprobs: "null".into(),
            error: r#"{"message":"It does not work.","type":"server_error","param":null,"code":null}"#.into(),
            lines: String::new(),
            after_done: String::new(),
        }
    }
}

impl Answer {
    /// The bytes to send.
    pub fn steps(&self, mode: Mode) -> Vec<Step> {
        let events = matches!(mode, Mode::Stream | Mode::Middle) || self.body == Body::Events;
        let (kind, chunks): (_, Vec<Vec<u8>>) = match (&self.body, events) {
            (Body::Usual | Body::Events, true) => {
                ("text/event-stream", self.events(mode).into_iter().map(String::into_bytes).collect())
            }
            (Body::Usual | Body::Events, false) => ("application/json", vec![self.json(mode).into_bytes()]),
            (Body::Data(data), true) => (
                "text/event-stream",
                vec![self.event("one", ""), format!("data: {data}\n\n")]
                    .into_iter()
                    .map(String::into_bytes)
                    .collect(),
            ),
            (Body::Data(data), false) => ("application/json", vec![data.clone().into_bytes()]),
            (Body::Raw(kind, bytes), false) => (*kind, vec![bytes.clone()]),
            (Body::Raw(kind, bytes), true) => {
                let before =
                    if mode == Mode::Middle { self.event("one", "").into_bytes() } else { Vec::new() };
                let kind = if mode == Mode::Middle { "text/event-stream" } else { kind };
                (kind, vec![before, bytes.clone(), b"\n\n".to_vec()])
            }
        };
        let chunks = if self.gzip { vec![super::canary::gzip(&chunks.concat())] } else { chunks };
        let mut bytes = self.interim.clone().into_bytes();
        bytes.extend(format!("HTTP/1.1 {} {}\r\nContent-Type: {kind}\r\n", self.status, self.reason).bytes());
        for header in &self.headers {
            bytes.extend(format!("{header}\r\n").bytes());
        }
        bytes.extend(b"Transfer-Encoding: chunked\r\n\r\n");
        for chunk in chunks.iter().filter(|chunk| !chunk.is_empty()) {
            bytes.extend(format!("{:x}{}\r\n", chunk.len(), self.extension).bytes());
            bytes.extend(chunk);
            bytes.extend(b"\r\n");
        }
        bytes.extend(format!("0{}\r\n", self.extension).bytes());
        for trailer in &self.trailers {
            bytes.extend(format!("{trailer}\r\n").bytes());
        }
        bytes.extend(b"\r\n");
        vec![match self.cut {
            Cut::None => Step::Bytes(bytes),
            Cut::Pieces(size) => Step::Pieces(bytes, size),
        }]
    }

    fn json(&self, mode: Mode) -> String {
        let Self { id, object, created, model, top, choice, inner, usage, first, middle, last, .. } = self;
        let error = if mode == Mode::Before || self.status >= 400 {
            format!(r#""error":{},"#, self.error)
        } else {
            String::new()
        };
        let Self { logprobs, .. } = self;
        format!(
            r#"{{"id":"{id}","object":"{object}","created":{created},"model":"{model}",{top}{first}{middle}{last}{error}"choices":[{{{choice}"index":0,"message":{{{inner}"role":"assistant","content":"{ANSWER}"}},"logprobs":{logprobs},"finish_reason":"stop"}}],"usage":{{{usage}"prompt_tokens":9,"completion_tokens":4,"total_tokens":13}}}}"#
        )
    }

    fn events(&self, mode: Mode) -> Vec<String> {
        let mut events =
            vec![self.event_of(&self.first, "[]"), self.event("", ""), self.event(ANSWER, &self.middle)];
        let finish = format!(r#"[{{{}"index":0,"delta":{{}},"finish_reason":"stop"}}]"#, self.choice);
        if mode != Mode::Middle {
            events.push(self.event_of("", &finish));
        }
        let usage = format!(
            r#"{}"usage":{{{}"prompt_tokens":9,"completion_tokens":4,"total_tokens":13}},"#,
            self.last, self.usage
        );
        events.push(self.event_of(&usage, "[]"));
        if mode == Mode::Middle {
            let Self { lines, top, error, after_done, .. } = self;
            events.push(format!("{lines}data: {{{top}\"error\":{error}}}\n\n{after_done}"));
            return events;
        }
        events.push(format!("{}data: [DONE]\n\n{}", self.lines, self.after_done));
        events
    }

    fn event(&self, text: &str, more: &str) -> String {
        let Self { choice, inner, logprobs, .. } = self;
        let choices = format!(
            r#"[{{{choice}"index":0,"delta":{{{inner}"role":"assistant","content":"{text}"}},"logprobs":{logprobs},"finish_reason":null}}]"#
        );
        self.event_of(more, &choices)
    }

    fn event_of(&self, more: &str, choices: &str) -> String {
        let Self { id, object, created, model, top, lines, .. } = self;
        format!(
            "{lines}data: {{\"id\":\"{id}\",\"object\":\"{object}.chunk\",\"created\":{created},\"model\":\"{model}\",{top}{more}\"choices\":{choices}}}\n\n"
        )
    }
}
