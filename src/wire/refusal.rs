//! A refusal as bytes: the body of an error status, or the event that ends a stream that failed.
//!
//! Promises three members in one order. Never sees more of an error than a client may know.

use bytes::Bytes;

use super::pen::Pen;
use crate::error::Public;

/// The JSON body.
pub fn body(public: &Public) -> Bytes {
    let mut pen = Pen::default();
    write(&mut pen, public);
    pen.into_bytes().into()
}

/// The same as a server-sent event. It is the last one of its stream: no `[DONE]` follows.
pub fn event(public: &Public) -> Bytes {
    let mut pen = Pen::default();
    pen.raw(b"data: ");
    write(&mut pen, public);
    pen.raw(b"\n\n");
    pen.into_bytes().into()
}

fn write(pen: &mut Pen, public: &Public) {
    pen.raw(b"{\"error\":{\"type\":");
    pen.string(public.kind);
    pen.raw(b",\"message\":");
    pen.string(&public.message);
    pen.raw(b",\"code\":");
    pen.string(public.code);
    pen.raw(b"}}");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::{GatewayError, UpstreamFault};
    use crate::names::Alias;

    #[test]
    fn a_refusal_is_the_apis_example() {
        let alias = Alias::new("general");
        let public = GatewayError::UpstreamDown { alias, fault: UpstreamFault::Truncated }.public();
        let json = r#"{"error":{"type":"upstream_unavailable","message":"The requested model alias 'general' is temporarily unavailable.","code":"upstream_unavailable"}}"#;
        assert_eq!(body(&public), json);
        assert_eq!(event(&public), format!("data: {json}\n\n"));
    }

    #[test]
    fn an_alias_cannot_break_out_of_the_event() {
        let alias = Alias::new("a\"\n\ndata: x");
        let public = GatewayError::UpstreamDown { alias, fault: UpstreamFault::Tls }.public();
        let event = event(&public);
        assert_eq!(event.iter().filter(|byte| **byte == b'\n').count(), 2);
    }
}
