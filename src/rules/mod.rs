//! What is decided: values in, verdict out.
//!
//! No input or output and no clock of its own: the time is an argument.

pub mod attempt;
pub mod auth;
pub mod balance;
pub mod breaker;
pub mod buffered;
pub mod catalog;
pub mod content;
pub mod credential;
pub mod failover;
pub mod headers;
pub mod limits;
pub mod pools;
pub mod reach;
pub mod retry;
pub mod route;
pub mod store;
pub mod tick;
pub mod timeouts;
pub mod tokens;
pub mod trace;
pub mod turns;
pub mod vitals;
pub mod window;
