//! Names that must not be mixed up, and secrets that must not be shown.
//!
//! Every name is an `Arc<str>` inside: cheap to clone into a request, compared byte for byte.

use std::fmt;
use std::sync::Arc;

use zeroize::Zeroizing;

macro_rules! name {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(Arc<str>);

        impl $name {
            /// Takes the text as it is; whoever reads configuration checks it first.
            pub fn new(text: impl Into<Arc<str>>) -> Self {
                Self(text.into())
            }

            /// The name as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        // Lets maps that are keyed by the name be asked with plain text.
        impl std::borrow::Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }
    };
}

name! {
    /// Whose request it is.
    TenantId
}
name! {
    /// The operator's name for a client key. It is logged; the key itself never is.
    KeyId
}
name! {
    /// What a client calls a model. It belongs to one tenant.
    Alias
}
name! {
    /// What a backing model calls itself. Never shown to a client.
    ModelName
}
name! {
    /// A set of backends that can answer for each other. Never shown to a client.
    PoolName
}
name! {
    /// What aliases may have in common: what may be said to them, and by them.
    PolicyName
}
name! {
    /// One backend of a pool, as operators see it in logs and metrics. Never shown to a client.
    BackendName
}

/// SHA-256 of a client key: what is configured and compared instead of the key.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct KeyDigest([u8; 32]);

impl KeyDigest {
    /// Wraps a finished digest.
    pub fn new(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// Reads 64 hexadecimal digits of either case; `None` for anything else.
    pub fn from_hex(text: &str) -> Option<Self> {
        let digits = text.as_bytes();
        if digits.len() != 64 {
            return None;
        }
        let mut bytes = [0; 32];
        for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
            let mut value = 0;
            for digit in pair {
                value = value * 16 + char::from(*digit).to_digit(16)?;
            }
            *byte = u8::try_from(value).ok()?;
        }
        Some(Self(bytes))
    }

    /// The digest as 64 lower-case hexadecimal digits.
    pub fn to_hex(self) -> String {
        use fmt::Write;
        self.0.iter().fold(String::with_capacity(64), |mut hex, byte| {
            // Writing to a String cannot fail.
            let _ = write!(hex, "{byte:02x}");
            hex
        })
    }
}

impl fmt::Debug for KeyDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("KeyDigest(..)")
    }
}

/// A secret of ours, such as a backend's credential. It has no `Display`, `Debug` hides it, and the last one to let
/// go of it wipes it out of memory.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Arc<Zeroizing<Box<str>>>);

impl Secret {
    /// Wraps a secret.
    pub fn new(text: &str) -> Self {
        Self(Arc::new(Zeroizing::new(text.into())))
    }

    /// The secret itself, for the one place that sends it.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_digest_is_64_hex_digits_of_either_case_and_nothing_else() {
        let hex = "00ff".repeat(16);
        let digest = KeyDigest::from_hex(&hex).unwrap();
        assert_eq!(digest.to_hex(), hex);
        assert_eq!(KeyDigest::from_hex(&hex.to_uppercase()), Some(digest));
        for bad in ["", &hex[1..], &format!("{hex}0"), &hex.replace('f', "g"), &"é".repeat(32)] {
            assert_eq!(KeyDigest::from_hex(bad), None, "{bad}");
        }
    }

    #[test]
    fn secrets_do_not_show_themselves() {
        assert_eq!(format!("{:?}", Secret::new("hunter2")), "Secret(..)");
        assert!(!format!("{:?}", KeyDigest::new([7; 32])).contains('7'));
    }
}
