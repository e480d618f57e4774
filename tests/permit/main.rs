//! The permit of limits in many orders of threads: whoever comes, waits, is cancelled or goes away at
//! whatever moment, no limit lets more in than it says, a refusal takes nothing, whoever waits is called when
//! there is room, and in the end nothing is left behind.
//!
//!     cargo test --test permit
//!
//! The book and its line are compiled here once more, with the locks of shuttle, a checker that decides
//! which thread goes on at every lock. Small scenes are tried in every order there is, larger ones in some
//! thousands that are drawn at random, anew in each run; one that fails prints how to have it again. A waiter
//! that nobody calls is a deadlock to it.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test that cannot go on has failed"
)]

/// What is tested, in the place where it is at home.
#[path = "../../src/rules"]
mod rules {
    pub use byname::rules::tick;

    #[expect(dead_code, reason = "only the permit is tried here")]
    pub mod limits {
        pub mod book;
        mod cell;
        mod line;
        pub mod meter;
        pub mod ticket;

        pub use byname::rules::limits::{LimitKind, LimitRules, SLOT_WAIT, period, standing};

        mod sync {
            pub(super) use shuttle::sync::{Mutex, MutexGuard};
        }
    }
}

mod line;
mod scene;
mod slots;
