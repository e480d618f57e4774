//! How a backend is connected to: as data, for whoever connects.

use std::any::Any;
use std::sync::Arc;

/// How a backend is connected to.
#[derive(Debug, Clone)]
pub struct Reach {
    /// `None` is plain HTTP.
    pub tls: Option<Tls>,
    /// HTTP/2; without TLS by prior knowledge.
    pub h2: bool,
    /// Keeps connections of backends apart that must not share any.
    pub group: u64,
}

/// The TLS side of a backend. Its certificate is always verified: there is no way to say otherwise.
#[derive(Debug, Clone)]
pub struct Tls {
    /// The name its certificate must be for, also sent as SNI. Never empty, which would mean no verification.
    pub server_name: ServerName,
    /// Authorities and client certificate in the connecting side's own terms, which are not known here.
    pub material: Option<Arc<dyn Any + Send + Sync>>,
}

/// A name that is not empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerName(String);

impl ServerName {
    /// `None` for an empty one.
    pub fn new(name: &str) -> Option<Self> {
        (!name.is_empty()).then(|| Self(name.to_owned()))
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}
