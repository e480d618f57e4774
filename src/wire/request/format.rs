//! `response_format`: free text, any JSON object, or JSON of a given schema. The schema itself is not judged.

use super::super::scan::Scanner;
use super::path::Path;
use super::read;
use crate::error::BadRequest;

enum Format {
    Text,
    JsonObject,
    JsonSchema,
}

/// Checks `response_format`.
pub(super) fn check(scanner: &mut Scanner<'_>, path: &Path<'_>) -> Result<(), BadRequest> {
    let mut format = None;
    let found = read::members(scanner, path, &["type", "json_schema"], |scanner, name, path| {
        match name {
            "type" => format = Some(read_type(scanner, path)?),
            _ => read::members(scanner, path, &["name"], read::each_a_string)?.require(path, "name")?,
        }
        Ok(())
    })?;
    match format {
        Some(Format::Text | Format::JsonObject) => Ok(()),
        Some(Format::JsonSchema) => found.require(path, "json_schema"),
        None => Err(path.member("type").wrong("is required")),
    }
}

fn read_type(scanner: &mut Scanner<'_>, path: &Path<'_>) -> Result<Format, BadRequest> {
    match read::string(scanner, path)?.as_ref() {
        "text" => Ok(Format::Text),
        "json_object" => Ok(Format::JsonObject),
        "json_schema" => Ok(Format::JsonSchema),
        _ => Err(path.wrong("must be `text`, `json_object` or `json_schema`")),
    }
}
