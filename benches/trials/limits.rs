//! Limits at full size: one tenant of ten thousand that floods, and a hundred thousand requests whose clients
//! leave whenever they like.

pub mod flood;
pub mod many;
