//! What every end-to-end test stands on: the real binary, scripted backing models and clients that see every byte.
//!
//! Threads and blocking sockets, so that a test reads from top to bottom. Nothing here knows the library;
//! Byname is only ever met from outside. Every wait has a deadline, so a failing test fails and never hangs.

#![allow(dead_code, reason = "a kit is wider than what the tests of one day use")]

pub mod answers;
pub mod background;
pub mod client;
pub mod collector;
pub mod config;
pub mod daemon;
pub mod deaf;
pub mod dns;
pub mod folder;
pub mod golden;
pub mod h2;
pub mod h2_upstream;
pub mod http;
pub mod papers;
pub mod ports;
pub mod process;
pub mod redis;
pub mod script;
pub mod scripts;
pub mod sse;
pub mod table;
pub mod tls;
pub mod upstream;

use std::time::Duration;

/// How long anything may take before the test that waits for it fails.
pub const DEADLINE: Duration = Duration::from_secs(10);

/// The key of tenant `acme`, with both scopes.
pub const KEY: &str = "bn-test-acme";
/// A key of `acme` that may only chat.
pub const KEY_CHAT_ONLY: &str = "bn-test-acme-chat";
/// A key of `acme` that may only list models.
pub const KEY_MODELS_ONLY: &str = "bn-test-acme-models";
/// A key of `acme` whose time is over.
pub const KEY_EXPIRED: &str = "bn-test-acme-expired";
/// The key of tenant `globex`, with both scopes.
pub const KEY_GLOBEX: &str = "bn-test-globex";

/// The backing model behind acme's aliases. No client may ever read this name.
pub const MODEL: &str = "upstream-large-2026-01";
/// The backing model behind globex's aliases.
pub const MODEL_GLOBEX: &str = "upstream-small-2026-01";

/// What a client says and no log may repeat.
pub const CANARY_PROMPT: &str = "the-prompt-that-nobody-logs";
