//! What is decided: values in, verdict out.
//!
//! No input or output and no clock of its own: the time is an argument.

pub mod auth;
pub mod catalog;
pub mod failover;
pub mod headers;
pub mod pools;
pub mod route;
pub mod timeouts;
pub mod tokens;
