//! Byname from outside: the real binary between scripted backing models and clients that see every byte.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test stops at the first surprise, its helpers too"
)]

mod big_bodies; // request bodies of every size and framing, once and on a second attempt
mod caps; // every cap at its edge, and what a log may hold
mod clients; // the official OpenAI clients
mod contract; // the API document as cases
mod downstream; // what clients can do wrong, case by case
mod faults; // what backends can do wrong, case by case
mod guard; // keys, tenants beside each other, and what an answer may carry
mod h2_abuse; // what clients can do wrong with HTTP/2, case by case
mod held; // what is held, released, ended and left
mod kit; // what the others stand on
mod limits; // what limits let through, refuse, cost and tell
mod listeners; // addresses, TLS, client certificates, Unix sockets
mod logs; // where lines go, in which form, and what a full disk costs
mod operate; // reload, stop, upgrade, systemd
mod oracle; // nothing that names a provider comes out anywhere
mod policy; // content policies: what is caught, and what a client is told
mod prometheus; // a real Prometheus, the dashboard, alert rules
mod readme; // the README does what it says
mod status; // the status page as programs, people and a browser meet it
mod traces; // spans at a collector, and who learns of a trace
