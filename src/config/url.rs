//! URLs: the base of a backend, such as `https://models.example/v1`, and endpoints that are written whole.
//!
//! Stricter than a browser: what a lenient reader would mend silently is a complaint here, each with
//! its own words. A URL is never shown, since it may hold a password.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::plan::Scheme;

/// The parts of a base URL.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct BaseUrl {
    pub(super) scheme: Scheme,
    /// In small letters, without brackets.
    pub(super) host: String,
    pub(super) port: u16,
    /// Starts with a slash and does not end with one; or empty.
    pub(super) path: String,
}

impl BaseUrl {
    /// `host:port`, as it is written in a URL.
    pub(super) fn authority(&self) -> String {
        let Self { host, port, .. } = self;
        if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
    }
}

/// What is wrong, and how to mend it.
pub(super) type Fault = (&'static str, &'static str);

/// Reads a base URL.
///
/// # Errors
/// The first thing that is wrong with it, in our own words.
pub(super) fn base_url(text: &str) -> Result<BaseUrl, Fault> {
    let (scheme, rest) = scheme(text)?;
    refuse_characters(rest)?;
    let (authority, path) = match rest.find('/').and_then(|at| rest.split_at_checked(at)) {
        Some(parts) => parts,
        None => (rest, ""),
    };
    if authority.contains('@') {
        return Err(("holds a user name or password", "remove it; a credential belongs under `key:`"));
    }
    let (host, port) = host_and_port(authority)?;
    let port = match port {
        Some(port) => port_number(port)?,
        None => match scheme {
            Scheme::Http => 80,
            Scheme::Https => 443,
        },
    };
    Ok(BaseUrl { scheme, host: host_name(host)?, port, path: base_path(path)? })
}

/// Reads the URL of an endpoint itself, with its path: nothing is appended. `like` says how to write one.
///
/// # Errors
/// As [`base_url`]; and a path that is missing.
pub(super) fn endpoint_url(text: &str, like: &'static str) -> Result<BaseUrl, Fault> {
    match base_url(text) {
        Ok(url) if url.path.is_empty() => Err(("has no path", like)),
        Ok(url) => Ok(url),
        // The words for a base URL have an example of one.
        Err((wrong, mend)) => Err((wrong, if mend.contains("://") { like } else { mend })),
    }
}

/// Reads the endpoint of an Azure resource, such as `https://NAME.openai.azure.com`. A path stays, but for
/// the `/openai` at its end, which is appended with what follows it.
///
/// # Errors
/// As [`base_url`]; and what belongs to another field.
pub(super) fn resource_url(text: &str) -> Result<BaseUrl, Fault> {
    // Asked first, since a deployment's URL as the portal shows it also has a query and an endpoint.
    let lower = text.to_ascii_lowercase();
    if lower.contains("/deployments/") || lower.ends_with("/deployments") {
        return Err((
            "names a deployment, not the resource",
            "write the endpoint alone, such as https://NAME.openai.azure.com; the deployment is the `model` of a route",
        ));
    }
    if let Err((wrong, _)) = scheme(text) {
        return Err((wrong, "write it like https://NAME.openai.azure.com"));
    }
    let mut url = base_url(text)?;
    if url.path.ends_with("/openai/v1") {
        return Err((
            "is the base of an API that knows no versions",
            "leave out /openai/v1; or keep it, and write dialect: openai",
        ));
    }
    if let Some(before) = url.path.strip_suffix("/openai") {
        url.path = before.to_owned();
    }
    Ok(url)
}

fn scheme(text: &str) -> Result<(Scheme, &str), Fault> {
    match text.split_once("://") {
        Some((scheme, rest)) if scheme.eq_ignore_ascii_case("http") => Ok((Scheme::Http, rest)),
        Some((scheme, rest)) if scheme.eq_ignore_ascii_case("https") => Ok((Scheme::Https, rest)),
        Some(_) | None => {
            Err(("is not an http:// or https:// URL", "write it like https://models.example/v1"))
        }
    }
}

/// Whether an address is one of this machine or of a private network.
pub(super) fn is_near(address: IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(v4) => v4.is_loopback() || v4.is_private() || v4.is_link_local(),
        IpAddr::V6(v6) => v6.is_loopback() || v6.is_unique_local() || v6.is_unicast_link_local(),
    }
}

/// Refuses what no URL of ours holds; `rest` is what follows the scheme.
pub(super) fn refuse_characters(rest: &str) -> Result<(), Fault> {
    if rest.contains('?') {
        return Err(("has a query", "remove the `?` and what follows it"));
    }
    if rest.contains('#') {
        return Err(("has a fragment", "remove the `#` and what follows it"));
    }
    if !rest.is_ascii() {
        return Err(("holds characters beyond ASCII", "write the host as xn--… and the path with %XX"));
    }
    // The characters of RFC 3986, without those that the checks above and below name themselves.
    let good = |c: char| c.is_ascii_alphanumeric() || "-._~%!$&'()*+,;=:@/[]".contains(c);
    if rest.chars().all(good) { Ok(()) } else { Err(("holds a character that no URL may hold", "remove it")) }
}

/// Splits at the port's colon; an IPv6 address keeps its brackets.
pub(super) fn host_and_port(authority: &str) -> Result<(&str, Option<&str>), Fault> {
    let after_bracket = authority.find(']').map_or(0, |at| at + 1);
    let (bracketed, rest) = authority.split_at_checked(after_bracket).unwrap_or(("", authority));
    if !bracketed.is_empty() {
        return match rest.strip_prefix(':') {
            Some(port) => Ok((bracketed, Some(port))),
            None if rest.is_empty() => Ok((bracketed, None)),
            None => {
                Err(("has something between the host and the port", "write it like http://[::1]:8081/v1"))
            }
        };
    }
    match authority.split_once(':') {
        Some((_, port)) if port.contains(':') => {
            Err(("has an IPv6 address without brackets", "write it like http://[::1]:8081/v1"))
        }
        Some((host, port)) => Ok((host, Some(port))),
        None => Ok((authority, None)),
    }
}

/// Reads a port, which is not 0.
pub(super) fn port_number(text: &str) -> Result<u16, Fault> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    match text.parse() {
        Ok(port) if digits && port > 0 => Ok(port),
        Ok(_) | Err(_) => Err(("has a port that is none", "write a port from 1 to 65535, or none")),
    }
}

/// Reads the host of a URL: a name, an IPv4 address, or an IPv6 address in brackets. Gives it in small
/// letters, without brackets.
///
/// # Errors
/// What is wrong with it, as part of a URL.
pub(super) fn host_name(host: &str) -> Result<String, Fault> {
    if host.is_empty() {
        return Err(("has no host", "write it like https://models.example/v1"));
    }
    if let Some(inside) = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        let address: Result<Ipv6Addr, _> = inside.parse();
        return address.map(|address| address.to_string()).map_err(|_| {
            ("has brackets around what is no IPv6 address", "write it like http://[::1]:8081/v1")
        });
    }
    let labels = || host.split('.');
    let good = |label: &str| {
        (1..=63).contains(&label.len())
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
    };
    if host.len() > 253 || !labels().all(good) {
        return Err((
            "has a host that is no name or address",
            "write letters, digits and hyphens between dots",
        ));
    }
    // A host whose last label is a number is an address to every resolver, in one of many odd notations.
    let number = |label: &str| label.bytes().all(|byte| byte.is_ascii_digit()) || label.starts_with("0x");
    if labels().next_back().is_some_and(number) && host.parse::<Ipv4Addr>().is_err() {
        return Err(("has a host that looks like an IPv4 address and is none", "write it like 192.0.2.7"));
    }
    Ok(host.to_ascii_lowercase())
}

fn base_path(path: &str) -> Result<String, Fault> {
    let path = path.trim_end_matches('/');
    if path.contains(['[', ']']) {
        return Err(("holds a character that no URL may hold", "remove it"));
    }
    if path.ends_with("/chat/completions") {
        return Err(("names the endpoint, not the base", "leave out /chat/completions; it is appended"));
    }
    if path.split('/').skip(1).any(|segment| matches!(segment, "" | "." | "..")) {
        return Err(("has an empty or dotted path segment", "write the path as the backend expects it"));
    }
    let escapes = path.split('%').skip(1);
    let hex =
        |rest: &str| rest.get(..2).is_some_and(|pair| pair.bytes().all(|byte| byte.is_ascii_hexdigit()));
    if escapes.into_iter().all(hex) {
        Ok(path.to_owned())
    } else {
        Err(("has a stray `%`", "write it as %25"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(text: &str) -> (Scheme, String, u16, String) {
        let url = base_url(text).unwrap_or_else(|fault| panic!("{text}: {fault:?}"));
        (url.scheme, url.host, url.port, url.path)
    }

    #[test]
    fn a_base_url_is_scheme_host_port_and_path() {
        let good = [
            ("http://127.0.0.1:8081/v1", (Scheme::Http, "127.0.0.1", 8081, "/v1")),
            ("https://Models.Example/v1/", (Scheme::Https, "models.example", 443, "/v1")),
            ("HTTP://host", (Scheme::Http, "host", 80, "")),
            ("http://host/", (Scheme::Http, "host", 80, "")),
            ("http://[::1]:65535/a/b//", (Scheme::Http, "::1", 65535, "/a/b")),
            ("https://[2001:DB8::1]", (Scheme::Https, "2001:db8::1", 443, "")),
            ("http://my_svc.default:1/openai%20x", (Scheme::Http, "my_svc.default", 1, "/openai%20x")),
        ];
        for (text, (scheme, host, port, path)) in good {
            assert_eq!(parts(text), (scheme, host.to_owned(), port, path.to_owned()), "{text}");
        }
    }

    #[test]
    fn what_a_lenient_reader_would_mend_is_refused() {
        let bad = [
            "",
            "/v1",
            "host:80",
            "ftp://host",
            "http:/host",
            "http:///v1",
            "http://:80",
            "http://u:p@host/v1",
            "http://u@host",
            "http://host?x=1",
            "http://host/v1#x",
            "http://host:0",
            "http://host:65536",
            "http://host:70000/v1",
            "http://host:",
            "http://host:+80",
            "http://::1:80/",
            "http://[::1",
            "http://[host]:80",
            "http://[::1]80",
            "http://ho st/",
            "http://host/a b",
            "http://host\\v1",
            "http://-a.example",
            "http://a..b",
            "http://host./v1",
            "http://1.2.3",
            "http://127.0.0.300",
            "http://0x7f.1",
            "http://a.0x1",
            "http://日本/",
            "http://host/../v1",
            "http://host//v1",
            "http://host/v1/chat/completions",
            "http://host/%2",
            "http://host/%zz",
            "http://host/[v1]",
            " http://host",
            "http://host/v1\n",
        ];
        for text in bad {
            assert!(base_url(text).is_err(), "{text}");
        }
    }

    #[test]
    fn an_azure_resource_is_told_without_what_is_appended() {
        for (text, path) in [
            ("https://name.openai.azure.com", ""),
            ("https://name.openai.azure.com/", ""),
            ("https://name.openai.azure.com/openai/", ""),
            ("https://proxy.example/team-a", "/team-a"),
            ("https://proxy.example/team-a/openai", "/team-a"),
            ("https://proxy.example/myopenai", "/myopenai"),
        ] {
            assert_eq!(resource_url(text).map(|url| url.path), Ok(path.to_owned()), "{text}");
        }
        for text in [
            "https://a.example/openai/deployments/gpt/chat/completions?api-version=2024-10-21",
            "https://a.example/openai/Deployments/gpt",
            "https://a.example/openai/deployments",
        ] {
            assert_eq!(
                resource_url(text).map_err(|(wrong, _)| wrong),
                Err("names a deployment, not the resource")
            );
        }
        assert!(resource_url("https://a.example/openai/v1").is_err());
        assert!(resource_url("https://a.example?api-version=1").is_err());
    }

    #[test]
    fn a_backend_is_named_by_host_and_port() {
        assert_eq!(base_url("https://models.example/v1").unwrap().authority(), "models.example:443");
        assert_eq!(base_url("http://[::1]/v1").unwrap().authority(), "[::1]:80");
    }
}
