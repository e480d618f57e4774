//! What a message says: a string, or an array of content parts.
//!
//! Every part is checked against its own `type`. Which types a role may use is `message`'s to say.

use super::super::scan::{Kind, Scanner};
use super::media::{Media, Places};
use super::path::Path;
use super::read;
use crate::error::BadRequest;

/// The content of one message.
pub(super) enum Content {
    Text,
    Parts(Parts),
}

/// What an array of parts holds.
#[derive(Default)]
pub(super) struct Parts {
    /// How many there are.
    pub(super) count: usize,
    /// The first that is not text.
    pub(super) other_than_text: Option<usize>,
    /// The first that is a refusal.
    pub(super) refusal: Option<usize>,
    /// The first of each medium.
    pub(super) media: Places<usize>,
}

impl Parts {
    fn medium(&mut self, media: Media, index: usize) {
        self.other_than_text.get_or_insert(index);
        self.media.note(media, index);
    }
}

/// Reads content that is neither missing nor null.
pub(super) fn read(scanner: &mut Scanner<'_>, path: &Path<'_>) -> Result<Content, BadRequest> {
    match scanner.peek()? {
        Kind::String => {
            scanner.string()?;
            Ok(Content::Text)
        }
        Kind::Array => parts(scanner, path).map(Content::Parts),
        Kind::Object | Kind::Number | Kind::True | Kind::False | Kind::Null => {
            Err(path.wrong("must be a string or an array of content parts"))
        }
    }
}

#[derive(Clone, Copy)]
enum PartType {
    Text,
    ImageUrl,
    InputAudio,
    File,
    Refusal,
}

impl PartType {
    fn named(name: &str) -> Option<Self> {
        Some(match name {
            "text" => Self::Text,
            "image_url" => Self::ImageUrl,
            "input_audio" => Self::InputAudio,
            "file" => Self::File,
            "refusal" => Self::Refusal,
            _ => return None,
        })
    }

    /// The member that a part of this type has to have. It is called as the type is.
    fn member(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::ImageUrl => "image_url",
            Self::InputAudio => "input_audio",
            Self::File => "file",
            Self::Refusal => "refusal",
        }
    }
}

fn parts(scanner: &mut Scanner<'_>, path: &Path<'_>) -> Result<Parts, BadRequest> {
    let mut parts = Parts::default();
    read::items(scanner, path, |scanner, path| {
        let index = parts.count;
        parts.count += 1;
        match part(scanner, path)? {
            PartType::Text => {}
            PartType::ImageUrl => parts.medium(Media::Image, index),
            PartType::InputAudio => parts.medium(Media::Audio, index),
            PartType::File => parts.medium(Media::File, index),
            PartType::Refusal => {
                parts.other_than_text.get_or_insert(index);
                parts.refusal.get_or_insert(index);
            }
        }
        Ok(())
    })?;
    Ok(parts)
}

fn part(scanner: &mut Scanner<'_>, path: &Path<'_>) -> Result<PartType, BadRequest> {
    let mut kind = None;
    let names = &["type", "text", "image_url", "input_audio", "file", "refusal"];
    let found = read::members(scanner, path, names, |scanner, name, path| {
        match name {
            "type" => kind = Some(part_type(scanner, path)?),
            "image_url" => {
                let found = read::members(scanner, path, &["url"], read::each_a_string)?;
                found.require(path, "url")?;
            }
            "input_audio" => {
                let found = read::members(scanner, path, &["data", "format"], read::each_a_string)?;
                found.require(path, "data")?;
                found.require(path, "format")?;
            }
            // What one tenant puts into a provider's store, the next one might name.
            "file" => read::members(scanner, path, &["file_id"], |_, _, path| {
                Err(path.wrong("must not be given, as this API keeps no files; send `file_data`"))
            })
            .map(|_| ())?,
            _ => read::any_string(scanner, path)?,
        }
        Ok(())
    })?;
    let kind = kind.ok_or_else(|| path.member("type").wrong("is required"))?;
    found.require(path, kind.member())?;
    Ok(kind)
}

fn part_type(scanner: &mut Scanner<'_>, path: &Path<'_>) -> Result<PartType, BadRequest> {
    PartType::named(&read::string(scanner, path)?)
        .ok_or_else(|| path.wrong("must be `text`, `image_url`, `input_audio`, `file` or `refusal`"))
}
