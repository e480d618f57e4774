//! What is said: OpenAI's words as bytes.
//!
//! Bytes in, bytes out. No policy, no socket, no clock, no file: identifiers and times come in as
//! arguments, and what is allowed is told to this room, never decided here.

mod answer;
mod call_names;
mod chunk;
pub mod completion;
mod content;
mod events;
pub mod finish;
pub mod ids;
mod lenient;
mod logprobs;
pub mod models;
pub mod moderation;
mod pen;
pub mod refusal;
pub mod rejection;
pub mod request;
pub mod retry_after;
mod scan;
pub mod sieve;
mod sifted;
pub mod splice;
pub mod sse;
pub mod texts;
mod tool_calls;
pub mod trace_context;
mod tracks;
pub mod usage;
pub mod voice;
pub mod weigh;
