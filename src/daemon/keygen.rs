//! Makes client keys. The key is printed once and stored nowhere; the configuration gets its digest.

use std::fmt::Write;
use std::process::ExitCode;

use ring::rand::{SecureRandom, SystemRandom};

use crate::rules::auth::digest;

/// Random bytes in a key: far beyond guessing, so that a plain SHA-256 protects it.
const RANDOM: usize = 32;
/// The longest prefix; it is for people's eyes.
const MAX_PREFIX: usize = 32;

/// Prints a new key and its digest.
pub fn run(prefix: Option<&str>) -> ExitCode {
    if prefix.is_some_and(|prefix| !is_good(prefix)) {
        eprintln!("--prefix: must be 1 to {MAX_PREFIX} letters, digits or dashes");
        return ExitCode::from(super::EX_USAGE);
    }
    let mut random = [0; RANDOM];
    if SystemRandom::new().fill(&mut random).is_err() {
        eprintln!("the system has no random numbers");
        return ExitCode::FAILURE;
    }
    let key = key(prefix, &random);
    println!("key:    {key}");
    println!("sha256: {}", digest(key.as_bytes()).to_hex());
    ExitCode::SUCCESS
}

/// `bn-<random>` or `bn-<prefix>-<random>`.
fn key(prefix: Option<&str>, random: &[u8]) -> String {
    let mut key = String::from("bn-");
    if let Some(prefix) = prefix {
        key.push_str(prefix);
        key.push('-');
    }
    for byte in random {
        // Writing to a String cannot fail.
        let _ = write!(key, "{byte:02x}");
    }
    key
}

fn is_good(prefix: &str) -> bool {
    let plain = prefix.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
    plain && !prefix.is_empty() && prefix.len() <= MAX_PREFIX
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_shows_its_prefix_and_all_its_randomness() {
        assert_eq!(key(None, &[0, 255]), "bn-00ff");
        assert_eq!(key(Some("acme"), &[1]), "bn-acme-01");
        assert!(is_good("acme-web-1") && !is_good("") && !is_good("a b") && !is_good(&"x".repeat(33)));
    }
}
