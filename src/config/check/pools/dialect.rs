//! What a pool's backends speak.

use crate::config::at::{At, Fields, one_of};
use crate::config::complaint::{Complaints, Told};
use crate::config::plan::Dialect;

/// A dialect, without what belongs to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    OpenAi,
    Azure,
}

const KINDS: [(&str, Kind); 2] = [("openai", Kind::OpenAi), ("azure", Kind::Azure)];
/// In characters. The versions that there are have half as many.
const MAX_VERSION: usize = 32;

/// Reads `dialect`.
pub(super) fn kind(fields: &Fields<'_>, out: &mut Complaints) -> Result<Kind, Told> {
    fields.or("dialect", Kind::OpenAi, out, |at, out| one_of(at, "dialect", &KINDS, out))
}

/// Reads what belongs to the dialect, and refuses what belongs to another one.
pub(super) fn dialect(
    kind: Result<Kind, Told>,
    fields: &Fields<'_>,
    out: &mut Complaints,
) -> Result<Dialect, Told> {
    let written = fields.get("api_version");
    match kind {
        Ok(Kind::OpenAi) => match written {
            None => Ok(Dialect::OpenAi),
            Some(at) => Err(at.complain(out, "is for Azure alone", "remove it, or write dialect: azure")),
        },
        Ok(Kind::Azure) => {
            let mend = "write the version of Azure's API, such as \"2024-10-21\"";
            let at = fields.need("api_version", mend, out)?;
            api_version(&at, out).map(|api_version| Dialect::Azure { api_version })
        }
        Err(told) => written.map_or(Err(told), |at| api_version(&at, out).and(Err(told))),
    }
}

/// What can stand in a query as it is.
fn api_version(at: &At<'_>, out: &mut Complaints) -> Result<String, Told> {
    let text = at.text(out)?;
    let good = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-');
    if (1..=MAX_VERSION).contains(&text.len()) && text.bytes().all(good) {
        return Ok(text.to_owned());
    }
    let mend = format!("write 1 to {MAX_VERSION} of the characters A-Z a-z 0-9 . -, such as \"2024-10-21\"");
    Err(at.complain(out, "is not a version of Azure's API", mend))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::at::tests::{complaint, reading};

    fn read(at: &At<'_>, out: &mut Complaints) -> Result<Dialect, Told> {
        let fields = at.fields(&["dialect", "api_version"], out)?;
        let kind = kind(&fields, out);
        dialect(kind, &fields, out)
    }

    #[test]
    fn a_version_belongs_to_azure() {
        let azure = |version: &str| Ok(Dialect::Azure { api_version: version.to_owned() });
        assert_eq!(reading("{}", read), Ok(Dialect::OpenAi));
        assert_eq!(reading("{ dialect: openai }", read), Ok(Dialect::OpenAi));
        assert_eq!(reading("{ dialect: azure, api_version: 2024-10-21 }", read), azure("2024-10-21"));
        assert_eq!(
            reading("{ dialect: azure, api_version: '2025-04-01-preview' }", read),
            azure("2025-04-01-preview")
        );
        assert_eq!(
            complaint("{ api_version: 2024-10-21 }", read),
            "t:1:16: api_version: is for Azure alone; remove it, or write dialect: azure"
        );
        assert_eq!(
            complaint("{ dialect: azure }", read),
            "t:1:1: api_version: is missing; write the version of Azure's API, such as \"2024-10-21\""
        );
    }

    #[test]
    fn a_version_can_stand_in_a_query() {
        let longest = "1".repeat(MAX_VERSION);
        assert!(reading(&format!("'{longest}'"), api_version).is_ok());
        for bad in ["''", "2024", "2024_10", "a&b=c", "日本", "[a]", &format!("'{longest}1'")] {
            assert!(reading(bad, api_version).is_err(), "{bad}");
        }
    }

    #[test]
    fn both_are_told_when_both_are_wrong() {
        let told = complaint("{ dialect: azzure, api_version: '' }", read);
        assert_eq!(told.lines().count(), 2, "{told}");
    }
}
