//! Method and path to what is asked for. Paths are compared as sent: nothing is normalised, so
//! that no spelling of a path can mean something else here than it means to a front proxy.

use std::borrow::Cow;

use http::Method;

use crate::error::GatewayError;

/// What a client asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Route<'a> {
    /// `POST /v1/chat/completions`
    Chat,
    /// `GET` or `HEAD /v1/models`
    Models,
    /// `GET` or `HEAD /v1/models/{id}`, the id percent-decoded once.
    Model(Cow<'a, str>),
}

/// Finds the route; `path` is the path of the request target without its query.
///
/// # Errors
/// [`GatewayError::UnknownPath`], or [`GatewayError::WrongMethod`] on a known path.
pub fn route<'a>(method: &Method, path: &'a str) -> Result<Route<'a>, GatewayError> {
    if method == Method::CONNECT {
        // Its target is no path at all, so there is nothing to be unknown.
        return Err(GatewayError::WrongMethod { allow: "GET, HEAD, POST" });
    }
    match path {
        "/v1/chat/completions" => match *method {
            Method::POST => Ok(Route::Chat),
            _ => Err(GatewayError::WrongMethod { allow: "POST" }),
        },
        "/v1/models" => readable(method, Route::Models),
        _ => match path.strip_prefix("/v1/models/") {
            Some(id) if !id.is_empty() && !id.contains('/') => {
                let id = decode(id).ok_or(GatewayError::NoSuchModel);
                // The method is judged first, so that a bad escape cannot hide a wrong method.
                readable(method, Route::Models)?;
                Ok(Route::Model(id?))
            }
            Some(_) | None => Err(GatewayError::UnknownPath),
        },
    }
}

fn readable<'a>(method: &Method, route: Route<'a>) -> Result<Route<'a>, GatewayError> {
    match *method {
        Method::GET | Method::HEAD => Ok(route),
        _ => Err(GatewayError::WrongMethod { allow: "GET, HEAD" }),
    }
}

/// Percent-decodes once; `None` for a broken escape or for what is not UTF-8 afterwards.
fn decode(text: &str) -> Option<Cow<'_, str>> {
    if !text.contains('%') {
        return Some(Cow::Borrowed(text));
    }
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte == b'%' {
            let high = char::from(rest.next()?).to_digit(16)?;
            let low = char::from(rest.next()?).to_digit(16)?;
            bytes.push(u8::try_from(high * 16 + low).ok()?);
        } else {
            bytes.push(byte);
        }
    }
    String::from_utf8(bytes).ok().map(Cow::Owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_three_routes() {
        assert_eq!(route(&Method::POST, "/v1/chat/completions"), Ok(Route::Chat));
        for method in [Method::GET, Method::HEAD] {
            assert_eq!(route(&method, "/v1/models"), Ok(Route::Models));
            assert_eq!(route(&method, "/v1/models/general"), Ok(Route::Model("general".into())));
        }
        assert_eq!(route(&Method::GET, "/v1/models/a%2Fb"), Ok(Route::Model("a/b".into())));
        assert_eq!(route(&Method::GET, "/v1/models/%E6%97%A5"), Ok(Route::Model("日".into())));
        assert_eq!(route(&Method::GET, "/v1/models/a%252Fb"), Ok(Route::Model("a%2Fb".into())));
    }

    #[test]
    fn spellings_that_only_look_alike_are_unknown() {
        for path in [
            "",
            "/",
            "/v1",
            "/v1/chat",
            "/v1//chat/completions",
            "/v1/chat/completions/",
            "/v1/chat/../chat/completions",
            "/v1/chat%2Fcompletions",
            "/V1/Chat/Completions",
            "/v1/chat/completions;x",
            "/v1/models/",
            "/v1/models/a/b",
            "/metrics",
            "/healthz",
            "*",
        ] {
            assert_eq!(route(&Method::POST, path), Err(GatewayError::UnknownPath), "{path}");
        }
    }

    #[test]
    fn a_wrong_method_is_told_the_right_ones() {
        let allow = |method: Method, path| match route(&method, path) {
            Err(GatewayError::WrongMethod { allow }) => allow,
            other => panic!("{method} {path}: {other:?}"),
        };
        assert_eq!(allow(Method::GET, "/v1/chat/completions"), "POST");
        assert_eq!(allow(Method::POST, "/v1/models"), "GET, HEAD");
        assert_eq!(allow(Method::DELETE, "/v1/models/%zz"), "GET, HEAD");
        assert_eq!(allow(Method::CONNECT, ""), "GET, HEAD, POST");
        let lower = Method::from_bytes(b"post").unwrap();
        assert_eq!(allow(lower, "/v1/chat/completions"), "POST");
    }

    #[test]
    fn an_id_that_cannot_be_decoded_is_no_model() {
        for path in ["/v1/models/%", "/v1/models/%4", "/v1/models/%zz", "/v1/models/%ff"] {
            assert_eq!(route(&Method::GET, path), Err(GatewayError::NoSuchModel), "{path}");
        }
    }
}
