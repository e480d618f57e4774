//! Byname: an edge gateway for language models.
//!
//! A client asks for a model by the name its tenant gave it, the **alias**; Byname checks the key, finds
//! a backend that answers, and never says who answered.
//!
//! # The house
//!
//! Five rooms, one staircase. Imports point down only; `tests/house.rs` fails when one climbs.
//!
//! | floor | room | question | may use |
//! |---|---|---|---|
//! | 5 | [`daemon`] | what keeps it alive? | everything below; files, DNS, signals, the process |
//! | 4 | [`proxy`] | what is done? | 0 to 3; the only user of Pingora's session |
//! | 3 | [`config`] | what was written, what does it mean, what runs? | 0 to 2; pure |
//! | 2 | [`rules`] | what is decided? | 0 and 1; no input or output, no clock of its own |
//! | 1 | [`wire`] | what is said? | 0; bytes in, bytes out, no policy |
//! | 0 | [`names`], [`error`], [`metrics`] | | |
//!
//! # A request's way
//!
//! [`proxy::door`] reads the head; `proxy::admit` checks route, method, key, scope, size and type, reads
//! the body, resolves the alias and asks its policy and its limits; `proxy::held` takes the client session's
//! place in Pingora's loop; [`proxy`] asks each question in phase order; [`wire::splice`] makes the body that
//! goes up; [`wire::completion`] and [`wire::sse`] rebuild what comes down, and [`rules::content`] looks at it
//! where a policy wants that; `proxy::access_log` remembers.
//!
//! # Words
//!
//! - **alias**: what a client calls a model. **Route**: a pool and the model it is asked for.
//! - **pool**: backends that can answer for each other. **Backend**: one of them.
//! - **attempt**: one backend asked once. **Release**: the moment from which the client sees the answer.
//! - **useful**: said of an event that carries something: a delta or a finish reason, not a comment.
//! - **last words**: the one error event that ends a stream that broke after its release.

pub mod config;
pub mod daemon;
pub mod error;
pub mod metrics;
pub mod names;
pub mod proxy;
pub mod rules;
pub mod wire;
