//! Why a moderator gave no word, for events and the status.

use std::fmt;
use std::time::Duration;

use pingora_core::{Error, ErrorType};
use tokio::task::JoinError;

use crate::daemon::resolver::NotFound;
use crate::wire::moderation::NoVerdict;

/// Why there is no word.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Cause {
    /// Its name leads nowhere.
    Name(NotFound),
    /// Nobody listens there.
    Refused,
    /// The handshake fails, or its certificate is not good.
    Tls(String),
    /// It cannot be connected to for another reason, by Pingora's name for that.
    Connect(String),
    /// The connection broke before the answer's end, or what came is no HTTP.
    Broken(String),
    /// It did not answer in this time.
    Silent(Duration),
    /// Anything but 200.
    Status(u16),
    /// The answer is longer than this.
    TooLong(usize),
    /// The answer says nothing, or not enough.
    Answer(NoVerdict),
    /// It could not be asked by us.
    Ours,
}

impl Cause {
    /// Why there is no connection.
    pub fn connecting(error: &Error) -> Self {
        let name = || error.etype().as_str().to_owned();
        match error.etype() {
            ErrorType::ConnectRefused => Self::Refused,
            ErrorType::TLSHandshakeFailure
            | ErrorType::TLSHandshakeTimedout
            | ErrorType::TLSWantX509Lookup
            | ErrorType::InvalidCert => Self::Tls(name()),
            _ => Self::Connect(name()),
        }
    }
}

impl From<Box<Error>> for Cause {
    fn from(error: Box<Error>) -> Self {
        Self::Broken(error.etype().as_str().to_owned())
    }
}

impl From<JoinError> for Cause {
    fn from(_: JoinError) -> Self {
        Self::Ours
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(why) => write!(f, "its name leads nowhere: {why}"),
            Self::Refused => f.write_str("connections are refused"),
            Self::Tls(name) => write!(f, "no TLS connection can be made: {name}"),
            Self::Connect(name) => write!(f, "no connection can be made: {name}"),
            Self::Broken(name) => write!(f, "the connection broke: {name}"),
            Self::Silent(time) => write!(f, "no answer within {}", humantime::format_duration(*time)),
            Self::Status(status) => write!(f, "it answered with {status}"),
            Self::TooLong(most) => write!(f, "its answer is longer than {most} bytes"),
            Self::Answer(NoVerdict::Nonsense) => f.write_str("its answer is not that of a moderation API"),
            Self::Answer(NoVerdict::Results { asked, given }) => {
                write!(f, "it gave {given} results for {asked} texts")
            }
            Self::Ours => f.write_str("it could not be asked"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_connection_is_told_by_its_kind() {
        let told = |kind: ErrorType| Cause::connecting(&Error::new(kind)).to_string();
        assert_eq!(told(ErrorType::ConnectRefused), "connections are refused");
        assert_eq!(told(ErrorType::InvalidCert), "no TLS connection can be made: InvalidCert");
        assert_eq!(told(ErrorType::ConnectNoRoute), "no connection can be made: ConnectNoRoute");
        assert_eq!(Cause::Silent(Duration::from_millis(1500)).to_string(), "no answer within 1s 500ms");
    }
}
