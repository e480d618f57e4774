//! What is said: OpenAI's words as bytes.
//!
//! Bytes in, bytes out. No policy, no socket, no clock, no file: identifiers and times come in as
//! arguments, and what is allowed is told to this room, never decided here.

mod answer;
mod chunk;
pub mod completion;
mod content;
mod events;
pub mod finish;
mod lenient;
mod logprobs;
pub mod models;
mod pen;
pub mod refusal;
pub mod rejection;
pub mod request;
pub mod retry_after;
mod scan;
pub mod splice;
pub mod sse;
mod tool_calls;
pub mod trace_context;
pub mod usage;
pub mod voice;
pub mod weigh;
