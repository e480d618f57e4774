//! What somebody wants to see: the form that the client likes better, and a part of all there is.

use http::{HeaderMap, header};

/// How the status is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    Html,
    Json,
}

impl Form {
    /// HTML for who asks for it by name and likes it no less than JSON (RFC 9110, 12.5.1); JSON for everyone
    /// else: what programs and `curl` say fits anything.
    pub fn preferred(headers: &HeaderMap) -> Self {
        let (mut html, mut json) = (0.0, 0.0);
        for line in headers.get_all(header::ACCEPT) {
            for range in line.to_str().unwrap_or_default().split(',') {
                let mut parts = range.split(';').map(str::trim);
                let kind = parts.next().unwrap_or_default();
                let quality = parts.find_map(|part| part.strip_prefix("q=")?.parse::<f32>().ok());
                if kind.eq_ignore_ascii_case("text/html") {
                    html = quality.unwrap_or(1.0);
                } else if kind.eq_ignore_ascii_case("application/json") {
                    json = quality.unwrap_or(1.0);
                }
            }
        }
        if html > 0.0 && html >= json { Self::Html } else { Self::Json }
    }
}

/// The longest text that is looked for, in letters.
const MAX_TEXT: usize = 200;

/// A part of all there is, from the query of the page's address.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Look {
    /// Only the tenant of this name, with all that belongs to it.
    pub tenant: Option<String>,
    /// Only the pool of this name, with all its backends.
    pub pool: Option<String>,
    /// Only what has this in its name, whatever the case of letters. Never empty.
    pub find: Option<String>,
}

impl Look {
    /// What a query asks for. What it does not know is nothing.
    pub fn of(query: &str) -> Self {
        let mut look = Self::default();
        for (name, value) in form_urlencoded::parse(query.as_bytes()) {
            let value: String = value.trim().chars().take(MAX_TEXT).collect();
            if value.is_empty() {
                continue;
            }
            match &*name {
                "tenant" => look.tenant = Some(value),
                "pool" => look.pool = Some(value),
                "find" => look.find = Some(value.to_lowercase()),
                _ => {}
            }
        }
        look
    }

    /// Whether it is everything.
    pub fn is_whole(&self) -> bool {
        *self == Self::default()
    }

    /// Whether a pool of this name with these backends belongs to it.
    pub fn has_pool<'n>(&self, name: &str, mut backends: impl Iterator<Item = &'n str>) -> bool {
        match (&self.pool, &self.tenant) {
            (Some(pool), _) if pool != name => false,
            (None, Some(_)) => false,
            (Some(_), _) | (None, None) => self.finds(name) || backends.any(|backend| self.finds(backend)),
        }
    }

    /// Whether a tenant of this name with these aliases belongs to it.
    pub fn has_tenant<'n>(&self, name: &str, mut aliases: impl Iterator<Item = &'n str>) -> bool {
        match (&self.tenant, &self.pool) {
            (Some(tenant), _) if tenant != name => false,
            (None, Some(_)) => false,
            (Some(_), _) | (None, None) => self.finds(name) || aliases.any(|alias| self.finds(alias)),
        }
    }

    /// Whether a name has what is looked for.
    pub fn finds(&self, name: &str) -> bool {
        self.find.as_ref().is_none_or(|text| name.to_lowercase().contains(text))
    }
}

/// The address of a part of the page.
pub fn address(name: &str, value: &str) -> String {
    let query: String = form_urlencoded::Serializer::new(String::new()).append_pair(name, value).finish();
    format!("/status?{query}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn form(accept: &str) -> Form {
        let mut headers = HeaderMap::new();
        headers.insert(header::ACCEPT, accept.parse().unwrap());
        Form::preferred(&headers)
    }

    #[test]
    fn a_browser_gets_html_and_everyone_else_json() {
        let browser = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8";
        assert_eq!(form(browser), Form::Html);
        assert_eq!(form("Text/HTML;q=0.5, application/json; q=0.5"), Form::Html);
        for accept in
            ["*/*", "application/json", "text/html;q=0.5, application/json", "text/html;q=0", "text/*", ""]
        {
            assert_eq!(form(accept), Form::Json, "{accept}");
        }
        assert_eq!(Form::preferred(&HeaderMap::new()), Form::Json);
    }

    #[test]
    fn a_query_says_what_is_wanted_and_the_rest_is_nothing() {
        let look = Look::of("tenant=a%26b+c&pool=&find=%20GEN&what=ever&%ff");
        assert_eq!(look.tenant.as_deref(), Some("a&b c"));
        assert_eq!((look.pool.as_deref(), look.find.as_deref()), (None, Some("gen")));
        assert!(Look::of("").is_whole() && !look.is_whole());
        assert!(!look.has_tenant("other", std::iter::once("general")));
        assert!(look.has_tenant("a&b c", std::iter::once("General")));
        assert!(!look.has_tenant("a&b c", std::iter::once("secure")));
        assert!(!look.has_pool("gen", std::iter::empty()), "a tenant was asked for");
        assert_eq!(address("tenant", "a&b c"), "/status?tenant=a%26b+c");
    }
}
