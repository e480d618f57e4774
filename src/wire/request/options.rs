//! The rule for the value of every top-level field, and what we remember of it.
//!
//! `null` is the same as leaving an optional field out.

use super::super::scan::{Kind, Scanner};
use super::content::{self, Content};
use super::field::{Fate, Field};
use super::media::{Media, Places};
use super::path::Path;
use super::spots::{Named, Spots};
use super::{ChatRequest, Delivery, Plan, format, message, offset, read, tools, value_start};
use crate::error::BadRequest;

/// What has been read so far.
#[derive(Default)]
pub(super) struct Options {
    alias: Option<String>,
    messages: Option<(usize, Places<(usize, usize)>)>,
    stream: Option<bool>,
    include_usage: Option<bool>,
    choices: Option<u32>,
    max_tokens: Option<u32>,
    max_completion_tokens: Option<u32>,
    logprobs: Option<bool>,
    top_logprobs: Option<i64>,
    spots: Spots,
}

impl Options {
    /// Reads the value of `field` and says what becomes of the member.
    pub(super) fn read(&mut self, scanner: &mut Scanner<'_>, field: Field) -> Result<Fate, BadRequest> {
        let required = field == Field::Model || field == Field::Messages;
        if !required && scanner.peek()? == Kind::Null {
            scanner.skip()?;
            return Ok(field.fate());
        }
        self.value(scanner, field, &Path::Top(field.name()))
    }

    /// What the body as a whole asks for, when all of it has been read.
    pub(super) fn finish(self, mut plan: Plan) -> Result<ChatRequest, BadRequest> {
        let alias = self.alias.ok_or_else(|| Field::Model.wrong("is required"))?;
        let (messages, media) = self.messages.ok_or_else(|| Field::Messages.wrong("is required"))?;
        if self.top_logprobs.is_some_and(|top| top > 0) && self.logprobs != Some(true) {
            return Err(Field::TopLogprobs.wrong("needs `logprobs` to be true"));
        }
        plan.spots = self.spots.into_list();
        Ok(ChatRequest {
            alias,
            delivery: if self.stream == Some(true) { Delivery::Stream } else { Delivery::Whole },
            usage_asked: self.include_usage == Some(true),
            choices: self.choices.unwrap_or(1),
            answer_cap: self.max_completion_tokens.or(self.max_tokens),
            messages,
            media,
            plan,
        })
    }

    /// Whether the newer of the two answer limits is given, so that the older one must not go on with it.
    pub(super) fn newer_cap_wins(&self) -> bool {
        self.max_completion_tokens.is_some()
    }

    fn value(
        &mut self,
        scanner: &mut Scanner<'_>,
        field: Field,
        path: &Path<'_>,
    ) -> Result<Fate, BadRequest> {
        match field {
            Field::Model => self.alias = Some(alias(scanner, path)?),
            Field::Messages => self.messages = Some(messages(scanner, path, &mut self.spots)?),
            Field::Stream => self.stream = Some(read::flag(scanner, path)?),
            Field::StreamOptions => self.stream_options(scanner, path)?,
            Field::MaxTokens => self.max_tokens = Some(cap(scanner, path)?),
            Field::MaxCompletionTokens => self.max_completion_tokens = Some(cap(scanner, path)?),
            Field::N => {
                let n = read::integer(scanner, path, 1..=128, "must be an integer between 1 and 128")?;
                self.choices = u32::try_from(n).ok();
            }
            Field::Logprobs => self.logprobs = Some(read::flag(scanner, path)?),
            Field::TopLogprobs => {
                let top = read::integer(scanner, path, 0..=20, "must be an integer between 0 and 20")?;
                self.top_logprobs = Some(top);
            }
            Field::Stop => return stop(scanner, path),
            Field::Tools => return Ok(unless_empty(tools::offered(scanner, path)?)),
            Field::Functions => return Ok(unless_empty(tools::offered_functions(scanner, path)?)),
            Field::Temperature => number(scanner, path, 0.0, 2.0, "must be a number between 0 and 2")?,
            Field::TopP => number(scanner, path, 0.0, 1.0, "must be a number between 0 and 1")?,
            Field::PresencePenalty | Field::FrequencyPenalty => {
                number(scanner, path, -2.0, 2.0, "must be a number between -2 and 2")?;
            }
            Field::Seed => {
                read::integer(scanner, path, i64::MIN..=i64::MAX, "must be a 64-bit integer")?;
            }
            Field::LogitBias => logit_bias(scanner, path)?,
            Field::ResponseFormat => format::check(scanner, path)?,
            Field::ToolChoice => tools::choice(scanner, path)?,
            Field::FunctionCall => tools::function_choice(scanner, path)?,
            Field::ParallelToolCalls | Field::Store => {
                read::flag(scanner, path)?;
            }
            // Not null, so that there is somebody to name: in our words.
            Field::User | Field::PromptCacheKey => {
                self.spots.string(scanner, Named::Person, path)?;
                return Ok(Fate::Named);
            }
            Field::ReasoningEffort | Field::Verbosity | Field::PromptCacheRetention => {
                read::word(scanner, path)?;
            }
            Field::PromptCacheOptions => words(scanner, path)?,
            Field::ServiceTier => read::any_string(scanner, path)?,
            Field::SafetyIdentifier => {
                let from = value_start(scanner)?;
                if read::string(scanner, path)?.chars().count() > 64 {
                    return Err(path.wrong("must be at most 64 characters long"));
                }
                self.spots.add(from..offset(scanner.at())?, Named::Person, path)?;
                return Ok(Fate::Named);
            }
            Field::Metadata => metadata(scanner, path)?,
            Field::Modalities => modalities(scanner, path)?,
            Field::Prediction => prediction(scanner, path)?,
            Field::Audio | Field::WebSearchOptions | Field::Moderation => {
                read::any_object(scanner, path)?;
            }
        }
        Ok(field.fate())
    }

    fn stream_options(&mut self, scanner: &mut Scanner<'_>, path: &Path<'_>) -> Result<(), BadRequest> {
        let names = &["include_usage", "include_obfuscation"];
        read::members(scanner, path, names, |scanner, name, path| {
            let flag = read::flag(scanner, path)?;
            if name == "include_usage" {
                self.include_usage = Some(flag);
            }
            Ok(())
        })?;
        Ok(())
    }
}

fn alias(scanner: &mut Scanner<'_>, path: &Path<'_>) -> Result<String, BadRequest> {
    let alias = read::string(scanner, path)?;
    if alias.is_empty() {
        return Err(path.wrong("must not be empty"));
    }
    if alias.chars().nth(256).is_some() {
        return Err(path.wrong("must be at most 256 characters long"));
    }
    if alias.chars().any(char::is_control) {
        return Err(path.wrong("must not contain control characters"));
    }
    Ok(alias.into_owned())
}

/// How many messages there are, and in which part of which of them each medium stands first.
fn messages(
    scanner: &mut Scanner<'_>,
    path: &Path<'_>,
    spots: &mut Spots,
) -> Result<(usize, Places<(usize, usize)>), BadRequest> {
    let (mut places, mut index) = (Places::default(), 0);
    let count = read::items(scanner, path, |scanner, path| {
        let inside = message::check(scanner, path, spots)?;
        for media in Media::ALL {
            if let Some(part) = inside.first(media) {
                places.note(media, (index, part));
            }
        }
        index += 1;
        Ok(())
    })?;
    if count == 0 { Err(path.wrong("must have at least one message")) } else { Ok((count, places)) }
}

fn cap(scanner: &mut Scanner<'_>, path: &Path<'_>) -> Result<u32, BadRequest> {
    const WRONG: &str = "must be an integer between 0 and 2147483647";
    let cap = read::integer(scanner, path, 0..=i64::from(i32::MAX), WRONG)?;
    u32::try_from(cap).map_err(|_| path.wrong(WRONG))
}

fn number(
    scanner: &mut Scanner<'_>,
    path: &Path<'_>,
    least: f64,
    most: f64,
    wrong: &'static str,
) -> Result<(), BadRequest> {
    read::number(scanner, path, least..=most, wrong).map(|_| ())
}

/// An empty array is what some clients write for "none", and what some backing models refuse.
fn unless_empty(count: usize) -> Fate {
    if count == 0 { Fate::Drop } else { Fate::Keep }
}

fn stop(scanner: &mut Scanner<'_>, path: &Path<'_>) -> Result<Fate, BadRequest> {
    const WRONG: &str = "must be a string or an array of at most 4 strings";
    match scanner.peek()? {
        Kind::String => read::any_string(scanner, path).map(|()| Fate::Keep),
        Kind::Array => match read::items(scanner, path, read::any_string)? {
            count @ 0..=4 => Ok(unless_empty(count)),
            _ => Err(path.wrong(WRONG)),
        },
        Kind::Object | Kind::Number | Kind::True | Kind::False | Kind::Null => Err(path.wrong(WRONG)),
    }
}

/// The keys are token numbers at some providers and words in their own tests; they are not judged.
fn logit_bias(scanner: &mut Scanner<'_>, path: &Path<'_>) -> Result<(), BadRequest> {
    const WRONG: &str = "must map tokens to numbers between -100 and 100";
    if scanner.peek()? != Kind::Object {
        return Err(path.wrong(WRONG));
    }
    scanner.object(|scanner, _| number(scanner, path, -100.0, 100.0, WRONG))
}

fn metadata(scanner: &mut Scanner<'_>, path: &Path<'_>) -> Result<(), BadRequest> {
    if scanner.peek()? != Kind::Object {
        return Err(path.wrong("must be an object"));
    }
    let mut count = 0;
    scanner.object(|scanner, entry| {
        count += 1;
        if count > 16 {
            return Err(path.wrong("must have at most 16 members"));
        }
        if entry.name.decode().chars().count() > 64 {
            return Err(path.wrong("must have keys of at most 64 characters"));
        }
        if scanner.peek()? != Kind::String {
            return Err(path.wrong("must have only strings as values"));
        }
        if scanner.string()?.decode().chars().count() > 512 {
            return Err(path.wrong("must have values of at most 512 characters"));
        }
        Ok(())
    })
}

/// Checks an object that goes up and has no room for anybody's data: words that are called by words.
fn words(scanner: &mut Scanner<'_>, path: &Path<'_>) -> Result<(), BadRequest> {
    const WRONG: &str =
        "must have only words, numbers and truth values, of 1 to 32 letters, digits, `_`, `-` and `.`";
    if scanner.peek()? != Kind::Object {
        return Err(path.wrong("must be an object"));
    }
    scanner.object(|scanner, entry| {
        let fits = match scanner.peek()? {
            Kind::String => read::is_word(&scanner.string()?.decode()),
            Kind::Number | Kind::True | Kind::False | Kind::Null => scanner.skip().map(|()| true)?,
            Kind::Object | Kind::Array => false,
        };
        if fits && read::is_word(&entry.name.decode()) { Ok(()) } else { Err(path.wrong(WRONG)) }
    })
}

fn modalities(scanner: &mut Scanner<'_>, path: &Path<'_>) -> Result<(), BadRequest> {
    read::items(scanner, path, |scanner, item| match read::word(scanner, item)?.as_ref() {
        "audio" => Err(path.wrong("asks for audio, which this API does not serve")),
        _ => Ok(()),
    })
    .map(|_| ())
}

fn prediction(scanner: &mut Scanner<'_>, path: &Path<'_>) -> Result<(), BadRequest> {
    let found = read::members(scanner, path, &["type", "content"], |scanner, name, path| match name {
        "type" => match read::string(scanner, path)?.as_ref() {
            "content" => Ok(()),
            _ => Err(path.wrong("must be `content`")),
        },
        _ => match content::read(scanner, path)? {
            Content::Text => Ok(()),
            Content::Parts(parts) => match parts.other_than_text {
                Some(index) => Err(path.item(index).member("type").wrong("must be `text` in a prediction")),
                None => Ok(()),
            },
        },
    })?;
    found.require(path, "type")?;
    found.require(path, "content")
}
